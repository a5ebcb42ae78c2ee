#![doc = include_str!("../README.md")]

pub mod customer;

pub mod customers;

pub mod graph;

use contracts::customers::{CustomerErased, CustomerRegistered, EraseCustomer, RegisterCustomer};
use customer::Customer;
use micrograph::Micrograph;

/// The customers.
pub fn micrograph() -> Micrograph {
    Micrograph::new("customers")
        .owns::<Customer>()
        .decides::<Customer, RegisterCustomer>()
        .decides::<Customer, EraseCustomer>()
        .publishes::<CustomerRegistered>()
        .publishes::<CustomerErased>()
        .consumes(customers::projection())
        .serves(graph::subgraph)
}
