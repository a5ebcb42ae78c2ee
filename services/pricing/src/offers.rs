//! The read model of what is offered: the price of a product in each market now, and whether the catalogue lists it.
//!
//! Pricing tells of every item; the catalogue, which knows no markets, tells of the one of the home market. Whichever
//! speaks first makes the item.

#[cfg(test)]
mod tests;

use crate::HOME;
use async_graphql::SimpleObject;
use contracts::Envelope;
use contracts::catalogue::{Product, ProductDelisted, ProductListed, ProductRetitled};
use contracts::pricing::ProductPriced;
use federation::read::List;
use federation::{DateTime, Money};
use jiff::Timestamp;
use projection::{Key, Projection, Row};
use serde::{Deserialize, Serialize};

/// A product in one market, as each source last told of it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct View {
    /// The catalogue's part, in the home market's item; none while the product isn't listed.
    pub catalogue: Option<Listing>,
    /// Pricing's part; none while there is no price.
    pub pricing: Option<Price>,
}

/// What the catalogue tells of a product that is listed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Listing {
    /// Since when.
    pub listed_at: Timestamp,
}

/// The price of a product in a market.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, SimpleObject)]
#[graphql(name = "MarketPrice")]
pub struct Price {
    /// ISO 3166 code of the market's country.
    market: String,
    /// The price of one.
    pub price: Money,
    /// Since when.
    since: DateTime,
}

impl View {
    /// Whether the product can be bought: listed, and priced.
    pub fn for_sale(&self) -> bool {
        self.catalogue.is_some() && self.pricing.is_some()
    }
}

/// Offers by SKU and market.
pub fn projection() -> Projection {
    Projection::new("offers", 1)
        .state(|event: &Envelope<ProductListed>| listed(&event.data.0))
        .state(|event: &Envelope<ProductRetitled>| listed(&event.data.0))
        .deleted_source("catalogue", |event: &Envelope<ProductDelisted>| Key::new(&event.data.sku, HOME))
        .state(|event: &Envelope<ProductPriced>| {
            let price = &event.data.0;
            Row::of_source("pricing", Key::new(&price.sku, &price.market), &Price::from(price))
        })
}

/// The offers of a product, by market.
pub fn of(sku: &str) -> List {
    List::of(sku)
}

impl From<&contracts::pricing::Price> for Price {
    fn from(price: &contracts::pricing::Price) -> Self {
        let contracts::Money { amount, currency } = &price.price;
        let (market, since) = (price.market.clone(), price.effective_from.into());
        Self { market, price: Money::new(*amount, currency), since }
    }
}

fn listed(product: &Product) -> Row {
    let listing = Listing { listed_at: product.listed_at };
    Row::of_source("catalogue", Key::new(&product.sku, HOME), &listing)
}
