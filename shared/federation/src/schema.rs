//! Building a subgraph's schema, and its SDL.

use crate::cache::CacheHints;
use async_graphql::{ObjectType, SDLExportOptions, Schema, SchemaBuilder, SubscriptionType};

/// The deepest a query may be nested.
pub const MAX_DEPTH: usize = 32;

/// The most a query may cost: one for each field, unless a field says otherwise.
pub const MAX_COMPLEXITY: usize = 4_000;

/// A builder for a subgraph's schema: federation is on, depth and complexity are limited, cache hints are watched.
pub fn schema<Q, M, S>(query: Q, mutation: M, subscription: S) -> SchemaBuilder<Q, M, S>
where
    Q: ObjectType + 'static,
    M: ObjectType + 'static,
    S: SubscriptionType + 'static,
{
    Schema::build(query, mutation, subscription)
        .enable_federation()
        .enable_subscription_in_federation()
        .limit_depth(MAX_DEPTH)
        .limit_complexity(MAX_COMPLEXITY)
        .extension(CacheHints)
}

/// The subgraph's SDL for composition and for its committed `schema.graphql`: with federation's directives and their
/// `@link`, everything in a stable order, ending in one line feed.
pub fn sdl<Q, M, S>(schema: &Schema<Q, M, S>) -> String
where
    Q: ObjectType + 'static,
    M: ObjectType + 'static,
    S: SubscriptionType + 'static,
{
    let options = SDLExportOptions::new()
        .federation()
        .compose_directive()
        .include_specified_by()
        .sorted_fields()
        .sorted_arguments()
        .sorted_enum_items()
        .use_space_ident();
    format!("{}\n", schema.sdl_with_options(options).trim())
}
