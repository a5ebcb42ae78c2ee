//! The Delta join by a contribution ledger: one statement replaces contributors' child items, each guarded by its version,
//! and adds the differences to the totals.

use crate::error::{failure, unfit};
use crate::item::{object, text};
use crate::store::{Name, PostgresStore, Stamp, possible, written};
use projection::join::Contribution;
use projection::store::{Outcome, StoreError, Written};
use serde_dynamo::AttributeValue;
use sqlx::Row as _;
use std::collections::{BTreeMap, BTreeSet, HashMap};

const OPERATION: &str = "contribute";

/// The totals that one contribution may feed: as many as in DynamoDB, so that a projection fits either.
const TOTALS: usize = 99;

/// How many contributions one statement takes.
const AT_ONCE: usize = 100;

/// A child keeps in `last` what it contributed before, made from the row as it is when it is locked. Children are locked
/// before totals, each in the order of their keys, so that no two statements wait for one another. Names of totals and
/// attributes that begin with `$` have another one in JSON.
const CONTRIBUTE: &str = "
    WITH given AS (SELECT * FROM unnest($2::text[], $3::text[], $4::text[], $5::text[]) AS it (sk, v, h, feeds)),
    child AS (
        INSERT INTO {t} AS t (pk, sk, v, h, joins)
        SELECT $1, sk, v::numeric, h, jsonb_build_object('from', feeds::jsonb) FROM given ORDER BY sk
        ON CONFLICT (pk, sk) DO UPDATE
            SET v = EXCLUDED.v, h = EXCLUDED.h, joins = EXCLUDED.joins, last = t.joins -> 'from'
        WHERE t.v < EXCLUDED.v RETURNING sk, joins -> 'from' AS now, last AS was),
    moved AS (
        SELECT total, name, sum(value) AS value FROM (
            SELECT total.key AS total, it.key AS name, it.value::numeric AS value
            FROM child, jsonb_each(child.now) total, jsonb_each_text(total.value) it
            UNION ALL
            SELECT total.key, it.key, -it.value::numeric
            FROM child, jsonb_each(child.was) total, jsonb_each_text(total.value) it
        ) both_ways GROUP BY total, name HAVING sum(value) <> 0),
    fixed AS (SELECT * FROM unnest($6::text[], $7::text[]) AS it (total, attributes)),
    fed AS (
        INSERT INTO {t} AS t (pk, sk, item)
        SELECT $1, regexp_replace(total, '^\\$', ''),
            coalesce((SELECT attributes::jsonb FROM fixed WHERE fixed.total = sums.total), '{}') || sums.item
        FROM (SELECT total, jsonb_object_agg(name, value) AS item FROM moved GROUP BY total) sums
        ORDER BY 2
        ON CONFLICT (pk, sk) DO UPDATE SET item = t.item || EXCLUDED.item || (
            SELECT jsonb_object_agg(it.key, it.value::numeric + coalesce((t.item ->> it.key)::numeric, 0))
            FROM jsonb_each(EXCLUDED.item) it WHERE jsonb_typeof(it.value) = 'number')
        RETURNING 1)
    SELECT given.sk, child.sk IS NOT NULL, t.v::text, t.h, (SELECT count(*) FROM fed)
    FROM given LEFT JOIN child USING (sk) LEFT JOIN {t} t ON t.pk = $1 AND t.sk = given.sk";

pub(crate) async fn run(
    store: &PostgresStore,
    table: &Name,
    all: &[Contribution],
) -> Result<Written, StoreError> {
    let mut outcomes = Vec::with_capacity(all.len());
    let mut rows = 0;
    for some in all.chunks(AT_ONCE) {
        rows += settle(store, table, some, &mut outcomes).await?;
    }
    Ok(written(outcomes, rows))
}

async fn settle(
    store: &PostgresStore,
    table: &Name,
    some: &[Contribution],
    outcomes: &mut Vec<Outcome>,
) -> Result<usize, StoreError> {
    let Some(ledger) = some.first().map(|it| it.ledger.as_str()) else { return Ok(0) };
    let failed = |error| failure(OPERATION, &table.plain, error);
    let unfit = |error| unfit(OPERATION, &table.plain, error);
    let (mut keys, mut versions, mut hashes, mut feeds) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut fixed: BTreeMap<String, BTreeMap<&str, AttributeValue>> = BTreeMap::new();
    for new in some {
        possible(OPERATION, table, &new.child())?;
        let totals: BTreeSet<&str> = new.amounts.iter().map(|it| it.total.as_str()).collect();
        if totals.len() > TOTALS {
            let reason = format!("one contribution feeds more than {TOTALS} totals");
            return Err(StoreError::Refused { operation: OPERATION, table: table.plain.clone(), reason });
        }
        let mut from: HashMap<&str, AttributeValue> = HashMap::new();
        for amount in &new.amounts {
            let number = |value: &rust_decimal::Decimal| AttributeValue::N(value.to_string());
            let sums = amount.add.iter().map(|(name, value)| ((*name).to_owned(), number(value))).collect();
            from.insert(&amount.total, AttributeValue::M(sums));
            let set = fixed.entry(crate::item::name_of(&amount.total).into_owned()).or_default();
            set.extend(amount.set.iter().map(|(name, value)| (*name, AttributeValue::S(value.clone()))));
        }
        keys.push(text(&new.child().sk).into_owned());
        versions.push(new.version.packed().to_string());
        hashes.push(text(&new.hash).into_owned());
        feeds.push(object(from.iter().map(|(name, value)| (*name, value))).map_err(unfit)?);
    }
    fixed.retain(|_, set| !set.is_empty());
    let attributes = fixed.values().map(|set| object(set.iter().map(|(name, value)| (*name, value))));
    let attributes: Vec<String> = attributes.collect::<Result<_, _>>().map_err(unfit)?;
    let totals: Vec<String> = fixed.into_keys().collect();
    let query = sqlx::query(table.in_sql(CONTRIBUTE)).bind(text(ledger).into_owned());
    let query = query.bind(&keys).bind(versions).bind(hashes).bind(feeds).bind(totals).bind(attributes);
    let answer = query.fetch_all(store.pool()).await.map_err(failed)?;
    let mut told: HashMap<String, (bool, Stamp)> = HashMap::with_capacity(answer.len());
    let mut rows = 0;
    for row in &answer {
        let applied = row.try_get(1).map_err(failed)?;
        rows += usize::from(applied);
        told.insert(row.try_get(0).map_err(failed)?, (applied, Stamp::at(row, 2).map_err(failed)?));
    }
    if let Some(row) = answer.first() {
        rows += usize::try_from(row.try_get::<i64, _>(4).map_err(failed)?).unwrap_or(0);
    }
    for (new, key) in some.iter().zip(&keys) {
        let mut outcome = match told.get(key) {
            Some((true, _)) => Some(Outcome::Applied),
            Some((false, stamp)) => stamp.compare(new.version, &new.hash),
            None => None,
        };
        if outcome.is_none() {
            // Another write came between this one's look and its guard.
            let stamp = store.stamp(OPERATION, table, &new.child(), ("v", "h")).await?;
            outcome = stamp.compare(new.version, &new.hash);
        }
        outcomes.push(outcome.unwrap_or(Outcome::Stale(None)));
    }
    Ok(rows)
}
