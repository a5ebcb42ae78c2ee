//! The embedded DynamoDB through the real SDK client.

use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    AttributeValue, Put, ReturnValuesOnConditionCheckFailure, StreamViewType, TimeToLiveSpecification,
    TransactWriteItem,
};
use embedded::dynamodb::{Durability, DynamoDb};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::table::{create, number, put, text};

#[tokio::test]
async fn a_failed_condition_is_typed_and_carries_the_item_that_is_there() {
    let db = DynamoDb::in_memory().expect("open");
    create(&db, "things", None).await;
    put(&db, "things", "a", 1).await;
    let refused = db
        .client()
        .put_item()
        .table_name("things")
        .item("pk", text("a"))
        .item("n", number(2))
        .condition_expression("attribute_not_exists(pk)")
        .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
        .send()
        .await
        .expect_err("the item exists")
        .into_service_error();
    let PutItemError::ConditionalCheckFailedException(refused) = refused else {
        panic!("not typed: {refused:?}");
    };
    assert_eq!(refused.item().and_then(|item| item.get("n")), Some(&number(1)));
}

#[tokio::test]
async fn a_cancelled_transaction_says_why_for_each_item_and_writes_nothing() {
    let db = DynamoDb::in_memory().expect("open");
    create(&db, "things", None).await;
    put(&db, "things", "a", 1).await;
    let guarded = |pk: &str| {
        let put = Put::builder()
            .table_name("things")
            .item("pk", text(pk))
            .item("n", number(7))
            .condition_expression("attribute_not_exists(pk)")
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .build()
            .expect("complete");
        TransactWriteItem::builder().put(put).build()
    };
    let cancelled = db
        .client()
        .transact_write_items()
        .transact_items(guarded("b"))
        .transact_items(guarded("a"))
        .send()
        .await
        .expect_err("one item exists")
        .into_service_error();
    let TransactWriteItemsError::TransactionCanceledException(cancelled) = cancelled else {
        panic!("not typed: {cancelled:?}");
    };
    let reasons = cancelled.cancellation_reasons();
    assert_eq!(
        reasons.iter().map(|reason| reason.code().unwrap_or_default()).collect::<Vec<_>>(),
        ["None", "ConditionalCheckFailed"]
    );
    assert_eq!(reasons[1].item().and_then(|item| item.get("n")), Some(&number(1)));
    let absent = db.client().get_item().table_name("things").key("pk", text("b")).send().await.expect("get");
    assert_eq!(absent.item(), None);
}

#[tokio::test]
async fn other_errors_are_the_sdks_too() {
    let db = DynamoDb::in_memory().expect("open");
    create(&db, "things", None).await;
    let missing =
        db.client().get_item().table_name("nowhere").key("pk", text("a")).send().await.expect_err("no table");
    assert!(missing.into_service_error().is_resource_not_found_exception());
    let invalid = db
        .client()
        .put_item()
        .table_name("things")
        .item("other", text("a"))
        .send()
        .await
        .expect_err("the key is missing");
    assert_eq!(invalid.into_service_error().code(), Some("ValidationException"));
    let unknown = db.client().list_global_tables().send().await.expect_err("not embedded");
    assert_eq!(unknown.into_service_error().code(), Some("UnknownOperationException"));
}

#[tokio::test]
async fn the_same_token_writes_once_and_the_clients_own_tokens_never_stand_in_the_way() {
    let db = DynamoDb::in_memory().expect("open");
    create(&db, "things", Some(StreamViewType::NewImage)).await;
    for token in [Some("mine"), Some("mine"), None, None] {
        let put = Put::builder().table_name("things").item("pk", text("a")).build().expect("complete");
        db.client()
            .transact_write_items()
            .transact_items(TransactWriteItem::builder().put(put).build())
            .set_client_request_token(token.map(str::to_owned))
            .send()
            .await
            .expect("write");
    }
    assert_eq!(db.stream_batch("things", 10).expect("read").expect("records").len(), 3);
}

