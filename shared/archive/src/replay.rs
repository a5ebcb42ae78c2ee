//! Replay: the archive's events again, by filter, at a rate, from where it was left.

use crate::filter::{Filter, Span};
use crate::name::{Hour, ObjectName};
use crate::object::{self, Damaged};
use crate::store::{Archive, Content, Listed, StorageError};
use async_trait::async_trait;
use futures::StreamExt as _;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::num::NonZeroU32;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The most events that a sink is handed at once.
pub const SEND: usize = 500;

/// The most bytes that a sink is handed at once; only one event alone is larger.
pub const SEND_BYTES: usize = 4 * 1024 * 1024;

/// Objects that are read ahead.
pub const AHEAD: usize = 4;

/// The most events of an hour that are remembered, so that one which was archived twice is sent once.
pub const FOLDED: usize = 1_000_000;

/// The most damaged objects that are listed; all are counted.
pub const LISTED: usize = 1_000;

/// Why a sink can't take events.
pub type SinkError = Box<dyn std::error::Error + Send + Sync>;

/// Where replayed events go.
#[async_trait]
pub trait Sink: Send + Sync {
    /// Takes envelopes, byte by byte as they were on the bus. When this returns they must be stored.
    async fn send(&self, envelopes: Vec<Arc<str>>) -> Result<(), SinkError>;
}

/// How far a replay came: the name of the last object whose events were all sent.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cursor(ObjectName);

/// A text that is no cursor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no object of the archive; a cursor is the name of one")]
pub struct NoCursor(pub String);

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Cursor {
    type Err = NoCursor;

    fn from_str(text: &str) -> Result<Self, NoCursor> {
        ObjectName::parse(text).map(Self).ok_or_else(|| NoCursor(text.to_owned()))
    }
}

impl TryFrom<String> for Cursor {
    type Error = NoCursor;

    fn try_from(text: String) -> Result<Self, NoCursor> {
        text.parse()
    }
}

impl From<Cursor> for String {
    fn from(cursor: Cursor) -> Self {
        cursor.to_string()
    }
}

/// What was replayed so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Replayed {
    /// Objects that were to be read when the replay began.
    pub objects: u64,
    /// Events in them.
    pub events: u64,
    /// Objects that were read, damaged ones too.
    pub objects_done: u64,
    /// Objects that can't be read as they were written.
    pub damaged: u64,
    /// Events that were read.
    pub read: u64,
    /// Events that the filter lets through.
    pub matched: u64,
    /// Events that were sent: those that matched, once each.
    pub sent: u64,
    /// From where to go on.
    pub cursor: Option<Cursor>,
}

/// Why a replay is not complete. What was sent stays sent; the cursor says from where to go on.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The object store failed.
    #[error("the replay stopped after {} events", so_far.sent)]
    Storage {
        /// What was replayed.
        so_far: Box<Replayed>,
        /// Why it failed.
        #[source]
        source: StorageError,
    },
    /// The sink takes no more.
    #[error("the replay stopped after {} events: they can't be sent", so_far.sent)]
    Sink {
        /// What was replayed.
        so_far: Box<Replayed>,
        /// Why it takes no more.
        #[source]
        source: SinkError,
    },
    /// All was replayed but for objects that can't be read.
    #[error("{} objects are damaged; all the others were replayed ({} events)", so_far.damaged, so_far.sent)]
    Damaged {
        /// What was replayed.
        so_far: Box<Replayed>,
        /// The objects, [`LISTED`] at most.
        objects: Vec<Damaged>,
    },
}

impl ReplayError {
    /// What was replayed.
    pub fn so_far(&self) -> &Replayed {
        match self {
            Self::Storage { so_far, .. } | Self::Sink { so_far, .. } | Self::Damaged { so_far, .. } => so_far,
        }
    }
}

