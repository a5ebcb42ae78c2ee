//! The port behind which projections are stored.

use crate::join::{Contribution, Dot, Put};
use crate::key::Key;
use async_trait::async_trait;
use contracts::Version;
use serde_dynamo::Item;

/// What came of a join.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// It is stored.
    Applied,
    /// The same is stored already.
    Duplicate,
    /// Something newer is stored; its version, where the store tells.
    Stale(Option<Version>),
    /// The same version is stored with other content: the producer forked.
    Forked,
}

/// What a write came to, and what it cost.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    /// One outcome for each join that was handed over, in their order.
    pub outcomes: Vec<Outcome>,
    /// Write units, as the store bills them.
    pub units: f64,
}

/// Why a store could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It may work later: a throttle, a conflict, a timeout, an unreachable store. Whether the write was applied
    /// isn't known.
    #[error("{operation} on {table} failed for now")]
    Transient {
        /// What was tried.
        operation: &'static str,
        /// On which table.
        table: String,
        /// Why it failed.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It will not work: the item is too large, say.
    #[error("{operation} on {table} is refused: {reason}")]
    Refused {
        /// What was tried.
        operation: &'static str,
        /// On which table.
        table: String,
        /// What the store says.
        reason: String,
    },
}

/// A stored item, with its system attributes.
pub type Stored = (Key, Item);

/// A store of projections. Every write is a join: it may be repeated, and may come in any order.
#[async_trait]
pub trait Store: Send + Sync {
    /// Joins a state.
    async fn put(&self, table: &str, put: &Put) -> Result<Written, StoreError>;

    /// Joins changes of one item, one source and one epoch, each sequence number once.
    async fn add(&self, table: &str, dots: &[Dot]) -> Result<Written, StoreError>;

    /// Joins contributions to one ledger, at most one of each contributor.
    async fn contribute(&self, table: &str, contributions: &[Contribution]) -> Result<Written, StoreError>;

    /// All items after a key, consistently read, in no order that means anything; the key to go on from, if there
    /// are more.
    async fn scan(&self, table: &str, after: Option<Key>) -> Result<(Vec<Stored>, Option<Key>), StoreError>;
}