#[tokio::test]
async fn a_read_sees_every_write_that_was_answered_before_it() {
    let db = DynamoDb::in_memory().expect("open");
    create(&db, "things", None).await;
    for n in 0..200 {
        put(&db, "things", "a", n).await;
        let found =
            db.client().get_item().table_name("things").key("pk", text("a")).send().await.expect("get");
        assert_eq!(found.item().and_then(|item| item.get("n")), Some(&number(n)));
    }
    db.client().delete_table().table_name("things").send().await.expect("delete");
    create(&db, "things", None).await;
    let gone = db.client().get_item().table_name("things").key("pk", text("a")).send().await.expect("get");
    assert_eq!(gone.item(), None);
}

#[tokio::test]
async fn a_stream_gives_what_lambda_gets_until_it_is_acknowledged() {
    let db = DynamoDb::in_memory().expect("open");
    create(&db, "things", Some(StreamViewType::NewAndOldImages)).await;
    assert!(!db.stream_pending("things").expect("measure"));
    put(&db, "things", "a", 1).await;
    put(&db, "things", "a", 2).await;
    db.client().delete_item().table_name("things").key("pk", text("a")).send().await.expect("delete");

    let batch = db.stream_batch("things", 10).expect("read").expect("records");
    let payload = batch.payload_value();
    let records = payload["Records"].as_array().expect("records");
    let names: Vec<_> = records.iter().map(|record| record["eventName"].as_str().expect("text")).collect();
    assert_eq!(names, ["INSERT", "MODIFY", "REMOVE"]);
    assert_eq!(records[1]["dynamodb"]["Keys"], json!({"pk": {"S": "a"}}));
    assert_eq!(records[1]["dynamodb"]["NewImage"]["n"], json!({"N": "2"}));
    assert_eq!(records[1]["dynamodb"]["OldImage"]["n"], json!({"N": "1"}));
    assert_eq!(records[2]["dynamodb"].get("NewImage"), None);
    assert_eq!(records[0]["dynamodb"]["StreamViewType"], json!("NEW_AND_OLD_IMAGES"));
    assert_eq!(records[0]["eventSource"], json!("aws:dynamodb"));
    let arn = records[0]["eventSourceARN"].as_str().expect("text");
    assert!(arn.starts_with("arn:aws:dynamodb:local:000000000000:table/things/stream/"), "{arn}");

    let again = db.stream_batch("things", 10).expect("read").expect("records");
    assert_eq!(again.payload(), batch.payload());
    let second = records[1]["dynamodb"]["SequenceNumber"].as_str().expect("text");
    db.ack_before(&batch, second).expect("ack");
    let rest = db.stream_batch("things", 10).expect("read").expect("records");
    assert_eq!(rest.len(), 2);
    db.ack(&rest).expect("ack");
    assert!(db.stream_batch("things", 10).expect("read").is_none());
    assert!(!db.stream_pending("things").expect("measure"));

    put(&db, "things", "a", 3).await;
    let next = db.stream_batch("things", 10).expect("read").expect("records").payload_value();
    let sequence =
        |record: &serde_json::Value| record["dynamodb"]["SequenceNumber"].as_str().map(str::to_owned);
    assert!(sequence(&next["Records"][0]) > sequence(&records[2]), "sequence numbers go on after a trim");
}

#[tokio::test]
async fn a_table_made_again_starts_an_empty_stream() {
    let db = DynamoDb::in_memory().expect("open");
    create(&db, "things", Some(StreamViewType::NewImage)).await;
    put(&db, "things", "a", 1).await;
    db.client().delete_table().table_name("things").send().await.expect("delete");
    assert!(db.stream_batch("things", 10).expect("read").is_none());
    create(&db, "things", Some(StreamViewType::NewImage)).await;
    assert!(db.stream_batch("things", 10).expect("read").is_none());
    put(&db, "things", "b", 1).await;
    assert_eq!(db.stream_batch("things", 10).expect("read").expect("records").len(), 1);
}

#[tokio::test]
async fn who_waits_for_a_stream_is_woken_by_a_write_to_it() {
    let db = DynamoDb::in_memory().expect("open");
    create(&db, "things", Some(StreamViewType::NewImage)).await;
    create(&db, "quiet", Some(StreamViewType::NewImage)).await;
    let mut changes = db.stream_changes("things");
    let mut quiet = db.stream_changes("quiet");
    let waiting = tokio::spawn(async move { changes.written().await });
    put(&db, "things", "a", 1).await;
    waiting.await.expect("woken");
    let nothing = tokio::time::timeout(std::time::Duration::ZERO, quiet.written()).await;
    assert!(nothing.is_err(), "a write to another table wakes nobody here");
}

