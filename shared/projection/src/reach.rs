//! How far an item that is folded in order has come.
//!
//! An aggregate's changes have the order of their versions: by epoch, then by sequence number. Those of one epoch make a
//! chain without a gap, which begins with 1 or goes on from a number of an earlier epoch. Two chains may have the same
//! numbers: what the home before had accepted, and not told, when another region took over from what it knew. So an item
//! has come to an end in each epoch, and the ends say all that is in it.

use contracts::Version;
use serde_dynamo::AttributeValue;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;

/// Which changes of its aggregate are in an item.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// Where it went on from a snapshot of the source, the version of that: what is before counts as in it.
    snapshot: Option<Version>,
    /// The last sequence number of each epoch.
    ends: BTreeMap<u16, u64>,
}

/// The first version that there can be.
pub const FIRST: Version = Version::NONE.next();

/// The last version that there can be.
pub const LAST: Version = Version { epoch: u16::MAX, seq: Version::MAX_SEQ };

impl Reach {
    /// All changes of one epoch up to this one.
    pub fn to(version: Version) -> Self {
        Self { snapshot: None, ends: [(version.epoch, version.seq)].into() }
    }

    /// What a snapshot of the source in this version has.
    pub fn of_snapshot(version: Version) -> Self {
        Self { snapshot: Some(version), ..Self::to(version) }
    }

    /// The version of the last change in it.
    pub fn version(&self) -> Version {
        let last = self.ends.last_key_value();
        last.map_or(Version::NONE, |(epoch, seq)| Version { epoch: *epoch, seq: *seq })
    }

    /// The version of the snapshot that it went on from, where it did.
    pub fn snapshot(&self) -> Option<Version> {
        self.snapshot
    }

    /// Whether a change is in it.
    pub fn contains(&self, version: Version) -> bool {
        self.is_before_snapshot(version) || self.end(version.epoch) >= version.seq
    }

    /// Whether a change counts as in it because a snapshot is thought to have it.
    pub fn is_before_snapshot(&self, version: Version) -> bool {
        self.snapshot.is_some_and(|snapshot| version <= snapshot)
    }

    /// Whether all that is in another one is in this one.
    pub fn covers(&self, other: &Self) -> bool {
        let ends = other.ends.iter().map(|(epoch, seq)| Version { epoch: *epoch, seq: *seq });
        ends.chain(other.snapshot).all(|version| self.contains(version))
    }

    /// Whether a change follows what is in it: the next of its epoch, or the first of one that began at what is in it.
    /// `base` is the last number before the change's epoch.
    pub fn follows(&self, version: Version, base: u64) -> bool {
        match self.ends.get(&version.epoch) {
            Some(end) => version.seq == end + 1,
            None => version.seq == base + 1 && self.came_to(version.epoch, base),
        }
    }

    /// Whether an epoch that goes on from a number may begin: that number is in the item, by an earlier epoch.
    pub fn came_to(&self, epoch: u16, base: u64) -> bool {
        base == 0 || self.ends.range(..epoch).any(|(_, end)| *end >= base)
    }

    /// Adds the next change.
    pub fn take(&mut self, version: Version) {
        self.ends.insert(version.epoch, version.seq);
    }

    /// The last number of an epoch; 0 where nothing of it is there.
    pub fn end(&self, epoch: u16) -> u64 {
        self.ends.get(&epoch).copied().unwrap_or(0)
    }

    /// The greatest number of all epochs.
    pub fn furthest(&self) -> u64 {
        self.ends.values().copied().max().unwrap_or(0)
    }

    /// The parts of the order of which nothing is in it.
    pub fn beyond(&self) -> Vec<RangeInclusive<Version>> {
        let mut from = self.snapshot.map_or(FIRST, Version::next);
        let mut parts = Vec::with_capacity(self.ends.len() + 1);
        for (epoch, end) in &self.ends {
            let until = Version { epoch: *epoch, seq: 0 };
            if from < until {
                parts.push(from..=until);
            }
            from = from.max(Version { epoch: *epoch, seq: *end }.next());
        }
        parts.push(from..=LAST);
        parts
    }

