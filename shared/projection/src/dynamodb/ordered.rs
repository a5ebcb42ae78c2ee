//! Items that are folded in the order of their changes, and the changes that wait for their turn beside them.

use super::{Attributes, DynamoStore, failure, key_of, number, version_in};
use crate::join::{Step, is_reserved};
use crate::key::Key;
use crate::store::{Head, Ordered, Outcome, StoreError, Waiting, Written};
use async_trait::async_trait;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::{
    AttributeValue, ConsumedCapacity, DeleteRequest, ReturnConsumedCapacity,
    ReturnValuesOnConditionCheckFailure as OnFailure, WriteRequest,
};
use std::collections::HashMap;

/// How many changes one look at what waits reads at most; it ends sooner at 1 MB.
const LOOK: i32 = 250;

/// How many items one `BatchWriteItem` removes: DynamoDB's limit.
const REMOVED_AT_ONCE: usize = 25;

/// The attribute of a change that waits, a map: so that it is in no index, and no view has it.
const WAITS: &str = "waits";

#[async_trait]
impl Ordered for DynamoStore {
    async fn head(&self, table: &str, key: &Key) -> Result<Option<Head>, StoreError> {
        let mut item = self.item(table, key).await?;
        let Some(version) = version_in(&item, "v") else { return Ok(None) };
        let hash = item.get("h").and_then(|it| it.as_s().ok()).cloned().unwrap_or_default();
        item.retain(|name, _| !is_reserved(name));
        Ok(Some(Head { version, hash, view: item.into() }))
    }

    async fn advance(
        &self,
        table: &str,
        key: &Key,
        before: Option<u64>,
        next: &Head,
    ) -> Result<Written, StoreError> {
        let mut item: Attributes = next.view.clone().into();
        item.extend(key_of(key));
        item.insert("v".to_owned(), number(&next.version.packed()));
        item.insert("h".to_owned(), AttributeValue::S(next.hash.clone()));
        item.insert("upto".to_owned(), number(&next.version.seq));
        let request = self
            .client
            .put_item()
            .table_name(table)
            .set_item(Some(item))
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        let request = match before {
            None => request.condition_expression("attribute_not_exists(pk)"),
            Some(seq) => request
                .condition_expression("upto = :before")
                .expression_attribute_values(":before", number(&seq)),
        };
        match request.send().await {
            Ok(done) => Ok(written(Outcome::Applied, done.consumed_capacity())),
            Err(error) if error.as_service_error().is_some_and(is_failed_condition) => {
                Ok(written(Outcome::Stale(None), None))
            }
            Err(error) => Err(failure("PutItem", table, error)),
        }
    }

    async fn waiting(&self, table: &str, key: &Key) -> Result<Vec<Waiting>, StoreError> {
        let request = self
            .client
            .query()
            .table_name(table)
            .consistent_read(true)
            .key_condition_expression("pk = :pk AND begins_with(sk, :gap)")
            .expression_attribute_values(":pk", AttributeValue::S(key.pk.clone()))
            .expression_attribute_values(":gap", AttributeValue::S(format!("{}{}", key.sk, Step::GAP)))
            .limit(LOOK);
        let page = request.send().await.map_err(|error| failure("Query", table, error))?;
        Ok(page.items().iter().filter_map(waiting_in).collect())
    }

    async fn wait(&self, table: &str, key: &Key, waiting: &Waiting) -> Result<Written, StoreError> {
        let text = |text: &String| AttributeValue::S(text.clone());
        let waits = HashMap::from([
            ("seq".to_owned(), number(&waiting.seq)),
            ("hash".to_owned(), text(&waiting.hash)),
            ("event".to_owned(), text(&waiting.event)),
            ("parked".to_owned(), AttributeValue::Bool(waiting.parked)),
        ]);
        let mut item = key_of(&Step::waiting(key, waiting.seq));
        item.insert(WAITS.to_owned(), AttributeValue::M(waits));
        let request = self
            .client
            .put_item()
            .table_name(table)
            .set_item(Some(item))
            .return_values_on_condition_check_failure(OnFailure::AllOld)
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        let request = if waiting.parked {
            request
                .condition_expression(
                    "attribute_not_exists(pk) OR (waits.#hash = :hash AND waits.parked = :not_yet)",
                )
                .expression_attribute_names("#hash", "hash")
                .expression_attribute_values(":hash", text(&waiting.hash))
                .expression_attribute_values(":not_yet", AttributeValue::Bool(false))
        } else {
            request.condition_expression("attribute_not_exists(pk)")
        };
        match request.send().await {
            Ok(done) => Ok(written(Outcome::Applied, done.consumed_capacity())),
            Err(error) => {
                let stored = match error.as_service_error() {
                    Some(PutItemError::ConditionalCheckFailedException(failed)) => failed.item().cloned(),
                    _ => return Err(failure("PutItem", table, error)),
                };
                let stored = match stored {
                    Some(stored) => stored,
                    None => self.item(table, &Step::waiting(key, waiting.seq)).await?,
                };
                // One that is gone meanwhile is in the item: a look at that tells more.
                let forked = waiting_in(&stored).is_some_and(|it| it.hash != waiting.hash);
                Ok(written(if forked { Outcome::Forked } else { Outcome::Duplicate }, None))
            }
        }
    }

    async fn forget(&self, table: &str, key: &Key, seqs: &[u64]) -> Result<f64, StoreError> {
        let mut units = 0.0;
        for some in seqs.chunks(REMOVED_AT_ONCE) {
            let remove = |seq: &u64| {
                let request = DeleteRequest::builder().set_key(Some(key_of(&Step::waiting(key, *seq))));
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
    Some(Waiting {
        seq: waits.get("seq")?.as_n().ok()?.parse().ok()?,
        hash: text("hash")?,
        event: text("event")?,
        parked: waits.get("parked").and_then(|it| it.as_bool().ok()).copied().unwrap_or(false),
    })
}
