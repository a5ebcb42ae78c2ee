//! Creates, removes and sweeps tables.

use crate::error::failure;
use crate::store::{Name, PostgresStore, quoted};
use contracts::digest;
use projection::Table;
use projection::store::StoreError;
use sqlx::Row as _;
use sqlx::postgres::PgRow;
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

/// Who reads is let in by IAM where there is such a thing, has one schema, and of its tables those that are granted.
const READER: &str = "
    DO $$ BEGIN
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = {name}) THEN CREATE ROLE {r} LOGIN; END IF;
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'rds_iam') THEN GRANT rds_iam TO {r}; END IF;
    END $$;
    GRANT SELECT ON {t} TO {r};";

/// Creates a table where there is none, and the indexes that it lacks; those that do so at once wait for one another.
pub(crate) async fn create(store: &PostgresStore, name: &Name, table: &Table) -> Result<(), StoreError> {
    let mut sql = format!("SELECT pg_advisory_xact_lock(hashtext('tributary tables')); {TABLE}");
    let index = |index: &str| format!("i{}", digest::short(&[name.plain.as_bytes(), index.as_bytes()]));
    let _ = write!(sql, "CREATE INDEX IF NOT EXISTS {} ON {{t}} (ttl) WHERE ttl IS NOT NULL;", index(""));
    for it in &table.indexes {
        let (partition, sort) = (text(it.partition), text(it.sort));
        let _ = write!(
            sql,
            "CREATE INDEX IF NOT EXISTS \"{}\" ON {{t}} ((item ->> {partition}), (item -> {sort}))
             WHERE item ? {partition} AND item ? {sort};",
            index(it.name)
        );
    }
    if let Some(reader) = store.reader() {
        sql.push_str(&READER.replace("{name}", &text(reader)).replace("{r}", &quoted(reader)));
    }
    let done = sqlx::raw_sql(name.in_sql(&sql)).execute(store.pool()).await;
    done.map(drop).map_err(|error| failure("create table", &name.plain, error))
}

/// A text in SQL.
fn text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Removes a table with all that is in it, unless there is none of that name.
pub(crate) async fn delete(store: &PostgresStore, name: &Name) -> Result<(), StoreError> {
    let done = sqlx::raw_sql(name.in_sql("DROP TABLE IF EXISTS {t}")).execute(store.pool()).await;
    done.map(drop).map_err(|error| failure("delete table", &name.plain, error))
}

/// The tables whose names begin so, with the numbers of items that PostgreSQL noted last.
pub(crate) async fn named(store: &PostgresStore, beginning: &str) -> Result<Vec<(String, u64)>, StoreError> {
    const SQL: &str = "
        SELECT relname::text, greatest(reltuples, 0)::bigint FROM pg_class
        WHERE relkind = 'r' AND starts_with(relname::text, $1) AND pg_table_is_visible(oid) ORDER BY 1";
    let failed = |error| failure("tables", beginning, error);
    let rows = sqlx::query(SQL).bind(beginning).fetch_all(store.pool()).await.map_err(failed)?;
    let named = |row: &PgRow| {
        let items: i64 = row.try_get(1)?;
        Ok((row.try_get(0)?, u64::try_from(items).unwrap_or_default()))
    };
    rows.iter().map(named).collect::<Result<_, _>>().map_err(failed)
}

/// Removes the items whose time is over.
pub(crate) async fn sweep(store: &PostgresStore, name: &Name, now: i64) -> Result<u64, StoreError> {
    let swept = sqlx::query(name.in_sql("DELETE FROM {t} WHERE ttl < $1")).bind(now).execute(store.pool());
    swept.await.map(|it| it.rows_affected()).map_err(|error| failure("sweep", &name.plain, error))
}
