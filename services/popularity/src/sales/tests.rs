use super::{By, Entry, projection, ranked, shard};
use crate::trade::tests::{history, line, note, order};
use contracts::orders::{OrderCancelled, OrderPlaced, Status};
use contracts::returns::CreditNoteIssued;
use projection::Key;
use serde_json::{Value, json};
use testkit::{event, given};

#[test]
fn any_delivery_gives_the_canonical_sales() {
    testkit::law::of(projection());
}

#[test]
fn any_delivery_of_cancellations_and_returns_gives_the_canonical_sales() {
    testkit::law::holds(projection(), history());
}

/// The totals of a ledger, all the same.
fn totals(ledger: &str, totals: &[&str], item: &Value) -> Vec<(Key, Value)> {
    totals.iter().map(|total| (Key::new(ledger, *total), item.clone())).collect()
}

/// The totals of product A, all the same but for their scope.
fn totals_of_a(of: &[&str], item: &Value) -> Vec<(Key, Value)> {
    let mut items = totals("GBP#sku#A", of, item);
    for (key, item) in &mut items {
        item["scope"] = format!("GBP#{}#{}", key.sk, shard("A")).into();
    }
    items
}

#[test]
fn fees_count_for_the_shop_and_the_customer_and_the_lines_of_a_product_are_one_contribution() {
    let lines = [line("A", 2, "12.75"), line("POST", 1, "18"), line("A", 1, "0.001")];
    let placed = OrderPlaced(order("1", "France", "2011-03-31T23:59:59Z", &lines));
    let three = ["total", "country#France", "month#2011-03"];
    let all = json!({ "orders": 1, "lines": 3, "units": 4, "revenue": 43_501_000 });
    let product = json!({ "orders": 1, "lines": 2, "units": 3, "revenue": 25_501_000 });
    let expected = [
        totals("GBP#all", &three, &all),
        totals("GBP#customer#17850", &["total"], &all),
        totals_of_a(&three, &product),
    ];
    given(&projection()).when(&[event(&placed, 1)]).then_items(&expected.concat());
}

#[test]
fn a_cancelled_order_counts_nothing_and_returns_take_nothing_off() {
    let placed = order("1", "France", "2011-03-01T10:00:00Z", &[line("A", 2, "12.75")]);
    let mut cancelled = placed.clone();
    cancelled.status = Status::Cancelled;
    let back = CreditNoteIssued(note("C1", "EIRE", "2011-04-01T10:00:00Z", &[line("A", 1, "12.75")]));
    let three = ["total", "country#EIRE", "month#2011-04"];
    let item = json!({ "credit_notes": 1, "returned_lines": 1, "returned_units": 1, "refunds": 12_750_000 });
    let expected = [
        totals("GBP#all", &three, &item),
        totals("GBP#customer#17850", &["total"], &item),
        totals_of_a(&three, &item),
    ];
    given(&projection())
        .when(&[event(&OrderPlaced(placed), 1), event(&OrderCancelled(cancelled), 2), event(&back, 1)])
        .then_items(&expected.concat());
}

#[test]
fn an_order_without_a_currency_is_refused() {
    let mut placed = order("1", "France", "2011-03-01T10:00:00Z", &[line("A", 2, "12.75")]);
    placed.currency = "pounds".into();
    given(&projection())
        .rejects(&event(&OrderPlaced(placed), 1), "`currency` must be three upper-case letters");
}

#[test]
fn products_that_tie_share_a_rank() {
    let entry = |sku: &str, units, revenue| Entry { pk: format!("GBP#sku#{sku}"), units, revenue };
    let entries = [entry("D", 0, 0), entry("C", 9, 1), entry("B", 5, 3), entry("A#1", 9, 2)];
    let ranks = |by| -> Vec<(usize, String)> {
        let ranked = ranked(entries.clone(), by).into_iter();
        ranked.map(|(rank, entry)| (rank, entry.sku().to_owned())).collect()
    };
    let of = |ranks: [(usize, &str); 3]| ranks.map(|(rank, sku)| (rank, sku.to_owned()));
    assert_eq!(ranks(By::Units), of([(1, "A#1"), (1, "C"), (3, "B")]));
    assert_eq!(ranks(By::Revenue), of([(1, "B"), (2, "A#1"), (3, "C")]));
}
