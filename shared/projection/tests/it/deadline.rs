//! The consumer answers before its time is over, and names what is unfinished.

use crate::fixture::{Bench, listed, named};
use projection::consumer::{CONCURRENT_WRITES, DEADLINE_MARGIN};
use serde_json::{Value, json};
use std::time::Duration;
use testkit::delivery;
use tokio::time::Instant;

#[tokio::test(start_paused = true)]
async fn a_write_that_hangs_is_given_up_before_the_deadline() {
    let bench = Bench::new().await;
    bench.store.hang("SLOW");
    let bodies = [listed("SLOW", "one", 1), listed("FAST", "one", 1), listed("SLOW", "two", 2)];
    let payload = delivery::sqs(bodies.iter().map(Value::to_string));
    let start = Instant::now();
    let deadline = start + Duration::from_secs(30);
    let answer = bench.consumer.handle(payload.as_bytes(), Some(deadline)).await.unwrap();
    assert_eq!(named(&answer), ["message-0", "message-2"]);
    assert_eq!(start.elapsed() + DEADLINE_MARGIN, Duration::from_secs(30));
    assert_eq!(bench.titles().await, ["FAST"]);

    bench.store.recover();
    let later = Some(Instant::now() + Duration::from_secs(30));
    let answer = bench.consumer.handle(payload.as_bytes(), later).await.unwrap();
    assert_eq!(answer, json!({ "batchItemFailures": [] }));
}

#[tokio::test(start_paused = true)]
async fn no_write_starts_once_the_time_is_over() {
    let bench = Bench::new().await;
    let payload = delivery::sqs([listed("A", "one", 1).to_string(), "poison".to_owned()]);
    let deadline = Instant::now() + DEADLINE_MARGIN;
    let answer = bench.consumer.handle(payload.as_bytes(), Some(deadline)).await.unwrap();
    assert_eq!(named(&answer), ["message-0"]);
    assert_eq!(bench.store.writes(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_waits_behind_hanging_writes_is_named_too() {
    let bench = Bench::new().await;
    let skus: Vec<String> = (0..CONCURRENT_WRITES + 8).map(|number| format!("{number:03}")).collect();
    for sku in &skus[..CONCURRENT_WRITES] {
        bench.store.hang(sku);
    }
    let payload = delivery::sqs(skus.iter().map(|sku| listed(sku, "one", 1).to_string()));
    let deadline = Instant::now() + Duration::from_secs(5);
    let answer = bench.consumer.handle(payload.as_bytes(), Some(deadline)).await.unwrap();
    assert_eq!(named(&answer).len(), skus.len());
    assert_eq!(bench.store.writes(), CONCURRENT_WRITES, "no more than so many are under way at once");
}
