//! DynamoDB's operations by name, on the engine.

use std::sync::{Mutex, PoisonError};

use dynoxide::actions::batch_write_item::BatchWriteItemRequest;
use dynoxide::actions::transact_write_items::TransactWriteItemsRequest;
use dynoxide::{Database, DynoxideError};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::connector::Answer;

/// The idempotency token of every client that this process makes.
///
/// The SDK gives each transaction a token of its own, and the engine would keep them all for ten minutes and
/// look through them on every call. In process no answer is ever lost, so there is nothing to recognise.
pub(super) const OWN_TOKEN: &str = "embedded";

/// An answer, and the tables that may have got stream records by it.
pub(super) struct Outcome {
    pub(super) answer: Answer,
    pub(super) written: Vec<String>,
    /// The set of tables, or of streams, is not what it was.
    pub(super) schema_changed: bool,
}

/// Whether an operation only reads.
pub(super) fn only_reads(operation: &str) -> bool {
    matches!(operation, "GetItem" | "BatchGetItem" | "Query" | "Scan" | "TransactGetItems")
}

/// `gate` is held while the engine works, and not while requests and answers are read and written.
pub(super) fn dispatch(db: &Database, gate: Option<&Mutex<()>>, operation: &str, body: &[u8]) -> Outcome {
    let mut written = Vec::new();
    let result = run(db, Body { json: body, gate }, operation, &mut written);
    let schema_changed = result.is_ok()
        && matches!(operation, "CreateTable" | "DeleteTable" | "UpdateTable" | "UpdateTimeToLive");
    let answer = match result {
        Ok(Some(body)) => Answer::ok(body),
        Ok(None) => Answer::unknown_operation(operation),
        Err(error) => {
            written.clear();
            Answer { status: error.status_code(), body: error.to_json().into_bytes() }
        }
    };
    Outcome { answer, written, schema_changed }
}

fn run(
    db: &Database,
    body: Body<'_>,
    operation: &str,
    written: &mut Vec<String>,
) -> Result<Option<Vec<u8>>, DynoxideError> {
    let answer = match operation {
        "GetItem" => call(body, |request| db.get_item(request)),
        "BatchGetItem" => call(body, |request| db.batch_get_item(request)),
        "Query" => call(body, |request| db.query(request)),
        "Scan" => call(body, |request| db.scan(request)),
        "TransactGetItems" => call(body, |request| db.transact_get_items(request)),
        "PutItem" => call(body, |request: dynoxide::actions::put_item::PutItemRequest| {
            written.push(request.table_name.clone());
            db.put_item(request)
        }),
        "UpdateItem" => call(body, |request: dynoxide::actions::update_item::UpdateItemRequest| {
            written.push(request.table_name.clone());
            db.update_item(request)
        }),
        "DeleteItem" => call(body, |request: dynoxide::actions::delete_item::DeleteItemRequest| {
            written.push(request.table_name.clone());
            db.delete_item(request)
        }),
        "BatchWriteItem" => call(body, |request: BatchWriteItemRequest| {
            written.extend(request.request_items.keys().cloned());
            db.batch_write_item(request)
        }),
        "TransactWriteItems" => call(body, |mut request: TransactWriteItemsRequest| {
            request.client_request_token.take_if(|token| token == OWN_TOKEN);
            written.extend(tables_written(&request));
            db.transact_write_items(request)
        }),
        "CreateTable" => call(body, |request| db.create_table(request)),
        "DeleteTable" => call(body, |request| db.delete_table(request)),
        "DescribeTable" => call(body, |request| db.describe_table(request)),
        "ListTables" => call(body, |request| db.list_tables(request)),
        "UpdateTable" => call(body, |request| db.update_table(request)),
        "UpdateTimeToLive" => call(body, |request| db.update_time_to_live(request)),
        "DescribeTimeToLive" => call(body, |request| db.describe_time_to_live(request)),
        "TagResource" => call(body, |request| db.tag_resource(request)),
        "UntagResource" => call(body, |request| db.untag_resource(request)),
        "ListTagsOfResource" => call(body, |request| db.list_tags_of_resource(request)),
        _ => return Ok(None),
    };
    answer.map(Some)
}

fn tables_written(request: &TransactWriteItemsRequest) -> Vec<String> {
    let mut tables: Vec<String> = request
        .transact_items
        .iter()
        .filter_map(|item| {
            let put = item.put.as_ref().map(|put| &put.table_name);
            let update = || item.update.as_ref().map(|update| &update.table_name);
            let delete = || item.delete.as_ref().map(|delete| &delete.table_name);
            put.or_else(update).or_else(delete).cloned()
        })
        .collect();
    tables.sort_unstable();
    tables.dedup();
    tables
}

#[derive(Clone, Copy)]
struct Body<'request> {
    json: &'request [u8],
    gate: Option<&'request Mutex<()>>,
}

fn call<Request: DeserializeOwned, Response: Serialize>(
    body: Body<'_>,
    operation: impl FnOnce(Request) -> Result<Response, DynoxideError>,
) -> Result<Vec<u8>, DynoxideError> {
    let request = serde_json::from_slice(body.json).map_err(|error| unreadable(&error))?;
    let response = {
        let _gate = body.gate.map(|gate| gate.lock().unwrap_or_else(PoisonError::into_inner));
        operation(request)?
    };
    serde_json::to_vec(&response).map_err(|error| DynoxideError::InternalServerError(error.to_string()))
}

/// The engine's request types mark what AWS calls a validation error in the text of serde's error.
fn unreadable(error: &serde_json::Error) -> DynoxideError {
    let text = error.to_string();
    for marker in ["VALIDATION_REQUEST:", "VALIDATION_AS_READ:", "VALIDATION:"] {
        if let Some(message) = text.strip_prefix(marker) {
            return DynoxideError::ValidationException(without_position(message).to_owned());
        }
    }
    for marker in ["SERIALIZATION_AS_READ:", "SERIALIZATION:"] {
        if let Some(message) = text.strip_prefix(marker) {
            return DynoxideError::SerializationException(without_position(message).to_owned());
        }
    }
    let invalid = ["missing field", "unknown variant", "invalid type: null", "AttributeValue"];
    if invalid.iter().any(|part| text.contains(part)) {
        DynoxideError::ValidationException(without_position(&text).to_owned())
    } else {
        DynoxideError::SerializationException(without_position(&text).to_owned())
    }
}

fn without_position(message: &str) -> &str {
    message.rfind(" at line ").map_or(message, |end| &message[..end])
}
