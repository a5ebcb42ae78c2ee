//! The commands role: decide, then write state, outbox and the command's id in one step.

mod item;

use crate::aggregate::{Context, Decide, Decision, Rejection};
use crate::declaration::Micrograph;
use crate::environment::Environment;
use contracts::{Command, CommandEnvelope, Version};
use futures::StreamExt;
use futures::future::BoxFuture;
use projection::delivery::{self, Message, NotJson};
use projection::quarantine::{DynamoQuarantine, Quarantine, Quarantined, Reason};
use projection::store::StoreError;
use serde::Deserialize;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use telemetry::metrics;
use tokio::time::Instant;

/// How often a command is decided again because another one wrote the aggregate first.
const TRIES: u32 = 6;

/// How many aggregates are written at once.
const CONCURRENT_AGGREGATES: usize = 16;

/// The name under which commands stand in the quarantine.
const CONSUMER: &str = "commands";

/// Decides commands against the tables that the micrograph owns.
#[derive(Clone)]
pub struct Commands {
    environment: Environment,
    micrograph: Micrograph,
    quarantine: Arc<dyn Quarantine>,
}

/// What a command came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome<S> {
    /// The aggregate's version now.
    pub version: Version,
    /// Whether this command changed it, now or when it was first sent.
    pub changed: bool,
    /// The aggregate now; none where it is gone.
    pub state: Option<S>,
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
}

/// A command as it came from a queue, its data not yet decoded.
struct Delivered<'a> {
    envelope: CommandEnvelope<&'a serde_json::value::RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Header<'a> {
    id: String,
    #[serde(borrow)]
    domain: Cow<'a, str>,
    #[serde(rename = "type", borrow)]
    name: Cow<'a, str>,
    major: u16,
    subject: String,
    time: jiff::Timestamp,
    correlation_id: String,
    #[serde(default)]
    traceparent: Option<String>,
    #[serde(borrow)]
    data: &'a serde_json::value::RawValue,
}

/// Decodes and decides one type of command.
pub(crate) struct Decider {
    major: u16,
    run: Run,
}

type Run =
    Box<dyn for<'a> Fn(&'a Commands, &'a Delivered<'a>) -> BoxFuture<'a, Result<(), Refusal>> + Send + Sync>;

/// Why a command from a queue was not carried out.
enum Refusal {
    Quarantine(Reason, String),
    Later(String),
}

pub(crate) fn decider<A: Decide<C>, C: Command>() -> Decider {
    let run: Run = Box::new(|commands, delivered| {
        Box::pin(async move {
            let given = &delivered.envelope;
            let data: C = serde_json::from_str(given.data.get())
                .map_err(|error| Refusal::Quarantine(Reason::SchemaViolation, error.to_string()))?;
            if data.subject() != given.subject {
                let why =
                    format!("the envelope's subject is `{}`, the data's `{}`", given.subject, data.subject());
                return Err(Refusal::Quarantine(Reason::SchemaViolation, why));
            }
            let envelope = CommandEnvelope {
                id: given.id.clone(),
                domain: given.domain.clone(),
                name: given.name.clone(),
                major: given.major,
                subject: given.subject.clone(),
                time: given.time,
                correlation_id: given.correlation_id.clone(),
                traceparent: given.traceparent.clone(),
                data,
                extra: contracts::Extra::default(),
            };
            match commands.execute::<A, C>(&envelope).await {
                Ok(_) => Ok(()),
                Err(CommandError::Rejected(Rejection { code, message })) => {
                    Err(Refusal::Quarantine(Reason::HandlerRejected, format!("{code}: {message}")))
                }
                Err(CommandError::Store(StoreError::Refused { reason, .. })) => {
                    Err(Refusal::Quarantine(Reason::HandlerRejected, reason))
                }
                Err(error) => Err(Refusal::Later(telemetry::error_chain(&error))),
            }
        })
    });
    Decider { major: C::MAJOR, run }
}

impl Commands {
    /// Decides the commands of a micrograph.
    pub fn new(micrograph: &Micrograph, environment: &Environment) -> Self {
        let table = environment.table(&micrograph.quarantine_table().name);
        let client = environment.dynamodb.clone();
        let quarantine = DynamoQuarantine::new(client, table, environment.build.clone(), environment.clock);
        Self {
            environment: environment.clone(),
            micrograph: micrograph.clone(),
            quarantine: Arc::new(quarantine),
        }
    }

    /// The time, for a command that is made here.
    pub fn now(&self) -> jiff::Timestamp {
        (self.environment.clock)()
    }