impl Archive {
    /// Sends every event that the filter wants to the sink, from the cursor on, `rate` of them a second at most.
    ///
    /// Each is sent at least once, and once only within an hour's objects. What is archived meanwhile may be sent or
    /// not: who needs it must have subscribed before. `progress` is called after each step.
    pub async fn replay(
        &self,
        filter: &Filter,
        cursor: Option<&Cursor>,
        rate: Option<NonZeroU32>,
        sink: &dyn Sink,
        progress: &(dyn Fn(&Replayed) + Send + Sync),
    ) -> Result<Replayed, ReplayError> {
        let mut run = Run {
            archive: self,
            filter,
            sink,
            progress,
            pace: Pace::new(rate),
            so_far: Replayed { cursor: cursor.cloned(), ..Replayed::default() },
            damaged: Vec::new(),
            hour: None,
            ready: Vec::new(),
            ready_bytes: 0,
            reached: None,
        };
        let span = filter.span();
        if let Err(failure) = run.all(&span, cursor).await {
            let so_far = Box::new(run.so_far);
            return Err(match failure {
                Failure::Storage(source) => ReplayError::Storage { so_far, source },
                Failure::Sink(source) => ReplayError::Sink { so_far, source },
            });
        }
        if run.damaged.is_empty() {
            return Ok(run.so_far);
        }
        Err(ReplayError::Damaged { so_far: Box::new(run.so_far), objects: run.damaged })
    }
}

enum Failure {
    Storage(StorageError),
    Sink(SinkError),
}

struct Run<'a> {
    archive: &'a Archive,
    filter: &'a Filter,
    sink: &'a dyn Sink,
    progress: &'a (dyn Fn(&Replayed) + Send + Sync),
    pace: Pace,
    so_far: Replayed,
    damaged: Vec<Damaged>,
    hour: Option<InHour>,
    /// Events that are to be sent. They are those of whole objects, the last one aside.
    ready: Vec<Arc<str>>,
    ready_bytes: usize,
    /// The last object that was read.
    reached: Option<ObjectName>,
}

/// The hour that is being replayed.
struct InHour {
    domain: String,
    hour: Hour,
    seen: HashSet<u128>,
    /// Whether an object was gone: what replaced it is to be looked for.
    moved: bool,
    last: ObjectName,
}

