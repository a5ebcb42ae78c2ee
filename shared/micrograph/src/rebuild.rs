//! A rebuild while the projection is served: a candidate is fed and filled beside the generation that is read,
//! compared with its sources, and swapped in by one conditional write.
//!
//! Subscribed first, filled then: an event of which a scan knows nothing yet is in the queue by then. What is filled
//! in are ordinary deliveries, in no order; every apply is a join, so nothing has to be held back meanwhile.

pub mod ask;
pub mod aws;
mod past;
pub mod place;
pub mod role;

pub use ask::{Answer, Ask, Audited, Listed, Named, Rebuilt, Unfinished};

use crate::app::{App, SetUpError};
use crate::manifest::Parts;
use async_trait::async_trait;
use projection::Generation;
use projection::audit::{Audit, AuditError, Sink, Source, SourceError};
use projection::generation::{Alias, Progress, TransitionError};
use projection::store::StoreError;
use std::sync::Arc;
use telemetry::metrics;

/// How often a candidate is compared before what still differs counts: between two looks, what was on its way arrives.
pub const LOOKS: u32 = 4;

/// Where generations live: creates and removes what they need, and feeds their queues. The local suite is one; on AWS
/// it is the account.
#[async_trait]
pub trait Site: Send + Sync {
    /// Creates the table, the queue and the consumer, and subscribes the queue; each that exists is left as it is.
    async fn raise(&self, app: &App, parts: &Parts) -> Result<(), SiteError>;

    /// Puts events on a queue, as a repair with the attribute [`projection::delivery::REPAIR`]; they are durable there
    /// once this returns.
    async fn send(&self, queue: &str, events: Vec<Arc<str>>, repair: bool) -> Result<(), SiteError>;

    /// Waits until what is on a queue now was handled.
    async fn settled(&self, queue: &str) -> Result<(), SiteError>;

    /// Removes the consumer, the subscription, the queue and the table; each that is gone already is passed over.
    async fn retire(&self, app: &App, projection: &str, generation: Generation) -> Result<(), SiteError>;

    /// Whether a generation that was given up may still be fed, because [`Site::retire`] leaves that to others.
    async fn may_feed(&self, _: &App, _: &str, _: Generation) -> Result<bool, SiteError> {
        Ok(false)
    }
}

/// Why a site can't do as asked.
#[derive(Debug, thiserror::Error)]
#[error("{what} failed")]
pub struct SiteError {
    /// What was tried.
    pub what: String,
    /// Why it failed.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

impl SiteError {
    /// What was tried, and why it failed.
    pub fn new(what: impl Into<String>, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self { what: what.into(), source: source.into() }
    }
}

impl From<SetUpError> for SiteError {
    fn from(error: SetUpError) -> Self {
        Self::new("creating a table", error)
    }
}

/// Why a rebuild did not come to its end. It may be begun again: it goes on with the same candidate.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// The micrograph has no such projection.
    #[error("{micrograph} has no projection `{projection}`; it has {}", .known.join(", "))]
    Unknown {
        /// The micrograph.
        micrograph: &'static str,
        /// What was asked for.
        projection: String,
        /// What there is.
        known: Vec<&'static str>,
    },
    /// This build can't feed the generation.
    #[error(
        "this build has no folds for generation {0}: deploy the version that has, or keep it with `keeps`"
    )]
    NoFolds(Generation),
    /// The generations, as they stand, don't allow it.
    #[error(transparent)]
    Transition(#[from] TransitionError),
    /// The site failed.
    #[error(transparent)]
    Site(#[from] SiteError),
    /// The candidate could not be compared.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// The sources can't be read.
    #[error(transparent)]
    Source(#[from] SourceError),
}

impl From<StoreError> for RebuildError {
    fn from(error: StoreError) -> Self {
        Self::Transition(error.into())
    }
}

/// How far a rebuild is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The candidate is fed.
    Raised(Generation),
    /// So many events of its past are on its queue.
    Filled(u64),
    /// Its queue was empty.
    CaughtUp,
    /// It was compared: so many parts, of which so many differ.
    Compared(u64, u64),
}

/// A candidate that was built.
#[derive(Clone, Debug)]
pub struct Built {
    /// The candidate.
    pub generation: Generation,
    /// How many events it was filled with.
    pub events: u64,
    /// What the comparison with its sources saw; it may be swapped in if this is clean.
    pub audit: Audit,
}

/// Rebuilds projections of a micrograph.
pub struct Rebuild<'a> {
    /// The micrograph.
    pub app: &'a App,
    /// Where it lives.
    pub site: &'a dyn Site,
    /// What its projections are made from.
    pub source: &'a dyn Source,
    /// Is told how far it is.
    pub tell: &'a (dyn Fn(Step) + Send + Sync),
    /// See [`projection::audit::Auditor::passes`].
    pub passes: u32,
}

