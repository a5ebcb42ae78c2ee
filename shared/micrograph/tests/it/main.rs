//! A micrograph in an environment of embedded services, through the real SDK clients.

mod commands;
mod deltas;
mod inventory;
mod lambda;
mod majors;
mod manifest;
mod outbox;
mod queue;
mod regions;
mod wire;
mod world;

#[path = "../../examples/shop/catalogue.rs"]
mod catalogue;
