//! Where messages go that can't be applied: kept whole, with the reason, then acknowledged.

use crate::store::StoreError;
use async_trait::async_trait;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use contracts::digest;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

use crate::dynamodb::failure;

/// Why a message can't be applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Reason {
    /// Not an envelope at all.
    Malformed,
    /// A major version that this build doesn't know.
    UnknownMajor,
    /// The data isn't what its type says.
    SchemaViolation,
    /// The domain's rules, or the store, refuse it.
    HandlerRejected,
    /// The same version of the aggregate came with other content.
    VersionFork,
}

/// A message to keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined<'a> {
    /// Who could not apply it: the projection, or `commands`.
    pub consumer: &'a str,
    /// Why, as a word.
    pub reason: Reason,
    /// Why, as a sentence. No personal data.
    pub detail: String,
    /// The body as it was delivered.
    pub raw: &'a str,
    /// The envelope in it, the same for every delivery of the message; the body where there is none.
    pub envelope: &'a str,
}

impl Quarantined<'_> {
    /// Names the entry: the same for every delivery of the message to the same consumer.
    pub fn id(&self) -> String {
        digest::short(&[self.consumer.as_bytes(), self.envelope.as_bytes()])
    }
}

/// Keeps messages that can't be applied.
#[async_trait]
pub trait Quarantine: Send + Sync {
    /// Keeps a message. It may be acknowledged only after this succeeded.
    async fn keep(&self, message: &Quarantined<'_>) -> Result<(), StoreError>;
}

/// A message that is kept, as people see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Names it.
    pub id: String,
    /// Who could not apply it.
    pub consumer: String,
    /// Why, as a word.
    pub reason: String,
    /// Why, as a sentence.
    pub detail: String,
    /// How often it came.
    pub count: u64,
    /// When it came first.
    pub first_seen: String,
    /// When it came last.
    pub last_seen: String,
    /// The build that could not apply it last.
    pub build: String,
    /// Its size in bytes.
    pub bytes: usize,
}

/// A quarantine in a DynamoDB table: an item for each message, its bytes in as many parts as its size asks for.
#[derive(Clone, Debug)]
pub struct DynamoQuarantine {
    client: Client,
    table: String,
    build: String,
    clock: fn() -> Timestamp,
}

/// The bytes of a message that one item holds; DynamoDB's limit is 400 KB an item.
const PART: usize = 350 * 1024;

const ENTRY: &str = "entry";

impl DynamoQuarantine {
    /// A quarantine in a table, written by a build.
    pub fn new(
        client: Client,
        table: impl Into<String>,
        build: impl Into<String>,
        clock: fn() -> Timestamp,
    ) -> Self {
        Self { client, table: table.into(), build: build.into(), clock }
    }

    /// All entries, by the time that they came first.
    pub async fn list(&self) -> Result<Vec<Entry>, StoreError> {
        let mut entries = Vec::new();
        let mut after = None;
        loop {
            let request = self
                .client
                .scan()
                .table_name(&self.table)
                .consistent_read(true)
                .filter_expression("sk = :entry")
                .expression_attribute_values(":entry", AttributeValue::S(ENTRY.to_owned()))
                .set_exclusive_start_key(after);
            let page = request.send().await.map_err(|error| failure("Scan", &self.table, error))?;
            entries.extend(page.items().iter().map(entry));
            after = page.last_evaluated_key;
            if after.is_none() {
                break;
            }
        }
        entries.sort_by(|a, b| (&a.first_seen, &a.id).cmp(&(&b.first_seen, &b.id)));
        Ok(entries)
    }

    /// An entry and the bytes as they were delivered, or none of that id.
    pub async fn show(&self, id: &str) -> Result<Option<(Entry, Vec<u8>)>, StoreError> {
        let mut found = None;
        let mut parts = Vec::new();
        for item in self.items(id).await? {
            match item.get("raw").and_then(|it| it.as_b().ok()) {
                Some(part) => parts.push((text(&item, "sk"), part.clone().into_inner())),
                None => found = Some(entry(&item)),
            }
        }
        parts.sort();
        Ok(found.map(|entry| {
            // A delivery with more around the envelope may have left parts beyond the end of the last one.
            let raw = parts.into_iter().flat_map(|(_, bytes)| bytes).take(entry.bytes).collect();
            (entry, raw)
        }))
    }

