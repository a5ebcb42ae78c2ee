#![doc = include_str!("../README.md")]

pub mod stock;

pub mod adjustments;
pub mod ledger;
pub mod reservations;

pub mod graph;

use contracts::inventory::{AdjustStock, StockAdjusted};
use micrograph::Micrograph;
use stock::Stock;

/// The inventory.
pub fn micrograph() -> Micrograph {
    Micrograph::new("inventory")
        .owns::<Stock>()
        .decides::<Stock, AdjustStock>()
        .publishes::<StockAdjusted>()
        .consumes(adjustments::projection())
        .consumes(ledger::projection())
        .consumes_topics(&["orders-events", "returns-events"], reservations::projection())
        .serves(graph::subgraph)
}
