//! What comes too early waits in its item as long as there is room, and is lost by nobody's write.

use super::{Comes, LATE, Line, TABLE, UNLUCKY, a, adjusted, audit, homes, projection};
use contracts::Version;
use futures::future::join_all;
use projection::consumer::Consumer;
use projection::quarantine::Reason;
use projection::store::{Head, Outcome, Store};
use projection::{Key, early};
use serde_json::{Value, json};
use std::sync::Arc;
use testkit::dice::Dice;
use testkit::faults::{Faulty, Late};
use testkit::{delivery, mangle};

/// A quantity that leaves the view little room in the store.
pub const LARGE: i64 = 998;

/// What a view of that quantity is filled with.
pub const FILLING: usize = 409_300;

/// A change whose envelope hardly gets smaller.
fn noisy(quantity: i64, seq: u64) -> Value {
    let mut dice = Dice::new(seq);
    let mut event = a(quantity, seq);
    event["data"]["note"] =
        (0..20).map(|_| format!("{:016x}", dice.roll())).collect::<Vec<_>>().concat().into();
    event
}

/// How many write units a payload of these came to.
async fn units(line: &Line, events: &[Value]) -> f64 {
    line.first(events).await.units
}

async fn is_units(line: &Line, events: &[Value], expected: f64) {
    let units = units(line, events).await;
    assert!((units - expected).abs() < 0.01, "{units} write units, not {expected}, of {events:?}");
}

#[tokio::test]
async fn what_waits_in_the_item_costs_no_write() {
    let line = Line::new().await;
    is_units(&line, &[a(1, 1), a(100, 3), a(1_000, 4), a(10_000, 6)], 1.0).await;
    assert_eq!((line.inside("A").await, line.beside("A").await), (vec![3, 4, 6], Vec::new()));
    is_units(&line, &[a(1_000, 4), a(100, 3)], 0.0).await;
    is_units(&line, &[a(100_000, 7)], 1.0).await;
    assert_eq!(line.balances("A").await, [1], "what a reader sees stays as it is");
    is_units(&line, &[a(10, 2), a(20, 9)], 1.0).await;
    assert_eq!((line.balances("A").await, line.inside("A").await), (vec![1, 11, 111, 1_111], vec![6, 7, 9]));
    let known: Vec<Value> =
        [(1, 1), (10, 2), (100, 3), (1_000, 4)].map(|(quantity, seq)| a(quantity, seq)).into();
    assert!(audit(&line, &known).await.is_clean(), "what waits is no content");
    is_units(&line, &[a(2, 5)], 1.0).await;
    is_units(&line, &[a(3, 8)], 1.0).await;
    assert_eq!(line.balances("A").await.len(), 9);
    assert_eq!(line.head("A").await.unwrap().early, [0_u8; 0]);
    assert!(line.shelf.kept().is_empty());
}

#[tokio::test]
async fn what_has_no_room_in_the_item_waits_beside_it() {
    let line = Line::new().await;
    line.first(&[a(1, 1)]).await;
    let events: Vec<Value> = (3..=30).map(|seq| noisy(1, seq)).collect();
    for some in events.chunks(10) {
        assert_eq!(line.first(some).await.waiting, some.len());
        let head = line.head("A").await.unwrap();
        assert!(!head.early.is_empty() && head.early.len() <= early::PACKED, "{}", head.early.len());
    }
    let (inside, beside) = (line.inside("A").await.len(), line.beside("A").await.len());
    assert!(inside > 3 && beside > 3 && inside + beside == 28, "{inside} in the item, {beside} beside it");
    is_units(&line, &events, 0.0).await;
    assert_eq!(line.first(&[a(1, 2)]).await.resumed, 28);
    assert_eq!(line.balances("A").await.len(), 30);
    assert_eq!(line.waiting("A").await, [0_i64; 0]);
    assert_eq!(line.beside("A").await, []);
}

#[tokio::test]
async fn where_the_view_leaves_no_room_what_waits_leaves_the_item_too() {
    let line = Line::new().await;
    line.first(&[a(1, 1), a(4, 4)]).await;
    assert_eq!(line.inside("A").await, [4]);
    let report = line.first(&[a(LARGE, 2), a(5, 5)]).await;
    assert_eq!((report.applied, report.quarantined, report.waiting), (1, 0, 1));
    assert_eq!((line.inside("A").await, line.waiting("A").await), (vec![], vec![4, 5]));
    let report = line.first(&[a(6, 6)]).await;
    assert_eq!((report.quarantined, report.waiting), (0, 1));
    assert_eq!(line.first(&[a(3, 3)]).await.resumed, 3);
    assert_eq!(line.balances("A").await.len(), 6);
}

