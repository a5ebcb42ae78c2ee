//! What a projection costs: write units for each event by kind of join, batch size and skew of keys, beside the floor,
//! with and without the filter; and how many events one core takes.
//!
//! `cargo bench -p projection --bench cost`, or with `-- order 100 1000` the joins whose names have that in them, in
//! batches of these sizes.
//!
//! Each stream holds 6,000 events of 300 keys, each late by up to 100 places, and 60 of them once more; one warm
//! container takes it. The floor is one write for each item that a batch touches: its window is the batch. Over the
//! whole stream, one write for each item would be the least; the filter comes nearer to that than the floor where what
//! is late is known to be older.

use anyhow::Context as _;
use contracts::catalogue::{Product, ProductListed};
use contracts::inventory::StockAdjusted;
use contracts::orders::{Line, Order, OrderPlaced};
use contracts::pricing::{Price, ProductPriced};
use contracts::{Envelope, Event};
use embedded::dynamodb::DynamoDb;
use projection::consumer::Consumer;
use projection::dynamodb::{DynamoStore, create_table};
use projection::store::Store;
use projection::{Amount, Contribution, Dot, Key, Projection, Row, digest};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use testkit::dice::Dice;
use testkit::memory::MemoryStore;
use testkit::quarantine::Shelf;
use tokio::time::Instant;

const EVENTS: usize = 6_000;
const AGAIN: usize = 60;
const KEYS: usize = 300;
/// By how many places events are late.
const LATE: usize = 100;

/// A kind of join: how its events are made, and what a batch of them costs at least.
struct Kind {
    name: &'static str,
    projection: Projection,
    event: fn(&str, usize, u64) -> Value,
    floor: fn(&[&Value]) -> f64,
}

fn kinds() -> [Kind; 5] {
    let products = Projection::new("products", 1).state(|event: &Envelope<ProductListed>| {
        Row::new(Key::alone(&event.data.0.sku), &json!({ "title": event.data.0.title }))
    });
    let offers = Projection::new("offers", 1)
        .state(|event: &Envelope<ProductListed>| {
            let product = &event.data.0;
            Row::of_source("catalogue", Key::alone(&product.sku), &json!({ "title": product.title }))
        })
        .state(|event: &Envelope<ProductPriced>| {
            let price = &event.data.0;
            Row::of_source("pricing", Key::alone(&price.sku), &json!({ "amount": price.price.amount }))
        });
    let stock = Projection::new("stock", 1).delta(|event: &Envelope<StockAdjusted>| {
        Dot::new(Key::alone(&event.data.sku), [("on_hand", event.data.quantity.into())])
    });
    let balances = Projection::new("balances", 1).ordered(
        |event: &Envelope<StockAdjusted>| Key::alone(&event.data.sku),
        |view: Option<Balance>, event| {
            let Balance { balance, highest } = view.unwrap_or_default();
            let balance = balance + event.data.quantity;
            Ok(Balance { balance, highest: highest.max(balance) })
        },
    );
    let sales = Projection::new("sales", 1).contribution(|event: &Envelope<OrderPlaced>| {
        let lines = event.data.0.lines.iter();
        let amounts = lines.map(|line| Amount::new(&line.sku, [("revenue", line.amount())]));
        Contribution::new(&event.data.0.country, amounts.collect())
    });
    [
        Kind {
            name: "state",
            projection: products,
            event: listed,
            floor: |batch| distinct(batch, "/subject"),
        },
        Kind {
            name: "two sources",
            projection: offers,
            event: |key, number, version| match number % 2 {
                0 => listed(key, number, version),
                _ => priced(key, version),
            },
            // Each source writes its own part of an item.
            floor: |batch| {
                let of = |name: &str| {
                    let of_source: Vec<&Value> =
                        batch.iter().filter(|it| it["domain"] == name).copied().collect();
                    distinct(&of_source, "/data/sku")
                };
                of("catalogue") + of("pricing")
            },
        },
        Kind {
            name: "dotted set",
            projection: stock,
            event: adjusted,
            floor: |batch| distinct(batch, "/subject"),
        },
        Kind {
            name: "in order",
            projection: balances,
            event: adjusted,
            // What comes too early and has no room in its item is written twice and removed: that is above the floor.
            floor: |batch| distinct(batch, "/subject"),
        },
        Kind {
            name: "ledger",
            projection: sales,
            event: placed,
            // Each item of a transaction costs two units: the orders' child items, and the totals of two products.
            floor: |batch| 2.0 * (distinct(batch, "/subject") + 2.0 * distinct(batch, "/data/country")),
        },
    ]
}

