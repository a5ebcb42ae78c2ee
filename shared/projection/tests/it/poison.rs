//! What can't be applied goes to the quarantine as it came, and its neighbours are applied.

use crate::fixture::{Bench, adjusted, listed};
use contracts::Event;
use projection::quarantine::Reason;
use serde_json::{Value, json};
use testkit::delivery;

/// A poisonous body between two good ones: it is kept with this reason, they are applied.
async fn among_good_ones(poison: &str, reason: Reason) {
    let bench = Bench::new().await;
    let good = [listed("A", "one", 1).to_string(), delivery::eventbridge(&listed("B", "two", 1))];
    let payload = delivery::sqs([good[0].as_str(), poison, &good[1]]);
    let answer = bench.consumer.handle(payload.as_bytes(), None).await.unwrap();
    assert_eq!(answer, json!({ "batchItemFailures": [] }));
    assert_eq!(bench.titles().await, ["A", "B"], "the neighbours of {poison}");
    let kept = bench.shelf.kept();
    assert_eq!(kept.len(), 1);
    assert_eq!((kept[0].reason, kept[0].consumer.as_str()), (reason, "products"), "{}", kept[0].detail);
    assert_eq!(kept[0].raw, poison, "kept as it came");
}

fn changed(change: impl FnOnce(&mut Value)) -> String {
    let mut envelope = listed("POISON", "a title", 1);
    change(&mut envelope);
    // White space that nobody writes: it is kept all the same.
    format!(" {envelope}\n")
}

#[tokio::test]
async fn no_json_at_all() {
    for poison in ["{", "", "null", "42", "\u{1f4a9}", "[]", "\"text\"", "{}", "{\"detail\":1}"] {
        among_good_ones(poison, Reason::Malformed).await;
    }
}

#[tokio::test]
async fn an_envelope_that_lacks_something() {
    for field in ["id", "domain", "type", "major", "subject", "version", "kind", "time", "data"] {
        among_good_ones(&changed(|it| _ = it.as_object_mut().unwrap().remove(field)), Reason::Malformed)
            .await;
    }
}

#[tokio::test]
async fn an_envelope_that_is_broken_within_its_wrapping() {
    let notification = delivery::sns_wrapped("not json");
    among_good_ones(&notification, Reason::Malformed).await;
    among_good_ones(&delivery::eventbridge(&json!("no envelope")), Reason::Malformed).await;
}

#[tokio::test]
async fn a_major_version_of_the_future() {
    among_good_ones(&changed(|it| it["major"] = 2.into()), Reason::UnknownMajor).await;
}

#[tokio::test]
async fn data_that_is_not_what_its_type_says() {
    among_good_ones(&changed(|it| it["data"]["title"] = 7.into()), Reason::SchemaViolation).await;
    among_good_ones(&changed(|it| it["data"] = json!({})), Reason::SchemaViolation).await;
    among_good_ones(&changed(|it| it["subject"] = "another".into()), Reason::SchemaViolation).await;
    among_good_ones(&changed(|it| it["kind"] = "Delta".into()), Reason::SchemaViolation).await;
    among_good_ones(&changed(|it| it["version"]["seq"] = 0.into()), Reason::SchemaViolation).await;
    among_good_ones(&changed(|it| it["version"]["seq"] = (1_u64 << 48).into()), Reason::SchemaViolation)
        .await;
}

#[tokio::test]
async fn an_event_that_the_fold_refuses() {
    among_good_ones(&changed(|it| it["data"]["title"] = "unsellable".into()), Reason::HandlerRejected).await;
}

#[tokio::test]
async fn an_event_that_is_too_large() {
    let large = "x".repeat(500 * 1024);
    among_good_ones(&changed(|it| it["data"]["title"] = large.into()), Reason::Malformed).await;
}

#[tokio::test]
async fn an_event_without_a_key_is_refused_by_the_store() {
    let poison = changed(|it| {
        it["subject"] = "".into();
        it["data"]["sku"] = "".into();
    });
    among_good_ones(&poison, Reason::HandlerRejected).await;
}

#[tokio::test]
async fn a_second_content_of_a_stored_version() {
    let bench = Bench::new().await;
    let first = delivery::sqs([listed("A", "one", 1).to_string()]);
    bench.consumer.handle(first.as_bytes(), None).await.unwrap();
    for consumer in [&bench.consumer, &bench.container()] {
        let fork = delivery::sqs([listed("A", "another", 1).to_string(), listed("B", "two", 1).to_string()]);
        let report = consumer.consume(fork.as_bytes(), None).await.unwrap();
        assert_eq!((report.quarantined, report.failed.len()), (1, 0), "{report:?}");
    }
    assert_eq!(bench.shelf.reasons(), [Reason::VersionFork, Reason::VersionFork]);
    assert_eq!(bench.shelf.kept()[0].raw, listed("A", "another", 1).to_string());
    assert!(format!("{:?}", bench.item("A").await).contains("one"));
}

#[tokio::test]
async fn two_contents_of_one_version_in_one_batch() {
    let bench = Bench::new().await;
    let bodies = [listed("A", "one", 1), listed("A", "another", 1), listed("B", "two", 1)];
    let payload = delivery::sqs(bodies.iter().map(Value::to_string));
    let report = bench.consumer.consume(payload.as_bytes(), None).await.unwrap();
    assert_eq!((report.applied, report.quarantined), (2, 1), "{report:?}");
    assert_eq!(bench.shelf.reasons(), [Reason::VersionFork]);
}

#[tokio::test]
async fn what_is_not_subscribed_to_is_passed_over() {
    let bench = Bench::new().await;
    let stranger = testkit::event(&contracts::pricing::ProductPriced::example(), 1).to_string();
    let payload = delivery::sqs([stranger, listed("A", "one", 1).to_string()]);
    let report = bench.consumer.consume(payload.as_bytes(), None).await.unwrap();
    assert_eq!((report.messages, report.ignored, report.applied), (2, 1, 1));
    assert_eq!((bench.shelf.kept().len(), report.quarantined), (0, 0));
}

#[tokio::test]
async fn a_broken_record_among_good_ones() {
    let broken = [
        json!({ "messageId": "broken", "eventSource": "aws:sqs" }),
        json!({ "messageId": "broken", "body": 7 }),
        json!({ "messageId": "broken", "body": null }),
        json!("no record"),
        json!({}),
    ];
    for record in broken {
        let bench = Bench::new().await;
        let good = |number, envelope: Value| delivery::sqs_record(number, &envelope.to_string());
        let records = [good(0, listed("A", "one", 1)), record.clone(), good(2, adjusted("B", 2, 1))];
        let payload = delivery::payload(&records);
        let report = bench.consumer.consume(payload.as_bytes(), None).await.unwrap();
        assert_eq!((report.applied, report.quarantined, report.failed.len()), (2, 1, 0), "{record}");
        assert_eq!(bench.shelf.reasons(), [Reason::Malformed]);
        assert_eq!(bench.shelf.kept()[0].raw, record.to_string(), "the record as it came");
    }
}
