//! However an event travels, it comes to the same.

use crate::fixture::{Bench, adjusted, listed, named};
use serde_json::{Value, json};
use testkit::delivery;

fn wrappings(envelope: &Value) -> Vec<String> {
    let text = envelope.to_string();
    vec![
        delivery::sqs([delivery::sns_raw(envelope)]),
        delivery::sqs([delivery::eventbridge(envelope)]),
        delivery::sqs([delivery::sns_wrapped(&text)]),
        delivery::sqs([delivery::sns_wrapped(&delivery::eventbridge(envelope))]),
        delivery::eventbridge(envelope),
        delivery::sns(&text),
        delivery::sns(&delivery::eventbridge(envelope)),
        delivery::stream([std::slice::from_ref(envelope)]),
        text,
    ]
}

#[tokio::test]
async fn every_wrapping_brings_the_same_event() {
    let envelope = listed("A", "a \"title\" \\ with ✓", 1);
    for payload in wrappings(&envelope) {
        let bench = Bench::new().await;
        let answer = bench.consumer.handle(payload.as_bytes(), None).await.unwrap();
        assert_eq!(answer, json!({ "batchItemFailures": [] }), "{payload}");
        assert!(bench.shelf.kept().is_empty(), "{payload}");
        assert_eq!(bench.titles().await, ["A"], "{payload}");
    }
    let bench = Bench::new().await;
    for (number, payload) in wrappings(&envelope).into_iter().enumerate() {
        let report = bench.container().consume(payload.as_bytes(), None).await.unwrap();
        assert_eq!((report.applied, report.duplicate), (usize::from(number == 0), usize::from(number > 0)));
    }
}

#[tokio::test]
async fn a_change_in_a_stream_brings_all_of_its_events_and_is_named_once() {
    let bench = Bench::new().await;
    let changes = [
        vec![listed("A", "one", 1), listed("A", "two", 2)],
        vec![],
        vec![adjusted("B", 3, 1), adjusted("BAD", 1, 1), adjusted("BAD", 1, 2)],
    ];
    let payload = delivery::stream(changes.iter().map(Vec::as_slice));
    bench.store.fail("BAD");
    let answer = bench.consumer.handle(payload.as_bytes(), None).await.unwrap();
    assert_eq!(named(&answer), ["102"]);
    assert_eq!(bench.titles().await, ["A", "B"]);
    bench.store.recover();
    let report = bench.consumer.consume(payload.as_bytes(), None).await.unwrap();
    assert_eq!((report.messages, report.failed.len()), (5, 0));
    let shown = format!("{:?}", bench.content().await);
    assert!(
        shown.contains("\"two\"") && shown.contains("\"on_hand\": 3") && shown.contains("\"on_hand\": 2"),
        "{shown}"
    );
}

#[tokio::test]
async fn changes_that_are_no_events_are_passed_over() {
    let bench = Bench::new().await;
    let removed = json!({ "eventName": "REMOVE", "dynamodb": { "SequenceNumber": "1", "Keys": {} } });
    let other = json!({ "dynamodb": { "SequenceNumber": "2", "NewImage": { "pk": { "S": "x" } } } });
    let report = bench.consumer.consume(delivery::payload(&[removed, other]).as_bytes(), None).await.unwrap();
    assert_eq!((report.messages, report.quarantined, report.failed.len()), (0, 0, 0));
}
