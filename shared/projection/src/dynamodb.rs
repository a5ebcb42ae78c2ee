//! Projections in DynamoDB.

mod add;
mod contribute;
mod ordered;
mod put;
mod tables;
mod unasked;

pub use tables::{CreateTableError, create_table, delete_table};
pub use unasked::Unasked;

use crate::join::{Contribution, Dot, Put};
use crate::key::Key;
use crate::store::{Ordered, Outcome, Store, StoreError, Stored, Written};
use async_trait::async_trait;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::types::AttributeValue;
use contracts::Version;
use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;
use std::collections::HashMap;
use std::time::Duration;

/// How long a tombstone is kept: as long as an event may still come, which is the retention of a queue (14 days),
/// of its dead-letter queue (14 days), and two weeks to redrive.
pub const TOMBSTONE_HORIZON: SignedDuration = SignedDuration::from_hours(24 * 42);

/// How often a write is tried again after a conflict before it is left to a later delivery.
const CONFLICT_RETRIES: u32 = 8;

/// A store over one DynamoDB endpoint.
#[derive(Clone, Debug)]
pub struct DynamoStore {
    client: Client,
    clock: fn() -> Timestamp,
    tombstone_horizon: SignedDuration,
}

type Attributes = HashMap<String, AttributeValue>;

impl DynamoStore {
    /// A store that keeps tombstones for [`TOMBSTONE_HORIZON`] from the time that the clock tells.
    pub fn new(client: Client, clock: fn() -> Timestamp) -> Self {
        Self { client, clock, tombstone_horizon: TOMBSTONE_HORIZON }
    }

    /// Keeps tombstones for as long as this instead.
    #[must_use]
    pub fn tombstone_horizon(mut self, horizon: SignedDuration) -> Self {
        self.tombstone_horizon = horizon;
        self
    }

    fn expiry(&self) -> AttributeValue {
        AttributeValue::N(((self.clock)() + self.tombstone_horizon).as_second().to_string())
    }

    async fn item(&self, table: &str, key: &Key) -> Result<Attributes, StoreError> {
        let read = self.client.get_item().table_name(table).set_key(Some(key_of(key))).consistent_read(true);
        let read = read.send().await.map_err(|error| failure("GetItem", table, error))?;
        Ok(read.item.unwrap_or_default())
    }
}

#[async_trait]
impl Store for DynamoStore {
    async fn put(&self, table: &str, put: &Put) -> Result<Written, StoreError> {
        put::run(self, table, put).await
    }

    async fn add(&self, table: &str, dots: &[Dot]) -> Result<Written, StoreError> {
        add::run(self, table, dots).await
    }

    async fn contribute(&self, table: &str, contributions: &[Contribution]) -> Result<Written, StoreError> {
        contribute::run(self, table, contributions).await
    }

    async fn scan(&self, table: &str, after: Option<Key>) -> Result<(Vec<Stored>, Option<Key>), StoreError> {
        let request = self.client.scan().table_name(table).consistent_read(true);
        let request = request.set_exclusive_start_key(after.as_ref().map(key_of));
        let page = request.send().await.map_err(|error| failure("Scan", table, error))?;
        let next = page.last_evaluated_key.as_ref().and_then(key_in);
        let items = page.items.unwrap_or_default().into_iter();
        Ok((items.filter_map(|item| Some((key_in(&item)?, item.into()))).collect(), next))
    }

    fn ordered(&self) -> &dyn Ordered {
        self
    }
}

fn key_of(key: &Key) -> Attributes {
    let text = |text: &String| AttributeValue::S(text.clone());
    HashMap::from([("pk".to_owned(), text(&key.pk)), ("sk".to_owned(), text(&key.sk))])
}

fn key_in(item: &Attributes) -> Option<Key> {
    let text = |name: &str| item.get(name)?.as_s().ok().cloned();
    Some(Key { pk: text("pk")?, sk: text("sk")? })
}

fn number<T: ToString + ?Sized>(value: &T) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

fn decimal(value: &AttributeValue) -> Option<Decimal> {
    let text = value.as_n().ok()?;
    text.parse().or_else(|_| Decimal::from_scientific(text)).ok()
}

fn version_in(item: &Attributes, attribute: &str) -> Option<Version> {
    Some(Version::unpacked(item.get(attribute)?.as_n().ok()?.parse().ok()?))
}

/// What a failed condition means, given what is stored.
fn compare(stored: &Attributes, attributes: (&str, &str), version: Version, hash: &str) -> Option<Outcome> {
    let stored_version = version_in(stored, attributes.0)?;
    let same = || stored.get(attributes.1).and_then(|it| it.as_s().ok()).is_some_and(|it| it == hash);
    match stored_version.cmp(&version) {
        std::cmp::Ordering::Greater => Some(Outcome::Stale(Some(stored_version))),
        std::cmp::Ordering::Equal if same() => Some(Outcome::Duplicate),
        std::cmp::Ordering::Equal => Some(Outcome::Forked),
        std::cmp::Ordering::Less => None,
    }
}

/// What a failed operation means for the store's callers: refused for good, or to be tried again.
pub fn failure<E, R>(operation: &'static str, table: &str, error: SdkError<E, R>) -> StoreError
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    R: std::fmt::Debug + Send + Sync + 'static,
{
    let service = error.as_service_error();
    let code = service.and_then(ProvideErrorMetadata::code);
    if matches!(code, Some("ValidationException" | "ItemCollectionSizeLimitExceededException")) {
        // The message alone: the rest holds the request.
        let reason = service.and_then(ProvideErrorMetadata::message).unwrap_or("it is not valid").to_owned();
        return StoreError::Refused { operation, table: table.to_owned(), reason };
    }
    StoreError::Transient { operation, table: table.to_owned(), source: Box::new(error) }
}

/// Waits before a conflicting write is tried again: 5 ms, doubled each time.
async fn backoff(attempt: u32) {
    tokio::time::sleep(Duration::from_millis(5 << attempt.min(8))).await;
}

fn exhausted(operation: &'static str, table: &str) -> StoreError {
    let source = "others kept writing the same item".into();
    StoreError::Transient { operation, table: table.to_owned(), source }
}
