//! The read model of what orders reserve, and of what came back.

#[cfg(test)]
mod tests;

use contracts::Envelope;
use contracts::orders::{Line, LineKind, Order, OrderCancelled, OrderPlaced, Status};
use contracts::returns::CreditNoteIssued;
use projection::{Amount, Contribution, Key, Projection};
use rust_decimal::Decimal;
use serde::Deserialize;

/// What orders and credit notes came to for a product.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct View {
    /// Pieces in placed orders.
    pub reserved: i64,
    /// Pieces that came back.
    pub returned: i64,
}

const UNITS: &str = "units";

/// A ledger for each product.
pub fn projection() -> Projection {
    Projection::new("reservations", 1)
        .contribution(|event: &Envelope<OrderPlaced>| reserved(&event.data.0))
        .contribution(|event: &Envelope<OrderCancelled>| reserved(&event.data.0))
        .contribution(|event: &Envelope<CreditNoteIssued>| units(&event.data.0.lines, "returned", true))
}

/// The key of a product's total.
pub fn key(sku: &str) -> Key {
    Key::new(sku, UNITS)
}

fn reserved(order: &Order) -> Vec<Contribution> {
    units(&order.lines, "reserved", order.status != Status::Cancelled)
}

/// The lines of one product become one contribution. What doesn't count any more names its products all the same, so
/// that what it contributed before is taken back.
fn units(lines: &[Line], what: &'static str, counts: bool) -> Vec<Contribution> {
    let products = lines.iter().filter(|line| line.kind == LineKind::Product);
    let contribution = |line: &Line| {
        let units = if counts { line.quantity.into() } else { Decimal::ZERO };
        Contribution::new(&line.sku, vec![Amount::new(UNITS, [(what, units)])])
    };
    products.map(contribution).collect()
}
