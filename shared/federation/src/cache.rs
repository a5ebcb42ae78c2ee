//! From cache hints in the schema to the `Cache-Control` header of an answer.
//!
//! Hints are async-graphql's: `#[graphql(cache_control(max_age = 60, private))]` on a field or an object. The lowest
//! `max_age` of all selected wins, `private` wins over public. A root field or an entity with no hint makes the answer
//! uncacheable, as Apollo's rules have it; so do errors and mutations.

use async_graphql::extensions::{
    Extension, ExtensionContext, ExtensionFactory, NextExecute, NextParseQuery, NextValidation,
};
use async_graphql::parser::types::{ExecutableDocument, OperationType, Selection, SelectionSet};
use async_graphql::registry::{MetaType, MetaTypeName, Registry};
use async_graphql::{
    CacheControl, Context, Response, ServerError, ServerResult, ValidationResult, Variables,
};
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

/// For how long an answer with something missing may be cached, in seconds: it may be about to arrive.
pub const MISSING_MAX_AGE: i32 = 5;

/// What is learnt of a request while it runs.
#[derive(Debug)]
pub(crate) struct Lifetime {
    /// Whether the extension saw the request: without it nothing is cacheable.
    watched: AtomicBool,
    /// Whether something that was asked for has no hint.
    silent: AtomicBool,
    /// Whether it got as far as the resolvers.
    executed: AtomicBool,
    /// The upper limit resolvers set.
    limit: AtomicI32,
}

impl Default for Lifetime {
    fn default() -> Self {
        Self {
            watched: AtomicBool::new(false),
            silent: AtomicBool::new(false),
            executed: AtomicBool::new(false),
            limit: AtomicI32::new(i32::MAX),
        }
    }
}

impl Lifetime {
    pub(crate) fn executed(&self) -> bool {
        self.executed.load(Ordering::Relaxed)
    }

    /// The header's value for an answer to a query.
    pub(crate) fn header(&self, hints: CacheControl, failed: bool) -> String {
        let max_age = hints.max_age.min(self.limit.load(Ordering::Relaxed));
        let watched = self.watched.load(Ordering::Relaxed) && self.executed();
        if failed || !watched || self.silent.load(Ordering::Relaxed) || max_age <= 0 {
            return NO_STORE.to_owned();
        }
        format!("{}, max-age={max_age}", if hints.public { "public" } else { "private" })
    }
}

pub(crate) const NO_STORE: &str = "no-store";

/// Lets a resolver shorten the life of this answer to `seconds`; 0 makes it uncacheable.
pub fn limit(ctx: &Context<'_>, seconds: i32) {
    if let Some(lifetime) = ctx.data_opt::<Arc<Lifetime>>() {
        lifetime.limit.fetch_min(seconds.max(0), Ordering::Relaxed);
    }
}

/// Says that something asked for was not there: the answer lives for [`MISSING_MAX_AGE`] seconds at most.
pub fn missing(ctx: &Context<'_>) {
    limit(ctx, MISSING_MAX_AGE);
}

/// The extension that finds what has no hint; [`schema`](crate::schema()) installs it.
#[derive(Clone, Copy, Debug, Default)]
pub struct CacheHints;

impl ExtensionFactory for CacheHints {
    fn create(&self) -> Arc<dyn Extension> {
        Arc::new(Self)
    }
}

#[async_graphql::async_trait::async_trait]
impl Extension for CacheHints {
    async fn parse_query(
        &self,
        ctx: &ExtensionContext<'_>,
        query: &str,
        variables: &Variables,
        next: NextParseQuery<'_>,
    ) -> ServerResult<ExecutableDocument> {
        let document = next.run(ctx, query, variables).await?;
        if let Some(lifetime) = ctx.data_opt::<Arc<Lifetime>>() {
            lifetime.silent.store(is_silent(&ctx.schema_env.registry, &document), Ordering::Relaxed);
        }
        Ok(document)
    }

    async fn validation(
        &self,
        ctx: &ExtensionContext<'_>,
        next: NextValidation<'_>,
    ) -> Result<ValidationResult, Vec<ServerError>> {
        let result = next.run(ctx).await?;
        if let Some(lifetime) = ctx.data_opt::<Arc<Lifetime>>() {
            lifetime.watched.store(true, Ordering::Relaxed);
        }
        Ok(result)
    }

    async fn execute(
        &self,
        ctx: &ExtensionContext<'_>,
        operation_name: Option<&str>,
        next: NextExecute<'_>,
    ) -> Response {
        if let Some(lifetime) = ctx.data_opt::<Arc<Lifetime>>() {
            lifetime.executed.store(true, Ordering::Relaxed);
        }
        next.run(ctx, operation_name).await
    }
}

/// Whether a query selects a root field or an entity that no hint covers.
fn is_silent(registry: &Registry, document: &ExecutableDocument) -> bool {
    let mut walk = Walk { registry, document, seen: HashSet::new() };
    document
        .operations
        .iter()
        .filter(|(_, operation)| operation.node.ty == OperationType::Query)
        .any(|(_, operation)| walk.silent(&registry.query_type, &operation.node.selection_set.node))
}

struct Walk<'a> {
    registry: &'a Registry,
    document: &'a ExecutableDocument,
    /// Fragments on their way or done: the document is not validated yet and may have a circle.
    seen: HashSet<(&'a str, String)>,
}

impl<'a> Walk<'a> {
    fn silent(&mut self, parent: &str, selection: &'a SelectionSet) -> bool {
        selection.items.iter().any(|item| match &item.node {
            Selection::Field(field) => {
                let name = field.node.name.node.as_str();
                match name {
                    "__typename" => false,
                    "_entities" => self.silent("_Entity", &field.node.selection_set.node),
                    _ => !self.hinted(parent, name),
                }
            }
            Selection::InlineFragment(fragment) => {
                let condition = fragment.node.type_condition.as_ref();
                let on = condition.map_or(parent, |condition| condition.node.on.node.as_str());
                self.silent(on, &fragment.node.selection_set.node)
            }
            Selection::FragmentSpread(spread) => {
                let Some((name, fragment)) =
                    self.document.fragments.get_key_value(&spread.node.fragment_name.node)
                else {
                    return false;
                };
                let on = fragment.node.type_condition.node.on.node.as_str();
                self.seen.insert((name.as_str(), on.to_owned()))
                    && self.silent(on, &fragment.node.selection_set.node)
            }
        })
    }

    /// Whether the field, the object it is of (for entities) or the object it gives has a hint.
    fn hinted(&self, parent: &str, field: &str) -> bool {
        let hint_of = |name: &str| match self.registry.types.get(name) {
            Some(MetaType::Object { cache_control, .. }) => has_hint(*cache_control),
            _ => false,
        };
        let Some(meta) = self.registry.types.get(parent).and_then(|parent| parent.field_by_name(field))
        else {
            return false;
        };
        has_hint(meta.cache_control) || hint_of(parent) || hint_of(MetaTypeName::concrete_typename(&meta.ty))
    }
}

fn has_hint(hint: CacheControl) -> bool {
    hint.max_age != 0
}
