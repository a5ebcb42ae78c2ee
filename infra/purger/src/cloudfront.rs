use crate::{Cache, PurgeError};
use async_trait::async_trait;
use aws_sdk_cloudfront::Client;
use aws_sdk_cloudfront::error::DisplayErrorContext;
use aws_sdk_cloudfront::types::{InvalidationBatch, Paths};
use freshness::Tag;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// Items in one invalidation; CloudFront works on 3,000 of a distribution at once.
const ITEMS: usize = 1_000;

/// A CloudFront distribution whose `CacheTagConfig` names the header of the tags.
pub struct CloudFront {
    client: Client,
    distribution: String,
    /// Tells batches apart that have the same tags.
    reference: fn() -> String,
}

impl CloudFront {
    /// A distribution, by its id. `reference` gives another text each time, as a clock does.
    pub fn new(client: Client, distribution: impl Into<String>, reference: fn() -> String) -> Self {
        Self { client, distribution: distribution.into(), reference }
    }
}

#[async_trait]
impl Cache for CloudFront {
    async fn purge(&self, tags: &BTreeSet<Tag>) -> Result<(), PurgeError> {
        let failed = |reason: String| PurgeError {
            cache: format!("the distribution {}", self.distribution),
            tags: tags.len(),
            reason,
        };
        let items: Vec<String> = tags.iter().map(|tag| format!("#{tag}")).collect();
        for items in items.chunks(ITEMS) {
            let mut reference = (self.reference)();
            for byte in &Sha256::digest(items.join(","))[..8] {
                write!(reference, "{byte:02x}").expect("a string takes all text");
            }
            let quantity = i32::try_from(items.len()).unwrap_or(i32::MAX);
            let paths = Paths::builder().quantity(quantity).set_items(Some(items.to_vec())).build();
            let paths = paths.map_err(|error| failed(error.to_string()))?;
            let batch = InvalidationBatch::builder().paths(paths).caller_reference(reference).build();
            let batch = batch.map_err(|error| failed(error.to_string()))?;
            let request = self.client.create_invalidation().distribution_id(&self.distribution);
            let sent = request.invalidation_batch(batch).send().await;
            sent.map_err(|error| failed(DisplayErrorContext(&error).to_string()))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_cloudfront::config::{BehaviorVersion, Credentials, Region, retry::RetryConfig};
    use axum::Router;
    use axum::extract::State;
    use axum::http::{StatusCode, Uri};
    use axum::routing::any;
    use std::sync::{Arc, Mutex};
    use tokio::net::TcpListener;

    type Log = Arc<Mutex<Vec<(String, String)>>>;

    const ANSWER: &str = "<Invalidation><Id>I1</Id><Status>InProgress</Status>\
        <CreateTime>2026-01-01T00:00:00Z</CreateTime><InvalidationBatch><Paths><Quantity>0</Quantity></Paths>\
        <CallerReference>x</CallerReference></InvalidationBatch></Invalidation>";

    async fn answer(State(log): State<Log>, uri: Uri, body: String) -> (StatusCode, &'static str) {
        let is_full = uri.path().contains("FULL");
        log.lock().unwrap().push((uri.path().to_owned(), body));
        if is_full { (StatusCode::BAD_REQUEST, "<ErrorResponse/>") } else { (StatusCode::CREATED, ANSWER) }
    }

    async fn cloudfront(distribution: &str) -> (CloudFront, Log) {
        let log = Log::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(any(answer)).with_state(Arc::clone(&log));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let config = aws_sdk_cloudfront::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new("key", "secret", None, None, "test"))
            .retry_config(RetryConfig::disabled())
            .endpoint_url(url)
            .build();
        (CloudFront::new(Client::from_conf(config), distribution, || "now-".to_owned()), log)
    }

    #[tokio::test]
    async fn tags_are_invalidated_a_thousand_at_a_time() {
        let (cloudfront, log) = cloudfront("E1").await;
        let tags: BTreeSet<Tag> = (0..1_500).map(|it| Tag::partition("shop", &it.to_string())).collect();
        cloudfront.purge(&tags).await.unwrap();
        let log = log.lock().unwrap();
        assert_eq!(log.len(), 2);
        let (path, body) = &log[0];
        assert_eq!(path, "/2020-05-31/distribution/E1/invalidation");
        assert!(body.contains("<Quantity>1000</Quantity>"), "{body}");
        let first = tags.iter().next().unwrap();
        assert!(body.contains(&format!("<Path>#{first}</Path>")), "{body}");
        assert!(body.contains("<CallerReference>now-"), "{body}");
        let reference = |body: &str| body.split("<CallerReference>").nth(1).map(str::to_owned);
        assert_ne!(reference(&log[0].1), reference(&log[1].1));
    }

    #[tokio::test]
    async fn what_was_not_taken_is_an_error() {
        let (cloudfront, _) = cloudfront("FULL").await;
        let error = cloudfront.purge(&[Tag::partition("shop", "1")].into()).await.unwrap_err();
        assert!(
            error.to_string().starts_with("the distribution FULL did not take a purge of 1 tags"),
            "{error}"
        );
    }
}
