//! The SQLite file of the queues: one table a queue, so that a send appends and a delete frees.

use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use super::QueueError;
use super::contents::Message;
use crate::Durability;

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS queues (name TEXT PRIMARY KEY, number INTEGER NOT NULL UNIQUE) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS deduplicated (
        queue INTEGER NOT NULL, deduplication_id TEXT NOT NULL, message_id TEXT NOT NULL, until_ms INTEGER NOT NULL,
        PRIMARY KEY (queue, deduplication_id)) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;";

/// Enough for the five statements of each queue of a large suite.
const STATEMENTS_KEPT: usize = 1_024;

pub(super) struct Store {
    connection: Connection,
}

/// The statements of one queue's table.
#[derive(Debug)]
pub(super) struct Statements {
    insert: String,
    delete: String,
    load: String,
    count_receives: String,
}

impl Statements {
    pub(super) fn of(number: i64) -> Self {
        let columns = "id, message_id, body, attributes, message_group, deduplication_id, sent_ms, visible_ms, \
                       receives, first_received_ms";
        Self {
            insert: format!(
                "INSERT INTO queue_{number} ({columns}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)"
            ),
            delete: format!("DELETE FROM queue_{number} WHERE id = ?1"),
            load: format!("SELECT {columns} FROM queue_{number} WHERE id > ?1 ORDER BY id LIMIT ?2"),
            count_receives: format!(
                "UPDATE queue_{number} SET receives = ?2, first_received_ms = ?3 WHERE id = ?1"
            ),
        }
    }
}

/// What an earlier process left in a queue.
pub(super) struct Left {
    pub(super) number: i64,
    pub(super) stored: usize,
    pub(super) last_id: i64,
}

pub(super) fn failed(operation: &'static str) -> impl Fn(rusqlite::Error) -> QueueError {
    move |source| QueueError::Store { operation, source }
}

impl Store {
    pub(super) fn open(path: &Path, durability: Durability) -> Result<Self, QueueError> {
        let connection = Connection::open(path).map_err(failed("open"))?;
        let synchronous = match durability {
            Durability::Process => "NORMAL",
            Durability::Power => "FULL",
            Durability::Scratch => "OFF",
        };
        connection.pragma_update(None, "journal_mode", "WAL").map_err(failed("open"))?;
        connection.pragma_update(None, "synchronous", synchronous).map_err(failed("open"))?;
        // A checkpoint waits for the disk: rather seldom and larger. 4,000 pages are 16 MB.
        connection.pragma_update(None, "wal_autocheckpoint", 4_000).map_err(failed("open"))?;
        Self::prepare(connection)
    }

    pub(super) fn in_memory() -> Result<Self, QueueError> {
        let connection = Connection::open_in_memory().map_err(failed("open"))?;
        Self::prepare(connection)
    }

    fn prepare(connection: Connection) -> Result<Self, QueueError> {
        connection.execute_batch(SCHEMA).map_err(failed("open"))?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
        Ok(Self { connection })
    }

