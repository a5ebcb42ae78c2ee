//! Pages of a list, against the embedded DynamoDB.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/store.rs"]
mod support;

use aws_sdk_dynamodb::types::AttributeValue;
use federation::page::PageError;
use federation::read::{List, Range, ReadError};
use federation::{Page, PageArgs, Reader};
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::json;
use support::{Scripted, Store, TABLE, number, store, text};

#[derive(Clone, Debug, PartialEq, Deserialize)]
struct Order {
    sk: String,
}

fn forward(first: usize, after: Option<String>) -> PageArgs {
    PageArgs::new(Some(i32::try_from(first).unwrap()), after, None, None).unwrap()
}

fn backward(last: usize, before: Option<String>) -> PageArgs {
    PageArgs::new(None, None, Some(i32::try_from(last).unwrap()), before).unwrap()
}

fn names(page: &Page<Order>) -> Vec<String> {
    page.rows.iter().map(|row| row.view.sk.clone()).collect()
}

/// A partition with rows `o#000`, …; `live` says which are no tombstones. Ranks run the other way.
async fn orders(live: &[bool]) -> (Store, Reader) {
    let store = store().await;
    store.put("c#0", "o#000", &[]).await;
    store.put("c#2", "o#000", &[]).await;
    for (n, live) in live.iter().enumerate() {
        let rank = format!("{:03}", 999 - n);
        let row = [("d", AttributeValue::Bool(!live)), ("g", text("all")), ("rank", text(&rank))];
        store.put("c#1", &format!("o#{n:03}"), &row).await;
    }
    let reader = Reader::new(store.client.clone(), TABLE);
    (store, reader)
}

/// Every page from the first to the last; checks what each says of its neighbours.
async fn walk(reader: &Reader, list: &List, size: usize, back: bool) -> Vec<String> {
    let mut visited = Vec::new();
    let mut cursor = None;
    loop {
        let given = cursor.is_some();
        let args = if back { backward(size, cursor.take()) } else { forward(size, cursor.take()) };
        let page: Page<Order> = reader.page(list, &args).await.unwrap();
        assert!(page.rows.len() <= size);
        let (more, behind) =
            if back { (page.has_previous, page.has_next) } else { (page.has_next, page.has_previous) };
        assert_eq!(behind, given);
        let mut seen = names(&page);
        if back {
            seen.extend(visited);
            visited = seen;
        } else {
            visited.extend(seen);
        }
        let edge = if back { page.rows.first() } else { page.rows.last() };
        if !more {
            return visited;
        }
        cursor = Some(edge.expect("a page with more behind it has rows").cursor.clone());
    }
}

#[tokio::test]
async fn a_full_last_page_says_that_it_is_the_last() {
    let (_store, reader) = orders(&[true; 4]).await;
    let list = List::of("c#1");
    let first: Page<Order> = reader.page(&list, &forward(2, None)).await.unwrap();
    assert_eq!(
        (names(&first), first.has_next, first.has_previous),
        (vec!["o#000".into(), "o#001".into()], true, false)
    );
    let second: Page<Order> =
        reader.page(&list, &forward(2, Some(first.rows[1].cursor.clone()))).await.unwrap();
    assert_eq!(
        (names(&second), second.has_next, second.has_previous),
        (vec!["o#002".into(), "o#003".into()], false, true)
    );
    let empty: Page<Order> = reader.page(&List::of("nobody"), &forward(2, None)).await.unwrap();
    assert_eq!((empty.rows.len(), empty.has_next, empty.has_previous), (0, false, false));
}

#[tokio::test]
async fn ranges_and_indexes_have_pages_too() {
    let (_store, reader) = orders(&[true; 25]).await;
    let prefix = List::of("c#1").range(Range::BeginsWith("o#01".to_owned()));
    assert_eq!(walk(&reader, &prefix, 3, false).await.len(), 10);
    let between = List::of("c#1").range(Range::Between("o#003".to_owned(), "o#005".to_owned())).descending();
    assert_eq!(walk(&reader, &between, 2, false).await, ["o#005", "o#004", "o#003"]);
    let everything = List::of("c#1").range(Range::BeginsWith(String::new()));
    assert_eq!(walk(&reader, &everything, 7, true).await.len(), 25);
    let ranked = List::of("all").index("by_rank", "g", "rank");
    let down: Vec<String> = (0..25).rev().map(|n| format!("o#{n:03}")).collect();
    assert_eq!(walk(&reader, &ranked, 4, false).await, down);
    assert_eq!(walk(&reader, &ranked, 4, true).await, down);
}

