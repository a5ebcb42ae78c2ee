#![doc = include_str!("../README.md")]

pub mod trade;

pub mod sales;

pub mod graph;

use micrograph::Micrograph;

/// What sells.
pub fn micrograph() -> Micrograph {
    Micrograph::new("popularity")
        .consumes_topics(&["orders-events", "returns-events"], sales::projection())
        .serves(graph::subgraph)
}
