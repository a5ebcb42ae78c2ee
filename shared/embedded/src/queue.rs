//! SQS: queues with visibility timeouts, redrive, delays and FIFO groups, in one SQLite file.
//!
//! What is durable is each message, its receive count and what was deduplicated. Who holds which message is known in
//! memory only, because a process that dies takes its receivers with it: all messages are visible again at open.

mod chaos;
mod contents;
mod inner;
mod store;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;

pub use self::chaos::Chaos;
use self::inner::Inner;
pub(crate) use self::inner::uuid_of;
use self::store::Store;
use crate::{Clock, Durability, SystemClock};

/// The largest body that [`Queues::send`] takes, in bytes.
pub const LARGEST_BODY: usize = 1024 * 1024;

/// What a queue is like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueConfig {
    /// Its name; a FIFO queue's ends in `.fifo`, and no other does.
    pub name: String,
    /// How long a received message stays hidden from other receivers.
    pub visibility: Duration,
    /// How long a new message stays hidden at first.
    pub delay: Duration,
    /// Where messages go that were received too often.
    pub redrive: Option<Redrive>,
    /// Whether its work is done outside of this process: [`idle`](Queues::idle) doesn't wait for others.
    pub leads_out: bool,
}

/// When a message is given up on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redrive {
    /// The dead-letter queue, which must exist.
    pub dead_letter_queue: String,
    /// A message that was received so often, and comes back, goes there. At least 1.
    pub max_receive_count: u32,
}

impl QueueConfig {
    /// A queue as SQS makes it by default: 30 s of visibility, no delay, no redrive.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            visibility: Duration::from_secs(30),
            delay: Duration::ZERO,
            redrive: None,
            leads_out: false,
        }
    }

    /// Whether the messages of a group come one after another, in order.
    pub fn is_fifo(&self) -> bool {
        is_fifo(&self.name)
    }

    /// Gives up on a message after so many receives.
    #[must_use]
    pub fn redrive_to(mut self, dead_letter_queue: impl Into<String>, max_receive_count: u32) -> Self {
        self.redrive = Some(Redrive { dead_letter_queue: dead_letter_queue.into(), max_receive_count });
        self
    }
}

/// A message to send.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Outgoing {
    /// The body; the same text in several queues is held once in memory.
    pub body: Arc<str>,
    /// `messageAttributes` as Lambda shows them, `{"name": {"stringValue", "dataType", …}}`.
    pub attributes: Option<Value>,
    /// Hides the message at first, instead of the queue's own delay. Not for FIFO queues.
    pub delay: Option<Duration>,
    /// The group; FIFO queues need it, and others keep it as an attribute.
    pub group: Option<String>,
    /// FIFO queues take one message of an id within five minutes; without one, the body stands for it.
    pub deduplication_id: Option<String>,
}

impl Outgoing {
    /// A message with nothing but a body.
    pub fn new(body: impl Into<Arc<str>>) -> Self {
        Self { body: body.into(), ..Self::default() }
    }

    /// In a group.
    #[must_use]
    pub fn in_group(mut self, group: impl Into<String>) -> Self {
        self.group = Some(group.into());
        self
    }
}

/// A message in the hands of a receiver.
#[derive(Debug, Clone, PartialEq)]
pub struct Received {
    /// What deletes it, or changes its visibility. Good until the message is visible again.
    pub receipt: Receipt,
    /// The same each time it is received, and in the dead-letter queue.
    pub message_id: Arc<str>,
    /// The body.
    pub body: Arc<str>,
    /// How often it was received, this time included.
    pub receive_count: u32,
    /// When it was sent, in milliseconds since the epoch.
    pub sent_ms: i64,
    /// When it was received first, in milliseconds since the epoch.
    pub first_received_ms: i64,
    /// `messageAttributes`, as JSON text.
    pub attributes: Option<Arc<str>>,
    /// The group.
    pub group: Option<Arc<str>>,
    /// What FIFO queues deduplicate by.
    pub deduplication_id: Option<Arc<str>>,
    /// Rises with each message of a queue.
    pub sequence_number: i64,
}

