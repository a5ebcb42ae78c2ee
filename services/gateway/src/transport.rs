//! The port through which subgraphs are asked, and what stands behind it.

mod by_hash;
mod caching;
mod http_client;
mod in_flight;
mod in_process;
#[cfg(feature = "sigv4")]
mod invoke;
mod resilient;
#[cfg(feature = "sigv4")]
mod sigv4;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use http::{HeaderMap, HeaderName, StatusCode};

pub use by_hash::HashedDocument;
pub(crate) use caching::CachingTransport;
pub use http_client::{FORWARDED_AUTHORIZATION, HttpTransport, Signer, Unsigned};
pub(crate) use in_flight::InFlight;
pub use in_process::{Events, Handler, InProcess, Subscriber};
#[cfg(feature = "sigv4")]
pub use invoke::{InvokeTransport, MAX_PAYLOAD};
pub(crate) use resilient::ResilientTransport;
pub use resilient::{Breaker, DEADLINE, Resilience};
#[cfg(feature = "sigv4")]
pub use sigv4::SigV4;

/// Headers that tell of the trace and of the client, and change nothing of the answer: handed on whatever the configuration
/// says.
pub(crate) const TRACE_AND_CLIENT: [HeaderName; 6] = [
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
    HeaderName::from_static("apollographql-client-name"),
    HeaderName::from_static("apollographql-client-version"),
    HeaderName::from_static("graphql-client-name"),
    HeaderName::from_static("graphql-client-version"),
];

/// Sends requests to subgraphs. One method, so that HTTP, Lambda `Invoke` and calls within the process look
/// alike to the gateway.
#[async_trait]
pub trait Transport: Send + Sync {
    /// Sends one request and waits for the whole answer, whatever its status.
    ///
    /// The gateway gives up at the request's deadline by itself: an implementation that never returns costs
    /// one request its time, not the gateway.
    async fn send(&self, request: SubgraphRequest) -> Result<SubgraphResponse, TransportError>;

    /// Opens a subscription; dropped, its events end it.
    ///
    /// Nothing is to be gathered for who is slow: where there was more than one event since the last one was taken, only
    /// the newest state counts.
    async fn subscribe(&self, request: SubgraphRequest) -> Result<SubgraphEvents, TransportError> {
        let _ = request;
        Err(TransportError::NoEvents)
    }
}

/// A subscription to a subgraph: an answer for each event. After an error there are no more.
pub type SubgraphEvents = BoxStream<'static, Result<SubgraphResponse, TransportError>>;

/// What to ask a subgraph.
#[derive(Debug, Clone)]
pub struct SubgraphRequest {
    /// The subgraph's name in the supergraph.
    pub subgraph: String,
    /// Where the supergraph says it answers; empty if it does not say.
    pub url: String,
    /// A JSON object with `query`, and `variables` where there are any.
    pub body: Bytes,
    /// Headers to hand on: trace context, the client's name and version, and those configured.
    pub headers: HeaderMap,
    /// How long the answer may take.
    pub timeout: Duration,
    /// Whether it changes something, and so must not be sent twice.
    pub is_mutation: bool,
    /// The document by its hash, for who can send that in place of the text.
    pub document: Option<Arc<HashedDocument>>,
}

/// What a subgraph answered.
#[derive(Debug, Clone)]
pub struct SubgraphResponse {
    /// The HTTP status.
    pub status: StatusCode,
    /// The headers; what they say of caching, tags and tokens is read.
    pub headers: HeaderMap,
    /// The body, any content coding undone.
    pub body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TransportError {
    /// The transport knows no such subgraph.
    #[error("no subgraph is named {0}")]
    UnknownSubgraph(String),
    /// The subgraph can't be reached. The reason is for logs, not for clients.
    #[error("the subgraph can't be reached: {0}")]
    Unreachable(String),
    /// The subgraph did not answer in time.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// The subgraph failed so often that it is left alone for a while.
    #[error("the subgraph is left alone for {0:?}")]
    Resting(Duration),
    /// There is no way to hear the subgraph's events.
    #[error("its events can't be heard")]
    NoEvents,
    /// The answer is larger than allowed.
    #[error("the answer has more than {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
}
