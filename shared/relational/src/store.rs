//! A store of projections in PostgreSQL.

use crate::error::{failure, unfit};
use crate::iam::{AGE, NoCredentials, Tokens};
use crate::item::{self, Columns, plain, text};
use crate::{add, contribute, put, tables};
use async_trait::async_trait;
use contracts::Version;
use jiff::{SignedDuration, Timestamp};
use projection::dynamodb::TOMBSTONE_HORIZON;
use projection::join::{Contribution, Dot, Put};
use projection::store::{Ordered, Outcome, Question, Relational, Store, StoreError, Stored, Written};
use projection::{Key, Table};
use serde_dynamo::Item;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgPool, PgPoolOptions, PgRow};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Postgres, Row as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How many rows a scan gives at once at most.
const PAGE_ROWS: i64 = 1_000;

/// What a scan gives at once, in bytes of JSON.
const PAGE_BYTES: i64 = 1024 * 1024;

/// The longest name of a table; PostgreSQL would cut a longer one.
const NAME_BYTES: usize = 63;

/// How long to wait for a database that is paused: it takes about fifteen seconds to come back.
const WAKES: Duration = Duration::from_secs(20);

/// How PostgreSQL is reached.
#[derive(Clone, Debug)]
pub struct Connection {
    /// Where it is, and who asks: `postgres://user:password@host/database?sslmode=verify-full`.
    pub url: String,
    /// What IAM lets in with, instead of a password.
    pub tokens: Option<Tokens>,
    /// A user that may read the tables that are made, and no more: made with the first one.
    pub reader: Option<String>,
    /// How many connections are open at once at most.
    pub connections: u32,
    /// How long a statement may take, the wait for locks included.
    pub statement: Duration,
    /// How long to wait for a connection.
    pub acquire: Duration,
}

impl Connection {
    /// With two connections at most, which is what a function needs that handles one batch at a time, five seconds for a
    /// statement and five for a connection.
    pub fn new(url: impl Into<String>) -> Self {
        let five = Duration::from_secs(5);
        let url = url.into();
        Self { url, tokens: None, reader: None, connections: 2, statement: five, acquire: five }
    }

    /// As the variables of a function say: `DATABASE_URL`; `DATABASE_AUTH`, which is `iam` where IAM lets in without a
    /// password; and `DATABASE_READER`, a user that may read what this one makes. It waits long enough for a database that
    /// was paused.
    ///
    /// # Errors
    /// Where there is no URL, or IAM is to be asked and the function has no credentials.
    pub fn from_env() -> Result<Self, NoConnection> {
        let var = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let tokens = match var("DATABASE_AUTH").as_deref() {
            None => None,
            Some("iam") => Some(Tokens::from_env()?),
            Some(_) => return Err(NoConnection::Auth),
        };
        let url = var("DATABASE_URL").ok_or(NoConnection::Nowhere)?;
        Ok(Self { tokens, reader: var("DATABASE_READER"), acquire: WAKES, ..Self::new(url) })
    }
}

/// A store over one PostgreSQL.
#[derive(Clone, Debug)]
pub struct PostgresStore {
    pool: PgPool,
    tokens: Option<(Tokens, Arc<Mutex<Timestamp>>)>,
    reader: Option<String>,
    clock: fn() -> Timestamp,
    tombstone_horizon: SignedDuration,
}

