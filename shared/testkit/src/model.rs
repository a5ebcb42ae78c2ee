//! The joins in memory: what a table holds after a log, by their definition and nothing else.
//!
//! It shares no code with the store. For each item and source the greatest version wins, a tombstone like any other;
//! a total counts each version of its source once; a ledger counts the greatest version of each contributor;
//! changes that have an order are folded in it, those of each epoch from the first to the last before a gap.

use crate::content::{Content, Field, Fields, settle};
use contracts::{Header, Version};
use projection::fold::FoldError;
use projection::join::{Body, Dot, Join, Put};
use projection::{Contribution, Key, Projection, Step};
use rust_decimal::Decimal;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// An item, or one source's part of it.
type Slot = (Key, Option<&'static str>);

/// Changes by the version of their source: epoch and sequence number.
type Changes = BTreeMap<(u16, u64), Dot>;

/// The aggregate that an event tells of: domain and subject.
pub type Aggregate = (String, String);

/// The joins of a log, joined.
#[derive(Clone, Debug, Default)]
pub struct Model {
    puts: BTreeMap<Slot, (Put, Aggregate)>,
    dots: BTreeMap<Slot, (Changes, Aggregate)>,
    ledgers: BTreeMap<(String, String), (Contribution, Aggregate)>,
    steps: BTreeMap<Key, (BTreeMap<Version, Step>, Aggregate)>,
    /// What the steps come to.
    heads: BTreeMap<Key, (Version, serde_dynamo::Item)>,
}

/// What no store can make right: a projection, or a log, that no order of delivery gives one meaning.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Fault {
    /// The log holds what is not an envelope.
    #[error("the log holds what is no event: {0}")]
    NotAnEvent(String),
    /// The projection can't fold an event of the log.
    #[error("{event} can't be folded: {error}")]
    Unfoldable {
        /// The event.
        event: String,
        /// Why not.
        error: FoldError,
    },
    /// Two aggregates write one item, and their versions can't be compared.
    #[error(
        "{first:?} and {second:?} both write {item}: their versions don't compare. Give each domain a source of \
             its own, or each aggregate an item of its own"
    )]
    TwoWriters {
        /// What both write.
        item: String,
        /// One of them.
        first: Aggregate,
        /// The other.
        second: Aggregate,
    },
    /// A fold gives two joins for one item, of which one would be lost as a duplicate.
    #[error("{event} gives two joins for {item}: the second is lost as a duplicate. Make them one")]
    TwiceInOne {
        /// The event.
        event: String,
        /// What it writes twice.
        item: String,
    },
    /// A contributor no longer names a ledger, which keeps what was contributed before.
    #[error(
        "{event} doesn't name the ledger `{ledger}` that an earlier version of its aggregate named: what was \
             contributed stays. Name it with zero amounts"
    )]
    LedgerForgotten {
        /// The event.
        event: String,
        /// The ledger.
        ledger: String,
    },
    /// An item is written as a whole and in parts, or as a whole and added to.
    #[error("{0} is replaced as a whole by one fold and changed in part by another: give the row a source")]
    MixedItem(Key),
    /// The log holds two contents for one version of an aggregate.
    #[error("{event} comes twice in the log with different content")]
    Forked {
        /// The event.
        event: String,
    },
}

impl Model {
    /// What a log folds to, in its order.
    pub fn of(projection: &Projection, log: &[Value]) -> Result<Self, Fault> {
        let mut model = Self::default();
        for envelope in log {
            model.fold(projection, envelope)?;
        }
        model.in_order()?;
        model.mixed()?;
        Ok(model)
    }

    /// Folds the changes that have an order: each whose turn comes, in the order of versions.
    fn in_order(&mut self) -> Result<(), Fault> {
        for (key, (steps, _)) in &self.steps {
            let mut head: Option<(Version, serde_dynamo::Item)> = None;
            let known = steps.iter().map(|(version, step)| (*version, step.base));
            for step in with_turn(known).iter().filter_map(|version| steps.get(version)) {
                let view = step.next(head.as_ref().map(|(_, view)| view)).map_err(|error| {
                    let event = format!("{} of {} at version {}", step.domain, step.subject, step.version);
                    Fault::Unfoldable { event, error }
                })?;
                head = Some((step.version, view));
            }
            if let Some(head) = head {
                self.heads.insert(key.clone(), head);
            }
        }
        Ok(())
    }

