//! The gateway: a supergraph, a transport, and the way of a request through them.

use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, Response};
use tokio::time::Instant;
use tracing::Instrument;

use crate::cache_control::CachePolicy;
use crate::config::Config;
use crate::engine::Engine;
use crate::error::{GraphQlError, codes};
use crate::execute::{Execution, Outcome, execute};
use crate::introspection::Introspection;
use crate::operation::OperationKind;
use crate::planner::PlanError;
use crate::project::project;
use crate::request::Request;
use crate::supergraph::Supergraph;
use crate::transport::{InFlight, Transport};
use crate::variables::Variables;

/// Headers that are handed on to subgraphs whatever the configuration says.
const ALWAYS_FORWARDED: [HeaderName; 6] = [
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
    HeaderName::from_static("apollographql-client-name"),
    HeaderName::from_static("apollographql-client-version"),
    HeaderName::from_static("graphql-client-name"),
    HeaderName::from_static("graphql-client-version"),
];

/// Answers GraphQL requests from a supergraph's subgraphs.
pub struct Gateway {
    engine: ArcSwap<Engine>,
    transport: Arc<dyn Transport>,
    in_flight: InFlight,
    config: Arc<Config>,
}

/// Why there is no gateway.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// The supergraph can't be planned against.
    #[error("the supergraph can't be served: {0}")]
    Planner(String),
}

/// The answer to a request, before it is put into HTTP.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The JSON text.
    pub body: Bytes,
    /// Whether the operation was executed: if not, the body has no `data`.
    pub executed: bool,
    /// How long it may be cached.
    pub cache: CachePolicy,
    /// Codes of the errors, in order.
    pub codes: Vec<String>,
}

/// How a request came: mutations are not run for a GET.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Safe, cacheable.
    Get,
    /// Anything.
    Post,
}

impl Gateway {
    /// Makes a gateway for a supergraph.
    pub fn new(
        supergraph: Supergraph,
        transport: Arc<dyn Transport>,
        config: Config,
    ) -> Result<Self, GatewayError> {
        let engine = Engine::new(supergraph, &config).map_err(|error| refused(&error))?;
        Ok(Self {
            engine: ArcSwap::from_pointee(engine),
            transport,
            in_flight: InFlight::default(),
            config: Arc::new(config),
        })
    }

    /// Takes another supergraph into service. Requests under way finish on the one they began with; if the new
    /// one can't be served, the old one stays.
    pub fn reload(&self, supergraph: Supergraph) -> Result<(), GatewayError> {
        let engine = Engine::new(supergraph, &self.config).map_err(|error| refused(&error))?;
        self.engine.store(Arc::new(engine));
        Ok(())
    }

