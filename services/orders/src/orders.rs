//! The read model of orders, by number, with their lines as sold.

#[cfg(test)]
mod tests;

use crate::by_customer::Summary;
use contracts::Envelope;
use contracts::orders::{LineKind, Order, OrderCancelled, OrderPlaced};
use projection::{Key, Projection, Row};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

/// An order as the subgraph shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct View {
    /// The order without its lines.
    pub summary: Summary,
    /// Its lines, in the order of their positions.
    pub lines: Vec<Line>,
}

/// A line as sold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// The position in the order, from 1.
    pub position: u32,
    /// What it is about.
    pub kind: LineKind,
    /// Stock keeping unit, or the code of the fee.
    pub sku: String,
    /// The title as sold.
    pub title: String,
    /// How many pieces.
    pub quantity: u32,
    /// The exact price of one.
    pub unit_price: Decimal,
}

/// Orders by number.
pub fn projection() -> Projection {
    Projection::new("orders", 1)
        .state(|event: &Envelope<OrderPlaced>| row(&event.data.0))
        .state(|event: &Envelope<OrderCancelled>| row(&event.data.0))
}

impl From<&Order> for View {
    fn from(order: &Order) -> Self {
        Self { summary: order.into(), lines: order.lines.iter().map(Line::from).collect() }
    }
}

impl From<&contracts::orders::Line> for Line {
    fn from(line: &contracts::orders::Line) -> Self {
        Self {
            position: line.position,
            kind: line.kind.clone(),
            sku: line.sku.clone(),
            title: line.title.clone(),
            quantity: line.quantity,
            unit_price: line.unit_price,
        }
    }
}

fn row(order: &Order) -> Row {
    Row::new(Key::alone(&order.id), &View::from(order))
}
