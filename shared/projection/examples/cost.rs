//! What a projection costs: write units for each event by kind of join, batch size and skew of keys, beside what one
//! write for each item that a batch touches would cost.
//!
//! `cargo run --release -p projection --example cost`
//!
//! Each stream holds 2,400 events, each late by up to 100 places, and 600 of them once more; one warm container takes
//! it, over the embedded DynamoDB.

use anyhow::Context as _;
use contracts::catalogue::{Product, ProductListed};
use contracts::inventory::StockAdjusted;
use contracts::orders::{Line, Order, OrderPlaced};
use contracts::{Envelope, Event};
use embedded::dynamodb::DynamoDb;
use projection::consumer::Consumer;
use projection::dynamodb::{DynamoStore, create_table};
use projection::{Amount, Contribution, Dot, Key, Projection, Row};
use rust_decimal::Decimal;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use testkit::quarantine::Shelf;
use tokio::time::Instant;

const EVENTS: usize = 2_400;
const AGAIN: usize = 600;
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

fn kinds() -> [Kind; 3] {
    let products = Projection::new("products", 1).state(|event: &Envelope<ProductListed>| {
        Row::new(Key::alone(&event.data.0.sku), &json!({ "title": event.data.0.title }))
    });
    let stock = Projection::new("stock", 1).delta(|event: &Envelope<StockAdjusted>| {
        Dot::new(Key::alone(&event.data.sku), [("on_hand", event.data.quantity.into())])
    });
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
            name: "dotted set",
            projection: stock,
            event: adjusted,
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

fn listed(key: &str, _: usize, version: u64) -> Value {
    let title = format!("Title {version}");
    testkit::event(
        &ProductListed(Product { sku: key.to_owned(), title, ..ProductListed::example().0 }),
        version,
    )
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

/// Numbers that look random and are the same in each run (xorshift).
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(limit).unwrap_or(u64::MAX)).unwrap_or(0)
    }
}

/// Events of keys that are equally frequent, or of which the first tenth has most.
fn stream(kind: &Kind, skewed: bool) -> Vec<Value> {
    let mut dice = Dice(42);
    let mut versions: BTreeMap<usize, u64> = BTreeMap::new();
    let mut events: Vec<Value> = (0..EVENTS)
        .map(|number| {
            let key = if skewed && dice.below(10) < 9 { dice.below(KEYS / 10) } else { dice.below(KEYS) };
            let version = versions.entry(key).or_default();
            *version += 1;
            (kind.event)(&format!("key-{key}"), number, *version)
        })
        .collect();
    for _ in 0..AGAIN {
        let event = events[dice.below(EVENTS)].clone();
        events.push(event);
    }
    // Late by up to as many places: those that come twice come the second time anywhere.
    let place = |(number, event)| match number {
        number if number < EVENTS => (number + dice.below(LATE), event),
        _ => (dice.below(EVENTS), event),
    };
    let mut places: Vec<(usize, Value)> = events.into_iter().enumerate().map(place).collect();
    places.sort_by_key(|(place, _)| *place);
    places.into_iter().map(|(_, event)| event).collect()
}

struct Cost {
    units: f64,
    floor: f64,
    per_second: f64,
}

async fn cost(kind: &Kind, events: &[Value], batch: usize, filter: bool) -> anyhow::Result<Cost> {
    let dynamodb = DynamoDb::in_memory()?;
    let table = kind.projection.table("cost");
    create_table(&dynamodb.client(), &table.name, &table).await?;
    let store = Arc::new(DynamoStore::new(dynamodb.client(), testkit::clock));
    let quarantine = Arc::new(Shelf::default());
    let mut consumer =
        Consumer::new("cost", kind.projection.clone(), &table.name, store, quarantine, testkit::clock);
    if !filter {
        consumer = consumer.without_filter();
    }
    let (mut units, mut floor) = (0.0, 0.0);
    let batches: Vec<Vec<&Value>> = events.chunks(batch).map(|batch| batch.iter().collect()).collect();
    let payloads: Vec<String> =
        batches.iter().map(|batch| testkit::delivery::sqs(batch.iter().map(ToString::to_string))).collect();
    let start = Instant::now();
    for (payload, batch) in payloads.iter().zip(&batches) {
        let report = consumer.consume(payload.as_bytes(), None).await?;
        anyhow::ensure!(report.failed.is_empty() && report.quarantined == 0, "{report:?}");
        units += report.units;
        floor += (kind.floor)(batch);
    }
    let count = f64::from(u32::try_from(events.len()).context("too many events")?);
    let per_second = count / start.elapsed().as_secs_f64();
    Ok(Cost { units: units / count, floor: floor / count, per_second })
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    println!(
        "| join | keys | batch | one write an item | units an event | without filter | events a second |"
    );
    println!("|---|---|---:|---:|---:|---:|---:|");
    for kind in kinds() {
        for (keys, skewed) in [("even", false), ("skewed", true)] {
            let events = stream(&kind, skewed);
            for batch in [1, 10, 100, 1_000] {
                let with = cost(&kind, &events, batch, true).await?;
                let without = cost(&kind, &events, batch, false).await?;
                let Cost { units, floor, per_second } = with;
                let (name, more) = (kind.name, without.units);
                println!(
                    "| {name} | {keys} | {batch} | {floor:.2} | {units:.2} | {more:.2} | {per_second:.0} |"
                );
            }
        }
    }
    Ok(())
}
