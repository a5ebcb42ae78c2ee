#![doc = include_str!("../README.md")]

pub mod aggregates;

pub mod credit_notes;
pub mod orders;

pub mod customers;
pub mod products;

pub mod graph;
pub mod sale;

use aggregates::{CreditNote, Order};
use contracts::orders::{
    CancelOrder, CreditNoteIssued, IssueCreditNote, OrderCancelled, OrderPlaced, PlaceOrder,
};
use micrograph::Micrograph;

/// The market that is sold in unless another is named, an ISO 3166 code.
pub const HOME: &str = "GB";

/// The orders.
pub fn micrograph() -> Micrograph {
    Micrograph::new("orders")
        .owns::<Order>()
        .owns::<CreditNote>()
        .decides::<Order, PlaceOrder>()
        .decides::<Order, CancelOrder>()
        .decides::<CreditNote, IssueCreditNote>()
        .publishes::<OrderPlaced>()
        .publishes::<OrderCancelled>()
        .publishes::<CreditNoteIssued>()
        .fans_out("orders-events")
        .consumes(orders::projection())
        .consumes(credit_notes::projection())
        .consumes(products::projection())
        .consumes(customers::projection())
        .serves(graph::subgraph)
}
