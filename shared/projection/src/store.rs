//! The port behind which projections are stored.

use crate::join::{Contribution, Dot, Put, is_reserved};
use crate::key::Key;
use crate::reach::Reach;
use crate::table::Table;
use async_trait::async_trait;
use contracts::Version;
use serde_dynamo::{AttributeValue, Item};
use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::str::FromStr;

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
    /// Which changes are in it.
    pub reach: Reach,
    /// The digest of the last of them; empty where the view came from a snapshot of the source.
    pub hash: String,
    /// The view, without the attributes of the joins.
    pub view: Item,
    /// What is kept beside it, so that a change can come in before those that are in it.
    pub kept: Option<Kept>,
    /// The changes that wait in it for their turn, as [`early`](crate::early) packs them; empty where there are none.
    pub early: Vec<u8>,
}

/// The changes that are in an item and are kept beside it as well, since one may come that is before them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// How many there are, about.
    pub changes: u64,
    /// Until when they are kept, in seconds since 1970.
    pub until: i64,
}

/// A change that is kept beside an item: it waits for its turn, or may have to be folded once more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Its version.
    pub version: Version,
    /// The last sequence number before the version's epoch began.
    pub base: u64,
    /// The digest of its content.
    pub hash: String,
    /// The text of its envelope.
    pub event: String,
    /// Whether its turn came, and the fold refused it: it is in the quarantine, and those after it wait for what becomes
    /// of it.
    pub parked: bool,
}

impl Head {
    /// The attribute of the changes that wait in it.
    pub const EARLY: &str = "upto_early";

    /// The version of the last change that is in it.
    pub fn version(&self) -> Version {
        self.reach.version()
    }

    /// Whether it goes on from a snapshot only until the changes that it jumped over come.
    pub fn is_provisional(&self) -> bool {
        self.kept.is_some() && self.reach.snapshot().is_some()
    }

    /// It, without what waits in it.
    #[must_use]
    pub fn bare(&self) -> Self {
        Self { early: Vec::new(), ..self.clone() }
    }

    /// Its attributes, without its key.
    pub fn attributes(&self) -> HashMap<String, AttributeValue> {
        let mut item = self.view.inner().clone();
        item.insert("v".to_owned(), number(&self.version().packed()));
        item.insert("h".to_owned(), AttributeValue::S(self.hash.clone()));
        item.insert("upto".to_owned(), self.reach.attribute());
        if let Some(Kept { changes, until }) = self.kept {
            item.insert(KEPT.to_owned(), number(&changes));
            item.insert(UNTIL.to_owned(), number(&until));
        }
        if !self.early.is_empty() {
            item.insert(Self::EARLY.to_owned(), AttributeValue::B(self.early.clone()));
        }
        item
    }

    /// The inverse of [`Head::attributes`].
    pub fn read(mut item: HashMap<String, AttributeValue>) -> Option<Self> {
        let version = Version::unpacked(integer(item.get("v")?)?);
        let reach = Reach::read(item.get("upto")?, version)?;
        let kept = item.get(KEPT).and_then(integer).zip(item.get(UNTIL).and_then(integer));
        let hash = match item.remove("h") {
            Some(AttributeValue::S(hash)) => hash,
            _ => String::new(),
        };
        let early = match item.remove(Self::EARLY) {
            None => Vec::new(),
            Some(AttributeValue::B(packed)) if !packed.is_empty() => packed,
            // It can't be unpacked either.
            Some(_) => vec![0],
        };
        item.retain(|name, _| !is_reserved(name));
        let kept = kept.map(|(changes, until)| Kept { changes, until });
        Some(Self { reach, hash, view: item.into(), kept, early })
    }
}

/// How many changes are kept beside an item.
const KEPT: &str = "upto_kept";

/// Until when they are.
const UNTIL: &str = "upto_until";

fn number(value: &impl ToString) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

fn integer<T: FromStr>(value: &AttributeValue) -> Option<T> {
    match value {
        AttributeValue::N(text) => text.parse().ok(),
        _ => None,
    }
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

    /// The item as it was before the changes that are kept beside it; none where they are all of its changes. Means nothing
    /// where none are kept.
    async fn base(&self, table: &str, key: &Key) -> Result<Option<Head>, StoreError>;

    /// Replaces the item if what is stored has come as far as `before` and the same changes wait in it, none where there is no
    /// item: then it is [`Outcome::Applied`], else [`Outcome::Stale`]. Where a base is given, it is written with the item, or
    /// neither is.
    async fn advance(
        &self,
        table: &str,
        key: &Key,
        before: Option<&Head>,
        next: &Head,
        base: Option<&Head>,
    ) -> Result<Written, StoreError>;

    /// The first changes beside an item that are within these versions, in their order; none only where there is none.
    async fn waiting(
        &self,
        table: &str,
        key: &Key,
        within: RangeInclusive<Version>,
    ) -> Result<Vec<Waiting>, StoreError>;

    /// Keeps a change beside an item, unless one of that version is kept: the same is a [`Outcome::Duplicate`], and is
    /// parked now if this one is; another is [`Outcome::Forked`], but one that isn't parked takes the place of one that is.
    async fn wait(&self, table: &str, key: &Key, waiting: &Waiting) -> Result<Written, StoreError>;

    /// Removes changes beside an item; each that is gone is passed over. Gives the write units.
    async fn forget(&self, table: &str, key: &Key, versions: &[Version]) -> Result<f64, StoreError>;
}

/// A store that keeps each generation of a projection as a relational table, and answers questions about it in SQL. Tables
/// are described as those of DynamoDB are, and have the same names.
#[async_trait]
pub trait Relational: Store + std::fmt::Debug {
    /// Creates a table where there is none of that name, and the indexes that it lacks.
    async fn create_table(&self, name: &str, table: &Table) -> Result<(), StoreError>;

    /// Removes a table with all that is in it, unless there is none of that name.
    async fn delete_table(&self, name: &str) -> Result<(), StoreError>;

    /// The tables whose names begin so, each with about how many items it has.
    async fn tables(&self, beginning: &str) -> Result<Vec<(String, u64)>, StoreError>;

    /// Removes the items whose time is over, tombstones that nothing can come after; tells how many.
    async fn sweep(&self, name: &str) -> Result<u64, StoreError>;

    /// Answers a question about a table: the rows, by the names of their columns.
    async fn ask(&self, table: &str, question: &Question) -> Result<Vec<Item>, StoreError>;
}

/// A question in SQL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// A SELECT, in which `{t}` stands for the table: its key is `pk` and `sk`, `item` the view as `jsonb`, `d` says whether
    /// it is a tombstone. No part of it comes from a client: what does is bound, and stands as `$1` and so on.
    pub sql: String,
    /// What is bound, as text; none is NULL.
    pub bound: Vec<Option<String>>,
}
