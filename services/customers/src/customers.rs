//! The read model of customers, by number.

#[cfg(test)]
mod tests;

use contracts::Envelope;
use contracts::customers::{Customer, CustomerErased, CustomerRegistered};
use jiff::Timestamp;
use projection::{Key, Projection, Row};
use serde::{Deserialize, Serialize};

/// A customer as the subgraph shows one.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct View {
    /// The customer's number.
    pub id: String,
    /// What to call the customer, if known. Personal data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Where the customer can be written to, if known. Personal data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// The country's name in English.
    pub country: String,
    /// When the customer registered.
    pub registered_at: Timestamp,
}

/// Customers by number; gone when erased.
pub fn projection() -> Projection {
    Projection::new("customers", 1)
        .state(|event: &Envelope<CustomerRegistered>| {
            let customer = &event.data.0;
            Row::new(Key::alone(&customer.id), &View::from(customer))
        })
        .deleted(|event: &Envelope<CustomerErased>| Key::alone(&event.data.id))
}

impl From<&Customer> for View {
    fn from(customer: &Customer) -> Self {
        Self {
            id: customer.id.clone(),
            name: customer.name.clone(),
            email: customer.email.clone(),
            country: customer.country.clone(),
            registered_at: customer.registered_at,
        }
    }
}
