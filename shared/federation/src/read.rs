//! Reading views from a projection's table.
//!
//! Beside the view's own attributes an item has `v` (its packed version), `h` (a hash), `d` (true on a tombstone) and
//! `ttl` (epoch seconds). Items of several sources have `v_<source>`, `h_<source>` and `d_<source>` instead: what a
//! source's deletion means is then the view's business. Beside an item that is folded in order, events that wait for their
//! turn have the attribute `waits`; they are passed over.

mod backoff;
mod list;
mod scope;
mod watch;

use crate::key::Key;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes};
pub use backoff::Backoff;
use freshness::Tag;
use futures::StreamExt;
pub use list::{Index, List, Range};
pub use scope::{Alias, Brought, Seen, resolve, scoped};
pub(crate) use scope::{shows, wrote};
use serde::de::DeserializeOwned;
use std::collections::HashMap;
use std::sync::Arc;
use telemetry::metrics;

/// Keys in one `BatchGetItem`: DynamoDB's limit.
pub const MAX_BATCH: usize = 100;

/// Distinct keys in one call of a reader.
pub const MAX_KEYS: usize = 10_000;

/// Calls under way at once for one call of a reader.
const MAX_CONCURRENT: usize = 8;

type Item = HashMap<String, AttributeValue>;

/// Reads one table, or the one that stands behind an [`Alias`]. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Reader {
    client: Client,
    /// The table; with an alias, its name.
    table: Arc<str>,
    alias: Option<Arc<dyn Alias>>,
    /// What cursors are bound to.
    name: Arc<str>,
    consistent: bool,
    backoff: Backoff,
    now: fn() -> i64,
}

/// Why views can't be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// DynamoDB refused or did not answer, after the SDK's own retries.
    #[error("reading {table} failed")]
    Store {
        /// The table.
        table: String,
        /// What the SDK says.
        #[source]
        source: Box<aws_sdk_dynamodb::Error>,
    },
    /// DynamoDB kept handing keys back: the table is throttled.
    #[error("{table} left {keys} keys unread after {attempts} attempts with no progress")]
    Unprocessed {
        /// The table.
        table: String,
        /// How many keys were left.
        keys: usize,
        /// How many attempts in a row brought nothing.
        attempts: u32,
    },
    /// An item is not a view of the type asked for.
    #[error("the item {key} of {table} is not a {view}")]
    View {
        /// The table.
        table: String,
        /// The item's key.
        key: Key,
        /// The type asked for.
        view: &'static str,
        /// What does not fit.
        #[source]
        source: Box<serde_dynamo::Error>,
    },
    /// Which table an alias stands for can't be told.
    #[error("which table stands behind {alias} can't be told")]
    Alias {
        /// The alias.
        alias: String,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Too many keys for one call.
    #[error("{keys} keys were asked of {table} at once; {MAX_KEYS} is the most")]
    TooMany {
        /// The table.
        table: String,
        /// How many distinct keys there were.
        keys: usize,
    },
    /// A list whose rows are nearly all deleted.
    #[error("{reads} reads of a list of {table} found no row that is alive; remove its tombstones")]
    Tombstones {
        /// The table.
        table: String,
        /// How many reads there were.
        reads: usize,
    },
    /// A row lacks the key attributes of the table or index it was read from.
    #[error("a row of {table} has no usable {attributes}")]
    NoKey {
        /// The table.
        table: String,
        /// The key attributes.
        attributes: String,
    },
}

impl Reader {
    /// Reads `table` by `client`, eventually consistent, with the default [`Backoff`] and the system's clock.
    pub fn new(client: Client, table: impl Into<Arc<str>>) -> Self {
        let table = table.into();
        Self {
            client,
            name: Arc::clone(&table),
            table,
            alias: None,
            consistent: false,
            backoff: Backoff::default(),
            now: system_seconds,
        }
    }

    /// Reads the table that stands behind an alias; one table for the whole of a request, see [`scoped`].
    pub fn of(client: Client, alias: Arc<dyn Alias>) -> Self {
        let reader = Self::new(client, alias.name());
        Self { alias: Some(alias), ..reader }
    }

    /// Reads consistently, at twice the price. Lists over an index stay eventually consistent.
    #[must_use]
    pub fn consistent(self, consistent: bool) -> Self {
        Self { consistent, ..self }
    }

