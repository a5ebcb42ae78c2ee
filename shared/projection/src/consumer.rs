//! The consumer of a projection: a payload in, `batchItemFailures` out.

mod ordered;

use crate::batch::{self, Work};
use crate::decode;
use crate::delivery::{self, Message, NotJson};
use crate::filter::Filter;
use crate::fold::{FoldError, Projection};
use crate::join::{Contribution, Dot, Join};
use crate::json;
use crate::key::Key;
use crate::quarantine::{Quarantine, Quarantined, Reason};
use crate::snapshot::Snapshots;
use crate::store::{Outcome, Store, StoreError, Written};
use crate::told::{self, Announce, Mark, Progress};
use contracts::Version;
use freshness::Write;
use futures::StreamExt;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use telemetry::TraceParent;
use telemetry::metrics::{self, BatchMetrics};
use tokio::time::Instant;
use tracing::Instrument;

/// How many writes are under way at once.
pub const CONCURRENT_WRITES: usize = 32;

/// How long before the invocation's deadline no write is started any more and those under way are given up.
pub const DEADLINE_MARGIN: Duration = Duration::from_secs(1);

/// The consumer of one projection. Nothing but the filter outlives an invocation.
pub struct Consumer {
    micrograph: String,
    projection: Projection,
    table: String,
    store: Arc<dyn Store>,
    quarantine: Arc<dyn Quarantine>,
    snapshots: Option<Arc<dyn Snapshots>>,
    filter: Option<Filter>,
    announce: Option<Arc<dyn Announce>>,
    progress: Option<Arc<dyn Progress>>,
    clock: fn() -> Timestamp,
}

/// What is learnt of a batch's messages when they are folded.
#[derive(Default)]
struct Learnt {
    ages: Vec<i64>,
    links: Vec<TraceParent>,
    /// What somebody waits for, with its message.
    awaited: Vec<(usize, Mark)>,
    /// How many events of each major version were folded.
    reads: BTreeMap<String, u64>,
}

/// Why an invocation fails as a whole: it is to be tried again by the service that made it.
#[derive(Debug, thiserror::Error)]
pub enum ConsumeError {
    /// The payload can't be taken apart.
    #[error("the payload can't be read")]
    Payload(#[from] NotJson),
    /// A message that was handed over alone could not be applied for now.
    #[error("the event could not be applied for now")]
    Unfinished,
}

/// What became of a batch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// Messages that were delivered.
    pub messages: usize,
    /// Messages whose effect is stored now and was not before.
    pub applied: usize,
    /// Messages that were older than what is stored.
    pub stale: usize,
    /// Messages whose effect was stored already.
    pub duplicate: usize,
    /// Messages that went to the quarantine.
    pub quarantined: usize,
    /// Messages of a type that the projection doesn't fold.
    pub ignored: usize,
    /// Messages that are kept until it is their turn. Those that wait for one that never came as yet are to be delivered
    /// again, and named below too; those that wait for one in the quarantine are not.
    pub waiting: usize,
    /// Events that had waited and are applied now, besides the messages.
    pub resumed: usize,
    /// The ids of messages that are to be delivered again.
    pub failed: Vec<String>,
    /// Write units.
    pub units: f64,
}

