#![doc = include_str!("../README.md")]

pub mod order;

pub mod orders;

pub mod customers;
pub mod products;

pub mod graph;
pub mod sale;

use contracts::orders::{CancelOrder, OrderCancelled, OrderPlaced, PlaceOrder};
use micrograph::Micrograph;

/// The market that is sold in unless another is named, an ISO 3166 code.
pub const HOME: &str = "GB";

/// The orders.
pub fn micrograph() -> Micrograph {
    Micrograph::new("orders")
        .owns::<order::Order>()
        .decides::<order::Order, PlaceOrder>()
        .decides::<order::Order, CancelOrder>()
        .publishes::<OrderPlaced>()
        .publishes::<OrderCancelled>()
        .fans_out("orders-events")
        .consumes(orders::projection())
        .consumes(products::projection())
        .consumes(customers::projection())
        .serves(graph::subgraph)
}
