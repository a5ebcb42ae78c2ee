#![doc = include_str!("../README.md")]

pub mod name;
mod object;

pub mod store;

pub mod archivist;

pub mod filter;
pub mod replay;

pub mod rewrite;

pub use archivist::Archivist;
pub use filter::Filter;
pub use name::{Hour, ObjectName};
pub use object::Damaged;
pub use replay::{Cursor, ReplayError, Replayed, Sink, SinkError};
pub use rewrite::{Compacted, Erased};
pub use store::{Archive, HourSummary, StorageError};

pub use object_store;

/// The queue that hears every event, before any prefix of a deployment: what is on it isn't archived yet.
pub const QUEUE: &str = "archive-archivist";
