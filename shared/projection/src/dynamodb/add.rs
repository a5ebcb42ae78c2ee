//! The Delta join by a dotted set: one update adds to the totals and remembers the sequence numbers that it added.

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

/// How many changes one update may add; a condition holds at most 300 operators, and each change takes three.
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
    let distinct: Vec<usize> = first.into_values().collect();
    for fold in distinct.chunks(FOLD_AT_MOST) {
        let folded: Vec<&Dot> = fold.iter().map(|index| &dots[*index]).collect();
        let (applied, cost) = fold_in(store, table, folded).await?;
        units += cost;
        for index in fold {
            if applied.contains(&dots[*index].seq) {
                outcomes[*index] = Outcome::Applied;
            }
        }
    }
    Ok(Written { outcomes, units })
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
    let mut sums = Sums::new();
    for (name, value) in dots.iter().flat_map(|dot| &dot.add) {
        *sums.entry(name).or_default() += value;
    }
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
