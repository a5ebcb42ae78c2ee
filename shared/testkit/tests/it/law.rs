//! The law holds for each kind of join.

use crate::samples::{Balances, balances, order, prices, products, sales, sold, stock, title};
use contracts::catalogue::{ProductDelisted, ProductListed, ProductRetitled};
use contracts::inventory::{Reason, StockAdjusted};
use contracts::orders::{OrderCancelled, OrderPlaced, Status};
use contracts::{Envelope, Event, Extra};
use projection::{Key, Projection};
use rust_decimal::Decimal;
use serde_json::json;
use testkit::{event, given, law, log};

#[test]
fn of_state_with_tombstones() {
    law::of(products());
}

#[test]
fn of_two_sources_in_one_item() {
    law::of(prices());
}

#[test]
fn of_a_dotted_set() {
    law::of(stock());
}

#[test]
fn of_a_ledger() {
    law::of(sales());
}

#[test]
fn of_changes_in_order() {
    law::of(balances());
}

#[test]
fn of_more_changes_in_order_than_one_look_shows() {
    let adjusted = |quantity| StockAdjusted { quantity, ..StockAdjusted::example() };
    let log = (1..=40).map(adjusted).fold(log(), |log, it| log.event(&it));
    law::Law::new(balances()).cases(12).check(&law::parts(&log)).unwrap();
}

#[test]
#[should_panic(expected = "Give each domain a source")]
fn two_aggregates_in_one_order_are_told() {
    let one = |_: &Envelope<StockAdjusted>| Key::alone("all");
    law::of(Projection::new("one", 1).ordered(one, |view: Option<Balances>, _| Ok(view.unwrap_or_default())));
}

#[test]
fn of_a_dotted_set_long_enough_to_be_compacted() {
    let adjusted = |number: i64| StockAdjusted {
        sku: "22423".into(),
        quantity: number * 7 - 100,
        reason: Reason::Found,
        extra: Extra::default(),
    };
    let log = (0..120).map(adjusted).fold(log(), |log, it| log.event(&it));
    law::Law::new(stock()).cases(4).check(&law::parts(&log)).unwrap();
}

#[test]
fn of_orders_that_are_cancelled() {
    let placed = order("1", &[("22423", 3), ("85123A", 1)]);
    let cancelled = contracts::orders::Order { status: Status::Cancelled, ..placed.clone() };
    let other = order("2", &[("22423", 5)]);
    law::holds(
        sales(),
        log().event(&OrderPlaced(placed)).event(&OrderCancelled(cancelled)).event(&OrderPlaced(other)),
    );
}

#[test]
fn derived_logs_are_valid_histories_that_differ_and_reach_every_event() {
    use proptest::strategy::{Strategy, ValueTree};
    use std::collections::{BTreeMap, BTreeSet};
    let logs = law::logs(&products()).unwrap();
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut types, mut titles, mut longest, mut forks) = (BTreeSet::new(), BTreeSet::new(), 0, 0);
    for _ in 0..64 {
        let log = logs.new_tree(&mut runner).unwrap().current();
        let mut seen: BTreeMap<String, BTreeSet<(u64, u64)>> = BTreeMap::new();
        for event in log.envelopes() {
            let seen = seen.entry(event["subject"].to_string()).or_default();
            let [epoch, seq] = ["epoch", "seq"].map(|it| event["version"][it].as_u64().unwrap());
            let base = event["epochBase"].as_u64().unwrap_or(0);
            // Each goes on from what is there, the first of an epoch from what an earlier one came to.
            let before = |it: &(u64, u64)| it.1 == seq - 1 && (it.0 == epoch || it.0 < epoch && base == it.1);
            assert!(seq == 1 || seen.iter().any(before), "{log:?}");
            forks += usize::from(seen.iter().any(|it| it.1 == seq));
            assert!(seen.insert((epoch, seq)), "{log:?}");
            longest = longest.max(seq);
            types.insert(event["type"].as_str().unwrap().to_owned());
            titles.insert(event["data"]["title"].to_string());
        }
    }
    assert_eq!(types.len(), 3);
    assert!(longest > 3 && titles.len() > 4 && forks > 10, "{forks} {titles:?}");
}

#[test]
fn given_events_items_are_expected() {
    let cakestand = title("22423", "Cakestand");
    given(&products())
        .when(&[
            event(&ProductListed(cakestand), 1),
            event(&ProductRetitled(title("22423", "Cake stand")), 2),
            event(&ProductListed(title("85123A", "T-light holder")), 1),
            event(&ProductDelisted { sku: "85123A".into(), extra: Extra::default() }, 2),
        ])
        .then_item(&Key::alone("22423"), &json!({ "title": "Cake stand", "shelf": "all" }))
        .then_nothing(&Key::alone("85123A"))
        .then_nothing(&Key::alone("never"))
        .then_items(&[(Key::alone("22423"), json!({ "title": "Cake stand", "shelf": "all" }))]);
    let total =
        |units: u32, revenue: f64| json!({ "units": units, "revenue": revenue, "country": "United Kingdom" });
    given(&sales())
        .when(&[
            event(&OrderPlaced(order("1", &[("22423", 3)])), 1),
            event(&OrderPlaced(order("1", &[("22423", 2)])), 2),
            event(&OrderPlaced(order("2", &[("22423", 5)])), 1),
        ])
        .then_items(&[(Key::new("sales#United Kingdom", "product#22423"), total(7, 89.25))]);
}

#[test]
#[should_panic(expected = "is:       {\"shelf\": \"all\", \"title\": \"Cakestand\"}")]
fn a_wrong_item_is_shown() {
    drop(
        given(&products())
            .when(&[event(&ProductListed(title("22423", "Cakestand")), 1)])
            .then_item(&Key::alone("22423"), &json!({ "title": "Cake stand" })),
    );
}

#[test]
fn a_refusal_is_expected() {
    let strict = Projection::new("strict", 1).state(|event: &Envelope<ProductListed>| {
        if event.data.0.title.is_empty() {
            return Err(projection::Rejected("a product without a title".to_owned()));
        }
        Ok(vec![projection::Row::new(Key::alone("x"), &json!({}))])
    });
    given(&strict).rejects(&event(&ProductListed(title("22423", "")), 1), "without a title");
}

#[test]
#[should_panic(expected = "Name it with zero amounts")]
fn a_forgotten_ledger_is_told() {
    let forgetful = Projection::new("forgetful", 1)
        .contribution(|event: &Envelope<OrderPlaced>| sold(&event.data.0))
        .contribution(|_: &Envelope<OrderCancelled>| Vec::new());
    law::of(forgetful);
}

#[test]
#[should_panic(expected = "Give each domain a source")]
fn two_writers_of_one_item_are_told() {
    let clash = Projection::new("clash", 1).state(|event: &Envelope<ProductListed>| {
        projection::Row::new(Key::alone("all"), &json!({ "title": event.data.0.title }))
    });
    law::of(clash);
}

#[test]
#[should_panic(expected = "Make them one")]
fn two_changes_of_one_total_in_one_event_are_told() {
    let twice = Projection::new("twice", 1).delta(|event: &Envelope<StockAdjusted>| {
        let dot = || projection::Dot::new(Key::alone(&event.data.sku), [("n", Decimal::ONE)]);
        vec![dot(), dot()]
    });
    law::of(twice);
}

#[test]
#[should_panic(expected = "nothing was shown")]
fn a_law_about_nothing_is_told() {
    law::holds(products(), log().event(&StockAdjusted::example()));
}
