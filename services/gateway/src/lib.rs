#![doc = include_str!("../README.md")]

// What comes in: subgraphs or a supergraph, and settings.
mod composition;
mod config;
mod persisted;
pub mod source;
mod supergraph;

// The gateway and what it keeps: for a supergraph, and of answers.
mod cache;
mod engine;
mod gateway;

// A request, step by step.
mod alias;
mod answer;
pub mod auth;
mod cost;
mod execute;
mod generations;
mod introspection;
mod json;
mod limits;
mod operation;
mod plan;
mod planner;
mod project;
mod request;
mod schema;
mod shape;
mod store;
mod subscription;
mod usage;
mod variables;

// What goes out, and to whom.
pub mod cache_control;
mod carried;
mod error;
mod explain;
pub mod http;
#[cfg(feature = "lambda")]
pub mod lambda;
mod observe;
pub mod transport;

pub use self::composition::{ComposeError, compose};
pub use ::composition::{CompositionError, Subgraph};
pub use answer::Answer;
pub use config::{CacheSizes, Config, Explain, Graphiql, Limits, Secret, UnknownLimit};
#[cfg(feature = "dynamodb")]
pub use documents::DynamoDocuments;
pub use documents::{DocumentStore, DocumentStoreError, DocumentsInMemory};
pub use error::{GraphQlError, Location, PathSegment, codes};
pub use gateway::{EXPLAIN_KEY, Gateway, GatewayError, Method};
pub use persisted::{ManifestError, PersistedQueries, TrustedDocuments};
pub use request::Request;
pub use subscription::Events;
pub use supergraph::{Graph, Supergraph, SupergraphError};
pub use usage::{Usage, UsageInStore, UsageSink};
