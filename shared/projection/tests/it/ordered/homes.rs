//! What two regions accepted under one number, while each took itself for the home.

use super::{Comes, LATE, Line, MOST, TABLE, UNLUCKY, a, audit};
use contracts::Version;
use projection::audit::Drift;
use projection::quarantine::Reason;
use projection::store::{Head, Kept, Store};
use projection::{Key, resequence};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use testkit::dice::Dice;
use testkit::log::NOW;

/// What the home of the second epoch did, which began after the third number.
fn b(quantity: i64, seq: u64) -> Value {
    in_epoch(1, 3, quantity, seq)
}

fn in_epoch(epoch: u16, base: u64, quantity: i64, seq: u64) -> Value {
    let mut event = a(quantity, seq);
    event["version"] = json!({ "epoch": epoch, "seq": seq });
    event["epochBase"] = json!(base);
    event
}

/// Three changes that both regions know, two that the old home accepted when it was cut off, three of the new one.
pub fn split() -> [Value; 8] {
    [a(1, 1), a(2, 2), a(3, 3), a(40, 4), a(50, 5), b(600, 4), b(700, 5), b(800, 6)]
}

/// What comes of them: those of the old home before those of the new one.
pub const JOINED: [i64; 8] = [1, 3, 6, 46, 96, 696, 1_396, 2_196];

#[tokio::test]
async fn what_two_homes_accepted_has_one_order_whichever_comes_first() {
    let events = split();
    for order in [
        [0, 1, 2, 3, 4, 5, 6, 7],
        [0, 1, 2, 5, 6, 7, 3, 4],
        [7, 6, 5, 4, 3, 2, 1, 0],
        [5, 3, 0, 1, 2, 7, 4, 6],
        [0, 1, 2, 5, 4, 6, 3, 7],
    ] {
        for batch in [1, 3, 8] {
            let line = Line::new().await;
            for some in order.chunks(batch) {
                let some: Vec<Value> = some.iter().map(|number| events[*number].clone()).collect();
                line.first(&some).await;
            }
            assert_eq!(line.balances("A").await, JOINED, "{order:?} in batches of {batch}");
            let head = line.head("A").await.unwrap();
            assert_eq!(head.reach.to_string(), "0.5 1.6");
            assert_eq!(line.waiting("A").await, [0_i64; 0]);
            let report = line.first(&events).await;
            assert_eq!((report.duplicate, report.applied), (8, 0));
            assert!(line.shelf.kept().is_empty() && audit(&line, &events).await.is_clean());
        }
    }
}

#[tokio::test]
async fn what_is_not_split_keeps_nothing_beside() {
    let line = Line::new().await;
    line.first(&[a(1, 1), a(2, 2), a(3, 3)]).await;
    assert_eq!((line.head("A").await.unwrap().kept, line.beside("A").await.len()), (None, 0));
    line.first(&[b(4, 4), b(5, 5)]).await;
    assert_eq!(
        (line.head("A").await.unwrap().kept.map(|it| it.changes), line.beside("A").await.len()),
        (Some(2), 2)
    );
}

#[tokio::test]
async fn an_audit_finds_what_is_missing_of_the_old_home() {
    let line = Line::new().await;
    let events = split();
    line.first(&[&events[..3], &events[5..]].concat()).await;
    let found = audit(&line, &events).await;
    let [stored, expected] = [3, 5].map(Version::first_epoch);
    assert_eq!(
        found.findings.iter().map(|it| it.drift.clone()).collect::<Vec<_>>(),
        [Drift::Stale { stored, expected }]
    );
    let repairs: Vec<Value> = found.repairs().iter().map(|it| serde_json::from_str(it).unwrap()).collect();
    assert_eq!(repairs.len(), 2);
    let repairs: Vec<(Value, Comes)> = repairs.into_iter().map(|it| (it, Comes::ToRepair)).collect();
    assert_eq!(line.come(&repairs).await.applied, 2);
    assert_eq!(line.balances("A").await, JOINED);
    assert!(audit(&line, &events).await.is_clean());
}

