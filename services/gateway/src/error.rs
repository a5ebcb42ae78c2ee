//! Errors as clients see them.

use serde::Serialize;
use serde_json::{Map, Value};

/// One entry of an answer's `errors`, as the GraphQL specification (section 7.1.2) describes it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GraphQlError {
    /// What went wrong, for a person; safe to show.
    pub message: String,
    /// Where in the client's document.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub locations: Vec<Location>,
    /// Which field of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<Vec<PathSegment>>,
    /// More for programs; `code` is always there and stable.
    pub extensions: Box<Map<String, Value>>,
}

/// A place in the client's document, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Location {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

/// One step of a path into the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum PathSegment {
    /// A field, by its response key.
    Key(String),
    /// An item of a list, from 0.
    Index(usize),
}

impl GraphQlError {
    /// An error with a code and neither path nor location.
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        let mut extensions = Map::new();
        extensions.insert("code".to_owned(), Value::from(code));
        Self { message: message.into(), locations: Vec::new(), path: None, extensions: Box::new(extensions) }
    }

    /// Says which field of the answer it is about.
    #[must_use]
    pub fn at_path(mut self, path: Vec<PathSegment>) -> Self {
        self.path = Some(path);
        self
    }

    /// Says where in the client's document it is.
    #[must_use]
    pub fn at(mut self, line: usize, column: usize) -> Self {
        self.locations.push(Location { line, column });
        self
    }

    /// Adds to `extensions`.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.extensions.insert(name.to_owned(), value.into());
        self
    }

    /// The stable code.
    pub fn code(&self) -> &str {
        self.extensions.get("code").and_then(Value::as_str).unwrap_or_default()
    }
}

