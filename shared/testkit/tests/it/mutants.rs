//! The law is broken by stores, consumers, folds and rebuilds that are wrong in the known ways, and its report says
//! how.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use crate::samples::{balances, products, sales, stock};
use async_trait::async_trait;
use contracts::catalogue::ProductListed;
use contracts::inventory::StockAdjusted;
use contracts::{Envelope, Event, Version};
use jiff::SignedDuration;
use projection::consumer::{ConsumeError, Consumer, Report};
use projection::delivery::take_apart;
use projection::join::{Body, Dot, Put};
use projection::store::{Head, Ordered, Outcome, Store, StoreError, Stored, Waiting, Written};
use projection::{Contribution, Key, Projection, Row, decode};
use serde_json::json;
use std::collections::{BTreeSet, HashMap};
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use testkit::law::{Container, Law, Rebuilding, logs, parts};
use testkit::memory::{MemoryStore, Record, Time};
use testkit::{delivery, log};

/// A law with trials enough to find what is wrong.
fn law(projection: Projection) -> Law {
    Law::new(projection).cases(200)
}

fn broken(law: &Law, projection: &Projection) -> String {
    law.check(&logs(projection).unwrap()).unwrap_err().0
}

#[track_caller]
fn tells(story: &str, parts: &[&str]) {
    for part in parts.iter().chain(&["to see it again: LAW_SEED="]) {
        assert!(story.contains(part), "`{part}` isn't told:\n{story}");
    }
}

/// Refuses a change that is older than the last, as if changes were states.
struct HighWater {
    inner: Arc<dyn Store>,
    last: Mutex<HashMap<(String, Key), u64>>,
}

impl HighWater {
    fn around(inner: Arc<dyn Store>) -> Arc<dyn Store> {
        Arc::new(Self { inner, last: Mutex::default() })
    }

