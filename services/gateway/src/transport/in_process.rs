use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt};
use http::{Method, Request, Response, header};

use super::{SubgraphRequest, SubgraphResponse, Transport, TransportError};

/// A subgraph's HTTP handler, called without a network.
pub type Handler = Arc<dyn Fn(Request<Bytes>) -> BoxFuture<'static, Response<Bytes>> + Send + Sync>;

/// Subgraphs that live in this process, by name.
#[derive(Clone, Default)]
pub struct InProcess {
    handlers: HashMap<String, Handler>,
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
}

impl<N: Into<String>> FromIterator<(N, Handler)> for InProcess {
    fn from_iter<T: IntoIterator<Item = (N, Handler)>>(handlers: T) -> Self {
        Self { handlers: handlers.into_iter().map(|(name, handler)| (name.into(), handler)).collect() }
    }
}

#[async_trait]
impl Transport for InProcess {
    async fn send(&self, request: SubgraphRequest) -> Result<SubgraphResponse, TransportError> {
        let handler = self
            .handlers
            .get(&request.subgraph)
            .ok_or_else(|| TransportError::UnknownSubgraph(request.subgraph.clone()))?;
        let mut outgoing = Request::new(request.body);
        *outgoing.method_mut() = Method::POST;
        *outgoing.headers_mut() = request.headers;
        outgoing
            .headers_mut()
            .insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
        let handler = Arc::clone(handler);
        // A subgraph that panics costs its own fields, as one that is down does.
        let answer = AssertUnwindSafe(async move { handler(outgoing).await }).catch_unwind().await;
        let answer = answer.map_err(|_| TransportError::Unreachable("its handler panicked".to_owned()))?;
        let (parts, body) = answer.into_parts();
        Ok(SubgraphResponse { status: parts.status, headers: parts.headers, body })
    }
}
