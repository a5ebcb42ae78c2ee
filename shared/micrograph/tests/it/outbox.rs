//! From the stream of an owned table to the bus.

use crate::catalogue::{Product, catalogue};
use crate::wire::{Bus, Reply};
use crate::world::{AT, World, failed, list};
use contracts::published::example_event;
use contracts::{catalogue::ProductListed, envelope::event_id};
use embedded::DynamoDb;
use serde_json::{Value, json};
use std::collections::BTreeSet;

const TABLE: &str = "test-catalogue-product";

/// A micrograph with this bus, which listed this many products.
async fn listed(bus: Bus, products: usize) -> World {
    let db = DynamoDb::in_memory().expect("a database");
    let world = World::on(db, bus, catalogue(), |_| {}).await;
    for n in 0..products {
        let command = list(&format!("c{n}"), &format!("SKU-{n}"), "Apron");
        world.app.commands().execute::<Product, _>(&command).await.expect("listed");
    }
    world
}

async fn publish(world: &World) -> Value {
    let batch = world.db.stream_batch(TABLE, 1_000).expect("a stream").expect("records");
    world.app.invoke("outbox", batch.payload(), None).await.expect("an answer")
}

fn detail(entry: &Value) -> Value {
    serde_json::from_str(entry["Detail"].as_str().expect("a string")).expect("an envelope")
}

fn subjects(entries: &[Value]) -> Vec<String> {
    entries.iter().map(|it| detail(it)["subject"].as_str().expect("a string").to_owned()).collect()
}

#[tokio::test]
async fn an_event_goes_to_the_bus_in_its_envelope_and_again_as_the_same() {
    let world = listed(Bus::new(|_, _| Reply::Taken), 1).await;
    for _ in 0..2 {
        assert_eq!(failed(&publish(&world).await), [""; 0]);
    }
    let calls = world.bus.calls();
    let entry = &calls[0][0];
    assert_eq!(entry["EventBusName"], "shop");
    assert_eq!(
        (&entry["Source"], &entry["DetailType"]),
        (&"tributary.catalogue".into(), &"ProductListed".into())
    );
    assert_eq!(entry["Time"].as_f64(), Some(1_291_191_960.0));
    let envelope = detail(entry);
    assert_eq!(envelope, world.events(TABLE)[0]);
    assert_eq!(envelope["id"], event_id("catalogue", "SKU-0", contracts::Version::first_epoch(1), 0));
    assert_eq!(envelope["time"], AT.to_string());
    assert_eq!(calls[0], calls[1]);
}

#[tokio::test]
async fn a_call_has_ten_entries_at_most_and_every_event_is_in_one() {
    let world = listed(Bus::new(|_, _| Reply::Taken), 25).await;
    publish(&world).await;
    let calls = world.bus.calls();
    let mut sizes: Vec<_> = calls.iter().map(Vec::len).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [5, 10, 10]);
    let all: BTreeSet<String> = calls.iter().flat_map(|it| subjects(it)).collect();
    assert_eq!(all.len(), 25);
}

/// An event's text as it stands in an outbox.
fn event(subject: &str, title: &str) -> String {
    let mut event = example_event::<ProductListed>();
    subject.clone_into(&mut event.subject);
    subject.clone_into(&mut event.data.0.sku);
    title.clone_into(&mut event.data.0.title);
    serde_json::to_string(&event).expect("JSON")
}

/// A stream's payload: a record for each of these images.
fn stream(images: &[Value]) -> Vec<u8> {
    let record = |(number, image): (usize, &Value)| {
        json!({
            "eventID": number.to_string(),
            "eventName": "MODIFY",
            "eventSource": "aws:dynamodb",
            "dynamodb": { "SequenceNumber": format!("{number}00"), "NewImage": image },
        })
    };
    let records: Vec<Value> = images.iter().enumerate().map(record).collect();
    json!({ "Records": records }).to_string().into_bytes()
}

fn outbox(events: &[String]) -> Value {
    let texts: Vec<Value> = events.iter().map(|it| json!({ "S": it })).collect();
    json!({ "pk": { "S": "A" }, "events": { "L": texts } })
}

#[tokio::test]
async fn a_call_stays_within_the_bytes_that_the_bus_takes() {
    let world = listed(Bus::new(|_, _| Reply::Taken), 0).await;
    let images: Vec<Value> =
        (0..9).map(|n| outbox(&[event(&format!("SKU-{n}"), &"x".repeat(250_000))])).collect();
    let answer = world.app.invoke("outbox", &stream(&images), None).await.expect("an answer");
    assert_eq!(failed(&answer), [""; 0]);
    let calls = world.bus.calls();
    let bytes =
        |call: &Vec<Value>| call.iter().map(|it| it["Detail"].as_str().map_or(0, str::len)).sum::<usize>();
    assert!(calls.iter().all(|call| bytes(call) <= 1_000_000));
    assert_eq!((calls.len(), calls.iter().map(Vec::len).sum::<usize>()), (3, 9));
}