    fn is_newest(&self, table: &str, key: &Key, seq: u64) -> bool {
        let mut known = self.last.lock().expect("no test panics with it");
        let last = known.entry((table.to_owned(), key.clone())).or_default();
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
        if !self.is_newest(table, &dots[0].key, newest) {
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

    fn ordered(&self) -> &dyn Ordered {
        self.inner.ordered()
    }
}

#[test]
fn a_high_water_guard_on_changes_is_found() {
    let story = broken(&law(stock()).wrapping(HighWater::around), &stock());
    tells(&story, &["doesn't hold the log's events once each", "isn't counted in `on_hand`", "acknowledged"]);
}

#[test]
fn what_breaks_the_law_is_made_small() {
    let adjusted = |quantity| StockAdjusted { quantity, ..StockAdjusted::example() };
    let log = (1..=12).map(adjusted).fold(log(), |log, it| log.event(&it));
    let law = law(stock()).wrapping(HighWater::around).without_faults();
    let story = law.check(&parts(&log)).unwrap_err().0;
    let shown = |pattern: &str| story.lines().filter(|line| line.contains(pattern)).count();
    assert_eq!(shown("{\"sku\""), 2, "the later one first is the smallest log that shows it:\n{story}");
    assert_eq!(shown("    #"), 2, "two deliveries show it:\n{story}");
}

#[test]
fn a_failure_is_the_same_each_time_and_can_be_seen_alone() {
    let guarded = || law(stock()).wrapping(HighWater::around);
    let (once, twice) = (broken(&guarded(), &stock()), broken(&guarded(), &stock()));
    assert_eq!(once, twice);
    let seed = once.split("LAW_SEED=").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
    assert_eq!(broken(&guarded().seed(seed.parse().unwrap()).cases(1), &stock()), once);
}

/// Deletes an item instead of leaving a tombstone.
struct HardDelete(MemoryStore);

#[async_trait]
impl Store for HardDelete {
    async fn put(&self, table: &str, put: &Put) -> Result<Written, StoreError> {
        let written = self.0.put(table, put).await?;
        if put.body == Body::Tombstone && written.outcomes == [Outcome::Applied] {
            self.0.overwrite(table, &put.key, None);
        }
        Ok(written)
    }

    async fn add(&self, table: &str, dots: &[Dot]) -> Result<Written, StoreError> {
        self.0.add(table, dots).await
    }

    async fn contribute(&self, table: &str, contributions: &[Contribution]) -> Result<Written, StoreError> {
        self.0.contribute(table, contributions).await
    }

    async fn scan(&self, table: &str, after: Option<Key>) -> Result<(Vec<Stored>, Option<Key>), StoreError> {
        self.0.scan(table, after).await
    }

    fn ordered(&self) -> &dyn Ordered {
        self.0.ordered()
    }
}

#[test]
fn a_hard_delete_is_found() {
    let law = law(products()).stores(|time, regions| {
        (0..regions).map(|_| Arc::new(HardDelete(MemoryStore::new(time.clone()))) as _).collect()
    });
    let story = broken(&law, &products());
    tells(&story, &["the tombstone of #", "is gone: what comes late brings the item back"]);
}

#[test]
fn a_tombstone_that_goes_before_the_last_redelivery_is_found() {
    let keeping = |horizon: i64| {
        law(products()).cases(300).stores(move |time, regions| {
            let store =
                || MemoryStore::new(time.clone()).tombstone_horizon(SignedDuration::from_hours(horizon));
            (0..regions).map(|_| Arc::new(store()) as _).collect()
        })
    };
    let story = broken(&keeping(14 * 24), &products());
    tells(&story, &["hours pass", "canonical: {\"d\": true"]);
    keeping(42 * 24).check(&logs(&products()).unwrap()).expect("the horizon is long enough");
}

#[test]
fn a_rebuild_that_scans_before_it_subscribes_is_found() {
    for projection in [products(), stock(), sales(), balances()] {
        let law = law(projection.clone()).rebuilding(Rebuilding::ScanFirst).without_faults();
        let story = broken(&law, &projection);
        tells(
            &story,
            &[
                "readers are about to be given a shadow that doesn't hold what has arrived",
                "wasn't in the archive yet when that was read",
                "it arrived in the region",
                "the shadow's queue was subscribed",
                "it never came there",
            ],
        );
    }
}

/// One region's replica of a table that both regions write to: conditions are checked here, and what is written
/// here is copied over there later, over what stands there if that was written before.
struct Replica {
    own: Arc<Stamped>,
    other: Arc<Stamped>,
    clock: Arc<AtomicUsize>,
    outgoing: Mutex<Vec<(String, Key, usize, Record)>>,
}

/// A store, and when each of its items was written last.
#[derive(Default)]
struct Stamped {
    store: MemoryStore,
    at: Mutex<HashMap<(String, Key), usize>>,
}

impl Replica {
    fn pair(regions: usize) -> Vec<Arc<dyn Store>> {
        let stores: [Arc<Stamped>; 2] = Default::default();
        let clock = Arc::new(AtomicUsize::new(0));
        let replica = |region: usize| -> Arc<dyn Store> {
            let (own, other) = (Arc::clone(&stores[region]), Arc::clone(&stores[1 - region]));
            Arc::new(Self { own, other, clock: Arc::clone(&clock), outgoing: Mutex::default() })
        };
        (0..regions).map(replica).collect()
    }

    /// Copies what was written here before.
    fn replicate(&self) {
        for (table, key, at, record) in std::mem::take(&mut *self.outgoing.lock().unwrap()) {
            let mut known = self.other.at.lock().unwrap();
            let last = known.entry((table.clone(), key.clone())).or_default();
            if at > *last {
                *last = at;
                self.other.store.overwrite(&table, &key, Some(record));
            }
        }
    }

    fn wrote(&self, table: &str, key: &Key) {
        let at = self.clock.fetch_add(1, Ordering::Relaxed) + 1;
        self.own.at.lock().unwrap().insert((table.to_owned(), key.clone()), at);
        if let Some(record) = self.own.store.record(table, key) {
            self.outgoing.lock().unwrap().push((table.to_owned(), key.clone(), at, record));
        }
    }
}

#[async_trait]
impl Store for Replica {
    async fn put(&self, table: &str, put: &Put) -> Result<Written, StoreError> {
        self.replicate();
        let written = self.own.store.put(table, put).await?;
        if written.outcomes.contains(&Outcome::Applied) {
            self.wrote(table, &put.key);
        }
        Ok(written)
    }

    async fn add(&self, table: &str, dots: &[Dot]) -> Result<Written, StoreError> {
        self.replicate();
        let written = self.own.store.add(table, dots).await?;
        if written.outcomes.contains(&Outcome::Applied) {
            self.wrote(table, &dots[0].key);
        }
        Ok(written)
    }

    async fn contribute(&self, table: &str, all: &[Contribution]) -> Result<Written, StoreError> {
        self.replicate();
        let written = self.own.store.contribute(table, all).await?;
        for (it, _) in all.iter().zip(&written.outcomes).filter(|(_, outcome)| **outcome == Outcome::Applied)
        {
            self.wrote(table, &it.child());
            it.amounts.iter().for_each(|amount| self.wrote(table, &Key::new(&it.ledger, &amount.total)));
        }
        Ok(written)
    }

    async fn scan(&self, table: &str, after: Option<Key>) -> Result<(Vec<Stored>, Option<Key>), StoreError> {
        self.replicate();
        self.own.store.scan(table, after).await
    }

    fn ordered(&self) -> &dyn Ordered {
        self.own.store.ordered()
    }
}

#[test]
fn one_table_for_two_regions_is_found() {
    for projection in [stock(), sales()] {
        let law = law(projection.clone()).cases(400).without_faults();
        let law = law.stores(|_: &Time, regions| Replica::pair(regions));
        tells(&broken(&law, &projection), &["in region 1", "counted"]);
    }
}

/// How changes in order can be brought in wrongly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrong {
    /// What an earlier epoch accepted comes in after what a later one did, where it comes late.
    BaseIsNow,
    /// What was written is not followed by a look at what waits.
    NoLookAfterwards,
    /// What waits is acknowledged, and not stored.
    NotKept,
    /// The item is replaced, whatever became of it since it was read.
    NoCondition,
    /// The item is replaced where it has come as far as it was read, whatever waits in it.
    NothingInside,
    /// Nothing: but at times the store has no room for what waits in an item.
    NoRoom,
}

/// A store that is wrong in one way.
struct Disorderly {
    inner: Arc<dyn Store>,
    wrong: Wrong,
    just_written: Mutex<BTreeSet<Key>>,
}

impl Disorderly {
    fn law(wrong: Wrong) -> Law {
        let around = move |inner| -> Arc<dyn Store> {
            Arc::new(Self { inner, wrong, just_written: Mutex::default() })
        };
        law(balances()).wrapping(around)
    }
}

#[async_trait]
impl Store for Disorderly {
    async fn put(&self, table: &str, put: &Put) -> Result<Written, StoreError> {
        self.inner.put(table, put).await
    }