impl Run<'_> {
    async fn all(&mut self, span: &Span, cursor: Option<&Cursor>) -> Result<(), Failure> {
        let after = |object: &Listed| cursor.is_none_or(|cursor| object.name > cursor.0);
        let mut days = self.archive.days(span).await.map_err(Failure::Storage)?;
        days.retain(|day| cursor.is_none_or(|cursor| day.reaches(&cursor.0)));
        for day in &days {
            for object in self.archive.day(day, span).await.map_err(Failure::Storage)? {
                if after(&object) {
                    self.so_far.objects += 1;
                    self.so_far.events += object.name.events;
                }
            }
        }
        (self.progress)(&self.so_far);
        for day in &days {
            let mut objects = self.archive.day(day, span).await.map_err(Failure::Storage)?;
            objects.retain(after);
            self.objects(objects).await?;
            self.end_hour().await?;
        }
        self.flush().await?;
        self.so_far.cursor = self.reached.take().map(Cursor).or(self.so_far.cursor.take());
        (self.progress)(&self.so_far);
        Ok(())
    }

    async fn objects(&mut self, objects: Vec<Listed>) -> Result<(), Failure> {
        let archive = self.archive;
        let reads: Vec<_> = objects
            .into_iter()
            .map(|object| async move {
                let content = archive.read(&object).await;
                (object, content)
            })
            .collect();
        let mut reads = futures::stream::iter(reads).buffered(AHEAD);
        while let Some((object, content)) = reads.next().await {
            let same = |at: &InHour| at.hour == object.name.hour && at.domain == object.name.domain;
            if !self.hour.as_ref().is_some_and(same) {
                self.end_hour().await?;
            }
            self.object(object, content.map_err(Failure::Storage)?).await?;
        }
        Ok(())
    }

    /// Looks for what replaced objects of the hour while it was replayed.
    async fn end_hour(&mut self) -> Result<(), Failure> {
        while let Some(at) = self.hour.as_mut().filter(|at| at.moved) {
            at.moved = false;
            let (domain, hour, last) = (at.domain.clone(), at.hour, at.last.clone());
            let objects = self.archive.hour(&domain, hour).await.map_err(Failure::Storage)?;
            for object in objects.into_iter().filter(|object| object.name > last) {
                let content = self.archive.read(&object).await.map_err(Failure::Storage)?;
                self.object(object, content).await?;
            }
        }
        self.hour = None;
        Ok(())
    }

    async fn object(&mut self, object: Listed, content: Content) -> Result<(), Failure> {
        let name = &object.name;
        let at = self.hour.get_or_insert_with(|| InHour {
            domain: name.domain.clone(),
            hour: name.hour,
            seen: HashSet::new(),
            moved: false,
            last: name.clone(),
        });
        at.last = name.clone();
        match content {
            Content::Lines(lines) => {
                if let Err(damaged) = self.lines(&object, &lines).await? {
                    self.note(damaged);
                }
            }
            Content::Damaged(damaged) => self.note(damaged),
            // Its events are in an object that comes later in the order.
            Content::Gone => at.moved = true,
        }
        self.so_far.objects_done += 1;
        if self.ready.is_empty() || self.ready.len() >= SEND {
            self.flush().await?;
        }
        if self.ready.is_empty() {
            self.so_far.cursor = Some(Cursor(object.name.clone()));
        }
        self.reached = Some(object.name);
        (self.progress)(&self.so_far);
        Ok(())
    }

    fn note(&mut self, damaged: Damaged) {
        tracing::warn!(object = damaged.object, why = damaged.why, "an object of the archive is damaged");
        self.so_far.damaged += 1;
        if self.damaged.len() < LISTED {
            self.damaged.push(damaged);
        }
    }

    async fn lines(&mut self, object: &Listed, lines: &str) -> Result<Result<(), Damaged>, Failure> {
        let every = self.filter.wants_all_of(object.name.hour);
        for line in lines.lines() {
            self.so_far.read += 1;
            if !every {
                match object::header(&object.path, line) {
                    Ok(header) if self.filter.wants(&header) => {}
                    Ok(_) => continue,
                    Err(damaged) => return Ok(Err(damaged)),
                }
            }
            self.so_far.matched += 1;
            if let Some(at) = &mut self.hour {
                if at.seen.len() >= FOLDED {
                    at.seen.clear();
                }
                if !at.seen.insert(fingerprint(line)) {
                    continue;
                }
            }
            if self.ready_bytes + line.len() > SEND_BYTES || self.ready.len() >= 2 * SEND {
                self.flush().await?;
            }
            self.ready_bytes += line.len();
            self.ready.push(line.into());
        }
        Ok(Ok(()))
    }

    async fn flush(&mut self) -> Result<(), Failure> {
        self.ready_bytes = 0;
        let mut ready = std::mem::take(&mut self.ready).into_iter().peekable();
        while ready.peek().is_some() {
            let some: Vec<_> = ready.by_ref().take(self.pace.stride).collect();
            let count = some.len() as u64;
            self.pace.wait(count).await;
            self.sink.send(some).await.map_err(Failure::Sink)?;
            self.so_far.sent += count;
            if ready.peek().is_some() {
                (self.progress)(&self.so_far);
            }
        }
        Ok(())
    }
}

/// 128 bits that tell lines apart.
pub(crate) fn fingerprint(line: &str) -> u128 {
    let half = |seed: u8| {
        let mut hasher = DefaultHasher::new();
        (seed, line).hash(&mut hasher);
        u128::from(hasher.finish())
    };
    half(0) << 64 | half(1)
}

/// Keeps events to a rate.
struct Pace {
    rate: Option<NonZeroU32>,
    stride: usize,
    next: Option<Instant>,
}

impl Pace {
    fn new(rate: Option<NonZeroU32>) -> Self {
        // A tenth of a second's worth at once, so that a low rate is a steady one.
        let stride = rate.map_or(SEND, |rate| (rate.get() as usize / 10).clamp(1, SEND));
        Self { rate, stride, next: None }
    }

    /// Waits until `count` more events may go.
    async fn wait(&mut self, count: u64) {
        let Some(rate) = self.rate else { return };
        let now = Instant::now();
        let at = self.next.map_or(now, |next| next.max(now));
        tokio::time::sleep_until(at).await;
        #[expect(clippy::cast_precision_loss, reason = "a count of 500 at most")]
        let share = Duration::from_secs_f64(count as f64 / f64::from(rate.get()));
        self.next = Some(at + share);
    }
}