    /// The supergraph in service.
    pub fn supergraph(&self) -> Supergraph {
        self.engine.load().supergraph.clone()
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Answers an HTTP request: GraphQL by POST or GET, and GraphiQL for browsers.
    pub async fn handle(&self, request: http::Request<Bytes>) -> Response<Bytes> {
        crate::http::handle(self, request).await
    }

    /// Answers a GraphQL request. Of `headers`, those that are allowed are handed on to subgraphs.
    pub async fn answer(&self, request: Request, method: Method, headers: &HeaderMap) -> Answer {
        let span = tracing::info_span!(
            "graphql",
            otel.kind = "server",
            operation.name = tracing::field::Empty,
            operation.kind = tracing::field::Empty,
            errors = tracing::field::Empty,
            response.bytes = tracing::field::Empty,
        );
        let answer = self.answer_in(request, method, headers, &span).instrument(span.clone()).await;
        span.record("errors", answer.codes.len());
        span.record("response.bytes", answer.body.len());
        answer
    }

    async fn answer_in(
        &self,
        request: Request,
        method: Method,
        headers: &HeaderMap,
        span: &tracing::Span,
    ) -> Answer {
        let deadline = Instant::now() + self.config.request_timeout;
        let engine = self.engine.load_full();
        let name = request.operation_name.as_deref();
        let known = match engine.operation(&request.query, name, &self.config).await {
            Ok(known) => known,
            Err(errors) => return Answer::refusal(&errors),
        };
        let operation = &known.operation;
        span.record("operation.kind", operation.kind.as_str());
        if let Some(name) = &operation.name {
            span.record("operation.name", name.as_str());
        }
        if let Some(error) = self.not_served(operation.kind, operation.introspects, method) {
            return Answer::refusal(&[error]);
        }
        let variables = match Variables::coerce(operation, &request.variables, &engine.schema) {
            Ok(variables) => variables,
            Err(errors) => return Answer::refusal(&errors),
        };
        let prepared = match engine.prepare(&known, variables.conditions(operation), &self.config).await {
            Ok(prepared) => prepared,
            Err(errors) => return Answer::refusal(&errors),
        };
        let forwarded = self.forwarded(headers);
        let execution = Execution {
            transport: &self.transport,
            in_flight: self.config.share_in_flight.then_some(&self.in_flight),
            schema: &engine.schema,
            address: &|subgraph| engine.address(subgraph),
            headers: &forwarded,
            variables: &variables,
            deadline,
            subgraph_timeout: self.config.subgraph_timeout,
        };
        let Outcome { store, root, mut errors, cache } = execute(&execution, &prepared.plan).await;
        let introspection = Introspection { schema: &engine.schema, variables: &variables };
        let mut body = b"{\"data\":".to_vec();
        let completed = project(&prepared.shape, &store, root, &introspection, &errors, &mut body);
        errors.extend(completed);
        let is_query = operation.kind == OperationKind::Query;
        let touched = prepared.plan.root.is_some();
        let cache = if is_query && touched && errors.is_empty() { cache } else { CachePolicy::NO_STORE };
        write_errors(&errors, self.config.limits.errors, &mut body);
        body.push(b'}');
        let codes = errors.iter().map(|error| error.code().to_owned()).collect();
        Answer { body: Bytes::from(body), executed: true, cache, codes }
    }

    fn not_served(&self, kind: OperationKind, introspects: bool, method: Method) -> Option<GraphQlError> {
        match kind {
            OperationKind::Mutation if method == Method::Get => Some(GraphQlError::new(
                codes::OPERATION_NOT_SUPPORTED,
                "mutations are not run for a GET request: send it by POST",
            )),
            OperationKind::Subscription => {
                Some(GraphQlError::new(codes::OPERATION_NOT_SUPPORTED, "subscriptions are not served here"))
            }
            _ if introspects && !self.config.introspection => Some(GraphQlError::new(
                codes::INTROSPECTION_DISABLED,
                "introspection is closed: ask the graph's owners for its schema",
            )),
            _ => None,
        }
    }

    fn forwarded(&self, headers: &HeaderMap) -> HeaderMap {
        let mut forwarded = HeaderMap::new();
        for name in ALWAYS_FORWARDED.iter().chain(&self.config.forwarded_headers) {
            for value in headers.get_all(name) {
                forwarded.append(name.clone(), value.clone());
            }
        }
        forwarded
    }
}

impl Answer {
    /// The answer to a request that is not executed.
    pub fn refusal(errors: &[GraphQlError]) -> Self {
        let mut body = b"{\"errors\":".to_vec();
        serde_json::to_writer(&mut body, errors).expect("errors are always JSON");
        body.push(b'}');
        let codes = errors.iter().map(|error| error.code().to_owned()).collect();
        Self { body: Bytes::from(body), executed: false, cache: CachePolicy::NO_STORE, codes }
    }
}

fn write_errors(errors: &[GraphQlError], limit: usize, out: &mut Vec<u8>) {
    if errors.is_empty() {
        return;
    }
    let shown = &errors[..errors.len().min(limit)];
    out.extend_from_slice(b",\"errors\":");
    serde_json::to_writer(&mut *out, shown).expect("errors are always JSON");
    let omitted = errors.len() - shown.len();
    if omitted > 0 {
        out.extend_from_slice(format!(",\"extensions\":{{\"errorsOmitted\":{omitted}}}").as_bytes());
    }
}

fn refused(error: &PlanError) -> GatewayError {
    GatewayError::Planner(error.to_string())
}