    /// Removes an entry: only after its message was delivered again.
    pub async fn remove(&self, id: &str) -> Result<(), StoreError> {
        for item in self.items(id).await? {
            let request = self.client.delete_item().table_name(&self.table);
            let key = [("pk", &item["pk"]), ("sk", &item["sk"])];
            let request =
                request.set_key(Some(key.map(|(name, value)| (name.to_owned(), value.clone())).into()));
            request.send().await.map_err(|error| failure("DeleteItem", &self.table, error))?;
        }
        Ok(())
    }

    async fn items(&self, id: &str) -> Result<Vec<HashMap<String, AttributeValue>>, StoreError> {
        let mut items = Vec::new();
        let mut after = None;
        loop {
            let request = self
                .client
                .query()
                .table_name(&self.table)
                .consistent_read(true)
                .key_condition_expression("pk = :id")
                .expression_attribute_values(":id", AttributeValue::S(id.to_owned()))
                .set_exclusive_start_key(after);
            let page = request.send().await.map_err(|error| failure("Query", &self.table, error))?;
            items.extend(page.items.unwrap_or_default());
            after = page.last_evaluated_key;
            if after.is_none() {
                return Ok(items);
            }
        }
    }
}

#[async_trait]
impl Quarantine for DynamoQuarantine {
    async fn keep(&self, message: &Quarantined<'_>) -> Result<(), StoreError> {
        let id = message.id();
        for (number, part) in message.raw.as_bytes().chunks(PART).enumerate() {
            let request = self
                .client
                .put_item()
                .table_name(&self.table)
                .item("pk", AttributeValue::S(id.clone()))
                .item("sk", AttributeValue::S(format!("raw#{number:04}")))
                .item("raw", AttributeValue::B(Blob::new(part)));
            request.send().await.map_err(|error| failure("PutItem", &self.table, error))?;
        }
        let now = (self.clock)().to_string();
        let request = self
            .client
            .update_item()
            .table_name(&self.table)
            .key("pk", AttributeValue::S(id))
            .key("sk", AttributeValue::S(ENTRY.to_owned()))
            .update_expression(
                "SET consumer = :consumer, reason = :reason, detail = :detail, build = :build, size_bytes = :bytes, \
                 first_seen = if_not_exists(first_seen, :now), last_seen = :now ADD times :one",
            )
            .expression_attribute_values(":consumer", AttributeValue::S(message.consumer.to_owned()))
            .expression_attribute_values(":reason", AttributeValue::S(format!("{:?}", message.reason)))
            .expression_attribute_values(":detail", AttributeValue::S(message.detail.clone()))
            .expression_attribute_values(":build", AttributeValue::S(self.build.clone()))
            .expression_attribute_values(":bytes", AttributeValue::N(message.raw.len().to_string()))
            .expression_attribute_values(":now", AttributeValue::S(now))
            .expression_attribute_values(":one", AttributeValue::N("1".to_owned()));
        request.send().await.map_err(|error| failure("UpdateItem", &self.table, error))?;
        Ok(())
    }
}

fn entry(item: &HashMap<String, AttributeValue>) -> Entry {
    let count = |name: &str| item.get(name).and_then(|it| it.as_n().ok()?.parse::<u64>().ok()).unwrap_or(0);
    Entry {
        id: text(item, "pk"),
        consumer: text(item, "consumer"),
        reason: text(item, "reason"),
        detail: text(item, "detail"),
        count: count("times"),
        first_seen: text(item, "first_seen"),
        last_seen: text(item, "last_seen"),
        build: text(item, "build"),
        bytes: usize::try_from(count("size_bytes")).unwrap_or(usize::MAX),
    }
}

fn text(item: &HashMap<String, AttributeValue>, name: &str) -> String {
    item.get(name).and_then(|it| it.as_s().ok()).cloned().unwrap_or_default()
}
