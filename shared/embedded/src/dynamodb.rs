//! DynamoDB under the real `aws-sdk-dynamodb` client, in process.
//!
//! The engine is `dynoxide` (SQLite). A second connection to the same file reads and trims the stream records that
//! the engine wrote in the transaction of the write itself, so a crash between a write and its reading loses nothing.

mod dispatch;
mod streams;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use aws_sdk_dynamodb::config::{BehaviorVersion, Region, StalledStreamProtectionConfig};

use bytes::Bytes;
use dynoxide::{Database, DynoxideError};
use tempfile::TempDir;

use self::streams::Streams;
pub use self::streams::{StreamBatch, StreamChanges, StreamError};
use crate::connector::{Answer, InProcess, Service};

/// What an acknowledged write survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// The death of the process, by `kill -9` too, loses nothing. A power cut or a crash of the operating system may
    /// lose the last writes, but never part of one: the file stays consistent (SQLite: WAL, `synchronous=NORMAL`).
    #[default]
    Process,
    /// A power cut loses nothing either: every write waits for the disk (SQLite: WAL, `synchronous=FULL`), and is
    /// several times slower.
    Power,
    /// The death of the process loses nothing; a power cut may ruin the file (SQLite: `synchronous=OFF`). For what is
    /// thrown away afterwards.
    Scratch,
}

/// A DynamoDB of this process. Clones share it.
#[derive(Clone)]
pub struct DynamoDb {
    engine: Arc<Engine>,
    client: aws_sdk_dynamodb::Client,
}

/// Why a database can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder can't be made or reached.
    #[error("can't use {path} for the embedded DynamoDB")]
    Folder {
        /// The path asked for.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The path is not UTF-8, which the engine needs.
    #[error("the path {0} is not valid UTF-8: choose another folder")]
    Path(PathBuf),
    /// The engine refuses the file.
    #[error("the embedded DynamoDB can't open {path}")]
    Engine {
        /// The file.
        path: PathBuf,
        /// What the engine said.
        #[source]
        source: DynoxideError,
    },
    /// The stream side refuses the file.
    #[error("the embedded DynamoDB can't prepare its streams")]
    Streams(#[from] StreamError),
}

/// Why expired items couldn't be removed.
#[derive(Debug, thiserror::Error)]
#[error("the sweep of expired items failed")]
pub struct SweepError(#[from] DynoxideError);

impl DynamoDb {
    /// Opens, or makes, the database file `path` (`….db`) with [`Durability::Process`]. One process at a time may have
    /// a file open.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        Self::open_with(path, Durability::default())
    }

    /// Opens, or makes, the database file `path` with the durability wanted.
    pub fn open_with(path: &Path, durability: Durability) -> Result<Self, OpenError> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder)
                .map_err(|source| OpenError::Folder { path: path.to_owned(), source })?;
        }
        Self::build(path, durability, None)
    }

    /// A database that is gone when the last clone of it and of its clients is.
    pub fn in_memory() -> Result<Self, OpenError> {
        // A file all the same: the streams need a second connection, and the kernel keeps so young a file in memory.
        let folder = tempfile::Builder::new()
            .prefix("embedded-dynamodb-")
            .tempdir()
            .map_err(|source| OpenError::Folder { path: std::env::temp_dir(), source })?;
        Self::build(&folder.path().join("memory.db"), Durability::Scratch, Some(folder))
    }

    fn build(path: &Path, durability: Durability, folder: Option<TempDir>) -> Result<Self, OpenError> {
        let name = path.to_str().ok_or_else(|| OpenError::Path(path.to_owned()))?;
        let engine_error = |source| OpenError::Engine { path: path.to_owned(), source };
        let writer = Database::new(name).map_err(engine_error)?;
        match durability {
            Durability::Process => writer.disable_bulk_loading().map_err(engine_error)?,
            Durability::Scratch => writer.enable_bulk_loading().map_err(engine_error)?,
            // SQLite's own default.
            Durability::Power => {}
        }
        let streams = Streams::open(path, durability)?;
        let reader = open_reader(name).map_err(engine_error)?;
        let engine = Arc::new(Engine {
            writer,
            reader: RwLock::new(reader),
            gate: Mutex::new(()),
            streams,
            path: name.to_owned(),
            _folder: folder,
        });
        let client = client_of(Arc::clone(&engine));
        Ok(Self { engine, client })
    }

    /// A client of the real SDK, with its retries and its typed errors; it needs neither network nor credentials, and
    /// signs nothing. Calls run on the thread that polls them, for tens to hundreds of microseconds.
    pub fn client(&self) -> aws_sdk_dynamodb::Client {
        self.client.clone()
    }

    pub(crate) fn service(&self) -> Arc<impl Service + use<>> {
        Arc::clone(&self.engine)
    }

    /// Removes the items whose TTL attribute has passed by the machine's clock, as DynamoDB does in the background,
    /// and answers how many there were. Blocks.
    pub fn sweep_ttl(&self) -> Result<usize, SweepError> {
        let removed = self.engine.writer.sweep_ttl()?;
        if removed > 0 {
            self.engine.streams.announce_all();
        }
        Ok(removed)
    }

    /// The names of the tables that have a stream, in order.
    pub fn streams(&self) -> Vec<String> {
        self.engine.streams.tables()
    }

    /// Up to `limit` records of a table's stream after the last acknowledged one, in the order of the writes, or
    /// `None` where there are none, or no stream. The same records come again until they are acknowledged. Blocks
    /// for some microseconds a record.
    pub fn stream_batch(&self, table: &str, limit: usize) -> Result<Option<StreamBatch>, StreamError> {
        self.engine.streams.batch(table, limit)
    }

    /// Makes it durable that all records of `batch` were dealt with, and forgets them.
    pub fn ack(&self, batch: &StreamBatch) -> Result<(), StreamError> {
        let _gate = self.engine.write_gate();
        self.engine.streams.ack(batch.table(), batch.last())
    }

    /// Like [`ack`](Self::ack) for the records before the one with this sequence number: what Lambda does with a
    /// stream function's `batchItemFailures`. A number that isn't in the batch acknowledges nothing.
    pub fn ack_before(&self, batch: &StreamBatch, sequence_number: &str) -> Result<(), StreamError> {
        let Some(last) = batch.last_before(sequence_number) else { return Ok(()) };
        let _gate = self.engine.write_gate();
        self.engine.streams.ack(batch.table(), last)
    }

    /// Whether a table's stream holds records that nobody has acknowledged.
    pub fn stream_pending(&self, table: &str) -> Result<bool, StreamError> {
        self.engine.streams.pending(table)
    }

    /// Whether no stream of any table holds records that nobody has acknowledged.
    pub fn streams_are_idle(&self) -> Result<bool, StreamError> {
        for table in self.engine.streams.tables() {
            if self.engine.streams.pending(&table)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Waits until no stream of any table holds records that nobody has acknowledged.
    pub async fn streams_idle(&self) -> Result<(), StreamError> {
        let mut acknowledgements = self.engine.streams.acknowledgements();
        while !self.streams_are_idle()? {
            if acknowledgements.changed().await.is_err() {
                break;
            }
        }
        Ok(())
    }

    /// Rises with every write and every acknowledgement: two equal numbers mean that nothing has happened in between.
    pub fn activity(&self) -> u64 {
        self.engine.streams.activity()
    }

    /// Tells when records were written to a table's stream. Subscribe, then read what there is, then wait.
    pub fn stream_changes(&self, table: &str) -> StreamChanges {
        self.engine.streams.subscribe(table)
    }
}

impl std::fmt::Debug for DynamoDb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DynamoDb").field("path", &self.engine.path).finish_non_exhaustive()
    }
}

