#![doc = include_str!("../README.md")]

pub mod law;

pub mod fixture;
pub mod given;
pub mod model;

pub mod faults;
pub mod memory;
pub mod objects;

pub mod conformance;

pub mod lambda;
pub mod roles;

pub mod content;
pub mod delivery;
pub mod dice;
pub mod log;
pub mod mangle;
pub mod quarantine;

pub use fixture::{Fixture, Heard};
pub use given::given;
pub use log::{Log, clock, event, log};
