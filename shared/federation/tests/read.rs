//! Reading views: against the embedded DynamoDB, and against one that throttles.

#[path = "support/store.rs"]
mod support;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use federation::read::{Backoff, MAX_KEYS, ReadError};
use federation::{Key, Reader};
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::json;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use support::{Scripted, TABLE, answer_some, keys_of, number, store, text};

#[derive(Clone, Debug, PartialEq, Deserialize)]
struct Product {
    title: String,
}

fn key(n: usize) -> Key {
    Key::new(format!("p#{n}"), "view")
}

fn product(n: usize) -> Product {
    Product { title: format!("title of p#{n}") }
}

fn steady() -> Backoff {
    Backoff { jitter: Arc::new(|| 1.0), ..Backoff::default() }
}

#[tokio::test]
async fn what_is_missing_deleted_or_expired_is_none() {
    let store = store().await;
    let title = || ("title", text("a"));
    store.put("live", "view", &[title()]).await;
    let waits = ("upto_early", AttributeValue::B(Blob::new([1, 0, 255])));
    store.put("behind", "view", &[title(), waits]).await;
    store.put("dead", "view", &[title(), ("d", AttributeValue::Bool(true))]).await;
    store.put("raised", "view", &[title(), ("d", AttributeValue::Bool(false))]).await;
    store.put("expired", "view", &[title(), ("ttl", number(1_000))]).await;
    store.put("fresh", "view", &[title(), ("ttl", number(1_001))]).await;
    let reader = Reader::new(store.client.clone(), TABLE).clock(|| 1_000);
    let names = ["fresh", "missing", "live", "dead", "live", "expired", "raised", "behind"];
    let keys: Vec<Key> = names.iter().map(|name| Key::new(*name, "view")).collect();
    for reader in [reader.clone(), reader.consistent(true)] {
        let views: Vec<Option<Product>> = reader.batch_get(&keys).await.unwrap();
        let alive: Vec<bool> = views.iter().map(Option::is_some).collect();
        assert_eq!(alive, [true, false, true, false, true, false, true, true]);
    }
}

#[tokio::test]
async fn a_key_that_no_item_can_have_is_none_and_its_neighbours_live() {
    let store = store().await;
    store.put("p#1", "view", &[("title", text("title of p#1"))]).await;
    let reader = Reader::new(store.client.clone(), TABLE);
    let keys = [Key::new("", "view"), key(1), Key::new("x".repeat(2_049), "view"), Key::new("x", "")];
    let views: Vec<Option<Product>> = reader.batch_get(&keys).await.unwrap();
    assert_eq!(views, [None, Some(product(1)), None, None]);
}

#[tokio::test]
async fn an_item_that_is_no_view_fails_alone() {
    let store = store().await;
    store.put("p#1", "view", &[("title", text("title of p#1"))]).await;
    store.put("p#2", "view", &[("title", number(7))]).await;
    let reader = Reader::new(store.client.clone(), TABLE);
    let views = reader.batch_get_each::<Product>(&[key(1), key(2), key(3)]).await;
    assert_eq!(views[0].as_ref().unwrap(), &Some(product(1)));
    assert!(matches!(&**views[1].as_ref().unwrap_err(), ReadError::View { key, .. } if *key == self::key(2)));
    assert_eq!(views[2].as_ref().unwrap(), &None);
    assert!(reader.batch_get::<Product>(&[key(1), key(2)]).await.is_err());
    assert_eq!(reader.get::<Product>(&key(1)).await.unwrap(), Some(product(1)));
}

#[tokio::test]
async fn more_than_a_batch_goes_out_by_hundreds() {
    let scripted = Scripted::new(|request| answer_some(request, 100));
    let reader = Reader::new(scripted.client(), TABLE);
    let keys: Vec<Key> = (0..250).map(key).collect();
    let views: Vec<Option<Product>> = reader.batch_get(&keys).await.unwrap();
    assert!(views.iter().enumerate().all(|(n, view)| *view == Some(product(n))));
    let mut sizes: Vec<usize> = scripted.requests().iter().map(|request| keys_of(request).len()).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [50, 100, 100]);
    assert!(
        scripted
            .requests()
            .iter()
            .all(|request| request["RequestItems"][TABLE]["ConsistentRead"] == json!(false))
    );
}

