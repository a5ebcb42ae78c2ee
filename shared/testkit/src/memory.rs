//! A store of projections in memory: the joins by their definition, and the limits of DynamoDB that a projection can
//! meet. It passes the conformance suite.
//!
//! Each join happens at once: what disturbs one is put in front of it, see [`crate::faults`].

mod ordered;
mod record;

use crate::memory::record::Counted;
use async_trait::async_trait;
use jiff::SignedDuration;
use projection::dynamodb::TOMBSTONE_HORIZON;
use projection::join::{Body, Contribution, Dot, Put};
use projection::store::{Ordered, Outcome, Store, StoreError, Stored, Written};
use projection::{Amount, Key};
use rust_decimal::Decimal;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use record::Record;

/// The largest item, in bytes.
const ITEM_BYTES: usize = 400 * 1024;

/// What a scan gives at once, in bytes.
const PAGE_BYTES: usize = 1024 * 1024;

/// The totals that one contribution may feed.
const TOTALS: usize = 99;

/// The time in a test, which passes only when it is told to.
#[derive(Clone, Debug, Default)]
pub struct Time(Arc<AtomicI64>);

impl Time {
    /// Lets hours pass.
    pub fn pass(&self, hours: i64) {
        self.0.fetch_add(hours, Ordering::Relaxed);
    }

    /// The hours that have passed.
    pub fn hours(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

type Items = BTreeMap<Key, Record>;

/// A store in memory. There is a table for each name that is written to.
#[derive(Debug)]
pub struct MemoryStore {
    tables: Mutex<BTreeMap<String, Items>>,
    time: Time,
    horizon: SignedDuration,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new(Time::default())
    }
}

impl MemoryStore {
    /// An empty store, whose tombstones go after [`TOMBSTONE_HORIZON`] by this time.
    pub fn new(time: Time) -> Self {
        Self { tables: Mutex::default(), time, horizon: TOMBSTONE_HORIZON }
    }

    /// Keeps tombstones for as long as this instead.
    #[must_use]
    pub fn tombstone_horizon(mut self, horizon: SignedDuration) -> Self {
        self.horizon = horizon;
        self
    }

    /// An item as it is kept; for stores that are wrong on purpose.
    pub fn record(&self, table: &str, key: &Key) -> Option<Record> {
        self.tables().get(table)?.get(key).cloned()
    }

    /// Puts an item in the place of another, or takes it away, whatever their versions; for stores that are wrong on
    /// purpose.
    pub fn overwrite(&self, table: &str, key: &Key, record: Option<Record>) {
        let mut tables = self.tables();
        let items = tables.entry(table.to_owned()).or_default();
        match record {
            Some(record) => _ = items.insert(key.clone(), record),
            None => _ = items.remove(key),
        }
    }

