use super::{By, Entry, projection, ranked, shard};
use crate::trade::tests::{history, line, note, order};
use contracts::orders::{CreditNoteIssued, OrderCancelled, OrderPlaced, Status};
use projection::Key;
use serde_json::json;
use testkit::{event, given};

#[test]
fn any_delivery_gives_the_canonical_sales() {
    testkit::law::of(projection());
}

#[test]
fn any_delivery_of_cancellations_and_returns_gives_the_canonical_sales() {
    testkit::law::holds(projection(), history());
}

#[test]
fn the_lines_of_one_product_are_one_contribution_and_fees_are_none() {
    let lines = [line("A", 2, "12.75"), line("POST", 1, "18"), line("A", 1, "0.001")];
    let placed = OrderPlaced(order("1", "France", "2011-03-31T23:59:59Z", &lines));
    let total = |total: &str| {
        let scope = format!("GBP#{total}#{}", shard("A"));
        let item = json!({ "orders": 1, "lines": 2, "units": 3, "revenue": 25_501_000_i64, "scope": scope });
        (Key::new("GBP#A", total), item)
    };
    given(&projection()).when(&[event(&placed, 1)]).then_items(&[
        total("total"),
        total("country#France"),
        total("month#2011-03"),
    ]);
}

#[test]
fn a_cancelled_order_counts_nothing_and_returns_take_nothing_off() {
    let placed = order("1", "France", "2011-03-01T10:00:00Z", &[line("A", 2, "12.75")]);
    let mut cancelled = placed.clone();
    cancelled.status = Status::Cancelled;
    let back = CreditNoteIssued(note("C1", "EIRE", "2011-04-01T10:00:00Z", &[line("A", 1, "12.75")]));
    let total = |total: &str| {
        let scope = format!("GBP#{total}#{}", shard("A"));
        let item = json!({
            "credit_notes": 1, "returned_lines": 1, "returned_units": 1, "refunds": 12_750_000, "scope": scope
        });
        (Key::new("GBP#A", total), item)
    };
    given(&projection())
        .when(&[event(&OrderPlaced(placed), 1), event(&OrderCancelled(cancelled), 2), event(&back, 1)])
        .then_items(&[total("total"), total("country#EIRE"), total("month#2011-04")]);
}

#[test]
fn an_order_without_a_currency_is_refused() {
    let mut placed = order("1", "France", "2011-03-01T10:00:00Z", &[line("A", 2, "12.75")]);
    placed.currency = "pounds".into();
    given(&projection()).rejects(&event(&OrderPlaced(placed), 1), "three capital letters");
}

#[test]
fn products_that_tie_share_a_rank() {
    let entry = |sku: &str, units, revenue| Entry { pk: format!("GBP#{sku}"), units, revenue };
    let entries = [entry("D", 0, 0), entry("C", 9, 1), entry("B", 5, 3), entry("A#1", 9, 2)];
    let ranks = |by| -> Vec<(usize, String)> {
        let ranked = ranked(entries.clone(), by).into_iter();
        ranked.map(|(rank, entry)| (rank, entry.sku().to_owned())).collect()
    };
    let of = |ranks: [(usize, &str); 3]| ranks.map(|(rank, sku)| (rank, sku.to_owned()));
    assert_eq!(ranks(By::Units), of([(1, "A#1"), (1, "C"), (3, "B")]));
    assert_eq!(ranks(By::Revenue), of([(1, "B"), (2, "A#1"), (3, "C")]));
}