/// Connections that read see every commit that came before: WAL gives each read the newest snapshot. So reads run
/// beside the writes.
fn open_reader(path: &str) -> Result<Database, DynoxideError> {
    let reader = Database::new(path)?;
    // Never writes, so that nothing is risked; what is wanted is the larger cache.
    reader.enable_bulk_loading()?;
    Ok(reader)
}

struct Engine {
    writer: Database,
    reader: RwLock<Database>,
    /// One writer at a time of those that share the file, so that none has to wait by SQLite's sleeping.
    gate: Mutex<()>,
    streams: Streams,
    path: String,
    _folder: Option<TempDir>,
}

impl Engine {
    fn write_gate(&self) -> MutexGuard<'_, ()> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, operation: &str, body: &[u8]) -> Answer {
        if dispatch::only_reads(operation) {
            let reader = self.reader.read().unwrap_or_else(PoisonError::into_inner).clone();
            return dispatch::dispatch(&reader, None, operation, body).answer;
        }
        let outcome = dispatch::dispatch(&self.writer, Some(&self.gate), operation, body);
        if outcome.schema_changed
            && let Err(error) = self.follow_schema()
        {
            tracing::error!(%error, operation, "can't follow a changed table");
            let message = "The table has changed, but the embedded DynamoDB can't follow it: start it again.";
            return Answer::error(500, "com.amazonaws.dynamodb.v20120810#InternalServerError", message);
        }
        for table in &outcome.written {
            self.streams.announce(table);
        }
        outcome.answer
    }

    /// Readers remember what a table looks like.
    fn follow_schema(&self) -> Result<(), OpenError> {
        {
            let _gate = self.write_gate();
            self.streams.follow_schema()?;
        }
        let reader = open_reader(&self.path)
            .map_err(|source| OpenError::Engine { path: PathBuf::from(&self.path), source })?;
        *self.reader.write().unwrap_or_else(PoisonError::into_inner) = reader;
        Ok(())
    }
}

impl Service for Engine {
    const TARGET_PREFIX: &'static str = "DynamoDB_20120810.";

    async fn call(self: Arc<Self>, operation: String, body: Bytes) -> Answer {
        self.answer(&operation, &body)
    }
}

fn client_of(engine: Arc<Engine>) -> aws_sdk_dynamodb::Client {
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static(crate::REGION))
        .endpoint_url("http://dynamodb.embedded")
        .http_client(InProcess::new(engine))
        .allow_no_auth()
        .idempotency_token_provider(dispatch::OWN_TOKEN)
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .build();
    aws_sdk_dynamodb::Client::from_conf(config)
}
