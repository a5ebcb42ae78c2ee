//! What a batch costs, and that what saves cost never changes what is stored.

use crate::fixture::{Bench, adjusted, listed, projection};
use projection::consumer::Consumer;
use projection::dynamodb::create_table;
use proptest::prelude::*;
use serde_json::Value;
use std::sync::Arc;
use testkit::content::Content;
use testkit::delivery;

#[tokio::test]
async fn a_batch_writes_each_item_once() {
    let bench = Bench::new().await;
    let mut bodies: Vec<Value> = (1..=20).map(|seq| listed("A", &format!("title {seq}"), seq)).collect();
    bodies.extend((1..=20).map(|seq| adjusted("B", 1, seq)));
    bodies.extend((1..=3).map(|seq| listed("C", "title", seq)));
    let payload = delivery::sqs(bodies.iter().map(Value::to_string));
    let report = bench.consumer.consume(payload.as_bytes(), None).await.unwrap();
    assert_eq!(bench.store.writes(), 3, "three items, three writes");
    assert_eq!((report.applied, report.stale, report.messages), (22, 21, 43));
}

#[tokio::test]
async fn a_warm_container_writes_nothing_that_it_knows_to_be_older() {
    let bench = Bench::new().await;
    let deliver = async |consumer: &Consumer, envelope: Value| {
        let payload = delivery::sqs([envelope.to_string()]);
        let report = consumer.consume(payload.as_bytes(), None).await.unwrap();
        (bench.store.writes(), report.applied, report.stale, report.duplicate)
    };
    assert_eq!(deliver(&bench.consumer, listed("A", "two", 2)).await, (1, 1, 0, 0));
    assert_eq!(deliver(&bench.consumer, listed("A", "two", 2)).await, (0, 0, 0, 1));
    assert_eq!(deliver(&bench.consumer, listed("A", "one", 1)).await, (0, 0, 1, 0));
    assert_eq!(deliver(&bench.container(), listed("A", "three", 3)).await, (1, 1, 0, 0));
    assert_eq!(deliver(&bench.consumer, listed("A", "two", 2)).await, (0, 0, 0, 1), "it knows no better");
    assert_eq!(deliver(&bench.consumer, listed("A", "four", 4)).await, (1, 1, 0, 0));
}

#[tokio::test]
async fn a_failed_write_is_not_remembered() {
    let bench = Bench::new().await;
    let payload = delivery::sqs([listed("A", "one", 1).to_string()]);
    bench.store.fail("A");
    assert_eq!(bench.consumer.consume(payload.as_bytes(), None).await.unwrap().failed, ["message-0"]);
    bench.store.recover();
    assert_eq!(bench.consumer.consume(payload.as_bytes(), None).await.unwrap().applied, 1);
}

/// Batches of events of a few products, in any order, each event any number of times.
fn batches() -> impl Strategy<Value = Vec<Vec<Value>>> {
    let event = (0..3_usize, 1..6_u64, any::<bool>()).prop_map(|(product, seq, adjusts)| {
        let sku = ["A", "B", "C"][product];
        if adjusts {
            return adjusted(sku, i64::try_from(seq).unwrap() * 10, seq);
        }
        listed(sku, &format!("title {seq}"), seq)
    });
    prop::collection::vec(prop::collection::vec(event, 1..6), 1..6)
}

/// What two containers leave behind that are handed batches in turn, and how often they wrote.
async fn end(batches: &[Vec<Value>], containers: impl Fn(&Bench) -> Vec<Consumer>) -> (Content, usize) {
    let bench = Bench::new().await;
    let containers = containers(&bench);
    for (number, batch) in batches.iter().enumerate() {
        let payload = delivery::sqs(batch.iter().map(Value::to_string));
        let report = containers[number % containers.len()].consume(payload.as_bytes(), None).await.unwrap();
        assert!(report.failed.is_empty() && report.quarantined == 0, "{report:?}");
    }
    (bench.content().await, bench.store.writes())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_filter_saves_writes_and_changes_nothing(batches in batches()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let with = |bench: &Bench| vec![bench.container(), bench.container()];
            let without = |bench: &Bench| with(bench).into_iter().map(Consumer::without_filter).collect();
            let (filtered, fewer) = end(&batches, with).await;
            let (unfiltered, writes) = end(&batches, without).await;
            prop_assert_eq!(filtered, unfiltered);
            prop_assert!(fewer <= writes, "{} writes with the filter, {} without", fewer, writes);
            Ok(())
        })?;
    }

    #[test]
    fn one_container_leaves_what_a_new_one_for_each_invocation_leaves(batches in batches()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (warm, _) = end(&batches, |bench| vec![bench.container()]).await;
            let (cold, _) = end(&batches, |bench| batches.iter().map(|_| bench.container()).collect()).await;
            prop_assert_eq!(warm, cold);
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn what_a_consumer_knows_of_its_table_it_does_not_take_for_known_of_another() {
    let bench = Bench::new().await;
    let other = "another-table";
    create_table(&bench.dynamodb.client(), other, &projection().table("test", projection().generation()))
        .await
        .unwrap();
    let store = Arc::clone(&bench.store) as _;
    let shelf = Arc::clone(&bench.shelf) as _;
    let second = Consumer::new("test", projection(), other, store, shelf, testkit::clock);
    let payload = delivery::sqs([listed("A", "one", 1).to_string()]);
    for consumer in [&bench.consumer, &second] {
        assert_eq!(
            consumer.consume(payload.as_bytes(), None).await.unwrap().applied,
            1,
            "a filter for each table"
        );
    }
    assert_eq!(bench.content().await, Content::of(bench.store.as_ref(), other).await.unwrap());
}
