//! Commands from a queue: decoded one by one, in the order of their aggregate.

use super::{Answer, CommandError, Commands};
use crate::aggregate::{Decide, Rejection};
use contracts::envelope::AWAITED;
use contracts::{Command, CommandEnvelope, Extra};
use futures::StreamExt;
use futures::future::BoxFuture;
use projection::consumer::{ConsumeError, DEADLINE_MARGIN};
use projection::delivery::{self, Message};
use projection::json;
use projection::quarantine::{COMMANDS, Quarantined, Reason};
use projection::store::StoreError;
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use tokio::time::Instant;

/// How many aggregates are written at once.
const CONCURRENT_AGGREGATES: usize = 16;

/// A command as it came from a queue, its data not yet decoded.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Header<'a> {
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
    #[serde(default)]
    awaited: bool,
    #[serde(borrow)]
    data: &'a RawValue,
}

/// Decodes and decides one type of command in one major version.
pub(crate) type Decider = Box<
    dyn for<'a> Fn(&'a Commands, Header<'a>, Asked) -> BoxFuture<'a, Result<Value, Refusal>> + Send + Sync,
>;

/// Who has a command decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// A queue: what is at home elsewhere is handed on.
    ByQueue,
    /// Another region, which took this one for the home: it isn't handed on once more.
    ByRegion,
}

/// Why a command from a queue was not carried out.
#[derive(Debug)]
pub(crate) enum Refusal {
    Quarantine(Reason, String),
    /// The rules refuse it; what is kept of a command in which something is personal is without that.
    Rejected {
        rejection: Rejection,
        redacted: Option<String>,
    },
    Later(String),
}

pub(crate) fn decider<A: Decide<C>, C: Command>() -> Decider {
    Box::new(|commands, given, asked| {
        Box::pin(async move {
            let violation = |why| Refusal::Quarantine(Reason::SchemaViolation, why);
            let data: C =
                serde_json::from_str(given.data.get()).map_err(|error| violation(json::describe(&error)))?;
            if data.subject() != given.subject {
                return Err(violation("the envelope's subject is another than the data's".to_owned()));
            }
            let mut extra = Extra::default();
            if given.awaited {
                extra.0.insert(AWAITED.to_owned(), true.into());
            }
            let envelope = CommandEnvelope {
                id: given.id,
                domain: given.domain.into_owned(),
                name: given.name.into_owned(),
                major: given.major,
                subject: given.subject,
                time: given.time,
                correlation_id: given.correlation_id,
                traceparent: given.traceparent,
                data,
                extra,
            };
            let outcome = match asked {
                Asked::ByQueue => commands.execute::<A, C>(&envelope).await,
                Asked::ByRegion => commands.execute_here::<A, C>(&envelope).await,
            };
            let rejection = match outcome {
                Ok(outcome) => {
                    return serde_json::to_value(Answer::Outcome(outcome))
                        .map_err(|error| Refusal::Later(json::describe(&error)));
                }
                Err(CommandError::Rejected(rejection)) => rejection,
                Err(CommandError::Store(StoreError::Refused { reason, .. })) => {
                    Rejection::new("STORE_REFUSED", reason)
                }
                Err(error) => return Err(Refusal::Later(telemetry::error_chain(&error))),
            };
            Err(Refusal::Rejected { rejection, redacted: redacted(envelope) })
        })
    })
}

/// A command without what is personal in it, as text; none where nothing is.
fn redacted<C: Command>(given: CommandEnvelope<C>) -> Option<String> {
    let data = given.data.without_personal_data()?;
    serde_json::to_string(&CommandEnvelope { data, ..given }).ok()
}

impl Commands {
    /// Handles a batch from the micrograph's queue of commands, which is FIFO by aggregate. Commands of one
    /// aggregate are carried out in their order; after one that must wait, the later ones wait too. What the rules
    /// refuse is quarantined, since nobody waits for an answer.
    ///
    /// # Errors
    /// Where the payload can't be taken apart, and where a command that was handed over alone must wait.
    pub async fn handle(&self, payload: &[u8], deadline: Option<Instant>) -> Result<Value, ConsumeError> {
        let delivery = delivery::take_apart(payload)?;
        let cutoff = deadline.map(|deadline| deadline.checked_sub(DEADLINE_MARGIN).unwrap_or(deadline));
        let mut groups: BTreeMap<String, Vec<&Message<'_>>> = BTreeMap::new();
        for message in &delivery.messages {
            // A message whose header can't be read belongs to no aggregate: it is a group of its own.
            let subject = serde_json::from_str::<Header<'_>>(&message.body)
                .map_or_else(|_| format!("\u{0}{}", message.id), |header| header.subject);
            groups.entry(subject).or_default().push(message);
        }
        // Collected first: a closure over borrowed messages inside the stream would not be Send for every lifetime.
        let groups: Vec<_> = groups.into_values().map(|group| self.group(group, cutoff)).collect();
        let failed: BTreeSet<String> = futures::stream::iter(groups)
            .buffer_unordered(CONCURRENT_AGGREGATES)
            .flat_map(futures::stream::iter)
            .collect()
            .await;
        if !delivery.partial && !failed.is_empty() {
            return Err(ConsumeError::Unfinished);
        }
        let failures: Vec<Value> = failed.into_iter().map(|id| json!({ "itemIdentifier": id })).collect();
        Ok(json!({ "batchItemFailures": failures }))
    }

