//! The read model of the titles that a product has had, oldest first.

#[cfg(test)]
mod tests;

use async_graphql::SimpleObject;
use contracts::catalogue::{Product, ProductListed, ProductRetitled};
use contracts::{Envelope, Version};
use federation::DateTime;
use federation::read::List;
use projection::{Key, Projection, Row};
use serde::{Deserialize, Serialize};

/// A title that a product had.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, SimpleObject)]
#[graphql(name = "Title")]
pub struct View {
    /// The title.
    title: String,
    /// Since when.
    since: DateTime,
}

/// Titles by SKU and version. They stay when the product is delisted: orders were sold under them.
pub fn projection() -> Projection {
    Projection::new("titles", 1)
        .state(|event: &Envelope<ProductListed>| row(&event.data.0, event.version))
        .state(|event: &Envelope<ProductRetitled>| row(&event.data.0, event.version))
}

/// The titles of a product.
pub fn of(sku: &str) -> List {
    List::of(sku)
}

fn row(product: &Product, version: Version) -> Row {
    let view = View { title: product.title.clone(), since: product.titled_at.into() };
    // Twenty digits hold any version, so that the order of the text is the order of the versions.
    Row::new(Key::new(&product.sku, format!("{:020}", version.packed())), &view)
}
