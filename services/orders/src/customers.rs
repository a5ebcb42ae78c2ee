//! Orders' own copy of who can order: nothing of a customer but the country, and whether the customer was erased.

#[cfg(test)]
mod tests;

use contracts::Envelope;
use contracts::customers::{Customer, CustomerErased, CustomerRegistered};
use projection::{Key, Projection, Row};
use serde::{Deserialize, Serialize};

/// A customer of whom orders has heard.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct View {
    /// What the customers' micrograph tells; none once erased.
    pub customers: Option<Known>,
    /// Set by the projection's tombstone, which stays: an erasure is for good.
    #[serde(default, rename = "d_customers")]
    pub erased: bool,
}

/// What orders keeps of a customer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Known {
    /// Where orders go unless another country is named.
    pub country: String,
}

/// Customers by number.
pub fn projection() -> Projection {
    Projection::new("customers", 1)
        .state(|event: &Envelope<CustomerRegistered>| {
            let Customer { id, country, .. } = &event.data.0;
            Row::of_source("customers", Key::alone(id), &Known { country: country.clone() })
        })
        .deleted_source("customers", |event: &Envelope<CustomerErased>| Key::alone(&event.data.id))
}
