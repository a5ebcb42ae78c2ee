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
    /// The cache at a URL; a name and a password in it go out as basic authentication.
    ///
    /// # Errors
    /// Where no client can be made.
    pub fn new(url: Url) -> Result<Self, reqwest::Error> {
        Ok(Self { client: Client::builder().timeout(PATIENCE).build()?, url })
    }

    /// The URL without its password.
    fn name(&self) -> String {
        let mut url = self.url.clone();
        // A URL that can't have one has none.
        let _ = url.set_password(None);
        url.to_string()
    }
}

#[async_trait]
impl Cache for HttpCache {
    async fn purge(&self, tags: &BTreeSet<Tag>) -> Result<(), PurgeError> {
        let texts: Vec<&str> = tags.iter().map(Tag::as_str).collect();
        let failed = |reason: String| PurgeError { cache: self.name(), tags: tags.len(), reason };
        let method = Method::from_bytes(b"PURGE").expect("a method");
        for texts in texts.chunks(TAGS) {
            let request = self.client.request(method.clone(), self.url.clone());
            let answer = request.header(CACHE_TAG, texts.join(",")).send().await;
            // Its text would name the URL, and so the password.
            let answer = answer.map_err(|error| failed(telemetry::error_chain(&error.without_url())))?;
            if !answer.status().is_success() {
                return Err(failed(format!("it answered with the status {}", answer.status())));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::extract::State;
    use axum::http::{HeaderMap, StatusCode};
    use axum::routing::any;
    use std::sync::{Arc, Mutex};

    /// What it was sent, and the status that it answers with.
    type Sent = Arc<Mutex<(StatusCode, Vec<String>)>>;

    async fn take(State(sent): State<Sent>, method: Method, headers: HeaderMap) -> StatusCode {
        let text = |name: &str| headers.get(name).and_then(|it| it.to_str().ok()).unwrap_or_default();
        let line = format!("{method} {} {}", text("authorization"), text("cache-tag"));
        let mut sent = sent.lock().unwrap();
        sent.1.push(line);
        sent.0
    }

    #[tokio::test]
    async fn a_password_goes_with_the_purge_and_into_no_error() {
        let sent: Sent = Arc::new(Mutex::new((StatusCode::NO_CONTENT, Vec::new())));
        let router = Router::new().route("/graphql", any(take)).with_state(Arc::clone(&sent));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let served = tokio::spawn(async move { axum::serve(listener, router).await });
        let url: Url = format!("http://purger:secret@{address}/graphql").parse().unwrap();
        let cache = HttpCache::new(url).unwrap();
        let tags = BTreeSet::from([Tag::parse("price:1").unwrap(), Tag::parse("price:2").unwrap()]);

        cache.purge(&tags).await.unwrap();
        // `purger:secret`
        assert_eq!(sent.lock().unwrap().1, ["PURGE Basic cHVyZ2VyOnNlY3JldA== price:1,price:2"]);
        sent.lock().unwrap().0 = StatusCode::UNAUTHORIZED;
        let refused = cache.purge(&tags).await.unwrap_err().to_string();
        served.abort();
        let _ = served.await;
        let unreachable = cache.purge(&tags).await.unwrap_err().to_string();
        for error in [refused, unreachable] {
            assert!(error.contains(&format!("http://purger@{address}/graphql")), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
