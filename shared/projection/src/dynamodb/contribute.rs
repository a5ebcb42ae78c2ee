//! The Delta join by a contribution ledger: one transaction replaces contributors' child items and adds the
//! differences to the totals.

use super::{
    Attributes, CONFLICT_RETRIES, DynamoStore, backoff, compare, decimal, exhausted, failure, key_in, key_of,
    number, version_in,
};
use crate::join::Contribution;
use crate::key::Key;
use crate::store::{Outcome, StoreError, Written};
use aws_sdk_dynamodb::error::BuildError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    AttributeValue, CancellationReason, KeysAndAttributes, Put, ReturnConsumedCapacity,
    ReturnValuesOnConditionCheckFailure as OnFailure, TransactWriteItem, Update,
};
use contracts::Version;
use rust_decimal::Decimal;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;

/// The items that a transaction may hold.
const TRANSACTION_ITEMS: usize = 100;

/// From how many contributions on their child items are looked at first: one that is stored already, or is to be replaced,
/// has a transaction cancelled, which costs as much as one that isn't. A look costs a tenth of that.
const LOOK_FROM: usize = 10;

/// The items that one `BatchGetItem` reads.
const LOOKED_AT_ONCE: usize = 100;

/// A contributor whose contribution is not stored yet.
struct Pending<'a> {
    index: usize,
    new: &'a Contribution,
    stored: Option<Known>,
}

/// What a contributor's child item says now.
struct Known {
    version: Version,
    amounts: HashMap<String, HashMap<String, Decimal>>,
}

pub(super) async fn run(
    store: &DynamoStore,
    table: &str,
    all: &[Contribution],
) -> Result<Written, StoreError> {
    let mut written = Written { outcomes: vec![Outcome::Applied; all.len()], units: 0.0 };
    let mut rest: Vec<Pending<'_>> =
        all.iter().enumerate().map(|(index, new)| Pending { index, new, stored: None }).collect();
    if rest.len() >= LOOK_FROM {
        look(store, table, &mut rest, &mut written).await?;
    }
    // Those that feed the same totals share a transaction, and the write to each of these.
    rest.sort_by_cached_key(|it| it.new.amounts.iter().map(|amount| &amount.total).collect::<BTreeSet<_>>());
    while !rest.is_empty() {
        let take = fitting(&rest);
        if take == 0 {
            let reason = format!("one contribution feeds more than {} totals", TRANSACTION_ITEMS - 1);
            return Err(StoreError::Refused {
                operation: "TransactWriteItems",
                table: table.to_owned(),
                reason,
            });
        }
        let later = rest.split_off(take);
        settle(store, table, rest, &mut written).await?;
        rest = later;
    }
    Ok(written)
}