#[tokio::test(start_paused = true)]
async fn keys_handed_back_are_asked_for_again() {
    // Half of what is asked comes back unread each time, as when an answer is cut at 16 MB.
    let scripted = Scripted::new(|request| answer_some(request, keys_of(request).len().div_ceil(2)));
    let reader = Reader::new(scripted.client(), TABLE).backoff(steady());
    let started = tokio::time::Instant::now();
    let keys: Vec<Key> = (0..100).rev().map(key).collect();
    let views: Vec<Option<Product>> = reader.batch_get(&keys).await.unwrap();
    assert!(views.iter().rev().enumerate().all(|(n, view)| *view == Some(product(n))));
    let sizes: Vec<usize> = scripted.requests().iter().map(|request| keys_of(request).len()).collect();
    assert_eq!(sizes, [100, 50, 25, 12, 6, 3, 1]);
    assert_eq!(started.elapsed(), Duration::from_millis(25) * 6);
}

#[tokio::test(start_paused = true)]
async fn a_throttled_table_fails_what_it_did_not_read() {
    // Only the first three keys ever get through.
    let scripted =
        Scripted::new(|request| answer_some(request, if keys_of(request).len() == 10 { 3 } else { 0 }));
    let reader = Reader::new(scripted.client(), TABLE).backoff(steady());
    let started = tokio::time::Instant::now();
    let keys: Vec<Key> = (0..10).map(key).collect();
    let views = reader.batch_get_each::<Product>(&keys).await;
    assert_eq!(views.iter().filter(|view| view.is_ok()).count(), 3);
    let error = views.iter().find_map(|view| view.as_ref().err()).unwrap();
    assert!(matches!(&**error, ReadError::Unprocessed { keys: 7, attempts: 6, .. }), "{error}");
    assert_eq!(scripted.requests().len(), 7);
    let waits: u64 = [25, 25, 50, 100, 200, 400].iter().sum();
    assert_eq!(started.elapsed(), Duration::from_millis(waits));
}

#[tokio::test]
async fn a_refusal_names_the_table_and_its_cause() {
    let refusal = json!({ "__type": "com.amazonaws.dynamodb.v20120810#ResourceNotFoundException", "message": "no table" });
    let scripted = Scripted::new(move |_| (400, refusal.clone()));
    let reader = Reader::new(scripted.client(), TABLE);
    let error = reader.get::<Product>(&key(1)).await.unwrap_err();
    let chain = telemetry::error_chain(&*error);
    assert!(chain.starts_with("reading views failed: ") && chain.contains("no table"), "{chain}");
}

#[tokio::test]
async fn keys_are_bounded() {
    let scripted = Scripted::new(|_| panic!("nothing is read"));
    let reader = Reader::new(scripted.client(), TABLE);
    let keys: Vec<Key> = (0..=MAX_KEYS).map(key).collect();
    let error = reader.batch_get::<Product>(&keys).await.unwrap_err();
    assert!(matches!(*error, ReadError::TooMany { keys: 10_001, .. }), "{error}");
    assert_eq!(reader.batch_get::<Product>(&[]).await.unwrap(), []);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn order_is_kept_and_duplicates_are_read_once(
        asked in proptest::collection::vec(0_usize..40, 0..150),
        there in proptest::collection::hash_set(0_usize..40, 0..40),
        share in 1_usize..30,
    ) {
        let known: HashSet<String> = there.iter().map(|n| format!("p#{n}")).collect();
        let scripted = Scripted::new(move |request| {
            let (status, mut answer) = answer_some(request, share);
            let rows = answer["Responses"][TABLE].as_array_mut().unwrap();
            rows.retain(|row| known.contains(row["pk"]["S"].as_str().unwrap()));
            // DynamoDB answers in any order.
            rows.reverse();
            (status, answer)
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let reader = Reader::new(scripted.client(), TABLE);
        let keys: Vec<Key> = asked.iter().map(|n| key(*n)).collect();
        let views: Vec<Option<Product>> = runtime.block_on(reader.batch_get(&keys)).unwrap();
        let expected: Vec<Option<Product>> = asked.iter().map(|n| there.contains(n).then(|| product(*n))).collect();
        prop_assert_eq!(views, expected);
        let distinct = asked.iter().collect::<HashSet<_>>().len();
        let requests = scripted.requests();
        prop_assert_eq!(requests.len(), distinct.div_ceil(share));
        for request in requests {
            let keys = keys_of(&request);
            let different: HashSet<String> = keys.iter().map(ToString::to_string).collect();
            prop_assert_eq!(keys.len(), different.len());
        }
    }
}