#[tokio::test]
async fn a_cursor_of_another_list_is_refused() {
    let (store, reader) = orders(&[true; 5]).await;
    let list = List::of("c#1");
    let page: Page<Order> = reader.page(&list, &forward(2, None)).await.unwrap();
    let cursor = page.rows[1].cursor.clone();
    let others = [
        List::of("c#2"),
        List::of("c#1").descending(),
        List::of("c#1").range(Range::BeginsWith("o".to_owned())),
        List::of("all").index("by_rank", "g", "rank"),
    ];
    for other in others {
        let error = reader.page::<Order>(&other, &forward(2, Some(cursor.clone()))).await.unwrap_err();
        assert!(
            matches!(&error, PageError::User(user) if user.code() == "BAD_USER_INPUT"),
            "{other:?}: {error}"
        );
    }
    let elsewhere = Reader::new(store.client.clone(), "elsewhere");
    let error = elsewhere.page::<Order>(&list, &forward(2, Some(cursor))).await.unwrap_err();
    assert!(matches!(error, PageError::User(_)), "{error}");
}

#[tokio::test]
async fn tombstones_without_end_are_an_error_and_not_an_endless_read() {
    let scripted = Scripted::new(|_| {
        let row = json!({ "pk": { "S": "c#1" }, "sk": { "S": "o#1" }, "d": { "BOOL": true } });
        let last = json!({ "pk": { "S": "c#1" }, "sk": { "S": "o#1" } });
        (200, json!({ "Items": [row], "Count": 1, "ScannedCount": 1, "LastEvaluatedKey": last }))
    });
    let reader = Reader::new(scripted.client(), TABLE);
    let error = reader.page::<Order>(&List::of("c#1"), &forward(5, None)).await.unwrap_err();
    assert!(matches!(error, PageError::Read(ReadError::Tombstones { reads: 10, .. })), "{error}");
    assert_eq!(scripted.requests().len(), 10);
}

#[tokio::test]
async fn a_sort_key_that_is_a_number_is_kept_in_the_cursor() {
    let mut reads = 0;
    let scripted = Scripted::new(move |request| {
        reads += 1;
        if reads == 2 {
            assert_eq!(request["ExclusiveStartKey"]["units"], json!({ "N": "7" }));
        }
        let row =
            json!({ "pk": { "S": "p" }, "sk": { "S": "x" }, "g": { "S": "all" }, "units": { "N": "7" } });
        (200, json!({ "Items": [row, row], "Count": 2, "ScannedCount": 2 }))
    });
    let reader = Reader::new(scripted.client(), TABLE);
    let list = List::of("all").index("by_units", "g", "units");
    let page: Page<Order> = reader.page(&list, &forward(1, None)).await.unwrap();
    assert!(page.has_next);
    reader.page::<Order>(&list, &forward(1, Some(page.rows[0].cursor.clone()))).await.unwrap();
    let _ = number(7);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_live_row_is_visited_once_in_order(
        live in proptest::collection::vec(any::<bool>(), 0..40),
        size in 1_usize..12,
        back: bool,
        descending: bool,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let visited = runtime.block_on(async {
            let (_store, reader) = orders(&live).await;
            let list = if descending { List::of("c#1").descending() } else { List::of("c#1") };
            walk(&reader, &list, size, back).await
        });
        let mut expected: Vec<String> =
            live.iter().enumerate().filter(|(_, live)| **live).map(|(n, _)| format!("o#{n:03}")).collect();
        if descending {
            expected.reverse();
        }
        prop_assert_eq!(visited, expected);
    }
}
