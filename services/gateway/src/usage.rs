//! Which client sends which operation, how often: counted here, written where the registry reads it.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use http::HeaderMap;
use jiff::Timestamp;
use schemas::usage::{Client, Operation, Signature, UsageLine, signature};
use schemas::{ContractName, Schemas, Variant};
use tokio::time::Instant;

/// The most pairs of client and operation that are counted in one interval; the rest is not.
const MOST: usize = 10_000;

/// The longest name or version of a client, in bytes: clients choose them.
const LONGEST: usize = 100;

/// Where lines of usage go.
#[async_trait]
pub trait UsageSink: Send + Sync {
    /// Stores the lines of an interval. It may be told the same lines again.
    ///
    /// # Errors
    /// Where they can't be stored for now; the reason is for the log.
    async fn record(&self, lines: &[UsageLine]) -> Result<(), String>;
}

/// The usage log of a variant in the registry's store.
#[derive(Debug, Clone)]
pub struct UsageInStore {
    /// The store.
    pub schemas: Schemas,
    /// The variant.
    pub variant: Variant,
}

#[async_trait]
impl UsageSink for UsageInStore {
    async fn record(&self, lines: &[UsageLine]) -> Result<(), String> {
        let recorded = self.schemas.record_usage(&self.variant, lines).await;
        recorded.map_err(|error| telemetry::error_chain(&error))
    }
}

/// How usage is recorded.
#[derive(Clone)]
pub struct Usage {
    /// Where to.
    pub sink: Arc<dyn UsageSink>,
    /// The contract that clients see, if they don't see all of the variant.
    pub contract: Option<ContractName>,
    /// How long an interval is.
    pub every: Duration,
    /// Tells the time.
    pub clock: fn() -> Timestamp,
}

impl fmt::Debug for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Usage").field("every", &self.every).finish_non_exhaustive()
    }
}

/// Counts what is used.
pub(crate) struct Recorder {
    settings: Usage,
    interval: Mutex<Interval>,
}

struct Interval {
    begun: Instant,
    at: Timestamp,
    counts: HashMap<(Client, String), Count>,
}

struct Count {
    signature: Arc<Signature>,
    count: u64,
}

impl Recorder {
    pub(crate) fn new(settings: Usage) -> Self {
        let interval = Interval { begun: Instant::now(), at: (settings.clock)(), counts: HashMap::new() };
        Self { settings, interval: Mutex::new(interval) }
    }

    /// Counts one operation of a client; writes what was counted before where the interval is over.
    pub(crate) fn used(self: &Arc<Self>, headers: &HeaderMap, known: &Arc<Signature>) {
        let client = client(headers);
        let over = {
            let mut interval = self.interval.lock().unwrap_or_else(PoisonError::into_inner);
            let key = (client, known.hash.to_string());
            let full = interval.counts.len() >= MOST;
            match interval.counts.get_mut(&key) {
                Some(count) => count.count += 1,
                None if full => {}
                None => _ = interval.counts.insert(key, Count { signature: Arc::clone(known), count: 1 }),
            }
            interval.begun.elapsed() >= self.settings.every
        };
        if over {
            let recorder = Arc::clone(self);
            tokio::spawn(async move { recorder.flush().await });
        }
    }

    /// Writes what was counted.
    pub(crate) async fn flush(&self) {
        let until = (self.settings.clock)();
        let (at, counts) = {
            let mut interval = self.interval.lock().unwrap_or_else(PoisonError::into_inner);
            interval.begun = Instant::now();
            (std::mem::replace(&mut interval.at, until), std::mem::take(&mut interval.counts))
        };
        let line = |((client, _), Count { signature, count }): ((Client, String), Count)| UsageLine {
            at,
            until,
            client,
            operation: Operation {
                name: signature.name.clone(),
                hash: signature.hash.clone(),
                text: signature.text.clone(),
            },
            count,
            contract: self.settings.contract.clone(),
        };
        let lines: Vec<UsageLine> = counts.into_iter().map(line).collect();
        if lines.is_empty() {
            return;
        }
        if let Err(error) = self.settings.sink.record(&lines).await {
            let operations = lines.len();
            tracing::warn!(error, operations, "what clients use could not be recorded; it is lost");
        }
    }
}

/// What usage knows an operation by; none where it can't be worked out.
pub(crate) fn signed(document: &str, name: Option<&str>) -> Option<Arc<Signature>> {
    match signature(document, name) {
        Ok(signature) => Some(Arc::new(signature)),
        Err(error) => {
            tracing::debug!(%error, "an operation has no signature; its use is not recorded");
            None
        }
    }
}

fn client(headers: &HeaderMap) -> Client {
    let first = |names: [&str; 2]| {
        let value = names.into_iter().find_map(|name| headers.get(name)?.to_str().ok());
        let mut text = value.unwrap_or_default().to_owned();
        text.truncate(text.floor_char_boundary(LONGEST));
        text
    };
    Client {
        name: first(["graphql-client-name", "apollographql-client-name"]),
        version: first(["graphql-client-version", "apollographql-client-version"]),
    }
}
