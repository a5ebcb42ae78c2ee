//! The role `generations`: rebuilds, swaps and audits as a function of Lambda, in steps that end before their time does.
//!
//! It is invoked with an [`Ask`] as JSON and answers an [`Answer`]. [`Answer::Continue`] asks to be invoked again with
//! the same: the place is kept beside the alias. The clock has it compare all projections with their sources.

use super::aws::{Account, QUIET};
use super::past::Past;
use super::place::{Next, Place, Places, Reached};
use super::{Answer, Ask, Audited, Fill, Named, Rebuild, RebuildError, Rebuilt, Site, Step, Unfinished, ask};
use crate::app::App;
use crate::manifest::Parts;
use anyhow::Context as _;
use archive::{Archive, Cursor};
use projection::Generation;
use projection::generation::Alias;
use projection::store::StoreError;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// The handler's name.
pub const GENERATIONS: &str = "generations";

/// What is left of an invocation's time for noting the place and answering.
const SPARED: Duration = Duration::from_secs(20);
/// So many parts of a projection are compared in one pass: 80 bytes of memory each.
const PARTS: u64 = 10_000_000;
/// How many whole invocations a comparison may take before it is given up.
const COMPARISONS: u32 = 2;
/// Each day the clock's audits begin with another projection, so that each comes first once.
const DAY: i64 = 24 * 3600;

/// Why it was not done as asked.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// What is asked can't be read.
    #[error(
        r#"the event can't be read: it is "list", or one of {{"rebuild": {{"of": {{"micrograph", "projection"}}, "swap"}}}}, {{"swap" | "rollback" | "retire" | "discard": {{"micrograph", "projection"}}}}, {{"audit": {{"of", "repair"}}}}"#
    )]
    Payload(#[source] serde_json::Error),
    /// Another micrograph is asked about.
    #[error(
        "this function is {here}'s, and {asked} was asked about: invoke the function `{asked}-generations`"
    )]
    Elsewhere {
        /// Whose function it is.
        here: &'static str,
        /// Whose projection was named.
        asked: String,
    },
    /// Comparing takes longer than an invocation may.
    #[error(
        "comparing {projection} with its sources takes longer than an invocation may: give the function more memory, \
         which makes it faster, or compare by `rebuild::Rebuild` on a machine"
    )]
    TooLong {
        /// The projection.
        projection: String,
    },
    /// It failed.
    #[error(transparent)]
    Rebuild(#[from] RebuildError),
}

impl From<StoreError> for AskError {
    fn from(error: StoreError) -> Self {
        Self::Rebuild(error.into())
    }
}

impl AskError {
    /// The name under which Lambda counts it.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Payload(_) => "Payload",
            Self::Elsewhere { .. } => "Elsewhere",
            Self::TooLong { .. } => "TooLong",
            Self::Rebuild(RebuildError::Site(_)) => "Site",
            Self::Rebuild(RebuildError::Source(_) | RebuildError::Audit(_)) => "Source",
            Self::Rebuild(_) => "Refused",
        }
    }
}

/// Who invoked it.
enum Asked {
    Somebody(Ask),
    Clock,
}

/// What EventBridge hands over at a time.
#[derive(Deserialize)]
struct Tick {
    source: String,
}

fn asked(payload: &[u8]) -> Result<Asked, AskError> {
    let tick = serde_json::from_slice::<Tick>(payload).is_ok_and(|tick| tick.source == "aws.events");
    if tick {
        return Ok(Asked::Clock);
    }
    serde_json::from_slice(payload).map(Asked::Somebody).map_err(AskError::Payload)
}

/// The role, with what it needs.
pub struct Generations {
    app: Arc<App>,
    site: Arc<dyn Site>,
    archive: Archive,
    places: Places,
}

impl Generations {
    /// Of a micrograph whose generations live at a site, and of whose sources an archive has every event.
    pub fn new(app: Arc<App>, site: Arc<dyn Site>, archive: Archive) -> Self {
        let environment = app.environment();
        let table = environment.table(&app.micrograph().generations_table().name);
        let places = Places { client: environment.dynamodb.clone(), table };
        Self { app, site, archive, places }
    }

