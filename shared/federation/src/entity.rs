//! Entity resolvers: the representations of a request become one read.

use crate::changes::Changes;
use crate::key::Key;
use crate::page::PageArgs;
use crate::read::{List, ReadError, Reader};
use crate::{cache, page, report};
use async_graphql::connection::Connection;
use async_graphql::dataloader::{DataLoader, Loader};
use async_graphql::{Context, OutputType};
use serde::de::DeserializeOwned;
use std::collections::HashMap;
use std::marker::PhantomData;
use std::sync::Arc;
use tracing::Instrument;

/// The most keys that are gathered before they are read.
const MAX_GATHERED: usize = 100;

/// Loads views of one type; used through [`Entities`].
pub struct EntityLoader<V> {
    reader: Reader,
    view: PhantomData<fn() -> V>,
}

/// Gathers the keys that the resolvers of a request ask for, and reads them together: put one for each view into the
/// schema's data, and resolve with [`entity`].
///
/// It keeps nothing: the next request reads again.
pub struct Entities<V: View> {
    loader: DataLoader<EntityLoader<V>>,
    pub(crate) changes: Option<Changes>,
}

/// What can be read as a view: any owned type that is deserialized from an item.
pub trait View: DeserializeOwned + Clone + Send + Sync + 'static {}

impl<V: DeserializeOwned + Clone + Send + Sync + 'static> View for V {}

impl<V: View> Entities<V> {
    /// Reads views by `reader`. Must be used inside a tokio runtime.
    pub fn new(reader: Reader) -> Self {
        let loader = EntityLoader { reader, view: PhantomData };
        let spawn = |read: futures::future::BoxFuture<'static, ()>| tokio::spawn(read.in_current_span());
        Self { loader: DataLoader::new(loader, spawn).max_batch_size(MAX_GATHERED), changes: None }
    }

    /// Lets rows be subscribed to as `changes` tells of them; without, nobody can. See [`watch`](crate::watch).
    #[must_use]
    pub fn heard(self, changes: Option<Changes>) -> Self {
        Self { changes, ..self }
    }

    pub(crate) fn reader(&self) -> &Reader {
        &self.loader.loader().reader
    }

    /// One view, read together with what others ask for within a millisecond. `None` when there is none.
    pub async fn load(&self, key: Key) -> Result<Option<V>, Arc<ReadError>> {
        let reader = self.reader();
        reader.shows(&key);
        let table = reader.current().await?.shared_table();
        match self.loader.load_one((table, key)).await {
            Ok(read) => read.transpose(),
            Err(never) => match never {},
        }
    }

    /// Several views at once, in the order of the keys.
    pub async fn load_many(&self, keys: &[Key]) -> Vec<Result<Option<V>, Arc<ReadError>>> {
        let reader = self.reader();
        for key in keys {
            reader.shows(key);
        }
        let table = match reader.current().await {
            Ok(reader) => reader.shared_table(),
            Err(error) => {
                let error = Arc::new(error);
                return keys.iter().map(|_| Err(Arc::clone(&error))).collect();
            }
        };
        let keys: Vec<(Arc<str>, Key)> = keys.iter().map(|key| (Arc::clone(&table), key.clone())).collect();
        match self.loader.load_many(keys.iter().cloned()).await {
            Ok(read) => keys.iter().map(|key| read.get(key).cloned().transpose()).collect(),
            Err(never) => match never {},
        }
    }
}

impl<V: View + OutputType> Entities<V> {
    /// A page of a list of the same table, as a Relay connection whose nodes are the views. A list over an index that
    /// holds some attributes only gives views of those.
    ///
    /// # Errors
    /// Where the cursor is of another list, and where the page can't be read.
    pub async fn connection(
        ctx: &Context<'_>,
        list: &List,
        args: &PageArgs,
    ) -> async_graphql::Result<Connection<String, V>> {
        Ok(page::connection(ctx.data::<Self>()?.reader().page(list, args).await?, |view| view))
    }
}

/// A key with its table: requests that are gathered together may be pinned to different ones.
impl<V: View> Loader<(Arc<str>, Key)> for EntityLoader<V> {
    /// Each key has a result of its own, so that one bad item fails no neighbour.
    type Value = Result<V, Arc<ReadError>>;
    type Error = std::convert::Infallible;

    async fn load(
        &self,
        keys: &[(Arc<str>, Key)],
    ) -> Result<HashMap<(Arc<str>, Key), Self::Value>, Self::Error> {
        let mut tables: HashMap<Arc<str>, Vec<Key>> = HashMap::new();
        for (table, key) in keys {
            tables.entry(Arc::clone(table)).or_default().push(key.clone());
        }
        let mut found = HashMap::with_capacity(keys.len());
        for (table, keys) in tables {
            let views = self.reader.at(Arc::clone(&table)).batch_get_each::<V>(&keys).await;
            let views = keys.into_iter().zip(views);
            found
                .extend(views.filter_map(|(key, view)| Some(((Arc::clone(&table), key), view.transpose()?))));
        }
        Ok(found)
    }
}

/// Resolves an entity (or any field that shows another item): the view of `key`, or null.
///
/// A view that is not there shortens the answer's cache life. A read that fails is reported beside the answer (see
/// [`report`]); it is null, and its neighbours live. `Entities<V>` must be in the schema's data; where it is missing,
/// that is reported too.
///
/// ```no_run
/// # use async_graphql::{Context, Object, SimpleObject, ID};
/// # use federation::{Entities, Key, entity};
/// # #[derive(Clone, serde::Deserialize, SimpleObject)] struct Product { sku: String }
/// struct Query;
///
/// #[Object]
/// impl Query {
///     #[graphql(entity)]
///     async fn product(&self, ctx: &Context<'_>, sku: ID) -> Option<Product> {
///         entity(ctx, Key::new(format!("product#{}", *sku), "view")).await
///     }
/// }
/// ```
pub async fn entity<V: View>(ctx: &Context<'_>, key: Key) -> Option<V> {
    let Some(entities) = ctx.data_opt::<Entities<V>>() else {
        report(ctx, Arc::new(NotInSchema(std::any::type_name::<V>())));
        return None;
    };
    match entities.load(key).await {
        Ok(Some(view)) => Some(view),
        Ok(None) => {
            cache::missing(ctx);
            None
        }
        Err(error) => {
            report(ctx, error);
            None
        }
    }
}

/// A view that a resolver can't do without: what [`entity`] reports beside the answer is the resolver's own failure.
///
/// # Errors
/// Where it can't be read, and where `Entities<V>` isn't in the schema's data.
pub async fn load<V: View>(ctx: &Context<'_>, key: Key) -> async_graphql::Result<Option<V>> {
    Ok(ctx.data::<Entities<V>>()?.load(key).await?)
}

/// A subgraph that was put together wrongly.
#[derive(Debug, thiserror::Error)]
#[error("the schema's data has no Entities<{0}>: add it where the schema is built")]
struct NotInSchema(&'static str);
