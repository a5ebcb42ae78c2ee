#![doc = include_str!("../README.md")]

pub mod config;
mod guard;
pub mod metrics;
pub mod span;
pub mod trace;

mod error;
mod log;
mod redacted;
mod sink;

pub use config::Config;
pub use error::error_chain;
pub use guard::{Guard, init};
pub use redacted::Redacted;
pub use trace::TraceParent;
