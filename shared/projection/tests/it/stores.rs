//! A store that fails: what depends on a failed write comes again, and nothing else does.

use crate::fixture::{Bench, adjusted, listed, named};
use async_trait::async_trait;
use projection::consumer::Consumer;
use projection::quarantine::{Quarantine, Quarantined};
use projection::store::StoreError;
use serde_json::{Value, json};
use std::sync::Arc;
use testkit::delivery;

#[tokio::test]
async fn only_messages_of_failed_writes_come_again() {
    let bench = Bench::new().await;
    bench.store.fail("BAD");
    let bodies = [
        listed("GOOD", "one", 1),
        listed("BAD", "one", 1),
        listed("BAD", "two", 2),
        adjusted("GOOD", 1, 1),
        adjusted("BAD", 1, 1),
        listed("GOOD", "two", 2),
    ];
    let payload = delivery::sqs(bodies.iter().map(Value::to_string));
    let answer = bench.consumer.handle(payload.as_bytes(), None).await.unwrap();
    assert_eq!(named(&answer), ["message-1", "message-2", "message-4"]);
    assert_eq!(bench.titles().await, ["GOOD"]);

    bench.store.recover();
    let again = delivery::payload(&[1, 2, 4].map(|it| delivery::sqs_record(it, &bodies[it].to_string())));
    let report = bench.consumer.consume(again.as_bytes(), None).await.unwrap();
    assert_eq!((report.failed.len(), report.applied, report.stale), (0, 2, 1), "{report:?}");
    assert_eq!(bench.titles().await, ["BAD", "GOOD"]);
}

#[tokio::test]
async fn where_messages_cant_be_named_the_invocation_fails() {
    let bench = Bench::new().await;
    bench.store.fail("BAD");
    let envelope = listed("BAD", "one", 1);
    for payload in
        [delivery::eventbridge(&envelope), delivery::sns(&envelope.to_string()), envelope.to_string()]
    {
        assert!(bench.consumer.handle(payload.as_bytes(), None).await.is_err(), "{payload}");
    }
    bench.store.recover();
    let answer = bench.consumer.handle(delivery::eventbridge(&envelope).as_bytes(), None).await.unwrap();
    assert_eq!(answer, json!({ "batchItemFailures": [] }));
}

struct Full;

#[async_trait]
impl Quarantine for Full {
    async fn keep(&self, _: &Quarantined<'_>) -> Result<(), StoreError> {
        let (operation, table) = ("PutItem", "quarantine".to_owned());
        Err(StoreError::Transient { operation, table, source: "throttled".into() })
    }
}

#[tokio::test]
async fn what_the_quarantine_cant_keep_comes_again() {
    let bench = Bench::new().await;
    let store = Arc::clone(&bench.store) as _;
    let projection = crate::fixture::projection();
    let table = crate::fixture::TABLE;
    let consumer = Consumer::new("test", projection, table, store, Arc::new(Full), testkit::clock);
    let payload = delivery::sqs(["poison".to_owned(), listed("A", "one", 1).to_string()]);
    let answer = consumer.handle(payload.as_bytes(), None).await.unwrap();
    assert_eq!(named(&answer), ["message-0"]);
    assert_eq!(bench.titles().await, ["A"]);
}

#[tokio::test]
async fn a_payload_that_is_no_object_fails() {
    let bench = Bench::new().await;
    for payload in ["", "no json", "{\"Records\": 7}"] {
        assert!(bench.consumer.handle(payload.as_bytes(), None).await.is_err(), "{payload}");
    }
    let answer = bench.consumer.handle(delivery::payload(&[]).as_bytes(), None).await.unwrap();
    assert_eq!(answer, json!({ "batchItemFailures": [] }));
}