    fn tables(&self) -> MutexGuard<'_, BTreeMap<String, Items>> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a join finds at its key. An item whose time is over is gone.
    fn item<'a>(&self, items: &'a mut Items, key: &Key) -> &'a mut Record {
        let record = items.entry(key.clone()).or_default();
        if self.is_over(record) {
            *record = Record::default();
        }
        record
    }

    fn is_over(&self, record: &Record) -> bool {
        record.ended_at().is_some_and(|hour| hour + self.horizon.as_hours() < self.time.hours())
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn put(&self, table: &str, put: &Put) -> Result<Written, StoreError> {
        valid_key("PutItem", table, &put.key)?;
        let mut tables = self.tables();
        let items = tables.entry(table.to_owned()).or_default();
        let record = self.item(items, &put.key);
        if let Some(outcome) = record.compare(put.source, put.version, &put.hash) {
            return Ok(Written { outcomes: vec![outcome], units: 1.0 });
        }
        let mut changed = record.clone();
        changed.put(put, self.time.hours());
        let units = fitting("PutItem", table, &put.key, &changed)?;
        *record = changed;
        Ok(Written { outcomes: vec![Outcome::Applied], units })
    }

    async fn add(&self, table: &str, dots: &[Dot]) -> Result<Written, StoreError> {
        let Some(first) = dots.first() else { return Ok(Written { outcomes: Vec::new(), units: 0.0 }) };
        valid_key("UpdateItem", table, &first.key)?;
        let mut tables = self.tables();
        let items = tables.entry(table.to_owned()).or_default();
        let record = self.item(items, &first.key);
        let mut changed = record.clone();
        let outcomes: Vec<Outcome> = dots.iter().map(|dot| changed.count(dot)).collect();
        let is_changed = outcomes.contains(&Outcome::Applied);
        let units = if is_changed { fitting("UpdateItem", table, &first.key, &changed)? } else { 1.0 };
        *record = changed;
        Ok(Written { outcomes, units })
    }

    async fn contribute(&self, table: &str, contributions: &[Contribution]) -> Result<Written, StoreError> {
        let mut tables = self.tables();
        let items = tables.entry(table.to_owned()).or_default();
        let mut written = Written { outcomes: Vec::with_capacity(contributions.len()), units: 0.0 };
        let mut touched = BTreeSet::new();
        for new in contributions {
            let child = new.child();
            valid_key("TransactWriteItems", table, &child)?;
            let totals: BTreeSet<&str> = new.amounts.iter().map(|it| it.total.as_str()).collect();
            if totals.len() > TOTALS {
                let reason = format!("one contribution feeds more than {TOTALS} totals");
                return Err(refused("TransactWriteItems", table, reason));
            }
            let record = self.item(items, &child);
            if let Some(outcome) = record.compare(None, new.version, &new.hash) {
                written.units += 2.0;
                written.outcomes.push(outcome);
                continue;
            }
            let before = record.contribute(new);
            touched.insert(child);
            for (key, counted) in differences(new, &before) {
                items.entry(key.clone()).or_default().add(&counted);
                touched.insert(key);
            }
            written.outcomes.push(Outcome::Applied);
        }
        written.units += 2.0 * units(touched.len());
        Ok(written)
    }

    async fn scan(&self, table: &str, after: Option<Key>) -> Result<(Vec<Stored>, Option<Key>), StoreError> {
        let tables = self.tables();
        let Some(items) = tables.get(table) else { return Ok((Vec::new(), None)) };
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut page = Vec::new();
        let mut bytes = 0;
        for (key, record) in items.range((from, Bound::Unbounded)) {
            if record.is_empty() || self.is_over(record) {
                continue;
            }
            bytes += record.bytes();
            page.push((key.clone(), record.item(key)));
            if bytes > PAGE_BYTES {
                return Ok((page, Some(key.clone())));
            }
        }
        Ok((page, None))
    }

    fn ordered(&self) -> &dyn Ordered {
        self
    }
}

/// What a contribution changes of each total that it feeds, or fed before. A total that stays as it is isn't touched.
fn differences(new: &Contribution, before: &[Amount]) -> BTreeMap<Key, Counted> {
    let mut totals: BTreeMap<Key, Counted> = BTreeMap::new();
    let mut feed = |amounts: &[Amount], sign: Decimal| {
        for amount in amounts {
            let total = totals.entry(Key::new(&new.ledger, &amount.total)).or_default();
            if sign.is_sign_positive() {
                total.set.extend(amount.set.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
            }
            for (name, value) in &amount.add {
                *total.add.entry((*name).to_owned()).or_default() += *value * sign;
            }
        }
    };
    feed(&new.amounts, Decimal::ONE);
    feed(before, Decimal::NEGATIVE_ONE);
    for counted in totals.values_mut() {
        counted.add.retain(|_, value| !value.is_zero());
    }
    totals.retain(|_, counted| !counted.add.is_empty());
    totals
}

fn valid_key(operation: &'static str, table: &str, key: &Key) -> Result<(), StoreError> {
    let fits = |text: &str, most: usize| !text.is_empty() && text.len() <= most;
    if fits(&key.pk, 2048) && fits(&key.sk, 1024) {
        return Ok(());
    }
    Err(refused(operation, table, "a key is empty or too long".to_owned()))
}

/// What it costs to write an item, if it may be that large.
fn fitting(operation: &'static str, table: &str, key: &Key, record: &Record) -> Result<f64, StoreError> {
    let bytes = record.bytes() + key.pk.len() + key.sk.len();
    if bytes > ITEM_BYTES {
        return Err(refused(operation, table, "Item size has exceeded the maximum allowed size".to_owned()));
    }
    Ok(units(bytes.div_ceil(1024).max(1)))
}

fn units(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

fn refused(operation: &'static str, table: &str, reason: String) -> StoreError {
    StoreError::Refused { operation, table: table.to_owned(), reason }
}

/// What a body says of an item, where it says anything.
fn view(body: &Body) -> Option<&serde_dynamo::Item> {
    match body {
        Body::View(view) => Some(view),
        Body::Tombstone => None,
    }
}
