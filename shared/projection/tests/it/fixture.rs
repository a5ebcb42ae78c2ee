//! A projection of products and their stock, and a store that counts, fails and hangs when told to.

use async_trait::async_trait;
use contracts::catalogue::{Product, ProductDelisted, ProductListed};
use contracts::inventory::StockAdjusted;
use contracts::{Envelope, Event};
use embedded::dynamodb::DynamoDb;
use projection::consumer::Consumer;
use projection::dynamodb::{DynamoStore, create_table};
use projection::join::{Dot, Put};
use projection::store::{Ordered, Store, StoreError, Stored, Written};
use projection::{Contribution, Dot as Change, Key, Projection, Rejected, Row};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use testkit::content::{Content, Fields};
use testkit::quarantine::Shelf;

pub const TABLE: &str = "products";

/// What the store does with writes to a key.
#[derive(Default)]
pub struct Watched {
    inner: Option<DynamoStore>,
    pub writes: AtomicUsize,
    pub failing: Mutex<BTreeSet<String>>,
    pub hanging: Mutex<BTreeSet<String>>,
}

impl Watched {
    async fn pass(&self, key: &str) -> Result<&DynamoStore, StoreError> {
        self.writes.fetch_add(1, Ordering::Relaxed);
        if self.hanging.lock().unwrap().contains(key) {
            std::future::pending::<()>().await;
        }
        if self.failing.lock().unwrap().contains(key) {
            let table = TABLE.to_owned();
            return Err(StoreError::Transient { operation: "PutItem", table, source: "throttled".into() });
        }
        Ok(self.inner.as_ref().unwrap())
    }

    pub fn fail(&self, key: &str) {
        self.failing.lock().unwrap().insert(key.to_owned());
    }

    pub fn hang(&self, key: &str) {
        self.hanging.lock().unwrap().insert(key.to_owned());
    }

    pub fn recover(&self) {
        self.failing.lock().unwrap().clear();
        self.hanging.lock().unwrap().clear();
    }

    pub fn writes(&self) -> usize {
        self.writes.swap(0, Ordering::Relaxed)
    }
}

#[async_trait]
impl Store for Watched {
    async fn put(&self, table: &str, put: &Put) -> Result<Written, StoreError> {
        self.pass(&put.key.pk).await?.put(table, put).await
    }

    async fn add(&self, table: &str, dots: &[Dot]) -> Result<Written, StoreError> {
        self.pass(&dots[0].key.pk).await?.add(table, dots).await
    }

    async fn contribute(&self, table: &str, all: &[Contribution]) -> Result<Written, StoreError> {
        self.pass(&all[0].ledger).await?.contribute(table, all).await
    }

    async fn scan(&self, table: &str, after: Option<Key>) -> Result<(Vec<Stored>, Option<Key>), StoreError> {
        self.inner.as_ref().unwrap().scan(table, after).await
    }

    fn ordered(&self) -> &dyn Ordered {
        self.inner.as_ref().unwrap()
    }
}

pub fn projection() -> Projection {
    Projection::new("products", 1)
        .state(|event: &Envelope<ProductListed>| {
            let product = &event.data.0;
            if product.title == "unsellable" {
                return Err(Rejected("a product that can't be sold".to_owned()));
            }
            Ok(vec![Row::of_source(
                "catalogue",
                Key::alone(&product.sku),
                &json!({ "title": product.title }),
            )])
        })
        .deleted_source("catalogue", |event: &Envelope<ProductDelisted>| Key::alone(&event.data.sku))
        .delta(|event: &Envelope<StockAdjusted>| {
            Change::new(Key::alone(&event.data.sku), [("on_hand", event.data.quantity.into())])
        })
}

/// A consumer with all that it needs.
pub struct Bench {
    pub dynamodb: DynamoDb,
    pub store: Arc<Watched>,
    pub shelf: Arc<Shelf>,
    pub consumer: Consumer,
}

impl Bench {
    pub async fn new() -> Self {
        let dynamodb = DynamoDb::in_memory().unwrap();
        create_table(&dynamodb.client(), TABLE, &projection().table("test", projection().generation()))
            .await
            .unwrap();
        let inner = Some(DynamoStore::new(dynamodb.client(), testkit::clock));
        let store = Arc::new(Watched { inner, ..Watched::default() });
        let shelf = Arc::new(Shelf::default());
        let consumer = consumer(&store, &shelf);
        Self { dynamodb, store, shelf, consumer }
    }

    /// Another container of the same function.
    pub fn container(&self) -> Consumer {
        consumer(&self.store, &self.shelf)
    }

    pub async fn content(&self) -> Content {
        Content::of(self.store.as_ref(), TABLE).await.unwrap()
    }

    pub async fn item(&self, pk: &str) -> Option<Fields> {
        self.content().await.0.get(&Key::alone(pk)).and_then(testkit::content::view)
    }

    pub async fn titles(&self) -> Vec<String> {
        self.content().await.0.keys().map(|key| key.pk.clone()).collect()
    }
}

fn consumer(store: &Arc<Watched>, shelf: &Arc<Shelf>) -> Consumer {
    let (store, shelf) = (Arc::clone(store) as _, Arc::clone(shelf) as _);
    Consumer::new("test", projection(), TABLE, store, shelf, testkit::clock)
}

pub fn listed(sku: &str, title: &str, seq: u64) -> Value {
    let product = Product { sku: sku.to_owned(), title: title.to_owned(), ..ProductListed::example().0 };
    testkit::event(&ProductListed(product), seq)
}

pub fn adjusted(sku: &str, quantity: i64, seq: u64) -> Value {
    testkit::event(&StockAdjusted { sku: sku.to_owned(), quantity, ..StockAdjusted::example() }, seq)
}

/// The ids that an answer names.
pub fn named(answer: &Value) -> Vec<&str> {
    let failures = answer["batchItemFailures"].as_array().unwrap();
    failures.iter().map(|it| it["itemIdentifier"].as_str().unwrap()).collect()
}
