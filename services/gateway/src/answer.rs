//! What a request gets: data, errors, and what may be done with them.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::cache_control::CachePolicy;
use crate::error::GraphQlError;
use crate::execute::Outcome;
use crate::introspection::Introspection;
use crate::project::project;
use crate::shape::Shape;

/// The answer to a request, before it is put into HTTP.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The JSON text.
    pub body: Bytes,
    /// Whether the operation was executed: if not, the body has no `data`.
    pub executed: bool,
    /// How long it may be cached.
    pub cache: CachePolicy,
    /// Codes of the errors, in order.
    pub codes: Vec<String>,
    /// The tags of what it shows, for caches that serve everyone.
    pub tags: Option<String>,
    /// What a mutation wrote, for queries that are to see it.
    pub token: Option<String>,
    /// How many seconds ago it was made, where it was kept.
    pub age: Option<u64>,
}

/// What goes into an answer besides what the subgraphs gave.
pub(crate) struct Completion<'a> {
    pub(crate) shape: &'a Shape,
    pub(crate) introspection: Introspection<'a>,
    /// Errors from before the execution.
    pub(crate) errors: &'a [GraphQlError],
    /// Whether it may be kept at all.
    pub(crate) may_be_kept: bool,
    /// Whether not everyone may see it.
    pub(crate) guarded: bool,
    /// The most errors that it lists.
    pub(crate) most_errors: usize,
}

impl Answer {
    /// The answer that the subgraphs' data make.
    pub(crate) fn complete(outcome: Outcome, completion: &Completion<'_>) -> Self {
        let Outcome { store, root, errors: failures, cache, carried } = outcome;
        let Completion { shape, introspection, errors, may_be_kept, guarded, most_errors } = completion;
        let mut errors = errors.to_vec();
        errors.extend(failures);
        let mut body = b"{\"data\":".to_vec();
        let completed = project(shape, &store, root, introspection, &errors, &mut body);
        errors.extend(completed);
        let cache = if *may_be_kept && errors.is_empty() { cache } else { CachePolicy::NO_STORE };
        let tagged = carried.tags.folded();
        // What can't be purged by a few tags is not for caches that are purged, and what not everyone may see is for
        // nobody else.
        let cache = if tagged.is_none() || *guarded { cache.kept_private() } else { cache };
        let tags = tagged.filter(|_| cache.shared_seconds() > 0).and_then(|tags| tags.header());
        let mut extensions = Map::new();
        if !carried.behind.is_empty() {
            extensions.insert("consistency".to_owned(), json!({ "behind": carried.behind }));
        }
        write_errors(&errors, *most_errors, &mut extensions, &mut body);
        write_extensions(&extensions, &mut body);
        body.push(b'}');
        let codes = errors.iter().map(|error| error.code().to_owned()).collect();
        let token = carried.token();
        Self { body: Bytes::from(body), executed: true, cache, codes, tags, token, age: None }
    }

    /// The answer to a request that is not executed.
    pub fn refusal(errors: &[GraphQlError]) -> Self {
        let mut body = b"{\"errors\":".to_vec();
        serde_json::to_writer(&mut body, errors).expect("errors are always JSON");
        body.push(b'}');
        let codes = errors.iter().map(|error| error.code().to_owned()).collect();
        Self {
            body: Bytes::from(body),
            executed: false,
            cache: CachePolicy::NO_STORE,
            codes,
            tags: None,
            token: None,
            age: None,
        }
    }
}

fn write_errors(
    errors: &[GraphQlError],
    limit: usize,
    extensions: &mut Map<String, Value>,
    out: &mut Vec<u8>,
) {
    if errors.is_empty() {
        return;
    }
    let shown = &errors[..errors.len().min(limit)];
    out.extend_from_slice(b",\"errors\":");
    serde_json::to_writer(&mut *out, shown).expect("errors are always JSON");
    let omitted = errors.len() - shown.len();
    if omitted > 0 {
        extensions.insert("errorsOmitted".to_owned(), Value::from(omitted));
    }
}

fn write_extensions(extensions: &Map<String, Value>, out: &mut Vec<u8>) {
    if !extensions.is_empty() {
        out.extend_from_slice(b",\"extensions\":");
        serde_json::to_writer(&mut *out, extensions).expect("extensions are always JSON");
    }
}
