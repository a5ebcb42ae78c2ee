//! Lambda's event source mapping: takes batches from a queue to a handler, and deletes what it dealt with.

mod payload;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use serde_json::Value;
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};

use crate::queue::{QueueConfig, QueueError, Queues, Receipt, Received};

/// Lambda's limit on a batch of a standard queue.
pub const LARGEST_BATCH: usize = 10_000;

/// Lambda's limit on a batch of a FIFO queue.
pub const LARGEST_FIFO_BATCH: usize = 10;

/// Where Lambda cuts a batch so that its payload stays under 6 MB.
pub const LARGEST_PAYLOAD: usize = 6_000_000;

/// The longest that a batch is gathered for while somebody waits for all work to be done.
const HURRIED_WINDOW: Duration = Duration::from_millis(50);

/// How long a poller rests after the store failed.
const REST_AFTER_FAILURE: Duration = Duration::from_secs(1);

/// Until when a handler should have answered, in milliseconds since the epoch, as in Lambda's context.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline {
    /// Milliseconds since the epoch.
    pub at_ms: i64,
}

/// Why a handler gave up on a batch as a whole.
pub type HandlerError = Box<dyn std::error::Error + Send + Sync>;

/// A Lambda function: gets the payload of an SQS event, and answers `{"batchItemFailures": […]}`, or null if there
/// were none.
pub type Handler =
    Arc<dyn Fn(Bytes, Deadline) -> BoxFuture<'static, Result<Value, HandlerError>> + Send + Sync>;

/// How a queue is mapped to a handler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MappingConfig {
    /// The queue's name.
    pub queue: String,
    /// Messages in a batch at most: 1 to [`LARGEST_BATCH`], for FIFO queues to [`LARGEST_FIFO_BATCH`].
    pub batch_size: usize,
    /// How long a batch may wait to get full, from its first message on. Zero for FIFO queues. It is cut short where
    /// somebody waits for all work to be done ([`Queues::idle`]).
    pub window: Duration,
    /// Batches in the hands of the handler at a time, at least 1.
    pub concurrency: usize,
    /// The handler's time for a batch, at most the queue's visibility; then the batch fails as a whole.
    pub timeout: Duration,
    /// When failed messages come again.
    pub backoff: Backoff,
}

/// How long failed messages stay hidden. AWS leaves them hidden for the queue's visibility timeout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// After the first failure; it doubles with each receive.
    pub first: Duration,
    /// At most.
    pub most: Duration,
}

impl Backoff {
    fn after(self, receive_count: u32) -> Duration {
        let doublings = receive_count.saturating_sub(1).min(16);
        self.first.saturating_mul(1 << doublings).min(self.most)
    }
}

impl MappingConfig {
    /// A mapping with batches of 10, no window, one batch at a time, 30 s for a batch, and a backoff of 200 ms to 30 s.
    pub fn new(queue: impl Into<String>) -> Self {
        Self {
            queue: queue.into(),
            batch_size: 10,
            window: Duration::ZERO,
            concurrency: 1,
            timeout: Duration::from_secs(30),
            backoff: Backoff { first: Duration::from_millis(200), most: Duration::from_secs(30) },
        }
    }
}

/// Why a queue can't be mapped.
#[derive(Debug, thiserror::Error)]
pub enum MappingError {
    /// A number is out of bounds.
    #[error("the mapping of {queue:?}: {rule}")]
    Limit {
        /// The queue.
        queue: String,
        /// What it must be.
        rule: &'static str,
    },
    /// The queue can't be used.
    #[error(transparent)]
    Queue(#[from] QueueError),
}

/// A mapping at work. Dropping it stops it without waiting.
#[derive(Debug)]
pub struct EventSourceMapping {
    stop: watch::Sender<bool>,
    poller: JoinHandle<()>,
}

impl EventSourceMapping {
    /// Starts to take messages to the handler. Needs a tokio runtime.
    pub fn start(queues: Queues, config: MappingConfig, handler: Handler) -> Result<Self, MappingError> {
        let queue = queues.config(&config.queue)?;
        check(&config, &queue)?;
        let (stop, stopped) = watch::channel(false);
        let mapping = Arc::new(Mapping { queues, config, visibility: queue.visibility, handler });
        let poller = tokio::spawn(poll(mapping, stopped));
        Ok(Self { stop, poller })
    }

