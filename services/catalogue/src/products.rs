//! The read model of products, by SKU, and in the order of their titles.

#[cfg(test)]
mod tests;

use async_graphql::{Enum, ID, SimpleObject};
use contracts::Envelope;
use contracts::catalogue::{self as contract, Product, ProductDelisted, ProductListed, ProductRetitled};
use federation::DateTime;
use federation::read::{List, Range};
use projection::{Index, Key, Projection, Row};
use serde::{Deserialize, Serialize};

/// The index by title: all products stand on one shelf. A catalogue changes rarely, so that one partition carries it.
const BY_TITLE: Index = Index::new("by_title", "shelf", "title_key");
const SHELF: &str = "all";

/// A product that is for sale.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, SimpleObject)]
#[graphql(name = "Product", complex, cache_control(max_age = 60))]
pub struct View {
    /// Stock keeping unit.
    pub sku: ID,
    /// What it is called now.
    title: String,
    /// What it is, broadly.
    category: Category,
    /// When it was listed.
    listed_at: DateTime,
    #[graphql(skip)]
    shelf: String,
    #[graphql(skip)]
    title_key: String,
}

/// What a product is, broadly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Enum)]
pub enum Category {
    /// A greeting card.
    Card,
    /// A gift.
    Gift,
    /// Flowers.
    Flowers,
    /// Something that this graph has no name for yet.
    Other,
}

/// Products by SKU; gone when delisted.
pub fn projection() -> Projection {
    Projection::new("products", 2)
        .index(BY_TITLE)
        .state(|event: &Envelope<ProductListed>| row(&event.data.0))
        .state(|event: &Envelope<ProductRetitled>| row(&event.data.0))
        .deleted(|event: &Envelope<ProductDelisted>| Key::alone(&event.data.sku))
}

/// All products by title, or those whose title starts with a prefix, in any case.
pub fn by_title(prefix: &str) -> List {
    let prefix = folded(prefix);
    let range = if prefix.is_empty() { Range::All } else { Range::BeginsWith(prefix) };
    List::of(SHELF).index(BY_TITLE.name, BY_TITLE.partition, BY_TITLE.sort).range(range)
}

impl From<&Product> for View {
    fn from(product: &Product) -> Self {
        Self {
            sku: ID::from(&product.sku),
            title: product.title.clone(),
            category: match product.category {
                contract::Category::Card => Category::Card,
                contract::Category::Gift => Category::Gift,
                contract::Category::Flowers => Category::Flowers,
                contract::Category::Unknown(_) => Category::Other,
            },
            listed_at: product.listed_at.into(),
            shelf: SHELF.to_owned(),
            title_key: format!("{}#{}", folded(&product.title), product.sku),
        }
    }
}

fn row(product: &Product) -> Row {
    Row::new(Key::alone(&product.sku), &View::from(product))
}

fn folded(title: &str) -> String {
    title.trim().to_lowercase()
}
