//! The read model of the prices that a product has had in a market.

#[cfg(test)]
mod tests;

use contracts::Envelope;
use contracts::pricing::{self, ProductPriced};
use federation::read::List;
use projection::{Key, Projection, Row};

pub use crate::offers::Price as View;

/// Prices by SKU and market, and version.
pub fn projection() -> Projection {
    Projection::new("history", 1).state(|event: &Envelope<ProductPriced>| {
        let price = &event.data.0;
        // Twenty digits hold any version, so that the order of the text is the order of the versions.
        let version = format!("{:020}", event.version.packed());
        Row::new(Key::new(&event.subject, version), &View::from(price))
    })
}

/// The prices of a product in a market, newest first.
pub fn of(sku: &str, market: &str) -> List {
    List::of(pricing::subject(sku, market)).descending()
}
