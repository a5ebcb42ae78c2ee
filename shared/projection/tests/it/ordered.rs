//! Changes that have an order: what comes too early waits, what is refused parks its own item, what never comes is
//! jumped over by the state of the source, what two homes accepted has one order.

mod homes;
mod inside;

use crate::fixture::adjusted;
use async_trait::async_trait;
use contracts::Envelope;
use contracts::Version;
use contracts::inventory::StockAdjusted;
use embedded::dynamodb::DynamoDb;
use projection::audit::{Audit, Auditor, Drift, Sink, Source, SourceError};
use projection::consumer::{Consumer, Report};
use projection::dynamodb::{DynamoStore, create_table};
use projection::quarantine::Reason;
use projection::reach::{FIRST, LAST};
use projection::snapshot::{Snapshot, Snapshots};
use projection::store::{Head, Store, StoreError, Waiting};
use projection::{Key, Projection, Rejected, early, resequence};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use testkit::delivery;
use testkit::log::NOW;
use testkit::quarantine::Shelf;

const TABLE: &str = "balances";

/// A quantity that the fold refuses.
const UNLUCKY: i64 = 13;

/// The most that the fold takes for a balance.
const MOST: i64 = 1_000_000;

/// A quantity that makes the view too large for the store.
const HUGE: i64 = 999;

#[derive(Default, Serialize, Deserialize)]
struct View {
    balances: Vec<i64>,
    filling: String,
}

#[derive(Deserialize)]
struct Adjusted {
    on_hand: i64,
}

fn step(view: Option<View>, event: &Envelope<StockAdjusted>) -> Result<View, Rejected> {
    let View { mut balances, filling } = view.unwrap_or_default();
    let quantity = event.data.quantity;
    if quantity == UNLUCKY {
        return Err(Rejected("an unlucky number".to_owned()));
    }
    let balance = balances.last().copied().unwrap_or(0) + quantity;
    if balance > MOST {
        return Err(Rejected("more than can be counted".to_owned()));
    }
    balances.push(balance);
    let filling = match quantity {
        HUGE => "x".repeat(450_000),
        inside::LARGE => "x".repeat(inside::FILLING),
        _ => filling,
    };
    Ok(View { balances, filling })
}

fn projection() -> Projection {
    Projection::new("balances", 1)
        .ordered(|event: &Envelope<StockAdjusted>| Key::alone(&event.data.sku), step)
        .snapshot::<StockAdjusted, _, _>("stock", |state: &Adjusted| View {
            balances: vec![state.on_hand],
            filling: String::new(),
        })
}

/// The source: the version and the state of stock by its subject.
#[derive(Default)]
struct Stock(Mutex<BTreeMap<String, (Version, i64)>>);

impl Stock {
    fn is(&self, sku: &str, version: Version, on_hand: i64) {
        self.0.lock().unwrap().insert(sku.to_owned(), (version, on_hand));
    }
}

#[async_trait]
impl Snapshots for Stock {
    async fn pull(
        &self,
        domain: &str,
        aggregate: &str,
        subject: &str,
    ) -> Result<Option<Snapshot>, StoreError> {
        assert_eq!((domain, aggregate), ("inventory", "stock"));
        let Some((version, on_hand)) = self.0.lock().unwrap().get(subject).copied() else { return Ok(None) };
        let state = serde_dynamo::to_attribute_value(json!({ "sku": subject, "on_hand": on_hand })).unwrap();
        Ok(Some(Snapshot { version, state }))
    }
}

/// A consumer with all that it needs.
struct Line {
    _dynamodb: DynamoDb,
    store: DynamoStore,
    shelf: Arc<Shelf>,
    stock: Arc<Stock>,
    consumer: Consumer,
}

/// How a message comes.
#[derive(Clone, Copy, PartialEq)]
enum Comes {
    First,
    /// Again, so many milliseconds after it came first.
    Again(i64),
    ToRepair,
}

/// Longer than the limit.
const LATE: Comes = Comes::Again(181_000);

impl Line {
    async fn new() -> Self {
        let dynamodb = DynamoDb::in_memory().unwrap();
        let table = projection().table("test", projection().generation());
        create_table(&dynamodb.client(), TABLE, &table).await.unwrap();
        let store = DynamoStore::new(dynamodb.client(), testkit::clock);
        let (shelf, stock) = (Arc::new(Shelf::default()), Arc::new(Stock::default()));
        let consumer = Consumer::new(
            "test",
            projection(),
            TABLE,
            Arc::new(store.clone()),
            Arc::clone(&shelf) as _,
            testkit::clock,
        )
        .snapshots(Arc::clone(&stock) as _);
        Self { _dynamodb: dynamodb, store, shelf, stock, consumer }
    }

