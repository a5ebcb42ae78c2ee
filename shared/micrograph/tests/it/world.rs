//! A micrograph with its tables, and what can be asked of it.

use crate::wire::{Bus, Reply};
use contracts::catalogue::{Category, ListProduct, RetitleProduct};
use contracts::inventory::{AdjustStock, Reason};
use contracts::{Command, CommandEnvelope};
use embedded::DynamoDb;
use jiff::Timestamp;
use micrograph::{App, Environment, Micrograph};
use projection::quarantine::{Entry, Filter};
use serde_json::{Value, json};
use std::sync::Arc;

pub const AT: Timestamp = Timestamp::constant(1_291_191_960, 0);

pub struct World {
    pub db: DynamoDb,
    pub bus: Bus,
    pub app: Arc<App>,
}

impl World {
    pub async fn of(micrograph: Micrograph) -> Self {
        Self::with(micrograph, |_| {}).await
    }

    /// A micrograph in an environment that is changed first; its tables are there.
    pub async fn with(micrograph: Micrograph, change: impl FnOnce(&mut Environment)) -> Self {
        let db = DynamoDb::in_memory().expect("a database");
        Self::on(db, Bus::new(|_, _| Reply::Taken), micrograph, change).await
    }

    pub async fn on(
        db: DynamoDb,
        bus: Bus,
        micrograph: Micrograph,
        change: impl FnOnce(&mut Environment),
    ) -> Self {
        let mut environment = Environment {
            dynamodb: db.client(),
            relational: None,
            eventbridge: bus.client(),
            bus: "shop".to_owned(),
            region: "eu-west-1".to_owned(),
            regions: None,
            table_prefix: "test-".to_owned(),
            build: "build-1".to_owned(),
            clock: || AT,
            edge: micrograph::Edge::default(),
            changes: None,
        };
        App::new(micrograph.clone(), environment.clone()).create_tables().await.expect("tables");
        change(&mut environment);
        Self { db, bus, app: App::new(micrograph, environment) }
    }

    /// All events that stand in the stream of a table, in order.
    pub fn events(&self, table: &str) -> Vec<Value> {
        self.records(table).iter().flat_map(events_in).collect()
    }

    /// The records of the stream of a table, in order.
    pub fn records(&self, table: &str) -> Vec<Value> {
        let batch = self.db.stream_batch(table, 10_000).expect("a stream");
        let records = batch.map(|batch| batch.payload_value()["Records"].as_array().cloned());
        records.flatten().unwrap_or_default()
    }

    /// What is quarantined, with the bytes as they came.
    pub async fn quarantined(&self) -> Vec<(Entry, String)> {
        let quarantine = self.app.quarantine();
        let mut found = Vec::new();
        for entry in quarantine.list(&Filter::default(), None, 1_000).await.expect("a list").entries {
            let held = quarantine.show(&entry.id).await.expect("read").expect("it is there");
            found.push((held.entry, String::from_utf8(held.raw).expect("UTF-8")));
        }
        found
    }
}

fn events_in(record: &Value) -> Vec<Value> {
    let texts = record.pointer("/dynamodb/NewImage/events/L").and_then(Value::as_array).cloned();
    let parsed = |it: Value| serde_json::from_str(it["S"].as_str().expect("a string")).expect("an envelope");
    texts.unwrap_or_default().into_iter().map(parsed).collect()
}

pub fn list(id: &str, sku: &str, title: &str) -> CommandEnvelope<ListProduct> {
    let (sku, title) = (sku.to_owned(), title.to_owned());
    CommandEnvelope::new(id, AT, ListProduct { sku, title, category: Category::Gift })
}

pub fn retitle(id: &str, sku: &str, title: &str) -> CommandEnvelope<RetitleProduct> {
    let (sku, title) = (sku.to_owned(), title.to_owned());
    CommandEnvelope::new(id, AT, RetitleProduct { sku, title })
}

pub fn adjust(id: &str, sku: &str, quantity: i64) -> CommandEnvelope<AdjustStock> {
    CommandEnvelope::new(id, AT, AdjustStock { sku: sku.to_owned(), quantity, reason: Reason::Found })
}

pub fn text<C: Command>(command: &CommandEnvelope<C>) -> String {
    serde_json::to_string(command).expect("it serializes")
}

/// A batch of a FIFO queue; the messages are called `m0`, `m1` and so on.
pub fn batch(bodies: &[String]) -> Vec<u8> {
    let record = |(number, body): (usize, &String)| {
        json!({
            "messageId": format!("m{number}"),
            "receiptHandle": "handle",
            "body": body,
            "attributes": { "ApproximateReceiveCount": "1", "SequenceNumber": format!("{number:020}") },
            "eventSource": "aws:sqs",
            "eventSourceARN": "arn:aws:sqs:eu-west-1:000000000000:catalogue-commands.fifo",
            "awsRegion": "eu-west-1",
        })
    };
    let records: Vec<Value> = bodies.iter().enumerate().map(record).collect();
    json!({ "Records": records }).to_string().into_bytes()
}

/// The ids in a partial batch response.
pub fn failed(answer: &Value) -> Vec<&str> {
    let failures = answer["batchItemFailures"].as_array().expect("a partial batch response");
    failures.iter().map(|it| it["itemIdentifier"].as_str().expect("an id")).collect()
}
