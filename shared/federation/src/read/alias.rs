//! Which table is read: one generation for the whole of a request.

use super::ReadError;
use futures::future::BoxFuture;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// A name behind which a table stands that may be another one tomorrow.
pub trait Alias: fmt::Debug + Send + Sync {
    /// The name: the same for every table that stands behind it. Cursors are bound to it.
    fn name(&self) -> &str;

    /// The table that is read now.
    fn table(&self) -> BoxFuture<'_, Result<Arc<str>, ReadError>>;
}

type Pins = Mutex<HashMap<String, Arc<str>>>;

tokio::task_local! {
    static PINS: Arc<Pins>;
}

/// Runs a request: what it reads by one alias is read from one table, whatever becomes of the alias meanwhile.
pub async fn pinned<F: Future>(request: F) -> F::Output {
    PINS.scope(Arc::default(), request).await
}

/// The table that stands behind an alias for this request.
pub(crate) async fn resolve(alias: &dyn Alias) -> Result<Arc<str>, ReadError> {
    let pins = PINS.try_with(Arc::clone).ok();
    let known = |pins: &Arc<Pins>| {
        pins.lock().unwrap_or_else(PoisonError::into_inner).get(alias.name()).map(Arc::clone)
    };
    if let Some(table) = pins.as_ref().and_then(known) {
        return Ok(table);
    }
    let table = alias.table().await?;
    let Some(pins) = pins else { return Ok(table) };
    // Of several resolvers that asked at once, the first one's answer counts for all.
    let mut pins = pins.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(Arc::clone(pins.entry(alias.name().to_owned()).or_insert(table)))
}