    fn fold(&mut self, projection: &Projection, envelope: &Value) -> Result<(), Fault> {
        let text = envelope.to_string();
        let header: Header<'_> =
            serde_json::from_str(&text).map_err(|error| Fault::NotAnEvent(format!("{error}: {text}")))?;
        let event = || name(&header);
        let joins = projection.fold(&header).map_err(|error| Fault::Unfoldable { event: event(), error })?;
        let Some(joins) = joins else { return Ok(()) };
        let mut written: Vec<String> = Vec::new();
        for join in &joins {
            let item = target(join);
            if written.contains(&item) {
                return Err(Fault::TwiceInOne { event: event(), item });
            }
            written.push(item);
        }
        let is_contributor = joins.iter().any(|join| matches!(join, Join::Contribution(_)));
        let aggregate = (header.domain.to_string(), header.subject.to_string());
        for join in joins {
            self.join(join, &aggregate, &event())?;
        }
        if is_contributor || header.kind == contracts::Kind::State {
            self.remembered(&aggregate, header.version, &event())?;
        }
        Ok(())
    }

    fn join(&mut self, join: Join, aggregate: &Aggregate, event: &str) -> Result<(), Fault> {
        let item = target(&join);
        let sole = |first: &Aggregate| {
            if first == aggregate {
                return Ok(());
            }
            Err(Fault::TwoWriters { item: item.clone(), first: first.clone(), second: aggregate.clone() })
        };
        let forked = || Err(Fault::Forked { event: event.to_owned() });
        match join {
            Join::Put(put) => {
                let slot = (put.key.clone(), put.source);
                match self.puts.get(&slot) {
                    None => _ = self.puts.insert(slot, (put, aggregate.clone())),
                    Some((stored, writer)) => {
                        sole(writer)?;
                        if stored.version == put.version && stored.hash != put.hash {
                            return forked();
                        }
                        if stored.version < put.version {
                            self.puts.insert(slot, (put, aggregate.clone()));
                        }
                    }
                }
            }
            Join::Dot(dot) => {
                let slot = (dot.key.clone(), dot.source);
                let (dots, writer) =
                    self.dots.entry(slot).or_insert_with(|| (BTreeMap::new(), aggregate.clone()));
                sole(writer)?;
                match dots.get(&(dot.epoch, dot.seq)) {
                    Some(stored) if *stored != dot => return forked(),
                    _ => _ = dots.insert((dot.epoch, dot.seq), dot),
                }
            }
            Join::Contribution(new) => {
                let slot = (new.ledger.clone(), new.subject.clone());
                match self.ledgers.get(&slot) {
                    None => _ = self.ledgers.insert(slot, (new, aggregate.clone())),
                    Some((stored, writer)) => {
                        sole(writer)?;
                        if stored.version == new.version && stored.hash != new.hash {
                            return forked();
                        }
                        if stored.version < new.version {
                            self.ledgers.insert(slot, (new, aggregate.clone()));
                        }
                    }
                }
            }
            Join::Step(step) => {
                let (steps, writer) = self
                    .steps
                    .entry(step.key.clone())
                    .or_insert_with(|| (BTreeMap::new(), aggregate.clone()));
                sole(writer)?;
                match steps.get(&step.version) {
                    Some(stored) if stored.hash != step.hash => return forked(),
                    _ => _ = steps.insert(step.version, step),
                }
            }
        }
        Ok(())
    }

    /// Each ledger that an earlier version fed must have been named by this one.
    fn remembered(&self, aggregate: &Aggregate, version: Version, event: &str) -> Result<(), Fault> {
        let forgotten = self.ledgers.values().find(|(it, writer)| {
            let feeds =
                it.amounts.iter().flat_map(|amount| amount.add.values()).any(|value| !value.is_zero());
            writer == aggregate && it.version < version && feeds
        });
        match forgotten {
            None => Ok(()),
            Some((it, _)) => {
                Err(Fault::LedgerForgotten { event: event.to_owned(), ledger: it.ledger.clone() })
            }
        }
    }

    fn mixed(&self) -> Result<(), Fault> {
        for (key, source) in self.puts.keys() {
            if source.is_some() {
                continue;
            }
            let parts = self.puts.keys().chain(self.dots.keys()).filter(|it| it.0 == *key).count();
            let total = self.totals().contains_key(key);
            if parts > 1 || total {
                return Err(Fault::MixedItem(key.clone()));
            }
        }
        for key in self.steps.keys() {
            let parts = self.puts.keys().chain(self.dots.keys()).any(|it| it.0 == *key);
            if parts || self.totals().contains_key(key) {
                return Err(Fault::MixedItem(key.clone()));
            }
        }
        Ok(())
    }