/// Why PostgreSQL can't be used.
#[derive(Debug, thiserror::Error)]
pub enum NoConnection {
    /// The URL is none of PostgreSQL's; what is said of it has its source in it, and no password.
    #[error("the address of PostgreSQL can't be used: it is `postgres://user@host/database` ({0})")]
    Url(String),
    /// No address is given.
    #[error("DATABASE_URL must say where PostgreSQL is")]
    Nowhere,
    /// Nobody knows how to be let in.
    #[error("DATABASE_AUTH is `iam`, or nothing where the URL says all")]
    Auth,
    /// IAM can't be asked.
    #[error(transparent)]
    Credentials(#[from] NoCredentials),
}

impl PostgresStore {
    /// A store that keeps tombstones for [`TOMBSTONE_HORIZON`] from the time that the clock tells. It connects when it is
    /// first used; to be called within a runtime.
    ///
    /// # Errors
    /// Where the URL is none of PostgreSQL's.
    pub fn new(connection: &Connection, clock: fn() -> Timestamp) -> Result<Self, NoConnection> {
        let scheme = connection.url.split_once("://").map_or("", |(scheme, _)| scheme);
        if !["postgres", "postgresql"].contains(&scheme) {
            return Err(NoConnection::Url("another scheme, or none".to_owned()));
        }
        let options = connection.url.parse::<PgConnectOptions>();
        let options = options.map_err(|error| NoConnection::Url(error.to_string()))?;
        let limit = connection.statement.as_millis().to_string();
        let options = options.application_name("tributary").options([
            ("statement_timeout", limit.as_str()),
            ("lock_timeout", limit.as_str()),
            ("idle_in_transaction_session_timeout", limit.as_str()),
            ("default_transaction_isolation", "read committed"),
            ("client_min_messages", "warning"),
        ]);
        let pool = PgPoolOptions::new()
            .max_connections(connection.connections)
            .acquire_timeout(connection.acquire)
            .connect_lazy_with(options);
        let tokens = connection.tokens.clone().map(|tokens| (tokens, Arc::new(Mutex::new(Timestamp::MIN))));
        let reader = connection.reader.clone();
        Ok(Self { pool, tokens, reader, clock, tombstone_horizon: TOMBSTONE_HORIZON })
    }

    /// Keeps tombstones for as long as this instead.
    #[must_use]
    pub fn tombstone_horizon(mut self, horizon: SignedDuration) -> Self {
        self.tombstone_horizon = horizon;
        self
    }

    /// The connections; a new one is begun with a token that is young enough.
    pub(crate) fn pool(&self) -> &PgPool {
        if let Some((tokens, made)) = &self.tokens {
            let now = (self.clock)();
            let mut made = made.lock().unwrap_or_else(PoisonError::into_inner);
            if now.duration_since(*made) >= AGE {
                let options = PgConnectOptions::clone(&self.pool.connect_options());
                let (host, port, user) = (options.get_host(), options.get_port(), options.get_username());
                match tokens.token(host, port, user, now) {
                    Ok(token) => {
                        self.pool.set_connect_options(options.password(&token));
                        *made = now;
                    }
                    Err(error) => {
                        tracing::error!(error = %error, "no token could be made to connect with");
                    }
                }
            }
        }
        &self.pool
    }

    /// Who may read what is made here, and no more.
    pub(crate) fn reader(&self) -> Option<&str> {
        self.reader.as_deref()
    }

    /// When a tombstone of now may go, in seconds since 1970.
    pub(crate) fn expiry(&self) -> i64 {
        ((self.clock)() + self.tombstone_horizon).as_second()
    }

    /// The version and the digest of an item.
    pub(crate) async fn stamp(
        &self,
        operation: &'static str,
        table: &Name,
        key: &Key,
        (v, h): (&str, &str),
    ) -> Result<Stamp, StoreError> {
        let sql = format!("SELECT {v}::text, {h} FROM {{t}} t WHERE pk = $1 AND sk = $2");
        let row = table.on(&sql, key).fetch_optional(self.pool()).await;
        let row = row.map_err(|error| failure(operation, &table.plain, error))?;
        row.as_ref()
            .map_or(Ok(Stamp::default()), |row| Stamp::at(row, 0))
            .map_err(|error| failure(operation, &table.plain, error))
    }
}

#[async_trait]
impl Store for PostgresStore {
    async fn put(&self, table: &str, put: &Put) -> Result<Written, StoreError> {
        put::run(self, &Name::of("put", table)?, put).await
    }

    async fn add(&self, table: &str, dots: &[Dot]) -> Result<Written, StoreError> {
        add::run(self, &Name::of("add", table)?, dots).await
    }

    async fn contribute(&self, table: &str, contributions: &[Contribution]) -> Result<Written, StoreError> {
        contribute::run(self, &Name::of("contribute", table)?, contributions).await
    }