#[derive(Default, Serialize, Deserialize)]
struct Balance {
    balance: i64,
    highest: i64,
}

fn listed(key: &str, _: usize, version: u64) -> Value {
    let title = format!("Title {version}");
    testkit::event(
        &ProductListed(Product { sku: key.to_owned(), title, ..ProductListed::example().0 }),
        version,
    )
}

fn priced(key: &str, version: u64) -> Value {
    let mut example = ProductPriced::example();
    example.0 = Price { sku: key.to_owned(), ..example.0 };
    testkit::event(&example, version)
}

fn adjusted(key: &str, _: usize, version: u64) -> Value {
    testkit::event(&StockAdjusted { sku: key.to_owned(), quantity: 3, ..StockAdjusted::example() }, version)
}

fn placed(key: &str, number: usize, _: u64) -> Value {
    let example = OrderPlaced::example().0;
    let line = |sku: &str| Line {
        sku: sku.to_owned(),
        unit_price: Decimal::new(1275, 2),
        ..example.lines[0].clone()
    };
    let lines = vec![line("A"), line("B")];
    testkit::event(
        &OrderPlaced(Order { id: number.to_string(), country: key.to_owned(), lines, ..example }),
        1,
    )
}

fn distinct(batch: &[&Value], pointer: &str) -> f64 {
    let values: BTreeSet<_> = batch.iter().filter_map(|it| it.pointer(pointer)?.as_str()).collect();
    f64::from(u32::try_from(values.len()).unwrap_or(u32::MAX))
}

/// An event as a request of its own brought it about: no two have the same identifiers, so that what waits packed in an
/// item is as large as in production.
fn traced(mut event: Value, number: usize) -> Value {
    let id = |what: &str| digest::short(&[what.as_bytes(), &number.to_be_bytes()]);
    event["correlationId"] = id("correlation").into();
    event["causationId"] = id("causation").into();
    event["traceparent"] = format!("00-{}-{}-01", id("trace"), &id("span")[..16]).into();
    event
}

/// How often the most frequent of the skewed keys comes, in parts.
const PARTS: usize = 1 << 20;

/// A key: each as often as any other, or the n-th as often as 1/n of the first.
fn key(dice: &mut Dice, skewed: bool) -> usize {
    if !skewed {
        return dice.below(KEYS);
    }
    let weight = |rank: usize| PARTS / rank;
    let mut left = dice.below((1..=KEYS).map(weight).sum());
    for rank in 1..KEYS {
        if left < weight(rank) {
            return rank - 1;
        }
        left -= weight(rank);
    }
    KEYS - 1
}

/// Events, each late by up to so many places; those that come twice come the second time anywhere.
fn stream(kind: &Kind, skewed: bool) -> Vec<Value> {
    let mut dice = Dice::new(42);
    let mut versions: BTreeMap<usize, u64> = BTreeMap::new();
    let mut events: Vec<Value> = (0..EVENTS)
        .map(|number| {
            let key = key(&mut dice, skewed);
            let version = versions.entry(key).or_default();
            *version += 1;
            traced((kind.event)(&format!("key-{key}"), number, *version), number)
        })
        .collect();
    for _ in 0..AGAIN {
        let event = events[dice.below(EVENTS)].clone();
        events.push(event);
    }
    let place = |(number, event)| match number {
        number if number < EVENTS => (number + dice.below(LATE), event),
        _ => (dice.below(EVENTS), event),
    };
    let mut places: Vec<(usize, Value)> = events.into_iter().enumerate().map(place).collect();
    places.sort_by_key(|(place, _)| *place);
    places.into_iter().map(|(_, event)| event).collect()
}