    /// As it is stored: the sequence number where there is one epoch, whose number is the item's version's, else a text.
    pub fn attribute(&self) -> AttributeValue {
        match (self.snapshot, self.ends.len()) {
            (None, 1) => AttributeValue::N(self.version().seq.to_string()),
            _ => AttributeValue::S(self.to_string()),
        }
    }

    /// The inverse of [`Reach::attribute`], given the item's version.
    pub fn read(attribute: &AttributeValue, version: Version) -> Option<Self> {
        let text = match attribute {
            AttributeValue::N(seq) => {
                return Some(Self::to(Version { seq: seq.parse().ok()?, ..version }));
            }
            AttributeValue::S(text) => text,
            _ => return None,
        };
        let mut reach = Self::default();
        for part in text.split(' ') {
            match part.strip_prefix("..") {
                Some(snapshot) => reach.snapshot = Some(parse(snapshot)?),
                None => reach.take(parse(part)?),
            }
        }
        Some(reach)
    }
}

fn parse(text: &str) -> Option<Version> {
    let (epoch, seq) = text.split_once('.')?;
    Some(Version { epoch: epoch.parse().ok()?, seq: seq.parse().ok()? })
}

/// `0.7 1.12`: to the seventh of the first epoch, and to the twelfth of the second. `..1.9` is a snapshot.
impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let snapshot = self.snapshot.map(|version| format!("..{version}"));
        let ends = self.ends.iter().map(|(epoch, seq)| Version { epoch: *epoch, seq: *seq }.to_string());
        f.write_str(&snapshot.into_iter().chain(ends).collect::<Vec<_>>().join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(epoch: u16, seq: u64) -> Version {
        Version { epoch, seq }
    }

    fn version() -> impl Strategy<Value = Version> {
        (0..4_u16, 1..6_u64).prop_map(|(epoch, seq)| at(epoch, seq))
    }

    fn reach() -> impl Strategy<Value = Reach> {
        let ends = proptest::collection::btree_map(0..4_u16, 1..6_u64, 1..4);
        (ends, proptest::option::of(version())).prop_map(|(ends, snapshot)| {
            let mut reach = Reach { snapshot: None, ends };
            if let Some(version) = snapshot.filter(|it| reach.end(it.epoch) <= it.seq) {
                reach.snapshot = Some(version);
                reach.take(version);
            }
            reach
        })
    }

    proptest! {
        #[test]
        fn what_is_stored_is_read_again(reach in reach()) {
            prop_assert_eq!(Reach::read(&reach.attribute(), reach.version()), Some(reach));
        }

        #[test]
        fn every_version_is_in_it_or_beyond_it(reach in reach(), version in version()) {
            let beyond = reach.beyond().iter().filter(|part| part.contains(&version)).count();
            prop_assert_eq!(beyond, usize::from(!reach.contains(version)));
        }

        #[test]
        fn the_next_one_is_no_longer_beyond(mut reach in reach(), version in version(), base in 0..6_u64) {
            if reach.follows(version, base) && !reach.contains(version) {
                let before = reach.clone();
                reach.take(version);
                prop_assert!(reach.contains(version) && reach.covers(&before) && !before.covers(&reach));
            }
        }
    }

    #[test]
    fn an_epoch_goes_on_from_what_an_earlier_one_has() {
        let mut reach = Reach::to(at(0, 5));
        for (version, base, follows) in [
            (at(0, 6), 0, true),
            (at(0, 7), 0, false),
            (at(1, 6), 5, true),
            (at(1, 7), 5, false),
            (at(1, 7), 6, false),
            (at(1, 1), 0, true),
        ] {
            assert_eq!(reach.follows(version, base), follows, "{version} after {base}");
        }
        reach.take(at(1, 6));
        assert!(reach.follows(at(0, 6), 0) && reach.follows(at(1, 7), 5) && reach.follows(at(2, 7), 6));
        assert_eq!(reach.to_string(), "0.5 1.6");
    }
}