#[tokio::test]
async fn writes_to_a_stream_stay_quick_however_many_records_wait() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("d.db");
    let db = DynamoDb::open_with(&path, Durability::Scratch).expect("open");
    create(&db, "things", Some(StreamViewType::NewImage)).await;
    put(&db, "things", "a", 1).await;
    let file = rusqlite::Connection::open(&path).expect("open");
    let plan: String = file
        .query_row(
            "EXPLAIN QUERY PLAN SELECT COALESCE(MAX(CAST(sequence_number AS INTEGER)), 0) + 1 \
             FROM _stream_records WHERE table_name = ?1",
            ["things"],
            |row| row.get("detail"),
        )
        .expect("plan");
    assert!(plan.contains("_embedded_stream_order"), "the engine's own query must use our index: {plan}");
}

#[tokio::test]
async fn expired_items_go_when_swept_and_the_stream_says_who_did_it() {
    let db = DynamoDb::in_memory().expect("open");
    create(&db, "things", Some(StreamViewType::NewAndOldImages)).await;
    let ttl =
        TimeToLiveSpecification::builder().attribute_name("expires").enabled(true).build().expect("complete");
    db.client()
        .update_time_to_live()
        .table_name("things")
        .time_to_live_specification(ttl)
        .send()
        .await
        .expect("ttl");
    for (pk, expires) in [("past", "1000000000"), ("future", "99999999999")] {
        db.client()
            .put_item()
            .table_name("things")
            .item("pk", text(pk))
            .item("expires", AttributeValue::N(expires.into()))
            .send()
            .await
            .expect("put");
    }
    let before = db.stream_batch("things", 10).expect("read").expect("records");
    db.ack(&before).expect("ack");
    assert_eq!(db.sweep_ttl().expect("sweep"), 1);
    let swept = db.stream_batch("things", 10).expect("read").expect("records").payload_value();
    let record = &swept["Records"][0];
    assert_eq!(record["dynamodb"]["Keys"]["pk"]["S"], json!("past"));
    assert_eq!(record["userIdentity"], json!({"type": "Service", "principalId": "dynamodb.amazonaws.com"}));
}

#[tokio::test]
async fn what_was_written_and_acknowledged_is_there_after_opening_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("deep/er/d.db");
    {
        let db = DynamoDb::open(&path).expect("open");
        create(&db, "things", Some(StreamViewType::NewImage)).await;
        for n in 0..5 {
            put(&db, "things", &n.to_string(), n).await;
        }
        let batch = db.stream_batch("things", 3).expect("read").expect("records");
        db.ack(&batch).expect("ack");
    }
    let db = DynamoDb::open_with(&path, Durability::Power).expect("open again");
    assert_eq!(db.streams(), ["things"]);
    let rest = db.stream_batch("things", 10).expect("read").expect("records").payload_value();
    let keys: Vec<_> = rest["Records"]
        .as_array()
        .expect("records")
        .iter()
        .map(|r| &r["dynamodb"]["Keys"]["pk"]["S"])
        .collect();
    assert_eq!(keys, ["3", "4"]);
}

/// Tables come while streams are read, as in a rebuild under traffic: neither waits for the other for ever.
#[tokio::test]
async fn streams_are_read_while_tables_come_and_go() {
    let db = DynamoDb::in_memory().expect("open");
    create(&db, "things", Some(StreamViewType::NewImage)).await;
    put(&db, "things", "one", 1).await;
    let over = Arc::new(AtomicBool::new(false));
    let reader = {
        let (db, over) = (db.clone(), Arc::clone(&over));
        std::thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                assert_eq!(db.stream_batch("things", 10).expect("read").expect("records").len(), 1);
                assert!(db.stream_pending("things").expect("read") && !db.streams_are_idle().expect("read"));
            }
        })
    };
    for n in 0..20 {
        create(&db, &format!("more-{n}"), Some(StreamViewType::NewImage)).await;
    }
    over.store(true, Ordering::Relaxed);
    reader.join().expect("read to the end");
    assert_eq!(db.streams().len(), 21);
}
