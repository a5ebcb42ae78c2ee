//! What every event and every command is wrapped in.

use crate::digest;
use crate::event::{Command, Event, EventKind};
use crate::open::Extra;
use crate::version::Version;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// The largest event in bytes of JSON that may be published: 256 KiB, what an SNS topic takes by default and
/// the least of the limits on an event's way.
pub const MAX_EVENT_BYTES: usize = 256 * 1024;

/// The field of a command's and an event's envelope that says that somebody waits to see what became of it: who sent
/// the command got a token for it.
pub const AWAITED: &str = "awaited";

/// Whether an event carries state, a change or an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Kind {
    /// The aggregate's whole published state.
    State,
    /// A change.
    Delta,
    /// The aggregate is gone.
    Deleted,
}

/// A domain event with what its delivery needs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Envelope<D> {
    /// Derived from domain, subject, version and index, so that it is the same each time the event is published.
    pub id: String,
    /// The bounded context that publishes it.
    pub domain: String,
    /// The event's name.
    #[serde(rename = "type")]
    pub name: String,
    /// The major version of its data.
    pub major: u16,
    /// The other major versions in which the same event is published beside this one. Of all of them a consumer takes
    /// the newest that it knows, and passes over the others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also_majors: Vec<u16>,
    /// The identity of the aggregate.
    pub subject: String,
    /// The version of the aggregate that this event brought about.
    pub version: Version,
    /// The position among the events of one version, from 0.
    #[serde(default)]
    pub index: u16,
    /// The last sequence number before the version's epoch began; the epoch's writes go on from it without a gap.
    #[serde(default, skip_serializing_if = "is_first")]
    #[schemars(range(max = 281_474_976_710_655_u64))]
    pub epoch_base: u64,
    /// The region that published it.
    pub region: String,
    /// When it happened, by the producer's clock.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub time: Timestamp,
    /// Whether it carries state, a change or an end.
    pub kind: Kind,
    /// The same for all that follows from one request.
    pub correlation_id: String,
    /// The command or event that caused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub causation_id: Option<String>,
    /// W3C trace context of the work that published it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// The event itself.
    pub data: D,
    /// Fields that this build doesn't know; they are passed on.
    #[serde(flatten)]
    pub extra: Extra,
}

/// Where and why an event came to be: what an envelope holds besides the event.
#[derive(Clone, Debug, PartialEq)]
pub struct Origin {
    /// The version of the aggregate that the event brought about.
    pub version: Version,
    /// The position among the events of that version.
    pub index: u16,
    /// The last sequence number before the version's epoch began.
    pub epoch_base: u64,
    /// The region that publishes.
    pub region: String,
    /// When it happened.
    pub time: Timestamp,
    /// The same for all that follows from one request.
    pub correlation_id: String,
    /// The command or event that caused it.
    pub causation_id: Option<String>,
    /// W3C trace context.
    pub traceparent: Option<String>,
}

impl<E: Event> Envelope<E> {
    /// Wraps an event.
    pub fn new(data: E, origin: Origin) -> Self {
        let subject = data.subject();
        Self {
            id: event_id(E::DOMAIN, &subject, origin.version, origin.index),
            domain: E::DOMAIN.into(),
            name: E::NAME.into(),
            major: E::MAJOR,
            also_majors: Vec::new(),
            subject,
            version: origin.version,
            index: origin.index,
            epoch_base: origin.epoch_base,
            region: origin.region,
            time: origin.time,
            kind: <E::Kind as EventKind>::KIND,
            correlation_id: origin.correlation_id,
            causation_id: origin.causation_id,
            traceparent: origin.traceparent,
            data,
            extra: Extra::default(),
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_first(base: &u64) -> bool {
    *base == 0
}

/// The identity of the `index`-th event of one version of an aggregate: 128 bits of SHA-256 over
/// domain, subject, version and index, in hexadecimal.
pub fn event_id(domain: &str, subject: &str, version: Version, index: u16) -> String {
    digest::short(&[
        domain.as_bytes(),
        subject.as_bytes(),
        &version.packed().to_be_bytes(),
        &index.to_be_bytes(),
    ])
}

/// An envelope whose data has not been looked at yet: the first step of decoding a delivery.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Header<'a> {
    /// See [`Envelope::id`].
    #[serde(borrow)]
    pub id: Cow<'a, str>,
    /// See [`Envelope::domain`].
    #[serde(borrow)]
    pub domain: Cow<'a, str>,
    /// See [`Envelope::name`].
    #[serde(borrow, rename = "type")]
    pub name: Cow<'a, str>,
    /// See [`Envelope::major`].
    pub major: u16,
    /// See [`Envelope::also_majors`].
    #[serde(default)]
    pub also_majors: Vec<u16>,
    /// See [`Envelope::subject`].
    #[serde(borrow)]
    pub subject: Cow<'a, str>,
    /// See [`Envelope::version`].
    pub version: Version,
    /// See [`Envelope::epoch_base`].
    #[serde(default)]
    pub epoch_base: u64,
    /// See [`Envelope::kind`].
    pub kind: Kind,
    /// See [`Envelope::time`].
    pub time: Timestamp,
    /// See [`Envelope::region`].
    #[serde(borrow)]
    pub region: Cow<'a, str>,
    /// See [`Envelope::correlation_id`].
    #[serde(borrow)]
    pub correlation_id: Cow<'a, str>,
    /// See [`Envelope::traceparent`].
    #[serde(borrow, default)]
    pub traceparent: Option<Cow<'a, str>>,
    /// See [`AWAITED`].
    #[serde(default)]
    pub awaited: bool,
    /// The event, not yet decoded.
    #[serde(borrow)]
    pub data: &'a RawValue,
}

/// A command with what its delivery needs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CommandEnvelope<D> {
    /// Chosen by the sender; the same each time the command is sent, so that it is carried out once.
    pub id: String,
    /// The bounded context that it is meant for.
    pub domain: String,
    /// The command's name.
    #[serde(rename = "type")]
    pub name: String,
    /// The major version of its data.
    pub major: u16,
    /// The identity of the aggregate that decides it.
    pub subject: String,
    /// When it was given, by the sender's clock.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub time: Timestamp,
    /// The same for all that follows from one request.
    pub correlation_id: String,
    /// W3C trace context of the sender.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// The command itself.
    pub data: D,
    /// Fields that this build doesn't know.
    #[serde(flatten)]
    pub extra: Extra,
}

impl<C: Command> CommandEnvelope<C> {
    /// Wraps a command that starts a correlation of its own.
    pub fn new(id: impl Into<String>, time: Timestamp, data: C) -> Self {
        let id = id.into();
        Self {
            correlation_id: id.clone(),
            id,
            domain: C::DOMAIN.into(),
            name: C::NAME.into(),
            major: C::MAJOR,
            subject: data.subject(),
            time,
            traceparent: None,
            data,
            extra: Extra::default(),
        }
    }
}
