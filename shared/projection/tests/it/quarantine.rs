//! The quarantine in DynamoDB.

use crate::fixture::{Bench, TABLE, listed, projection};
use jiff::Timestamp;
use projection::consumer::Consumer;
use projection::dynamodb::create_table;
use projection::quarantine::{DynamoQuarantine, Quarantine, Quarantined, Reason};
use projection::table::Table;
use std::sync::Arc;
use testkit::delivery;

async fn quarantine(bench: &Bench) -> DynamoQuarantine {
    let client = bench.dynamodb.client();
    create_table(&client, "quarantine", &Table { ttl: None, ..Table::new("quarantine") }).await.unwrap();
    DynamoQuarantine::new(client, "quarantine", "build-7", testkit::clock)
}

fn consumer(bench: &Bench, quarantine: &DynamoQuarantine) -> Consumer {
    let (store, quarantine) = (Arc::clone(&bench.store) as _, Arc::new(quarantine.clone()));
    Consumer::new("test", projection(), TABLE, store, quarantine, testkit::clock)
}

#[tokio::test]
async fn a_large_body_comes_back_byte_for_byte() {
    let bench = Bench::new().await;
    let quarantine = quarantine(&bench).await;
    let filling: String =
        ('a'..='z').chain(['✓', '\u{1f382}', '"', '\\', '\n']).cycle().take(450_000).collect();
    let body = format!("{{\"no\": \"envelope\", \"filling\": {}}}\n", serde_json::Value::from(filling));
    assert!(body.len() > 500 * 1024, "{}", body.len());
    let payload = delivery::sqs([body.as_str()]);
    let answer = consumer(&bench, &quarantine).handle(payload.as_bytes(), None).await.unwrap();
    assert_eq!(answer, serde_json::json!({ "batchItemFailures": [] }));
    let entries = quarantine.list().await.unwrap();
    assert_eq!(entries.len(), 1);
    let (entry, raw) = quarantine.show(&entries[0].id).await.unwrap().unwrap();
    assert_eq!(
        (entry.bytes, entry.reason.as_str(), entry.build.as_str()),
        (body.len(), "Malformed", "build-7")
    );
    assert!(raw == body.as_bytes(), "{} bytes came back", raw.len());
    quarantine.remove(&entry.id).await.unwrap();
    assert_eq!(quarantine.list().await.unwrap(), []);
    assert!(quarantine.show(&entry.id).await.unwrap().is_none());
}

#[tokio::test]
async fn a_message_that_comes_again_is_counted_however_it_travels() {
    let bench = Bench::new().await;
    let quarantine = quarantine(&bench).await;
    let consumer = consumer(&bench, &quarantine);
    let mut poison = listed("A", "one", 1);
    poison["major"] = 9.into();
    for body in
        [poison.to_string(), delivery::eventbridge(&poison), delivery::sns_wrapped(&poison.to_string())]
    {
        consumer.handle(delivery::sqs([body]).as_bytes(), None).await.unwrap();
    }
    let entries = quarantine.list().await.unwrap();
    assert_eq!(entries.len(), 1, "{entries:?}");
    assert_eq!((entries[0].count, entries[0].consumer.as_str()), (3, "products"));
    assert_eq!(entries[0].reason, "UnknownMajor");
}

#[tokio::test]
async fn a_shorter_delivery_of_a_message_leaves_nothing_of_a_longer_one() {
    let bench = Bench::new().await;
    let quarantine = quarantine(&bench).await;
    let (long, short) = ("x".repeat(400 * 1024), "y".repeat(10));
    for raw in [&long, &short] {
        let (detail, reason) = ("why".to_owned(), Reason::Malformed);
        let message = Quarantined { consumer: "products", reason, detail, raw, envelope: "the same" };
        quarantine.keep(&message).await.unwrap();
    }
    let id = quarantine.list().await.unwrap()[0].id.clone();
    let (entry, raw) = quarantine.show(&id).await.unwrap().unwrap();
    assert_eq!((entry.bytes, entry.count), (10, 2));
    assert!(raw == short.as_bytes(), "{} bytes came back", raw.len());
}

#[tokio::test]
async fn entries_are_listed_by_the_time_that_they_came_first() {
    let bench = Bench::new().await;
    let early = quarantine(&bench).await;
    let late: fn() -> Timestamp = || Timestamp::constant(1_500_000_000, 0);
    let late = DynamoQuarantine::new(bench.dynamodb.client(), "quarantine", "build-8", late);
    let message = |raw| {
        let (detail, reason) = ("why".to_owned(), Reason::Malformed);
        Quarantined { consumer: "products", reason, detail, raw, envelope: raw }
    };
    late.keep(&message("second")).await.unwrap();
    early.keep(&message("first")).await.unwrap();
    late.keep(&message("first")).await.unwrap();
    let entries = late.list().await.unwrap();
    let seen: Vec<_> = entries.iter().map(|it| (it.first_seen.as_str(), it.last_seen.as_str())).collect();
    assert_eq!(
        seen,
        [("2012-01-01T00:00:00Z", "2017-07-14T02:40:00Z"), ("2017-07-14T02:40:00Z", "2017-07-14T02:40:00Z"),]
    );
    assert_eq!(entries[0].build, "build-8", "the build that saw it last");
}
