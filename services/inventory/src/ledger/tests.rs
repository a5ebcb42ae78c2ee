use super::{ENTRIES, View, key, next, projection, taken};
use crate::stock::Adjusted;
use contracts::Extra;
use contracts::inventory::{Reason, StockAdjusted};
use contracts::{Envelope, Event};
use serde_json::{Value, json};
use testkit::given;

fn adjusted(sku: &str, quantity: i64) -> StockAdjusted {
    StockAdjusted { sku: sku.into(), quantity, reason: Reason::Found, extra: Extra::default() }
}

fn envelope(quantity: i64, seq: u64) -> Envelope<StockAdjusted> {
    serde_json::from_value(testkit::event(&adjusted("A", quantity), seq)).expect("an envelope")
}

#[test]
fn any_delivery_gives_the_canonical_ledger() {
    testkit::law::of(projection());
}

/// A time as an item has it.
fn stored(time: &Value) -> Value {
    let time: federation::DateTime = serde_json::from_value(time.clone()).expect("a time");
    serde_json::to_value(time).expect("a text")
}

#[test]
fn each_adjustment_has_the_balance_after_it() {
    let log = [adjusted("A", 10), adjusted("B", 1), adjusted("A", -12), adjusted("A", -1)];
    let log = log.iter().fold(testkit::log(), testkit::Log::event);
    let events = log.envelopes();
    let entry = |event: &Value, balance: i64| {
        let (at, quantity) = (stored(&event["time"]), &event["data"]["quantity"]);
        json!({ "at": at, "quantity": quantity, "reason": "found", "balance": balance })
    };
    let a = [entry(&events[0], 10), entry(&events[2], -2), entry(&events[3], -3)];
    given(&projection()).when(events).then_items(&[
        (
            key("A"),
            json!({ "balance": -3, "short_since": stored(&events[2]["time"]), "gap": false, "entries": a }),
        ),
        (key("B"), json!({ "balance": 1, "gap": false, "entries": [entry(&events[1], 1)] })),
    ]);
}

#[test]
fn what_is_short_no_longer_is_short_from_the_next_time_on() {
    let mut view = None;
    for (seq, quantity) in (1..).zip([-1, -1, 2, 3, -9]) {
        view = Some(next(view, &envelope(quantity, seq)).expect("it can be counted"));
        let since = view.as_ref().and_then(|it: &View| it.short_since);
        let expected = [Some(1), Some(1), None, None, Some(5)][usize::try_from(seq - 1).expect("small")];
        assert_eq!(since.map(|it| it.0), expected.map(|seq| envelope(0, seq).time));
    }
}

#[test]
fn the_last_adjustments_are_kept() {
    let log = (0..70).map(|_| adjusted("A", 1)).fold(testkit::log(), |log, it| log.event(&it));
    let of = |event: &Value| stored(&event["time"]);
    let entries: Vec<Value> = (20..70)
        .map(|number| {
            let at = of(&log.envelopes()[number]);
            json!({ "at": at, "quantity": 1, "reason": "found", "balance": number + 1 })
        })
        .collect();
    assert_eq!(entries.len(), ENTRIES);
    let view = json!({ "balance": 70, "gap": false, "entries": entries });
    given(&projection()).when(log.envelopes()).then_item(&key("A"), &view).then_items(&[(key("A"), view)]);
}

#[test]
fn what_cant_be_counted_is_refused() {
    let full = View { balance: i64::MAX, ..View::default() };
    assert!(next(Some(full), &envelope(1, 2)).is_err());
}

#[test]
fn what_was_taken_from_the_stock_says_so_until_its_entries_are_full() {
    let mut view = taken(&Adjusted { sku: "A".into(), on_hand: -5 });
    assert_eq!((view.balance, view.gap, view.short_since), (-5, true, None));
    for seq in 1..=ENTRIES as u64 {
        view = next(Some(view), &envelope(1, seq)).expect("it can be counted");
        assert!(view.gap);
    }
    assert_eq!(view.balance, 45);
    assert!(!next(Some(view), &envelope(1, 51)).expect("it can be counted").gap);
    assert_eq!(StockAdjusted::DOMAIN, crate::micrograph().name(), "the snapshot is of its own aggregate");
}
