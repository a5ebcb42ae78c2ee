//! The read model of orders, with their lines as sold: by number, and by customer, newest first.

#[cfg(test)]
mod tests;

use crate::graph::{Customer, Product};
use async_graphql::{ComplexObject, Context, Enum, ID, SimpleObject};
use contracts::Envelope;
use contracts::orders::{self as contract, OrderCancelled, OrderPlaced};
use federation::read::List;
use federation::{DateTime, Money, entity};
use projection::{Index, Key, Projection, Row};
use serde::{Deserialize, Serialize};

/// The index by customer, without lines; a guest's orders don't stand in it.
const BY_CUSTOMER: Index = Index::new("by_customer", "customer_id", "placed_at").including(LISTED);
const LISTED: &[&str] = &["id", "country", "status", "total", "units", "line_count"];

/// An order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, SimpleObject)]
#[graphql(name = "Order", complex, cache_control(max_age = 10, private))]
pub struct View {
    /// Its number.
    pub id: ID,
    /// Who ordered; null for a guest.
    #[serde(rename = "customer_id", skip_serializing_if = "Option::is_none")]
    customer: Option<Customer>,
    /// The name in English of the country that it goes to.
    country: String,
    /// How it stands.
    status: Status,
    /// When it was placed.
    placed_at: DateTime,
    /// The exact sum of its lines.
    total: Money,
    /// How many pieces it has in all.
    units: u64,
    /// How many lines it has.
    line_count: usize,
    /// None in the index, though no order is without.
    #[graphql(skip)]
    #[serde(default)]
    lines: Vec<Line>,
}

/// An order.
#[ComplexObject]
impl View {
    /// Its lines as sold.
    #[graphql(complexity = "10 * child_complexity")]
    async fn lines(&self, ctx: &Context<'_>) -> Option<Vec<Line>> {
        match &*self.lines {
            [] => Some(entity::<Self>(ctx, federation::Key::alone(&*self.id)).await?.lines),
            lines => Some(lines.to_vec()),
        }
    }
}

/// How an order stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[graphql(name = "OrderStatus")]
pub enum Status {
    /// Placed, and not cancelled.
    Placed,
    /// Cancelled: nothing of it counts as sold.
    Cancelled,
    /// Something that this graph has no name for yet.
    Other,
}

/// A line of an order, as sold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, SimpleObject)]
#[graphql(name = "OrderLine", complex, cache_control(max_age = 10, private))]
pub struct Line {
    /// The position, from 1.
    position: u32,
    /// What it is about.
    kind: LineKind,
    /// Stock keeping unit, or the code of the fee.
    sku: String,
    /// The title as sold.
    title: String,
    /// How many pieces.
    quantity: u32,
    /// The price of one, as sold.
    unit_price: Money,
}

/// A line of an order, as sold.
#[ComplexObject]
impl Line {
    /// Quantity times unit price, exact.
    async fn amount(&self) -> Money {
        self.unit_price.times(self.quantity)
    }

    /// The product as it is now; null for a fee.
    async fn product(&self) -> Option<Product> {
        (self.kind == LineKind::Product).then(|| Product { sku: ID::from(&self.sku) })
    }
}

/// What a line is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[graphql(name = "OrderLineKind")]
pub enum LineKind {
    /// A product of the catalogue.
    Product,
    /// Postage, a fee, a discount or another charge.
    Fee,
    /// Something that this graph has no name for yet.
    Other,
}

/// Orders by number.
pub fn projection() -> Projection {
    Projection::new("orders", 3)
        .index(BY_CUSTOMER)
        .state(|event: &Envelope<OrderPlaced>| row(&event.data.0))
        .state(|event: &Envelope<OrderCancelled>| row(&event.data.0))
}

/// The orders of a customer, newest first; without their lines.
pub fn of(customer: &str) -> List {
    List::of(customer).index(BY_CUSTOMER.name, BY_CUSTOMER.partition, BY_CUSTOMER.sort).descending()
}

fn row(order: &contract::Order) -> Row {
    Row::new(Key::alone(&order.id), &View::from(order))
}

impl From<&contract::Order> for View {
    fn from(order: &contract::Order) -> Self {
        let contract::Order { id, customer_id, country, placed_at, currency, lines, .. } = order;
        Self {
            id: id.into(),
            customer: customer_id.as_ref().map(|id| Customer { id: id.into() }),
            country: country.clone(),
            status: match order.status {
                contract::Status::Placed => Status::Placed,
                contract::Status::Cancelled => Status::Cancelled,
                contract::Status::Unknown(_) => Status::Other,
            },
            placed_at: (*placed_at).into(),
            total: Money::new(order.total(), currency),
            units: lines.iter().map(|line| u64::from(line.quantity)).sum(),
            line_count: lines.len(),
            lines: lines.iter().map(|line| Line::of(line, currency)).collect(),
        }
    }
}

impl Line {
    fn of(line: &contract::Line, currency: &str) -> Self {
        let contract::Line { position, kind, sku, title, quantity, unit_price, .. } = line.clone();
        let kind = match kind {
            contract::LineKind::Product => LineKind::Product,
            contract::LineKind::Fee => LineKind::Fee,
            contract::LineKind::Unknown(_) => LineKind::Other,
        };
        Self { position, kind, sku, title, quantity, unit_price: Money::new(unit_price, currency) }
    }
}
