//! The subgraph role: a schema behind HTTP.

use async_graphql::{ObjectType, Schema, SubscriptionType};
use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response};
use std::sync::Arc;

/// Answers a request of GraphQL over HTTP.
pub type Serve = Arc<dyn Fn(Request<Bytes>) -> BoxFuture<'static, Response<Bytes>> + Send + Sync>;

/// A subgraph, ready to serve.
#[derive(Clone)]
pub struct Subgraph {
    /// Its schema with federation's directives, the same text for the same schema.
    pub sdl: String,
    /// Answers requests.
    pub serve: Serve,
}

impl Subgraph {
    /// Serves a schema.
    pub fn new<Q, M, S>(schema: Schema<Q, M, S>) -> Self
    where
        Q: ObjectType + 'static,
        M: ObjectType + 'static,
        S: SubscriptionType + 'static,
    {
        let sdl = federation::sdl(&schema);
        let serve: Serve = Arc::new(move |request| {
            let schema = schema.clone();
            Box::pin(async move { federation::http::serve(&schema, request).await })
        });
        Self { sdl, serve }
    }
}

/// What went wrong with a mutation, for its payload: business outcomes are data, not errors.
#[derive(Clone, Debug, PartialEq, Eq, async_graphql::SimpleObject)]
#[graphql(name = "UserError", shareable)]
pub struct UserInput {
    /// A stable code, upper case.
    pub code: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl From<crate::Rejection> for UserInput {
    fn from(rejection: crate::Rejection) -> Self {
        Self { code: rejection.code.to_owned(), message: rejection.message }
    }
}
