#![doc = include_str!("../README.md")]

pub mod aggregate;
pub mod declaration;
pub mod manifest;
pub mod reads;

pub mod app;
mod aws;
pub mod edge;
pub mod environment;

pub mod generations;
pub mod rebuild;
pub mod regions;
mod snapshots;

pub mod commands;
pub mod publisher;
pub mod subgraph;

pub mod lambda;

pub use aggregate::{Aggregate, Context, Decide, Decided, Decision, Rejection};
pub use app::{App, InvokeError};
pub use commands::{CommandError, Commands, Outcome};
pub use declaration::Micrograph;
pub use edge::Edge;
pub use environment::Environment;
pub use federation::Changes;
pub use lambda::{main, main_in};
pub use regions::Regions;
pub use subgraph::{Refused, Subgraph, command_id, mutate, mutate_made};