    /// As the variables of a function say: `ARCHIVE_BUCKET` names the archive's bucket, `QUEUE_QUIET_SECONDS` how long a
    /// queue must look empty (default 60).
    pub(crate) async fn from_env(app: Arc<App>) -> anyhow::Result<Self> {
        let var = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let bucket = var("ARCHIVE_BUCKET").context("ARCHIVE_BUCKET must name the archive's bucket")?;
        let archive = in_bucket(&bucket)?;
        let quiet = var("QUEUE_QUIET_SECONDS").map(|seconds| seconds.parse().map(Duration::from_secs));
        let quiet =
            quiet.transpose().context("QUEUE_QUIET_SECONDS must be a number of seconds")?.unwrap_or(QUIET);
        let config = sdk::config().await;
        let environment = app.environment();
        let (region, prefix, clock) = (&environment.region, &environment.table_prefix, environment.clock);
        let account = Account::new(&config, region, prefix, quiet, clock);
        let account = account.context("there are no credentials to call AWS with")?;
        Ok(Self::new(app, Arc::new(account), archive))
    }

    /// Handles an invocation that must have ended at the deadline.
    pub async fn handle(&self, payload: &[u8], deadline: Option<Instant>) -> Result<Value, AskError> {
        let until = deadline.map(|deadline| deadline.checked_sub(SPARED).unwrap_or(deadline));
        match asked(payload)? {
            Asked::Clock => Box::pin(self.look_after_all(until)).await,
            Asked::Somebody(ask) => Box::pin(self.answer(ask, until)).await,
        }
    }

    /// Does what is asked, as far as there is time.
    async fn answer(&self, ask: Ask, until: Option<Instant>) -> Result<Value, AskError> {
        if let Some(Named { micrograph, .. }) = ask.of().filter(|of| of.micrograph != self.app.name()) {
            return Err(AskError::Elsewhere { here: self.app.name(), asked: micrograph.clone() });
        }
        let past = Past { app: &self.app, archive: &self.archive };
        let passes = match ask.of() {
            Some(of) => self.passes(&of.projection).await?,
            None => 1,
        };
        let rebuild = Rebuild { app: &self.app, site: &*self.site, source: &past, tell: &tell, passes };
        let mut left = None;
        let answer = match ask {
            Ask::List => Answer::Listed(ask::list(&self.app).await?),
            Ask::Rebuild { of, swap } => {
                let run =
                    Run { role: self, rebuild: &rebuild, past: &past, projection: &of.projection, until };
                match run.rebuild(swap).await? {
                    Ok(done) => Answer::Rebuilt(Box::new(done)),
                    Err(place) => Answer::Continue(Box::new(Unfinished { of, place })),
                }
            }
            Ask::Swap(of) => Answer::Alias(rebuild.swap(&of.projection).await?),
            Ask::Rollback(of) => Answer::Alias(rebuild.rollback(&of.projection).await?),
            Ask::Retire(of) => {
                let kept = self.alias(&of).await?.and_then(|alias| alias.previous);
                let alias = rebuild.retire(&of.projection).await?;
                left = kept.map(|generation| self.left(&of, generation));
                Answer::Alias(alias)
            }
            Ask::Discard(of) => {
                let candidate = self.alias(&of).await?.and_then(|alias| alias.candidate);
                let alias = rebuild.discard(&of.projection).await?;
                self.places.forget(&of.projection).await?;
                left = candidate.map(|(generation, _)| self.left(&of, generation));
                Answer::Alias(alias)
            }
            Ask::Audit { of: Some(of), repair } => {
                let audited = within(until, rebuild.audit(&of.projection, repair)).await;
                let audited = audited.ok_or(AskError::TooLong { projection: of.projection })??;
                Answer::Audited(vec![audited])
            }
            Ask::Audit { of: None, repair } => Answer::Audited(self.audit_all(repair, 0, until).await?),
        };
        let mut answer = serde_json::to_value(answer).unwrap_or_default();
        if let Some(left) = left {
            answer["left"] = json!(left);
        }
        Ok(answer)
    }

