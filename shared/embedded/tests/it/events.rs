//! The bus through the real SDK client, and topics.

use std::sync::Arc;

use aws_sdk_eventbridge::Client;
use aws_sdk_eventbridge::error::ProvideErrorMetadata;
use aws_sdk_eventbridge::primitives::DateTime;
use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use embedded::ManualClock;
use embedded::events::{EventBus, Pattern, RuleError, Target};
use embedded::queue::{QueueConfig, Queues};
use embedded::topic::{Notification, Subscription, Topics};
use serde_json::{Value, json};

struct Fixture {
    queues: Queues,
    topics: Topics,
    bus: EventBus,
    client: Client,
}

fn fixture() -> Fixture {
    let queues = crate::queue::queues(&ManualClock::at(1_763_719_200_000));
    for name in ["orders", "all", "wrapped"] {
        queues.create(QueueConfig::new(name)).expect("create");
    }
    let topics = Topics::new(queues.clone());
    let bus = EventBus::new("tributary", queues.clone(), topics.clone());
    let client = bus.client();
    Fixture { queues, topics, bus, client }
}

fn entry(detail_type: &str, detail: &str) -> PutEventsRequestEntry {
    PutEventsRequestEntry::builder()
        .event_bus_name("tributary")
        .source("tributary.test")
        .detail_type(detail_type)
        .detail(detail)
        .build()
}

fn bodies(queues: &Queues, queue: &str) -> Vec<Value> {
    let received = queues.receive(queue, 100, None).expect("receive");
    received.iter().map(|message| serde_json::from_str(&message.body).expect("JSON")).collect()
}

