#![doc = include_str!("../README.md")]

mod http;
mod manifest;

#[cfg(feature = "lambda")]
mod cloudfront;

use async_trait::async_trait;
use freshness::Tag;
use projection::delivery::{self, NotJson};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;

#[cfg(feature = "lambda")]
pub use cloudfront::CloudFront;
pub use http::HttpCache;
pub use manifest::{PURGER, QUEUE, manifest};

/// A cache that can be told to drop what has a tag.
#[async_trait]
pub trait Cache: Send + Sync {
    /// Drops everything that has any of these tags. It may be called again with the same tags.
    ///
    /// # Errors
    /// Where the cache did not take it for now.
    async fn purge(&self, tags: &BTreeSet<Tag>) -> Result<(), PurgeError>;
}

/// Why a cache did not drop what it was told to.
#[derive(Debug, thiserror::Error)]
#[error("{cache} did not take a purge of {tags} tags: {reason}")]
pub struct PurgeError {
    /// Which cache.
    pub cache: String,
    /// Of how many tags.
    pub tags: usize,
    /// What it says.
    pub reason: String,
}

/// Has caches drop what was announced.
#[derive(Clone)]
pub struct Purger {
    caches: Arc<[Arc<dyn Cache>]>,
}

/// What an announcement says.
#[derive(Deserialize)]
struct Announced {
    detail: Detail,
}

#[derive(Deserialize)]
struct Detail {
    tags: Vec<String>,
}

impl Purger {
    /// Purges these caches.
    pub fn new(caches: impl IntoIterator<Item = Arc<dyn Cache>>) -> Self {
        Self { caches: caches.into_iter().collect() }
    }

    /// Handles a batch of announcements from the queue. All of it comes again where a cache did not take it.
    ///
    /// # Errors
    /// Where the payload can't be taken apart.
    pub async fn handle(&self, payload: &[u8]) -> Result<Value, NotJson> {
        let delivery = delivery::take_apart(payload)?;
        let mut tags = BTreeSet::new();
        for message in &delivery.messages {
            match serde_json::from_str::<Announced>(&message.body) {
                Ok(announced) => {
                    let changed = announced.detail.tags.iter().filter_map(|text| Tag::parse(text));
                    tags.extend(changed.flat_map(|tag| tag.announced()));
                }
                Err(error) => {
                    tracing::error!(message_id = %message.id, %error, "an announcement can't be read; it is dropped");
                }
            }
        }
        let purged = self.purge(&tags).await;
        let failed = delivery.messages.iter().filter(|_| !purged);
        let failures: Vec<Value> = failed.map(|it| json!({ "itemIdentifier": it.id })).collect();
        Ok(json!({ "batchItemFailures": failures }))
    }

    /// Has every cache drop these tags; tells whether all took it.
    async fn purge(&self, tags: &BTreeSet<Tag>) -> bool {
        let mut taken = true;
        if tags.is_empty() {
            return taken;
        }
        for cache in &*self.caches {
            if let Err(error) = cache.purge(tags).await {
                let error = telemetry::error_chain(&error);
                tracing::warn!(error, "a purge failed for now; it comes again");
                taken = false;
            }
        }
        tracing::debug!(tags = tags.len(), "caches were purged");
        taken
    }
}

#[cfg(test)]
mod tests;
