//! What happens to the events of a log: in which order they come, how often, in which batches, to which container,
//! what fails, and when tables are rebuilt.
//!
//! A schedule means something whatever is left out of it: an event that is delivered before it arrived arrives with
//! its delivery, and what is left at the end is delivered then. So a schedule is made small by leaving things out.

use crate::delivery;
use crate::dice::Dice;
use crate::faults::Fault;
use crate::log::Log;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// How many hours may pass in a trial: less than a tombstone is kept, since an event may still come for as long.
const HOURS: usize = 40 * 24;

/// At which of an invocation's first calls of the store something goes wrong.
const CALLS: usize = 6;

/// A log and what happens to it.
#[derive(Clone)]
pub(super) struct Trial {
    pub(super) log: Log,
    /// The projections that take part, by their numbers.
    pub(super) consumers: Vec<usize>,
    pub(super) regions: usize,
    pub(super) steps: Vec<Step>,
    /// Whether the whole log is delivered once more in the end.
    pub(super) again: bool,
}

#[derive(Clone, PartialEq)]
pub(super) enum Step {
    Deliver(Batch),
    /// Time passes.
    Wait {
        hours: i64,
    },
    /// A shadow table is made, and its queue subscribed.
    Subscribe(Place),
    /// What has arrived so far is replayed into the shadow, in any order.
    Backfill(Place, u64),
    /// The shadow catches up, is verified and becomes the table that is read.
    Swap(Place),
}

/// A consumer in a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Place {
    pub(super) region: usize,
    pub(super) consumer: usize,
}

/// What one invocation is handed.
#[derive(Clone, PartialEq)]
pub(super) struct Batch {
    pub(super) place: Place,
    /// 0 is the old table, 1 its shadow.
    pub(super) generation: usize,
    /// Which of two containers is invoked.
    pub(super) container: usize,
    /// Whether it starts anew.
    pub(super) cold: bool,
    /// Whether it runs at the same time as the one before.
    pub(super) beside: bool,
    /// The numbers of the events, each with what is around it.
    pub(super) messages: Vec<(usize, Wire)>,
    /// What goes wrong at which call of the store.
    pub(super) faults: Vec<(usize, Fault)>,
    /// How its writes, and those of others at the same time, get ahead of each other.
    pub(super) pace: u64,
}

/// What is around an envelope.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Wire {
    Raw,
    EventBridge,
    Sns,
    SnsEventBridge,
}

/// What a schedule may hold.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    /// The events that each projection folds.
    pub(super) consumes: Vec<BTreeSet<(String, String)>>,
    /// How many projections take part at most.
    pub(super) consumers: usize,
    pub(super) regions: usize,
    /// How many events of a log take part, about.
    pub(super) events: usize,
    pub(super) faults: bool,
}

/// The schedule of a seed.
pub(super) fn trial(log: &Log, seed: u64, shape: &Shape) -> Trial {
    let mut dice = Dice::new(seed);
    let mut consumers: Vec<usize> = (0..shape.consumes.len()).collect();
    dice.shuffle(&mut consumers);
    consumers.truncate(shape.consumers);
    consumers.sort_unstable();
    let log = excerpt(log, &consumers, shape, &mut dice);
    let regions = if dice.percent(60) { shape.regions } else { 1 };
    let mut lanes: Vec<Vec<Step>> = Vec::new();
    for region in 0..regions {
        for consumer in &consumers {
            let place = Place { region, consumer: *consumer };
            let routed = routed(&log, &shape.consumes[*consumer]);
            lanes.push(deliveries(place, 0, &routed, shape, &mut dice));
            if dice.percent(50) {
                let rebuild = [Step::Subscribe(place), Step::Backfill(place, dice.roll()), Step::Swap(place)];
                lanes.push(rebuild.into());
                lanes.push(deliveries(place, 1, &routed, shape, &mut dice));
            }
        }
    }
    let steps = waiting(interleaved(lanes, &mut dice), &mut dice);
    Trial { log, consumers, regions, steps, again: dice.percent(25) }
}

/// The events that the consumers fold, of as many aggregates as make about as many events as are wanted.
fn excerpt(log: &Log, consumers: &[usize], shape: &Shape, dice: &mut Dice) -> Log {
    let mut aggregates: BTreeMap<(String, String), Vec<usize>> = BTreeMap::new();
    for (number, event) in log.envelopes().iter().enumerate() {
        if consumers.iter().any(|consumer| shape.consumes[*consumer].contains(&kind_of(event))) {
            let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
            aggregates.entry((text("domain"), text("subject"))).or_default().push(number);
        }
    }
    let mut aggregates: Vec<Vec<usize>> = aggregates.into_values().collect();
    dice.shuffle(&mut aggregates);
    let mut picked: Vec<usize> = Vec::new();
    for aggregate in aggregates {
        if picked.len() < shape.events {
            picked.extend(aggregate);
        }
    }
    picked.sort_unstable();
    Log::from(picked.iter().map(|number| log.envelopes()[*number].clone()).collect::<Vec<_>>())
}

