//! The drift audit: a projection, compared with what its sources know.
//!
//! It needs no checkpoint and no queue: what the sources say is folded as a consumer would, and compared part by part
//! with what is stored, by version and by content. So it finds an event that was lost and that no queue remembers.

mod content;
mod expected;
mod stored;

pub use stored::{BUCKETS, Digest, digest};

use crate::fold::Projection;
use crate::key::Key;
use crate::reach::Reach;
use crate::store::{Store, StoreError};
use async_trait::async_trait;
use contracts::Version;
use expected::{Behind, Ends, Expected};
use jiff::Timestamp;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use stored::Stored;

/// How many findings are named; the others are counted.
pub const MAX_FINDINGS: usize = 1_000;

/// How many events an audit keeps that would make right what it found.
pub const MAX_REPAIRS: usize = 10_000;

/// Takes events, each the JSON text of its envelope.
#[async_trait]
pub trait Sink: Send {
    /// Takes some. The source waits meanwhile.
    async fn take(&mut self, events: Vec<Arc<str>>) -> Result<(), SourceError>;
}

/// Where the events of a projection come from, besides its queue: the owners' latest State, or an archive.
#[async_trait]
pub trait Source: Send + Sync {
    /// Hands over the events of these types, each a domain and a name: at least the latest State or end of each
    /// aggregate, and every Delta. In no order that means anything; an event may come twice.
    async fn read(&self, types: &[(&str, &str)], sink: &mut dyn Sink) -> Result<(), SourceError>;
}

/// Why a source can't be read to its end.
#[derive(Debug, thiserror::Error)]
#[error("{what} can't be read")]
pub struct SourceError {
    /// What was read.
    pub what: String,
    /// Why it failed.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

impl SourceError {
    /// A source that can't be read, and why.
    pub fn new(what: impl Into<String>, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self { what: what.into(), source: source.into() }
    }
}

/// Why an audit could not be finished.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The sources can't be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The projection can't be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How a part of a projection differs from what its sources say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "drift", rename_all = "camelCase")]
pub enum Drift {
    /// An event never arrived: nothing is stored.
    Lost {
        /// What the source says.
        expected: Version,
    },
    /// A later event never arrived.
    Stale {
        /// What is stored.
        stored: Version,
        /// What the source says.
        expected: Version,
    },
    /// The version is the source's, the content isn't.
    Forked {
        /// The version of both.
        version: Version,
    },
    /// Something is stored of which the sources know nothing.
    Unknown {
        /// What is stored.
        stored: Version,
    },
    /// A total isn't the sum of what it is made of.
    Miscounted {
        /// The attribute.
        attribute: String,
        /// What is stored.
        stored: Decimal,
        /// What its parts come to.
        expected: Decimal,
    },
}

impl Drift {
    /// The kind, as a word: what metrics are counted by.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Lost { .. } => "lost",
            Self::Stale { .. } => "stale",
            Self::Forked { .. } => "forked",
            Self::Unknown { .. } => "unknown",
            Self::Miscounted { .. } => "miscounted",
        }
    }
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost { expected } => write!(f, "lost: nothing is stored, the source is at {expected}"),
            Self::Stale { stored, expected } => {
                write!(f, "stale: {stored} is stored, the source is at {expected}")
            }
            Self::Forked { version } => write!(f, "forked: version {version} is stored with other content"),
            Self::Unknown { stored } => write!(f, "unknown: {stored} is stored, the sources don't know it"),
            Self::Miscounted { attribute, stored, expected } => {
                write!(f, "miscounted: {attribute} is {stored}, its parts come to {expected}")
            }
        }
    }
}

/// A part of a projection that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// How it differs.
    #[serde(flatten)]
    pub drift: Drift,
    /// The item, as `pk/sk`.
    pub item: String,
    /// The part of the item, where several domains tell of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part: Option<String>,
    /// The event that would make it right, where a delivery of it would.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// That event; of an item that is folded in order, every event that it lacks.
    #[serde(skip)]
    envelopes: Vec<Arc<str>>,
}

/// What an audit saw.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Audit {
    /// Events that the sources handed over.
    pub events: u64,
    /// Events among them that can't be folded: they are the quarantine's.
    pub unfoldable: u64,
    /// Parts of items that were compared, and changes that a total should have counted.
    pub compared: u64,
    /// Parts that are newer than what the sources said when they were read.
    pub ahead: u64,
    /// Parts that differ.
    pub drifted: u64,
    /// The first [`MAX_FINDINGS`] of them.
    pub findings: Vec<Finding>,
}

impl Audit {
    /// Whether nothing differs.
    pub fn is_clean(&self) -> bool {
        self.drifted == 0
    }

    /// The events whose delivery would make parts right that are lost or stale, [`MAX_REPAIRS`] at most.
    pub fn repairs(&self) -> Vec<Arc<str>> {
        let mut events: Vec<Arc<str>> =
            self.findings.iter().flat_map(|finding| finding.envelopes.iter().cloned()).collect();
        events.sort_unstable();
        events.dedup();
        events
    }

    /// Those findings of this audit that an earlier one had too: what was only on its way is gone from it.
    #[must_use]
    pub fn persisting(mut self, earlier: &Self) -> Self {
        let cut = earlier.findings.len() < usize::try_from(earlier.drifted).unwrap_or(usize::MAX);
        if !cut && self.findings.len() as u64 == self.drifted {
            let same = |a: &Finding, b: &Finding| a.item == b.item && a.part == b.part && a.drift == b.drift;
            self.findings.retain(|it| earlier.findings.iter().any(|other| same(it, other)));
            self.drifted = self.findings.len() as u64;
        }
        self
    }
}

