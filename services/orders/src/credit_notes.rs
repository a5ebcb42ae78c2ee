//! The read model of credit notes, by number, and by customer in the order of time.

#[cfg(test)]
mod tests;

use crate::by_customer::at;
use crate::orders::Line;
use contracts::Envelope;
use contracts::orders::{CreditNote, CreditNoteIssued};
use federation::read::List;
use jiff::Timestamp;
use projection::{Index, Key, Projection, Row};
use serde::{Deserialize, Serialize};

/// The index by customer; a guest's credit notes don't stand in it.
const BY_CUSTOMER: Index = Index::new("by_customer", "customer_id", "issued_key");

/// A credit note as the subgraph shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct View {
    /// Its number.
    pub id: String,
    /// Who returned; none for a guest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer_id: Option<String>,
    /// The name in English of the customer's country.
    pub country: String,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// ISO 4217 code of all its amounts.
    pub currency: String,
    /// What came back, in the order of the positions.
    pub lines: Vec<Line>,
    issued_key: String,
}

/// Credit notes by number.
pub fn projection() -> Projection {
    Projection::new("credit_notes", 1).index(BY_CUSTOMER).state(|event: &Envelope<CreditNoteIssued>| {
        let note = &event.data.0;
        Row::new(Key::alone(&note.id), &View::from(note))
    })
}

/// The credit notes of a customer, newest first.
pub fn of(customer: &str) -> List {
    List::of(customer).index(BY_CUSTOMER.name, BY_CUSTOMER.partition, BY_CUSTOMER.sort).descending()
}

impl From<&CreditNote> for View {
    fn from(note: &CreditNote) -> Self {
        Self {
            id: note.id.clone(),
            customer_id: note.customer_id.clone(),
            country: note.country.clone(),
            issued_at: note.issued_at,
            currency: note.currency.clone(),
            lines: note.lines.iter().map(Line::from).collect(),
            issued_key: at(note.issued_at, &note.id),
        }
    }
}
