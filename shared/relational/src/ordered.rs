//! Items that are folded in the order of their changes, and the changes that are kept beside them: rows of the same table,
//! under the same keys as in DynamoDB.

use crate::error::{failure, unfit};
use crate::item::{Columns, object, text};
use crate::store::{Name, PostgresStore, possible, written};
use async_trait::async_trait;
use contracts::Version;
use projection::store::{Head, Ordered, Outcome, StoreError, Waiting, Written};
use projection::{Key, Step};
use serde_dynamo::AttributeValue;
use sqlx::Row as _;
use std::collections::HashMap;
use std::ops::RangeInclusive;

/// How many changes one look at what is kept reads at most.
const LOOK: i64 = 250;

/// What is kept beside an item, a change or the item's base.
const WAITS: &str = "waits";

/// Writes the item if it is as it was read, how far it had come and what waited in it, and its base with it.
const ADVANCE: &str = "
    WITH head AS (
        UPDATE {t} SET v = $3::numeric, h = $4, item = $5::jsonb, joins = $6::jsonb
        WHERE pk = $1 AND sk = $2 AND joins -> 'upto' = $9::jsonb -> 'upto'
            AND joins -> 'upto_early' IS NOT DISTINCT FROM $9::jsonb -> 'upto_early'
        RETURNING 1),
    base AS (
        INSERT INTO {t} AS t (pk, sk, joins) SELECT $1, $7, $8::jsonb FROM head WHERE $8 IS NOT NULL
        ON CONFLICT (pk, sk) DO UPDATE SET joins = EXCLUDED.joins RETURNING 1)
    SELECT (SELECT count(*) FROM head), (SELECT count(*) FROM base)";

/// The same, where there is no item.
const BEGIN: &str = "
    WITH head AS (
        INSERT INTO {t} (pk, sk, v, h, item, joins) VALUES ($1, $2, $3::numeric, $4, $5::jsonb, $6::jsonb)
        ON CONFLICT DO NOTHING RETURNING 1),
    base AS (
        INSERT INTO {t} AS t (pk, sk, joins) SELECT $1, $7, $8::jsonb FROM head WHERE $8 IS NOT NULL
        ON CONFLICT (pk, sk) DO UPDATE SET joins = EXCLUDED.joins RETURNING 1)
    SELECT (SELECT count(*) FROM head), (SELECT count(*) FROM base)";

/// What is parked for the first time is as it waited; what takes the place of one that is parked is another.
const WAIT: &str = "
    INSERT INTO {t} AS t (pk, sk, joins) VALUES ($1, $2, $3::jsonb)
    ON CONFLICT (pk, sk) DO UPDATE SET joins = EXCLUDED.joins
    WHERE (t.joins -> 'waits' ->> 'hash' = $4) = $5 AND (t.joins -> 'waits' -> 'parked')::boolean <> $5
    RETURNING 1";

impl PostgresStore {
    async fn attributes(
        &self,
        operation: &'static str,
        table: &Name,
        key: &Key,
    ) -> Result<HashMap<String, AttributeValue>, StoreError> {
        const SQL: &str =
            "SELECT pk, sk, v::text, h, d, ttl, item::text, joins::text FROM {t} WHERE pk = $1 AND sk = $2";
        let failed = |error| failure(operation, &table.plain, error);
        let row = table.on(SQL, key).fetch_optional(self.pool()).await.map_err(failed)?;
        let Some(row) = row else { return Ok(HashMap::new()) };
        let (_, columns) = crate::store::stored(&row).map_err(failed)?;
        columns.item().map_err(|error| unfit(operation, &table.plain, error))
    }
}

#[async_trait]
impl Ordered for PostgresStore {
    async fn head(&self, table: &str, key: &Key) -> Result<Option<Head>, StoreError> {
        Ok(Head::read(self.attributes("head", &Name::of("head", table)?, key).await?))
    }

    async fn base(&self, table: &str, key: &Key) -> Result<Option<Head>, StoreError> {
        let key = Step::beside(key, Version::NONE);
        let mut item = self.attributes("base", &Name::of("base", table)?, &key).await?;
        Ok(match item.remove(WAITS) {
            Some(AttributeValue::M(base)) => Head::read(base),
            _ => None,
        })
    }

    async fn advance(
        &self,
        table: &str,
        key: &Key,
        before: Option<&Head>,
        next: &Head,
        base: Option<&Head>,
    ) -> Result<Written, StoreError> {
        const OPERATION: &str = "advance";
        let name = Name::of(OPERATION, table)?;
        possible(OPERATION, &name, key)?;
        let unfit = |error| unfit(OPERATION, table, error);
        let failed = |error| failure(OPERATION, table, error);
        let columns = Columns::of(&next.attributes()).map_err(unfit)?;
        let base = base.map(|base| beside(base.attributes())).transpose().map_err(unfit)?;
        let beside = text(&Step::beside(key, Version::NONE).sk).into_owned();
        let sql = if before.is_some() { ADVANCE } else { BEGIN };
        let query = name.on(sql, key).bind(columns.v).bind(columns.h).bind(columns.item).bind(columns.joins);
        let mut query = query.bind(beside).bind(base);
        if let Some(before) = before {
            let mut read = before.attributes();
            read.retain(|name, _| name == "upto" || name == Head::EARLY);
            query = query.bind(object(&read).map_err(unfit)?);
        }
        let row = query.fetch_one(self.pool()).await.map_err(failed)?;
        let (head, base): (i64, i64) = (row.try_get(0).map_err(failed)?, row.try_get(1).map_err(failed)?);
        let outcome = if head > 0 { Outcome::Applied } else { Outcome::Stale(None) };
        Ok(written(vec![outcome], usize::try_from(head + base).unwrap_or(1).max(1)))
    }

