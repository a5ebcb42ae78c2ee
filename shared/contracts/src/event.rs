//! What an event and a command are, told apart at compile time.

use crate::envelope::Kind;
use crate::limits::Violation;
use crate::upcast::Upcast;
use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};

/// The kind of an event as a type, so that a fold of [`State`] can't be given a [`Delta`].
pub trait EventKind: sealed::Sealed + Send + Sync + 'static {
    /// The same kind as a value, as it stands in the envelope.
    const KIND: Kind;
}

/// The event carries the aggregate's whole published state: a later version replaces an earlier one.
#[derive(Debug)]
pub enum State {}

/// The event carries a change: each one counts, once.
#[derive(Debug)]
pub enum Delta {}

/// The aggregate is gone; the event carries its identity only.
#[derive(Debug)]
pub enum Deleted {}

impl EventKind for State {
    const KIND: Kind = Kind::State;
}
impl EventKind for Delta {
    const KIND: Kind = Kind::Delta;
}
impl EventKind for Deleted {
    const KIND: Kind = Kind::Deleted;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::State {}
    impl Sealed for super::Delta {}
    impl Sealed for super::Deleted {}
}

/// The data of a domain event, in one major version.
pub trait Event: Serialize + DeserializeOwned + JsonSchema + Clone + Send + Sync + 'static {
    /// Whether it carries state, a change or an end.
    type Kind: EventKind;
    /// The bounded context that publishes it; `tributary.<DOMAIN>` is its source on the bus.
    const DOMAIN: &'static str;
    /// Its name, in the past tense; the detail type on the bus.
    const NAME: &'static str;
    /// The major version; a breaking change of the data is a new one.
    const MAJOR: u16;

    /// The identity of the aggregate that it tells of.
    fn subject(&self) -> String;

    /// The earlier major versions that are read as this one: those that an archive holds.
    fn upcasts() -> Upcast<Self> {
        Upcast::none()
    }

    /// A typical value, committed beside the schema.
    fn example() -> Self;
}

/// The data of a command, in one major version.
pub trait Command: Serialize + DeserializeOwned + JsonSchema + Clone + Send + Sync + 'static {
    /// The bounded context that it is meant for.
    const DOMAIN: &'static str;
    /// Its name, in the imperative.
    const NAME: &'static str;
    /// The major version.
    const MAJOR: u16;

    /// The identity of the aggregate that decides it.
    fn subject(&self) -> String;

    /// Whether each field is within its [limit](crate::limits), as the schema has them, and whether the fields fit one
    /// another, as no schema says. What an aggregate's rules say of it comes after.
    fn check(&self) -> Result<(), Violation>;

    /// The command without what is personal in it, where that is something: what is kept when it is refused.
    fn without_personal_data(&self) -> Option<Self> {
        None
    }

    /// A typical value, committed beside the schema.
    fn example() -> Self;
}

/// The source of a domain's events on the bus.
pub fn source(domain: &str) -> String {
    format!("tributary.{domain}")
}
