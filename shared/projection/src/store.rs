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

/// An item that is folded in the order of its aggregate's changes, as it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Head {
    /// The version of the last change that is in it.
    pub version: Version,
    /// The digest of that change; empty where the view came from a snapshot of the source.
    pub hash: String,
    /// The view, without the attributes of the joins.
    pub view: Item,
}

/// A change that waits for its turn at an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Its sequence number.
    pub seq: u64,
    /// The digest of its content.
    pub hash: String,
    /// The text of its envelope.
    pub event: String,
    /// Whether its turn came, and the fold refused it: it is in the quarantine, and those after it wait for what becomes
    /// of it.
    pub parked: bool,
}

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

    /// The part of it by which items are folded in order.
    fn ordered(&self) -> &dyn Ordered;
}

/// The part of a store by which items are folded in the order of their aggregate's changes: see
/// [`resequence`](crate::resequence), which says how the operations make a join. Reads are consistent: what was written
/// before a read began is seen.
#[async_trait]
pub trait Ordered: Send + Sync {
    /// The item as it stands.
    async fn head(&self, table: &str, key: &Key) -> Result<Option<Head>, StoreError>;

    /// Replaces the item if the sequence number of what is stored is `before`, none where there is no item: then it is
    /// [`Outcome::Applied`], else [`Outcome::Stale`].
    async fn advance(
        &self,
        table: &str,
        key: &Key,
        before: Option<u64>,
        next: &Head,
    ) -> Result<Written, StoreError>;

    /// The first changes that wait at an item, by their sequence numbers; none only where none waits.
    async fn waiting(&self, table: &str, key: &Key) -> Result<Vec<Waiting>, StoreError>;

    /// Keeps a change until its turn comes, unless one of that number is kept: the same is a [`Outcome::Duplicate`], and
    /// is parked now if this one is; another is [`Outcome::Forked`].
    async fn wait(&self, table: &str, key: &Key, waiting: &Waiting) -> Result<Written, StoreError>;

    /// Removes changes that are in the item; each that is gone is passed over. Gives the write units.
    async fn forget(&self, table: &str, key: &Key, seqs: &[u64]) -> Result<f64, StoreError>;
}