    async fn add(&self, table: &str, dots: &[Dot]) -> Result<Written, StoreError> {
        self.inner.add(table, dots).await
    }

    async fn contribute(&self, table: &str, contributions: &[Contribution]) -> Result<Written, StoreError> {
        self.inner.contribute(table, contributions).await
    }

    async fn scan(&self, table: &str, after: Option<Key>) -> Result<(Vec<Stored>, Option<Key>), StoreError> {
        self.inner.scan(table, after).await
    }

    fn ordered(&self) -> &dyn Ordered {
        self
    }
}

#[async_trait]
impl Ordered for Disorderly {
    async fn head(&self, table: &str, key: &Key) -> Result<Option<Head>, StoreError> {
        self.inner.ordered().head(table, key).await
    }

    async fn base(&self, table: &str, key: &Key) -> Result<Option<Head>, StoreError> {
        let base = self.inner.ordered().base(table, key).await?;
        let now = self.head(table, key).await?.filter(|_| self.wrong == Wrong::BaseIsNow);
        let reach = base.as_ref().map(|base| base.reach.clone()).unwrap_or_default();
        Ok(now.map(|now| Head { reach, kept: None, ..now }).or(base))
    }

    async fn advance(
        &self,
        table: &str,
        key: &Key,
        before: Option<&Head>,
        next: &Head,
        base: Option<&Head>,
    ) -> Result<Written, StoreError> {
        if self.wrong == Wrong::NoRoom && next.early.len() % 2 == 1 {
            let (operation, table, reason) = ("PutItem", table.to_owned(), "no room".to_owned());
            return Err(StoreError::Refused { operation, table, reason });
        }
        let mut written = self.inner.ordered().advance(table, key, before, next, base).await?;
        while self.wrong == Wrong::NothingInside && written.outcomes == [Outcome::Stale(None)] {
            let now = self.head(table, key).await?;
            let reach = |head: &Head| head.reach.clone();
            if now.as_ref().map(reach) != before.map(reach) {
                break;
            }
            written = self.inner.ordered().advance(table, key, now.as_ref(), next, base).await?;
        }
        while self.wrong == Wrong::NoCondition && written.outcomes == [Outcome::Stale(None)] {
            let before = self.head(table, key).await?;
            written = self.inner.ordered().advance(table, key, before.as_ref(), next, base).await?;
        }
        self.just_written.lock().unwrap().insert(key.clone());
        Ok(written)
    }

