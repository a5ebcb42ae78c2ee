use std::sync::Arc;

use async_trait::async_trait;
use freshness::{CACHE_TAG, CONSISTENCY_TOKEN, Tags};
use http::{HeaderValue, header};

use super::in_flight::part_of_the_question;
use super::{SubgraphEvents, SubgraphRequest, SubgraphResponse, Transport, TransportError};
use crate::cache::{Found, Question, TaggedCache};
use crate::cache_control::CachePolicy;

/// Answers of subgraphs that everyone may have, for as long as they say: a hot subgraph is asked once.
pub(crate) struct CachingTransport {
    inner: Arc<dyn Transport>,
    cache: Arc<TaggedCache<SubgraphResponse>>,
}

impl CachingTransport {
    pub(crate) fn new(inner: Arc<dyn Transport>, cache: Arc<TaggedCache<SubgraphResponse>>) -> Self {
        Self { inner, cache }
    }
}

#[async_trait]
impl Transport for CachingTransport {
    async fn subscribe(&self, request: SubgraphRequest) -> Result<SubgraphEvents, TransportError> {
        self.inner.subscribe(request).await
    }

    async fn send(&self, request: SubgraphRequest) -> Result<SubgraphResponse, TransportError> {
        // Who brings a token wants what is newer than anything that is kept.
        if request.is_mutation || request.headers.contains_key(CONSISTENCY_TOKEN) {
            return self.inner.send(request).await;
        }
        let headers = part_of_the_question(&request.headers);
        let parts = [request.subgraph.as_bytes(), &request.body[..]];
        let headers = headers.iter().flat_map(|(name, value)| [name.as_bytes(), value.as_slice()]);
        let question = Question::of(parts.into_iter().chain(headers));
        let stale = match self.cache.find(&question) {
            Found::Fresh(response, age) => return Ok(aged(response, age)),
            Found::Stale { value, age, if_error: true, .. } => Some((value, age)),
            Found::Stale { .. } | Found::Nothing => None,
        };
        let began = self.cache.begin();
        let response = match (self.inner.send(request).await, stale) {
            (Ok(response), Some((stale, age))) if response.status.is_server_error() => {
                return Ok(aged(stale, age));
            }
            (Err(_), Some((stale, age))) => return Ok(aged(stale, age)),
            (answer, _) => answer?,
        };
        if response.status.is_success() {
            let mut tags = Tags::default();
            for value in response.headers.get_all(CACHE_TAG).iter().filter_map(|it| it.to_str().ok()) {
                tags.read(value);
            }
            let policy = CachePolicy::from_headers(&response.headers);
            self.cache.keep(question, response.clone(), response.body.len(), policy, tags, began);
        }
        Ok(response)
    }
}

/// An answer that was kept for so many seconds: its `Age` counts them too.
fn aged(mut response: SubgraphResponse, seconds: u64) -> SubgraphResponse {
    let before = response.headers.get(header::AGE);
    let before: u64 = before.and_then(|age| age.to_str().ok()?.trim().parse().ok()).unwrap_or(0);
    response.headers.insert(header::AGE, HeaderValue::from(before.saturating_add(seconds)));
    response
}