impl Report {
    /// The answer that Lambda wants: which messages are to come again.
    pub fn answer(&self) -> Value {
        let failures: Vec<Value> = self.failed.iter().map(|id| json!({ "itemIdentifier": id })).collect();
        json!({ "batchItemFailures": failures })
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Fate {
    Ignored,
    Duplicate,
    Stale,
    Applied,
    /// It is kept until one that is in the quarantine is redriven.
    Behind,
    Quarantined(Reason, String),
    /// It is kept, and to come again.
    Early,
    Failed,
}

impl Consumer {
    /// The consumer of a projection of a micrograph, writing to a table of that name.
    pub fn new(
        micrograph: impl Into<String>,
        projection: Projection,
        table: impl Into<String>,
        store: Arc<dyn Store>,
        quarantine: Arc<dyn Quarantine>,
        clock: fn() -> Timestamp,
    ) -> Self {
        let (micrograph, table) = (micrograph.into(), table.into());
        let (snapshots, filter) = (None, Some(Filter::default()));
        let (announce, progress) = (None, None);
        Self {
            micrograph,
            projection,
            table,
            store,
            quarantine,
            snapshots,
            filter,
            announce,
            progress,
            clock,
        }
    }

    /// Has items go on from the state of their source where changes that have an order never come.
    #[must_use]
    pub fn snapshots(mut self, snapshots: Arc<dyn Snapshots>) -> Self {
        self.snapshots = Some(snapshots);
        self
    }

    /// Tells what changed, so that caches drop it.
    #[must_use]
    pub fn announcing(mut self, announce: Arc<dyn Announce>) -> Self {
        self.announce = Some(announce);
        self
    }

    /// Tells how far it is with what somebody waits for.
    #[must_use]
    pub fn marking(mut self, progress: Arc<dyn Progress>) -> Self {
        self.progress = Some(progress);
        self
    }

    /// Writes everything, known to be older or not.
    #[must_use]
    pub fn without_filter(mut self) -> Self {
        self.filter = None;
        self
    }

    /// Handles one invocation's payload. Messages that could not be applied before the deadline are named in the
    /// answer, as Lambda's partial batch response wants them.
    pub async fn handle(&self, payload: &[u8], deadline: Option<Instant>) -> Result<Value, ConsumeError> {
        Ok(self.consume(payload, deadline).await?.answer())
    }

    /// Handles one invocation's payload and tells what became of it.
    pub async fn consume(&self, payload: &[u8], deadline: Option<Instant>) -> Result<Report, ConsumeError> {
        let delivery = delivery::take_apart(payload)?;
        let report = self.apply(&delivery.messages, deadline).await;
        if !delivery.partial && !report.failed.is_empty() {
            return Err(ConsumeError::Unfinished);
        }
        Ok(report)
    }

    async fn apply(&self, messages: &[Message<'_>], deadline: Option<Instant>) -> Report {
        let mut fates = vec![Fate::Ignored; messages.len()];
        let mut learnt = Learnt::default();
        let mut joins = Vec::new();
        for (index, message) in messages.iter().enumerate() {
            match self.fold(index, message, &mut learnt) {
                Ok(folded) => {
                    if message.repair {
                        self.forget(&folded);
                    }
                    joins.extend(folded.into_iter().map(|join| (index, join)));
                }
                Err((reason, detail)) => fates[index] = Fate::Quarantined(reason, detail),
            }
        }
        let Learnt { ages, links, awaited, reads } = learnt;
        self.count(&reads);
        let span = telemetry::span::consumer(&self.micrograph, self.projection.name(), messages.len(), links);
        let done = self.write_all(messages, joins, deadline, &mut fates).instrument(span.clone()).await;
        self.keep(messages, &mut fates).instrument(span.clone()).await;
        self.release(messages, &mut fates).instrument(span.clone()).await;
        self.mark(awaited, &fates).instrument(span).await;
        self.report(messages, &fates, &done, &ages)
    }

    /// Writes a batch's joins.
    async fn write_all(
        &self,
        messages: &[Message<'_>],
        joins: Vec<(usize, Join)>,
        deadline: Option<Instant>,
        fates: &mut [Fate],
    ) -> Done {
        let (work, forks) = batch::coalesce(joins);
        let mut all = Done::default();
        let cutoff = deadline.map(|deadline| deadline.checked_sub(DEADLINE_MARGIN).unwrap_or(deadline));
        let name = format!("{}-{}", self.micrograph, self.projection.name());
        let write = |work| {
            let tags = self.announce.as_ref().map(|_| told::tags(&work, &name, &self.projection));
            let write = self.write(messages, work, cutoff);
            async move { (write.await, tags) }
        };
        let writes: Vec<_> = work.into_iter().map(write).collect();
        let mut writes = futures::stream::iter(writes).buffer_unordered(CONCURRENT_WRITES);
        let mut changed = BTreeSet::new();
        while let Some((done, tags)) = writes.next().await {
            all.units += done.units;
            all.resumed += done.resumed;
            // A duplicate may be of a process that ended before it told.
            if done.fates.iter().any(|(_, fate)| matches!(fate, Fate::Applied | Fate::Duplicate)) {
                changed.extend(tags.into_iter().flatten());
            }
            for (message, fate) in done.fates {
                fates[message].join(fate);
            }
        }
        if let Some(announce) = &self.announce
            && !changed.is_empty()
        {
            announce.changed(&self.table, changed).await;
        }
        for fork in forks {
            fates[fork.0].join(forked());
        }
        all
    }

    /// Notes for who waits how far the projection is now: with every message that is dealt with for good.
    async fn mark(&self, awaited: Vec<(usize, Mark)>, fates: &[Fate]) {
        let Some(progress) = &self.progress else { return };
        let dealt = |at: usize| !matches!(fates[at], Fate::Failed | Fate::Quarantined(..));
        let marks: Vec<Mark> =
            awaited.into_iter().filter(|(at, _)| dealt(*at)).map(|(_, mark)| mark).collect();
        if marks.is_empty() {
            return;
        }
        if let Err(error) = progress.reached(&self.table, &marks).await {
            let error = telemetry::error_chain(&error);
            tracing::warn!(error, "how far the projection is can't be noted; who waits for it waits in vain");
        }
    }

    fn fold(
        &self,
        index: usize,
        message: &Message<'_>,
        learnt: &mut Learnt,
    ) -> Result<Vec<Join>, (Reason, String)> {
        if let Some(why) = &message.malformed {
            return Err((Reason::Malformed, why.clone()));
        }
        let malformed = |error: decode::Malformed| (Reason::Malformed, error.to_string());
        let envelope = decode::unwrap(&message.body).map_err(malformed)?;
        let header = decode::header(&envelope).map_err(malformed)?;
        let joins = match self.projection.fold(&header) {
            Ok(None) => return Ok(Vec::new()),
            Ok(Some(joins)) => joins,
            Err(error) => {
                let reason = match error {
                    FoldError::UnknownMajor { .. } => Reason::UnknownMajor,
                    FoldError::SchemaViolation(_) => Reason::SchemaViolation,
                    FoldError::Rejected(_) => Reason::HandlerRejected,
                };
                return Err((reason, error.to_string()));
            }
        };
        if metrics::enabled() && !joins.is_empty() {
            let event = format!("{}.{}.v{}", header.domain, header.name, header.major);
            *learnt.reads.entry(event).or_default() += 1;
        }
        let age = (self.clock)().duration_since(header.time).as_millis();
        learnt.ages.push(i64::try_from(age).unwrap_or(i64::MAX));
        learnt.links.extend(header.traceparent.as_deref().and_then(TraceParent::parse));
        if header.awaited {
            let subject = Write::subject(&header.domain, &header.subject);
            learnt.awaited.push((index, Mark { subject, version: header.version.packed() }));
        }
        Ok(joins)
    }

    /// Counts which major versions of which events are read: one that nobody reads any more can be retired.
    fn count(&self, reads: &BTreeMap<String, u64>) {
        for (event, count) in reads {
            let dimensions = [
                ("Micrograph", self.micrograph.as_str()),
                ("Projection", self.projection.name()),
                ("Event", event),
            ];
            metrics::counter(metrics::EVENTS_READ, *count, &dimensions);
        }
    }

    /// Does one piece of work, unless the time for it is over.
    async fn write(&self, messages: &[Message<'_>], work: Work, cutoff: Option<Instant>) -> Done {
        let depending = messages_of(&work);
        let all = |fate: Fate| Done {
            fates: depending.iter().map(|message| (*message, fate.clone())).collect(),
            ..Done::default()
        };
        if cutoff.is_some_and(|cutoff| Instant::now() >= cutoff) {
            return all(Fate::Failed);
        }
        let written = async {
            match cutoff {
                None => Some(self.join(messages, work).await),
                // A write that is given up may still be applied: it will be a duplicate when it comes again.
                Some(cutoff) => tokio::time::timeout_at(cutoff, self.join(messages, work)).await.ok(),
            }
        };
        match written.await {
            Some(Ok(done)) => done,
            Some(Err(StoreError::Refused { reason, .. })) => {
                all(Fate::Quarantined(Reason::HandlerRejected, reason))
            }
            Some(Err(error)) => {
                let error = telemetry::error_chain(&error);
                tracing::warn!(
                    error,
                    messages = depending.len(),
                    "a write failed for now; its messages come again"
                );
                all(Fate::Failed)
            }
            None => all(Fate::Failed),
        }
    }

    async fn join(&self, messages: &[Message<'_>], work: Work) -> Result<Done, StoreError> {
        match work {
            Work::Put { put, messages, older } => {
                let (key, source) = (&put.key, put.source);
                let (outcome, units) = match self.known(key, source, put.version, &put.hash) {
                    Some(outcome) => (outcome, 0.0),
                    None => single(&self.store.put(&self.table, &put).await?),
                };
                self.learn(key, source, put.version, &put.hash, outcome);
                Ok(Done::of(tell(outcome, &messages, &older), units))
            }
            Work::Add { dots } => {
                let (dots, messages): (Vec<Dot>, Vec<usize>) = dots.into_iter().unzip();
                let written = self.store.add(&self.table, &dots).await?;
                let fates = written.outcomes.iter().map(|outcome| fate(*outcome));
                Ok(Done::of(messages.into_iter().zip(fates).collect(), written.units))
            }
            Work::Contribute { contributions } => self.contribute(contributions).await,
            Work::Step { key, steps } => self.step(messages, &key, steps).await,
        }
    }

    async fn contribute(
        &self,
        contributions: Vec<(Contribution, Vec<usize>, Vec<usize>)>,
    ) -> Result<Done, StoreError> {
        let mut told = Vec::new();
        let mut unknown: Vec<Contribution> = Vec::new();
        let mut waiting = Vec::new();
        for (it, messages, older) in contributions {
            if let Some(outcome) = self.known(&it.child(), None, it.version, &it.hash) {
                told.extend(tell(outcome, &messages, &older));
            } else {
                unknown.push(it);
                waiting.push((messages, older));
            }
        }
        if unknown.is_empty() {
            return Ok(Done::of(told, 0.0));
        }
        let written = self.store.contribute(&self.table, &unknown).await?;
        for ((it, outcome), (messages, older)) in unknown.iter().zip(&written.outcomes).zip(waiting) {
            self.learn(&it.child(), None, it.version, &it.hash, *outcome);
            told.extend(tell(*outcome, &messages, &older));
        }
        Ok(Done::of(told, written.units))
    }

    fn known(
        &self,
        key: &Key,
        source: Option<&'static str>,
        version: Version,
        hash: &str,
    ) -> Option<Outcome> {
        self.filter.as_ref()?.outcome(key, source, version, hash)
    }

    /// What was found missing is written, whatever this container remembers.
    fn forget(&self, joins: &[Join]) {
        let Some(filter) = &self.filter else { return };
        for join in joins {
            match join {
                Join::Put(put) => filter.forget(&put.key, put.source),
                Join::Contribution(it) => filter.forget(&it.child(), None),
                Join::Step(step) => filter.forget(&step.key, None),
                Join::Dot(_) => {}
            }
        }
    }

    fn learn(&self, key: &Key, source: Option<&'static str>, version: Version, hash: &str, outcome: Outcome) {
        let Some(filter) = &self.filter else { return };
        match outcome {
            Outcome::Applied | Outcome::Duplicate => filter.learn(key, source, version, hash),
            // The content of the newer version isn't known: no digest is ever equal to none.
            Outcome::Stale(Some(newer)) => filter.learn(key, source, newer, ""),
            Outcome::Stale(None) | Outcome::Forked => {}
        }
    }

    /// Puts messages into the quarantine; one that can't be kept now is to come again.
    async fn keep(&self, messages: &[Message<'_>], fates: &mut [Fate]) {
        for (message, fate) in messages.iter().zip(fates) {
            let Fate::Quarantined(reason, detail) = &*fate else { continue };
            let envelope = envelope(message);
            let (reason, detail) = (*reason, json::bounded(detail.clone()));
            let consumer = self.projection.name();
            tracing::warn!(consumer, ?reason, detail, message_id = %message.id, "a message is quarantined");
            let redrive = message.redrive.as_deref();
            let kept =
                Quarantined { consumer, reason, detail, raw: &message.body, envelope: &envelope, redrive };
            if let Err(error) = self.quarantine.keep(&kept).await {
                let error = telemetry::error_chain(&error);
                tracing::error!(error, message_id = %message.id, "the quarantine failed; the message comes again");
                *fate = Fate::Failed;
            }
        }
    }

    /// Lets go of the entries whose messages were redriven and are applied now; where that fails, the message is to
    /// come again.
    async fn release(&self, messages: &[Message<'_>], fates: &mut [Fate]) {
        for (message, fate) in messages.iter().zip(fates) {
            let Some(redrive) = message.redrive.as_deref() else { continue };
            if !matches!(fate, Fate::Applied | Fate::Duplicate | Fate::Stale) {
                continue;
            }
            if let Err(error) = self.quarantine.applied(redrive).await {
                let error = telemetry::error_chain(&error);
                tracing::error!(error, message_id = %message.id, "a redriven message is applied, its entry not removed; it comes again");
                *fate = Fate::Failed;
            }
        }
    }

    fn report(&self, messages: &[Message<'_>], fates: &[Fate], done: &Done, ages: &[i64]) -> Report {
        let Done { units, resumed, .. } = *done;
        let mut report = Report { messages: messages.len(), units, resumed, ..Report::default() };
        let mut failed = BTreeSet::new();
        for (message, fate) in messages.iter().zip(fates) {
            match fate {
                Fate::Applied => report.applied += 1,
                Fate::Stale => report.stale += 1,
                Fate::Duplicate => report.duplicate += 1,
                Fate::Quarantined(..) => report.quarantined += 1,
                Fate::Ignored => report.ignored += 1,
                Fate::Behind => report.waiting += 1,
                Fate::Early => {
                    report.waiting += 1;
                    failed.insert(message.id.to_string());
                }
                Fate::Failed => _ = failed.insert(message.id.to_string()),
            }
        }
        report.failed = failed.into_iter().collect();
        metrics::batch(&BatchMetrics {
            micrograph: &self.micrograph,
            projection: self.projection.name(),
            size: report.messages as u64,
            applied: report.applied as u64,
            stale: report.stale as u64,
            duplicate: report.duplicate as u64,
            quarantined: report.quarantined as u64,
            ignored: report.ignored as u64,
            waiting: report.waiting as u64,
            failed: report.failed.len() as u64,
            write_units: units,
            event_ages_ms: ages,
            cold_start: metrics::cold_start(),
        });
        report
    }
}

impl Fate {
    /// A message's fate is the gravest of its joins' fates: one that failed makes it come again, where the others
    /// are duplicates then.
    fn join(&mut self, other: Self) {
        if other.rank() > self.rank() {
            *self = other;
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Ignored => 0,
            Self::Duplicate => 1,
            Self::Stale => 2,
            Self::Applied => 3,
            Self::Behind => 4,
            Self::Quarantined(..) => 5,
            Self::Early => 6,
            Self::Failed => 7,
        }
    }
}

/// What came of a piece of work.
#[derive(Default)]
struct Done {
    /// The fate of each message.
    fates: Vec<(usize, Fate)>,
    /// Write units.
    units: f64,
    /// Events that had waited and are applied now.
    resumed: usize,
}

impl Done {
    fn of(fates: Vec<(usize, Fate)>, units: f64) -> Self {
        Self { fates, units, resumed: 0 }
    }
}

/// The envelope of a message, or its body where there is none.
fn envelope<'a>(message: &'a Message<'_>) -> Cow<'a, str> {
    decode::unwrap(&message.body).unwrap_or(Cow::Borrowed(&message.body))
}

fn fate(outcome: Outcome) -> Fate {
    match outcome {
        Outcome::Applied => Fate::Applied,
        Outcome::Duplicate => Fate::Duplicate,
        Outcome::Stale(_) => Fate::Stale,
        Outcome::Forked => forked(),
    }
}

fn forked() -> Fate {
    let why = "another content is stored for this version: two writers made it".to_owned();
    Fate::Quarantined(Reason::VersionFork, why)
}

/// The fate of the messages of the newest version, and of those with an older one, which it replaces.
fn tell(outcome: Outcome, newest: &[usize], older: &[usize]) -> Vec<(usize, Fate)> {
    let newest = newest.iter().map(|message| (*message, fate(outcome)));
    newest.chain(older.iter().map(|message| (*message, Fate::Stale))).collect()
}

fn single(written: &Written) -> (Outcome, f64) {
    (written.outcomes.first().copied().unwrap_or(Outcome::Applied), written.units)
}

fn messages_of(work: &Work) -> Vec<usize> {
    match work {
        Work::Put { messages, older, .. } => [messages.as_slice(), older].concat(),
        Work::Add { dots } => dots.iter().map(|(_, message)| *message).collect(),
        Work::Contribute { contributions } => contributions
            .iter()
            .flat_map(|(_, messages, older)| messages.iter().chain(older))
            .copied()
            .collect(),
        Work::Step { steps, .. } => steps.iter().map(|(_, message)| *message).collect(),
    }
}
