//! Commands from their FIFO queue.

use crate::catalogue::catalogue;
use crate::wire::{Bus, Network, Reply, through};
use crate::world::{World, batch, failed, list, retitle, text};
use embedded::DynamoDb;
use micrograph::InvokeError;
use projection::consumer::ConsumeError;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;

const TABLE: &str = "test-catalogue-product";

async fn under(weather: impl Fn(&str, &str) -> Network + Send + Sync + 'static) -> World {
    let db = DynamoDb::in_memory().expect("a database");
    let client = through(&db, weather);
    World::on(db, Bus::new(|_, _| Reply::Taken), catalogue(), |it| it.dynamodb = client).await
}

fn told(world: &World) -> Vec<(String, String)> {
    let text = |it: &Value, name: &str| it[name].as_str().expect("a string").to_owned();
    let mut told: Vec<_> =
        world.events(TABLE).iter().map(|it| (text(it, "subject"), text(&it["data"], "title"))).collect();
    told.sort_by(|a, b| a.0.cmp(&b.0));
    told
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(subject, title)| ((*subject).to_owned(), (*title).to_owned())).collect()
}

#[tokio::test(start_paused = true)]
async fn after_a_command_that_must_wait_those_of_its_aggregate_wait_and_others_do_not() {
    let world =
        under(
            |operation, body| {
                if operation == "PutItem" && body.contains("Bib") { Network::Fails } else { Network::Works }
            },
        )
        .await;
    let payload = batch(&[
        text(&list("c0", "A", "Apron")),
        text(&list("c1", "B", "Bowl")),
        text(&retitle("c2", "A", "Bib")),
        text(&retitle("c3", "A", "Cap")),
        text(&retitle("c4", "B", "Basin")),
    ]);
    let answer = world.app.invoke("commands", &payload, None).await.expect("an answer");
    assert_eq!(failed(&answer), ["m2", "m3"]);
    assert_eq!(told(&world), pairs(&[("A", "Apron"), ("B", "Bowl"), ("B", "Basin")]));
    assert!(world.quarantined().await.is_empty());
}

#[tokio::test]
async fn a_batch_that_comes_again_changes_nothing() {
    let world = World::of(catalogue()).await;
    let payload = batch(&[text(&list("c0", "A", "Apron")), text(&retitle("c1", "A", "Bib"))]);
    for _ in 0..2 {
        let answer = world.app.invoke("commands", &payload, None).await.expect("an answer");
        assert_eq!(failed(&answer), [""; 0]);
    }
    assert_eq!(told(&world), pairs(&[("A", "Apron"), ("A", "Bib")]));
}

/// A command with one field of its envelope, or of its data, set to something else.
fn with(pointer: &str, value: impl Into<Value>) -> String {
    let mut command = serde_json::to_value(list("c1", "A", "Apron")).expect("JSON");
    *command.pointer_mut(pointer).expect("a field of it") = value.into();
    command.to_string()
}

