//! Items that are folded in the order of their changes, and the changes that are kept beside them.

use super::{Attributes, DynamoStore, failure, key_of, number};
use crate::join::Step;
use crate::key::Key;
use crate::store::{Head, Ordered, Outcome, StoreError, Waiting, Written};
use async_trait::async_trait;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{
    AttributeValue, CancellationReason, ConsumedCapacity, DeleteRequest, Put, ReturnConsumedCapacity,
    ReturnValuesOnConditionCheckFailure as OnFailure, TransactWriteItem, WriteRequest,
};
use contracts::Version;
use std::collections::HashMap;
use std::ops::RangeInclusive;

/// How many changes one look at what is kept reads at most; it ends sooner at 1 MB.
const LOOK: i32 = 250;

/// How many items one `BatchWriteItem` removes: DynamoDB's limit.
const REMOVED_AT_ONCE: usize = 25;

/// The attribute of what is kept beside an item, a change or the item's base: a map, so that it is in no index, and no
/// view has it.
const WAITS: &str = "waits";

#[async_trait]
impl Ordered for DynamoStore {
    async fn head(&self, table: &str, key: &Key) -> Result<Option<Head>, StoreError> {
        Ok(head_in(self.item(table, key).await?))
    }

    async fn base(&self, table: &str, key: &Key) -> Result<Option<Head>, StoreError> {
        let mut item = self.item(table, &Step::beside(key, Version::NONE)).await?;
        Ok(item.remove(WAITS).and_then(|base| head_in(base.as_m().ok()?.clone())))
    }

    async fn advance(
        &self,
        table: &str,
        key: &Key,
        before: Option<&Head>,
        next: &Head,
        base: Option<&Head>,
    ) -> Result<Written, StoreError> {
        let mut item: Attributes = serde_dynamo::Item::from(next.attributes()).into();
        item.extend(key_of(key));
        let put = Put::builder().table_name(table).set_item(Some(item));
        let put = match before {
            None => put.condition_expression("attribute_not_exists(pk)"),
            Some(Head { reach, early, .. }) => {
                let put = put.expression_attribute_values(":before", reach.attribute().into());
                if early.is_empty() {
                    put.condition_expression("upto = :before AND attribute_not_exists(upto_early)")
                } else {
                    put.condition_expression("upto = :before AND upto_early = :early")
                        .expression_attribute_values(":early", AttributeValue::B(Blob::new(early.clone())))
                }
            }
        };
        let put = put.build().expect("the table and the item are set");
        match base {
            None => alone(self, table, put).await,
            Some(base) => with_base(self, table, key, put, base).await,
        }
    }

    async fn waiting(
        &self,
        table: &str,
        key: &Key,
        within: RangeInclusive<Version>,
    ) -> Result<Vec<Waiting>, StoreError> {
        let sort = |version: &Version| AttributeValue::S(Step::beside(key, *version).sk);
        let request = self
            .client
            .query()
            .table_name(table)
            .consistent_read(true)
            .key_condition_expression("pk = :pk AND sk BETWEEN :from AND :until")
            .expression_attribute_values(":pk", AttributeValue::S(key.pk.clone()))
            .expression_attribute_values(":from", sort(within.start()))
            .expression_attribute_values(":until", sort(within.end()))
            .limit(LOOK);
        let page = request.send().await.map_err(|error| failure("Query", table, error))?;
        Ok(page.items().iter().filter_map(waiting_in).collect())
    }

    async fn wait(&self, table: &str, key: &Key, waiting: &Waiting) -> Result<Written, StoreError> {
        let text = |text: &String| AttributeValue::S(text.clone());
        let waits = HashMap::from([
            ("epoch".to_owned(), number(&waiting.version.epoch)),
            ("seq".to_owned(), number(&waiting.version.seq)),
            ("base".to_owned(), number(&waiting.base)),
            ("hash".to_owned(), text(&waiting.hash)),
            ("event".to_owned(), text(&waiting.event)),
            ("parked".to_owned(), AttributeValue::Bool(waiting.parked)),
        ]);
        let mut item = key_of(&Step::beside(key, waiting.version));
        item.insert(WAITS.to_owned(), AttributeValue::M(waits));
        let request = self
            .client
            .put_item()
            .table_name(table)
            .set_item(Some(item))
            .return_values_on_condition_check_failure(OnFailure::AllOld)
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        // What is parked for the first time is as it waited; what takes the place of one that is parked is another.
        let condition = if waiting.parked {
            "attribute_not_exists(pk) OR (waits.#hash = :hash AND waits.parked = :other)"
        } else {
            "attribute_not_exists(pk) OR (waits.#hash <> :hash AND waits.parked = :other)"
        };
        let request = request
            .condition_expression(condition)
            .expression_attribute_names("#hash", "hash")
            .expression_attribute_values(":hash", text(&waiting.hash))
            .expression_attribute_values(":other", AttributeValue::Bool(!waiting.parked));
        match request.send().await {
            Ok(done) => Ok(written(Outcome::Applied, done.consumed_capacity())),
            Err(error) => {
                let stored = match error.as_service_error() {
                    Some(PutItemError::ConditionalCheckFailedException(failed)) => failed.item().cloned(),
                    _ => return Err(failure("PutItem", table, error)),
                };
                let stored = match stored {
                    Some(stored) => stored,
                    None => self.item(table, &Step::beside(key, waiting.version)).await?,
                };
                // One that is gone meanwhile is in the item: a look at that tells more.
                let forked = waiting_in(&stored).is_some_and(|it| it.hash != waiting.hash);
                Ok(written(if forked { Outcome::Forked } else { Outcome::Duplicate }, None))
            }
        }
    }

