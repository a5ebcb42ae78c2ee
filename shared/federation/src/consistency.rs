//! Read-your-writes: what the mutations of a request wrote, shown by what the request itself reads after it, and as a token
//! that a later query brings back.

use crate::read;
use async_graphql::parser::types::Field;
use async_graphql::{
    Context, ContextSelectionSet, InputType, OutputType, Positioned, ServerResult, Value, registry,
};
use freshness::{Key, Token, Write};
use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// For how long a query waits for the projections that it reads to reach its token, altogether.
pub const PATIENCE: Duration = Duration::from_secs(1);

/// How a subgraph keeps the promise that who wrote will read it.
#[derive(Clone, Debug)]
pub struct Consistency {
    /// What tokens are signed with: the same for all subgraphs of a graph.
    pub key: Key,
    /// For how long a query waits; [`PATIENCE`] is a good value.
    pub patience: Duration,
    /// Seconds since 1970.
    pub now: fn() -> u64,
}

/// What the mutations of this request wrote so far: in the data of every request that has a [`Consistency`].
#[derive(Clone, Debug)]
pub struct Written {
    consistency: Consistency,
    writes: Arc<Mutex<Vec<Write>>>,
}

impl Written {
    pub(crate) fn new(consistency: Consistency) -> Self {
        Self { consistency, writes: Arc::default() }
    }

    /// Notes a write: what the request reads from now on shows it, and its token tells of it.
    pub fn note(&self, write: Write) {
        read::wrote(write);
        self.writes.lock().unwrap_or_else(PoisonError::into_inner).push(write);
    }

    /// The token of all writes so far; none where there were none.
    pub fn token(&self) -> Option<String> {
        let writes = self.writes.lock().unwrap_or_else(PoisonError::into_inner);
        let token = Token::of(writes.iter().copied());
        let Consistency { key, now, .. } = &self.consistency;
        (!token.is_empty()).then(|| token.sign(key, now()))
    }
}

/// A field of a mutation's payload: the token that stands in the header `x-consistency-token` too, for clients that
/// can't read headers. Null where nothing was written, and where tokens are off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConsistencyToken;

impl OutputType for ConsistencyToken {
    fn type_name() -> Cow<'static, str> {
        <String as InputType>::type_name()
    }

    fn qualified_type_name() -> String {
        Self::type_name().into_owned()
    }

    fn create_type_info(registry: &mut registry::Registry) -> String {
        <Option<String> as OutputType>::create_type_info(registry)
    }

    async fn resolve(&self, ctx: &ContextSelectionSet<'_>, _: &Positioned<Field>) -> ServerResult<Value> {
        let token = ctx.data_opt::<Written>().and_then(Written::token);
        Ok(token.map_or(Value::Null, Value::String))
    }
}

/// Notes that this request wrote a version of an aggregate, of which events of these names tell.
pub fn wrote<'a>(
    ctx: &Context<'_>,
    domain: &str,
    events: impl IntoIterator<Item = &'a str>,
    subject: &str,
    version: u64,
) {
    let Some(written) = ctx.data_opt::<Written>() else { return };
    for event in events {
        written.note(Write::new(domain, event, subject, version));
    }
}

/// Whether somebody gets a token for what this request writes.
pub fn is_awaited(ctx: &Context<'_>) -> bool {
    ctx.data_opt::<Written>().is_some()
}
