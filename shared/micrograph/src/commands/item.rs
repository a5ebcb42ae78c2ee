//! An aggregate as an item: its state, its last events (the inline outbox) and a ring of recent command ids, written
//! together on the condition that nobody else wrote it since it was read.

use super::{CommandError, Outcome};
use crate::aggregate::{Aggregate, Change, Recorded, Rejection};
use crate::declaration::{Micrograph, Published};
use crate::environment::Environment;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{AttributeValue, Put, TransactWriteItem};
use contracts::envelope::{AWAITED, MAX_EVENT_BYTES, event_id};
use contracts::{Command, CommandEnvelope, Envelope, Kind, Version};
use projection::Key;
use projection::delivery::OUTBOX;
use projection::json;
use projection::store::StoreError;
use std::collections::HashMap;

/// How many command ids an aggregate remembers: a command that comes again after this many others is decided again.
/// An aggregate that publishes Deltas remembers all, each with its outbox item.
const RING: usize = 16;

/// The attribute that says where an item was written: elsewhere it is a replica.
const REGION: &str = "region";

type Attributes = HashMap<String, AttributeValue>;

/// An aggregate as it was read.
pub(super) struct Loaded<A: Aggregate> {
    pub version: Version,
    /// The last sequence number before the version's epoch began.
    pub base: u64,
    pub state: Option<A::State>,
    pub deleted: bool,
    pub commands: Vec<String>,
    /// The names of the events that stand in its inline outbox.
    pub told_by: Vec<String>,
}

/// What is to be written.
pub(super) struct Next<'a, S> {
    pub version: Version,
    pub base: u64,
    /// Where it is written.
    pub region: &'a str,
    pub change: Change<S>,
    pub events: Vec<Ready>,
    pub command: &'a str,
}

/// An event in its envelope, as text.
pub(super) struct Ready {
    name: &'static str,
    kind: Kind,
    text: String,
}

pub(super) enum Stored<S> {
    Written(Outcome<S>),
    Repeated,
    Conflict,
}

impl<A: Aggregate> Loaded<A> {
    pub fn into_outcome(self, changed: bool) -> Outcome<A::State> {
        Outcome { version: self.version, changed, state: self.state, told_by: self.told_by }
    }

    /// Whether the ring may have lost a command.
    pub fn forgets(&self) -> bool {
        self.commands.len() >= RING
    }
}

pub(super) async fn load<A: Aggregate>(
    client: &Client,
    table: &str,
    subject: &str,
) -> Result<Loaded<A>, CommandError> {
    let read = client.get_item().table_name(table).consistent_read(true);
    let read = read.set_key(Some(key(subject, Key::ALONE))).send().await;
    let item = read.map_err(|error| failure("GetItem", table, error))?.item.unwrap_or_default();
    let state = match item.get("state") {
        None => None,
        Some(state) => Some(serde_dynamo::from_attribute_value(state.clone()).map_err(|error| {
            let (name, why) = (A::NAME, json::without_values(&error.to_string()));
            CommandError::Internal(format!("the {name} `{subject}` can't be read by this build: {why}"))
        })?),
    };
    let number = |name: &str| item.get(name).and_then(|it| it.as_n().ok()?.parse().ok());
    let ids = item.get("commands").and_then(|it| it.as_l().ok()).into_iter().flatten();
    Ok(Loaded {
        version: Version::unpacked(number("v").unwrap_or(0)),
        base: number("base").unwrap_or(0),
        state,
        deleted: item.get("d").and_then(|it| it.as_bool().ok()).copied().unwrap_or(false),
        commands: ids.filter_map(|it| it.as_s().ok()).cloned().collect(),
        told_by: names(&item),
    })
}

/// The names of the events that stand in an item's outbox.
fn names(item: &Attributes) -> Vec<String> {
    let texts = item.get(OUTBOX).and_then(|it| it.as_l().ok()).into_iter().flatten();
    let headers = texts.filter_map(|it| projection::decode::header(it.as_s().ok()?).ok());
    headers.map(|header| header.name.into_owned()).collect()
}

