//! DynamoDB streams: read after the engine, trimmed as they are acknowledged.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, params};
use tokio::sync::watch;

use super::Durability;
use crate::{ACCOUNT, REGION};

/// What turns a stored sequence number into the 21 digits that a client sees.
const SEQUENCE_OFFSET: i128 = 100_000_000_000_000_000_000;

/// The engine asks for a table's highest sequence number at each write: without this index it reads all its records.
const PREPARE: &str = "
    CREATE INDEX IF NOT EXISTS _embedded_stream_order
        ON _stream_records (table_name, CAST(sequence_number AS INTEGER));
    CREATE TABLE IF NOT EXISTS _embedded_stream_positions (
        table_name TEXT PRIMARY KEY, acknowledged INTEGER NOT NULL) WITHOUT ROWID;";

const AFTER: &str = "
    SELECT event_id, event_name, keys_json, new_image, old_image, user_identity, created_at,
           CAST(sequence_number AS INTEGER)
    FROM _stream_records
    WHERE table_name = ?1 AND CAST(sequence_number AS INTEGER) > ?2
    ORDER BY CAST(sequence_number AS INTEGER)
    LIMIT ?3";

const ACKNOWLEDGED: &str = "SELECT acknowledged FROM _embedded_stream_positions WHERE table_name = ?1";

const NEWEST: &str =
    "SELECT MAX(CAST(sequence_number AS INTEGER)) FROM _stream_records WHERE table_name = ?1";

const ADVANCE: &str = "
    INSERT INTO _embedded_stream_positions (table_name, acknowledged) VALUES (?1, ?2)
    ON CONFLICT (table_name) DO UPDATE SET acknowledged = MAX(acknowledged, excluded.acknowledged)";

/// The newest record stays, so that the engine goes on counting from it.
const TRIM: &str = "
    DELETE FROM _stream_records
    WHERE table_name = ?1 AND CAST(sequence_number AS INTEGER) <= ?2
      AND CAST(sequence_number AS INTEGER)
          < (SELECT MAX(CAST(sequence_number AS INTEGER)) FROM _stream_records WHERE table_name = ?1)";

/// What failed on the stream side of the embedded DynamoDB.
#[derive(Debug, thiserror::Error)]
#[error("the stream of the embedded DynamoDB failed to {operation}")]
pub struct StreamError {
    operation: &'static str,
    #[source]
    source: rusqlite::Error,
}

fn failed(operation: &'static str) -> impl Fn(rusqlite::Error) -> StreamError {
    move |source| StreamError { operation, source }
}

/// Records of one table's stream, in the order of the writes.
#[derive(Debug, Clone)]
pub struct StreamBatch {
    table: String,
    sequence: Vec<i64>,
    payload: Bytes,
}

impl StreamBatch {
    /// The table whose stream this is.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// How many records there are, never 0.
    #[expect(clippy::len_without_is_empty, reason = "a batch is never empty")]
    pub fn len(&self) -> usize {
        self.sequence.len()
    }

    /// What a Lambda function gets from the stream, as JSON: `{"Records": [{"eventID", "eventName", …, "dynamodb"}]}`.
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// The payload, parsed.
    pub fn payload_value(&self) -> serde_json::Value {
        serde_json::from_slice(&self.payload).expect("built from JSON that the engine wrote")
    }

    pub(super) fn last(&self) -> i64 {
        self.sequence.last().copied().expect("never empty")
    }

    pub(super) fn last_before(&self, sequence_number: &str) -> Option<i64> {
        let stored = i64::try_from(sequence_number.parse::<i128>().ok()? - SEQUENCE_OFFSET).ok()?;
        let at = self.sequence.iter().position(|sequence| *sequence == stored)?;
        at.checked_sub(1).map(|before| self.sequence[before])
    }
}

/// Tells that records were written to a stream.
#[derive(Debug, Clone)]
pub struct StreamChanges(watch::Receiver<u64>);