#[tokio::test]
async fn what_is_acknowledged_behind_a_refused_one_waits_beside_the_item() {
    let line = Line::new().await;
    line.first(&[a(1, 1), a(3, 3), a(4, 4)]).await;
    assert_eq!(line.inside("A").await, [3, 4]);
    let report = line.first(&[a(UNLUCKY, 2), a(3, 3)]).await;
    assert_eq!((report.quarantined, report.waiting, report.failed.len()), (1, 1, 0));
    let beside: Vec<u64> = line.beside("A").await.iter().map(|it| it.version.seq).collect();
    assert_eq!((beside, line.waiting("A").await), (vec![2, 3], vec![-2, 3, 4]));
    let report = line.first(&[a(4, 4), a(5, 5)]).await;
    assert_eq!((report.waiting, report.failed.len(), line.beside("A").await.len()), (2, 0, 4));
    assert_eq!(line.first(&[a(2, 2)]).await.resumed, 3);
    assert_eq!(line.balances("A").await, [1, 3, 6, 10, 15]);
    assert_eq!((line.inside("A").await, line.beside("A").await), (vec![], Vec::new()));
}

#[tokio::test]
async fn one_that_waited_in_the_item_and_is_refused_is_quarantined_and_parked() {
    let line = Line::new().await;
    line.first(&[a(1, 1), a(UNLUCKY, 3), a(4, 4)]).await;
    let report = line.first(&[a(2, 2)]).await;
    assert_eq!((report.applied, report.resumed), (1, 0));
    let kept: Vec<String> = line.shelf.kept().iter().map(|it| it.raw.clone()).collect();
    assert_eq!((kept, line.waiting("A").await), (vec![a(UNLUCKY, 3).to_string()], vec![-3, 4]));
    for events in [[a(2, 2), a(6, 6)], [a(7, 7), a(6, 6)]] {
        line.first(&events).await;
    }
    assert_eq!(line.shelf.kept().len(), 1, "it isn't quarantined anew");
    assert_eq!(line.first(&[a(3, 3)]).await.resumed, 1);
    assert_eq!(line.first(&[a(5, 5)]).await.resumed, 2);
    assert_eq!(line.balances("A").await, [1, 3, 6, 10, 15, 21, 28]);
    assert_eq!(line.waiting("A").await, [0_i64; 0]);
}

#[tokio::test]
async fn another_content_of_one_that_waits_in_the_item_is_a_fork() {
    let line = Line::new().await;
    let report = line.first(&[a(1, 1), a(3, 3), a(7, 3), a(3, 3)]).await;
    assert_eq!((report.waiting, report.quarantined), (2, 1));
    assert_eq!(line.first(&[a(8, 3)]).await.quarantined, 1);
    assert_eq!(line.shelf.reasons(), [Reason::VersionFork; 2]);
    line.first(&[a(2, 2)]).await;
    assert_eq!(line.balances("A").await, [1, 3, 6]);
}

#[tokio::test]
async fn what_waits_in_the_item_goes_beside_it_when_an_epoch_begins() {
    let events = homes::split();
    let line = Line::new().await;
    // The fifth of the old home and those of the new one but the first wait.
    line.first(&[&events[..3], &events[4..5], &events[6..]].concat()).await;
    assert_eq!(line.inside("A").await, [5, 5, 6]);
    line.first(&events[5..6]).await;
    assert_eq!(line.head("A").await.unwrap().reach.to_string(), "0.3 1.6");
    assert_eq!((line.inside("A").await, line.beside("A").await.len()), (vec![], 4));
    let base = line.store.ordered().base(TABLE, &Key::alone("A")).await.unwrap().unwrap();
    assert_eq!((base.reach.to_string(), base.early.len()), ("0.3".to_owned(), 0));
    line.first(&events[3..4]).await;
    assert_eq!(line.balances("A").await, homes::JOINED);
    assert!(audit(&line, &events).await.is_clean() && line.shelf.kept().is_empty());
}

#[tokio::test]
async fn what_waits_in_the_item_outlives_a_snapshot() {
    let line = Line::new().await;
    line.first(&[a(1, 1), a(3, 3), a(4, 4), a(6, 6)]).await;
    line.stock.is("A", Version::first_epoch(4), 44);
    let report = line.come(&[(a(4, 4), LATE)]).await;
    assert_eq!((report.stale, line.balances("A").await), (1, vec![44]));
    assert_eq!((line.inside("A").await, line.beside("A").await.len()), (vec![], 3));
    let base = line.store.ordered().base(TABLE, &Key::alone("A")).await.unwrap().unwrap();
    assert_eq!((base.reach.to_string(), base.early.len()), ("0.1".to_owned(), 0));
    line.first(&[a(5, 5)]).await;
    assert_eq!(line.balances("A").await, [44, 49, 55]);
    line.come(&[(a(2, 2), Comes::First)]).await;
    assert_eq!(
        line.balances("A").await,
        [1, 3, 6, 10, 15, 21],
        "the third and the fourth were not brought again"
    );
}

