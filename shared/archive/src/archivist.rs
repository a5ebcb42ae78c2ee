//! The consumer that archives: a batch in, objects stored, `batchItemFailures` out.

use crate::name::Hour;
use crate::object::{self, Line};
use crate::store::Archive;
use futures::StreamExt as _;
use jiff::Timestamp;
use projection::consumer::{ConsumeError, DEADLINE_MARGIN};
use projection::decode;
use projection::delivery::{self, Message};
use projection::quarantine::{Quarantine, Quarantined, Reason};
use serde_json::{Value, json};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use telemetry::TraceParent;
use telemetry::metrics::{self, BatchMetrics};
use tokio::time::Instant;
use tracing::Instrument as _;

/// The name under which it is measured and quarantines.
pub const NAME: &str = "archivist";

/// How many objects are written at once.
pub const CONCURRENT_WRITES: usize = 16;

/// Stores every event that it is given. An event is acknowledged only after its object is stored.
pub struct Archivist {
    archive: Archive,
    quarantine: Arc<dyn Quarantine>,
    clock: fn() -> Timestamp,
}

/// What became of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Messages that were delivered.
    pub messages: usize,
    /// Messages whose event is stored.
    pub archived: usize,
    /// Objects that were written.
    pub objects: usize,
    /// Objects that were there already: the same events were delivered before.
    pub repeated: usize,
    /// Messages that are no event, or have no place in the archive.
    pub quarantined: usize,
    /// The ids of messages that are to be delivered again.
    pub failed: Vec<String>,
}

impl Report {
    /// The answer that Lambda wants: which messages are to come again.
    pub fn answer(&self) -> Value {
        let failures: Vec<Value> = self.failed.iter().map(|id| json!({ "itemIdentifier": id })).collect();
        json!({ "batchItemFailures": failures })
    }
}

/// Messages of one domain, hour and region.
#[derive(Default)]
struct Group {
    messages: Vec<usize>,
    lines: Vec<Line>,
}

type Groups = BTreeMap<(String, Hour, String), Group>;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Fate {
    Archived,
    Quarantined(Reason, String),
    Failed,
}

impl Archivist {
    /// Archives into an archive; what is no event goes to the quarantine.
    pub fn new(archive: Archive, quarantine: Arc<dyn Quarantine>, clock: fn() -> Timestamp) -> Self {
        Self { archive, quarantine, clock }
    }

    /// Handles one invocation's payload. Messages that could not be stored before the deadline are named in the
    /// answer, as Lambda's partial batch response wants them.
    pub async fn handle(&self, payload: &[u8], deadline: Option<Instant>) -> Result<Value, ConsumeError> {
        Ok(self.archive(payload, deadline).await?.answer())
    }

    /// Handles one invocation's payload and tells what became of it.
    pub async fn archive(&self, payload: &[u8], deadline: Option<Instant>) -> Result<Report, ConsumeError> {
        let delivery = delivery::take_apart(payload)?;
        let messages = delivery.messages.as_slice();
        let mut fates = vec![Fate::Archived; messages.len()];
        let mut groups = Groups::new();
        let (mut ages, mut links) = (Vec::with_capacity(messages.len()), Vec::new());
        for (index, message) in messages.iter().enumerate() {
            if let Err((reason, detail)) = self.sort(index, message, &mut groups, &mut ages, &mut links) {
                fates[index] = Fate::Quarantined(reason, detail);
            }
        }
        let span = telemetry::span::consumer("archive", NAME, messages.len(), links);
        let work = async {
            let (objects, repeated) = self.store(groups, deadline, &mut fates).await;
            self.keep(messages, &mut fates).await;
            (objects, repeated)
        };
        let (objects, repeated) = work.instrument(span).await;
        let report = Report { objects, repeated, ..report(messages, &fates, &ages) };
        if !delivery.partial && !report.failed.is_empty() {
            return Err(ConsumeError::Unfinished);
        }
        Ok(report)
    }

    /// Puts a message's event beside those of its hour.
    fn sort(
        &self,
        index: usize,
        message: &Message<'_>,
        groups: &mut Groups,
        ages: &mut Vec<i64>,
        links: &mut Vec<TraceParent>,
    ) -> Result<(), (Reason, String)> {
        if let Some(why) = &message.malformed {
            return Err((Reason::Malformed, why.clone()));
        }
        let malformed = |error: decode::Malformed| (Reason::Malformed, error.to_string());
        let envelope = decode::unwrap(&message.body).map_err(malformed)?;
        let header = decode::header(&envelope).map_err(malformed)?;
        let (domain, hour, region) = object::place(&header).map_err(|why| (Reason::HandlerRejected, why))?;
        let group = groups.entry((domain.to_owned(), hour, region.to_owned())).or_default();
        group.messages.push(index);
        group.lines.push(Line::new(&header, envelope.trim()));
        let age = (self.clock)().duration_since(header.time).as_millis();
        ages.push(i64::try_from(age).unwrap_or(i64::MAX));
        links.extend(header.traceparent.as_deref().and_then(TraceParent::parse));
        Ok(())
    }

