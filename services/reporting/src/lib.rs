#![doc = include_str!("../README.md")]

pub mod sales;

pub mod report;

pub mod graph;

use micrograph::Micrograph;

/// Sales by any cut.
pub fn micrograph() -> Micrograph {
    Micrograph::new("reporting").consumes(sales::projection()).serves(graph::subgraph)
}