impl Rebuild<'_> {
    /// Builds a candidate with this build's folds, beside the generation that is read, and compares it. What was begun
    /// before goes on.
    ///
    /// # Errors
    /// See [`RebuildError`]; the generation that is read is untouched in each case.
    pub async fn build(&self, projection: &str) -> Result<Built, RebuildError> {
        let (generation, parts) = self.begin(projection).await?;
        let mut feed = Fill { site: self.site, queue: &parts.queue.name, tell: self.tell, events: 0 };
        let types = self.types(projection, generation)?;
        self.source.read(&types, &mut feed).await?;
        let events = feed.events;
        self.catch_up(&parts).await?;
        self.judge(projection, generation, events).await
    }

    /// Begins a candidate, or goes on with the one that was begun; from now on it is fed.
    pub(crate) async fn begin(&self, projection: &str) -> Result<(Generation, Parts), RebuildError> {
        let version = self.version(projection)?;
        self.finish_removal(projection).await?;
        let alias = self.app.aliases().begin(projection, version).await?;
        let Some((generation, _)) = alias.candidate else {
            return Err(TransitionError::from(projection::generation::Refused::NoCandidate).into());
        };
        let parts = self.parts(projection, generation)?;
        self.site.raise(self.app, &parts).await?;
        (self.tell)(Step::Raised(generation));
        Ok((generation, parts))
    }

    /// Waits until what the candidate was filled with is handled.
    pub(crate) async fn catch_up(&self, parts: &Parts) -> Result<(), RebuildError> {
        self.site.settled(&parts.queue.name).await?;
        (self.tell)(Step::CaughtUp);
        Ok(())
    }

    /// Compares the candidate with its sources, and notes what came of it.
    pub(crate) async fn judge(
        &self,
        projection: &str,
        generation: Generation,
        events: u64,
    ) -> Result<Built, RebuildError> {
        let audit = self.compare(projection, generation).await?;
        let verdict = if audit.is_clean() { Progress::Verified } else { Progress::Failed };
        self.app.aliases().judge(projection, generation, verdict).await?;
        Ok(Built { generation, events, audit })
    }

    /// Compares a generation with its sources, until nothing differs or what differs has stayed so for [`LOOKS`].
    pub async fn compare(&self, projection: &str, generation: Generation) -> Result<Audit, RebuildError> {
        let folds =
            self.app.micrograph().folds(projection, generation).ok_or(RebuildError::NoFolds(generation))?;
        let queue = self.parts(projection, generation)?.queue.name;
        let mut seen: Option<Audit> = None;
        for _ in 0..LOOKS {
            let audit = self.app.audit(folds, generation, self.source, self.passes).await?;
            let audit = match &seen {
                None => audit,
                Some(earlier) => audit.persisting(earlier),
            };
            (self.tell)(Step::Compared(audit.compared, audit.drifted));
            let is_clean = audit.is_clean();
            seen = Some(audit);
            if is_clean {
                break;
            }
            self.site.settled(&queue).await?;
        }
        let audit = seen.unwrap_or_default();
        let dimensions = [("Micrograph", self.app.name()), ("Projection", projection)];
        metrics::counter(metrics::PARTS_COMPARED, audit.compared, &dimensions);
        metrics::counter(metrics::PARTS_DRIFTED, audit.drifted, &dimensions);
        Ok(audit)
    }

    /// Delivers to a generation the events that an audit found lost or stale, and compares again.
    pub async fn repair(
        &self,
        projection: &str,
        generation: Generation,
        audit: &Audit,
    ) -> Result<Audit, RebuildError> {
        let queue = self.parts(projection, generation)?.queue.name;
        for events in audit.repairs().chunks(1_000) {
            self.site.send(&queue, events.to_vec(), true).await?;
        }
        self.site.settled(&queue).await?;
        self.compare(projection, generation).await
    }

    /// Makes the verified candidate the generation that is read.
    pub async fn swap(&self, projection: &str) -> Result<Alias, RebuildError> {
        self.version(projection)?;
        Ok(self.app.aliases().swap(projection).await?)
    }

    /// Makes the generation before the one that is read again.
    pub async fn rollback(&self, projection: &str) -> Result<Alias, RebuildError> {
        self.version(projection)?;
        Ok(self.app.aliases().rollback(projection).await?)
    }

    /// Removes the generation before; nobody can go back to it.
    pub async fn retire(&self, projection: &str) -> Result<Alias, RebuildError> {
        self.version(projection)?;
        self.finish_removal(projection).await?;
        let alias = self.app.aliases().retire(projection).await?;
        self.remove(projection, alias).await
    }

    /// Removes the candidate.
    pub async fn discard(&self, projection: &str) -> Result<Alias, RebuildError> {
        self.version(projection)?;
        self.finish_removal(projection).await?;
        let alias = self.app.aliases().discard(projection).await?;
        self.remove(projection, alias).await
    }

    /// A removal that a crash cut short is finished first.
    async fn finish_removal(&self, projection: &str) -> Result<(), RebuildError> {
        match self.app.aliases().get(projection).await? {
            Some(alias) if alias.retiring.is_some() => self.remove(projection, alias).await.map(|_| ()),
            _ => Ok(()),
        }
    }

    async fn remove(&self, projection: &str, alias: Alias) -> Result<Alias, RebuildError> {
        let Some(generation) = alias.retiring else { return Ok(alias) };
        self.site.retire(self.app, projection, generation).await?;
        Ok(self.app.aliases().retired(projection, generation).await?)
    }

    fn version(&self, projection: &str) -> Result<u32, RebuildError> {
        let declared = self.app.projections().find(|(name, _)| *name == projection);
        declared.map(|(_, version)| version).ok_or_else(|| RebuildError::Unknown {
            micrograph: self.app.name(),
            projection: projection.to_owned(),
            known: self.app.projections().map(|(name, _)| name).collect(),
        })
    }

    fn parts(&self, projection: &str, generation: Generation) -> Result<Parts, RebuildError> {
        self.app.parts(projection, generation).ok_or(RebuildError::NoFolds(generation))
    }

    pub(crate) fn types(
        &self,
        projection: &str,
        generation: Generation,
    ) -> Result<Vec<(&'static str, &'static str)>, RebuildError> {
        let folds = self.app.micrograph().folds(projection, generation);
        Ok(folds.ok_or(RebuildError::NoFolds(generation))?.consumes().collect())
    }
}

/// Puts what a source hands over on the candidate's queue.
pub(crate) struct Fill<'a> {
    pub site: &'a dyn Site,
    pub queue: &'a str,
    pub tell: &'a (dyn Fn(Step) + Send + Sync),
    pub events: u64,
}

#[async_trait]
impl Sink for Fill<'_> {
    async fn take(&mut self, events: Vec<Arc<str>>) -> Result<(), SourceError> {
        self.events += events.len() as u64;
        let sent = self.site.send(self.queue, events, false).await;
        sent.map_err(|error| SourceError::new("the candidate's queue", error))?;
        (self.tell)(Step::Filled(self.events));
        Ok(())
    }
}
