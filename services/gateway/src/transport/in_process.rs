use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::future::{BoxFuture, FutureExt};
use futures::stream::BoxStream;
use http::{Method, Request, Response, header};

use super::{SubgraphEvents, SubgraphRequest, SubgraphResponse, Transport, TransportError};

/// A subgraph's HTTP handler, called without a network.
pub type Handler = Arc<dyn Fn(Request<Bytes>) -> BoxFuture<'static, Response<Bytes>> + Send + Sync>;

/// A subscription's events, an answer for each.
pub type Events = BoxStream<'static, Response<Bytes>>;

/// What opens a subgraph's subscriptions. What it refuses has one event, which says why.
pub type Subscriber = Arc<dyn Fn(Request<Bytes>) -> BoxFuture<'static, Events> + Send + Sync>;

/// Subgraphs that live in this process, by name.
#[derive(Clone, Default)]
pub struct InProcess {
    handlers: HashMap<String, Handler>,
    subscribers: HashMap<String, Subscriber>,
}

impl InProcess {
    /// No subgraphs yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a subgraph, or replaces the one of that name.
    #[must_use]
    pub fn with(mut self, subgraph: impl Into<String>, handler: Handler) -> Self {
        self.handlers.insert(subgraph.into(), handler);
        self
    }

    /// Says how a subgraph is subscribed to.
    #[must_use]
    pub fn with_subscriber(mut self, subgraph: impl Into<String>, subscriber: Subscriber) -> Self {
        self.subscribers.insert(subgraph.into(), subscriber);
        self
    }
}

impl<N: Into<String>> FromIterator<(N, Handler)> for InProcess {
    fn from_iter<T: IntoIterator<Item = (N, Handler)>>(handlers: T) -> Self {
        let handlers = handlers.into_iter().map(|(name, handler)| (name.into(), handler)).collect();
        Self { handlers, subscribers: HashMap::new() }
    }
}

#[async_trait]
impl Transport for InProcess {
    async fn send(&self, request: SubgraphRequest) -> Result<SubgraphResponse, TransportError> {
        let handler = self
            .handlers
            .get(&request.subgraph)
            .ok_or_else(|| TransportError::UnknownSubgraph(request.subgraph.clone()))?;
        let outgoing = posted(request);
        let handler = Arc::clone(handler);
        // A subgraph that panics costs its own fields, as one that is down does.
        let answer = AssertUnwindSafe(async move { handler(outgoing).await }).catch_unwind().await;
        answer.map(answered).map_err(|_| panicked())
    }

    async fn subscribe(&self, request: SubgraphRequest) -> Result<SubgraphEvents, TransportError> {
        let subscriber = Arc::clone(self.subscribers.get(&request.subgraph).ok_or(TransportError::NoEvents)?);
        let outgoing = posted(request);
        let opened = AssertUnwindSafe(async move { subscriber(outgoing).await }).catch_unwind().await;
        let events = AssertUnwindSafe(opened.map_err(|_| panicked())?).catch_unwind();
        Ok(events.map(|event| event.map(answered).map_err(|_| panicked())).boxed())
    }
}

fn posted(request: SubgraphRequest) -> Request<Bytes> {
    let mut outgoing = Request::new(request.body);
    *outgoing.method_mut() = Method::POST;
    *outgoing.headers_mut() = request.headers;
    let json = header::HeaderValue::from_static("application/json");
    outgoing.headers_mut().insert(header::CONTENT_TYPE, json);
    outgoing
}

fn answered(answer: Response<Bytes>) -> SubgraphResponse {
    let (parts, body) = answer.into_parts();
    SubgraphResponse { status: parts.status, headers: parts.headers, body }
}

fn panicked() -> TransportError {
    TransportError::Unreachable("its handler panicked".to_owned())
}
