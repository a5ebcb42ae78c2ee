use super::{key, projection};
use contracts::orders::{Line, LineKind, Order, OrderCancelled, OrderPlaced, Status};
use contracts::returns::{CreditNote, CreditNoteIssued};
use contracts::{Event, Extra};
use serde_json::json;
use testkit::{Log, given, log};

fn line(sku: &str, quantity: u32) -> Line {
    let kind = if sku == "POST" { LineKind::Fee } else { LineKind::Product };
    let (title, unit_price) = (sku.to_owned(), rust_decimal::Decimal::ONE);
    Line { position: 1, kind, sku: sku.into(), title, quantity, unit_price, extra: Extra::default() }
}

fn order(id: &str, status: Status, lines: &[Line]) -> Order {
    let OrderPlaced(example) = OrderPlaced::example();
    Order { id: id.into(), status, lines: lines.to_vec(), ..example }
}

fn history() -> Log {
    let lines = [line("A", 5), line("B", 1), line("A", 2), line("POST", 1)];
    let CreditNoteIssued(note) = CreditNoteIssued::example();
    let back = CreditNote { lines: vec![line("A", 1), line("B", 1), line("A", 3)], ..note };
    log()
        .event(&OrderPlaced(order("1", Status::Placed, &lines)))
        .event(&OrderPlaced(order("2", Status::Placed, &lines)))
        .event(&CreditNoteIssued(back))
        .event(&OrderCancelled(order("2", Status::Cancelled, &lines)))
        .event(&OrderPlaced(order("3", Status::Placed, &[line("C", 9)])))
        .event(&OrderCancelled(order("3", Status::Cancelled, &[line("C", 9)])))
}

#[test]
fn any_delivery_gives_the_canonical_reservations() {
    testkit::law::of(projection());
}

#[test]
fn any_delivery_of_cancellations_and_returns_gives_the_canonical_reservations() {
    testkit::law::holds(projection(), history());
}

#[test]
fn placed_orders_reserve_products_and_cancelled_ones_do_not() {
    given(&projection()).when(history().envelopes()).then_items(&[
        (key("A"), json!({ "reserved": 7, "returned": 4 })),
        (key("B"), json!({ "reserved": 1, "returned": 1 })),
    ]);
}