    async fn waiting(
        &self,
        table: &str,
        key: &Key,
        within: RangeInclusive<Version>,
    ) -> Result<Vec<Waiting>, StoreError> {
        const SQL: &str = "
            SELECT joins::text FROM {t} WHERE pk = $1 AND sk BETWEEN $2 AND $3 ORDER BY sk LIMIT $4";
        let failed = |error| failure("waiting", table, error);
        let name = Name::of("waiting", table)?;
        let (first, last) = (Step::beside(key, *within.start()), Step::beside(key, *within.end()));
        let query = name.on(SQL, &first).bind(text(&last.sk).into_owned()).bind(LOOK);
        let rows = query.fetch_all(self.pool()).await.map_err(failed)?;
        let mut all = Vec::with_capacity(rows.len());
        for row in &rows {
            let joins = crate::item::read(row.try_get(0).map_err(failed)?);
            all.extend(waiting_in(&joins.map_err(|error| unfit("waiting", table, error))?));
        }
        Ok(all)
    }

    async fn wait(&self, table: &str, key: &Key, waiting: &Waiting) -> Result<Written, StoreError> {
        const OPERATION: &str = "wait";
        let name = Name::of(OPERATION, table)?;
        let key = Step::beside(key, waiting.version);
        possible(OPERATION, &name, &key)?;
        let joins = beside(waits(waiting)).map_err(|error| unfit(OPERATION, table, error))?;
        let query = name.on(WAIT, &key).bind(joins).bind(text(&waiting.hash).into_owned());
        let row = query.bind(waiting.parked).fetch_optional(self.pool()).await;
        if row.map_err(|error| failure(OPERATION, table, error))?.is_some() {
            return Ok(written(vec![Outcome::Applied], 1));
        }
        // One that is gone meanwhile is in the item: a look at that tells more.
        let stored = waiting_in(&self.attributes(OPERATION, &name, &key).await?);
        let forked = stored.is_some_and(|it| it.hash != waiting.hash);
        Ok(written(vec![if forked { Outcome::Forked } else { Outcome::Duplicate }], 1))
    }

    async fn forget(&self, table: &str, key: &Key, versions: &[Version]) -> Result<f64, StoreError> {
        let name = Name::of("forget", table)?;
        let keys: Vec<String> =
            versions.iter().map(|it| text(&Step::beside(key, *it).sk).into_owned()).collect();
        let query = sqlx::query(name.in_sql("DELETE FROM {t} WHERE pk = $1 AND sk = ANY($2)"));
        let done = query.bind(text(&key.pk).into_owned()).bind(keys).execute(self.pool()).await;
        done.map_err(|error| failure("forget", table, error))?;
        Ok(written(Vec::new(), versions.len()).units)
    }
}

/// The `joins` of a row that is kept beside an item.
fn beside(kept: HashMap<String, AttributeValue>) -> Result<String, crate::item::NoItem> {
    let kept = HashMap::from([(WAITS.to_owned(), AttributeValue::M(kept))]);
    Columns::of(&kept).map(|columns| columns.joins)
}

fn waits(waiting: &Waiting) -> HashMap<String, AttributeValue> {
    let number = |value: u64| AttributeValue::N(value.to_string());
    HashMap::from([
        ("epoch".to_owned(), number(waiting.version.epoch.into())),
        ("seq".to_owned(), number(waiting.version.seq)),
        ("base".to_owned(), number(waiting.base)),
        ("hash".to_owned(), AttributeValue::S(waiting.hash.clone())),
        ("event".to_owned(), AttributeValue::S(waiting.event.clone())),
        ("parked".to_owned(), AttributeValue::Bool(waiting.parked)),
    ])
}

fn waiting_in(item: &HashMap<String, AttributeValue>) -> Option<Waiting> {
    let AttributeValue::M(waits) = item.get(WAITS)? else { return None };
    let text = |name: &str| match waits.get(name) {
        Some(AttributeValue::S(text)) => Some(text.clone()),
        _ => None,
    };
    let integer = |name: &str| match waits.get(name) {
        Some(AttributeValue::N(number)) => number.parse::<u64>().ok(),
        _ => None,
    };
    Some(Waiting {
        version: Version {
            epoch: integer("epoch").and_then(|it| u16::try_from(it).ok())?,
            seq: integer("seq")?,
        },
        base: integer("base")?,
        hash: text("hash")?,
        event: text("event")?,
        parked: waits.get("parked") == Some(&AttributeValue::Bool(true)),
    })
}