#[tokio::test]
async fn three_homes_have_one_order_too() {
    let line = Line::new().await;
    // The third home had heard of what the first one did, and not of the second.
    let third = [in_epoch(2, 5, 9_000, 6), in_epoch(2, 5, 9_000, 7)];
    let [first, second] = [&split()[..5], &split()[5..]].map(<[Value]>::to_vec);
    for some in [&third[..], &first[..1], &second[..], &first[1..4], &first[4..]] {
        line.first(some).await;
    }
    assert_eq!(line.balances("A").await, [&JOINED[..], &[11_196, 20_196]].concat());
    assert_eq!(line.head("A").await.unwrap().reach.to_string(), "0.5 1.6 2.7");
}

#[tokio::test]
async fn the_same_version_with_other_content_is_a_fork_in_each_epoch() {
    let line = Line::new().await;
    line.first(&split()).await;
    assert_eq!(line.first(&[b(7, 6)]).await.quarantined, 1);
    assert_eq!(line.first(&[a(7, 8), b(7, 9)]).await.waiting, 2);
    assert_eq!(line.first(&[a(8, 8), b(8, 9)]).await.quarantined, 2);
    assert_eq!(line.shelf.reasons(), [Reason::VersionFork; 3]);
    assert_eq!(line.balances("A").await, JOINED);
}

#[tokio::test]
async fn a_refused_change_of_the_old_home_parks_its_own_chain() {
    let line = Line::new().await;
    line.first(&[a(1, 1), a(2, 2), a(3, 3), b(600, 4)]).await;
    let report = line.first(&[a(UNLUCKY, 4), a(50, 5)]).await;
    assert_eq!((report.quarantined, report.waiting, report.failed.len()), (1, 1, 0));
    assert_eq!(line.first(&[b(700, 5)]).await.applied, 1);
    assert_eq!(line.balances("A").await, [1, 3, 6, 606, 1_306]);
    let report = line.first(&[a(40, 4)]).await;
    assert_eq!((report.applied, report.resumed), (1, 1));
    assert_eq!(line.balances("A").await, JOINED[..7]);
    // What was edited is what is folded from now on.
    line.first(&[a(1, 6)]).await;
    assert_eq!(line.balances("A").await, [1, 3, 6, 46, 96, 97, 697, 1_397]);
}

#[tokio::test]
async fn one_that_is_refused_once_another_stands_before_it_leaves_the_item_again() {
    let first = [a(1, 1), a(2, 2), a(3, 3)];
    let (old, new) = ([a(MOST / 2, 4)], [b(MOST * 3 / 4, 4), b(7, 5)]);
    let (late, early) = (Line::new().await, Line::new().await);
    for (line, order) in [(&late, [&first[..], &new, &old]), (&early, [&first[..], &old, &new])] {
        for some in order {
            line.first(some).await;
        }
        assert_eq!(line.balances("A").await, [1, 3, 6, 6 + MOST / 2]);
        assert_eq!(line.waiting("A").await, [-4, 5]);
        let kept: Vec<String> = line.shelf.kept().iter().map(|it| it.raw.clone()).collect();
        assert_eq!(kept, [new[0].to_string()]);
        assert_eq!(line.first(&old).await.duplicate, 1);

        let report = line.first(&[b(4, 4)]).await;
        assert_eq!((report.applied, report.resumed), (1, 1));
        assert_eq!(line.balances("A").await, [1, 3, 6, 6 + MOST / 2, 10 + MOST / 2, 17 + MOST / 2]);
    }
    assert_eq!(late.head("A").await.unwrap().reach, early.head("A").await.unwrap().reach);
}