    async fn forget(&self, table: &str, key: &Key, versions: &[Version]) -> Result<f64, StoreError> {
        let mut units = 0.0;
        for some in versions.chunks(REMOVED_AT_ONCE) {
            let remove = |version: &Version| {
                let request = DeleteRequest::builder().set_key(Some(key_of(&Step::beside(key, *version))));
                let request = request.build().expect("the key is set");
                WriteRequest::builder().delete_request(request).build()
            };
            let request = self
                .client
                .batch_write_item()
                .request_items(table, some.iter().map(remove).collect())
                .return_consumed_capacity(ReturnConsumedCapacity::Total);
            // What is left unprocessed is found by the next look.
            let done = request.send().await.map_err(|error| failure("BatchWriteItem", table, error))?;
            units +=
                done.consumed_capacity().iter().filter_map(ConsumedCapacity::capacity_units).sum::<f64>();
        }
        Ok(units)
    }
}

async fn alone(store: &DynamoStore, table: &str, put: Put) -> Result<Written, StoreError> {
    let request = store
        .client
        .put_item()
        .table_name(table)
        .set_item(Some(put.item))
        .set_condition_expression(put.condition_expression)
        .set_expression_attribute_values(put.expression_attribute_values)
        .return_consumed_capacity(ReturnConsumedCapacity::Total);
    match request.send().await {
        Ok(done) => Ok(written(Outcome::Applied, done.consumed_capacity())),
        Err(error) if error.as_service_error().is_some_and(is_failed_condition) => {
            Ok(written(Outcome::Stale(None), None))
        }
        Err(error) => Err(failure("PutItem", table, error)),
    }
}

/// Writes an item and its base, or neither.
async fn with_base(
    store: &DynamoStore,
    table: &str,
    key: &Key,
    put: Put,
    base: &Head,
) -> Result<Written, StoreError> {
    const OPERATION: &str = "TransactWriteItems";
    let mut item = key_of(&Step::beside(key, Version::NONE));
    let base: Attributes = serde_dynamo::Item::from(base.attributes()).into();
    item.insert(WAITS.to_owned(), AttributeValue::M(base));
    let base = Put::builder().table_name(table).set_item(Some(item));
    let base = base.build().expect("the table and the item are set");
    let request = store
        .client
        .transact_write_items()
        .transact_items(TransactWriteItem::builder().put(put).build())
        .transact_items(TransactWriteItem::builder().put(base).build())
        .return_consumed_capacity(ReturnConsumedCapacity::Total);
    let error = match request.send().await {
        Ok(done) => {
            let units = done.consumed_capacity().iter().filter_map(ConsumedCapacity::capacity_units).sum();
            return Ok(Written { outcomes: vec![Outcome::Applied], units });
        }
        Err(error) => error,
    };
    let Some(TransactWriteItemsError::TransactionCanceledException(canceled)) = error.as_service_error()
    else {
        return Err(failure(OPERATION, table, error));
    };
    let reasons = canceled.cancellation_reasons();
    let is = |code: &'static str| move |it: &&CancellationReason| it.code() == Some(code);
    if let Some(refused) = reasons.iter().find(is("ValidationError")) {
        let reason = refused.message().unwrap_or("the item is not valid").to_owned();
        return Err(StoreError::Refused { operation: OPERATION, table: table.to_owned(), reason });
    }
    if reasons.iter().any(|it| is("ConditionalCheckFailed")(&it)) {
        return Ok(Written { outcomes: vec![Outcome::Stale(None)], units: 4.0 });
    }
    Err(failure(OPERATION, table, error))
}

/// An item, or its base, as it stands.
fn head_in(item: Attributes) -> Option<Head> {
    Head::read(serde_dynamo::Item::from(item).into_inner())
}

fn is_failed_condition(error: &PutItemError) -> bool {
    error.is_conditional_check_failed_exception()
}

/// What came of a write, and its cost; a failed condition costs a unit too.
fn written(outcome: Outcome, capacity: Option<&ConsumedCapacity>) -> Written {
    let units = capacity.and_then(ConsumedCapacity::capacity_units).unwrap_or(1.0);
    Written { outcomes: vec![outcome], units }
}

fn waiting_in(item: &Attributes) -> Option<Waiting> {
    let waits = item.get(WAITS)?.as_m().ok()?;
    let text = |name: &str| waits.get(name)?.as_s().ok().cloned();
    let integer = |name: &str| waits.get(name)?.as_n().ok()?.parse::<u64>().ok();
    let epoch = integer("epoch").and_then(|it| u16::try_from(it).ok()).unwrap_or(0);
    Some(Waiting {
        version: Version { epoch, seq: integer("seq")? },
        base: integer("base").unwrap_or(0),
        hash: text("hash")?,
        event: text("event")?,
        parked: waits.get("parked").and_then(|it| it.as_bool().ok()).copied().unwrap_or(false),
    })
}
