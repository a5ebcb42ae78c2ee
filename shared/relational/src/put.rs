//! The State join: one statement, whose condition is the guard.

use crate::error::{failure, unfit};
use crate::item::{Columns, name_of, text};
use crate::store::{Name, PostgresStore, Stamp, possible, written};
use projection::join::{Body, Put};
use projection::store::{Outcome, StoreError, Written};
use serde_dynamo::AttributeValue;
use sqlx::Row as _;
use std::collections::HashMap;

const OPERATION: &str = "put";

/// The item belongs to one source: it is replaced as a whole.
const WHOLE: &str = "
    WITH written AS (
        INSERT INTO {t} AS t (pk, sk, v, h, d, ttl, item) VALUES ($1, $2, $3::numeric, $4, $5, $6, $7::jsonb)
        ON CONFLICT (pk, sk) DO UPDATE SET v = EXCLUDED.v, h = EXCLUDED.h, d = EXCLUDED.d, ttl = EXCLUDED.ttl,
            item = EXCLUDED.item, joins = '{}', last = NULL
        WHERE t.v < EXCLUDED.v RETURNING 1)
    SELECT (SELECT count(*) FROM written) > 0, t.v::text, t.h
    FROM (SELECT 1) one LEFT JOIN {t} t ON t.pk = $1 AND t.sk = $2";

/// The item is shared: only what is this source's is touched.
const PART: &str = "
    WITH written AS (
        INSERT INTO {t} AS t (pk, sk, item, joins) VALUES ($1, $2, $3::jsonb, $4::jsonb)
        ON CONFLICT (pk, sk) DO UPDATE SET item = (t.item - $5) || EXCLUDED.item, joins = (t.joins - $6) || EXCLUDED.joins
        WHERE coalesce((t.joins ->> $7)::numeric, -1) < $8::numeric RETURNING 1)
    SELECT (SELECT count(*) FROM written) > 0, t.joins ->> $7, t.joins ->> $9
    FROM (SELECT 1) one LEFT JOIN {t} t ON t.pk = $1 AND t.sk = $2";

pub(crate) async fn run(store: &PostgresStore, table: &Name, put: &Put) -> Result<Written, StoreError> {
    possible(OPERATION, table, &put.key)?;
    let unfit = |error| unfit(OPERATION, &table.plain, error);
    let failed = |error| failure(OPERATION, &table.plain, error);
    let packed = put.version.packed().to_string();
    let (query, stamp) = match put.source {
        None => {
            let view = match &put.body {
                Body::View(view) => Columns::of(view.inner()).map_err(unfit)?.item,
                Body::Tombstone => "{}".to_owned(),
            };
            let gone = put.body == Body::Tombstone;
            let query = table.on(WHOLE, &put.key).bind(packed).bind(text(&put.hash).into_owned());
            let query = query.bind(gone).bind(gone.then(|| store.expiry())).bind(view);
            (query, ("v".to_owned(), "h".to_owned()))
        }
        Some(source) => {
            let of = |join: &str| format!("{join}_{source}");
            let mut attributes = HashMap::from([
                (of("v"), AttributeValue::N(packed.clone())),
                (of("h"), AttributeValue::S(put.hash.clone())),
            ]);
            match &put.body {
                Body::View(view) => {
                    attributes.insert(source.to_owned(), AttributeValue::M(view.inner().clone()))
                }
                Body::Tombstone => attributes.insert(of("d"), AttributeValue::Bool(true)),
            };
            let columns = Columns::of(&attributes).map_err(unfit)?;
            let query = table.on(PART, &put.key).bind(columns.item).bind(columns.joins);
            let query = query
                .bind(name_of(source).into_owned())
                .bind(of("d"))
                .bind(of("v"))
                .bind(packed)
                .bind(of("h"));
            let column = |join: &str| format!("joins ->> '{}'", of(join).replace('\'', "''"));
            (query, (column("v"), column("h")))
        }
    };
    let row = query.fetch_one(store.pool()).await.map_err(failed)?;
    if row.try_get(0).map_err(failed)? {
        return Ok(written(vec![Outcome::Applied], 1));
    }
    let mut outcome = Stamp::at(&row, 1).map_err(failed)?.compare(put.version, &put.hash);
    if outcome.is_none() {
        // Another write came between this one's look and its guard.
        let stamp = store.stamp(OPERATION, table, &put.key, (&stamp.0, &stamp.1)).await?;
        outcome = stamp.compare(put.version, &put.hash);
    }
    // What was swept meanwhile is gone for good reason: what came is older than it.
    Ok(written(vec![outcome.unwrap_or(Outcome::Stale(None))], 1))
}
