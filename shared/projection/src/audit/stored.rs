//! What a projection holds.

use super::expected::Dots;
use super::{Drift, Part, content};
use crate::join::{Contribution, is_reserved};
use crate::key::Key;
use crate::reach::Reach;
use crate::store::{Head, Store, StoreError};
use aws_sdk_dynamodb::types::AttributeValue;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Into how many buckets a digest is cut.
pub const BUCKETS: usize = 256;

type Attributes = HashMap<String, AttributeValue>;
type Sums = BTreeMap<String, Decimal>;

/// Is told each part: its name, its item, its source, what it is, and how far it has come, where it is folded in order.
type Tell<'a> = dyn FnMut(u128, &Key, Option<&str>, Part, Option<Reach>) + Send + 'a;

/// A digest of a table by buckets: two tables hold the same if all of their buckets are equal. What is kept for the
/// joins alone (digests of events, times to live, remembered sequence numbers) doesn't count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    /// A number for each bucket: the sum over its parts, so that their order doesn't count.
    pub buckets: Vec<u64>,
    /// How many parts there are.
    pub parts: u64,
}

impl Digest {
    /// The buckets in which two tables differ.
    pub fn differing(&self, other: &Self) -> Vec<usize> {
        let both = self.buckets.iter().zip(&other.buckets).enumerate();
        both.filter(|(_, (a, b))| a != b).map(|(bucket, _)| bucket).collect()
    }
}

/// The digest of a table, read consistently from its beginning to its end.
pub async fn digest(store: &dyn Store, table: &str) -> Result<Digest, StoreError> {
    let mut digest = Digest { buckets: vec![0; BUCKETS], parts: 0 };
    let mut add = |name: u128, version: u64, content: u64| {
        let bucket = usize::try_from(name % BUCKETS as u128).unwrap_or(0);
        let [high, low] = halves(name);
        let mixed = [high, low, version, content].into_iter().fold(0, mix);
        digest.buckets[bucket] = digest.buckets[bucket].wrapping_add(mixed);
        digest.parts += 1;
    };
    let stored =
        Stored::read(store, table, &mut |name, _, _, part, _| add(name, part.version, part.digest)).await?;
    for (key, sums) in &stored.totals {
        let sums = sums.iter().filter(|(_, value)| !value.is_zero());
        let fields: Attributes =
            sums.map(|(name, value)| (name.clone(), AttributeValue::N(value.to_string()))).collect();
        if !fields.is_empty() {
            add(content::name(key, Some("+")), 0, content::of_part(&fields));
        }
    }
    Ok(digest)
}

#[expect(clippy::cast_possible_truncation, reason = "each takes its half of the bits")]
fn halves(name: u128) -> [u64; 2] {
    [(name >> 64) as u64, name as u64]
}

