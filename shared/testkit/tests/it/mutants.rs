//! The law is broken by stores, consumers and folds that are wrong in the known ways.

use crate::samples::{products, stock};
use async_trait::async_trait;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use contracts::catalogue::ProductListed;
use contracts::inventory::StockAdjusted;
use contracts::{Envelope, Event};
use embedded::dynamodb::DynamoDb;
use projection::join::{Body, Dot, Put};
use projection::store::{Outcome, Store, StoreError, Stored, Written};
use projection::{Contribution, Key, Projection, Row};
use serde_json::json;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use testkit::law::{Law, logs, parts};
use testkit::log;

/// Refuses a change that is older than the last, as if changes were states.
struct HighWater {
    inner: Arc<dyn Store>,
    last: Mutex<HashMap<Key, u64>>,
}

impl HighWater {
    fn is_newest(&self, key: &Key, seq: u64) -> bool {
        let mut known = self.last.lock().expect("no test panics with it");
        let last = known.entry(key.clone()).or_default();
        let is_newest = seq > *last;
        *last = seq.max(*last);
        is_newest
    }
}

#[async_trait]
impl Store for HighWater {
    async fn put(&self, table: &str, put: &Put) -> Result<Written, StoreError> {
        self.inner.put(table, put).await
    }

    async fn add(&self, table: &str, dots: &[Dot]) -> Result<Written, StoreError> {
        let newest = dots.iter().map(|dot| dot.seq).max().unwrap_or(0);
        if !self.is_newest(&dots[0].key, newest) {
            return Ok(Written { outcomes: vec![Outcome::Stale(None); dots.len()], units: 1.0 });
        }
        self.inner.add(table, dots).await
    }

    async fn contribute(&self, table: &str, contributions: &[Contribution]) -> Result<Written, StoreError> {
        self.inner.contribute(table, contributions).await
    }

    async fn scan(&self, table: &str, after: Option<Key>) -> Result<(Vec<Stored>, Option<Key>), StoreError> {
        self.inner.scan(table, after).await
    }
}

/// Deletes an item instead of leaving a tombstone.
struct HardDelete {
    inner: Arc<dyn Store>,
    client: Client,
}

#[async_trait]
impl Store for HardDelete {
    async fn put(&self, table: &str, put: &Put) -> Result<Written, StoreError> {
        let written = self.inner.put(table, put).await?;
        if put.body == Body::Tombstone && written.outcomes == [Outcome::Applied] {
            let delete = self.client.delete_item().table_name(table);
            let delete = delete.key("pk", AttributeValue::S(put.key.pk.clone()));
            delete.key("sk", AttributeValue::S(put.key.sk.clone())).send().await.expect("a delete");
        }
        Ok(written)
    }

    async fn add(&self, table: &str, dots: &[Dot]) -> Result<Written, StoreError> {
        self.inner.add(table, dots).await
    }

    async fn contribute(&self, table: &str, contributions: &[Contribution]) -> Result<Written, StoreError> {
        self.inner.contribute(table, contributions).await
    }

    /// What a reader would not see doesn't count: an absent item for a tombstone is no difference in itself.
    async fn scan(&self, table: &str, after: Option<Key>) -> Result<(Vec<Stored>, Option<Key>), StoreError> {
        self.inner.scan(table, after).await
    }
}

#[test]
fn a_high_water_guard_on_changes_is_found() {
    let guarded = |inner| Arc::new(HighWater { inner, last: Mutex::default() }) as Arc<dyn Store>;
    let broken = Law::new(stock()).wrapping(guarded).check(&logs(&stock()).unwrap()).unwrap_err().0;
    assert!(broken.contains("doesn't hold the log's events once each"), "{broken}");
    assert!(broken.contains("LAW_SEED=1"), "{broken}");
}

#[test]
fn what_breaks_the_law_is_made_small() {
    let guarded = |inner| Arc::new(HighWater { inner, last: Mutex::default() }) as Arc<dyn Store>;
    let adjusted = |quantity| StockAdjusted { quantity, ..StockAdjusted::example() };
    let log = (1..=12).map(adjusted).fold(log(), |log, it| log.event(&it));
    let broken = Law::new(stock()).wrapping(guarded).check(&parts(&log)).unwrap_err().0;
    let shown = |pattern: &str| broken.lines().filter(|line| line.contains(pattern)).count();
    let (events, deliveries) = (shown("{\"sku\""), shown("Raw: "));
    assert_eq!(
        (events, deliveries),
        (2, 2),
        "the later one first is the smallest log that shows it:\n{broken}"
    );
}

#[test]
fn a_hard_delete_is_found() {
    let dynamodb = DynamoDb::in_memory().unwrap();
    let client = dynamodb.client();
    let deleting = move |inner| Arc::new(HardDelete { inner, client: client.clone() }) as Arc<dyn Store>;
    let law = Law::new(products()).on(dynamodb.client()).wrapping(deleting);
    let broken = law.check(&logs(&products()).unwrap()).unwrap_err().0;
    assert!(broken.contains("canonical"), "{broken}");
}

#[test]
fn a_fold_that_remembers_is_found() {
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    let leaking = Projection::new("leaking", 1).state(|event: &Envelope<ProductListed>| {
        let call = CALLS.fetch_add(1, Ordering::Relaxed);
        Row::new(Key::alone(&event.data.0.sku), &json!({ "call": call }))
    });
    let broken = Law::new(leaking.clone()).check(&logs(&leaking).unwrap()).unwrap_err().0;
    assert!(broken.contains("doesn't hold the log's events once each"), "{broken}");
}