#[tokio::test(start_paused = true)]
async fn only_the_entries_that_were_refused_are_sent_again() {
    let bus = Bus::new(|call, _| if call == 0 { Reply::Refused(vec![1, 3]) } else { Reply::Taken });
    let world = listed(bus, 4).await;
    assert_eq!(failed(&publish(&world).await), [""; 0]);
    let calls = world.bus.calls();
    assert_eq!(subjects(&calls[1]), ["SKU-1", "SKU-3"]);
    assert_eq!(calls.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_the_answer_says_nothing_of_is_sent_again() {
    let bus = Bus::new(|call, _| if call == 0 { Reply::CutAfter(1) } else { Reply::Taken });
    let world = listed(bus, 3).await;
    assert_eq!(failed(&publish(&world).await), [""; 0]);
    assert_eq!(subjects(&world.bus.calls()[1]), ["SKU-1", "SKU-2"]);
}

#[tokio::test(start_paused = true)]
async fn the_record_of_an_event_that_is_refused_for_long_comes_again() {
    let bus = Bus::new(|_, entries| {
        let refused = subjects(entries).iter().position(|it| it == "SKU-1");
        Reply::Refused(refused.into_iter().collect())
    });
    let world = listed(bus, 3).await;
    let number = world.records(TABLE)[1]["dynamodb"]["SequenceNumber"].clone();
    let answer = publish(&world).await;
    assert_eq!(failed(&answer), [number.as_str().expect("a string")]);
    let calls = world.bus.calls();
    assert_eq!(calls.iter().map(Vec::len).collect::<Vec<_>>(), [3, 1, 1, 1, 1]);
}

#[tokio::test(start_paused = true)]
async fn while_the_bus_is_away_all_records_come_again() {
    let world = listed(Bus::new(|_, _| Reply::Error(500, "InternalException")), 2).await;
    assert_eq!(failed(&publish(&world).await).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_entry_that_fails_its_call_does_not_hold_up_its_neighbours() {
    let bus = Bus::new(|_, entries| {
        if subjects(entries).contains(&"SKU-1".to_owned()) {
            Reply::Error(400, "ValidationException")
        } else {
            Reply::Taken
        }
    });
    let world = listed(bus, 4).await;
    let number = world.records(TABLE)[1]["dynamodb"]["SequenceNumber"].clone();
    assert_eq!(failed(&publish(&world).await), [number.as_str().expect("a string")]);
    let taken: BTreeSet<String> =
        world.bus.calls().iter().filter(|it| it.len() == 1).flat_map(|it| subjects(it)).collect();
    assert!(["SKU-0", "SKU-2", "SKU-3"].iter().all(|it| taken.contains(*it)), "{taken:?}");
}

#[tokio::test]
async fn what_holds_no_event_is_ignored_and_what_can_not_be_read_stops_nothing() {
    let world = listed(Bus::new(|_, _| Reply::Taken), 0).await;
    let mut payload: Value = serde_json::from_slice(&stream(&[
        json!({ "pk": { "S": "A" }, "v": { "N": "1" } }),
        outbox(&[]),
        outbox(&["not an envelope".to_owned()]),
        json!({ "events": { "N": "1" } }),
        outbox(&[event("A", "Apron"), event("B", "Bowl")]),
    ]))
    .expect("JSON");
    let removed = json!({
        "eventName": "REMOVE",
        "eventSource": "aws:dynamodb",
        "userIdentity": { "type": "Service", "principalId": "dynamodb.amazonaws.com" },
        "dynamodb": { "SequenceNumber": "900", "Keys": { "pk": { "S": "A" } } },
    });
    payload["Records"].as_array_mut().expect("records").push(removed);
    let answer = world.app.invoke("outbox", payload.to_string().as_bytes(), None).await.expect("an answer");
    assert_eq!(failed(&answer), [""; 0]);
    let calls = world.bus.calls();
    assert_eq!(calls.iter().map(|it| subjects(it)).collect::<Vec<_>>(), [["A", "B"]]);
}

#[tokio::test]
async fn items_that_are_deleted_in_the_table_publish_nothing() {
    let world = listed(Bus::new(|_, _| Reply::Taken), 1).await;
    let text = |text: &str| aws_sdk_dynamodb::types::AttributeValue::S(text.to_owned());
    let delete = world.db.client().delete_item().table_name(TABLE);
    delete.key("pk", text("SKU-0")).key("sk", text("-")).send().await.expect("deleted");
    assert_eq!(world.records(TABLE).len(), 2);
    assert_eq!(failed(&publish(&world).await), [""; 0]);
    assert_eq!(world.bus.calls().iter().map(Vec::len).collect::<Vec<_>>(), [1]);
}
