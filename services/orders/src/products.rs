//! Orders' own copy of what can be sold: the title from the catalogue, the price now from pricing, in one item.
//!
//! Pricing tells of every market; the catalogue, which knows no markets, tells of the item of the home market.

#[cfg(test)]
mod tests;

use crate::HOME;
use contracts::catalogue::{Product, ProductDelisted, ProductListed, ProductRetitled};
use contracts::pricing::ProductPriced;
use contracts::{Envelope, Money};
use projection::{Key, Projection, Row};
use serde::{Deserialize, Serialize};

/// A product in one market, as each source last told of it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct View {
    /// The catalogue's part, in the home market's item; none while the product isn't listed.
    pub catalogue: Option<Listing>,
    /// Pricing's part, the price of one now; none while there is no price.
    pub pricing: Option<Money>,
}

/// What the catalogue tells of a product that is listed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Listing {
    /// What it is called now.
    pub title: String,
}

/// Products by SKU and market.
pub fn projection() -> Projection {
    Projection::new("products", 2)
        .state(|event: &Envelope<ProductListed>| listed(&event.data.0))
        .state(|event: &Envelope<ProductRetitled>| listed(&event.data.0))
        .deleted_source("catalogue", |event: &Envelope<ProductDelisted>| Key::new(&event.data.sku, HOME))
        .state(|event: &Envelope<ProductPriced>| {
            let priced = &event.data.0;
            Row::of_source("pricing", Key::new(&priced.sku, &priced.market), &priced.price)
        })
}

fn listed(product: &Product) -> Row {
    Row::of_source("catalogue", Key::new(&product.sku, HOME), &Listing { title: product.title.clone() })
}
