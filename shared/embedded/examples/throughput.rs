//! What the embedded services do in a second on this machine: `cargo run --release -p embedded --example throughput`.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;

use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, KeysAndAttributes, Put,
    PutRequest, ScalarAttributeType, StreamSpecification, StreamViewType, TransactWriteItem, WriteRequest,
};
use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use embedded::dynamodb::{Durability, DynamoDb};
use embedded::events::{EventBus, Target};
use embedded::mapping::{EventSourceMapping, Handler, MappingConfig};
use embedded::queue::{QueueConfig, QueueSettings, Queues};
use embedded::topic::Topics;
use serde_json::json;
use serde_json::value::RawValue;
use tokio::time::Instant;

type Error = Box<dyn std::error::Error + Send + Sync>;

const CONCURRENCY: usize = 16;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let folder = tempfile::tempdir_in(".")?;
    for (name, durability) in [("process", Durability::Process), ("scratch", Durability::Scratch)] {
        let db = DynamoDb::open_with(&folder.path().join(format!("{name}.db")), durability)?;
        create_table(&db, "plain", false).await?;
        create_table(&db, "streamed", true).await?;
        println!("DynamoDB, durability {name}, {CONCURRENCY} calls at a time");
        let client = &db.client();
        rate("puts", 20_000, 1, |n| async move { put(client, "plain", n).await }).await?;
        rate("puts over", 20_000, 1, |n| async move { put(client, "plain", n).await }).await?;
        rate("puts with a stream", 20_000, 1, |n| async move { put(client, "streamed", n).await }).await?;
        rate("gets", 20_000, 1, |n| async move {
            client.get_item().table_name("plain").key("pk", text(n)).send().await?;
            Ok(())
        })
        .await?;
        rate("items by BatchGet of 100", 500, 100, |n| async move { batch_get(client, n).await }).await?;
        rate("items by BatchWrite of 25", 1_000, 25, |n| async move { batch_write(client, n).await }).await?;
        rate("items by transactions of 10", 2_000, 10, |n| async move { transact(client, n, 10).await })
            .await?;
        rate("items by transactions of 100", 300, 100, |n| async move { transact(client, n, 100).await })
            .await?;
        let started = Instant::now();
        let mut records = 0;
        while let Some(batch) = db.stream_batch("streamed", 1_000)? {
            db.ack(&batch)?;
            records += batch.len();
        }
        report("stream records read and acknowledged", records, started);
    }
    bus(&folder.path().join("queues.db")).await
}

/// Events through the bus into three queues, each with a handler that reads its batches.
async fn bus(path: &std::path::Path) -> Result<(), Error> {
    const EVENTS: usize = 50_000;
    let queues = Queues::open(path, QueueSettings::default())?;
    let bus = EventBus::new("bus", queues.clone(), Topics::new(queues.clone()));
    let mut mappings = Vec::new();
    for name in ["one", "two", "three"] {
        queues.create(QueueConfig::new(name))?;
        bus.put_rule(name, &json!({"source": ["shop"]}), vec![Target::queue(name)])?;
    }
    let client = &bus.client();
    println!("Bus and queues, durability process, three queues");
    rate("events put, 10 a call", EVENTS / 10, 10, |n| async move { put_events(client, n).await }).await?;
    let started = Instant::now();
    for name in ["one", "two", "three"] {
        let config = MappingConfig { batch_size: 100, concurrency: 2, ..MappingConfig::new(name) };
        mappings.push(EventSourceMapping::start(queues.clone(), config, reader())?);
    }
    queues.idle().await;
    report("waiting messages handled in batches of 100", EVENTS * 3, started);
    let started = Instant::now();
    rate(
        "events put while they are handled",
        EVENTS / 10,
        10,
        |n| async move { put_events(client, n).await },
    )
    .await?;
    queues.idle().await;
    report("messages put and handled", EVENTS * 3, started);
    for mapping in mappings {
        mapping.stop().await;
    }
    Ok(())
}

/// Takes a payload apart as far as its records.
fn reader() -> Handler {
    Arc::new(|payload, _| {
        Box::pin(async move {
            let event: HashMap<&str, Vec<&RawValue>> = serde_json::from_slice(&payload)?;
            match event.get("Records") {
                Some(records) if !records.is_empty() => Ok(serde_json::Value::Null),
                _ => Err("no records".into()),
            }
        })
    })
}