    async fn come(&self, events: &[(Value, Comes)]) -> Report {
        let record = |(number, (event, comes)): (usize, &(Value, Comes))| {
            let mut record = delivery::sqs_record(number, &event.to_string());
            if let Comes::Again(ago) = comes {
                record["attributes"]["ApproximateReceiveCount"] = json!("2");
                let first = (NOW.as_millisecond() - ago).to_string();
                record["attributes"]["ApproximateFirstReceiveTimestamp"] = json!(first);
            }
            if *comes == Comes::ToRepair {
                record["messageAttributes"] = json!({ "repair": { "stringValue": "1" } });
            }
            record
        };
        let records: Vec<Value> = events.iter().enumerate().map(record).collect();
        self.consumer.consume(delivery::payload(&records).as_bytes(), None).await.unwrap()
    }

    async fn first(&self, events: &[Value]) -> Report {
        let events: Vec<(Value, Comes)> = events.iter().map(|it| (it.clone(), Comes::First)).collect();
        self.come(&events).await
    }

    async fn head(&self, sku: &str) -> Option<Head> {
        self.store.ordered().head(TABLE, &Key::alone(sku)).await.unwrap()
    }

    async fn balances(&self, sku: &str) -> Vec<i64> {
        let head = self.head(sku).await;
        head.map(|head| serde_dynamo::from_item::<_, View>(head.view).unwrap().balances).unwrap_or_default()
    }

    /// The numbers of what waits, in the item or beside it; those that are parked are negative.
    async fn waiting(&self, sku: &str) -> Vec<i64> {
        let head = self.head(sku).await;
        let beside = self.beside(sku).await.into_iter();
        let beside = beside.filter(|it| !head.as_ref().is_some_and(|head| head.reach.contains(it.version)));
        let mut waiting: BTreeMap<u64, bool> =
            self.inside(sku).await.into_iter().map(|seq| (seq, false)).collect();
        waiting.extend(beside.map(|it| (it.version.seq, it.parked)));
        let number = |(seq, parked): (u64, bool)| i64::try_from(seq).unwrap() * if parked { -1 } else { 1 };
        waiting.into_iter().map(number).collect()
    }

    /// The numbers of what waits in an item.
    async fn inside(&self, sku: &str) -> Vec<u64> {
        let packed = self.head(sku).await.map(|head| head.early).unwrap_or_default();
        let events = if packed.is_empty() { Vec::new() } else { early::unpack(&packed).unwrap() };
        let seq = |event: &String| serde_json::from_str::<Value>(event).unwrap()["version"]["seq"].as_u64();
        events.iter().filter_map(seq).collect()
    }

    /// What is kept beside an item.
    async fn beside(&self, sku: &str) -> Vec<Waiting> {
        self.store.ordered().waiting(TABLE, &Key::alone(sku), FIRST..=LAST).await.unwrap()
    }
}

fn a(quantity: i64, seq: u64) -> Value {
    adjusted("A", quantity, seq)
}

#[tokio::test]
async fn what_comes_too_early_waits_for_those_before_it() {
    let line = Line::new().await;
    let report = line.first(&[a(1, 1), a(100, 3), a(1_000, 4)]).await;
    assert_eq!(line.balances("A").await, [1]);
    assert_eq!((report.applied, report.waiting), (1, 2));
    assert_eq!(report.failed, ["message-1", "message-2"], "the queue brings them again");
    assert_eq!(line.waiting("A").await, [3, 4]);

    let report = line.first(&[a(10, 2)]).await;
    assert_eq!((report.applied, report.resumed, report.waiting), (1, 2, 0));
    assert_eq!(line.balances("A").await, [1, 11, 111, 1_111]);
    assert_eq!(line.waiting("A").await, [0_i64; 0]);

    let report = line.come(&[(a(100, 3), LATE), (a(1_000, 4), LATE)]).await;
    assert_eq!((report.duplicate, report.failed.len()), (2, 0));
    assert!(line.shelf.kept().is_empty());
}

#[tokio::test]
async fn a_batch_is_one_write_in_whatever_order_it_comes() {
    let line = Line::new().await;
    let mut events: Vec<Value> = (1..=150).map(|seq| a(1, seq)).collect();
    events.reverse();
    events.extend([a(1, 7), a(1, 8)]);
    let report = line.first(&events).await;
    assert_eq!((report.applied, report.duplicate, report.waiting), (150, 2, 0));
    assert_eq!(line.balances("A").await, (1..=150).collect::<Vec<i64>>());
    assert!(report.units < 10.0, "{} write units", report.units);
}