/// The codes that the gateway itself gives. They are part of its interface: none changes its meaning.
pub mod codes {
    /// The request is not a GraphQL request.
    pub const BAD_REQUEST: &str = "BAD_REQUEST";
    /// The body is larger than the limit.
    pub const BODY_TOO_LARGE: &str = "REQUEST_BODY_TOO_LARGE";
    /// The URL is longer than the limit.
    pub const URL_TOO_LONG: &str = "REQUEST_URL_TOO_LONG";
    /// The body is an array of requests.
    pub const BATCHING_NOT_SUPPORTED: &str = "BATCHING_NOT_SUPPORTED";
    /// No document is kept under the hash: send text and hash together.
    pub const PERSISTED_QUERY_NOT_FOUND: &str = "PERSISTED_QUERY_NOT_FOUND";
    /// Documents are not kept here: send the text.
    pub const PERSISTED_QUERY_NOT_SUPPORTED: &str = "PERSISTED_QUERY_NOT_SUPPORTED";
    /// The hash is not that of the document.
    pub const PERSISTED_QUERY_HASH_MISMATCH: &str = "PERSISTED_QUERY_HASH_MISMATCH";
    /// Only documents of a list are run here, and this is none of them.
    pub const DOCUMENT_NOT_TRUSTED: &str = "DOCUMENT_NOT_TRUSTED";
    /// The request's token does not hold.
    pub const UNAUTHENTICATED: &str = "UNAUTHENTICATED";
    /// Tokens can't be checked for now.
    pub const AUTH_UNAVAILABLE: &str = "AUTH_UNAVAILABLE";
    /// The one who asks may not see this field.
    pub const UNAUTHORIZED_FIELD_OR_TYPE: &str = "UNAUTHORIZED_FIELD_OR_TYPE";
    /// The operation may cost too much.
    pub const COST_LIMIT: &str = "COST_LIMIT_EXCEEDED";
    /// A browser may have been made to send it.
    pub const CSRF_GUARD: &str = "CSRF_GUARD";
    /// The document does not parse.
    pub const PARSE_FAILED: &str = "GRAPHQL_PARSE_FAILED";
    /// The document does not fit the schema.
    pub const VALIDATION_FAILED: &str = "GRAPHQL_VALIDATION_FAILED";
    /// `operationName` names no operation, or is missing where there are several.
    pub const OPERATION_RESOLUTION_FAILED: &str = "OPERATION_RESOLUTION_FAILURE";
    /// The operation's kind is not served here.
    pub const OPERATION_NOT_SUPPORTED: &str = "OPERATION_NOT_SUPPORTED";
    /// A subscription's events can't go out in the form that was asked for: take a stream.
    pub const SUBSCRIPTION_NEEDS_STREAM: &str = "SUBSCRIPTION_NEEDS_STREAM";
    /// There are no subscriptions here.
    pub const SUBSCRIPTIONS_NOT_SUPPORTED: &str = "SUBSCRIPTIONS_NOT_SUPPORTED";
    /// As many subscriptions are open as may be.
    pub const SUBSCRIPTION_LIMIT: &str = "SUBSCRIPTION_LIMIT_EXCEEDED";
    /// The gateway is about to stop: subscribe again, and meet another one.
    pub const STOPPING: &str = "STOPPING";
    /// A variable is missing or of the wrong type.
    pub const BAD_USER_INPUT: &str = "BAD_USER_INPUT";
    /// The document has too many tokens.
    pub const TOKEN_LIMIT: &str = "TOKEN_LIMIT_EXCEEDED";
    /// The document nests too deep.
    pub const DEPTH_LIMIT: &str = "DEPTH_LIMIT_EXCEEDED";
    /// The document has too many aliases.
    pub const ALIAS_LIMIT: &str = "ALIAS_LIMIT_EXCEEDED";
    /// The operation has too many root fields.
    pub const ROOT_FIELD_LIMIT: &str = "ROOT_FIELD_LIMIT_EXCEEDED";
    /// The document has too many directives.
    pub const DIRECTIVE_LIMIT: &str = "DIRECTIVE_LIMIT_EXCEEDED";
    /// The operation selects too many fields, fragments expanded.
    pub const FIELD_LIMIT: &str = "FIELD_LIMIT_EXCEEDED";
    /// Introspection is closed.
    pub const INTROSPECTION_DISABLED: &str = "INTROSPECTION_DISABLED";
    /// The operation could not be planned.
    pub const PLANNING_FAILED: &str = "QUERY_PLANNING_FAILED";
    /// Planning took longer than the limit.
    pub const PLANNING_TIMEOUT: &str = "QUERY_PLANNING_TIMEOUT";
    /// A subgraph can't be reached.
    pub const SUBGRAPH_UNREACHABLE: &str = "SUBGRAPH_UNREACHABLE";
    /// A subgraph did not answer in time.
    pub const SUBGRAPH_TIMEOUT: &str = "SUBGRAPH_TIMEOUT";
    /// A subgraph answered with an HTTP error.
    pub const SUBGRAPH_HTTP_ERROR: &str = "SUBGRAPH_HTTP_ERROR";
    /// A subgraph's answer is no GraphQL answer.
    pub const SUBGRAPH_MALFORMED_RESPONSE: &str = "SUBGRAPH_MALFORMED_RESPONSE";
    /// A subgraph reported an error without a code of its own.
    pub const DOWNSTREAM_SERVICE_ERROR: &str = "DOWNSTREAM_SERVICE_ERROR";
    /// A subgraph's value does not fit the graph's schema.
    pub const INVALID_VALUE: &str = "RESPONSE_VALUE_INVALID";
    /// No subgraph gave a value for a field that is never null.
    pub const NULL_VALUE: &str = "NON_NULL_FIELD_IS_NULL";
    /// The answer is larger than may be sent.
    pub const RESPONSE_TOO_LARGE: &str = "RESPONSE_TOO_LARGE";
    /// The gateway failed.
    pub const INTERNAL: &str = "INTERNAL_SERVER_ERROR";

    /// Whether a code asks a client to send its document along, which is no failure.
    pub(crate) fn asks_for_document(code: &str) -> bool {
        matches!(code, PERSISTED_QUERY_NOT_FOUND | PERSISTED_QUERY_NOT_SUPPORTED)
    }

    /// Whether a code says that a subgraph could not answer, which may pass.
    pub(crate) fn is_outage(code: &str) -> bool {
        matches!(
            code,
            SUBGRAPH_UNREACHABLE | SUBGRAPH_TIMEOUT | SUBGRAPH_HTTP_ERROR | SUBGRAPH_MALFORMED_RESPONSE
        )
    }
}
