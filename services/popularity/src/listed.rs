//! The read model of which products the catalogue lists now.

#[cfg(test)]
mod tests;

use contracts::Envelope;
use contracts::catalogue::{Product, ProductDelisted, ProductListed, ProductRetitled};
use projection::{Key, Projection, Row};
use serde::{Deserialize, Serialize};

/// A product that is listed; there is nothing else to know of it here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {}

/// Products by SKU; gone when delisted.
pub fn projection() -> Projection {
    Projection::new("listed", 1)
        .state(|event: &Envelope<ProductListed>| row(&event.data.0))
        .state(|event: &Envelope<ProductRetitled>| row(&event.data.0))
        .deleted(|event: &Envelope<ProductDelisted>| Key::alone(&event.data.sku))
}

fn row(product: &Product) -> Row {
    Row::new(Key::alone(&product.sku), &View {})
}
