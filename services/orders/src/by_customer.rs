//! The read model of a customer's orders: each without its lines. Guests have none.

#[cfg(test)]
mod tests;

use contracts::Envelope;
use contracts::orders::{Order, OrderCancelled, OrderPlaced, Status};
use federation::read::List;
use jiff::Timestamp;
use projection::{Key, Projection, Row};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

/// An order without its lines.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The order's number.
    pub id: String,
    /// Who ordered; none for a guest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer_id: Option<String>,
    /// The name in English of the country that it goes to.
    pub country: String,
    /// How it stands.
    pub status: Status,
    /// When it was placed.
    pub placed_at: Timestamp,
    /// ISO 4217 code of all its amounts.
    pub currency: String,
    /// The exact sum of its lines.
    pub total: Decimal,
    /// How many pieces it has in all.
    pub units: u64,
    /// How many lines it has.
    pub line_count: u32,
}

/// Orders by customer and time. Neither ever changes for an order.
pub fn projection() -> Projection {
    Projection::new("by_customer", 1)
        .state(|event: &Envelope<OrderPlaced>| row(&event.data.0))
        .state(|event: &Envelope<OrderCancelled>| row(&event.data.0))
}

/// The orders of a customer, newest first.
pub fn of(customer: &str) -> List {
    List::of(customer).descending()
}

impl From<&Order> for Summary {
    fn from(order: &Order) -> Self {
        Self {
            id: order.id.clone(),
            customer_id: order.customer_id.clone(),
            country: order.country.clone(),
            status: order.status.clone(),
            placed_at: order.placed_at,
            currency: order.currency.clone(),
            total: order.total(),
            units: order.lines.iter().map(|line| u64::from(line.quantity)).sum(),
            line_count: u32::try_from(order.lines.len()).unwrap_or(u32::MAX),
        }
    }
}

fn row(order: &Order) -> Vec<Row> {
    let key = |customer: &String| Key::new(customer, at(order.placed_at, &order.id));
    let row = |customer| Row::new(key(customer), &Summary::from(order));
    order.customer_id.iter().map(row).collect()
}

/// A sort key in the order of time: as many digits for every moment.
pub(crate) fn at(time: Timestamp, id: &str) -> String {
    format!("{time:.6}#{id}")
}
