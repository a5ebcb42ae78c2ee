//! The State join: one conditional write.

use super::{Attributes, DynamoStore, compare, failure, key_of, number};
use crate::join::{Body, Put};
use crate::store::{Outcome, StoreError, Written};
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{
    AttributeValue, ConsumedCapacity, ReturnConsumedCapacity,
    ReturnValuesOnConditionCheckFailure as OnFailure,
};

pub(super) async fn run(store: &DynamoStore, table: &str, put: &Put) -> Result<Written, StoreError> {
    match put.source {
        None => whole(store, table, put).await,
        Some(source) => part(store, table, put, source).await,
    }
}

/// The item belongs to one source: it is replaced as a whole, so that a tombstone leaves no index key behind.
async fn whole(store: &DynamoStore, table: &str, put: &Put) -> Result<Written, StoreError> {
    let mut item: Attributes = match &put.body {
        Body::View(view) => view.clone().into(),
        Body::Tombstone => {
            [("d".to_owned(), AttributeValue::Bool(true)), ("ttl".to_owned(), store.expiry())].into()
        }
    };
    item.extend(key_of(&put.key));
    item.insert("v".to_owned(), number(&put.version.packed()));
    item.insert("h".to_owned(), AttributeValue::S(put.hash.clone()));
    let request = store
        .client
        .put_item()
        .table_name(table)
        .set_item(Some(item))
        .condition_expression("attribute_not_exists(pk) OR v < :v")
        .expression_attribute_values(":v", number(&put.version.packed()))
        .return_values_on_condition_check_failure(OnFailure::AllOld)
        .return_consumed_capacity(ReturnConsumedCapacity::Total);
    match request.send().await {
        Ok(done) => Ok(applied(done.consumed_capacity().and_then(ConsumedCapacity::capacity_units))),
        Err(error) => {
            let stored = match error.as_service_error() {
                Some(PutItemError::ConditionalCheckFailedException(failed)) => failed.item().cloned(),
                _ => return Err(failure("PutItem", table, error)),
            };
            rejected(store, table, put, stored, ("v", "h")).await
        }
    }
}

/// The item is shared: only this source's attributes are touched.
async fn part(store: &DynamoStore, table: &str, put: &Put, source: &str) -> Result<Written, StoreError> {
    let (v, h, d) = (format!("v_{source}"), format!("h_{source}"), format!("d_{source}"));
    let (expression, body) = match &put.body {
        Body::View(view) => {
            ("SET #v = :v, #h = :h, #s = :b REMOVE #d", AttributeValue::M(view.clone().into()))
        }
        Body::Tombstone => ("SET #v = :v, #h = :h, #d = :b REMOVE #s", AttributeValue::Bool(true)),
    };
    let request = store
        .client
        .update_item()
        .table_name(table)
        .set_key(Some(key_of(&put.key)))
        .update_expression(expression)
        .condition_expression("attribute_not_exists(#v) OR #v < :v")
        .expression_attribute_names("#v", &v)
        .expression_attribute_names("#h", &h)
        .expression_attribute_names("#d", d)
        .expression_attribute_names("#s", source)
        .expression_attribute_values(":v", number(&put.version.packed()))
        .expression_attribute_values(":h", AttributeValue::S(put.hash.clone()))
        .expression_attribute_values(":b", body)
        .return_values_on_condition_check_failure(OnFailure::AllOld)
        .return_consumed_capacity(ReturnConsumedCapacity::Total);
    match request.send().await {
        Ok(done) => Ok(applied(done.consumed_capacity().and_then(ConsumedCapacity::capacity_units))),
        Err(error) => {
            let stored = match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(failed)) => failed.item().cloned(),
                _ => return Err(failure("UpdateItem", table, error)),
            };
            rejected(store, table, put, stored, (&v, &h)).await
        }
    }
}

fn applied(units: Option<f64>) -> Written {
    Written { outcomes: vec![Outcome::Applied], units: units.unwrap_or(1.0) }
}

/// A failed condition costs a write unit too.
async fn rejected(
    store: &DynamoStore,
    table: &str,
    put: &Put,
    stored: Option<Attributes>,
    attributes: (&str, &str),
) -> Result<Written, StoreError> {
    let stored = match stored {
        Some(stored) => stored,
        None => store.item(table, &put.key).await?,
    };
    // An item that expired between the write and this look is gone for good reason: what came is older than it.
    let outcome = compare(&stored, attributes, put.version, &put.hash).unwrap_or(Outcome::Stale(None));
    Ok(Written { outcomes: vec![outcome], units: 1.0 })
}