/// One reception of one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Receipt(pub(crate) u64);

/// How many messages a queue holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Depth {
    /// Ready to be received, if their group lets them.
    pub visible: usize,
    /// Received and neither deleted nor visible again.
    pub in_flight: usize,
    /// Not visible yet.
    pub delayed: usize,
}

impl Depth {
    /// All of them.
    pub fn total(&self) -> usize {
        self.visible + self.in_flight + self.delayed
    }
}

/// What went wrong with a queue.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// The folder can't be made or reached.
    #[error("can't use {path} for the embedded queues")]
    Folder {
        /// The file asked for.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// SQLite failed; nothing of the operation has happened.
    #[error("the embedded queues failed to {operation}")]
    Store {
        /// What was tried.
        operation: &'static str,
        /// Why it failed.
        #[source]
        source: rusqlite::Error,
    },
    /// No queue has this name.
    #[error("there is no queue {0:?}: create it first")]
    UnknownQueue(String),
    /// The body is larger than [`LARGEST_BODY`].
    #[error("a message of {size} bytes is too large for the queue {queue:?}: at most {LARGEST_BODY}")]
    TooLarge {
        /// The queue.
        queue: String,
        /// The body's size in bytes.
        size: usize,
    },
    /// A FIFO queue orders by group, so each message needs one.
    #[error("the FIFO queue {0:?} needs a message group")]
    GroupMissing(String),
    /// A message must be received before it is given up on.
    #[error("the queue {0:?} must let a message be received at least once before its redrive")]
    NeverReceived(String),
}

/// How the queues are kept.
#[derive(Debug, Clone)]
pub struct QueueSettings {
    /// What an accepted message survives.
    pub durability: Durability,
    /// Disorder, for tests.
    pub chaos: Chaos,
    /// The time that visibility and delays go by.
    pub clock: Arc<dyn Clock>,
}

impl Default for QueueSettings {
    fn default() -> Self {
        Self { durability: Durability::default(), chaos: Chaos::default(), clock: Arc::new(SystemClock) }
    }
}

/// How often it is looked whether messages are deleted by now.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// All queues of this process. Clones share them. Calls block for as long as a small SQLite transaction takes.
#[derive(Clone)]
pub struct Queues(Arc<Shared>);

struct Shared {
    inner: Mutex<Inner>,
    clock: Arc<dyn Clock>,
    activity: AtomicU64,
    /// Who waits until there is nothing left to do.
    awaited: AtomicUsize,
}

