//! Logs of events: valid histories, as producers make them.

use contracts::envelope::Origin;
use contracts::{Envelope, Event, Version};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;

/// The moment at which the clock of tests stands: after every event of a [`Log`].
pub const NOW: Timestamp = Timestamp::constant(1_325_376_000, 0);

/// When the first event of a log happened.
const START: Timestamp = Timestamp::constant(1_291_191_960, 0);

/// The clock of tests.
pub fn clock() -> Timestamp {
    NOW
}

/// An empty log.
pub fn log() -> Log {
    Log::default()
}

/// An event in its envelope, as JSON, at the `seq`-th version of its aggregate.
pub fn event<E: Event>(data: &E, seq: u64) -> Value {
    let envelope = Envelope::new(data.clone(), origin(Version::first_epoch(seq)));
    serde_json::to_value(envelope).expect("contract types have string keys and no failing Serialize")
}

pub(crate) fn origin(version: Version) -> Origin {
    Origin {
        version,
        index: 0,
        epoch_base: 0,
        region: "eu-west-1".to_owned(),
        time: START + SignedDuration::from_mins(i64::try_from(version.seq).unwrap_or(i64::MAX).min(1 << 20)),
        correlation_id: "correlation-1".to_owned(),
        causation_id: None,
        traceparent: None,
    }
}

/// Envelopes in the order in which they happened. What is added with [`Log::event`] is a valid history: versions of
/// an aggregate start at 1 and have no gaps.
#[derive(Clone, Default, PartialEq)]
pub struct Log {
    events: Vec<Value>,
    versions: BTreeMap<(String, String), u64>,
}

impl Log {
    /// Adds an event at the next version of its aggregate.
    #[must_use]
    pub fn event<E: Event>(mut self, data: &E) -> Self {
        let version = self.versions.entry((E::DOMAIN.to_owned(), data.subject())).or_default();
        *version += 1;
        self.events.push(event(data, *version));
        self
    }

    /// The envelopes.
    pub fn envelopes(&self) -> &[Value] {
        &self.events
    }
}

impl From<Vec<Value>> for Log {
    fn from(events: Vec<Value>) -> Self {
        Self { events, versions: BTreeMap::new() }
    }
}

/// One line for each event.
impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "log:")?;
        for (number, event) in self.events.iter().enumerate() {
            writeln!(f, "  #{number} {}", Line(event))?;
        }
        Ok(())
    }
}

/// An event on one line.
pub(crate) struct Line<'a>(pub(crate) &'a Value);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |name: &str| self.0[name].as_str().unwrap_or("?");
        let version = &self.0["version"];
        let (domain, name, subject) = (text("domain"), text("type"), text("subject"));
        write!(f, "{domain}.{name} {subject} {}.{} {}", version["epoch"], version["seq"], self.0["data"])
    }
}
