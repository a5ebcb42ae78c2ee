#![doc = include_str!("../README.md")]

pub mod law;

pub mod fixture;
pub mod given;
pub mod model;

pub mod conformance;

pub mod content;
pub mod delivery;
pub mod log;
pub mod quarantine;

pub use fixture::Fixture;
pub use given::given;
pub use log::{Log, clock, event, log};
