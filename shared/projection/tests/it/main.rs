//! The consumer, over captured deliveries and the real store.
#![expect(clippy::unwrap_used, reason = "a test's set-up fails as the test does")]

mod coalescing;
mod deadline;
mod fixture;
mod ordered;
mod poison;
mod quarantine;
mod sources;
mod stores;