    /// Makes the table of a queue if need be, and says what it holds.
    pub(super) fn create(&mut self, name: &str) -> Result<Left, QueueError> {
        let mut create = || -> rusqlite::Result<Left> {
            let transaction = self.connection.transaction()?;
            transaction.execute(
                "INSERT OR IGNORE INTO queues (name, number)
                 VALUES (?1, (SELECT COALESCE(MAX(number), 0) + 1 FROM queues))",
                [name],
            )?;
            let number: i64 =
                transaction
                    .query_row("SELECT number FROM queues WHERE name = ?1", [name], |row| row.get(0))?;
            transaction.execute_batch(&format!(
                "CREATE TABLE IF NOT EXISTS queue_{number} (
                     id INTEGER PRIMARY KEY, message_id TEXT NOT NULL, body TEXT NOT NULL, attributes TEXT,
                     message_group TEXT, deduplication_id TEXT, sent_ms INTEGER NOT NULL,
                     visible_ms INTEGER NOT NULL, receives INTEGER NOT NULL, first_received_ms INTEGER)"
            ))?;
            let (stored, last_id): (i64, i64) = transaction.query_row(
                &format!("SELECT COUNT(*), COALESCE(MAX(id), 0) FROM queue_{number}"),
                [],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )?;
            transaction.commit()?;
            Ok(Left { number, stored: usize::try_from(stored).unwrap_or(0), last_id })
        };
        create().map_err(failed("create a queue"))
    }

    /// Drops the table of a queue with all that is in it.
    pub(super) fn remove(&mut self, name: &str, number: i64) -> Result<(), QueueError> {
        // A statement that was prepared for the table would keep it from being dropped.
        self.connection.flush_prepared_statement_cache();
        let mut remove = || -> rusqlite::Result<()> {
            let transaction = self.connection.transaction()?;
            transaction.execute("DELETE FROM deduplicated WHERE queue = ?1", [number])?;
            transaction.execute("DELETE FROM queues WHERE name = ?1", [name])?;
            transaction.execute_batch(&format!("DROP TABLE queue_{number}"))?;
            transaction.commit()
        };
        remove().map_err(failed("remove a queue"))
    }

    pub(super) fn transaction(&mut self) -> Result<Transaction<'_>, QueueError> {
        self.connection.transaction().map_err(failed("begin"))
    }

    /// Up to `limit` messages after the one with the id `after`, in the order in which they were sent.
    pub(super) fn load(
        &self,
        statements: &Statements,
        after: i64,
        limit: usize,
    ) -> Result<Vec<Message>, QueueError> {
        let load = || -> rusqlite::Result<Vec<Message>> {
            let mut load = self.connection.prepare_cached(&statements.load)?;
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            load.query_map(params![after, limit], message)?.collect()
        };
        load().map_err(failed("receive"))
    }

    /// What a FIFO queue took within the window: each deduplication id with its message's id and the window's end.
    pub(super) fn deduplicated(
        &self,
        number: i64,
        now_ms: i64,
    ) -> Result<Vec<(String, Arc<str>, i64)>, QueueError> {
        let load = || -> rusqlite::Result<Vec<_>> {
            self.connection.execute("DELETE FROM deduplicated WHERE until_ms <= ?1", [now_ms])?;
            let mut load = self.connection.prepare_cached(
                "SELECT deduplication_id, message_id, until_ms FROM deduplicated WHERE queue = ?1",
            )?;
            load.query_map([number], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?.collect()
        };
        load().map_err(failed("open"))
    }

    pub(super) fn put_meta(&self, key: &str, value: &[u8]) -> Result<(), QueueError> {
        self.connection
            .prepare_cached("INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)")
            .and_then(|mut put| put.execute(params![key, value]))
            .map(|_| ())
            .map_err(failed("keep a value"))
    }

    pub(super) fn get_meta(&self, key: &str) -> Result<Option<Vec<u8>>, QueueError> {
        self.connection
            .prepare_cached("SELECT value FROM meta WHERE key = ?1")
            .and_then(|mut get| get.query_row([key], |row| row.get(0)).optional())
            .map_err(failed("read a value"))
    }
}

pub(super) fn insert(
    transaction: &Transaction<'_>,
    statements: &Statements,
    message: &Message,
) -> Result<(), QueueError> {
    transaction
        .prepare_cached(&statements.insert)
        .and_then(|mut insert| {
            insert.execute(params![
                message.id,
                &*message.message_id,
                &*message.body,
                message.attributes.as_deref(),
                message.group.as_deref(),
                message.deduplication_id.as_deref(),
                message.sent_ms,
                message.visible_ms,
                message.receives,
                message.first_received_ms,
            ])
        })
        .map(|_| ())
        .map_err(failed("send"))
}

pub(super) fn delete(
    transaction: &Transaction<'_>,
    statements: &Statements,
    id: i64,
) -> Result<(), QueueError> {
    transaction
        .prepare_cached(&statements.delete)
        .and_then(|mut delete| delete.execute([id]))
        .map(|_| ())
        .map_err(failed("delete"))
}

pub(super) fn count_receives(
    transaction: &Transaction<'_>,
    statements: &Statements,
    message: &Message,
) -> Result<(), QueueError> {
    transaction
        .prepare_cached(&statements.count_receives)
        .and_then(|mut count| count.execute(params![message.id, message.receives, message.first_received_ms]))
        .map(|_| ())
        .map_err(failed("count receives"))
}

pub(super) fn deduplicate(
    transaction: &Transaction<'_>,
    number: i64,
    deduplication_id: &str,
    message_id: &str,
    until_ms: i64,
) -> Result<(), QueueError> {
    transaction
        .prepare_cached(
            "INSERT OR REPLACE INTO deduplicated (queue, deduplication_id, message_id, until_ms)
             VALUES (?1, ?2, ?3, ?4)",
        )
        .and_then(|mut put| put.execute(params![number, deduplication_id, message_id, until_ms]))
        .map(|_| ())
        .map_err(failed("send"))
}

/// Takes out of the file what no longer deduplicates anything.
pub(super) fn forget_deduplicated(transaction: &Transaction<'_>, now_ms: i64) -> Result<(), QueueError> {
    transaction
        .execute("DELETE FROM deduplicated WHERE until_ms <= ?1", [now_ms])
        .map(|_| ())
        .map_err(failed("send"))
}

fn message(row: &Row<'_>) -> rusqlite::Result<Message> {
    Ok(Message {
        id: row.get(0)?,
        message_id: row.get(1)?,
        body: row.get(2)?,
        attributes: row.get(3)?,
        group: row.get(4)?,
        deduplication_id: row.get(5)?,
        sent_ms: row.get(6)?,
        visible_ms: row.get(7)?,
        receives: row.get(8)?,
        first_received_ms: row.get(9)?,
    })
}
