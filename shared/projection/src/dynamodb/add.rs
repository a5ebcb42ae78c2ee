//! The Delta join by a dotted set: one update adds to the totals and remembers the sequence numbers that it added.
//!
//! A few changes are added without a look, on the condition that none of them is remembered; now and then what is
//! remembered is compacted by a write of its own. Many are added to the item as it was read, and compact it.

use super::{
    Attributes, CONFLICT_RETRIES, DynamoStore, backoff, decimal, exhausted, failure, key_of, number,
};
use crate::join::{Dot, Sums};
use crate::key::Key;
use crate::store::{Outcome, StoreError, Written};
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{
    AttributeValue, ReturnConsumedCapacity, ReturnValue, ReturnValuesOnConditionCheckFailure as OnFailure,
};
use rust_decimal::prelude::ToPrimitive;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// The set of remembered sequence numbers is compacted once it holds more than this: a few hundred bytes, so that an
/// item stays within its first KB, and seldom enough to cost little beside the changes.
const COMPACT_ABOVE: usize = 96;

/// From how many changes on the item is looked at first, and compacted by the write that adds them. A look costs a fifth
/// of a write, and as many changes would bring on a sixth of a compaction.
const LOOK_FROM: usize = 16;

/// How often changes are written to an item as it was read, before they are left to updates that nobody else's hinders.
const LOOKS: u32 = 3;

/// How many changes one update may add without a look; a condition holds at most 300 operators, and each change takes
/// three.
const FOLD_AT_MOST: usize = 90;

struct Names {
    applied: String,
    upto: String,
}

/// What an item remembers of a source: all sequence numbers to `upto`, and those beyond it that were applied.
#[derive(Default)]
struct Seen {
    upto: Option<u64>,
    applied: BTreeSet<u64>,
}

pub(super) async fn run(store: &DynamoStore, table: &str, dots: &[Dot]) -> Result<Written, StoreError> {
    let mut outcomes = vec![Outcome::Duplicate; dots.len()];
    let mut units = 0.0;
    let mut first: BTreeMap<u64, usize> = BTreeMap::new();
    for (index, dot) in dots.iter().enumerate() {
        first.entry(dot.seq).or_insert(index);
    }
    let mut rest: Vec<&Dot> = first.values().map(|index| &dots[*index]).collect();
    let mut applied = BTreeSet::new();
    if rest.len() >= LOOK_FROM {
        units += replace(store, table, &mut rest, &mut applied).await?;
    }
    for fold in rest.chunks(FOLD_AT_MOST) {
        let (some, cost) = fold_in(store, table, fold.to_vec()).await?;
        units += cost;
        applied.extend(some);
    }
    for (seq, index) in first {
        if applied.contains(&seq) {
            outcomes[index] = Outcome::Applied;
        }
    }
    Ok(Written { outcomes, units })
}

/// Looks at the item, and adds those of the changes that it hasn't seen, if it still is as it was read. Leaves those that
/// are yet to be added where others keep writing it. Gives what it cost.
async fn replace(
    store: &DynamoStore,
    table: &str,
    dots: &mut Vec<&Dot>,
    applied: &mut BTreeSet<u64>,
) -> Result<f64, StoreError> {
    let Some(first) = dots.first().copied() else { return Ok(0.0) };
    let names = Names::of(first);
    let mut units = 0.0;
    let mut item = store.item(table, &first.key).await?;
    for _ in 0..LOOKS {
        let seen = Seen::in_item(&item, &names);
        dots.retain(|dot| !seen.has(dot.seq));
        if dots.is_empty() {
            break;
        }
        match rewrite(store, table, &names, seen, dots).await? {
            Rewritten::Applied(cost) => {
                applied.extend(dots.drain(..).map(|dot| dot.seq));
                return Ok(units + cost);
            }
            Rewritten::Refused(stored) => {
                units += 1.0;
                item = match stored {
                    Some(stored) => stored,
                    None => store.item(table, &first.key).await?,
                };
            }
        }
    }
    Ok(units)
}

enum Rewritten {
    Applied(f64),
    Refused(Option<Attributes>),
}

