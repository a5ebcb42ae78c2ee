use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::DisplayErrorContext;
use aws_sdk_dynamodb::types::AttributeValue;

use crate::{DocumentStore, DocumentStoreError, DocumentsInMemory};

/// For how long a document is kept after somebody asked the table for it, in seconds: 30 days.
const LIFE: i64 = 30 * 24 * 3600;

/// Documents in a DynamoDB table, shared by all gateways, in front of it those of this process's memory.
///
/// The table has the string keys `pk` (the hash) and `sk` (always `document`), and expires items by `ttl`.
pub struct DynamoDocuments {
    client: Client,
    table: String,
    memory: DocumentsInMemory,
    now: fn() -> i64,
}

impl DynamoDocuments {
    /// Keeps documents in a table, and of those `bytes` bytes in memory; `now` tells seconds since 1970.
    pub fn new(client: Client, table: impl Into<String>, bytes: u64, now: fn() -> i64) -> Self {
        Self { client, table: table.into(), memory: DocumentsInMemory::new(bytes), now }
    }

    async fn write(&self, hash: &str, document: &str) -> Result<(), DocumentStoreError> {
        let text = |text: &str| AttributeValue::S(text.to_owned());
        let write = self
            .client
            .put_item()
            .table_name(&self.table)
            .item("pk", text(hash))
            .item("sk", text("document"))
            .item("document", text(document))
            .item("ttl", AttributeValue::N(((self.now)() + LIFE).to_string()));
        write.send().await.map_err(|error| failed("PutItem", &error))?;
        Ok(())
    }
}

impl std::fmt::Debug for DynamoDocuments {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DynamoDocuments").field("table", &self.table).finish_non_exhaustive()
    }
}

#[async_trait]
impl DocumentStore for DynamoDocuments {
    async fn get(&self, hash: &str) -> Result<Option<Arc<str>>, DocumentStoreError> {
        if let Some(known) = self.memory.get(hash).await? {
            return Ok(Some(known));
        }
        let read = self.client.get_item().table_name(&self.table);
        let read = read
            .key("pk", AttributeValue::S(hash.to_owned()))
            .key("sk", AttributeValue::S("document".to_owned()));
        let found = read.send().await.map_err(|error| failed("GetItem", &error))?.item.unwrap_or_default();
        let Some(Ok(document)) = found.get("document").map(AttributeValue::as_s) else { return Ok(None) };
        let ends = found.get("ttl").and_then(|ttl| ttl.as_n().ok()?.parse::<i64>().ok()).unwrap_or(0);
        if ends <= (self.now)() {
            return Ok(None);
        }
        self.memory.put(hash, document).await?;
        // One that is still in use lives on, at a write in half its life.
        if ends < (self.now)() + LIFE / 2
            && let Err(error) = self.write(hash, document).await
        {
            tracing::warn!(%error, "the life of a persisted query could not be prolonged");
        }
        Ok(Some(Arc::from(document.as_str())))
    }

    async fn put(&self, hash: &str, document: &str) -> Result<(), DocumentStoreError> {
        if self.memory.get(hash).await?.is_some() {
            return Ok(());
        }
        self.write(hash, document).await?;
        self.memory.put(hash, document).await
    }
}

fn failed<E: std::error::Error + 'static>(operation: &'static str, error: &E) -> DocumentStoreError {
    DocumentStoreError { operation, reason: DisplayErrorContext(error).to_string() }
}
