//! An item as the store in memory keeps it: by join, not by attribute.

use super::view;
use contracts::Version;
use projection::join::{Body, Contribution, Dot, Put};
use projection::store::{Head, Outcome, Waiting};
use projection::{Amount, Key};
use rust_decimal::Decimal;
use serde_dynamo::{AttributeValue, Item};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// An item.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Record {
    /// What each source says; no source where the item belongs to one.
    parts: BTreeMap<Option<&'static str>, Part>,
    totals: Counted,
    /// Which changes were counted, by set.
    seen: BTreeMap<String, Seen>,
    /// What an aggregate contributes, where the item is a ledger's child.
    contributes: Option<Vec<Amount>>,
    /// Where it is folded in order: what it came to.
    pub(super) head: Option<Head>,
    /// A change that is kept beside an item.
    pub(super) waits: Option<Waiting>,
    /// Where it is the base of an item, what that was.
    pub(super) base: Option<Head>,
}

/// The greatest version of a source, and what it is at that version.
#[derive(Clone, Debug, PartialEq)]
struct Part {
    version: Version,
    hash: String,
    body: Body,
    /// When it was written, in hours.
    hour: i64,
}

/// Sums by attribute, and the attributes that follow from the total's key.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Counted {
    pub(super) add: BTreeMap<String, Decimal>,
    pub(super) set: BTreeMap<String, String>,
}

/// Sequence numbers: all to `upto`, and some beyond.
#[derive(Clone, Debug, Default, PartialEq)]
struct Seen {
    upto: u64,
    beyond: BTreeSet<u64>,
}

impl Record {
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// When it came to its end, where it did.
    pub(super) fn ended_at(&self) -> Option<i64> {
        let whole = self.parts.get(&None)?;
        (whole.body == Body::Tombstone).then_some(whole.hour)
    }

    /// What comes of a version, unless it is newer than what is stored.
    pub(super) fn compare(
        &self,
        source: Option<&'static str>,
        version: Version,
        hash: &str,
    ) -> Option<Outcome> {
        let stored = self.parts.get(&source)?;
        match stored.version.cmp(&version) {
            std::cmp::Ordering::Greater => Some(Outcome::Stale(Some(stored.version))),
            std::cmp::Ordering::Equal if stored.hash == hash => Some(Outcome::Duplicate),
            std::cmp::Ordering::Equal => Some(Outcome::Forked),
            std::cmp::Ordering::Less => None,
        }
    }

    /// Writes a newer version: the whole item, or one source's part of it.
    pub(super) fn put(&mut self, put: &Put, hour: i64) {
        if put.source.is_none() {
            *self = Self::default();
        }
        let part = Part { version: put.version, hash: put.hash.clone(), body: put.body.clone(), hour };
        self.parts.insert(put.source, part);
    }

    /// Counts a change, unless it was counted.
    pub(super) fn count(&mut self, dot: &Dot) -> Outcome {
        let first = || Seen { upto: dot.base, beyond: BTreeSet::new() };
        let seen = self.seen.entry(dot.set()).or_insert_with(first);
        if dot.seq <= seen.upto || !seen.beyond.insert(dot.seq) {
            return Outcome::Duplicate;
        }
        while seen.beyond.remove(&(seen.upto + 1)) {
            seen.upto += 1;
        }
        for (name, value) in &dot.add {
            *self.totals.add.entry((*name).to_owned()).or_default() += value;
        }
        Outcome::Applied
    }

    /// Remembers what an aggregate contributes now; gives what it contributed before.
    pub(super) fn contribute(&mut self, new: &Contribution) -> Vec<Amount> {
        let body = Body::View(HashMap::<String, AttributeValue>::new().into());
        let part = Part { version: new.version, hash: new.hash.clone(), body, hour: 0 };
        self.parts.insert(None, part);
        self.contributes.replace(new.amounts.clone()).unwrap_or_default()
    }

    pub(super) fn add(&mut self, difference: &Counted) {
        for (name, value) in &difference.add {
            *self.totals.add.entry(name.clone()).or_default() += value;
        }
        self.totals.set.extend(difference.set.iter().map(|(name, value)| (name.clone(), value.clone())));
    }