/// Each comes once, and all at once: what waits is never brought again, so that it is in the end only if no write left it
/// out.
#[tokio::test]
async fn nobody_leaves_out_what_another_has_wait() {
    for seed in 0..30 {
        let (mut line, mut dice) = (Line::new().await, Dice::new(seed));
        line.first(&[a(1, 1)]).await;
        // Calls that are under way at once get ahead of each other.
        let paced = Arc::new(Faulty::new(Arc::new(line.store.clone()), Arc::new(Late::default())));
        paced.expect(Vec::new(), dice.roll());
        let shelf = Arc::clone(&line.shelf);
        line.consumer = Consumer::new("test", projection(), TABLE, paced, shelf, testkit::clock);
        let mut events: Vec<Value> =
            (2..=24).map(|seq| if dice.percent(20) { noisy(1, seq) } else { a(1, seq) }).collect();
        dice.shuffle(&mut events);
        while !events.is_empty() {
            let at_once: Vec<Vec<Value>> =
                (0..4).map(|_| events.split_off(events.len().saturating_sub(1 + dice.below(3)))).collect();
            let reports = join_all(at_once.iter().map(|some| line.first(some))).await;
            assert!(reports.iter().all(|it| it.failed.len() == it.waiting), "{reports:?}");
        }
        assert_eq!(line.balances("A").await, (1..=24).collect::<Vec<i64>>(), "seed {seed}");
        assert_eq!(line.waiting("A").await, [0_i64; 0], "seed {seed}");
    }
}

impl Line {
    /// Has this wait in the item.
    async fn garble(&self, early: Vec<u8>) {
        let head = self.head("A").await.unwrap();
        let next = Head { early, ..head.clone() };
        let written = self.store.ordered().advance(TABLE, &Key::alone("A"), Some(&head), &next, None).await;
        assert_eq!(written.unwrap().outcomes, [Outcome::Applied]);
    }
}

#[tokio::test]
async fn what_cant_be_unpacked_has_its_items_changes_quarantined() {
    let line = Line::new().await;
    line.first(&[a(1, 1)]).await;
    let texts = ["hello", "{}", "[]", "7"].map(|text| early::pack([text]).unwrap());
    for garbage in [vec![0], vec![1], vec![1, 2, 3], b"waiting".to_vec()].into_iter().chain(texts) {
        let before = line.shelf.kept().len();
        line.garble(garbage.clone()).await;
        let report = line.first(&[a(2, 2), adjusted("B", 1, 1)]).await;
        assert_eq!((report.quarantined, report.failed.len()), (1, 0), "{garbage:?}");
        let kept = line.shelf.kept();
        assert!(kept[before].detail.contains("Rebuild the projection"), "{}", kept[before].detail);
        assert_eq!(line.balances("A").await, [1]);
    }
    line.garble(Vec::new()).await;
    assert_eq!(line.first(&[a(2, 2)]).await.applied, 1);
}

#[tokio::test]
async fn one_that_this_build_does_not_fold_is_refused_when_its_turn_comes() {
    let line = Line::new().await;
    line.first(&[a(1, 1)]).await;
    let mut other = a(3, 3);
    other["major"] = json!(9);
    let elsewhere = adjusted("Z", 3, 4);
    line.garble(early::pack([other.to_string().as_str(), elsewhere.to_string().as_str()]).unwrap()).await;
    assert_eq!(line.first(&[a(2, 2)]).await.applied, 1);
    assert_eq!(line.shelf.kept()[0].raw, other.to_string());
    assert_eq!(line.first(&[a(3, 3)]).await.applied, 1, "edited, it goes on");
    assert_eq!(line.balances("A").await, [1, 3, 6]);
    assert_eq!(line.shelf.kept()[1].raw, elsewhere.to_string());
}

#[tokio::test]
async fn whatever_waits_in_an_item_nothing_panics_and_nothing_is_lost() {
    let line = Line::new().await;
    line.first(&[a(1, 1)]).await;
    let (mut dice, mut refused) = (Dice::new(1), 0);
    for _ in 0..200 {
        let some: Vec<String> =
            (3..=6)
                .map(|seq| {
                    if dice.percent(50) { mangle::json(&mut dice, &a(1, seq)) } else { a(1, seq).to_string() }
                })
                .collect();
        let mut packed = early::pack(some.iter().map(String::as_str)).unwrap();
        if dice.percent(50) {
            packed = mangle::bytes(&mut dice, &packed);
        }
        line.garble(packed).await;
        let payload = delivery::sqs([a(1, 9).to_string()]);
        let report = line.consumer.consume(payload.as_bytes(), None).await.unwrap();
        assert_eq!(report.quarantined + report.waiting + report.stale, 1, "{report:?}");
        refused += report.quarantined;
    }
    assert!((20..200).contains(&refused), "{refused} of 200");
}
