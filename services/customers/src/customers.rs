//! The read model of customers, by number.

#[cfg(test)]
mod tests;

use async_graphql::{ID, SimpleObject};
use contracts::Envelope;
use contracts::customers::{Customer, CustomerErased, CustomerRegistered};
use federation::DateTime;
use projection::{Key, Projection, Row};
use serde::{Deserialize, Serialize};

/// A customer.
#[derive(Clone, PartialEq, Serialize, Deserialize, SimpleObject)]
#[graphql(name = "Customer", cache_control(max_age = 10, private))]
pub struct View {
    /// The customer's number.
    id: ID,
    /// What to call the customer, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// Where the customer can be written to, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    /// The country's name in English.
    country: String,
    /// When the customer registered.
    registered_at: DateTime,
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
            id: ID::from(&customer.id),
            name: customer.name.clone(),
            email: customer.email.clone(),
            country: customer.country.clone(),
            registered_at: customer.registered_at.into(),
        }
    }
}