#[tokio::test]
async fn more_than_one_write_takes_comes_in_all_the_same() {
    let line = Line::new().await;
    let events: Vec<Value> = (2..=700).rev().map(|seq| a(1, seq)).collect();
    for batch in events.chunks(100) {
        assert_eq!(line.first(batch).await.waiting, batch.len());
    }
    let report = line.first(&[a(1, 1)]).await;
    assert_eq!((report.applied, report.resumed), (1, 699));
    assert_eq!(line.balances("A").await.len(), 700);
    assert_eq!(line.waiting("A").await, [0_i64; 0]);
}

#[tokio::test]
async fn one_that_is_too_far_ahead_is_not_kept() {
    let line = Line::new().await;
    let report = line.first(&[a(1, resequence::AHEAD), a(1, resequence::AHEAD + 1)]).await;
    assert_eq!((report.waiting, report.failed.len()), (2, 2));
    assert_eq!(line.waiting("A").await, [i64::try_from(resequence::AHEAD).unwrap()]);
}

#[tokio::test]
async fn a_refused_change_parks_its_own_item_until_it_is_edited() {
    let line = Line::new().await;
    let report = line.first(&[a(1, 1), a(UNLUCKY, 2), a(100, 3), adjusted("B", 5, 1)]).await;
    assert_eq!((report.applied, report.quarantined, report.waiting), (2, 1, 1));
    assert!(report.failed.is_empty(), "it waits for the quarantine, not for the queue: {report:?}");
    let kept = line.shelf.kept();
    assert_eq!((kept[0].reason, kept[0].detail.as_str()), (Reason::HandlerRejected, "an unlucky number"));
    assert_eq!((line.balances("A").await, line.balances("B").await), (vec![1], vec![5]));
    assert_eq!(line.waiting("A").await, [-2, 3]);

    let report = line.come(&[(a(1_000, 4), LATE)]).await;
    assert_eq!((report.waiting, report.failed.len()), (1, 0), "no snapshot jumps over what is quarantined");
    assert_eq!(line.shelf.kept().len(), 1, "and it isn't quarantined anew by each that follows");

    let report = line.first(&[a(10, 2)]).await;
    assert_eq!((report.applied, report.resumed), (1, 2));
    assert_eq!(line.balances("A").await, [1, 11, 111, 1_111]);
    assert_eq!(line.waiting("A").await, [0_i64; 0]);
    assert_eq!(line.first(&[a(UNLUCKY, 2)]).await.duplicate, 1, "its turn has passed");
}

#[tokio::test]
async fn an_edit_that_is_refused_too_leaves_the_item_parked() {
    let line = Line::new().await;
    line.first(&[a(UNLUCKY, 1), a(1, 2)]).await;
    let mut edited = a(UNLUCKY, 1);
    edited["data"]["reason"] = json!("found");
    let report = line.first(std::slice::from_ref(&edited)).await;
    assert_eq!((report.quarantined, report.applied), (1, 0));
    let kept = line.shelf.kept();
    let edited = edited.to_string();
    assert!(kept.len() == 2 && kept[1].raw == edited, "{kept:?}");
    assert_eq!(line.first(&[a(3, 1)]).await.resumed, 1);
    assert_eq!(line.balances("A").await, [3, 4]);
}

#[tokio::test]
async fn one_that_is_refused_after_it_waited_is_quarantined_though_its_message_is_gone() {
    let line = Line::new().await;
    // What waits behind one that is quarantined is acknowledged: no message of it is left.
    line.first(&[a(UNLUCKY, 1), a(2, 2), a(UNLUCKY, 3), a(4, 4)]).await;
    let report = line.first(&[a(1, 1)]).await;
    assert_eq!((report.applied, report.resumed), (1, 1));
    let kept = line.shelf.kept();
    assert_eq!(
        kept.iter().map(|it| it.raw.clone()).collect::<Vec<_>>(),
        [a(UNLUCKY, 1).to_string(), a(UNLUCKY, 3).to_string()]
    );
    assert_eq!((line.balances("A").await, line.waiting("A").await), (vec![1, 3], vec![-3, 4]));
    line.first(&[a(1, 1), a(5, 5)]).await;
    assert_eq!(line.shelf.kept().len(), 2);
    line.first(&[a(3, 3)]).await;
    assert_eq!(line.balances("A").await, [1, 3, 6, 10, 15]);
}