    async fn waiting(
        &self,
        table: &str,
        key: &Key,
        within: RangeInclusive<Version>,
    ) -> Result<Vec<Waiting>, StoreError> {
        let just_written = self.just_written.lock().unwrap().remove(key);
        if self.wrong == Wrong::NoLookAfterwards && just_written {
            return Ok(Vec::new());
        }
        self.inner.ordered().waiting(table, key, within).await
    }

    async fn wait(&self, table: &str, key: &Key, waiting: &Waiting) -> Result<Written, StoreError> {
        if self.wrong == Wrong::NotKept {
            return Ok(Written { outcomes: vec![Outcome::Applied], units: 1.0 });
        }
        self.inner.ordered().wait(table, key, waiting).await
    }

    async fn forget(&self, table: &str, key: &Key, versions: &[Version]) -> Result<f64, StoreError> {
        self.inner.ordered().forget(table, key, versions).await
    }
}

/// Acknowledges what waits.
struct Forgetful(Consumer);

#[async_trait]
impl Container for Forgetful {
    async fn invoke(&self, payload: &[u8]) -> Result<Report, ConsumeError> {
        let mut report = self.0.consume(payload, None).await?;
        if report.failed.len() == report.waiting {
            report.failed.clear();
        }
        Ok(report)
    }
}

#[test]
fn no_look_at_what_waits_after_a_write_is_found() {
    // What waits is kept, and acknowledged: only a look brings it in.
    let law = Disorderly::law(Wrong::NoLookAfterwards).containers(|it| Arc::new(Forgetful(it)));
    let story = broken(&law, &balances());
    tells(&story, &["doesn't hold", "is lost", "acknowledged"]);
    let right = testkit::law::Law::new(balances()).cases(200).without_faults();
    let right = right.containers(|it| Arc::new(Forgetful(it)));
    right.check(&logs(&balances()).unwrap()).expect("who looks after a write sees what waits");
}

#[test]
fn acknowledging_what_waits_without_keeping_it_is_found() {
    let law = Disorderly::law(Wrong::NotKept).containers(|it| Arc::new(Forgetful(it)));
    let story = broken(&law, &balances());
    tells(&story, &["doesn't hold", "is lost", "acknowledged"]);
}

#[test]
fn a_write_in_order_without_its_condition_is_found() {
    let adjusted = |quantity| StockAdjusted { quantity, ..StockAdjusted::example() };
    let log = (1..=6).map(adjusted).fold(log(), |log, it| log.event(&it));
    let law = Disorderly::law(Wrong::NoCondition).cases(600).without_faults();
    let story = law.check(&parts(&log)).unwrap_err().0;
    tells(&story, &["doesn't hold", "at the same time"]);
}

/// Consumers of a store to which what waits comes once, many at a time.
fn once_each(wrong: Wrong) -> (Law, impl proptest::strategy::Strategy<Value = log::Log>) {
    let adjusted = |quantity| StockAdjusted { quantity, ..StockAdjusted::example() };
    let log = (1..=8).map(adjusted).fold(log(), |log, it| log.event(&it));
    let law = Disorderly::law(wrong).cases(600).without_faults();
    (law.containers(|it| Arc::new(Forgetful(it))), parts(&log))
}

#[test]
fn a_write_that_leaves_out_what_another_one_has_wait_in_the_item_is_found() {
    let (law, logs) = once_each(Wrong::NothingInside);
    let story = law.check(&logs).unwrap_err().0;
    tells(&story, &["doesn't hold", "is lost", "at the same time"]);
}

#[test]
fn what_has_no_room_in_its_item_waits_beside_it() {
    let (law, logs) = once_each(Wrong::NoRoom);
    law.check(&logs).expect("what waits beside the item comes in too");
    let law = Disorderly::law(Wrong::NoRoom).cases(300);
    law.check(&testkit::law::logs(&balances()).unwrap()).expect("whatever else goes wrong");
}

#[test]
fn what_the_old_home_accepted_folded_after_what_the_new_one_did_is_found() {
    let story = broken(&Disorderly::law(Wrong::BaseIsNow).without_faults(), &balances());
    tells(&story, &["doesn't hold", "holds something else than its event", " 0.", " 1."]);
}

/// Drops what the old home accepted after the new one took over, where something of that has come, as if changes were
/// states.
struct Superseding {
    consumer: Consumer,
    /// By subject, the latest epoch, and the last number before it.
    epochs: Mutex<HashMap<String, (u16, u64)>>,
}

#[async_trait]
impl Container for Superseding {
    async fn invoke(&self, payload: &[u8]) -> Result<Report, ConsumeError> {
        let messages = take_apart(payload)?.messages;
        let is_newest = |body: &str| {
            let envelope = decode::unwrap(body).unwrap();
            let header = decode::header(&envelope).unwrap();
            let mut known = self.epochs.lock().unwrap();
            let latest = known.entry(header.subject.into_owned()).or_default();
            *latest = (header.version.epoch, header.epoch_base).max(*latest);
            header.version.epoch == latest.0 || header.version.seq <= latest.1
        };
        let records = messages.iter().enumerate().filter(|(_, message)| is_newest(&message.body));
        let records: Vec<_> =
            records.map(|(number, message)| delivery::sqs_record(number, &message.body)).collect();
        self.consumer.consume(delivery::payload(&records).as_bytes(), None).await
    }
}

#[test]
fn dropping_what_the_old_home_accepted_is_found() {
    for projection in [stock(), balances()] {
        let law = law(projection.clone()).without_faults();
        let law = law.containers(|consumer| Arc::new(Superseding { consumer, epochs: Mutex::default() }));
        tells(&broken(&law, &projection), &["acknowledged", " 0.", " 1."]);
    }
}

/// Acknowledges what it is given, whatever comes of the writes.
struct Hasty(Consumer);

#[async_trait]
impl Container for Hasty {
    async fn invoke(&self, payload: &[u8]) -> Result<Report, ConsumeError> {
        let report = self.0.consume(payload, None).await?;
        Ok(Report { failed: Vec::new(), ..report })
    }
}

#[test]
fn acknowledging_before_the_write_is_found() {
    for projection in [products(), stock(), sales(), balances()] {
        let law = law(projection.clone()).containers(|consumer| Arc::new(Hasty(consumer)));
        let story = broken(&law, &projection);
        tells(&story, &["doesn't hold", "acknowledged, though a write of its batch failed"]);
    }
}

/// Remembers from one invocation to the next which events it has seen, written or not.
struct Leaking {
    consumer: Consumer,
    seen: Mutex<BTreeSet<String>>,
}

#[async_trait]
impl Container for Leaking {
    async fn invoke(&self, payload: &[u8]) -> Result<Report, ConsumeError> {
        let messages = take_apart(payload)?.messages;
        let is_new = |body: &str| {
            let envelope = decode::unwrap(body).unwrap();
            let id = decode::header(&envelope).unwrap().id.into_owned();
            self.seen.lock().unwrap().insert(id)
        };
        let records = messages.iter().enumerate().filter(|(_, message)| is_new(&message.body));
        let records: Vec<_> =
            records.map(|(number, message)| delivery::sqs_record(number, &message.body)).collect();
        self.consumer.consume(delivery::payload(&records).as_bytes(), None).await
    }
}

#[test]
fn state_that_leaks_from_one_invocation_to_the_next_is_found() {
    for projection in [products(), stock(), sales(), balances()] {
        let law = law(projection.clone());
        let law = law.containers(|consumer| Arc::new(Leaking { consumer, seen: Mutex::default() }));
        let story = broken(&law, &projection);
        tells(&story, &["doesn't hold", ": asked for again\n", ": acknowledged\n"]);
    }
}

#[test]
fn a_fold_that_remembers_is_found() {
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    let leaking = Projection::new("leaking", 1).state(|event: &Envelope<ProductListed>| {
        let call = CALLS.fetch_add(1, Ordering::Relaxed);
        Row::new(Key::alone(&event.data.0.sku), &json!({ "call": call }))
    });
    let story = broken(&law(leaking.clone()), &leaking);
    tells(&story, &["holds something else than its event"]);
}