/// Compares one table of a projection with its sources.
pub struct Auditor<'a> {
    /// How events are folded.
    pub projection: &'a Projection,
    /// Where it is stored.
    pub store: &'a dyn Store,
    /// Its table.
    pub table: &'a str,
    /// The time: a tombstone that is gone after its horizon isn't lost.
    pub now: Timestamp,
    /// Into how many passes the work is cut: a pass reads everything, and holds one slice in memory, about 80 bytes a
    /// part, half as much again of one that is folded in order.
    pub passes: u32,
}

/// What is known of a part at one of the two sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part {
    version: u64,
    digest: u64,
    /// For an item that is folded in order, a digest of the last event in it: that is compared, since what the item
    /// holds follows from all events before it. At the projection's side, 0 where the item came from a snapshot.
    event: Option<u64>,
    /// For a tombstone, when its event was made, in seconds since 1970.
    ended: Option<i64>,
}

impl Part {
    /// Whether what is stored in the source's version is the source's.
    fn holds(&self, should_be: &Self) -> bool {
        match should_be.event {
            None => self.digest == should_be.digest,
            Some(event) => self.event.is_some_and(|it| it == 0 || it == event),
        }
    }
}

impl Auditor<'_> {
    /// Reads the sources, then the projection, and compares. What is under way meanwhile may show as lost or stale:
    /// look again after the queue is empty, and take what is [`Audit::persisting`].
    pub async fn audit(&self, source: &dyn Source) -> Result<Audit, AuditError> {
        let mut audit = Audit::default();
        for slice in 0..self.passes.max(1) {
            self.slice(source, slice, &mut audit).await?;
        }
        Ok(audit)
    }

    async fn slice(&self, source: &dyn Source, slice: u32, audit: &mut Audit) -> Result<(), AuditError> {
        let types: Vec<(&str, &str)> = self.projection.consumes().collect();
        let passes = u128::from(self.passes.max(1));
        let within = move |name: u128| name % passes == u128::from(slice);
        let mut expected = Expected::new(self.projection, &within);
        source.read(&types, &mut expected).await?;
        if slice == 0 {
            (audit.events, audit.unfoldable) = (expected.events, expected.unfoldable);
        }
        let Expected { mut parts, dots, ends, .. } = expected;
        let mut stale: HashMap<u128, Behind> = HashMap::new();
        let stored = Stored::read(self.store, self.table, &mut |name, key, part, is, reach| {
            if !within(name) {
                return;
            }
            audit.compared += 1;
            let stored = Version::unpacked(is.version);
            let Some(should_be) = parts.get_mut(&name) else {
                found(audit, Drift::Unknown { stored }, key, part);
                return;
            };
            let reach = reach.unwrap_or_default();
            let order = is.version.cmp(&should_be.version);
            if order == Ordering::Less {
                stale.insert(name, Behind { version: stored, reach });
                return;
            }
            if let Some(lacks) = lacking(&ends, name, &reach) {
                // The last change is there, and of an earlier epoch one isn't.
                should_be.version = lacks.packed();
                let version = Version { seq: reach.end(lacks.epoch), ..lacks };
                stale.insert(name, Behind { version, reach });
                return;
            }
            if order == Ordering::Greater {
                audit.ahead += 1;
            } else if !is.holds(should_be) {
                found(audit, Drift::Forked { version: stored }, key, part);
            }
            parts.remove(&name);
        })
        .await?;
        let horizon = (self.now - crate::dynamodb::TOMBSTONE_HORIZON).as_second();
        let expired = |part: &Part| part.ended.is_some_and(|ended| ended <= horizon);
        parts.retain(|name, part| stale.contains_key(name) || !expired(part));
        if slice == 0 {
            audit.compared += dots.values().map(|changes| changes.len() as u64).sum::<u64>();
            stored.count(&dots, &mut |drift, key, part| found(audit, drift, key, part));
        }
        let missing = stored.missing(&dots, &within);
        if !parts.is_empty() || !missing.is_empty() {
            let mut naming = expected::Naming::new(self.projection, parts, missing, &stale);
            source.read(&types, &mut naming).await?;
            naming.finish();
            // What the second reading no longer had was replaced meanwhile: it is not lost.
            audit.drifted += naming.drifted;
            let room = MAX_FINDINGS.saturating_sub(audit.findings.len());
            audit.findings.extend(naming.findings.into_iter().take(room));
        }
        Ok(())
    }
}

/// The last change of an epoch that an item should have, and hasn't: of the first such epoch.
fn lacking(ends: &Ends, name: u128, reach: &Reach) -> Option<Version> {
    let ends = ends.range((name, 0)..=(name, u16::MAX));
    ends.map(|((_, epoch), seq)| Version { epoch: *epoch, seq: *seq }).find(|end| !reach.contains(*end))
}

fn found(audit: &mut Audit, drift: Drift, key: &Key, part: Option<&str>) {
    audit.drifted += 1;
    if audit.findings.len() < MAX_FINDINGS {
        let (item, part) = (key.to_string(), part.map(str::to_owned));
        audit.findings.push(Finding { drift, item, part, event: None, envelopes: Vec::new() });
    }
}

/// Parts by their names.
type Parts = HashMap<u128, Part>;
