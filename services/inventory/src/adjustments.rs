//! The read model of what is on hand: the sum of a product's adjustments.

#[cfg(test)]
mod tests;

use contracts::inventory::StockAdjusted;
use contracts::{Envelope, digest};
use federation::read::List;
use projection::{Dot, Key, Projection};
use rust_decimal::Decimal;
use serde::Deserialize;

/// The partitions over which the products are spread, each a digit of the digest of its SKUs, so that all of them can
/// be listed.
const SHARDS: &str = "0123456789abcdef";

/// What a product's adjustments came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct View {
    /// Their sum, in pieces.
    pub on_hand: i64,
    /// How many there were of fewer pieces.
    pub down: i64,
    /// How many there were of more pieces.
    pub up: i64,
}

/// Products by SKU; each adjustment counts once.
pub fn projection() -> Projection {
    Projection::new("adjustments", 1).delta(|event: &Envelope<StockAdjusted>| {
        let StockAdjusted { sku, quantity, .. } = &event.data;
        let way = if *quantity < 0 { "down" } else { "up" };
        Dot::new(key(sku), [("on_hand", (*quantity).into()), (way, Decimal::ONE)])
    })
}

/// The key of a product's adjustments.
pub fn key(sku: &str) -> Key {
    let digest = digest::short(&[sku.as_bytes()]);
    Key::new(partition(digest.chars().next().unwrap_or_default()), sku)
}

/// All products that were ever adjusted, in as many lists as there are partitions.
pub fn all() -> impl Iterator<Item = List> {
    SHARDS.chars().map(|shard| List::of(partition(shard)))
}

fn partition(shard: char) -> String {
    format!("adjusted#{shard}")
}
