use super::projection;
use contracts::Event;
use contracts::orders::{Order, OrderCancelled, OrderPlaced, Status};
use projection::Key;
use serde_json::json;
use testkit::{event, given};

#[test]
fn any_delivery_gives_the_canonical_sales() {
    testkit::law::of(projection());
}

#[test]
fn a_cancelled_order_has_no_lines_and_a_fee_no_sku() {
    let OrderPlaced(order) = OrderPlaced::example();
    let key = Key::alone(format!("order#{}", order.id));
    let trade = |lines| {
        json!({
            "kind": "order", "at": order.placed_at, "country": order.country, "currency": order.currency,
            "customer": order.customer_id, "lines": lines,
        })
    };
    let lines = json!([
        { "sku": "22423", "units": 2, "amount": "25.50" },
        { "sku": null, "units": 1, "amount": "4.50" },
    ]);
    let placed = event(&OrderPlaced(order.clone()), 1);
    given(&projection()).when(std::slice::from_ref(&placed)).then_items(&[(key.clone(), trade(lines))]);
    let cancelled = OrderCancelled(Order { status: Status::Cancelled, ..order.clone() });
    given(&projection()).when(&[event(&cancelled, 2), placed]).then_items(&[(key, trade(json!([])))]);
}