#[tokio::test]
async fn an_event_reaches_each_queue_whose_rule_matches_in_its_envelope() {
    let Fixture { queues, bus, client, .. } = fixture();
    bus.put_rule("orders", &json!({"detail-type": [{"prefix": "Order"}]}), vec![Target::queue("orders")])
        .expect("rule");
    bus.put_rule("all", &json!({"source": ["tributary.test"]}), vec![Target::queue("all")]).expect("rule");
    let put = client
        .put_events()
        .entries(entry("OrderPlaced", r#"{"order":"1", "amount": 1.10}"#))
        .entries(
            PutEventsRequestEntry::builder()
                .event_bus_name("arn:aws:events:local:000000000000:event-bus/tributary")
                .source("tributary.test")
                .detail_type("PriceChanged")
                .detail("{}")
                .resources("arn:x")
                .time(DateTime::from_secs(1_291_188_360))
                .build(),
        )
        .send()
        .await
        .expect("put");
    assert_eq!(put.failed_entry_count(), 0);
    let id = put.entries()[0].event_id().expect("an id");
    let orders = queues.receive("orders", 10, None).expect("receive");
    let expected = format!(
        r#"{{"version":"0","id":"{id}","detail-type":"OrderPlaced","source":"tributary.test","account":"000000000000","time":"2025-11-21T10:00:00Z","region":"local","resources":[],"detail":{{"order":"1", "amount": 1.10}}}}"#
    );
    assert_eq!(*orders[0].body, expected, "the detail is delivered as it was put");
    assert_eq!(orders.len(), 1);
    let all = bodies(&queues, "all");
    assert_eq!(all.len(), 2);
    assert_eq!(all[1]["time"], json!("2010-12-01T07:26:00Z"));
    assert_eq!(all[1]["resources"], json!(["arn:x"]));
}

#[tokio::test]
async fn bad_entries_are_named_one_by_one_and_their_neighbours_delivered() {
    let Fixture { queues, bus, client, .. } = fixture();
    bus.put_rule("all", &json!({"source": [{"prefix": ""}]}), vec![Target::queue("all")]).expect("rule");
    let empty = || PutEventsRequestEntry::builder().event_bus_name("tributary");
    let huge = format!(r#"{{"text":"{}"}}"#, "x".repeat(1024 * 1024));
    let put = client
        .put_events()
        .entries(empty().detail_type("T").detail("{}").build())
        .entries(empty().source("s").detail("{}").build())
        .entries(empty().source("s").detail_type("T").build())
        .entries(entry("T", "{not json"))
        .entries(entry("T", "[1]"))
        .entries(entry("T", "{}"))
        .entries(entry("T", &huge))
        .entries(empty().event_bus_name("elsewhere").source("s").detail_type("T").detail("{}").build())
        .entries(empty().source("aws.s3").detail_type("T").detail("{}").build())
        .send()
        .await
        .expect("put");
    let codes: Vec<_> = put.entries().iter().map(|entry| entry.error_code().unwrap_or("ok")).collect();
    assert_eq!(
        codes,
        [
            "InvalidArgument",
            "InvalidArgument",
            "InvalidArgument",
            "MalformedDetail",
            "MalformedDetail",
            "ok",
            "InvalidArgument",
            "InvalidArgument",
            "NotAuthorizedForSourceException"
        ]
    );
    assert_eq!(put.failed_entry_count(), 8);
    assert_eq!(bodies(&queues, "all").len(), 1);
}

#[tokio::test]
async fn a_call_has_one_to_ten_entries_and_other_operations_are_unknown() {
    let Fixture { client, .. } = fixture();
    let eleven = client.put_events().set_entries(Some(vec![entry("T", "{}"); 11])).send().await;
    assert_eq!(eleven.expect_err("too many").into_service_error().code(), Some("ValidationException"));
    let none = client.put_events().set_entries(Some(Vec::new())).send().await;
    assert_eq!(none.expect_err("none").into_service_error().code(), Some("ValidationException"));
    let other = client.list_event_buses().send().await.expect_err("not embedded");
    assert_eq!(other.into_service_error().code(), Some("UnknownOperationException"));
}

#[tokio::test]
async fn a_rule_needs_a_pattern_and_targets_that_exist() {
    let Fixture { bus, .. } = fixture();
    let no_pattern = bus.put_rule("r", &json!({"source": "text"}), vec![]);
    assert!(matches!(no_pattern, Err(RuleError::Pattern { .. })));
    let no_target = bus.put_rule("r", &json!({"source": ["s"]}), vec![Target::queue("nowhere")]);
    assert!(matches!(no_target, Err(RuleError::NoTarget { .. })));
}

#[tokio::test]
async fn a_topic_fans_out_raw_and_wrapped_to_whom_its_filters_let() {
    let Fixture { queues, topics, bus, client } = fixture();
    topics.create("news");
    let subscription = |queue: &str, raw, filter: Option<Value>| Subscription {
        queue: queue.into(),
        raw,
        filter: filter.map(|filter| Pattern::compile(&filter).expect("valid")),
    };
    topics.subscribe("news", subscription("all", true, None)).expect("subscribe");
    topics.subscribe("news", subscription("wrapped", false, None)).expect("subscribe");
    let only = json!({"detail": {"amount": [{"numeric": [">", 5]}]}});
    topics.subscribe("news", subscription("orders", true, Some(only))).expect("subscribe");
    bus.put_rule("news", &json!({"source": ["tributary.test"]}), vec![Target::topic("news")]).expect("rule");
    for amount in [1, 9] {
        let detail = json!({"amount": amount}).to_string();
        client.put_events().entries(entry("T", &detail)).send().await.expect("put");
    }
    assert_eq!(bodies(&queues, "all").len(), 2);
    assert_eq!(bodies(&queues, "orders")[0]["detail"]["amount"], json!(9));
    let wrapped = &bodies(&queues, "wrapped")[0];
    assert_eq!(wrapped["Type"], json!("Notification"));
    assert_eq!(wrapped["TopicArn"], json!("arn:aws:sns:local:000000000000:news"));
    assert_eq!(wrapped["Timestamp"], json!("2025-11-21T10:00:00.000Z"));
    let message: Value = serde_json::from_str(wrapped["Message"].as_str().expect("text")).expect("JSON");
    assert_eq!(message["detail"], json!({"amount": 1}));

    let attributes = json!({"kind": {"Type": "String", "Value": "x"}});
    let note = Notification {
        message: Arc::from("plain text"),
        subject: Some("hello".into()),
        attributes: Some(attributes.clone()),
        ..Notification::default()
    };
    topics.publish("news", &note).expect("publish");
    let raw = queues.receive("all", 10, None).expect("receive");
    assert_eq!(&*raw[0].body, "plain text");
    let shown: Value = serde_json::from_str(raw[0].attributes.as_deref().expect("attributes")).expect("JSON");
    assert_eq!(shown, json!({"kind": {"stringValue": "x", "dataType": "String"}}));
    let wrapped = &bodies(&queues, "wrapped")[0];
    assert_eq!((&wrapped["Subject"], &wrapped["MessageAttributes"]), (&json!("hello"), &attributes));
}