#[tokio::test]
async fn one_that_makes_the_view_too_large_is_refused_alone() {
    let line = Line::new().await;
    let report = line.first(&[a(1, 1), a(2, 2), a(HUGE, 3), a(4, 4), a(5, 5)]).await;
    assert_eq!((report.applied, report.quarantined, report.waiting), (2, 1, 2));
    assert!(line.shelf.kept()[0].detail.contains("size"), "{:?}", line.shelf.kept());
    assert_eq!(line.first(&[a(3, 3)]).await.resumed, 2);
    assert_eq!(line.balances("A").await, [1, 3, 6, 10, 15]);
}

#[tokio::test]
async fn another_content_of_one_number_is_a_fork() {
    let line = Line::new().await;
    let report = line.first(&[a(1, 1), a(3, 3)]).await;
    assert_eq!(report.applied, 1);
    let report = line.first(&[a(7, 1), a(7, 3)]).await;
    assert_eq!((report.quarantined, report.applied), (2, 0), "of what is in the item, and of what waits");
    let report = line.first(&[a(2, 2), a(7, 2)]).await;
    assert_eq!((report.applied, report.quarantined, report.resumed), (1, 1, 1));
    assert_eq!(line.shelf.reasons(), [Reason::VersionFork; 3]);
    assert_eq!(line.balances("A").await.len(), 3);
}

#[tokio::test]
async fn past_the_limit_the_item_goes_on_from_its_source() {
    let line = Line::new().await;
    line.stock.is("A", Version::first_epoch(4), 44);
    line.first(&[a(1, 1), a(3, 3), a(6, 6)]).await;
    let report = line.come(&[(a(3, 3), Comes::Again(1_000)), (a(6, 6), Comes::First)]).await;
    assert_eq!((report.waiting, report.failed.len()), (2, 2), "the limit isn't over");
    assert_eq!(line.balances("A").await, [1]);

    let report = line.come(&[(a(3, 3), LATE), (a(6, 6), LATE)]).await;
    assert_eq!((report.stale, report.waiting), (1, 1));
    assert_eq!(report.failed, ["message-1"], "the source doesn't know the sixth as yet");
    assert_eq!((line.balances("A").await, line.waiting("A").await), (vec![44], vec![6]));

    let report = line.first(&[a(2, 2), a(5, 5)]).await;
    assert_eq!((report.stale, report.applied, report.resumed), (1, 1, 1));
    assert_eq!(line.balances("A").await, [44, 49, 55]);
    assert!(line.shelf.kept().is_empty());
}

#[tokio::test]
async fn what_was_jumped_over_takes_the_place_of_the_snapshot_once_it_came() {
    let line = Line::new().await;
    line.stock.is("A", Version::first_epoch(4), 44);
    line.come(&[(a(1, 1), Comes::First), (a(4, 4), LATE), (a(5, 5), Comes::First)]).await;
    assert_eq!(line.balances("A").await, [44, 49]);
    assert_eq!(line.first(&[a(3, 3)]).await.stale, 1);
    assert_eq!(line.first(&[a(1, 1)]).await.duplicate, 1);
    assert_eq!(line.balances("A").await, [44, 49], "the second is still on its way");
    let report = line.first(&[a(2, 2), a(6, 6)]).await;
    assert_eq!((report.applied, report.stale), (2, 0));
    assert_eq!(line.balances("A").await, [1, 3, 6, 10, 15, 21]);
    let all: Vec<Value> = (1..=6).map(|seq| a(i64::try_from(seq).unwrap(), seq)).collect();
    assert_eq!(line.first(&all).await.duplicate, 6);
    assert!(audit(&line, &all).await.is_clean() && line.shelf.kept().is_empty());
}

#[tokio::test]
async fn where_the_source_knows_nothing_it_goes_on_waiting() {
    let line = Line::new().await;
    line.stock.is("B", Version::first_epoch(1), 1);
    line.first(&[a(2, 2), adjusted("B", 1, 1), adjusted("B", 3, 3)]).await;
    let report = line.come(&[(a(2, 2), LATE), (adjusted("B", 3, 3), LATE)]).await;
    assert_eq!((report.waiting, report.failed.len()), (2, 2));
    assert_eq!((line.waiting("A").await, line.waiting("B").await), (vec![2], vec![3]));
    assert_eq!(line.first(&[a(1, 1)]).await.resumed, 1);
}

