//! What a source keeps of an aggregate now: by it an ordered fold goes on where changes never came.

use crate::fold::FoldError;
use crate::join;
use crate::json;
use crate::store::StoreError;
use async_trait::async_trait;
use contracts::Version;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_dynamo::{AttributeValue, Item};
use std::sync::Arc;

/// An aggregate as its source keeps it.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// Its version: the state has in it all changes to this one, and no later one.
    pub version: Version,
    /// Its state.
    pub state: AttributeValue,
}

/// Where the state of aggregates can be asked for.
#[async_trait]
pub trait Snapshots: Send + Sync {
    /// An aggregate of a domain, consistently read; none where this isn't its source, or there is none.
    async fn pull(
        &self,
        domain: &str,
        aggregate: &str,
        subject: &str,
    ) -> Result<Option<Snapshot>, StoreError>;
}

/// How a view follows from a snapshot.
#[derive(Clone)]
pub(crate) struct Pulled {
    /// The name of the aggregate at its source.
    pub aggregate: &'static str,
    view: Arc<View>,
}

type View = dyn Fn(&AttributeValue) -> Result<Item, FoldError> + Send + Sync;

impl Pulled {
    pub fn new<S, V>(aggregate: &'static str, view: fn(&S) -> V) -> Self
    where
        S: DeserializeOwned + 'static,
        V: Serialize + 'static,
    {
        let run = move |state: &AttributeValue| {
            let state: S = serde_dynamo::from_attribute_value(state.clone()).map_err(|error| {
                let why = json::without_values(&error.to_string());
                FoldError::Rejected(format!(
                    "the state of the {aggregate} can't be read by this build: {why}"
                ))
            })?;
            join::attributes(&view(&state)).map_err(FoldError::Rejected)
        };
        Self { aggregate, view: Arc::new(run) }
    }

    pub fn view(&self, state: &AttributeValue) -> Result<Item, FoldError> {
        (self.view)(state)
    }
}
