use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use tokio::time::Instant;

use freshness::GENERATIONS;

use super::by_hash::Heard;
use super::{SubgraphRequest, SubgraphResponse, Transport, TransportError};
use crate::config::URL_BYTES;

/// How many bytes a subgraph's answer may have, unless told otherwise: 64 MiB.
const MAX_BODY: usize = 64 << 20;

/// For how long a subgraph that takes no queries by hash is sent none: it may be deployed anew.
const UNSUPPORTED: Duration = Duration::from_mins(5);

/// The header in which a signed request carries the client's own `authorization`: the signature takes that one.
pub const FORWARDED_AUTHORIZATION: HeaderName = HeaderName::from_static("x-forwarded-authorization");

const CONTENT_TYPE: &str = "application/json";

/// Signs requests, for subgraphs that take no others.
#[async_trait]
pub trait Signer: std::fmt::Debug + Send + Sync {
    /// The headers that a signed request has besides its own; none where it needs no signature.
    ///
    /// # Errors
    /// Where it can't be signed; the reason is for the log.
    async fn sign(&self, request: &Unsigned<'_>) -> Result<HeaderMap, String>;
}

/// What is to be signed.
#[derive(Debug, Clone, Copy)]
pub struct Unsigned<'a> {
    /// The method.
    pub method: &'a Method,
    /// The address, its query too.
    pub url: &'a str,
    /// What the header `content-type` says, where there is a body.
    pub content_type: Option<&'a str>,
    /// The body.
    pub body: &'a [u8],
}

/// Subgraphs over HTTP, at the supergraph's addresses, on pooled connections.
#[derive(Debug, Clone)]
pub struct HttpTransport {
    client: reqwest::Client,
    signer: Option<Arc<dyn Signer>>,
    addresses: HashMap<String, String>,
    max_body: usize,
    by_get: ByGet,
}

/// Which subgraphs get queries by GET.
#[derive(Debug, Clone, Default)]
struct ByGet {
    all: bool,
    named: HashSet<String>,
    /// Those that said that they take none, and when.
    unsupported: Arc<Mutex<HashMap<String, Instant>>>,
}

