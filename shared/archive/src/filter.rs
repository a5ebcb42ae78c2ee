//! Which events are wanted.

use crate::name::Hour;
use contracts::Header;
use jiff::Timestamp;
use projection::Projection;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Which events are wanted: those that all of its parts let through. An empty set lets everything through.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    /// By the domain that published.
    pub domains: BTreeSet<String>,
    /// By the event's name.
    pub types: BTreeSet<String>,
    /// By the identity of the aggregate.
    pub subjects: BTreeSet<String>,
    /// From this time on, by the envelope's time.
    pub from: Option<Timestamp>,
    /// Before this time.
    pub to: Option<Timestamp>,
}

impl Filter {
    /// What a projection folds.
    pub fn of(projection: &Projection) -> Self {
        Self {
            domains: projection.consumes().map(|(domain, _)| domain.to_owned()).collect(),
            types: projection.consumes().map(|(_, name)| name.to_owned()).collect(),
            ..Self::default()
        }
    }

    /// Whether an event is wanted.
    pub fn wants(&self, header: &Header<'_>) -> bool {
        let within = |set: &BTreeSet<String>, value: &str| set.is_empty() || set.contains(value);
        within(&self.domains, &header.domain)
            && within(&self.types, &header.name)
            && within(&self.subjects, &header.subject)
            && self.from.is_none_or(|from| from <= header.time)
            && self.to.is_none_or(|to| header.time < to)
    }

    /// Whether every event of an hour is wanted, so that none needs to be looked at.
    pub(crate) fn wants_all_of(&self, hour: Hour) -> bool {
        let start = hour.start();
        let end = start.checked_add(jiff::SignedDuration::from_hours(1)).unwrap_or(Timestamp::MAX);
        self.types.is_empty()
            && self.subjects.is_empty()
            && self.from.is_none_or(|from| from <= start)
            && self.to.is_none_or(|to| end <= to)
    }

    /// The domains and hours that wanted events can be in.
    pub(crate) fn span(&self) -> Span {
        let hour = |time: Timestamp| Hour::of(time).unwrap_or(Hour::FIRST);
        Span {
            domains: self.domains.clone(),
            first: self.from.map_or(Hour::FIRST, hour),
            last: self.to.map_or(Hour::LAST, |to| {
                hour(to.checked_sub(jiff::SignedDuration::from_nanos(1)).unwrap_or(Timestamp::MIN))
            }),
        }
    }
}

/// Domains and hours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub domains: BTreeSet<String>,
    first: Hour,
    last: Hour,
}

impl Span {
    /// Whether it reaches into a year, month, day or hour, given as its leading parts.
    pub fn reaches(&self, parts: &[u16]) -> bool {
        let deep = parts.len();
        self.first.0[..deep] <= *parts && *parts <= self.last.0[..deep]
    }
}
