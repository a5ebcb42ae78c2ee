//! Errors for clients, and errors that are ours.
//!
//! An error with a code is for the client; one without is ours: [`http::serve`](crate::http::serve) logs it and
//! answers with a correlation id in its place.

use crate::page::PageError;
use crate::read::ReadError;
use async_graphql::{Context, ErrorExtensionValues, ServerError};
use std::any::Any;
use std::error::Error;
use std::sync::Arc;

/// What a client did wrong, in words that are safe to send back, with a stable code.
///
/// A resolver that returns `async_graphql::Result` may use `?` on it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct UserError {
    code: &'static str,
    message: String,
}

impl UserError {
    /// An argument that can't be used: code `BAD_USER_INPUT`.
    pub fn bad_input(message: impl Into<String>) -> Self {
        Self::new("BAD_USER_INPUT", message)
    }

    /// An error with a code of its own, in capitals with underscores.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// The stable code.
    pub const fn code(&self) -> &'static str {
        self.code
    }
}

/// The longest message a client gets, in bytes: the parser's quote the line they are about, which may be the query.
const MAX_MESSAGE: usize = 1_000;

/// The code of what is ours.
pub(crate) const INTERNAL: &str = "INTERNAL_SERVER_ERROR";

/// Reports an error beside the answer: it is added to the response's `errors` under the current path, while the
/// field itself can be null and its neighbours live. Its text never reaches the client.
///
/// This is how an entity resolver fails. async-graphql resolves the representations of `_entities` with
/// `try_join_all`: a resolver that returns `Err` nulls every other entity of the request too.
pub fn report(ctx: &Context<'_>, error: Arc<dyn Error + Send + Sync>) {
    let mut failure = ServerError::new(error.to_string(), Some(ctx.item.pos));
    failure.source = Some(Arc::new(Reported(error)));
    ctx.add_error(ctx.set_error_path(failure));
}

/// Keeps a reported error whole, until it is logged.
struct Reported(Arc<dyn Error + Send + Sync>);

/// Makes an error fit for a client: one of ours is logged, once, and replaced. `executed` says whether the request got
/// as far as its resolvers; what fails before is parsing and validation, which is the client's.
pub(crate) fn for_client(mut error: ServerError, correlation_id: &str, executed: bool) -> ServerError {
    let code_of =
        |error: &ServerError| error.extensions.as_ref().and_then(|values| values.get("code")).is_some();
    if code_of(&error) {
        return error;
    }
    let user = error.source::<UserError>().or_else(|| match error.source::<PageError>() {
        Some(PageError::User(user)) => Some(user),
        _ => None,
    });
    let code = match user {
        Some(user) => user.code,
        None if error.source.is_some() => INTERNAL,
        None if !executed => "GRAPHQL_VALIDATION_FAILED",
        None if is_coercion(&error.message) => "BAD_USER_INPUT",
        None => INTERNAL,
    };
    let mut extensions = error.extensions.take().unwrap_or_default();
    if code == INTERNAL {
        let path: Vec<String> = error.path.iter().map(segment).collect();
        tracing::error!(correlation_id, path = path.join("."), error = chain(&error), "a resolver failed");
        extensions = ErrorExtensionValues::default();
        extensions.set("correlationId", correlation_id);
        error.message = format!("something went wrong on our side; ask about {correlation_id}");
    }
    extensions.set("code", code);
    if error.message.len() > MAX_MESSAGE {
        error.message.truncate(error.message.floor_char_boundary(MAX_MESSAGE));
        error.message.push('…');
    }
    ServerError { source: None, extensions: Some(extensions), ..error }
}

/// Whether async-graphql made the message when it could not read an argument.
fn is_coercion(message: &str) -> bool {
    message.starts_with("Failed to parse \"") || message.starts_with("Invalid value for argument")
}

fn segment(segment: &async_graphql::PathSegment) -> String {
    match segment {
        async_graphql::PathSegment::Field(name) => name.clone(),
        async_graphql::PathSegment::Index(index) => index.to_string(),
    }
}

/// The message with its causes, where the source's type is known.
fn chain(error: &ServerError) -> String {
    let source: Option<&(dyn Any + Send + Sync)> = error.source.as_deref();
    let Some(source) = source else { return error.message.clone() };
    if let Some(Reported(error)) = source.downcast_ref() {
        return telemetry::error_chain(error.as_ref());
    }
    if let Some(error) = source.downcast_ref::<PageError>() {
        return telemetry::error_chain(error);
    }
    if let Some(error) = source.downcast_ref::<ReadError>() {
        return telemetry::error_chain(error);
    }
    if let Some(error) = source.downcast_ref::<Arc<ReadError>>() {
        return telemetry::error_chain(error.as_ref());
    }
    error.message.clone()
}
