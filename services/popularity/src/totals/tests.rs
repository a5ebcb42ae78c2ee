use super::projection;
use crate::trade::tests::{history, line, order};
use contracts::orders::OrderPlaced;
use projection::Key;
use serde_json::json;
use testkit::{event, given};

#[test]
fn any_delivery_gives_the_canonical_totals() {
    testkit::law::of(projection());
}

#[test]
fn any_delivery_of_cancellations_and_returns_gives_the_canonical_totals() {
    testkit::law::holds(projection(), history());
}

#[test]
fn all_lines_count_for_the_shop_and_the_customer() {
    let lines = [line("A", 2, "12.75"), line("POST", 1, "18")];
    let placed = OrderPlaced(order("1", "France", "2011-03-01T10:00:00Z", &lines));
    let item = json!({ "orders": 1, "lines": 2, "units": 3, "revenue": 43_500_000 });
    let keys = [
        Key::new("GBP#all", "total"),
        Key::new("GBP#all", "country#France"),
        Key::new("GBP#all", "month#2011-03"),
        Key::new("GBP#customer#17850", "total"),
    ];
    given(&projection()).when(&[event(&placed, 1)]).then_items(&keys.map(|key| (key, item.clone())));
}