    /// How it waits when DynamoDB hands keys back.
    #[must_use]
    pub fn backoff(self, backoff: Backoff) -> Self {
        Self { backoff, ..self }
    }

    /// What it compares `ttl` with: seconds since 1970.
    #[must_use]
    pub fn clock(self, now: fn() -> i64) -> Self {
        Self { now, ..self }
    }

    /// The table's name, or its alias.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// The reader of the table that stands behind the alias for this request.
    pub(crate) async fn current(&self) -> Result<Self, ReadError> {
        match &self.alias {
            None => Ok(self.clone()),
            Some(alias) => Ok(self.at(scope::resolve(&**alias).await?)),
        }
    }

    /// The reader of a table that stood behind the alias.
    pub(crate) fn at(&self, table: Arc<str>) -> Self {
        Self { table, alias: None, ..self.clone() }
    }

    /// Notes that the answer to this request shows an item, be it there or not.
    pub(crate) fn shows(&self, key: &Key) {
        shows(|| Tag::partition(&self.name, &key.pk));
    }

    /// The name of the table that it reads.
    pub(crate) fn shared_table(&self) -> Arc<str> {
        Arc::clone(&self.table)
    }

    /// One view; `None` when it is missing, a tombstone or expired.
    pub async fn get<V: DeserializeOwned>(&self, key: &Key) -> Result<Option<V>, Arc<ReadError>> {
        self.batch_get_each(std::slice::from_ref(key)).await.pop().unwrap_or(Ok(None))
    }

    /// One view with its version, tombstones too: 0 where there is no item, or one of several sources.
    async fn versioned<V: DeserializeOwned>(&self, key: &Key) -> Result<(u64, Option<V>), Arc<ReadError>> {
        self.shows(key);
        if !key.is_possible() {
            return Ok((0, None));
        }
        let reader = self.current().await.map_err(Arc::new)?;
        let Chunk { items, failure } = reader.chunk(vec![attributes(key)]).await;
        if let Some((error, _)) = failure {
            return Err(error);
        }
        let Some(item) = items.get(key) else { return Ok((0, None)) };
        let version = item.get("v").and_then(|v| v.as_n().ok()?.parse().ok()).unwrap_or(0);
        Ok((version, reader.view(key, item)?))
    }

    /// The views of `keys`, in their order; `None` where one is missing, a tombstone or expired. The first failure
    /// fails the call; [`Reader::batch_get_each`] fails key by key.
    pub async fn batch_get<V: DeserializeOwned>(
        &self,
        keys: &[Key],
    ) -> Result<Vec<Option<V>>, Arc<ReadError>> {
        self.batch_get_each(keys).await.into_iter().collect()
    }

    /// The views of `keys`, in their order, each with a result of its own.
    ///
    /// A key that comes twice is read once. Keys go out by hundreds, some calls at a time; what DynamoDB hands back
    /// (throttling, or an answer of more than 16 MB) is asked for again after a [`Backoff`].
    pub async fn batch_get_each<V: DeserializeOwned>(
        &self,
        keys: &[Key],
    ) -> Vec<Result<Option<V>, Arc<ReadError>>> {
        for key in keys {
            self.shows(key);
        }
        match self.current().await {
            Ok(reader) => reader.read_each(keys).await,
            Err(error) => {
                let error = Arc::new(error);
                keys.iter().map(|_| Err(Arc::clone(&error))).collect()
            }
        }
    }

    async fn read_each<V: DeserializeOwned>(&self, keys: &[Key]) -> Vec<Result<Option<V>, Arc<ReadError>>> {
        // DynamoDB would refuse the whole batch for one key that no item can have.
        let mut distinct: Vec<&Key> = keys.iter().filter(|key| key.is_possible()).collect();
        distinct.sort_unstable();
        distinct.dedup();
        if distinct.len() > MAX_KEYS {
            let error = Arc::new(ReadError::TooMany { table: self.table.to_string(), keys: distinct.len() });
            return keys.iter().map(|_| Err(Arc::clone(&error))).collect();
        }
        metrics::counter(metrics::ITEMS_READ, distinct.len() as u64, &[("Table", &self.table)]);
        let chunks: Vec<Vec<Item>> = distinct
            .chunks(MAX_BATCH)
            .map(|chunk| chunk.iter().map(|key| attributes(key)).collect())
            .collect();
        let chunks = chunks.into_iter().map(|wanted| self.chunk(wanted));
        let reads: Vec<Chunk> =
            futures::stream::iter(chunks).buffer_unordered(MAX_CONCURRENT).collect().await;

        let mut found: HashMap<Key, Result<Item, Arc<ReadError>>> = HashMap::with_capacity(distinct.len());
        for read in reads {
            found.extend(read.items.into_iter().map(|(key, item)| (key, Ok(item))));
            if let Some((error, unread)) = read.failure {
                found.extend(unread.into_iter().map(|key| (key, Err(Arc::clone(&error)))));
            }
        }
        keys.iter()
            .map(|key| match found.get(key) {
                Some(Ok(item)) => self.view(key, item).map_err(Arc::new),
                Some(Err(error)) => Err(Arc::clone(error)),
                None => Ok(None),
            })
            .collect()
    }