#[tokio::test]
async fn a_snapshot_and_a_split_come_to_the_same_in_the_end() {
    let line = Line::new().await;
    let events = split();
    line.stock.is("A", Version { epoch: 1, seq: 5 }, 1_306);
    line.first(&[a(1, 1), a(2, 2)]).await;
    line.come(&[(b(600, 4), LATE), (b(700, 5), LATE)]).await;
    assert_eq!(line.balances("A").await, [1_306], "the third never came");
    line.first(&[a(50, 5), b(800, 6), a(40, 4)]).await;
    assert_eq!(line.balances("A").await, [1_306, 2_106]);
    line.first(&[a(3, 3)]).await;
    assert_eq!(line.balances("A").await, JOINED);
    assert!(audit(&line, &events).await.is_clean() && line.shelf.kept().is_empty());
}

#[tokio::test]
async fn any_delivery_and_any_snapshots_come_to_the_same() {
    let events = split();
    let at = |epoch, seq| Version { epoch, seq };
    // What the source has at some time: what the old home knows, or what the new one does.
    let states = [(at(0, 3), 6), (at(0, 5), 96), (at(1, 4), 606), (at(1, 6), 2_106)];
    for seed in 0..40 {
        let (line, mut dice) = (Line::new().await, Dice::new(seed));
        let mut order: Vec<usize> =
            (0..events.len()).chain((0..6).map(|_| dice.below(events.len()))).collect();
        dice.shuffle(&mut order);
        let mut owed: BTreeSet<usize> = BTreeSet::new();
        while !order.is_empty() {
            let some = order.split_off(order.len().saturating_sub(1 + dice.below(4)));
            let (version, on_hand) = states[dice.below(states.len())];
            line.stock.is("A", version, on_hand);
            let comes: Vec<(Value, Comes)> = some
                .iter()
                .map(|it| (events[*it].clone(), if dice.percent(50) { LATE } else { Comes::First }))
                .collect();
            let failed = line.come(&comes).await.failed;
            for (number, event) in some.into_iter().enumerate() {
                let fails = failed.contains(&format!("message-{number}"));
                _ = if fails { owed.insert(event) } else { owed.remove(&event) };
            }
        }
        // Only what was asked for again comes again.
        let rest: Vec<Value> = owed.iter().map(|it| events[*it].clone()).collect();
        assert_eq!(line.first(&rest).await.failed.len(), 0, "seed {seed}");
        assert_eq!(line.balances("A").await, JOINED, "seed {seed}");
        assert!(audit(&line, &events).await.is_clean() && line.shelf.kept().is_empty(), "seed {seed}");
    }
}

#[tokio::test]
async fn what_comes_after_what_was_kept_is_let_go_is_quarantined() {
    let line = Line::new().await;
    let events = split();
    line.first(&[&events[..3], &events[5..7]].concat()).await;
    let key = Key::alone("A");
    for kept in
        [Kept { changes: resequence::KEPT, until: i64::MAX }, Kept { changes: 2, until: NOW.as_second() }]
    {
        // As if there had been as many changes, or as long ago.
        let head = line.head("A").await.unwrap();
        let next = Head { kept: Some(kept), ..head.clone() };
        line.store.ordered().advance(TABLE, &key, Some(&head), &next, None).await.unwrap();
        line.first(&[b(1, head.version().seq + 1)]).await;
        assert_eq!(line.head("A").await.unwrap().kept, None);
    }
    assert_eq!(line.beside("A").await, []);
    let before = line.balances("A").await;

    let report = line.first(&[a(40, 4)]).await;
    assert_eq!((report.quarantined, report.applied), (1, 0));
    assert!(line.shelf.kept()[0].detail.contains("rebuild"), "{:?}", line.shelf.kept());
    assert_eq!(line.balances("A").await, before);
    let known = [&events[..4], &events[5..7], &[b(1, 6), b(1, 7)]].concat();
    assert_eq!(audit(&line, &known).await.findings[0].drift.kind(), "stale");
    assert_eq!(line.first(&[b(9, 8), a(1, 2)]).await.applied, 1, "others go on");
}