/// Adds changes, and writes anew what is remembered, compacted. A set only grows as long as `upto` stays, so that it is
/// the same set where it has the same size.
async fn rewrite(
    store: &DynamoStore,
    table: &str,
    names: &Names,
    seen: Seen,
    dots: &[&Dot],
) -> Result<Rewritten, StoreError> {
    let Some(first) = dots.first() else { return Ok(Rewritten::Applied(0.0)) };
    let before = seen.applied.len();
    let mut upto = seen.upto.unwrap_or(first.base);
    let mut set = seen.applied;
    set.extend(dots.iter().map(|dot| dot.seq));
    while set.remove(&(upto + 1)) {
        upto += 1;
    }
    let mut request = store
        .client
        .update_item()
        .table_name(table)
        .set_key(Some(key_of(&first.key)))
        .expression_attribute_names("#applied", &names.applied)
        .expression_attribute_names("#upto", &names.upto)
        .expression_attribute_values(":upto", number(&upto))
        .return_values_on_condition_check_failure(OnFailure::AllOld)
        .return_consumed_capacity(ReturnConsumedCapacity::Total);
    let mut expression = "SET #upto = :upto".to_owned();
    if set.is_empty() {
        expression.push_str(" REMOVE #applied");
    } else {
        expression.push_str(", #applied = :applied");
        request = request.expression_attribute_values(":applied", numbers(set));
    }
    let mut condition = match seen.upto {
        None => "attribute_not_exists(#upto)".to_owned(),
        Some(upto) => {
            request = request.expression_attribute_values(":before", number(&upto));
            "#upto = :before".to_owned()
        }
    };
    if before == 0 {
        condition.push_str(" AND attribute_not_exists(#applied)");
    } else {
        condition.push_str(" AND size(#applied) = :size");
        request = request.expression_attribute_values(":size", number(&before));
    }
    for (position, (name, value)) in sums(dots).into_iter().enumerate() {
        let _ = write!(expression, "{} #n{position} :n{position}", if position == 0 { " ADD" } else { "," });
        request = request
            .expression_attribute_names(format!("#n{position}"), name)
            .expression_attribute_values(format!(":n{position}"), number(&value));
    }
    match request.update_expression(expression).condition_expression(condition).send().await {
        Ok(done) => {
            let cost = done.consumed_capacity.and_then(|it| it.capacity_units).unwrap_or(1.0);
            Ok(Rewritten::Applied(cost))
        }
        Err(error) => match error.as_service_error() {
            Some(UpdateItemError::ConditionalCheckFailedException(failed)) => {
                Ok(Rewritten::Refused(failed.item().cloned()))
            }
            _ => Err(failure("UpdateItem", table, error)),
        },
    }
}

/// What changes add to each total.
fn sums(dots: &[&Dot]) -> Sums {
    let mut sums = Sums::new();
    for (name, value) in dots.iter().flat_map(|dot| &dot.add) {
        *sums.entry(name).or_default() += value;
    }
    sums
}

/// Adds those of the changes that the item hasn't seen; gives their sequence numbers.
async fn fold_in(
    store: &DynamoStore,
    table: &str,
    mut dots: Vec<&Dot>,
) -> Result<(BTreeSet<u64>, f64), StoreError> {
    let mut units = 0.0;
    for attempt in 0..CONFLICT_RETRIES {
        let Some(first) = dots.first() else { return Ok((BTreeSet::new(), units)) };
        let names = Names::of(first);
        match update(store, table, &first.key, &names, &dots).await? {
            Updated::Applied { seen, cost } => {
                units += cost + compact(store, table, first, &names, seen).await;
                return Ok((dots.iter().map(|dot| dot.seq).collect(), units));
            }
            Updated::Refused(stored) => {
                units += 1.0;
                let stored = match stored {
                    Some(stored) => stored,
                    None => store.item(table, &first.key).await?,
                };
                let seen = Seen::in_item(&stored, &names);
                let before = dots.len();
                dots.retain(|dot| !seen.has(dot.seq));
                if dots.len() == before {
                    backoff(attempt).await;
                }
            }
        }
    }
    Err(exhausted("UpdateItem", table))
}

enum Updated {
    Applied { seen: Seen, cost: f64 },
    Refused(Option<Attributes>),
}