/// How many contributions fit into one transaction with the totals that they feed.
fn fitting(pending: &[Pending<'_>]) -> usize {
    let mut totals = BTreeSet::new();
    pending
        .iter()
        .enumerate()
        .take_while(|(position, it)| {
            totals.extend(it.new.amounts.iter().map(|amount| &amount.total));
            position + 1 + totals.len() <= TRANSACTION_ITEMS
        })
        .count()
}

/// Looks at the child items: drops what is stored already, remembers what is to be replaced. What isn't read now is taken
/// for not stored.
async fn look(
    store: &DynamoStore,
    table: &str,
    pending: &mut Vec<Pending<'_>>,
    written: &mut Written,
) -> Result<(), StoreError> {
    let mut children: HashMap<Key, Attributes> = HashMap::new();
    for some in pending.chunks(LOOKED_AT_ONCE) {
        let keys = some.iter().map(|it| key_of(&it.new.child())).collect();
        let keys = KeysAndAttributes::builder().set_keys(Some(keys)).consistent_read(true).build();
        let keys = keys.expect("the keys are set");
        let read = store.client.batch_get_item().request_items(table, keys).send().await;
        let read = read.map_err(|error| failure("BatchGetItem", table, error))?;
        let items = read.responses.into_iter().flat_map(HashMap::into_values).flatten();
        children.extend(items.filter_map(|item| Some((key_in(&item)?, item))));
    }
    pending.retain_mut(|it| {
        let Some(stored) = children.remove(&it.new.child()) else { return true };
        let outcome = compare(&stored, ("v", "h"), it.new.version, &it.new.hash);
        it.stored = known(&stored);
        if let Some(outcome) = outcome {
            written.outcomes[it.index] = outcome;
        }
        outcome.is_none()
    });
    Ok(())
}

/// Stores contributions, those that were not looked at as if none had contributed before, since most haven't; where one
/// has, the failed condition tells what to replace.
async fn settle(
    store: &DynamoStore,
    table: &str,
    mut pending: Vec<Pending<'_>>,
    written: &mut Written,
) -> Result<(), StoreError> {
    for attempt in 0..CONFLICT_RETRIES {
        // A contribution that is replaced may have fed totals that the new one doesn't.
        let take = fitting_with_stored(&pending);
        let later = pending.split_off(take);
        let items = transaction(table, &pending).map_err(|error| StoreError::Refused {
            operation: "TransactWriteItems",
            table: table.to_owned(),
            reason: error.to_string(),
        })?;
        let request = store
            .client
            .transact_write_items()
            .set_transact_items(Some(items))
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        match request.send().await {
            Ok(done) => {
                let billed = done.consumed_capacity.unwrap_or_default();
                written.units += billed.iter().filter_map(|it| it.capacity_units).sum::<f64>();
                pending = later;
                if pending.is_empty() {
                    return Ok(());
                }
            }
            Err(error) => {
                let Some(TransactWriteItemsError::TransactionCanceledException(canceled)) =
                    error.as_service_error()
                else {
                    return Err(failure("TransactWriteItems", table, error));
                };
                written.units += 2.0 * f64::from(u16::try_from(pending.len()).unwrap_or(u16::MAX));
                let reasons = canceled.cancellation_reasons().to_vec();
                if let Some(refused) = reasons.iter().find(|it| it.code() == Some("ValidationError")) {
                    let reason = refused.message().unwrap_or("the item is not valid").to_owned();
                    let (operation, table) = ("TransactWriteItems", table.to_owned());
                    return Err(StoreError::Refused { operation, table, reason });
                }
                let learnt = learn(store, table, &mut pending, &reasons, written).await?;
                pending.extend(later);
                if pending.is_empty() {
                    return Ok(());
                }
                if !learnt {
                    backoff(attempt).await;
                }
            }
        }
    }
    Err(exhausted("TransactWriteItems", table))
}

fn fitting_with_stored(pending: &[Pending<'_>]) -> usize {
    let mut totals: BTreeSet<&str> = BTreeSet::new();
    let fit = pending
        .iter()
        .enumerate()
        .take_while(|(position, it)| {
            totals.extend(it.new.amounts.iter().map(|amount| amount.total.as_str()));
            totals.extend(it.stored.iter().flat_map(|stored| stored.amounts.keys()).map(String::as_str));
            position + 1 + totals.len() <= TRANSACTION_ITEMS
        })
        .count();
    fit.max(1)
}

/// Takes what failed conditions tell: drops what is stored already, remembers what is to be replaced. Gives
/// whether anything was learnt.
async fn learn(
    store: &DynamoStore,
    table: &str,
    pending: &mut Vec<Pending<'_>>,
    reasons: &[CancellationReason],
    written: &mut Written,
) -> Result<bool, StoreError> {
    let mut learnt = false;
    let mut kept = Vec::with_capacity(pending.len());
    for (position, mut it) in std::mem::take(pending).into_iter().enumerate() {
        let reason = reasons.get(position);
        if reason.and_then(CancellationReason::code) == Some("ConditionalCheckFailed") {
            learnt = true;
            let stored = match reason.and_then(CancellationReason::item) {
                Some(stored) if !stored.is_empty() => stored.clone(),
                _ => store.item(table, &it.new.child()).await?,
            };
            if let Some(outcome) = compare(&stored, ("v", "h"), it.new.version, &it.new.hash) {
                written.outcomes[it.index] = outcome;
                continue;
            }
            it.stored = known(&stored);
        }
        kept.push(it);
    }
    *pending = kept;
    Ok(learnt)
}

fn known(child: &Attributes) -> Option<Known> {
    let amounts = child.get("from").and_then(|it| it.as_m().ok()).into_iter().flatten();
    let sums = |value: &AttributeValue| -> HashMap<String, Decimal> {
        let parts = value.as_m().ok().into_iter().flatten();
        parts.filter_map(|(name, value)| Some((name.clone(), decimal(value)?))).collect()
    };
    Some(Known {
        version: version_in(child, "v")?,
        amounts: amounts.map(|(total, value)| (total.clone(), sums(value))).collect(),
    })
}

/// The children first, in the order of `pending`, then the totals.
fn transaction(table: &str, pending: &[Pending<'_>]) -> Result<Vec<TransactWriteItem>, BuildError> {
    let mut items = Vec::with_capacity(TRANSACTION_ITEMS);
    for it in pending {
        items.push(TransactWriteItem::builder().put(child(table, it)?).build());
    }
    let Some(ledger) = pending.first().map(|it| &it.new.ledger) else { return Ok(items) };
    for (total, difference) in differences(pending) {
        if let Some(update) = update(table, &Key::new(ledger, total), &difference)? {
            items.push(TransactWriteItem::builder().update(update).build());
        }
    }
    Ok(items)
}

fn child(table: &str, it: &Pending<'_>) -> Result<Put, BuildError> {
    let new = it.new;
    let mut from: HashMap<String, AttributeValue> = HashMap::new();
    for amount in &new.amounts {
        let sums = amount.add.iter().map(|(name, value)| ((*name).to_owned(), number(value))).collect();
        from.insert(amount.total.clone(), AttributeValue::M(sums));
    }
    let mut item = key_of(&new.child());
    item.insert("v".to_owned(), number(&new.version.packed()));
    item.insert("h".to_owned(), AttributeValue::S(new.hash.clone()));
    item.insert("from".to_owned(), AttributeValue::M(from));
    let put = Put::builder()
        .table_name(table)
        .set_item(Some(item))
        .return_values_on_condition_check_failure(OnFailure::AllOld);
    match &it.stored {
        None => put.condition_expression("attribute_not_exists(pk)"),
        Some(stored) => put
            .condition_expression("v = :stored")
            .expression_attribute_values(":stored", number(&stored.version.packed())),
    }
    .build()
}

#[derive(Default)]
struct Difference<'a> {
    add: BTreeMap<&'a str, Decimal>,
    set: BTreeMap<&'a str, &'a str>,
}

fn differences<'a>(pending: &'a [Pending<'_>]) -> BTreeMap<&'a str, Difference<'a>> {
    let mut totals: BTreeMap<&str, Difference<'_>> = BTreeMap::new();
    for it in pending {
        for amount in &it.new.amounts {
            let total = totals.entry(&amount.total).or_default();
            total.set.extend(amount.set.iter().map(|(name, value)| (*name, value.as_str())));
            for (name, value) in &amount.add {
                *total.add.entry(name).or_default() += value;
            }
        }
        for (total, sums) in it.stored.iter().flat_map(|stored| &stored.amounts) {
            let total = totals.entry(total).or_default();
            for (name, value) in sums {
                *total.add.entry(name).or_default() -= value;
            }
        }
    }
    totals
}

fn update(table: &str, key: &Key, difference: &Difference<'_>) -> Result<Option<Update>, BuildError> {
    let add: Vec<_> = difference.add.iter().filter(|(_, value)| !value.is_zero()).collect();
    if add.is_empty() {
        return Ok(None);
    }
    let mut request = Update::builder().table_name(table).set_key(Some(key_of(key)));
    let mut expression = String::new();
    for (position, (name, value)) in difference.set.iter().enumerate() {
        let _ = write!(expression, "{} #s{position} = :s{position}", if position == 0 { "SET" } else { "," });
        request = request
            .expression_attribute_names(format!("#s{position}"), *name)
            .expression_attribute_values(format!(":s{position}"), AttributeValue::S((*value).to_owned()));
    }
    for (position, (name, value)) in add.into_iter().enumerate() {
        let _ = write!(expression, "{} #a{position} :a{position}", if position == 0 { " ADD" } else { "," });
        request = request
            .expression_attribute_names(format!("#a{position}"), *name)
            .expression_attribute_values(format!(":a{position}"), number(value));
    }
    request.update_expression(expression).build().map(Some)
}