async fn put_events(client: &aws_sdk_eventbridge::Client, n: usize) -> Result<(), Error> {
    let entries = (0..10).map(|at| {
        let detail = json!({
            "id": format!("{n}-{at}"), "sku": "85123A", "title": "WHITE HANGING HEART T-LIGHT HOLDER",
            "version": {"epoch": 1, "seq": n}, "price": {"amount": "2.55", "currency": "GBP"},
            "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "padding": "x".repeat(300),
        });
        PutEventsRequestEntry::builder()
            .event_bus_name("bus")
            .source("shop")
            .detail_type("PriceChanged")
            .detail(detail.to_string())
            .build()
    });
    let put = client.put_events().set_entries(Some(entries.collect())).send().await?;
    if put.failed_entry_count() > 0 { Err("an entry failed".into()) } else { Ok(()) }
}

fn report(what: &str, count: usize, started: Instant) {
    let seconds = started.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "a rate to look at")]
    let rate = count as f64 / seconds;
    println!("  {rate:>9.0} /s  {what}");
}

/// Runs `calls` calls, some at a time, each good for `items`.
async fn rate<F, Fut>(what: &str, calls: usize, items: usize, call: F) -> Result<(), Error>
where
    F: Fn(usize) -> Fut + Clone,
    Fut: Future<Output = Result<(), Error>>,
{
    let started = Instant::now();
    let lanes = (0..CONCURRENCY).map(|lane| {
        let call = call.clone();
        async move {
            for n in (lane..calls).step_by(CONCURRENCY) {
                call(n).await?;
            }
            Ok::<_, Error>(())
        }
    });
    futures::future::try_join_all(lanes).await?;
    report(what, calls * items, started);
    Ok(())
}

fn text(n: usize) -> AttributeValue {
    AttributeValue::S(format!("key-{n}"))
}

fn item(n: usize) -> HashMap<String, AttributeValue> {
    [
        ("pk".to_owned(), text(n)),
        ("title".to_owned(), AttributeValue::S("WHITE HANGING HEART T-LIGHT HOLDER".to_owned())),
        ("price".to_owned(), AttributeValue::N("2.55".to_owned())),
        ("quantity".to_owned(), AttributeValue::N(n.to_string())),
        ("versions".to_owned(), AttributeValue::L(vec![AttributeValue::N("1".to_owned()); 4])),
    ]
    .into()
}

async fn put(client: &aws_sdk_dynamodb::Client, table: &str, n: usize) -> Result<(), Error> {
    client.put_item().table_name(table).set_item(Some(item(n))).send().await?;
    Ok(())
}

async fn batch_get(client: &aws_sdk_dynamodb::Client, n: usize) -> Result<(), Error> {
    let keys = (0..100).map(|at| [("pk".to_owned(), text((n * 37 + at) % 20_000))].into()).collect();
    let wanted = KeysAndAttributes::builder().set_keys(Some(keys)).build()?;
    client.batch_get_item().request_items("plain", wanted).send().await?;
    Ok(())
}

async fn batch_write(client: &aws_sdk_dynamodb::Client, n: usize) -> Result<(), Error> {
    let writes = (0..25)
        .map(|at| {
            let put = PutRequest::builder().set_item(Some(item(n * 25 + at))).build()?;
            Ok::<_, Error>(WriteRequest::builder().put_request(put).build())
        })
        .collect::<Result<Vec<_>, _>>()?;
    client.batch_write_item().request_items("plain", writes).send().await?;
    Ok(())
}

async fn transact(client: &aws_sdk_dynamodb::Client, n: usize, size: usize) -> Result<(), Error> {
    let items = (0..size)
        .map(|at| {
            let put = Put::builder().table_name("plain").set_item(Some(item(n * size + at))).build()?;
            Ok::<_, Error>(TransactWriteItem::builder().put(put).build())
        })
        .collect::<Result<Vec<_>, _>>()?;
    client.transact_write_items().set_transact_items(Some(items)).send().await?;
    Ok(())
}

async fn create_table(db: &DynamoDb, table: &str, stream: bool) -> Result<(), Error> {
    let stream = stream.then(|| {
        StreamSpecification::builder().stream_enabled(true).stream_view_type(StreamViewType::NewImage).build()
    });
    db.client()
        .create_table()
        .table_name(table)
        .billing_mode(BillingMode::PayPerRequest)
        .attribute_definitions(
            AttributeDefinition::builder()
                .attribute_name("pk")
                .attribute_type(ScalarAttributeType::S)
                .build()?,
        )
        .key_schema(KeySchemaElement::builder().attribute_name("pk").key_type(KeyType::Hash).build()?)
        .set_stream_specification(stream.transpose()?)
        .send()
        .await?;
    Ok(())
}