    /// Compares all projections with their sources, as many as there is time for, and logs what drifted; removes what is over
    /// from relational tables, and those that a deployment has left behind.
    async fn look_after_all(&self, until: Option<Instant>) -> Result<Value, AskError> {
        self.app.sweep().await?;
        for (projection, generation) in self.app.forsaken().await? {
            let fed = self.site.may_feed(&self.app, projection, generation).await;
            if !fed.map_err(RebuildError::from)? {
                tracing::info!(projection, %generation, "nothing feeds it: its table is removed");
                self.app.delete_table(projection, generation).await?;
            }
        }
        let day = (self.app.environment().clock)().as_second() / DAY;
        let audited = self.audit_all(false, usize::try_from(day).unwrap_or_default(), until).await?;
        for Audited { of, audit, .. } in &audited {
            for finding in &audit.findings {
                let (projection, item) = (&of.projection, &finding.item);
                tracing::warn!(projection, item, drift = %finding.drift, "drift");
            }
        }
        Ok(serde_json::to_value(Answer::Audited(audited)).unwrap_or_default())
    }

    /// Compares one projection after the other, beginning with the one of a number.
    async fn audit_all(
        &self,
        repair: bool,
        first: usize,
        until: Option<Instant>,
    ) -> Result<Vec<Audited>, AskError> {
        let past = Past { app: &self.app, archive: &self.archive };
        let all: Vec<&str> = self.app.projections().map(|(name, _)| name).collect();
        let (mut audited, mut failed) = (Vec::new(), None);
        for number in 0..all.len() {
            let projection = all[(first + number) % all.len()];
            if self.app.aliases().get(projection).await?.is_none() {
                // Nobody fed it yet.
                continue;
            }
            let passes = self.passes(projection).await?;
            let rebuild = Rebuild { app: &self.app, site: &*self.site, source: &past, tell: &tell, passes };
            match within(until, rebuild.audit(projection, repair)).await {
                Some(Ok(one)) => audited.push(one),
                // The others are compared nonetheless.
                Some(Err(error)) => {
                    let why = telemetry::error_chain(&error);
                    tracing::error!(projection, error = why, "a projection could not be compared");
                    failed = Some(error);
                }
                // It was given all the time there is.
                None if number == 0 => return Err(AskError::TooLong { projection: projection.to_owned() }),
                None => {
                    let left = all.len() - number;
                    tracing::warn!(projection, left, "there was no time to compare more projections");
                    break;
                }
            }
        }
        if let Some(error) = failed {
            return Err(error.into());
        }
        Ok(audited)
    }

    /// In how many passes a projection is compared, so that a slice fits into the function's memory.
    async fn passes(&self, projection: &str) -> Result<u32, AskError> {
        let Some(alias) = self.app.aliases().get(projection).await? else { return Ok(1) };
        let items = self.app.items(projection, alias.active).await?;
        Ok(u32::try_from(1 + items / PARTS).unwrap_or(u32::MAX))
    }

    async fn alias(&self, of: &Named) -> Result<Option<Alias>, StoreError> {
        self.app.aliases().get(&of.projection).await
    }

    /// What is left to do of a removal, which the next deployment does.
    fn left(&self, of: &Named, generation: Generation) -> String {
        let Named { micrograph, projection } = of;
        let environment = self.app.environment();
        let stack = format!("{}{micrograph}-{}", environment.table_prefix, environment.region);
        let name = generation.name(micrograph, projection);
        let current =
            self.app.projections().any(|(it, version)| it == projection && version == generation.version);
        if generation.build > 0 {
            format!(
                "take \"{generation}\" out of `generations` for {micrograph}'s {projection} in infra/aws/cdk.json, and deploy \
                 it: npx cdk deploy {stack}; its table, queue, rule and function {name} go"
            )
        } else if current {
            format!(
                "{name} is deployed with version {generation} of the projection, stays fed, and goes with that version"
            )
        } else {
            format!(
                "take version {generation} out of `keeps`, build, and deploy it: npx cdk deploy {stack}; {name} goes"
            )
        }
    }
}

/// One rebuild, as far as there is time.
struct Run<'a> {
    role: &'a Generations,
    rebuild: &'a Rebuild<'a>,
    past: &'a Past<'a>,
    projection: &'a str,
    until: Option<Instant>,
}