/// Puts the events of a decision into their envelopes.
pub(super) fn envelopes<C: Command>(
    micrograph: &Micrograph,
    environment: &Environment,
    (version, epoch_base): (Version, u64),
    events: Vec<Recorded>,
    command: &CommandEnvelope<C>,
) -> Result<Vec<Ready>, CommandError> {
    let mut extra = contracts::Extra::default();
    if let Some(awaited) = command.extra.0.get(AWAITED).filter(|it| it.is_boolean()) {
        extra.0.insert(AWAITED.to_owned(), awaited.clone());
    }
    let majors: Vec<(&str, u16)> = events.iter().map(|it| (it.name, it.major)).collect();
    let wrap = |(index, event): (usize, Recorded)| {
        let published = Published { name: event.name, major: event.major, kind: event.kind };
        if event.domain != micrograph.name() || !micrograph.publishes.contains(&published) {
            let (name, event) = (micrograph.name(), event.name);
            return Err(CommandError::Internal(format!("{name} doesn't declare that it publishes {event}")));
        }
        if event.subject != command.subject {
            let (says, is) = (&event.subject, &command.subject);
            return Err(CommandError::Internal(format!("an event about `{says}` was decided by `{is}`")));
        }
        let index = u16::try_from(index).map_err(|error| CommandError::Internal(error.to_string()))?;
        let also = majors.iter().filter(|it| it.0 == event.name && it.1 != event.major).map(|it| it.1);
        let envelope = Envelope {
            id: event_id(event.domain, &event.subject, version, index),
            domain: event.domain.to_owned(),
            name: event.name.to_owned(),
            major: event.major,
            also_majors: also.collect(),
            subject: event.subject,
            version,
            index,
            epoch_base,
            region: environment.region.clone(),
            time: command.time,
            kind: event.kind,
            correlation_id: command.correlation_id.clone(),
            causation_id: Some(command.id.clone()),
            traceparent: telemetry::trace::current()
                .map(|it| it.to_string())
                .or_else(|| command.traceparent.clone()),
            data: event.data.map_err(CommandError::Internal)?,
            extra: extra.clone(),
        };
        let text =
            serde_json::to_string(&envelope).map_err(|error| CommandError::Internal(error.to_string()))?;
        if text.len() > MAX_EVENT_BYTES {
            let (name, bytes) = (event.name, text.len());
            let why = format!("{name} would be {bytes} bytes; an event has at most {MAX_EVENT_BYTES}");
            return Err(Rejection::new("EVENT_TOO_LARGE", why).into());
        }
        Ok(Ready { name: event.name, kind: event.kind, text })
    };
    events.into_iter().enumerate().map(wrap).collect()
}

/// The version of the next write, and the last sequence number before its epoch. In a newer epoch the sequence goes on;
/// in an older one nothing may be written.
pub(super) fn next(version: Version, base: u64, epoch: u16) -> Result<(Version, u64), CommandError> {
    if version.epoch > epoch {
        let newer = version.epoch;
        return Err(CommandError::Internal(format!(
            "the aggregate is at home here in epoch {epoch}, but was written in epoch {newer}"
        )));
    }
    if version.seq >= Version::MAX_SEQ {
        return Err(CommandError::Internal("the aggregate has no version left".to_owned()));
    }
    let base = if version.epoch < epoch { version.seq } else { base };
    Ok((Version { epoch, seq: version.seq + 1 }, base))
}

/// Whether a command that brought a Delta was carried out, by its outbox item.
pub(super) async fn carried_out(
    client: &Client,
    table: &str,
    subject: &str,
    command: &str,
) -> Result<bool, CommandError> {
    let read = client.get_item().table_name(table).consistent_read(true).projection_expression("v");
    let read = read.set_key(Some(key(subject, &outbox_key(command)))).send().await;
    Ok(read.map_err(|error| failure("GetItem", table, error))?.item.is_some())
}

pub(super) async fn store<A: Aggregate>(
    client: &Client,
    table: &str,
    subject: &str,
    loaded: Loaded<A>,
    write: Next<'_, A::State>,
) -> Result<Stored<A::State>, CommandError> {
    let before = loaded.version;
    let mut commands = loaded.commands.clone();
    commands.push(write.command.to_owned());
    let oldest = commands.len().saturating_sub(RING);
    let told_by = write.events.iter().map(|it| it.name.to_owned()).collect();
    let (inline, own): (Vec<Ready>, Vec<Ready>) =
        write.events.into_iter().partition(|it| it.kind != Kind::Delta);

    let mut item = key(subject, Key::ALONE);
    item.insert("v".to_owned(), AttributeValue::N(write.version.packed().to_string()));
    item.insert(REGION.to_owned(), AttributeValue::S(write.region.to_owned()));
    if write.base > 0 {
        item.insert("base".to_owned(), AttributeValue::N(write.base.to_string()));
    }
    item.insert("commands".to_owned(), list(commands.into_iter().skip(oldest)));
    item.insert(OUTBOX.to_owned(), list(inline.into_iter().map(|it| it.text)));
    let state = match write.change {
        Change::Deleted => {
            item.insert("d".to_owned(), AttributeValue::Bool(true));
            None
        }
        Change::To(state) => {
            let value = serde_dynamo::to_attribute_value(&state);
            item.insert(
                "state".to_owned(),
                value.map_err(|error| CommandError::Internal(error.to_string()))?,
            );
            Some(state)
        }
    };
    let put = Put::builder().table_name(table).set_item(Some(item));
    let put = if before == Version::NONE {
        put.condition_expression("attribute_not_exists(pk)")
    } else {
        put.condition_expression("v = :before")
            .expression_attribute_values(":before", AttributeValue::N(before.packed().to_string()))
    };
    let put = put.build().map_err(|error| CommandError::Internal(error.to_string()))?;
    let outcome = Outcome { version: write.version, changed: true, state, told_by };
    if own.is_empty() {
        alone(client, table, put, outcome).await
    } else {
        with_outbox(client, table, (subject, write.command, write.region), put, own, outcome).await
    }
}

