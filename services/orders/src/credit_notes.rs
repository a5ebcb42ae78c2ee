//! The read model of credit notes: by number, and by customer, newest first.

#[cfg(test)]
mod tests;

use crate::graph::Customer;
use crate::orders::{Line, lines, sort_key};
use async_graphql::{ComplexObject, Context, ID, SimpleObject};
use contracts::Envelope;
use contracts::orders::{CreditNote, CreditNoteIssued};
use federation::read::List;
use federation::{DateTime, Money, entity};
use projection::{Index, Key, Projection, Row};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

/// The index by customer; a guest's credit notes don't stand in it.
const BY_CUSTOMER: Index = Index::new("by_customer", "customer_id", "issued_key");

/// A credit note: goods that came back, and what was refunded for them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, SimpleObject)]
#[graphql(name = "CreditNote", complex, cache_control(max_age = 10, private))]
pub struct View {
    /// Its number.
    id: ID,
    #[graphql(skip)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    customer_id: Option<String>,
    /// The name in English of the customer's country.
    country: String,
    /// When it was issued.
    issued_at: DateTime,
    /// What was refunded: the exact sum of its lines.
    total: Money,
    /// What came back.
    #[graphql(complexity = "10 * child_complexity")]
    lines: Vec<Line>,
    #[graphql(skip)]
    issued_key: String,
}

/// A credit note: goods that came back, and what was refunded for them.
#[ComplexObject]
impl View {
    /// Who returned; null for a guest.
    async fn customer(&self) -> Option<Customer> {
        self.customer_id.as_ref().map(Customer::from)
    }
}

/// Credit notes by number.
pub fn projection() -> Projection {
    Projection::new("credit_notes", 2)
        .index(BY_CUSTOMER)
        .state(|event: &Envelope<CreditNoteIssued>| row(&event.data.0))
}

/// The credit note of a number.
pub async fn load(ctx: &Context<'_>, id: &str) -> Option<View> {
    entity(ctx, federation::Key::new(id, Key::ALONE)).await
}

/// The credit notes of a customer, newest first.
pub fn of(customer: &str) -> List {
    List::of(customer).index(BY_CUSTOMER.name, BY_CUSTOMER.partition, BY_CUSTOMER.sort).descending()
}

fn row(note: &CreditNote) -> Row {
    let total: Decimal = note.lines.iter().map(contracts::orders::Line::amount).sum();
    let view = View {
        id: ID::from(&note.id),
        customer_id: note.customer_id.clone(),
        country: note.country.clone(),
        issued_at: note.issued_at.into(),
        total: Money::new(total, &note.currency),
        lines: lines(&note.lines, &note.currency),
        issued_key: sort_key(note.issued_at, &note.id),
    };
    Row::new(Key::alone(&note.id), &view)
}
