//! Subscriptions to rows of a projection.

use crate::entity::{Entities, View};
use crate::error::UserError;
use crate::key::Key;
use async_graphql::{Context, Result};
use futures::stream::{BoxStream, StreamExt};
use std::future::{Ready, ready};

/// A row as it is, and after each change: what a field of the subscription root gives.
pub type States<V> = BoxStream<'static, Result<Option<V>>>;

/// Resolves a field of the subscription root: the view of `key` now, null where there is none, and after each change; see
/// [`Reader::watch`](crate::Reader::watch). `Entities<V>` in the schema's data hears of the changes ([`Entities::heard`]).
///
/// # Errors
/// With the code `SUBSCRIPTIONS_NOT_SUPPORTED` where no changes are heard, as in a function that is frozen between requests;
/// and where `Entities<V>` isn't in the schema's data.
pub fn watch<V: View + PartialEq>(ctx: &Context<'_>, key: Key) -> Ready<Result<States<V>>> {
    // There is nothing to wait for; resolvers are asynchronous.
    ready(states(ctx, key))
}

fn states<V: View + PartialEq>(ctx: &Context<'_>, key: Key) -> Result<States<V>> {
    let entities = ctx.data::<Entities<V>>()?;
    let Some(changes) = &entities.changes else {
        let why = "changes are not heard here: ask for the state by a query";
        return Err(UserError::new("SUBSCRIPTIONS_NOT_SUPPORTED", why).into());
    };
    Ok(entities.reader().watch(changes, key).map(|state| state.map_err(Into::into)).boxed())
}