async fn alone<S>(
    client: &Client,
    table: &str,
    put: Put,
    outcome: Outcome<S>,
) -> Result<Stored<S>, CommandError> {
    let request = client
        .put_item()
        .table_name(table)
        .set_item(Some(put.item))
        .set_condition_expression(put.condition_expression)
        .set_expression_attribute_values(put.expression_attribute_values);
    match request.send().await {
        Ok(_) => Ok(Stored::Written(outcome)),
        Err(error) if error.as_service_error().is_some_and(overtaken) => Ok(Stored::Conflict),
        Err(error) => Err(failure("PutItem", table, error)),
    }
}

fn overtaken(error: &PutItemError) -> bool {
    error.is_conditional_check_failed_exception() || error.is_transaction_conflict_exception()
}

/// Deltas can't be told again from the aggregate's state: each write of such an aggregate keeps its events in an
/// outbox item of their own, named after the command, so that a repeated command is known for as long as the item
/// lives.
async fn with_outbox<S>(
    client: &Client,
    table: &str,
    (subject, command, region): (&str, &str, &str),
    put: Put,
    events: Vec<Ready>,
    outcome: Outcome<S>,
) -> Result<Stored<S>, CommandError> {
    let mut item = key(subject, &outbox_key(command));
    item.insert("v".to_owned(), AttributeValue::N(outcome.version.packed().to_string()));
    item.insert(REGION.to_owned(), AttributeValue::S(region.to_owned()));
    item.insert(OUTBOX.to_owned(), list(events.into_iter().map(|it| it.text)));
    let outbox = Put::builder()
        .table_name(table)
        .set_item(Some(item))
        .condition_expression("attribute_not_exists(pk)")
        .build()
        .map_err(|error| CommandError::Internal(error.to_string()))?;
    let request = client
        .transact_write_items()
        .transact_items(TransactWriteItem::builder().put(put).build())
        .transact_items(TransactWriteItem::builder().put(outbox).build());
    let Err(error) = request.send().await else { return Ok(Stored::Written(outcome)) };
    let Some(TransactWriteItemsError::TransactionCanceledException(canceled)) = error.as_service_error()
    else {
        return Err(failure("TransactWriteItems", table, error));
    };
    let code = |position: usize| canceled.cancellation_reasons().get(position).and_then(|it| it.code());
    match (code(0), code(1)) {
        (_, Some("ConditionalCheckFailed")) => Ok(Stored::Repeated),
        (Some("ConditionalCheckFailed" | "TransactionConflict"), _) | (_, Some("TransactionConflict")) => {
            Ok(Stored::Conflict)
        }
        (Some("ValidationError"), _) | (_, Some("ValidationError")) => {
            let reason = canceled.cancellation_reasons().iter().find_map(|it| it.message());
            let reason = reason.unwrap_or("the item is not valid").to_owned();
            Err(refused("TransactWriteItems", table.to_owned(), reason))
        }
        _ => Err(failure("TransactWriteItems", table, error)),
    }
}

fn key(subject: &str, sort: &str) -> Attributes {
    let text = |text: &str| AttributeValue::S(text.to_owned());
    HashMap::from([("pk".to_owned(), text(subject)), ("sk".to_owned(), text(sort))])
}

fn outbox_key(command: &str) -> String {
    format!("command#{command}")
}

fn list(texts: impl Iterator<Item = String>) -> AttributeValue {
    AttributeValue::L(texts.map(AttributeValue::S).collect())
}

fn failure<E, R>(operation: &'static str, table: &str, error: SdkError<E, R>) -> CommandError
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    R: std::fmt::Debug + Send + Sync + 'static,
{
    match projection::dynamodb::failure(operation, table, error) {
        StoreError::Refused { operation, table, reason } => refused(operation, table, reason),
        transient @ StoreError::Transient { .. } => transient.into(),
    }
}

/// What DynamoDB refuses for good. How large an aggregate gets is up to the command.
fn refused(operation: &'static str, table: String, reason: String) -> CommandError {
    if reason.contains("size has exceeded") {
        let why = "the aggregate and its event would be larger than the 400 KB that the store keeps of one";
        return Rejection::new("AGGREGATE_TOO_LARGE", why).into();
    }
    StoreError::Refused { operation, table, reason }.into()
}