#[tokio::test]
async fn a_repair_goes_on_from_the_source_where_one_is_quarantined() {
    let line = Line::new().await;
    line.first(&[a(1, 1), a(UNLUCKY, 2), a(3, 3), a(5, 5)]).await;
    line.stock.is("A", Version::first_epoch(3), 17);
    let report = line.come(&[(a(UNLUCKY, 2), Comes::ToRepair), (a(3, 3), Comes::ToRepair)]).await;
    assert_eq!((report.stale, report.quarantined), (2, 0));
    assert_eq!((line.balances("A").await, line.waiting("A").await), (vec![17], vec![5]));
    assert_eq!(line.first(&[a(UNLUCKY, 2)]).await.stale, 1, "redriven as it was, it leaves the quarantine");
    assert_eq!(line.balances("A").await, [17]);
    assert_eq!(line.first(&[a(2, 2)]).await.applied, 1, "edited, it takes the snapshot's place");
    assert_eq!((line.balances("A").await, line.waiting("A").await), (vec![1, 3, 6], vec![5]));
}

#[tokio::test]
async fn what_a_crash_left_waiting_is_removed_by_the_next_look() {
    let line = Line::new().await;
    line.first(&[a(1, 1), a(2, 2)]).await;
    for seq in [1, 2] {
        let version = Version::first_epoch(seq);
        let waiting =
            Waiting { version, base: 0, hash: "h".to_owned(), event: "{}".to_owned(), parked: false };
        line.store.ordered().wait(TABLE, &Key::alone("A"), &waiting).await.unwrap();
    }
    line.first(&[a(3, 3)]).await;
    assert_eq!(line.waiting("A").await, [0_i64; 0]);
    assert_eq!(line.balances("A").await, [1, 3, 6]);
}

/// A source that knows these events.
struct Known(Vec<Value>);

#[async_trait]
impl Source for Known {
    async fn read(&self, _: &[(&str, &str)], sink: &mut dyn Sink) -> Result<(), SourceError> {
        sink.take(self.0.iter().map(|event| Arc::from(event.to_string())).collect()).await
    }
}

async fn audit(line: &Line, known: &[Value]) -> Audit {
    let auditor =
        Auditor { projection: &projection(), store: &line.store, table: TABLE, now: NOW, passes: 2 };
    auditor.audit(&Known(known.to_vec())).await.unwrap()
}

#[tokio::test]
async fn an_audit_finds_what_lacks_changes_and_brings_all_of_them() {
    let line = Line::new().await;
    let known: Vec<Value> =
        (1..=5).map(|seq| a(1, seq)).chain([adjusted("B", 1, 1), adjusted("C", 1, 1)]).collect();
    line.first(&[a(1, 1), a(1, 2), a(1, 5), adjusted("B", 1, 1)]).await;
    let found = audit(&line, &known).await;
    let (stored, expected) = (Version::first_epoch(2), Version::first_epoch(5));
    let mut drifts: Vec<Drift> = found.findings.iter().map(|finding| finding.drift.clone()).collect();
    drifts.sort_by_key(Drift::kind);
    assert_eq!(
        drifts,
        [Drift::Lost { expected: Version::first_epoch(1) }, Drift::Stale { stored, expected }]
    );
    let repairs: Vec<Value> = found.repairs().iter().map(|it| serde_json::from_str(it).unwrap()).collect();
    assert_eq!(repairs.len(), 4, "the third, the fourth, the fifth, and C's: {repairs:?}");
    let repairs: Vec<(Value, Comes)> = repairs.into_iter().map(|it| (it, Comes::ToRepair)).collect();
    assert_eq!(line.come(&repairs).await.failed.len(), 0);
    assert!(audit(&line, &known).await.is_clean());
    assert_eq!(line.balances("A").await, [1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn an_audit_compares_the_last_change_and_of_a_snapshot_the_version() {
    let line = Line::new().await;
    line.first(&[a(1, 1), a(2, 2)]).await;
    assert!(audit(&line, &[a(2, 2), a(1, 1)]).await.is_clean());
    let forked = audit(&line, &[a(1, 1), a(7, 2)]).await;
    assert_eq!(forked.findings[0].drift, Drift::Forked { version: Version::first_epoch(2) });

    line.stock.is("A", Version::first_epoch(4), 44);
    line.first(&[a(4, 4)]).await;
    line.come(&[(a(4, 4), LATE)]).await;
    assert!(audit(&line, &[a(1, 1), a(2, 2), a(3, 3), a(4, 4)]).await.is_clean());
    let behind = audit(&line, &[a(4, 4), a(5, 5)]).await;
    assert_eq!(behind.findings[0].drift.kind(), "stale");
}
