#![doc = include_str!("../README.md")]

pub mod price;

pub mod history;
pub mod offers;

pub mod graph;

use contracts::pricing::{ProductPriced, RepriceProduct};
use micrograph::Micrograph;
use price::Price;

/// The market that a product is sold in unless another is named, an ISO 3166 code.
pub const HOME: &str = "GB";

/// Pricing.
pub fn micrograph() -> Micrograph {
    Micrograph::new("pricing")
        .owns::<Price>()
        .decides::<Price, RepriceProduct>()
        .publishes::<ProductPriced>()
        .consumes(offers::projection())
        .consumes(history::projection())
        .serves(graph::subgraph)
}
