//! Creates, removes and sweeps tables.

use crate::error::failure;
use crate::store::{Name, PostgresStore};
use contracts::digest;
use projection::Table;
use projection::store::StoreError;
use std::fmt::Write as _;

/// Keys and digests are compared byte by byte, as in DynamoDB. `v` to `joins` are an item, see [`crate::item`]; `last` is
/// what the last write of a total or a contributor found.
const TABLE: &str = "
    CREATE TABLE IF NOT EXISTS {t} (
        pk text COLLATE \"C\" NOT NULL,
        sk text COLLATE \"C\" NOT NULL,
        v numeric(20, 0),
        h text COLLATE \"C\",
        d boolean NOT NULL DEFAULT false,
        ttl bigint,
        item jsonb NOT NULL DEFAULT '{}',
        joins jsonb NOT NULL DEFAULT '{}',
        last jsonb,
        PRIMARY KEY (pk, sk));";

/// Creates a table where there is none, and the indexes that it lacks; those that do so at once wait for one another.
pub(crate) async fn create(store: &PostgresStore, name: &Name, table: &Table) -> Result<(), StoreError> {
    let mut sql = format!("SELECT pg_advisory_xact_lock(hashtext('tributary tables')); {TABLE}");
    let index = |index: &str| format!("i{}", digest::short(&[name.plain.as_bytes(), index.as_bytes()]));
    let _ = write!(sql, "CREATE INDEX IF NOT EXISTS {} ON {{t}} (ttl) WHERE ttl IS NOT NULL;", index(""));
    for it in &table.indexes {
        let attribute = |name: &str| name.replace('\'', "''");
        let (partition, sort) = (attribute(it.partition), attribute(it.sort));
        let _ = write!(
            sql,
            "CREATE INDEX IF NOT EXISTS \"{}\" ON {{t}} ((item ->> '{partition}'), (item -> '{sort}'))
             WHERE item ? '{partition}' AND item ? '{sort}';",
            index(it.name)
        );
    }
    let done = sqlx::raw_sql(name.in_sql(&sql)).execute(store.pool()).await;
    done.map(drop).map_err(|error| failure("create table", &name.plain, error))
}

/// Removes a table with all that is in it, unless there is none of that name.
pub(crate) async fn delete(store: &PostgresStore, name: &Name) -> Result<(), StoreError> {
    let done = sqlx::raw_sql(name.in_sql("DROP TABLE IF EXISTS {t}")).execute(store.pool()).await;
    done.map(drop).map_err(|error| failure("delete table", &name.plain, error))
}

/// Removes the items whose time is over.
pub(crate) async fn sweep(store: &PostgresStore, name: &Name, now: i64) -> Result<u64, StoreError> {
    let swept = sqlx::query(name.in_sql("DELETE FROM {t} WHERE ttl < $1")).bind(now).execute(store.pool());
    swept.await.map(|it| it.rows_affected()).map_err(|error| failure("sweep", &name.plain, error))
}
