//! A row as it changes: what is told to who subscribed to it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/store.rs"]
mod support;

use federation::{Changes, Key, Reader};
use freshness::Tag;
use futures::FutureExt;
use futures::stream::{BoxStream, StreamExt};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::time::Duration;
use support::{Scripted, TABLE};

#[derive(Clone, Debug, PartialEq, Deserialize)]
struct Order {
    status: String,
}

/// A table whose row reads so, each time; the last one stays.
fn table(reads: impl IntoIterator<Item = Option<(u32, &'static str)>>) -> Scripted {
    let mut reads: VecDeque<_> = reads.into_iter().collect();
    Scripted::new(move |_| {
        let read = if reads.len() > 1 { reads.pop_front() } else { reads.front().copied() };
        match read.flatten() {
            Some((_, "fails")) => {
                (400, json!({ "__type": "com.amazonaws.dynamodb.v20120810#ValidationException" }))
            }
            read => {
                let row = |(version, status): (u32, &str)| {
                    let mut row = json!({
                        "pk": { "S": "1" }, "sk": { "S": "-" }, "v": { "N": version.to_string() },
                        "status": { "S": status },
                    });
                    if status == "gone" {
                        row["d"] = json!({ "BOOL": true });
                    }
                    row
                };
                let rows: Vec<Value> = read.map(row).into_iter().collect();
                (200, json!({ "Responses": { TABLE: rows }, "UnprocessedKeys": {} }))
            }
        }
    })
}

fn tag() -> Tag {
    Tag::partition(TABLE, "1")
}

type Told = BoxStream<'static, Result<Option<String>, String>>;

fn watch(table: &Scripted, changes: &Changes) -> Told {
    let states = Reader::new(table.client(), TABLE).watch::<Order>(changes, Key::new("1", "-"));
    states.map(|state| state.map(|it| it.map(|order| order.status)).map_err(|it| it.to_string())).boxed()
}

async fn next(told: &mut Told) -> Result<Option<String>, String> {
    tokio::time::timeout(Duration::from_mins(1), told.next()).await.expect("it is told").unwrap()
}

/// What stands, as it is compared with what is told.
#[expect(clippy::unnecessary_wraps, reason = "it is compared with what may be an error")]
fn status(text: &str) -> Result<Option<String>, String> {
    Ok(Some(text.to_owned()))
}

/// Tells of a change, and waits until the row was read because of it.
async fn changed(table: &Scripted, changes: &Changes, told: &mut Told) {
    let before = table.requests().len();
    changes.tell([&tag()]);
    let read = async {
        while table.requests().len() == before {
            tokio::task::yield_now().await;
        }
    };
    // Nothing is told while it reads.
    tokio::select! {
        biased;
        _ = told.next() => panic!("it was told"),
        () = read => {}
    }
}

#[tokio::test(start_paused = true)]
async fn it_is_told_as_it_stands_and_then_after_each_change() {
    let table = table([None, Some((1, "placed")), Some((2, "cancelled")), Some((3, "gone"))]);
    let changes = Changes::default();
    let mut told = watch(&table, &changes);
    assert_eq!(next(&mut told).await, Ok(None));
    for expected in [status("placed"), status("cancelled"), Ok(None)] {
        changes.tell([&tag()]);
        assert_eq!(next(&mut told).await, expected);
    }
    let consistent = |request: &Value| request["RequestItems"][TABLE]["ConsistentRead"] == true;
    assert!(table.requests().iter().all(consistent));
}

#[tokio::test(start_paused = true)]
async fn no_older_state_follows_and_what_was_told_is_not_told_again() {
    let table = table([Some((2, "two")), Some((1, "one")), Some((3, "two")), Some((4, "four"))]);
    let changes = Changes::default();
    let mut told = watch(&table, &changes);
    assert_eq!(next(&mut told).await, status("two"));
    changed(&table, &changes, &mut told).await;
    changed(&table, &changes, &mut told).await;
    changes.tell([&tag()]);
    assert_eq!(next(&mut told).await, status("four"));
}

#[tokio::test(start_paused = true)]
async fn who_is_slow_is_told_the_newest_state_and_nothing_is_gathered() {
    let table = table([Some((1, "one")), Some((100, "hundred"))]);
    let changes = Changes::default();
    let mut told = watch(&table, &changes);
    assert_eq!(next(&mut told).await, status("one"));
    for _ in 0..1_000 {
        changes.tell([&tag()]);
    }
    assert_eq!(table.requests().len(), 1, "nobody asked for the next state");
    assert_eq!(next(&mut told).await, status("hundred"));
    assert!(told.next().now_or_never().is_none());
    assert_eq!(table.requests().len(), 2);
    drop(told);
    assert_eq!(changes.listeners(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_told_and_the_row_is_read_again() {
    let table = table([Some((1, "one")), Some((0, "fails")), Some((2, "two"))]);
    let changes = Changes::default();
    let mut told = watch(&table, &changes);
    assert_eq!(next(&mut told).await, status("one"));
    changes.tell([&tag()]);
    assert!(next(&mut told).await.is_err());
    // No further change is needed.
    assert_eq!(next(&mut told).await, status("two"));
}
