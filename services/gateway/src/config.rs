//! What can be set. Everything has a default that is safe on the open internet.

use std::time::Duration;

use http::HeaderName;

/// The gateway's settings.
#[derive(Debug, Clone)]
pub struct Config {
    /// What a request may cost before it is refused.
    pub limits: Limits,
    /// How long a subgraph has for one answer.
    pub subgraph_timeout: Duration,
    /// How long the gateway has for a whole request.
    pub request_timeout: Duration,
    /// How long planning one operation may take.
    pub planning_timeout: Duration,
    /// How many prepared operations (parsed, validated, planned) are kept; none of more than 64 KiB is.
    pub operation_cache: usize,
    /// How many plans are kept; operations that differ only in form share one.
    pub plan_cache: usize,
    /// Request headers handed on to subgraphs, besides `traceparent`, `tracestate` and the client's name
    /// and version, which always are.
    pub forwarded_headers: Vec<HeaderName>,
    /// Labels of progressive `@override` that hold; a label `percent(x)` holds for that share of requests.
    pub override_labels: Vec<String>,
    /// Whether `__schema` and `__type` are answered.
    pub introspection: bool,
    /// Whether equal queries to a subgraph that are under way at once are sent once.
    pub share_in_flight: bool,
    /// What GraphiQL shows on GET with `Accept: text/html`; `None` serves no page.
    pub graphiql: Option<Graphiql>,
}

/// What a request may cost. A request past a limit is refused with a code that names the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request's body.
    pub body_bytes: usize,
    /// Bytes of a GET request's path and query.
    pub url_bytes: usize,
    /// Lexical tokens of a document.
    pub tokens: usize,
    /// How deep fields nest, fragments expanded.
    pub depth: usize,
    /// Aliases, fragments expanded.
    pub aliases: usize,
    /// Root fields of the operation, fragments expanded.
    pub root_fields: usize,
    /// Directives of a document.
    pub directives: usize,
    /// Fields of the operation, fragments expanded.
    pub fields: usize,
    /// Errors listed in one answer; the rest are counted.
    pub errors: usize,
}

/// What GraphiQL opens with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Graphiql {
    /// Title of the page.
    pub title: String,
    /// Documents, each opened in a tab of its own.
    pub queries: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            subgraph_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(25),
            planning_timeout: Duration::from_secs(2),
            operation_cache: 1_000,
            plan_cache: 1_000,
            forwarded_headers: vec![http::header::AUTHORIZATION],
            override_labels: Vec::new(),
            introspection: true,
            share_in_flight: true,
            graphiql: Some(Graphiql::default()),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 1 << 20,
            url_bytes: 8 << 10,
            tokens: 5_000,
            depth: 30,
            aliases: 200,
            root_fields: 50,
            directives: 100,
            fields: 5_000,
            errors: 100,
        }
    }
}
