//! The commands role: decide, then write state, outbox and the command's id in one step.

mod item;
mod queue;

pub(crate) use queue::{Decider, decider};

use crate::aggregate::{Aggregate, Context, Decide, Decision, Rejection};
use crate::declaration::Micrograph;
use crate::environment::Environment;
use crate::regions::{Book, Home, Regions, RelayError};
use contracts::{Command, CommandEnvelope, Kind, Version};
use projection::json;
use projection::quarantine::{DynamoQuarantine, Quarantine};
use projection::store::StoreError;
use serde::{Deserialize, Serialize};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;
use telemetry::metrics;

/// How often a command is decided again because another one wrote the aggregate first: enough for about twenty at
/// once, within four seconds.
const TRIES: u32 = 10;

/// The longest id of a command, in bytes: it stands in the aggregate's item, and in the key of an outbox item.
pub const MAX_COMMAND_ID_BYTES: usize = 256;

/// The longest identity of an aggregate, in bytes.
pub const MAX_SUBJECT_BYTES: usize = 1024;

/// Decides commands against the tables that the micrograph owns.
#[derive(Clone)]
pub struct Commands {
    environment: Environment,
    micrograph: Micrograph,
    quarantine: Arc<dyn Quarantine>,
    homes: Option<Arc<Book>>,
}

/// What a command came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome<S> {
    /// The aggregate's version now.
    pub version: Version,
    /// Whether this command changed it, now or when it was first sent.
    pub changed: bool,
    /// The aggregate now; none where it is gone.
    pub state: Option<S>,
    /// The names of the events that tell of this version.
    pub told_by: Vec<String>,
}