    /// About how large it is.
    pub(super) fn bytes(&self) -> usize {
        let part = |part: &Part| view(&part.body).map_or(0, |it| fields(it.inner())) + part.hash.len() + 24;
        let parts: usize = self.parts.values().map(part).sum();
        let seen: usize = self.seen.values().map(|seen| 16 + 6 * seen.beyond.len()).sum();
        let amount = |it: &Amount| it.total.len() + it.add.keys().map(|name| name.len() + 12).sum::<usize>();
        let contributes: usize = self.contributes.iter().flatten().map(amount).sum();
        let totals: usize = self.totals.add.keys().map(|name| name.len() + 12).sum();
        let set: usize = self.totals.set.iter().map(|(name, value)| name.len() + value.len()).sum();
        let heads = self.head.iter().chain(&self.base);
        let head: usize = heads.map(|it| fields(it.view.inner()) + it.hash.len() + it.early.len() + 40).sum();
        let waits = self.waits.as_ref().map_or(0, |it| it.event.len() + it.hash.len() + 60);
        parts + seen + contributes + totals + set + head + waits
    }

    /// The item as a store in DynamoDB writes it.
    pub(super) fn item(&self, key: &Key) -> Item {
        let mut item = HashMap::from([
            ("pk".to_owned(), AttributeValue::S(key.pk.clone())),
            ("sk".to_owned(), AttributeValue::S(key.sk.clone())),
        ]);
        for (source, part) in &self.parts {
            part.write(*source, &mut item);
        }
        for (set, seen) in &self.seen {
            if seen.upto > 0 {
                item.insert(format!("upto{set}"), number(&seen.upto));
            }
            if !seen.beyond.is_empty() {
                let numbers = seen.beyond.iter().map(ToString::to_string).collect();
                item.insert(format!("applied{set}"), AttributeValue::Ns(numbers));
            }
        }
        item.extend(self.totals.add.iter().map(|(name, value)| (name.clone(), number(value))));
        item.extend(
            self.totals.set.iter().map(|(name, value)| (name.clone(), AttributeValue::S(value.clone()))),
        );
        if let Some(amounts) = &self.contributes {
            let from = amounts.iter().map(|amount| {
                let sums = amount.add.iter().map(|(name, value)| ((*name).to_owned(), number(value)));
                (amount.total.clone(), AttributeValue::M(sums.collect()))
            });
            item.insert("from".to_owned(), AttributeValue::M(from.collect()));
        }
        item.extend(self.head.iter().flat_map(Head::attributes));
        if let Some(waiting) = &self.waits {
            item.insert("waits".to_owned(), waits(waiting));
        }
        if let Some(base) = &self.base {
            item.insert("waits".to_owned(), AttributeValue::M(base.attributes()));
        }
        item.into()
    }
}

impl Part {
    fn write(&self, source: Option<&'static str>, item: &mut HashMap<String, AttributeValue>) {
        item.insert(of(source, "v"), number(&self.version.packed()));
        item.insert(of(source, "h"), AttributeValue::S(self.hash.clone()));
        match (view(&self.body), source) {
            (Some(view), None) => {
                item.extend(view.inner().iter().map(|(name, value)| (name.clone(), value.clone())));
            }
            (Some(view), Some(source)) => {
                item.insert(source.to_owned(), AttributeValue::M(view.inner().clone()));
            }
            (None, _) => {
                item.insert(of(source, "d"), AttributeValue::Bool(true));
                if source.is_none() {
                    item.insert("ttl".to_owned(), number(&(self.hour * 3600)));
                }
            }
        }
    }
}

fn waits(waiting: &Waiting) -> AttributeValue {
    let Waiting { version, base, hash, event, parked } = waiting;
    AttributeValue::M(HashMap::from([
        ("epoch".to_owned(), number(&version.epoch)),
        ("seq".to_owned(), number(&version.seq)),
        ("base".to_owned(), number(base)),
        ("hash".to_owned(), AttributeValue::S(hash.clone())),
        ("event".to_owned(), AttributeValue::S(event.clone())),
        ("parked".to_owned(), AttributeValue::Bool(*parked)),
    ]))
}

/// An attribute of the joins, of one source where there are several.
fn of(source: Option<&str>, attribute: &str) -> String {
    match source {
        None => attribute.to_owned(),
        Some(source) => format!("{attribute}_{source}"),
    }
}

fn number(value: &impl ToString) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

fn fields(item: &HashMap<String, AttributeValue>) -> usize {
    item.iter().map(|(name, value)| name.len() + size(value)).sum()
}

fn size(value: &AttributeValue) -> usize {
    match value {
        AttributeValue::N(text) => text.len() / 2 + 1,
        AttributeValue::S(text) => text.len(),
        AttributeValue::Bool(_) | AttributeValue::Null(_) => 1,
        AttributeValue::B(bytes) => bytes.len(),
        AttributeValue::M(fields_of) => 3 + fields(fields_of),
        AttributeValue::L(items) => 3 + items.iter().map(|it| size(it) + 1).sum::<usize>(),
        AttributeValue::Ss(texts) | AttributeValue::Ns(texts) => texts.iter().map(String::len).sum(),
        AttributeValue::Bs(all) => all.iter().map(Vec::len).sum(),
    }
}