    fn totals(&self) -> BTreeMap<Key, Fields> {
        let mut sums: BTreeMap<Key, BTreeMap<&'static str, Decimal>> = BTreeMap::new();
        let mut totals: BTreeMap<Key, Fields> = BTreeMap::new();
        for dot in self.dots.values().flat_map(|(dots, _)| dots.values()) {
            let sums = sums.entry(dot.key.clone()).or_default();
            dot.add.iter().for_each(|(name, value)| *sums.entry(name).or_default() += value);
        }
        for (contribution, _) in self.ledgers.values() {
            for amount in &contribution.amounts {
                let key = Key::new(&contribution.ledger, &amount.total);
                let fields = totals.entry(key.clone()).or_default();
                fields.extend(
                    amount.set.iter().map(|(name, value)| ((*name).to_owned(), Field::Text(value.clone()))),
                );
                let sums = sums.entry(key).or_default();
                amount.add.iter().for_each(|(name, value)| *sums.entry(name).or_default() += value);
            }
        }
        for (key, sums) in sums {
            let fields = totals.entry(key).or_default();
            fields.extend(sums.into_iter().map(|(name, value)| (name.to_owned(), Field::from(value))));
        }
        totals
    }

    /// The table in canonical form, as [`Content::of`] gives it for a store.
    pub fn content(&self) -> Content {
        let mut items = self.totals();
        for (put, _) in self.puts.values() {
            let fields = items.entry(put.key.clone()).or_default();
            let name = |attribute: &str| match put.source {
                None => attribute.to_owned(),
                Some(source) => format!("{attribute}_{source}"),
            };
            fields.insert(name("v"), version(put.version));
            match (&put.body, put.source) {
                (Body::Tombstone, _) => _ = fields.insert(name("d"), Field::Bool(true)),
                (Body::View(view), None) => fields.extend(fields_of(view)),
                (Body::View(view), Some(source)) => {
                    fields.insert(source.to_owned(), Field::Map(fields_of(view)));
                }
            }
        }
        for (key, (at, view)) in &self.heads {
            let fields = items.entry(key.clone()).or_default();
            fields.insert("v".to_owned(), version(*at));
            fields.extend(fields_of(view));
        }
        for fields in items.values_mut() {
            settle(fields);
        }
        for (it, _) in self.ledgers.values() {
            let amounts = it.amounts.iter().map(|amount| {
                let sums = amount.add.iter().map(|(name, value)| ((*name).to_owned(), Field::from(*value)));
                (amount.total.clone(), Field::Map(sums.collect()))
            });
            let child =
                [("v".to_owned(), version(it.version)), ("from".to_owned(), Field::Map(amounts.collect()))];
            items.insert(it.child(), child.into());
        }
        items.retain(|_, fields| !fields.is_empty());
        Content(items)
    }
}

/// Those of an aggregate's changes that come to their turn, each given with the last number before its epoch: a change
/// comes after the one before it in its epoch, the first of an epoch after one of that number in an earlier epoch.
pub(crate) fn with_turn(known: impl IntoIterator<Item = (Version, u64)>) -> BTreeSet<Version> {
    let known: BTreeMap<Version, u64> = known.into_iter().collect();
    let mut turns: BTreeSet<Version> = BTreeSet::new();
    for (version, base) in known {
        let before = version.seq - 1;
        let comes = match before {
            0 => true,
            _ if before == base => turns.iter().any(|it| it.epoch < version.epoch && it.seq == before),
            _ => turns.contains(&Version { seq: before, ..version }),
        };
        if comes {
            turns.insert(version);
        }
    }
    turns
}

fn version(version: Version) -> Field {
    Field::Number(version.packed().to_string())
}

fn fields_of(view: &serde_dynamo::Item) -> Fields {
    let attributes: std::collections::HashMap<String, aws_sdk_dynamodb::types::AttributeValue> =
        view.clone().into();
    attributes.iter().map(|(name, value)| (name.clone(), value.into())).collect()
}

/// What a join writes, for people.
pub(crate) fn target(join: &Join) -> String {
    let part = |key: &Key, source: Option<&str>| match source {
        None => format!("the item {key}"),
        Some(source) => format!("the part `{source}` of the item {key}"),
    };
    match join {
        Join::Put(put) => part(&put.key, put.source),
        Join::Dot(dot) => format!("the totals of {}", part(&dot.key, dot.source)),
        Join::Contribution(it) => format!("the contribution of {} to the ledger {}", it.subject, it.ledger),
        Join::Step(step) => format!("{}, in order,", part(&step.key, None)),
    }
}

fn name(header: &Header<'_>) -> String {
    format!("{}.{} of {} at version {}", header.domain, header.name, header.subject, header.version)
}
