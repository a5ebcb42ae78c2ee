use crate::{Cache, PurgeError};
use async_trait::async_trait;
use freshness::{CACHE_TAG, Tag};
use reqwest::{Client, Method, Url};
use std::collections::BTreeSet;
use std::time::Duration;

/// Tags in one request: about 2.7 KB of header.
const TAGS: usize = 100;

/// How long a request may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// An HTTP cache that takes `PURGE` with tags in the header `cache-tag`.
pub struct HttpCache {
    client: Client,
    url: Url,
}

impl HttpCache {
    /// The cache at a URL; what is sent with it has no other meaning.
    ///
    /// # Errors
    /// Where no client can be made.
    pub fn new(url: Url) -> Result<Self, reqwest::Error> {
        Ok(Self { client: Client::builder().timeout(PATIENCE).build()?, url })
    }
}

#[async_trait]
impl Cache for HttpCache {
    async fn purge(&self, tags: &BTreeSet<Tag>) -> Result<(), PurgeError> {
        let texts: Vec<&str> = tags.iter().map(Tag::as_str).collect();
        let failed = |reason: String| PurgeError { cache: self.url.to_string(), tags: tags.len(), reason };
        let method = Method::from_bytes(b"PURGE").expect("a method");
        for texts in texts.chunks(TAGS) {
            let request = self.client.request(method.clone(), self.url.clone());
            let answer = request.header(CACHE_TAG, texts.join(",")).send().await;
            let answer = answer.map_err(|error| failed(telemetry::error_chain(&error)))?;
            if !answer.status().is_success() {
                return Err(failed(format!("it answered with the status {}", answer.status())));
            }
        }
        Ok(())
    }
}