#[tokio::test]
async fn what_can_never_be_carried_out_is_quarantined_whole_and_acknowledged() {
    const PERSONAL: &str = "ada@example.org";
    let cases = [
        ("not JSON, ada@example.org".to_owned(), "Malformed", "not a command's envelope"),
        (json!({ "name": PERSONAL }).to_string(), "Malformed", "missing field `id`"),
        (with("/major", PERSONAL), "Malformed", "expected u16"),
        (with("/time", PERSONAL), "Malformed", "not a command's envelope"),
        (with("/type", "MeltProduct"), "HandlerRejected", "doesn't decide catalogue.MeltProduct"),
        (with("/type", "x".repeat(5_000)), "HandlerRejected", "doesn't decide catalogue.xxx"),
        (with("/domain", "pricing"), "HandlerRejected", "catalogue doesn't decide pricing.ListProduct"),
        (with("/major", 7), "UnknownMajor", "major version 7 is not known here: known are [1]"),
        (with("/data", json!({ "sku": "A" })), "SchemaViolation", "missing field `title`"),
        (with("/data/title", json!({ "of": PERSONAL })), "SchemaViolation", "expected a string"),
        (with("/data/sku", PERSONAL), "SchemaViolation", "subject"),
        (with("/data/title", " "), "HandlerRejected", "INVALID_TITLE: `title` must not be blank"),
        (with("/data/title", PERSONAL.repeat(14)), "HandlerRejected", "INVALID_TITLE: `title` must not be"),
        (with("/id", ""), "HandlerRejected", "COMMAND_ID_INVALID"),
        (with("/data/category", PERSONAL.repeat(14_000)), "HandlerRejected", "AGGREGATE_TOO_LARGE"),
    ];
    let world = World::of(catalogue()).await;
    let mut bodies: Vec<String> = cases.iter().map(|(body, _, _)| body.clone()).collect();
    bodies.push(text(&list("c2", "B", "Bowl")));
    let answer = world.app.invoke("commands", &batch(&bodies), None).await.expect("an answer");
    assert_eq!(failed(&answer), [""; 0]);
    assert_eq!(told(&world), pairs(&[("B", "Bowl")]));
    let kept = world.quarantined().await;
    assert_eq!(kept.len(), cases.len());
    for (body, reason, detail) in &cases {
        let (entry, _) = kept.iter().find(|(_, raw)| raw == body).expect("kept as it came");
        assert_eq!((entry.reason.as_str(), entry.consumer.as_str()), (*reason, "commands"), "{body:.200}");
        assert!(entry.detail.contains(detail), "{} says nothing of {detail}", entry.detail);
        assert!(entry.detail.len() < 1_100 && !entry.detail.contains("ada@"), "{}", entry.detail);
    }
}

#[tokio::test]
async fn a_record_without_a_body_is_quarantined() {
    let world = World::of(catalogue()).await;
    let payload = json!({ "Records": [{ "messageId": "m0", "eventSource": "aws:sqs" }] }).to_string();
    let answer = world.app.invoke("commands", payload.as_bytes(), None).await.expect("an answer");
    assert_eq!(failed(&answer), [""; 0]);
    assert_eq!(world.quarantined().await[0].0.reason, "Malformed");
}

#[tokio::test(start_paused = true)]
async fn a_message_that_the_quarantine_can_not_take_comes_again() {
    let world = under(|operation, _| match operation {
        "UpdateItem" => Network::Fails,
        _ => Network::Works,
    })
    .await;
    let payload = batch(&["not JSON".to_owned(), text(&list("c0", "A", "Apron"))]);
    let answer = world.app.invoke("commands", &payload, None).await.expect("an answer");
    assert_eq!(failed(&answer), ["m0"]);
    assert_eq!(told(&world), pairs(&[("A", "Apron")]));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_done_by_the_deadline_comes_again() {
    let world =
        under(
            |operation, body| {
                if operation == "PutItem" && body.contains("Apron") { Network::Hangs } else { Network::Works }
            },
        )
        .await;
    let payload = batch(&[
        text(&list("c0", "A", "Apron")),
        text(&retitle("c1", "A", "Bib")),
        text(&list("c2", "B", "Bowl")),
    ]);
    let begun = Instant::now();
    let deadline = begun + Duration::from_secs(5);
    let answer = world.app.invoke("commands", &payload, Some(deadline)).await.expect("an answer");
    assert_eq!(failed(&answer), ["m0", "m1"]);
    assert!(Instant::now() < deadline, "it must answer before the deadline");
    assert_eq!(told(&world), pairs(&[("B", "Bowl")]));
    let answer = world.app.invoke("commands", &payload, Some(begun)).await.expect("an answer");
    assert_eq!(failed(&answer), ["m0", "m1", "m2"]);
}

#[tokio::test(start_paused = true)]
async fn a_command_that_is_handed_over_alone_fails_the_invocation_when_it_must_wait() {
    let world =
        under(
            |operation, body| {
                if operation == "PutItem" && body.contains("Apron") { Network::Fails } else { Network::Works }
            },
        )
        .await;
    let alone = |title: &str| text(&list("c0", "A", title)).into_bytes();
    let result = world.app.invoke("commands", &alone("Apron"), None).await;
    assert!(matches!(result, Err(InvokeError::Consume(ConsumeError::Unfinished))), "{result:?}");
    world.app.invoke("commands", &alone("Bib"), None).await.expect("carried out");
    assert_eq!(told(&world), pairs(&[("A", "Bib")]));
}