/// What a stream came to: write units, and events a second.
struct Cost {
    units: f64,
    per_second: f64,
}

async fn on_dynamodb(kind: &Kind, payloads: &[String], filter: bool) -> anyhow::Result<Cost> {
    let dynamodb = DynamoDb::in_memory()?;
    let table = kind.projection.table("cost", kind.projection.generation());
    create_table(&dynamodb.client(), &table.name, &table).await?;
    cost(kind, Arc::new(DynamoStore::new(dynamodb.client(), testkit::clock)), payloads, filter).await
}

async fn cost(kind: &Kind, store: Arc<dyn Store>, payloads: &[String], filter: bool) -> anyhow::Result<Cost> {
    let table = kind.projection.table("cost", kind.projection.generation()).name;
    let quarantine = Arc::new(Shelf::default());
    let mut consumer =
        Consumer::new("cost", kind.projection.clone(), table, store, quarantine, testkit::clock);
    if !filter {
        consumer = consumer.without_filter();
    }
    let mut units = 0.0;
    let start = Instant::now();
    for payload in payloads {
        let report = consumer.consume(payload.as_bytes(), None).await?;
        let waiting = report.failed.len() == report.waiting;
        anyhow::ensure!(waiting && report.quarantined == 0, "{report:?}");
        units += report.units;
    }
    let per_second = count(EVENTS + AGAIN)? / start.elapsed().as_secs_f64();
    Ok(Cost { units, per_second })
}

fn count(number: usize) -> anyhow::Result<f64> {
    Ok(f64::from(u32::try_from(number).context("too many events")?))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let asked: Vec<String> = std::env::args().skip(1).filter(|it| !it.starts_with("--")).collect();
    let (sizes, names): (Vec<&String>, Vec<&String>) =
        asked.iter().partition(|it| it.parse::<usize>().is_ok());
    let is_asked = |kind: &Kind| names.is_empty() || names.iter().any(|it| kind.name.contains(it.as_str()));
    let sizes: Vec<usize> = match sizes.as_slice() {
        [] => vec![1, 10, 100, 1_000],
        sizes => sizes.iter().filter_map(|it| it.parse().ok()).collect(),
    };
    println!(
        "| join | keys | batch | floor | units an event | over the floor | with the filter | whole stream | \
         events/s, consumer alone | events/s, embedded |"
    );
    println!("|---|---|---:|---:|---:|---:|---:|---:|---:|---:|");
    for kind in kinds().into_iter().filter(is_asked) {
        for (keys, skewed) in [("even", false), ("zipf", true)] {
            let events = stream(&kind, skewed);
            let all: Vec<&Value> = events.iter().collect();
            let total = count(events.len())?;
            let least = (kind.floor)(&all) / total;
            for size in sizes.iter().copied() {
                let floor: f64 = all.chunks(size).map(kind.floor).sum::<f64>() / total;
                let payload = |batch: &[Value]| testkit::delivery::sqs(batch.iter().map(ToString::to_string));
                let payloads: Vec<String> = events.chunks(size).map(payload).collect();
                let without = on_dynamodb(&kind, &payloads, false).await?.units / total;
                let with = on_dynamodb(&kind, &payloads, true).await?;
                let alone = cost(&kind, Arc::new(MemoryStore::default()), &payloads, true).await?;
                let (name, filtered, over) = (kind.name, with.units / total, (without / floor - 1.0) * 100.0);
                println!(
                    "| {name} | {keys} | {size} | {floor:.3} | {without:.3} | {over:+.1} % | {filtered:.3} | \
                     {least:.3} | {:.0} | {:.0} |",
                    alone.per_second, with.per_second
                );
            }
        }
    }
    Ok(())
}