    /// Carries out the commands of one aggregate; gives the messages that are to come again.
    async fn group(&self, messages: Vec<&Message<'_>>, cutoff: Option<Instant>) -> Vec<String> {
        for (position, message) in messages.iter().enumerate() {
            let done = match cutoff {
                None => self.deliver(message).await,
                Some(cutoff) if Instant::now() >= cutoff => Err(OVER.to_owned()),
                // A write that is given up may still be applied: the command is known when it comes again.
                Some(cutoff) => tokio::time::timeout_at(cutoff, self.deliver(message))
                    .await
                    .unwrap_or_else(|_| Err(OVER.to_owned())),
            };
            if let Err(error) = done {
                tracing::warn!(error, message_id = %message.id, "a command waits, and those after it");
                return messages[position..].iter().map(|it| it.id.to_string()).collect();
            }
        }
        Vec::new()
    }

    async fn deliver(&self, message: &Message<'_>) -> Result<(), String> {
        let redrive = message.redrive.as_deref();
        match self.decode_and_run(message, Asked::ByQueue).await {
            Ok(_) => match redrive {
                Some(redrive) => {
                    self.quarantine.applied(redrive).await.map_err(|error| telemetry::error_chain(&error))
                }
                None => Ok(()),
            },
            Err(Refusal::Later(error)) => Err(error),
            Err(Refusal::Quarantine(reason, why)) => self.keep(message, reason, why, &message.body).await,
            Err(Refusal::Rejected { rejection: Rejection { code, message: why }, redacted }) => {
                let body = redacted.as_deref().unwrap_or(&message.body);
                self.keep(message, Reason::HandlerRejected, format!("{code}: {why}"), body).await
            }
        }
    }

    async fn keep(
        &self,
        message: &Message<'_>,
        reason: Reason,
        why: String,
        raw: &str,
    ) -> Result<(), String> {
        let detail = json::bounded(why);
        tracing::warn!(?reason, detail, message_id = %message.id, "a command is quarantined");
        let redrive = message.redrive.as_deref();
        let kept = Quarantined { consumer: COMMANDS, reason, detail, raw, envelope: raw, redrive };
        self.quarantine.keep(&kept).await.map_err(|error| telemetry::error_chain(&error))
    }

    /// Decides a command that another region took to be at home here: the envelope in, the answer out. A command that
    /// is at home in neither is the other region's to send again.
    pub async fn decide(&self, command: &str) -> Value {
        let message = Message::alone(command);
        let refused = |answer: Answer<Value>| serde_json::to_value(answer).unwrap_or_default();
        match self.decode_and_run(&message, Asked::ByRegion).await {
            Ok(answer) => answer,
            Err(Refusal::Rejected { rejection, .. }) => refused(Answer::Rejected(rejection)),
            Err(Refusal::Quarantine(_, why) | Refusal::Later(why)) => refused(Answer::Failed(why)),
        }
    }

    async fn decode_and_run(&self, message: &Message<'_>, asked: Asked) -> Result<Value, Refusal> {
        let quarantine = |reason, why| Err(Refusal::Quarantine(reason, why));
        if let Some(why) = &message.malformed {
            return quarantine(Reason::Malformed, why.clone());
        }
        let header: Header<'_> = match serde_json::from_str(&message.body) {
            Ok(header) => header,
            Err(error) => {
                let why = format!("not a command's envelope: {}", json::describe(&error));
                return quarantine(Reason::Malformed, why);
            }
        };
        let (own, decides) = (self.micrograph.name(), &self.micrograph.decides);
        let of_name = decides.get(header.name.as_ref()).filter(|_| header.domain == own);
        let Some(majors) = of_name else {
            let known: Vec<_> = decides.keys().collect();
            let why = format!("{own} doesn't decide {}.{}; it decides {known:?}", header.domain, header.name);
            return quarantine(Reason::HandlerRejected, why);
        };
        let Some(run) = majors.get(&header.major) else {
            let known: Vec<_> = majors.keys().collect();
            let why = format!("major version {} is not known here: known are {known:?}", header.major);
            return quarantine(Reason::UnknownMajor, why);
        };
        run(self, header, asked).await
    }
}

/// Why a command waits that was not begun, or not finished, in time.
const OVER: &str = "the invocation's time is over";
