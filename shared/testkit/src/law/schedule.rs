//! How a log is delivered: in which order, how often, in which batches, wrapped in what, to which container.

use crate::delivery;
use crate::log::{Line, Log};
use proptest::collection::vec;
use proptest::prelude::{Just, any};
use proptest::strategy::Strategy;
use serde_json::Value;
use std::fmt;

/// A log and its deliveries.
#[derive(Clone)]
pub(super) struct Trial {
    pub(super) log: Log,
    pub(super) batches: Vec<Batch>,
    /// Whether the whole log is delivered once more.
    pub(super) again: bool,
}

/// What one invocation is handed.
#[derive(Clone, PartialEq)]
pub(super) struct Batch {
    /// Which of two containers is invoked.
    pub(super) container: usize,
    /// Whether it starts anew.
    pub(super) cold: bool,
    /// The numbers of the events, each with what is around it.
    pub(super) messages: Vec<(usize, Wire)>,
}

/// What is around an envelope.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Wire {
    Raw,
    EventBridge,
    Sns,
    SnsEventBridge,
}

/// What stands before a message: whether a batch starts there, and where it goes.
type Place = (Wire, bool, bool, bool);

/// Each log with deliveries that hold each of its events at least once.
pub(super) fn trials<S: Strategy<Value = Log>>(logs: &S) -> impl Strategy<Value = Trial> {
    logs.prop_flat_map(|log| {
        let events = log.envelopes().len();
        let order = Just((0..events).collect::<Vec<_>>()).prop_shuffle();
        let again = vec((0..events.max(1), 0..=2 * events), 0..=events);
        (Just(log), order, again, vec(place(), 2 * events), proptest::bool::weighted(0.25))
    })
    .prop_map(|(log, mut order, copies, places, again)| {
        if !order.is_empty() {
            for (event, position) in copies {
                order.insert(position.min(order.len()), event);
            }
        }
        Trial { batches: batches(&order, &places), log, again }
    })
}

fn place() -> impl Strategy<Value = Place> {
    let wire = proptest::prop_oneof![
        Just(Wire::Raw),
        Just(Wire::EventBridge),
        Just(Wire::Sns),
        Just(Wire::SnsEventBridge)
    ];
    (wire, proptest::bool::weighted(0.3), any::<bool>(), proptest::bool::weighted(0.2))
}

fn batches(order: &[usize], places: &[Place]) -> Vec<Batch> {
    let mut batches: Vec<Batch> = Vec::new();
    for (event, (wire, cut, second, cold)) in order.iter().zip(places) {
        if *cut || batches.is_empty() {
            batches.push(Batch { container: usize::from(*second), cold: *cold, messages: Vec::new() });
        }
        if let Some(batch) = batches.last_mut() {
            batch.messages.push((*event, *wire));
        }
    }
    batches
}

impl Batch {
    /// The whole log, in order.
    pub(super) fn whole(log: &Log) -> Self {
        let messages = (0..log.envelopes().len()).map(|event| (event, Wire::EventBridge)).collect();
        Self { container: 0, cold: true, messages }
    }

    pub(super) fn payload(&self, log: &Log) -> String {
        delivery::sqs(self.messages.iter().map(|(event, wire)| wire.around(&log.envelopes()[*event])))
    }
}

impl Wire {
    fn around(self, envelope: &Value) -> String {
        match self {
            Self::Raw => delivery::sns_raw(envelope),
            Self::EventBridge => delivery::eventbridge(envelope),
            Self::Sns => delivery::sns_wrapped(&envelope.to_string()),
            Self::SnsEventBridge => delivery::sns_wrapped(&delivery::eventbridge(envelope)),
        }
    }
}

impl fmt::Debug for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.log)?;
        writeln!(f, "deliveries:")?;
        for (number, batch) in self.batches.iter().enumerate() {
            let start = if batch.cold { ", cold" } else { "" };
            writeln!(f, "  batch {number} to container {}{start}", batch.container)?;
            for (event, wire) in &batch.messages {
                writeln!(f, "    #{event} {wire:?}: {}", Short(&self.log.envelopes()[*event]))?;
            }
        }
        if self.again {
            writeln!(f, "  then the whole log once more")?;
        }
        Ok(())
    }
}

struct Short<'a>(&'a Value);

impl fmt::Display for Short<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = Line(self.0).to_string();
        let end = line.find(" {").unwrap_or(line.len());
        f.write_str(&line[..end])
    }
}