    /// Takes no more messages, and waits until the handler has answered for those in flight.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        if let Err(error) = self.poller.await {
            tracing::error!(%error, "a queue's poller ended in a panic");
        }
    }
}

fn check(config: &MappingConfig, queue: &QueueConfig) -> Result<(), MappingError> {
    let fifo = queue.is_fifo();
    let most = if fifo { LARGEST_FIFO_BATCH } else { LARGEST_BATCH };
    let rule = if config.batch_size == 0 || config.batch_size > most {
        if fifo { "a batch has 1 to 10 messages" } else { "a batch has 1 to 10,000 messages" }
    } else if fifo && !config.window.is_zero() {
        "a FIFO queue has no batch window"
    } else if config.window > Duration::from_mins(5) {
        "a batch window is 300 s at most"
    } else if config.concurrency == 0 {
        "the concurrency is at least 1"
    } else if config.timeout > queue.visibility {
        "the timeout is at most the queue's visibility, or a message would come again while it is handled"
    } else {
        return Ok(());
    };
    Err(MappingError::Limit { queue: config.queue.clone(), rule })
}

struct Mapping {
    queues: Queues,
    config: MappingConfig,
    visibility: Duration,
    handler: Handler,
}

async fn poll(mapping: Arc<Mapping>, mut stopped: watch::Receiver<bool>) {
    let permits = Arc::new(Semaphore::new(mapping.config.concurrency));
    let mut batches = JoinSet::new();
    loop {
        let permit = tokio::select! {
            biased;
            _ = stopped.wait_for(|stopped| *stopped) => break,
            permit = Arc::clone(&permits).acquire_owned() => permit.expect("never closed"),
        };
        while batches.try_join_next().is_some() {}
        match gather(&mapping, &mut stopped).await {
            Ok(batch) if batch.is_empty() => break,
            Ok(batch) => {
                let mapping = Arc::clone(&mapping);
                batches.spawn(async move {
                    mapping.hand_over(batch).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::error!(queue = mapping.config.queue, error = chain(&error), "can't receive");
                tokio::select! {
                    _ = stopped.wait_for(|stopped| *stopped) => break,
                    () = tokio::time::sleep(REST_AFTER_FAILURE) => {}
                }
            }
        }
    }
    while batches.join_next().await.is_some() {}
}

/// A mapping that was dropped is stopped too.
fn is_stopped(stopped: &watch::Receiver<bool>) -> bool {
    *stopped.borrow() || stopped.has_changed().is_err()
}

/// A batch, empty only once stopped.
async fn gather(mapping: &Mapping, stopped: &mut watch::Receiver<bool>) -> Result<Vec<Received>, QueueError> {
    let Mapping { queues, config, visibility, .. } = mapping;
    let mut changes = queues.changes(&config.queue)?;
    let mut batch = Vec::new();
    let mut room = LARGEST_PAYLOAD;
    let mut window_ends = None;
    loop {
        changes.borrow_and_update();
        // A message that waits in the window is hidden for that long too.
        let hidden_for = *visibility + config.window;
        let got =
            queues.receive_within(&config.queue, config.batch_size - batch.len(), room, Some(hidden_for))?;
        let got_some = !got.is_empty();
        room = room.saturating_sub(got.iter().map(payload::record_bytes).sum());
        batch.extend(got);
        let full = batch.len() >= config.batch_size || room < LARGEST_PAYLOAD / 16;
        if !batch.is_empty() && (full || config.window.is_zero()) || is_stopped(stopped) {
            return Ok(batch);
        }
        if got_some && window_ends.is_none() {
            window_ends = Some(tokio::time::Instant::now() + config.window);
        }
        if queues.is_awaited() {
            let hurried = tokio::time::Instant::now() + HURRIED_WINDOW;
            window_ends = window_ends.map(|ends| ends.min(hurried));
        }
        let due = queues.next_due(&config.queue)?;
        let sleep = async {
            match due {
                Some(due) => tokio::time::sleep(due).await,
                None => std::future::pending().await,
            }
        };
        let window = async {
            match window_ends {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = stopped.wait_for(|stopped| *stopped) => {}
            _ = changes.changed() => {}
            () = sleep => {}
            () = window => return Ok(batch),
        }
    }
}

impl Mapping {
    async fn hand_over(&self, batch: Vec<Received>) {
        let payload = payload::sqs_event(&self.config.queue, &batch);
        let timeout = self.config.timeout;
        let at_ms = self
            .queues
            .clock()
            .now_ms()
            .saturating_add_unsigned(u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX / 4));
        // In a task of its own, so that a panic is a failure of the batch like any other.
        let handler = Arc::clone(&self.handler);
        let call = tokio::spawn(async move { handler(payload, Deadline { at_ms }).await });
        let abort = call.abort_handle();
        let failed = match tokio::time::timeout(timeout, call).await {
            Ok(Ok(Ok(answer))) => failures(&answer, &batch),
            Ok(Ok(Err(error))) => Err(chain(&*error)),
            Ok(Err(panic)) => Err(panic.to_string()),
            Err(_) => {
                abort.abort();
                Err(format!("no answer within {timeout:?}"))
            }
        };
        let failed = failed.unwrap_or_else(|reason| {
            tracing::warn!(
                queue = self.config.queue,
                messages = batch.len(),
                reason,
                "a batch failed as a whole"
            );
            vec![true; batch.len()]
        });
        if let Err(error) = self.settle(&batch, &failed) {
            // They come again when their visibility ends.
            tracing::error!(
                queue = self.config.queue,
                error = chain(&error),
                "can't delete what was handled"
            );
        }
    }

    fn settle(&self, batch: &[Received], failed: &[bool]) -> Result<(), QueueError> {
        let mut done: Vec<Receipt> = Vec::with_capacity(batch.len());
        let mut again = Vec::new();
        for (message, failed) in batch.iter().zip(failed) {
            if *failed {
                again.push((message.receipt, self.config.backoff.after(message.receive_count)));
            } else {
                done.push(message.receipt);
            }
        }
        self.queues.settle(&self.config.queue, &done, &again).map(|_| ())
    }
}

/// Which messages of a batch failed by the handler's answer, or why the batch fails as a whole.
///
/// The rules are those of
/// <https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html#services-sqs-batchfailurereporting>.
fn failures(answer: &Value, batch: &[Received]) -> Result<Vec<bool>, String> {
    let mut failed = vec![false; batch.len()];
    let reported = match answer {
        Value::Object(answer) => answer.get("batchItemFailures"),
        _ => None,
    };
    let reported = match reported {
        None | Some(Value::Null) => return Ok(failed),
        Some(Value::Array(reported)) if reported.is_empty() => return Ok(failed),
        Some(Value::Array(reported)) => reported,
        Some(_) => return Err("batchItemFailures isn't a list".to_owned()),
    };
    let places: HashMap<&str, usize> =
        batch.iter().enumerate().map(|(at, message)| (&*message.message_id, at)).collect();
    for failure in reported {
        let identifier = failure.get("itemIdentifier").and_then(Value::as_str).unwrap_or_default();
        match places.get(identifier) {
            Some(at) => failed[*at] = true,
            None => return Err(format!("{identifier:?} is no message of the batch")),
        }
    }
    // A message that is in a batch twice fails twice.
    for (at, message) in batch.iter().enumerate() {
        failed[at] = failed[places[&*message.message_id]];
    }
    Ok(failed)
}

fn chain(error: &(dyn std::error::Error + '_)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
