//! The read model of credit notes: by number, and by customer, newest first.

#[cfg(test)]
mod tests;

use crate::graph::{Customer, Product};
use async_graphql::{ComplexObject, Enum, ID, SimpleObject};
use contracts::returns::{CreditNote, CreditNoteIssued};
use contracts::{Envelope, orders};
use federation::read::List;
use federation::{DateTime, Money};
use projection::{Index, Key, Projection, Row};
use serde::{Deserialize, Serialize};

/// The index by customer; a guest's credit notes don't stand in it.
const BY_CUSTOMER: Index = Index::new("by_customer", "customer_id", "issued_at");

/// A credit note: goods that came back, and what was refunded for them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, SimpleObject)]
#[graphql(name = "CreditNote", cache_control(max_age = 10, private))]
pub struct View {
    /// Its number.
    id: ID,
    /// Who returned; null for a guest.
    #[serde(rename = "customer_id", skip_serializing_if = "Option::is_none")]
    customer: Option<Customer>,
    /// The name in English of the customer's country.
    country: String,
    /// When it was issued.
    issued_at: DateTime,
    /// What was refunded: the exact sum of its lines.
    total: Money,
    /// What came back.
    #[graphql(complexity = "10 * child_complexity")]
    lines: Vec<Line>,
}

/// A line of a credit note, as it was sold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, SimpleObject)]
#[graphql(name = "CreditNoteLine", complex, cache_control(max_age = 10, private))]
pub struct Line {
    /// The position, from 1.
    position: u32,
    /// What it is about.
    kind: LineKind,
    /// Stock keeping unit, or the code of the fee.
    sku: String,
    /// The title as sold.
    title: String,
    /// How many pieces came back.
    quantity: u32,
    /// The price of one, as sold.
    unit_price: Money,
}

/// A line of a credit note, as it was sold.
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
#[graphql(name = "CreditNoteLineKind")]
pub enum LineKind {
    /// A product of the catalogue.
    Product,
    /// Postage, a fee, a discount or another charge.
    Fee,
    /// Something that this graph has no name for yet.
    Other,
}

/// Credit notes by number.
pub fn projection() -> Projection {
    Projection::new("credit_notes", 1)
        .index(BY_CUSTOMER)
        .state(|event: &Envelope<CreditNoteIssued>| row(&event.data.0))
}

/// The credit notes of a customer, newest first.
pub fn of(customer: &str) -> List {
    List::of(customer).index(BY_CUSTOMER.name, BY_CUSTOMER.partition, BY_CUSTOMER.sort).descending()
}

fn row(note: &CreditNote) -> Row {
    let CreditNote { id, customer_id, country, issued_at, currency, lines, .. } = note;
    let view = View {
        id: id.into(),
        customer: customer_id.as_ref().map(|id| Customer { id: id.into() }),
        country: country.clone(),
        issued_at: (*issued_at).into(),
        total: Money::new(note.total(), currency),
        lines: lines.iter().map(|line| Line::of(line, currency)).collect(),
    };
    Row::new(Key::alone(id), &view)
}

impl Line {
    fn of(line: &orders::Line, currency: &str) -> Self {
        let orders::Line { position, kind, sku, title, quantity, unit_price, .. } = line.clone();
        let kind = match kind {
            orders::LineKind::Product => LineKind::Product,
            orders::LineKind::Fee => LineKind::Fee,
            orders::LineKind::Unknown(_) => LineKind::Other,
        };
        Self { position, kind, sku, title, quantity, unit_price: Money::new(unit_price, currency) }
    }
}