impl HttpTransport {
    /// A client with its own pool of connections.
    pub fn new() -> Result<Self, TransportError> {
        let client = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(3))
            .pool_idle_timeout(Duration::from_mins(1))
            .tcp_nodelay(true)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| TransportError::Unreachable(chain(&error)))?;
        let (signer, addresses, by_get) = (None, HashMap::new(), ByGet::default());
        Ok(Self { client, signer, addresses, max_body: MAX_BODY, by_get })
    }

    /// Sends a subgraph's requests to `url` in place of the supergraph's address.
    #[must_use]
    pub fn with_address(mut self, subgraph: impl Into<String>, url: impl Into<String>) -> Self {
        self.addresses.insert(subgraph.into(), url.into());
        self
    }

    /// Sends a subgraph's queries (`*`: those of all subgraphs) by GET, their document named by its hash, so that a cache
    /// in front of it answers what it knows. Mutations go by POST, and so do queries that are for one client alone, and
    /// those whose URL would be too long.
    #[must_use]
    pub fn by_get(mut self, subgraph: impl Into<String>) -> Self {
        let subgraph = subgraph.into();
        self.by_get.all |= subgraph == "*";
        self.by_get.named.insert(subgraph);
        self
    }

    /// Has requests signed.
    #[must_use]
    pub fn signed(mut self, signer: Arc<dyn Signer>) -> Self {
        self.signer = Some(signer);
        self
    }

    /// Refuses answers of more than `bytes`.
    #[must_use]
    pub fn with_max_body(mut self, bytes: usize) -> Self {
        self.max_body = bytes;
        self
    }

    /// Sends one HTTP request, signed where it is to be.
    async fn exchange(
        &self,
        method: Method,
        url: &str,
        mut headers: HeaderMap,
        body: Bytes,
        patience: Duration,
    ) -> Result<SubgraphResponse, TransportError> {
        let content_type = (method == Method::POST).then_some(CONTENT_TYPE);
        if content_type.is_some() {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
        }
        headers.insert(
            header::ACCEPT,
            HeaderValue::from_static("application/graphql-response+json, application/json;q=0.9"),
        );
        if let Some(signer) = &self.signer {
            let signed = signer.sign(&Unsigned { method: &method, url, content_type, body: &body }).await;
            let signed = signed
                .map_err(|error| TransportError::Unreachable(format!("it can't be signed: {error}")))?;
            if signed.contains_key(header::AUTHORIZATION)
                && let Some(taken) = headers.remove(header::AUTHORIZATION)
            {
                headers.insert(FORWARDED_AUTHORIZATION, taken);
            }
            headers.extend(signed);
        }
        let failed = |error: reqwest::Error| {
            if error.is_timeout() && !error.is_connect() {
                TransportError::TimedOut(patience)
            } else {
                TransportError::Unreachable(chain(&error))
            }
        };
        let request = self.client.request(method, url).headers(headers).timeout(patience);
        let request = if body.is_empty() { request } else { request.body(body) };
        let mut response = request.send().await.map_err(failed)?;
        let too_large = TransportError::TooLarge { limit: self.max_body };
        let announced = response.content_length().unwrap_or_default();
        if usize::try_from(announced).map_or(true, |announced| announced > self.max_body) {
            return Err(too_large);
        }
        let mut body = BytesMut::new();
        let mut first: Option<Bytes> = None;
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len() + first.as_ref().map_or(0, Bytes::len) + chunk.len() > self.max_body {
                return Err(too_large);
            }
            match first.take() {
                // Most answers come in one piece, which is handed on without copying.
                None if body.is_empty() => first = Some(chunk),
                None => body.extend_from_slice(&chunk),
                Some(start) => {
                    body.reserve(usize::try_from(announced).unwrap_or(0).max(start.len() + chunk.len()));
                    body.extend_from_slice(&start);
                    body.extend_from_slice(&chunk);
                }
            }
        }
        let body = first.unwrap_or_else(|| body.freeze());
        Ok(SubgraphResponse {
            status: response.status(),
            headers: std::mem::take(response.headers_mut()),
            body,
        })
    }
}

impl ByGet {
    fn takes(&self, subgraph: &str) -> bool {
        (self.all || self.named.contains(subgraph)) && {
            let unsupported = self.unsupported.lock().unwrap_or_else(PoisonError::into_inner);
            unsupported.get(subgraph).is_none_or(|since| since.elapsed() >= UNSUPPORTED)
        }
    }

    fn note_unsupported(&self, subgraph: &str) {
        tracing::warn!(subgraph, "it takes no queries by GET and hash; it gets them by POST for a while");
        let mut unsupported = self.unsupported.lock().unwrap_or_else(PoisonError::into_inner);
        unsupported.insert(subgraph.to_owned(), Instant::now());
    }
}

#[async_trait]
impl Transport for HttpTransport {
    async fn send(&self, request: SubgraphRequest) -> Result<SubgraphResponse, TransportError> {
        let SubgraphRequest { subgraph, url, mut body, headers, timeout, is_mutation, document } = request;
        let url = self.addresses.get(&subgraph).unwrap_or(&url);
        let until = Instant::now() + timeout;
        let document = document.filter(|_| !is_mutation && self.by_get.takes(&subgraph));
        if let Some(document) = document
            && let Some(named) = document.url(url, &body, &headers, URL_BYTES)
        {
            let mut headers = headers.clone();
            // It stands in the URL, where caches see it.
            headers.remove(GENERATIONS);
            let answer = self.exchange(Method::GET, &named, headers, Bytes::new(), timeout).await?;
            match Heard::of(&answer) {
                Heard::Answer => return Ok(answer),
                Heard::Unknown => body = document.registration(&body),
                Heard::Unsupported => self.by_get.note_unsupported(&subgraph),
            }
        }
        let left = until.saturating_duration_since(Instant::now());
        self.exchange(Method::POST, url, headers, body, left).await
    }
}

/// An error with its causes, for logs.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