    /// Reads up to a hundred distinct keys.
    async fn chunk(&self, mut wanted: Vec<Item>) -> Chunk {
        let mut items = HashMap::with_capacity(wanted.len());
        let mut idle = 0;
        loop {
            let count = wanted.len();
            let failed = |error, wanted: Vec<Item>| {
                let unread = wanted.iter().filter_map(key_of).collect();
                Some((Arc::new(error), unread))
            };
            let request = KeysAndAttributes::builder()
                .set_keys(Some(wanted.clone()))
                .consistent_read(self.consistent)
                .build()
                .expect("keys are set");
            let answer = self.client.batch_get_item().request_items(&*self.table, request).send().await;
            let answer = match answer {
                Ok(answer) => answer,
                Err(error) => {
                    let error =
                        ReadError::Store { table: self.table.to_string(), source: Box::new(error.into()) };
                    return Chunk { items, failure: failed(error, wanted) };
                }
            };
            let rows =
                answer.responses.and_then(|mut tables| tables.remove(&*self.table)).unwrap_or_default();
            items.extend(rows.into_iter().filter_map(|item| Some((key_of(&item)?, item))));
            let left = answer.unprocessed_keys.and_then(|mut tables| tables.remove(&*self.table));
            wanted = left.map(|left| left.keys).unwrap_or_default();
            if wanted.is_empty() {
                return Chunk { items, failure: None };
            }
            idle = if wanted.len() < count { 0 } else { idle + 1 };
            if idle >= self.backoff.attempts {
                let error = ReadError::Unprocessed {
                    table: self.table.to_string(),
                    keys: wanted.len(),
                    attempts: idle,
                };
                return Chunk { items, failure: failed(error, wanted) };
            }
            tokio::time::sleep(self.backoff.delay(idle)).await;
        }
    }

    /// An item as a view; `None` for a tombstone and for what has expired.
    fn view<V: DeserializeOwned>(&self, key: &Key, item: &Item) -> Result<Option<V>, ReadError> {
        if !self.alive(item) {
            return Ok(None);
        }
        serde_dynamo::from_item(item.clone()).map(Some).map_err(|source| ReadError::View {
            table: self.table.to_string(),
            key: key.clone(),
            view: std::any::type_name::<V>(),
            source: Box::new(source),
        })
    }

    /// Whether an item is one that a reader sees: no tombstone, not expired, and no event that waits for its turn.
    fn alive(&self, item: &Item) -> bool {
        let deleted = matches!(item.get("d"), Some(AttributeValue::Bool(true)));
        let expired = match item.get("ttl") {
            Some(AttributeValue::N(ttl)) => ttl.parse::<i64>().is_ok_and(|ttl| ttl <= (self.now)()),
            _ => false,
        };
        !deleted && !expired && !item.contains_key("waits")
    }
}

/// What became of one batch: the items that are there, and why the rest was not read.
struct Chunk {
    items: HashMap<Key, Item>,
    failure: Option<(Arc<ReadError>, Vec<Key>)>,
}

fn attributes(key: &Key) -> Item {
    HashMap::from([
        ("pk".to_owned(), AttributeValue::S(key.pk.clone())),
        ("sk".to_owned(), AttributeValue::S(key.sk.clone())),
    ])
}

fn key_of(item: &Item) -> Option<Key> {
    let text = |name: &str| item.get(name).and_then(|value| value.as_s().ok()).cloned();
    Some(Key { pk: text("pk")?, sk: text("sk")? })
}

/// Seconds since 1970.
#[expect(
    clippy::disallowed_methods,
    reason = "`ttl` is compared with the time of the read; tests pass a clock"
)]
fn system_seconds() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
