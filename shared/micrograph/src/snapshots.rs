//! The state of the aggregates that a micrograph owns, for projections of its own whose changes never came.

use crate::app::App;
use async_trait::async_trait;
use aws_sdk_dynamodb::types::AttributeValue;
use contracts::Version;
use projection::Key;
use projection::dynamodb::failure;
use projection::snapshot::{Snapshot, Snapshots};
use projection::store::StoreError;
use std::collections::BTreeMap;

/// Reads the aggregates of one micrograph.
#[derive(Clone, Debug)]
pub(crate) struct Owned {
    client: aws_sdk_dynamodb::Client,
    domain: &'static str,
    /// The table of each aggregate, by the aggregate's name.
    tables: BTreeMap<&'static str, String>,
}

impl Owned {
    pub fn by(app: &App) -> Self {
        let (micrograph, environment) = (app.micrograph(), app.environment());
        let table = |name: &'static str| (name, environment.table(&micrograph.aggregate_table(name).name));
        Self {
            client: environment.dynamodb.clone(),
            domain: micrograph.name,
            tables: micrograph.owns.iter().map(|name| table(name)).collect(),
        }
    }
}

#[async_trait]
impl Snapshots for Owned {
    async fn pull(
        &self,
        domain: &str,
        aggregate: &str,
        subject: &str,
    ) -> Result<Option<Snapshot>, StoreError> {
        let Some(table) = self.tables.get(aggregate).filter(|_| domain == self.domain) else {
            return Ok(None);
        };
        let request = self
            .client
            .get_item()
            .table_name(table)
            .key("pk", AttributeValue::S(subject.to_owned()))
            .key("sk", AttributeValue::S(Key::ALONE.to_owned()))
            .consistent_read(true);
        let read = request.send().await.map_err(|error| failure("GetItem", table, error))?;
        let mut item = read.item.unwrap_or_default();
        let version = item.get("v").and_then(|it| it.as_n().ok()?.parse().ok()).map(Version::unpacked);
        let state = item.remove("state").map(serde_dynamo::AttributeValue::from);
        Ok(version.zip(state).map(|(version, state)| Snapshot { version, state }))
    }
}
