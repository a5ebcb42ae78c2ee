//! The read model of products, by SKU, and in the order of their titles.

#[cfg(test)]
mod tests;

use contracts::Envelope;
use contracts::catalogue::{Category, Product, ProductDelisted, ProductListed, ProductRetitled};
use federation::read::{List, Range};
use jiff::Timestamp;
use projection::{Index, Key, Projection, Row};
use serde::{Deserialize, Serialize};

/// The index by title: all products stand on one shelf. A catalogue changes rarely, so that one partition carries it.
const BY_TITLE: Index = Index::new("by_title", "shelf", "title_key");
const SHELF: &str = "all";

/// A product as the subgraph shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct View {
    /// Stock keeping unit.
    pub sku: String,
    /// Title.
    pub title: String,
    /// What it is.
    pub category: Category,
    /// When it was listed.
    pub listed_at: Timestamp,
    shelf: String,
    title_key: String,
}

/// Products by SKU; gone when delisted.
pub fn projection() -> Projection {
    Projection::new("products", 1)
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
            sku: product.sku.clone(),
            title: product.title.clone(),
            category: product.category.clone(),
            listed_at: product.listed_at,
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