impl Queues {
    /// Opens, or makes, the file `path`. One process at a time may have a file open.
    pub fn open(path: &Path, settings: QueueSettings) -> Result<Self, QueueError> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder)
                .map_err(|source| QueueError::Folder { path: path.to_owned(), source })?;
        }
        Ok(Self::build(Store::open(path, settings.durability)?, settings))
    }

    /// Queues that are gone when the last clone is.
    pub fn in_memory(settings: QueueSettings) -> Result<Self, QueueError> {
        Ok(Self::build(Store::in_memory()?, settings))
    }

    fn build(store: Store, settings: QueueSettings) -> Self {
        let inner = Inner::new(store, settings.chaos, settings.clock.now_ms());
        Self(Arc::new(Shared {
            inner: Mutex::new(inner),
            clock: settings.clock,
            activity: AtomicU64::new(0),
            awaited: AtomicUsize::new(0),
        }))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn active(&self) {
        self.0.activity.fetch_add(1, Ordering::SeqCst);
    }

    /// A number that no message has.
    pub(crate) fn fresh_id(&self) -> i64 {
        self.inner().take_id()
    }

    /// The time these queues go by.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.0.clock
    }

    /// Creates a queue, or changes the settings of the one there is; its messages of an earlier process are visible
    /// at once.
    pub fn create(&self, config: QueueConfig) -> Result<(), QueueError> {
        self.inner().create(config, self.0.clock.now_ms())
    }

    /// Deletes a queue with its messages. Stop what reads it first.
    pub fn delete_queue(&self, queue: &str) -> Result<(), QueueError> {
        self.inner().remove(queue)?;
        self.active();
        Ok(())
    }

    /// The configuration of a queue.
    pub fn config(&self, queue: &str) -> Result<QueueConfig, QueueError> {
        self.inner().config(queue)
    }

    /// Sends messages to one queue, all or none. Returns their ids once they are durable.
    pub fn send(&self, queue: &str, messages: Vec<Outgoing>) -> Result<Vec<Arc<str>>, QueueError> {
        let messages: Vec<_> = messages.into_iter().map(|message| (queue.to_owned(), message)).collect();
        self.send_all(&messages)
    }

    /// Sends messages to several queues in one transaction, all or none. Returns their ids once they are durable.
    pub fn send_all(&self, messages: &[(String, Outgoing)]) -> Result<Vec<Arc<str>>, QueueError> {
        for (queue, message) in messages {
            if message.body.len() > LARGEST_BODY {
                return Err(QueueError::TooLarge { queue: queue.clone(), size: message.body.len() });
            }
        }
        self.deliver(messages)
    }

    /// Like [`send_all`](Self::send_all), whatever the size: an event of the largest size grows by its envelope.
    pub(crate) fn deliver(&self, messages: &[(String, Outgoing)]) -> Result<Vec<Arc<str>>, QueueError> {
        let sent = self.inner().send(messages, self.0.clock.now_ms())?;
        self.active();
        Ok(sent)
    }

    /// Receives up to `max` messages that are visible, and hides them for `visibility` or the queue's own.
    pub fn receive(
        &self,
        queue: &str,
        max: usize,
        visibility: Option<Duration>,
    ) -> Result<Vec<Received>, QueueError> {
        self.receive_within(queue, max, usize::MAX, visibility)
    }

    /// Like [`receive`](Self::receive), as long as the messages fit into a Lambda payload of `bytes`; one message
    /// always does.
    pub fn receive_within(
        &self,
        queue: &str,
        max: usize,
        bytes: usize,
        visibility: Option<Duration>,
    ) -> Result<Vec<Received>, QueueError> {
        self.inner().receive(queue, max, bytes, visibility, self.0.clock.now_ms())
    }

    /// Deletes messages in hand. Receipts of messages that are visible again do nothing. Returns how many it deleted.
    pub fn delete(&self, queue: &str, receipts: &[Receipt]) -> Result<usize, QueueError> {
        self.settle(queue, receipts, &[])
    }

    /// Makes messages in hand visible after `after` from now; zero gives them back.
    pub fn change_visibility(
        &self,
        queue: &str,
        receipts: &[Receipt],
        after: Duration,
    ) -> Result<(), QueueError> {
        let changes: Vec<_> = receipts.iter().map(|receipt| (*receipt, after)).collect();
        self.settle(queue, &[], &changes).map(|_| ())
    }

    /// Deletes some messages in hand and hides others for a time of their own, in one transaction.
    pub fn settle(
        &self,
        queue: &str,
        done: &[Receipt],
        again: &[(Receipt, Duration)],
    ) -> Result<usize, QueueError> {
        let deleted = self.inner().settle(queue, done, again, self.0.clock.now_ms())?;
        self.active();
        Ok(deleted)
    }

    /// Moves every visible message of one queue to another, as a redrive from a dead-letter queue does; the receive
    /// counts start again. Returns how many there were.
    pub fn redrive(&self, from: &str, to: &str) -> Result<usize, QueueError> {
        let moved = self.inner().redrive(from, to, self.0.clock.now_ms())?;
        self.active();
        Ok(moved)
    }

    /// How many messages a queue holds.
    pub fn depth(&self, queue: &str) -> Result<Depth, QueueError> {
        self.inner().depth(queue, self.0.clock.now_ms())
    }

    /// How many messages each queue holds, by name.
    pub fn depths(&self) -> Result<Vec<(String, Depth)>, QueueError> {
        self.inner().depths(self.0.clock.now_ms())
    }

    /// Waits until every message that a queue holds now was deleted; messages that are sent meanwhile don't count.
    /// Meanwhile no batch is gathered for long.
    pub async fn settled(&self, queue: &str) -> Result<(), QueueError> {
        let _awaited = Awaited::begin(self);
        let newest = self.inner().newest(queue)?;
        while self.inner().oldest(queue)?.is_some_and(|oldest| oldest <= newest) {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Ok(())
    }

    /// Tells of new and returned messages of a queue. Subscribe, receive, then wait.
    pub fn changes(&self, queue: &str) -> Result<watch::Receiver<u64>, QueueError> {
        self.inner().changes(queue)
    }

    /// How long from now a hidden message of a queue becomes visible, if there is one.
    pub fn next_due(&self, queue: &str) -> Result<Option<Duration>, QueueError> {
        let now = self.0.clock.now_ms();
        let due = self.inner().next_due(queue)?;
        Ok(due.map(|at| Duration::from_millis(u64::try_from(at - now).unwrap_or(0))))
    }

    /// Makes all who wait for messages look again: for a clock that was moved by hand.
    pub fn wake(&self) {
        self.inner().wake();
    }

    /// Whether no queue holds a message, but for dead-letter queues and those that lead out.
    pub fn is_idle(&self) -> bool {
        self.inner().is_idle()
    }

    /// Waits until no queue holds a message, but for dead-letter queues and those that lead out. Handlers in flight count, because their
    /// messages are deleted after them. Meanwhile no batch is gathered for long.
    pub async fn idle(&self) {
        let _awaited = Awaited::begin(self);
        let mut emptied = self.inner().emptied.subscribe();
        while !self.is_idle() {
            if emptied.changed().await.is_err() {
                return;
            }
        }
    }

    /// Whether somebody waits for [`idle`](Self::idle) or [`settled`](Self::settled).
    pub(crate) fn is_awaited(&self) -> bool {
        self.0.awaited.load(Ordering::SeqCst) > 0
    }

    /// Rises with everything that happens: two equal numbers mean that nothing has in between.
    pub fn activity(&self) -> u64 {
        self.0.activity.load(Ordering::SeqCst)
    }

    /// Keeps a small value under a name, as durably as a message.
    pub fn put_meta(&self, key: &str, value: &[u8]) -> Result<(), QueueError> {
        self.inner().store.put_meta(key, value)
    }

    /// The value kept under a name.
    pub fn get_meta(&self, key: &str) -> Result<Option<Vec<u8>>, QueueError> {
        self.inner().store.get_meta(key)
    }
}

/// Somebody waits until there is nothing left to do.
struct Awaited<'a>(&'a Queues);

impl<'a> Awaited<'a> {
    fn begin(queues: &'a Queues) -> Self {
        queues.0.awaited.fetch_add(1, Ordering::SeqCst);
        queues.wake();
        Self(queues)
    }
}

impl Drop for Awaited<'_> {
    fn drop(&mut self) {
        self.0.0.awaited.fetch_sub(1, Ordering::SeqCst);
    }
}

impl std::fmt::Debug for Queues {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queues").finish_non_exhaustive()
    }
}

#[expect(clippy::case_sensitive_file_extension_comparisons, reason = "a queue's name, as SQS has it")]
pub(crate) fn is_fifo(queue: &str) -> bool {
    queue.ends_with(".fifo")
}

/// The ARN of a queue.
pub fn queue_arn(queue: &str) -> String {
    format!("arn:aws:sqs:{}:{}:{queue}", crate::REGION, crate::ACCOUNT)
}