async fn update(
    store: &DynamoStore,
    table: &str,
    key: &Key,
    names: &Names,
    dots: &[&Dot],
) -> Result<Updated, StoreError> {
    let sums = sums(dots);
    let mut expression = "ADD #applied :applied".to_owned();
    let mut condition = "(attribute_not_exists(#upto) OR #upto < :first)".to_owned();
    let mut request = store
        .client
        .update_item()
        .table_name(table)
        .set_key(Some(key_of(key)))
        .expression_attribute_names("#applied", &names.applied)
        .expression_attribute_names("#upto", &names.upto)
        .expression_attribute_values(":applied", numbers(dots.iter().map(|dot| dot.seq)))
        .expression_attribute_values(":first", number(&dots.iter().map(|dot| dot.seq).min().unwrap_or(0)))
        .return_values(ReturnValue::UpdatedNew)
        .return_values_on_condition_check_failure(OnFailure::AllOld)
        .return_consumed_capacity(ReturnConsumedCapacity::Total);
    for (position, (name, value)) in sums.iter().enumerate() {
        let _ = write!(expression, ", #n{position} :n{position}");
        request = request
            .expression_attribute_names(format!("#n{position}"), *name)
            .expression_attribute_values(format!(":n{position}"), number(value));
    }
    for (position, dot) in dots.iter().enumerate() {
        let _ = write!(condition, " AND NOT contains(#applied, :s{position})");
        request = request.expression_attribute_values(format!(":s{position}"), number(&dot.seq));
    }
    match request.update_expression(expression).condition_expression(condition).send().await {
        Ok(done) => {
            let seen = Seen::in_item(&done.attributes.unwrap_or_default(), names);
            let cost = done.consumed_capacity.and_then(|it| it.capacity_units).unwrap_or(1.0);
            Ok(Updated::Applied { seen, cost })
        }
        Err(error) => match error.as_service_error() {
            Some(UpdateItemError::ConditionalCheckFailedException(failed)) => {
                Ok(Updated::Refused(failed.item().cloned()))
            }
            _ => Err(failure("UpdateItem", table, error)),
        },
    }
}

/// Forgets the run of sequence numbers that follows `upto` without a gap. Leaving it undone does no harm, so a
/// failure is left to the next change. Gives what it cost.
async fn compact(store: &DynamoStore, table: &str, dot: &Dot, names: &Names, seen: Seen) -> f64 {
    if seen.applied.len() <= COMPACT_ABOVE {
        return 0.0;
    }
    let key = &dot.key;
    // The answer of an update holds only what it changed, so `upto` has to be looked up.
    let Ok(item) = store.item(table, key).await else { return 0.0 };
    let seen = Seen::in_item(&item, names);
    let from = seen.upto.unwrap_or(dot.base);
    let run: Vec<u64> =
        seen.applied.iter().copied().zip(from + 1..).take_while(|(a, b)| a == b).map(|it| it.0).collect();
    let Some(upto) = run.last().copied() else { return 0.0 };
    let mut request = store
        .client
        .update_item()
        .table_name(table)
        .set_key(Some(key_of(key)))
        .update_expression("SET #upto = :upto DELETE #applied :run")
        .expression_attribute_names("#upto", &names.upto)
        .expression_attribute_names("#applied", &names.applied)
        .expression_attribute_values(":upto", number(&upto))
        .expression_attribute_values(":run", numbers(run))
        .return_consumed_capacity(ReturnConsumedCapacity::Total);
    request = match seen.upto {
        None => request.condition_expression("attribute_not_exists(#upto)"),
        Some(upto) => request
            .condition_expression("#upto = :before")
            .expression_attribute_values(":before", number(&upto)),
    };
    match request.send().await {
        Ok(done) => done.consumed_capacity.and_then(|it| it.capacity_units).unwrap_or(1.0),
        Err(error) => {
            tracing::debug!(table, %key, error = %error, "a dotted set was not compacted; the next change will try");
            1.0
        }
    }
}

fn numbers(values: impl IntoIterator<Item = u64>) -> AttributeValue {
    AttributeValue::Ns(values.into_iter().map(|value| value.to_string()).collect())
}

impl Names {
    fn of(dot: &Dot) -> Self {
        let set = dot.set();
        Self { applied: format!("applied{set}"), upto: format!("upto{set}") }
    }
}

impl Seen {
    fn in_item(item: &Attributes, names: &Names) -> Self {
        let applied = item.get(&names.applied).and_then(|it| it.as_ns().ok());
        Self {
            upto: item.get(&names.upto).and_then(decimal).and_then(|it| it.to_u64()),
            applied: applied.into_iter().flatten().filter_map(|text| text.parse().ok()).collect(),
        }
    }

    fn has(&self, seq: u64) -> bool {
        self.upto.is_some_and(|upto| seq <= upto) || self.applied.contains(&seq)
    }
}