/// Stirs a number into a hash (the finalizer of the generator called `SplitMix64`).
fn mix(hash: u64, value: u64) -> u64 {
    let mut z = (hash ^ value).wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A table that was read.
#[derive(Default)]
pub(super) struct Stored {
    /// Numbers that are added to.
    pub totals: BTreeMap<Key, Sums>,
    /// What contributors say that the totals should be.
    contributed: BTreeMap<Key, Sums>,
    /// Which changes were counted: all to a number, and some beyond it.
    counted: BTreeMap<(Key, String), (u64, BTreeSet<u64>)>,
}

impl Stored {
    /// Reads a whole table, and tells each part of it.
    pub async fn read(store: &dyn Store, table: &str, tell: &mut Tell<'_>) -> Result<Self, StoreError> {
        let mut stored = Self::default();
        let mut after = None;
        loop {
            let (items, next) = store.scan(table, after).await?;
            for (key, item) in items {
                stored.item(&key, &item.into(), tell);
            }
            if next.is_none() {
                return Ok(stored);
            }
            after = next;
        }
    }

    fn item(&mut self, key: &Key, item: &Attributes, tell: &mut Tell<'_>) {
        let mut part = |source: Option<&str>, version: u64, digest: u64| {
            let part = Part { version, digest, event: None, ended: None };
            tell(content::name(key, source), key, source, part, None);
        };
        let flag = |name: &str| item.get(name).and_then(|it| it.as_bool().ok()).copied().unwrap_or(false);
        if key.sk.starts_with(Contribution::CHILD) {
            let empty = Attributes::new();
            let from = item.get("from").and_then(|it| it.as_m().ok()).unwrap_or(&empty);
            part(None, integer(item, "v").unwrap_or(0), content::of_part(from));
            self.contribute(key, from);
            return;
        }
        if item.contains_key("waits") {
            // An event that is kept beside an item, or the item's base.
            return;
        }
        if let Some(head) = Head::read(serde_dynamo::Item::from(item.clone()).into_inner()) {
            let event = Some(if head.hash.is_empty() { 0 } else { content::of_event(&head.hash) });
            let (version, digest) = (head.version().packed(), content::of_view(item));
            let part = Part { version, digest, event, ended: None };
            tell(content::name(key, None), key, None, part, Some(head.reach));
            return;
        }
        if let Some(version) = integer(item, "v") {
            let digest = if flag("d") { content::TOMBSTONE } else { content::of_view(item) };
            part(None, version, digest);
            return;
        }
        for (name, value) in item {
            if let Some(source) = name.strip_prefix("v_") {
                let body = item.get(source).and_then(|it| it.as_m().ok());
                let digest = match body {
                    Some(body) if !flag(&format!("d_{source}")) => content::of_part(body),
                    _ => content::TOMBSTONE,
                };
                part(Some(source), integer(item, name).unwrap_or(0), digest);
            } else if let Some(set) = counter(name) {
                let upto = integer(item, &format!("upto{set}")).unwrap_or(0);
                let applied = item.get(&format!("applied{set}")).and_then(|it| it.as_ns().ok());
                let applied = applied.into_iter().flatten().filter_map(|it| it.parse().ok()).collect();
                self.counted.insert((key.clone(), set.to_owned()), (upto, applied));
            } else if let Some(value) = decimal(value)
                && !is_reserved(name)
            {
                self.totals.entry(key.clone()).or_default().insert(name.clone(), value);
            }
        }
    }

    fn contribute(&mut self, child: &Key, from: &Attributes) {
        for (total, sums) in from {
            let key = Key::new(&child.pk, total);
            let total = self.contributed.entry(key).or_default();
            for (name, value) in sums.as_m().ok().into_iter().flatten() {
                if let Some(value) = decimal(value) {
                    *total.entry(name.clone()).or_default() += value;
                }
            }
        }
    }

    /// Compares each total with what it is made of.
    pub fn count(&self, dots: &Dots, found: &mut dyn FnMut(Drift, &Key, Option<&str>)) {
        let mut expected = self.contributed.clone();
        let mut unsure: BTreeSet<&Key> = BTreeSet::new();
        for ((key, set), changes) in dots {
            let counted = changes.iter().filter(|(seq, _)| self.counts(key, set, **seq));
            let total = expected.entry(key.clone()).or_default();
            for (name, value) in counted.flat_map(|(_, dot)| &dot.add) {
                *total.entry((*name).to_owned()).or_default() += value;
            }
        }
        // A total that has counted what the sources didn't say when they were read can't be told yet.
        for ((key, set), (upto, applied)) in &self.counted {
            let known = dots.get(&(key.clone(), set.clone()));
            let newest = known.and_then(|changes| changes.keys().next_back()).copied().unwrap_or(0);
            if applied.last().copied().unwrap_or(0).max(*upto) > newest {
                unsure.insert(key);
            }
        }
        let keys: BTreeSet<&Key> = self.totals.keys().chain(expected.keys()).collect();
        let none = Sums::new();
        for key in keys.into_iter().filter(|key| !unsure.contains(key)) {
            let (is, should_be) = (self.totals.get(key).unwrap_or(&none), expected.get(key).unwrap_or(&none));
            let names: BTreeSet<&String> = is.keys().chain(should_be.keys()).collect();
            for name in names {
                let value = |sums: &Sums| sums.get(name).copied().unwrap_or_default().normalize();
                let (stored, expected) = (value(is), value(should_be));
                if stored != expected {
                    found(Drift::Miscounted { attribute: name.clone(), stored, expected }, key, None);
                }
            }
        }
    }

    /// The changes that were not counted.
    pub fn missing(&self, dots: &Dots, within: &dyn Fn(u128) -> bool) -> BTreeSet<(Key, String, u64)> {
        let mut missing = BTreeSet::new();
        for ((key, set), changes) in dots {
            if within(content::name(key, Some(set))) {
                let uncounted = changes.keys().filter(|seq| !self.counts(key, set, **seq));
                missing.extend(uncounted.map(|seq| (key.clone(), set.clone(), *seq)));
            }
        }
        missing
    }

    fn counts(&self, key: &Key, set: &str, seq: u64) -> bool {
        let counted = self.counted.get(&(key.clone(), set.to_owned()));
        counted.is_some_and(|(upto, applied)| seq <= *upto || applied.contains(&seq))
    }
}

/// What follows `applied` or `upto` in the name of an attribute that remembers which changes were counted.
fn counter(name: &str) -> Option<&str> {
    let rest = name.strip_prefix("applied").or_else(|| name.strip_prefix("upto"))?;
    (rest.is_empty() || rest.starts_with('_')).then_some(rest)
}

fn integer(item: &Attributes, name: &str) -> Option<u64> {
    item.get(name)?.as_n().ok()?.parse().ok()
}

fn decimal(value: &AttributeValue) -> Option<Decimal> {
    let text = value.as_n().ok()?;
    text.parse().or_else(|_| Decimal::from_scientific(text)).ok()
}
