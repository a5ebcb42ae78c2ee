//! A relational store's place where nobody asks anything.

use super::{DynamoStore, create_table, delete_table};
use crate::join::{Contribution, Dot, Put};
use crate::key::Key;
use crate::store::{Ordered, Question, Relational, Store, StoreError, Stored, Written};
use crate::table::Table;
use async_trait::async_trait;
use aws_sdk_dynamodb::Client;
use jiff::Timestamp;
use serde_dynamo::Item;

/// Keeps relational projections in DynamoDB, for what checks how they fold: it refuses every question.
#[derive(Clone, Debug)]
pub struct Unasked {
    client: Client,
    store: DynamoStore,
}

impl Unasked {
    /// In an endpoint of DynamoDB, with tombstones by the time that the clock tells.
    pub fn new(client: Client, clock: fn() -> Timestamp) -> Self {
        Self { store: DynamoStore::new(client.clone(), clock), client }
    }
}

#[async_trait]
impl Store for Unasked {
    async fn put(&self, table: &str, put: &Put) -> Result<Written, StoreError> {
        self.store.put(table, put).await
    }

    async fn add(&self, table: &str, dots: &[Dot]) -> Result<Written, StoreError> {
        self.store.add(table, dots).await
    }

    async fn contribute(&self, table: &str, contributions: &[Contribution]) -> Result<Written, StoreError> {
        self.store.contribute(table, contributions).await
    }

    async fn scan(&self, table: &str, after: Option<Key>) -> Result<(Vec<Stored>, Option<Key>), StoreError> {
        self.store.scan(table, after).await
    }

    fn ordered(&self) -> &dyn Ordered {
        self.store.ordered()
    }
}

#[async_trait]
impl Relational for Unasked {
    async fn create_table(&self, name: &str, table: &Table) -> Result<(), StoreError> {
        create_table(&self.client, name, table).await.map_err(|error| StoreError::Transient {
            operation: "create table",
            table: name.to_owned(),
            source: error.into(),
        })
    }

    async fn delete_table(&self, name: &str) -> Result<(), StoreError> {
        delete_table(&self.client, name).await
    }

    /// None: who checks folds has no tables that are left over.
    async fn tables(&self, _: &str) -> Result<Vec<(String, u64)>, StoreError> {
        Ok(Vec::new())
    }

    /// Nothing: DynamoDB does so by itself.
    async fn sweep(&self, _: &str) -> Result<u64, StoreError> {
        Ok(0)
    }

    async fn ask(&self, table: &str, _: &Question) -> Result<Vec<Item>, StoreError> {
        let reason = "DynamoDB answers no question in SQL".to_owned();
        Err(StoreError::Refused { operation: "ask", table: table.to_owned(), reason })
    }
}