/// Why a command was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The domain's rules refuse it; nothing changed.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// It could not be stored for now; sending it again with the same id is safe.
    #[error("the command could not be stored for now")]
    Store(#[from] StoreError),
    /// This build can't write what the rules decided.
    #[error("{0}")]
    Internal(String),
    /// The aggregate is at home in another region, and commands aren't handed on to it.
    #[error("the aggregate is at home in {0}: send the command there")]
    Elsewhere(String),
    /// The aggregate is at home in another region, which can't be reached for now; sending the command again with the
    /// same id is safe.
    #[error("the aggregate is at home in a region that can't be reached for now")]
    Unreachable(#[from] RelayError),
}

impl Commands {
    /// Decides the commands of a micrograph.
    pub fn new(micrograph: &Micrograph, environment: &Environment, homes: Option<Arc<Book>>) -> Self {
        let table = environment.table(&micrograph.quarantine_table().name);
        let client = environment.dynamodb.clone();
        let quarantine = DynamoQuarantine::new(client, table, environment.build.clone(), environment.clock);
        Self {
            environment: environment.clone(),
            micrograph: micrograph.clone(),
            quarantine: Arc::new(quarantine),
            homes,
        }
    }

    /// The domain of its events.
    pub(crate) fn domain(&self) -> &'static str {
        self.micrograph.name()
    }

    /// The time, for a command that is made here.
    pub fn now(&self) -> jiff::Timestamp {
        (self.environment.clock)()
    }

    /// Carries out a command. Its id is remembered with what it wrote: the same command sent again changes nothing
    /// and tells how the aggregate is now. A command that changed nothing is not remembered: sent again, it is
    /// decided again.
    ///
    /// # Errors
    /// [`CommandError::Rejected`] where the rules refuse it, with `INVALID_` and the field's name where a field is
    /// beyond its limit, and with `COMMAND_ID_INVALID`, `SUBJECT_INVALID`, `EVENT_TOO_LARGE` or `AGGREGATE_TOO_LARGE`
    /// where it can't be carried out as it is.
    pub async fn execute<A: Decide<C>, C: Command>(
        &self,
        command: &CommandEnvelope<C>,
    ) -> Result<Outcome<A::State>, CommandError> {
        match self.execute_here::<A, C>(command).await {
            Err(CommandError::Elsewhere(home)) => self.hand_on::<A, C>(&home, command).await,
            outcome => outcome,
        }
    }

    /// The same, where the aggregate is at home here.
    async fn execute_here<A: Decide<C>, C: Command>(
        &self,
        command: &CommandEnvelope<C>,
    ) -> Result<Outcome<A::State>, CommandError> {
        let outcome = self.carry_out::<A, C>(command).await;
        match &outcome {
            Ok(Told::Accepted(_)) => metrics::counter(metrics::COMMANDS_ACCEPTED, 1, &[]),
            Ok(Told::Repeated(_)) => metrics::counter(metrics::COMMANDS_REPEATED, 1, &[]),
            Err(CommandError::Rejected(_)) => metrics::counter(metrics::COMMANDS_REFUSED, 1, &[]),
            Ok(Told::Unchanged(_)) | Err(_) => {}
        }
        outcome.map(|(Told::Accepted(outcome) | Told::Repeated(outcome) | Told::Unchanged(outcome))| outcome)
    }

    /// How an aggregate is now, if this command changed it when it was sent before: for a command that takes reading
    /// to make, and might be made otherwise now. None where the aggregate doesn't know the command, or no longer.
    ///
    /// # Errors
    /// [`CommandError`] where the aggregate can't be read.
    pub async fn repeated<A: Aggregate>(
        &self,
        subject: &str,
        command: &str,
    ) -> Result<Option<Outcome<A::State>>, CommandError> {
        within("SUBJECT_INVALID", "subject", subject, MAX_SUBJECT_BYTES)?;
        let table = self.environment.table(&self.micrograph.aggregate_table(A::NAME).name);
        let stored = item::load::<A>(&self.environment.dynamodb, &table, subject).await?;
        let known = stored.commands.iter().any(|id| id == command);
        Ok(known.then(|| stored.into_outcome(true)))
    }

    async fn carry_out<A: Decide<C>, C: Command>(
        &self,
        command: &CommandEnvelope<C>,
    ) -> Result<Told<A::State>, CommandError> {
        within("COMMAND_ID_INVALID", "id", &command.id, MAX_COMMAND_ID_BYTES)?;
        within("SUBJECT_INVALID", "subject", &command.subject, MAX_SUBJECT_BYTES)?;
        let dynamodb = &self.environment.dynamodb;
        let table = self.environment.table(&self.micrograph.aggregate_table(A::NAME).name);
        for attempt in 0..TRIES {
            let stored = item::load::<A>(dynamodb, &table, &command.subject).await?;
            let epoch = self.epoch(&command.subject, stored.version).await?;
            if stored.commands.contains(&command.id) {
                return Ok(Told::Repeated(stored.into_outcome(true)));
            }
            let context = Context { at: command.time, deleted: stored.deleted };
            let checked = command.data.check().map_err(Rejection::from);
            let decision = checked.and_then(|()| A::decide(stored.state.as_ref(), &command.data, &context));
            let (change, events) = match decision {
                Ok(Decision { change: Some(change), events }) => (change, events),
                refused_or_unchanged => {
                    // The rules look at what became of the aggregate since; the command may have been carried out
                    // long ago.
                    if self.publishes_deltas()
                        && stored.forgets()
                        && item::carried_out(dynamodb, &table, &command.subject, &command.id).await?
                    {
                        return Ok(Told::Repeated(stored.into_outcome(true)));
                    }
                    refused_or_unchanged?;
                    return Ok(Told::Unchanged(stored.into_outcome(false)));
                }
            };
            let (version, base) = item::next(stored.version, stored.base, epoch)?;
            let stamp = (version, base);
            let events = item::envelopes(&self.micrograph, &self.environment, stamp, events, command)?;
            let region = &self.environment.region;
            let next = item::Next { version, base, region, change, events, command: &command.id };
            match item::store(dynamodb, &table, &command.subject, stored, next).await? {
                item::Stored::Written(outcome) => return Ok(Told::Accepted(outcome)),
                item::Stored::Repeated => {
                    let stored = item::load::<A>(dynamodb, &table, &command.subject).await?;
                    return Ok(Told::Repeated(stored.into_outcome(true)));
                }
                item::Stored::Conflict => tokio::time::sleep(pause(&command.id, attempt)).await,
            }
        }
        let source = "other commands kept writing the aggregate".into();
        Err(StoreError::Transient { operation: "PutItem", table, source }.into())
    }

    /// The epoch in which an aggregate is written here, if it is at home here.
    async fn epoch(&self, subject: &str, stored: Version) -> Result<u16, CommandError> {
        let Some(book) = &self.homes else { return Ok(stored.epoch) };
        let own = &self.environment.region;
        let mut homes = book.homes().await?;
        // A version of a later epoch says that the home was moved since.
        if homes.of(subject).epoch < stored.epoch {
            homes = book.fresh().await?;
        }
        let Home { epoch, region } = homes.of(subject);
        if region == own { Ok(*epoch) } else { Err(CommandError::Elsewhere(region.clone())) }
    }

    /// Has a command decided where its aggregate is at home.
    async fn hand_on<A: Decide<C>, C: Command>(
        &self,
        home: &str,
        command: &CommandEnvelope<C>,
    ) -> Result<Outcome<A::State>, CommandError> {
        let regions = self.environment.regions.as_ref();
        let Some(Regions { relay: Some(relay), .. }) = regions else {
            return Err(CommandError::Elsewhere(home.to_owned()));
        };
        let internal = |error: serde_json::Error| CommandError::Internal(json::describe(&error));
        let text = serde_json::to_string(command).map_err(internal)?;
        let answer = relay.decide(home, self.micrograph.name(), &text).await?;
        match serde_json::from_value(answer).map_err(internal)? {
            Answer::Outcome(outcome) => Ok(outcome),
            Answer::Rejected(rejection) => Err(rejection.into()),
            // It was moved this moment, or it is not known there yet.
            Answer::Failed(why) => {
                let source = why.into();
                Err(RelayError { region: home.to_owned(), source }.into())
            }
        }
    }

    fn publishes_deltas(&self) -> bool {
        self.micrograph.publishes.iter().any(|it| it.kind == Kind::Delta)
    }
}

/// What a region answers that another one handed a command to.
#[derive(Serialize, Deserialize)]
enum Answer<S> {
    Outcome(Outcome<S>),
    Rejected(Rejection),
    Failed(String),
}

/// How an outcome came about.
enum Told<S> {
    Accepted(Outcome<S>),
    Repeated(Outcome<S>),
    Unchanged(Outcome<S>),
}

fn within(code: &'static str, what: &str, text: &str, limit: usize) -> Result<(), Rejection> {
    if (1..=limit).contains(&text.len()) {
        return Ok(());
    }
    let bytes = text.len();
    Err(Rejection::new(code, format!("the {what} of a command has 1 to {limit} bytes; this one has {bytes}")))
}

/// How long a command waits before it is decided again: longer each time, and each command another while, so that
/// those that met once don't keep meeting.
fn pause(command: &str, attempt: u32) -> Duration {
    let mut hasher = DefaultHasher::new();
    (command, attempt).hash(&mut hasher);
    Duration::from_micros(hasher.finish() % (4_000 << attempt))
}
