//! The consumer, over captured deliveries and the real store.

mod coalescing;
mod deadline;
mod fixture;
mod poison;
mod quarantine;
mod sources;
mod stores;