    async fn scan(&self, table: &str, after: Option<Key>) -> Result<(Vec<Stored>, Option<Key>), StoreError> {
        const OPERATION: &str = "scan";
        const SQL: &str = "
            SELECT pk, sk, v::text, h, d, ttl, item::text, joins::text FROM (
                SELECT *, octet_length(item::text) + octet_length(joins::text) AS size,
                       sum(octet_length(item::text) + octet_length(joins::text)) OVER (ORDER BY pk, sk) AS sum
                FROM (SELECT * FROM {t} WHERE (pk, sk) > ($1, $2) ORDER BY pk, sk LIMIT $3) page
            ) page WHERE sum - size <= $4 ORDER BY pk, sk";
        let name = Name::of(OPERATION, table)?;
        let failed = |error| failure(OPERATION, table, error);
        let after = after.unwrap_or_else(|| Key::new("", ""));
        let rows = name.on(SQL, &after).bind(PAGE_ROWS).bind(PAGE_BYTES);
        let rows = rows.fetch_all(&self.pool).await.map_err(failed)?;
        let mut page = Vec::with_capacity(rows.len());
        for row in &rows {
            let (key, columns) = stored(row).map_err(failed)?;
            page.push((key, columns.item().map_err(|error| unfit(OPERATION, table, error))?.into()));
        }
        // A page ends where a limit is met; whether there is more the next one tells.
        let next = page.last().map(|(key, _): &Stored| key.clone());
        Ok((page, next))
    }

    fn ordered(&self) -> &dyn Ordered {
        self
    }
}

#[async_trait]
impl Relational for PostgresStore {
    async fn create_table(&self, name: &str, table: &Table) -> Result<(), StoreError> {
        tables::create(self, &Name::of("create table", name)?, table).await
    }

    async fn delete_table(&self, name: &str) -> Result<(), StoreError> {
        tables::delete(self, &Name::of("delete table", name)?).await
    }

    async fn tables(&self, beginning: &str) -> Result<Vec<(String, u64)>, StoreError> {
        tables::named(self, beginning).await
    }

    async fn sweep(&self, name: &str) -> Result<u64, StoreError> {
        tables::sweep(self, &Name::of("sweep", name)?, (self.clock)().as_second()).await
    }

    async fn ask(&self, table: &str, question: &Question) -> Result<Vec<Item>, StoreError> {
        const OPERATION: &str = "ask";
        let name = Name::of(OPERATION, table)?;
        let sql = format!("SELECT to_jsonb(answer)::text FROM ({}) answer", question.sql);
        let mut query = sqlx::query(name.in_sql(&sql));
        for bound in &question.bound {
            query = query.bind(bound.as_deref().map(|it| text(it).into_owned()));
        }
        let rows = query.fetch_all(&self.pool).await.map_err(|error| failure(OPERATION, table, error))?;
        let item = |row: &PgRow| {
            let json: String = row.try_get(0).map_err(|error| failure(OPERATION, table, error))?;
            item::answer(&json).map_err(|error| unfit(OPERATION, table, error))
        };
        rows.iter().map(item).collect()
    }
}

/// The name of a table.
pub(crate) struct Name {
    pub plain: String,
    quoted: String,
}

impl Name {
    pub fn of(operation: &'static str, plain: &str) -> Result<Self, StoreError> {
        if plain.is_empty() || plain.len() > NAME_BYTES || plain.contains('\0') {
            let reason = format!("a table's name has 1 to {NAME_BYTES} bytes, none of them NUL");
            return Err(StoreError::Refused { operation, table: plain.to_owned(), reason });
        }
        Ok(Self { plain: plain.to_owned(), quoted: quoted(plain) })
    }

    /// A statement on an item, with its key bound.
    pub fn on<'q>(&self, sql: &str, key: &Key) -> Query<'q, Postgres, PgArguments> {
        sqlx::query(self.in_sql(sql)).bind(text(&key.pk).into_owned()).bind(text(&key.sk).into_owned())
    }

    /// A statement of this crate's or of a micrograph's own, with the quoted name in the place of `{t}`: nothing else of it
    /// is made at run time.
    pub fn in_sql(&self, sql: &str) -> AssertSqlSafe<String> {
        AssertSqlSafe(sql.replace("{t}", &self.quoted))
    }
}

/// A name in SQL.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// What is known of the version that is stored.
#[derive(Debug, Default)]
pub(crate) struct Stamp {
    version: Option<Version>,
    hash: Option<String>,
}

impl Stamp {
    /// From two columns of a row, the version as text.
    pub fn at(row: &PgRow, column: usize) -> Result<Self, sqlx::Error> {
        let version: Option<String> = row.try_get(column)?;
        let hash: Option<String> = row.try_get(column + 1)?;
        let version = version.and_then(|it| it.parse().ok()).map(Version::unpacked);
        Ok(Self { version, hash: hash.map(|it| plain(&it)) })
    }