impl Run<'_> {
    /// Goes on with a rebuild; where there is no time left, gives how far it is.
    async fn rebuild(&self, swap: bool) -> Result<Result<Rebuilt, Place>, AskError> {
        let (generation, parts) = self.rebuild.begin(self.projection).await?;
        let mut place = self.role.places.of(self.projection, generation).await?;
        let mut fresh = true;
        loop {
            if self.until.is_some_and(|until| Instant::now() >= until) {
                self.role.places.note(self.projection, &place).await?;
                return Ok(Err(place));
            }
            if let Next::Compare { given_up } = place.next {
                let built = self.rebuild.judge(self.projection, generation, place.events);
                if let Some(built) = within(self.until, built).await {
                    let rebuilt = self.rebuild.rebuilt(self.projection, swap, built?).await?;
                    self.role.places.forget(self.projection).await?;
                    return Ok(Ok(rebuilt));
                }
                // One that began late is not given up: the next invocation has more time for it.
                let given_up = given_up + u32::from(fresh);
                place.next = Next::Compare { given_up };
                self.role.places.note(self.projection, &place).await?;
                if given_up >= COMPARISONS {
                    return Err(AskError::TooLong { projection: self.projection.to_owned() });
                }
                return Ok(Err(place));
            }
            place = self.step(place, &parts).await?;
            // A process that ends here goes on from here. Pages of a table are too many to note each.
            if !matches!(&place.next, Next::Owned(Reached { after: Some(_), .. })) {
                self.role.places.note(self.projection, &place).await?;
            }
            fresh = false;
        }
    }

    /// Does what is next, or as much of it as there is time for.
    async fn step(&self, place: Place, parts: &Parts) -> Result<Place, AskError> {
        let Place { generation, events, next } = place;
        let types = self.rebuild.types(self.projection, generation)?;
        let queue = parts.queue.name.as_str();
        let mut feed = Fill { site: self.rebuild.site, queue, tell: self.rebuild.tell, events };
        let next = match next {
            Next::Owned(from) => {
                let page = self.role.app.read_owned_page(&types, from, &mut feed).await;
                page.map_err(RebuildError::from)?.map_or(Next::Arrive, Next::Owned)
            }
            Next::Arrive => {
                let arrived = within(self.until, self.rebuild.site.settled(archive::QUEUE)).await;
                match arrived.transpose().map_err(RebuildError::from)? {
                    Some(()) => Next::Archive { after: None },
                    None => Next::Arrive,
                }
            }
            Next::Archive { after } => {
                let reached: Mutex<Option<Cursor>> = Mutex::new(after.clone());
                let progress = |so_far: &archive::Replayed| {
                    reached.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&so_far.cursor);
                };
                let replay = self.past.replay(&types, after.as_ref(), &mut feed, &progress);
                let replayed = within(self.until, replay).await;
                if replayed.transpose().map_err(RebuildError::from)?.is_some() {
                    Next::Settle
                } else {
                    Next::Archive { after: reached.into_inner().unwrap_or_else(PoisonError::into_inner) }
                }
            }
            Next::Settle => match within(self.until, self.rebuild.catch_up(parts)).await.transpose()? {
                Some(()) => Next::Compare { given_up: 0 },
                None => Next::Settle,
            },
            compare @ Next::Compare { .. } => compare,
        };
        Ok(Place { generation, events: feed.events, next })
    }
}

#[cfg(feature = "s3")]
fn in_bucket(bucket: &str) -> anyhow::Result<Archive> {
    Ok(Archive::in_bucket(bucket)?)
}

#[cfg(not(feature = "s3"))]
fn in_bucket(bucket: &str) -> anyhow::Result<Archive> {
    anyhow::bail!("this binary was built without the feature `s3`: it can't read {bucket}")
}

/// What comes of some work, unless there is no time left for it.
async fn within<T>(until: Option<Instant>, work: impl Future<Output = T>) -> Option<T> {
    match until {
        Some(until) => timeout_at(until, work).await.ok(),
        None => Some(work.await),
    }
}

fn tell(step: Step) {
    match step {
        Step::Raised(generation) => tracing::info!(%generation, "the generation is fed"),
        Step::Filled(events) => tracing::debug!(events, "events are on its queue"),
        Step::CaughtUp => tracing::info!("what it was filled with is handled"),
        Step::Compared(compared, drifted) => tracing::info!(compared, drifted, "compared with the sources"),
    }
}