    /// Stores the groups; tells how many objects were written and how many were there.
    async fn store(&self, groups: Groups, deadline: Option<Instant>, fates: &mut [Fate]) -> (usize, usize) {
        let cutoff = deadline.map(|deadline| deadline.checked_sub(DEADLINE_MARGIN).unwrap_or(deadline));
        let writes: Vec<_> =
            groups.into_iter().map(|(place, group)| self.write(place, group, cutoff)).collect();
        let mut writes = futures::stream::iter(writes).buffer_unordered(CONCURRENT_WRITES);
        let (mut written, mut repeated) = (0, 0);
        while let Some((messages, stored)) = writes.next().await {
            match stored {
                Some((fresh, known)) => (written, repeated) = (written + fresh, repeated + known),
                None => messages.into_iter().for_each(|message| fates[message] = Fate::Failed),
            }
        }
        (written, repeated)
    }

    /// Writes one group's objects, unless the time for it is over; gives its messages.
    async fn write(
        &self,
        (domain, hour, region): (String, Hour, String),
        group: Group,
        cutoff: Option<Instant>,
    ) -> (Vec<usize>, Option<(usize, usize)>) {
        let Group { messages, lines } = group;
        if cutoff.is_some_and(|cutoff| Instant::now() >= cutoff) {
            return (messages, None);
        }
        let stored = self.put(domain, hour, region, lines);
        let stored = match cutoff {
            None => Some(stored.await),
            // An object that is given up may still be stored: its events will be there twice, and folded.
            Some(cutoff) => tokio::time::timeout_at(cutoff, stored).await.ok(),
        };
        match stored {
            Some(Ok(counts)) => (messages, Some(counts)),
            Some(Err(error)) => {
                let error = telemetry::error_chain(&*error);
                tracing::warn!(
                    error,
                    messages = messages.len(),
                    "an object can't be stored for now; its events come again"
                );
                (messages, None)
            }
            None => (messages, None),
        }
    }

    async fn put(
        &self,
        domain: String,
        hour: Hour,
        region: String,
        lines: Vec<Line>,
    ) -> Result<(usize, usize), Box<dyn std::error::Error + Send + Sync>> {
        let packed =
            tokio::task::spawn_blocking(move || object::pack(&domain, hour, &region, 0, lines)).await??;
        let (mut written, mut repeated) = (0, 0);
        for object in packed {
            if self.archive.store(object).await? {
                written += 1;
            } else {
                repeated += 1;
            }
        }
        Ok((written, repeated))
    }

    /// Puts messages into the quarantine; one that can't be kept now is to come again.
    async fn keep(&self, messages: &[Message<'_>], fates: &mut [Fate]) {
        for (message, fate) in messages.iter().zip(fates) {
            let Fate::Quarantined(reason, detail) = &*fate else { continue };
            let envelope = decode::unwrap(&message.body).unwrap_or(Cow::Borrowed(&message.body));
            let (reason, detail) = (*reason, projection::json::bounded(detail.clone()));
            tracing::warn!(consumer = NAME, ?reason, detail, message_id = %message.id, "a message is quarantined");
            let redrive = message.redrive.as_deref();
            let raw = &message.body;
            let kept = Quarantined { consumer: NAME, reason, detail, raw, envelope: &envelope, redrive };
            if let Err(error) = self.quarantine.keep(&kept).await {
                let error = telemetry::error_chain(&error);
                tracing::error!(error, message_id = %message.id, "the quarantine failed; the message comes again");
                *fate = Fate::Failed;
            }
        }
    }
}

fn report(messages: &[Message<'_>], fates: &[Fate], ages: &[i64]) -> Report {
    let mut report = Report { messages: messages.len(), ..Report::default() };
    let mut failed = BTreeSet::new();
    for (message, fate) in messages.iter().zip(fates) {
        match fate {
            Fate::Archived => report.archived += 1,
            Fate::Quarantined(..) => report.quarantined += 1,
            Fate::Failed => _ = failed.insert(message.id.to_string()),
        }
    }
    report.failed = failed.into_iter().collect();
    metrics::batch(&BatchMetrics {
        micrograph: "archive",
        projection: NAME,
        size: report.messages as u64,
        applied: report.archived as u64,
        quarantined: report.quarantined as u64,
        failed: report.failed.len() as u64,
        event_ages_ms: ages,
        cold_start: metrics::cold_start(),
        ..BatchMetrics::default()
    });
    report
}