    /// What a guard that failed means; none where what is stored is older.
    pub fn compare(&self, version: Version, hash: &str) -> Option<Outcome> {
        let stored = self.version?;
        match stored.cmp(&version) {
            std::cmp::Ordering::Greater => Some(Outcome::Stale(Some(stored))),
            std::cmp::Ordering::Equal if self.hash.as_deref() == Some(hash) => Some(Outcome::Duplicate),
            std::cmp::Ordering::Equal => Some(Outcome::Forked),
            std::cmp::Ordering::Less => None,
        }
    }
}

/// A row with all its columns: `pk, sk, v::text, h, d, ttl, item::text, joins::text`.
pub(crate) fn stored(row: &PgRow) -> Result<(Key, Columns), sqlx::Error> {
    let key = |column| row.try_get::<&str, _>(column).map(plain);
    let columns = Columns {
        v: row.try_get(2)?,
        h: row.try_get(3)?,
        d: row.try_get(4)?,
        ttl: row.try_get(5)?,
        item: row.try_get(6)?,
        joins: row.try_get(7)?,
    };
    Ok((Key::new(key(0)?, key(1)?), columns))
}

/// What a write cost: there is no bill by the write, so a row is a unit.
pub(crate) fn written(outcomes: Vec<Outcome>, rows: usize) -> Written {
    Written { outcomes, units: f64::from(u32::try_from(rows).unwrap_or(u32::MAX)) }
}

/// Keys have DynamoDB's limits, so that a projection fits either.
pub(crate) fn possible(operation: &'static str, table: &Name, key: &Key) -> Result<(), StoreError> {
    let fits = |text: &str, most: usize| !text.is_empty() && text.len() <= most;
    if fits(&key.pk, 2048) && fits(&key.sk, 1024) {
        return Ok(());
    }
    let reason = "a key is empty or too long".to_owned();
    Err(StoreError::Refused { operation, table: table.plain.clone(), reason })
}

#[cfg(test)]
mod tests {
    use super::*;
    use sqlx::ConnectOptions as _;
    use std::sync::atomic::{AtomicI64, Ordering};

    #[tokio::test]
    async fn an_address_that_is_none_of_postgresqls_is_refused_at_once_and_not_shown() {
        let open = |url: &str| PostgresStore::new(&Connection::new(url), || Timestamp::UNIX_EPOCH);
        assert!(open("postgres://shop@localhost/sales").is_ok());
        assert!(open("postgresql://shop@localhost/sales?host=/run/postgresql").is_ok());
        for wrong in
            ["", "sales", "mysql://shop:s3cret@localhost/sales", "postgres://shop:s3cret@localhost:x/sales"]
        {
            let refused = open(wrong).expect_err(wrong).to_string();
            assert!(refused.contains("postgres://user@host/database"), "{refused}");
            assert!(!refused.contains("s3cret"), "{refused}");
        }
    }

    #[tokio::test]
    async fn a_new_connection_has_a_token_that_is_young_and_an_older_one_is_kept_for_a_while() {
        static NOW: AtomicI64 = AtomicI64::new(1_300_000_000);
        let credentials = aws_credential_types::Credentials::new("AKIDEXAMPLE", "secret", None, None, "test");
        let tokens = Some(Tokens::new("eu-west-1", credentials));
        let connection = Connection { tokens, ..Connection::new("postgres://reader@db.example:5433/sales") };
        let clock = || Timestamp::constant(NOW.load(Ordering::Relaxed), 0);
        let store = PostgresStore::new(&connection, clock).unwrap();
        let token = |later: i64| {
            NOW.fetch_add(later, Ordering::Relaxed);
            let url = store.pool().connect_options().to_url_lossy();
            percent_encoding::percent_decode_str(url.password().unwrap()).decode_utf8().unwrap().into_owned()
        };
        let first = token(0);
        assert!(first.starts_with("db.example:5433/?Action=connect&DBUser=reader&"), "{first}");
        assert_eq!(token(599), first);
        assert_ne!(token(1), first, "ten minutes later it is another");
    }
}