impl StreamChanges {
    /// Waits until records were written since the last call, or since the subscription at the first call.
    /// Never ends once the database is gone.
    pub async fn written(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

struct Stream {
    label: String,
    view: String,
}

struct Inner {
    connection: Connection,
    by_table: HashMap<String, Stream>,
}

pub(super) struct Streams {
    /// One lock for both: what takes the one while it holds the other would sooner or later wait for itself.
    inner: Mutex<Inner>,
    changes: RwLock<HashMap<String, watch::Sender<u64>>>,
    acknowledgements: watch::Sender<u64>,
    activity: AtomicU64,
}

impl Streams {
    /// The engine must have made its tables in the file.
    pub(super) fn open(path: &Path, durability: Durability) -> Result<Self, StreamError> {
        let connection = Connection::open(path).map_err(failed("open"))?;
        let synchronous = match durability {
            Durability::Process => "NORMAL",
            Durability::Power => "FULL",
            Durability::Scratch => "OFF",
        };
        connection.pragma_update(None, "synchronous", synchronous).map_err(failed("open"))?;
        connection.execute_batch(PREPARE).map_err(failed("prepare"))?;
        let streams = Self {
            inner: Mutex::new(Inner { connection, by_table: HashMap::new() }),
            changes: RwLock::default(),
            acknowledgements: watch::channel(0).0,
            activity: AtomicU64::new(0),
        };
        streams.follow_schema()?;
        Ok(streams)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn tables(&self) -> Vec<String> {
        let mut tables: Vec<String> = self.inner().by_table.keys().cloned().collect();
        tables.sort_unstable();
        tables
    }

    /// Learns which tables have streams, and forgets the records of those that no longer do: a table of the same name
    /// made later starts an empty stream.
    pub(super) fn follow_schema(&self) -> Result<(), StreamError> {
        let mut inner = self.inner();
        let mut found = HashMap::new();
        let mut orphans = Vec::new();
        let transaction = inner.connection.transaction().map_err(failed("list its tables"))?;
        {
            let mut tables = transaction
                .prepare_cached(
                    "SELECT table_name, stream_label, stream_view_type FROM _tables WHERE stream_enabled = 1",
                )
                .map_err(failed("list its tables"))?;
            let rows = tables
                .query_map([], |row| {
                    let label: Option<String> = row.get(1)?;
                    let view: Option<String> = row.get(2)?;
                    let stream = Stream {
                        label: label.unwrap_or_default(),
                        view: view.unwrap_or_else(|| "NEW_AND_OLD_IMAGES".to_owned()),
                    };
                    Ok((row.get::<_, String>(0)?, stream))
                })
                .map_err(failed("list its tables"))?;
            for row in rows {
                let (table, stream) = row.map_err(failed("list its tables"))?;
                found.insert(table, stream);
            }
            let mut recorded = transaction
                .prepare_cached("SELECT DISTINCT table_name FROM _stream_records")
                .map_err(failed("list its tables"))?;
            let names =
                recorded.query_map([], |row| row.get::<_, String>(0)).map_err(failed("list its tables"))?;
            for name in names {
                let name = name.map_err(failed("list its tables"))?;
                if !found.contains_key(&name) {
                    orphans.push(name);
                }
            }
        }
        for table in &orphans {
            let newest: Option<i64> =
                transaction.query_row(NEWEST, [table], |row| row.get(0)).map_err(failed("trim"))?;
            if let Some(newest) = newest {
                transaction.execute(ADVANCE, params![table, newest]).map_err(failed("trim"))?;
                transaction.execute(TRIM, params![table, newest]).map_err(failed("trim"))?;
            }
        }
        transaction.commit().map_err(failed("trim"))?;
        inner.by_table = found;
        Ok(())
    }

    pub(super) fn batch(&self, table: &str, limit: usize) -> Result<Option<StreamBatch>, StreamError> {
        let inner = self.inner();
        let Inner { connection, by_table } = &*inner;
        let Some(stream) = by_table.get(table) else { return Ok(None) };
        let arn =
            format!("arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{table}/stream/{label}", label = stream.label);
        let after = acknowledged(connection, table)?;
        let mut records = connection.prepare_cached(AFTER).map_err(failed("read"))?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut rows = records.query(params![table, after, limit]).map_err(failed("read"))?;
        let mut sequence = Vec::new();
        let mut payload = String::from("{\"Records\":[");
        while let Some(row) = rows.next().map_err(failed("read"))? {
            let number: i64 = row.get(7).map_err(failed("read"))?;
            if !sequence.is_empty() {
                payload.push(',');
            }
            write_record(&mut payload, row, number, &arn, &stream.view).map_err(failed("read"))?;
            sequence.push(number);
        }
        payload.push_str("]}");
        if sequence.is_empty() {
            return Ok(None);
        }
        Ok(Some(StreamBatch { table: table.to_owned(), sequence, payload: Bytes::from(payload) }))
    }

    pub(super) fn ack(&self, table: &str, last: i64) -> Result<(), StreamError> {
        let mut inner = self.inner();
        let transaction = inner.connection.transaction().map_err(failed("acknowledge"))?;
        transaction
            .prepare_cached(ADVANCE)
            .and_then(|mut advance| advance.execute(params![table, last]))
            .map_err(failed("acknowledge"))?;
        transaction
            .prepare_cached(TRIM)
            .and_then(|mut trim| trim.execute(params![table, last]))
            .map_err(failed("acknowledge"))?;
        transaction.commit().map_err(failed("acknowledge"))?;
        self.activity.fetch_add(1, Ordering::SeqCst);
        self.acknowledgements.send_modify(|count| *count += 1);
        Ok(())
    }

    pub(super) fn pending(&self, table: &str) -> Result<bool, StreamError> {
        let inner = self.inner();
        let connection = &inner.connection;
        let newest: Option<i64> = connection
            .prepare_cached(NEWEST)
            .and_then(|mut newest| newest.query_row([table], |row| row.get(0)))
            .map_err(failed("measure"))?;
        Ok(newest.is_some_and(|newest| newest > 0) && newest > Some(acknowledged(connection, table)?))
    }

    pub(super) fn acknowledgements(&self) -> watch::Receiver<u64> {
        self.acknowledgements.subscribe()
    }

    pub(super) fn activity(&self) -> u64 {
        self.activity.load(Ordering::SeqCst)
    }

    pub(super) fn subscribe(&self, table: &str) -> StreamChanges {
        let mut changes = self.changes.write().unwrap_or_else(PoisonError::into_inner);
        let sender = changes.entry(table.to_owned()).or_insert_with(|| watch::channel(0).0);
        StreamChanges(sender.subscribe())
    }

    /// Wakes who waits for this table's stream.
    pub(super) fn announce(&self, table: &str) {
        self.activity.fetch_add(1, Ordering::SeqCst);
        let changes = self.changes.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = changes.get(table) {
            sender.send_modify(|count| *count += 1);
        }
    }

    pub(super) fn announce_all(&self) {
        self.activity.fetch_add(1, Ordering::SeqCst);
        for sender in self.changes.read().unwrap_or_else(PoisonError::into_inner).values() {
            sender.send_modify(|count| *count += 1);
        }
    }
}

fn acknowledged(connection: &Connection, table: &str) -> Result<i64, StreamError> {
    connection
        .prepare_cached(ACKNOWLEDGED)
        .and_then(|mut position| position.query_row([table], |row| row.get(0)).optional())
        .map(Option::unwrap_or_default)
        .map_err(failed("read its position"))
}

/// Keys and images are JSON as the engine stored it, so they go in as they are.
fn write_record(
    out: &mut String,
    row: &rusqlite::Row<'_>,
    number: i64,
    arn: &str,
    view: &str,
) -> rusqlite::Result<()> {
    fn text<'row>(row: &'row rusqlite::Row<'_>, column: usize) -> rusqlite::Result<Option<&'row str>> {
        Ok(row.get_ref(column)?.as_str_or_null()?)
    }
    let event_id = text(row, 0)?.unwrap_or_default();
    let event_name = text(row, 1)?.unwrap_or_default();
    let keys = text(row, 2)?.unwrap_or("{}");
    let created: i64 = row.get(6)?;
    let sequence_number = SEQUENCE_OFFSET + i128::from(number);
    // Writing to a String can't fail.
    let _ = write!(
        out,
        "{{\"eventID\":\"{event_id}\",\"eventName\":\"{event_name}\",\"eventVersion\":\"1.1\",\
         \"eventSource\":\"aws:dynamodb\",\"awsRegion\":\"{REGION}\",\"eventSourceARN\":\"{arn}\",\
         \"dynamodb\":{{\"ApproximateCreationDateTime\":{created},\"Keys\":{keys}"
    );
    let mut size = keys.len();
    for (name, column) in [("NewImage", 3), ("OldImage", 4)] {
        if let Some(image) = text(row, column)? {
            size += image.len();
            let _ = write!(out, ",\"{name}\":{image}");
        }
    }
    let _ = write!(
        out,
        ",\"SequenceNumber\":\"{sequence_number}\",\"SizeBytes\":{size},\"StreamViewType\":\"{view}\"}}"
    );
    if let Some(identity) = text(row, 5)? {
        let _ = write!(out, ",\"userIdentity\":{identity}");
    }
    out.push('}');
    Ok(())
}
