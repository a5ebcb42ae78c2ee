#![doc = include_str!("../README.md")]

// What comes in: schemas, operations, settings.
pub mod operations;
pub mod schema;
pub mod settings;

// What is found.
pub mod finding;

pub mod changes;
pub mod contract;
mod keys;
pub mod lint;

pub mod check;

// The store, and HTTP.
pub mod http;
pub mod registry;

// Its place on AWS.
pub mod manifest;

pub use check::{Candidate, Checked, Known, Live, Proposal, check};
pub use composition::Subgraph;
pub use finding::{Finding, Hit, Location, Report, Severity, Topic};
pub use registry::{Published, Registry, RegistryError, Submission, Submitted};
pub use settings::Settings;