    /// Carries out a command. Its id is remembered with what it wrote: the same command sent again changes nothing
    /// and has the same outcome.
    pub async fn execute<A: Decide<C>, C: Command>(
        &self,
        command: &CommandEnvelope<C>,
    ) -> Result<Outcome<A::State>, CommandError> {
        let table = self.environment.table(&self.micrograph.aggregate_table(A::NAME).name);
        for attempt in 0..TRIES {
            let stored = item::load::<A>(&self.environment.dynamodb, &table, &command.subject).await?;
            if stored.commands.contains(&command.id) {
                metrics::counter(metrics::COMMANDS_REPEATED, 1, &[]);
                return Ok(Outcome { version: stored.version, changed: true, state: stored.state });
            }
            let context = Context { at: command.time, deleted: stored.deleted };
            let decision = match A::decide(stored.state.as_ref(), &command.data, &context) {
                Ok(decision) => decision,
                Err(rejection) => {
                    metrics::counter(metrics::COMMANDS_REFUSED, 1, &[]);
                    return Err(rejection.into());
                }
            };
            let Decision { change: Some(change), events } = decision else {
                return Ok(Outcome { version: stored.version, changed: false, state: stored.state });
            };
            let version = item::next(stored.version, self.environment.epoch);
            let events = item::envelopes(&self.micrograph, &self.environment, version, events, command)?;
            let next = item::Next { version, change, events, command: &command.id };
            match item::store(&self.environment.dynamodb, &table, &command.subject, stored, next).await? {
                item::Stored::Written(outcome) => {
                    metrics::counter(metrics::COMMANDS_ACCEPTED, 1, &[]);
                    return Ok(outcome);
                }
                item::Stored::Repeated(outcome) => {
                    metrics::counter(metrics::COMMANDS_REPEATED, 1, &[]);
                    return Ok(outcome);
                }
                item::Stored::Conflict => {
                    tokio::time::sleep(std::time::Duration::from_millis(2 << attempt)).await;
                }
            }
        }
        let source = "other commands kept writing the aggregate".into();
        Err(StoreError::Transient { operation: "PutItem", table, source }.into())
    }

    /// Handles a batch from the micrograph's queue of commands, which is FIFO by aggregate. Commands of one
    /// aggregate are carried out in their order; after one that must wait, the later ones wait too. What the rules
    /// refuse is quarantined, since nobody waits for an answer.
    pub async fn handle(&self, payload: &[u8], deadline: Option<Instant>) -> Result<Value, NotJson> {
        let delivery = delivery::take_apart(payload)?;
        let cutoff = deadline
            .map(|deadline| deadline.checked_sub(projection::consumer::DEADLINE_MARGIN).unwrap_or(deadline));
        let mut groups: BTreeMap<String, Vec<&Message<'_>>> = BTreeMap::new();
        for message in &delivery.messages {
            // A message whose header can't be read belongs to no aggregate: it is a group of its own.
            let subject = serde_json::from_str::<Header<'_>>(&message.body)
                .map_or_else(|_| format!("\u{0}{}", message.id), |header| header.subject);
            groups.entry(subject).or_default().push(message);
        }
        let failed: BTreeSet<String> = futures::stream::iter(groups.into_values())
            .map(|group| self.group(group, cutoff))
            .buffer_unordered(CONCURRENT_AGGREGATES)
            .flat_map(futures::stream::iter)
            .collect()
            .await;
        let failures: Vec<Value> = failed.into_iter().map(|id| json!({ "itemIdentifier": id })).collect();
        Ok(json!({ "batchItemFailures": failures }))
    }

    /// Carries out the commands of one aggregate; gives the messages that are to come again.
    async fn group(&self, messages: Vec<&Message<'_>>, cutoff: Option<Instant>) -> Vec<String> {
        for (position, message) in messages.iter().enumerate() {
            let done = if cutoff.is_some_and(|cutoff| Instant::now() >= cutoff) {
                Err("the invocation's time is over".to_owned())
            } else {
                self.deliver(message).await
            };
            if let Err(error) = done {
                tracing::warn!(error, message = %message.id, "a command waits, and those after it");
                return messages[position..].iter().map(|it| it.id.to_string()).collect();
            }
        }
        Vec::new()
    }

    async fn deliver(&self, message: &Message<'_>) -> Result<(), String> {
        match self.decode_and_run(message).await {
            Ok(()) => Ok(()),
            Err(Refusal::Later(error)) => Err(error),
            Err(Refusal::Quarantine(reason, detail)) => {
                tracing::warn!(?reason, detail, message = %message.id, "a command is quarantined");
                let (raw, envelope) = (message.body.as_ref(), message.body.as_ref());
                let kept = Quarantined { consumer: CONSUMER, reason, detail, raw, envelope };
                self.quarantine.keep(&kept).await.map_err(|error| telemetry::error_chain(&error))
            }
        }
    }

    async fn decode_and_run(&self, message: &Message<'_>) -> Result<(), Refusal> {
        let quarantine = |reason, why| Err(Refusal::Quarantine(reason, why));
        if let Some(why) = &message.malformed {
            return quarantine(Reason::Malformed, why.clone());
        }
        let header: Header<'_> = match serde_json::from_str(&message.body) {
            Ok(header) => header,
            Err(error) => return quarantine(Reason::Malformed, format!("not a command's envelope: {error}")),
        };
        let own = header.domain == self.micrograph.name();
        let Some(decider) = self.micrograph.decides.get(header.name.as_ref()).filter(|_| own) else {
            let known: Vec<_> = self.micrograph.decides.keys().collect();
            let why = format!(
                "{} doesn't decide {}.{}; it decides {known:?}",
                self.micrograph.name(),
                header.domain,
                header.name
            );
            return quarantine(Reason::HandlerRejected, why);
        };
        if decider.major != header.major {
            let why = format!("major version {} is not known here: known is {}", header.major, decider.major);
            return quarantine(Reason::UnknownMajor, why);
        }
        let envelope = CommandEnvelope {
            id: header.id,
            domain: header.domain.into_owned(),
            name: header.name.into_owned(),
            major: header.major,
            subject: header.subject,
            time: header.time,
            correlation_id: header.correlation_id,
            traceparent: header.traceparent,
            data: header.data,
            extra: contracts::Extra::default(),
        };
        (decider.run)(self, &Delivered { envelope }).await
    }
}