fn kind_of(event: &Value) -> (String, String) {
    let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
    (text("domain"), text("type"))
}

/// The events of a log that a consumer's queue is subscribed to.
pub(super) fn routed(log: &Log, consumes: &BTreeSet<(String, String)>) -> Vec<usize> {
    let events = log.envelopes().iter().enumerate();
    events.filter(|(_, event)| consumes.contains(&kind_of(event))).map(|(number, _)| number).collect()
}

/// Each of the events at least once, in any order, some again, in batches; at times a beginning of the log once more.
fn deliveries(
    place: Place,
    generation: usize,
    events: &[usize],
    shape: &Shape,
    dice: &mut Dice,
) -> Vec<Step> {
    let mut order = events.to_vec();
    dice.shuffle(&mut order);
    for event in events {
        while dice.percent(25) {
            order.insert(dice.below(order.len() + 1), *event);
        }
    }
    let mut batches: Vec<Batch> = Vec::new();
    for event in order {
        if batches.is_empty() || dice.percent(35) {
            batches.push(batch(place, generation, shape, dice));
        }
        if let Some(batch) = batches.last_mut() {
            batch.messages.push((event, wire(dice)));
        }
    }
    if dice.percent(30) && !events.is_empty() {
        let mut replay = batch(place, generation, shape, dice);
        let prefix = &events[..=dice.below(events.len())];
        replay.messages = prefix.iter().map(|event| (*event, Wire::EventBridge)).collect();
        batches.insert(dice.below(batches.len() + 1), replay);
    }
    if dice.percent(30) && !batches.is_empty() {
        // A message may be handed out a second time while it is still being worked on.
        let position = dice.below(batches.len());
        let mut twice = batches[position].clone();
        twice.messages.truncate(1 + dice.below(twice.messages.len()));
        (twice.container, twice.beside, twice.pace) = (1 - twice.container, true, dice.roll());
        (twice.faults, twice.cold) = (Vec::new(), false);
        batches.insert(position + 1, twice);
    }
    batches.into_iter().map(Step::Deliver).collect()
}

fn batch(place: Place, generation: usize, shape: &Shape, dice: &mut Dice) -> Batch {
    let mut faults = Vec::new();
    while shape.faults && faults.len() < 3 && dice.percent(35) {
        let kinds: &[Fault] = if dice.percent(30) { &Fault::CRASHES } else { &Fault::SURVIVED };
        faults.push((dice.below(CALLS), kinds[dice.below(kinds.len())]));
    }
    Batch {
        place,
        generation,
        container: dice.below(2),
        cold: dice.percent(15),
        beside: dice.percent(40),
        messages: Vec::new(),
        faults,
        pace: if dice.percent(60) { dice.roll() } else { 0 },
    }
}

fn wire(dice: &mut Dice) -> Wire {
    [Wire::Raw, Wire::EventBridge, Wire::Sns, Wire::SnsEventBridge][dice.below(4)]
}

/// The steps of all lanes, those of each in their order.
fn interleaved(mut lanes: Vec<Vec<Step>>, dice: &mut Dice) -> Vec<Step> {
    for lane in &mut lanes {
        lane.reverse();
    }
    let mut steps = Vec::new();
    loop {
        let left: usize = lanes.iter().map(Vec::len).sum();
        if left == 0 {
            return steps;
        }
        // Lanes with more to come are picked more often, so that all end at about the same time.
        let mut pick = dice.below(left);
        for lane in &mut lanes {
            if pick < lane.len() {
                steps.extend(lane.pop());
                break;
            }
            pick -= lane.len();
        }
    }
}

fn waiting(steps: Vec<Step>, dice: &mut Dice) -> Vec<Step> {
    let mut left = HOURS;
    let mut waited = Vec::with_capacity(steps.len());
    for step in steps {
        if dice.percent(10) {
            let hours = dice.below(14 * 24).min(left);
            left -= hours;
            waited.push(Step::Wait { hours: i64::try_from(hours).unwrap_or(0) });
        }
        waited.push(step);
    }
    waited
}

impl Batch {
    /// These events, in order, to a container that has just started; nothing goes wrong.
    pub(super) fn calm(place: Place, generation: usize, events: impl IntoIterator<Item = usize>) -> Self {
        Self {
            place,
            generation,
            container: 0,
            cold: true,
            beside: false,
            messages: events.into_iter().map(|event| (event, Wire::EventBridge)).collect(),
            faults: Vec::new(),
            pace: 0,
        }
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
