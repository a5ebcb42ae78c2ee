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
const BY_CUSTOMER: Index = Index::new("by_customer", "customer_id", "placed_key").including(LISTED);
const LISTED: &[&str] = &["id", "country", "status", "placed_at", "total", "units", "line_count"];

/// An order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, SimpleObject)]
#[graphql(name = "Order", complex, cache_control(max_age = 10, private))]
pub struct View {
    /// Its number.
    pub id: ID,
    #[graphql(skip)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    customer_id: Option<String>,
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
    #[graphql(skip)]
    placed_key: String,
}

/// An order.
#[ComplexObject]
impl View {
    /// Who ordered; null for a guest.
    async fn customer(&self) -> Option<Customer> {
        self.customer_id.as_ref().map(Customer::from)
    }

    /// Its lines as sold.
    #[graphql(complexity = "10 * child_complexity")]
    async fn lines(&self, ctx: &Context<'_>) -> Option<Vec<Line>> {
        if self.lines.is_empty() { Some(load(ctx, &self.id).await?.lines) } else { Some(self.lines.clone()) }
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

/// A line of an order or of a credit note, as sold.
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
    /// How many pieces; of a credit note, how many came back.
    quantity: u32,
    /// The price of one, as sold.
    unit_price: Money,
}

/// A line of an order or of a credit note, as sold.
#[ComplexObject]
impl Line {
    /// Quantity times unit price, exact.
    async fn amount(&self) -> Money {
        let Money { amount, currency } = &self.unit_price;
        Money::new(amount.0 * rust_decimal::Decimal::from(self.quantity), currency)
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
    Projection::new("orders", 2)
        .index(BY_CUSTOMER)
        .state(|event: &Envelope<OrderPlaced>| row(&event.data.0))
        .state(|event: &Envelope<OrderCancelled>| row(&event.data.0))
}

/// The order of a number.
pub async fn load(ctx: &Context<'_>, id: &str) -> Option<View> {
    entity(ctx, federation::Key::new(id, Key::ALONE)).await
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
        Self {
            id: ID::from(&order.id),
            customer_id: order.customer_id.clone(),
            country: order.country.clone(),
            status: match order.status {
                contract::Status::Placed => Status::Placed,
                contract::Status::Cancelled => Status::Cancelled,
                contract::Status::Unknown(_) => Status::Other,
            },
            placed_at: order.placed_at.into(),
            total: Money::new(order.total(), &order.currency),
            units: order.lines.iter().map(|line| u64::from(line.quantity)).sum(),
            line_count: order.lines.len(),
            lines: lines(&order.lines, &order.currency),
            placed_key: sort_key(order.placed_at, &order.id),
        }
    }
}

/// Lines as they are shown.
pub fn lines(lines: &[contract::Line], currency: &str) -> Vec<Line> {
    let shown = |line: &contract::Line| Line {
        position: line.position,
        kind: match line.kind {
            contract::LineKind::Product => LineKind::Product,
            contract::LineKind::Fee => LineKind::Fee,
            contract::LineKind::Unknown(_) => LineKind::Other,
        },
        sku: line.sku.clone(),
        title: line.title.clone(),
        quantity: line.quantity,
        unit_price: Money::new(line.unit_price, currency),
    };
    lines.iter().map(shown).collect()
}

/// A sort key in the order of time: as many digits for every moment.
pub fn sort_key(time: jiff::Timestamp, id: &str) -> String {
    format!("{time:.6}#{id}")
}
