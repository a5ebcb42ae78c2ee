use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::{SubgraphRequest, SubgraphResponse, Transport, TransportError};

/// How many bytes a subgraph's answer may have, unless told otherwise: 64 MiB.
const MAX_BODY: usize = 64 << 20;

/// The header in which a signed request carries the client's own `authorization`: the signature takes that one.
pub const FORWARDED_AUTHORIZATION: HeaderName = HeaderName::from_static("x-forwarded-authorization");

const CONTENT_TYPE: &str = "application/json";

/// Signs requests, for subgraphs that take no others.
#[async_trait]
pub trait Signer: std::fmt::Debug + Send + Sync {
    /// The headers that a signed POST has besides its own; none where it needs no signature.
    ///
    /// # Errors
    /// Where it can't be signed; the reason is for the log.
    async fn sign(&self, url: &str, content_type: &str, body: &[u8]) -> Result<HeaderMap, String>;
}

/// Subgraphs over HTTP, at the supergraph's addresses, on pooled connections.
#[derive(Debug, Clone)]
pub struct HttpTransport {
    client: reqwest::Client,
    signer: Option<Arc<dyn Signer>>,
    addresses: HashMap<String, String>,
    max_body: usize,
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
        Ok(Self { client, signer: None, addresses: HashMap::new(), max_body: MAX_BODY })
    }

    /// Sends a subgraph's requests to `url` in place of the supergraph's address.
    #[must_use]
    pub fn with_address(mut self, subgraph: impl Into<String>, url: impl Into<String>) -> Self {
        self.addresses.insert(subgraph.into(), url.into());
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
}

#[async_trait]
impl Transport for HttpTransport {
    async fn send(&self, request: SubgraphRequest) -> Result<SubgraphResponse, TransportError> {
        let url = self.addresses.get(&request.subgraph).unwrap_or(&request.url);
        let mut headers = request.headers;
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
        headers.insert(
            header::ACCEPT,
            HeaderValue::from_static("application/graphql-response+json, application/json;q=0.9"),
        );
        if let Some(signer) = &self.signer {
            let signed = signer.sign(url, CONTENT_TYPE, &request.body).await;
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
                TransportError::TimedOut(request.timeout)
            } else {
                TransportError::Unreachable(chain(&error))
            }
        };
        let mut response = self
            .client
            .post(url)
            .headers(headers)
            .timeout(request.timeout)
            .body(request.body)
            .send()
            .await
            .map_err(failed)?;
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
