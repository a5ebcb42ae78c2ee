//! From a write to its stream, the bus, a queue and another table: idle only once all of it is done.

use std::collections::HashMap;
use std::sync::Arc;

use aws_sdk_dynamodb::types::{AttributeValue, StreamViewType};
use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use embedded::EventSourceMapping;
use embedded::dynamodb::DynamoDb;
use embedded::events::{EventBus, Target};
use embedded::mapping::{Handler, MappingConfig};
use embedded::queue::{Chaos, Outgoing, QueueConfig, QueueSettings, Queues};
use embedded::topic::Topics;
use serde_json::{Value, json};

use crate::table::{create, put};

const ITEMS: usize = 60;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_waits_for_the_whole_chain() {
    let db = DynamoDb::in_memory().expect("open");
    create(&db, "source", Some(StreamViewType::NewImage)).await;
    create(&db, "seen", None).await;
    let chaos = Chaos { duplicate: true, reorder: true, seed: 3 };
    let queues = Queues::in_memory(QueueSettings { chaos, ..QueueSettings::default() }).expect("open");
    queues.create(QueueConfig::new("q")).expect("create");
    let bus = EventBus::new("bus", queues.clone(), Topics::new(queues.clone()));
    bus.put_rule("all", &json!({"source": ["s"]}), vec![Target::queue("q")]).expect("rule");

    let publisher = tokio::spawn(publish(db.clone(), bus));
    let config = MappingConfig { concurrency: 3, ..MappingConfig::new("q") };
    let mapping = EventSourceMapping::start(queues.clone(), config, recorder(&db)).expect("start");
    for n in 0..ITEMS {
        put(&db, "source", &format!("key-{n}"), 1).await;
    }
    embedded::idle(std::slice::from_ref(&queues), std::slice::from_ref(&db)).await.expect("idle");
    mapping.stop().await;
    publisher.abort();

    let scan = db.client().scan().table_name("seen").send().await.expect("scan");
    let seen: HashMap<&str, &str> = scan
        .items()
        .iter()
        .map(|item| (item["pk"].as_s().expect("text").as_str(), item["n"].as_n().expect("number").as_str()))
        .collect();
    assert_eq!(seen.len(), ITEMS);
    assert!(seen.values().all(|times| *times == "2"), "chaos brings each twice: {seen:?}");
}

async fn publish(db: DynamoDb, bus: EventBus) {
    let client = bus.client();
    let mut changes = db.stream_changes("source");
    loop {
        while let Some(batch) = db.stream_batch("source", 10).expect("read") {
            let payload = batch.payload_value();
            let entries = payload["Records"].as_array().expect("records").iter().map(|record| {
                PutEventsRequestEntry::builder()
                    .event_bus_name("bus")
                    .source("s")
                    .detail_type("Changed")
                    .detail(record["dynamodb"]["Keys"].to_string())
                    .build()
            });
            let put = client.put_events().set_entries(Some(entries.collect())).send().await.expect("put");
            assert_eq!(put.failed_entry_count(), 0);
            db.ack(&batch).expect("ack");
        }
        changes.written().await;
    }
}

/// Counts how often each key came.
fn recorder(db: &DynamoDb) -> Handler {
    let client = db.client();
    Arc::new(move |payload, _| {
        let client = client.clone();
        Box::pin(async move {
            let event: Value = serde_json::from_slice(&payload)?;
            for record in event["Records"].as_array().ok_or("no records")? {
                let body: Value = serde_json::from_str(record["body"].as_str().ok_or("no body")?)?;
                let key = body["detail"]["pk"]["S"].as_str().ok_or("no key")?;
                client
                    .update_item()
                    .table_name("seen")
                    .key("pk", AttributeValue::S(key.to_owned()))
                    .update_expression("ADD n :one")
                    .expression_attribute_values(":one", AttributeValue::N("1".to_owned()))
                    .send()
                    .await?;
            }
            Ok(Value::Null)
        })
    })
}

#[tokio::test]
async fn idle_does_not_wait_for_what_leads_out() {
    let queues = Queues::in_memory(QueueSettings::default()).expect("open");
    queues.create(QueueConfig { leads_out: true, ..QueueConfig::new("out") }).expect("create");
    queues.create(QueueConfig::new("in")).expect("create");
    let message = || vec![Outgoing { body: "{}".into(), ..Outgoing::default() }];
    queues.send("out", message()).expect("send");
    assert!(queues.is_idle());
    queues.send("in", message()).expect("send");
    assert!(!queues.is_idle());
}
