//! What a micrograph owns: aggregates, and how they decide commands.

use contracts::{Command, Deleted, Delta, Event, EventKind, Kind, State, Violation};
use jiff::Timestamp;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::borrow::Cow;

/// An aggregate: the unit that decides a command and is written as one item.
pub trait Aggregate: Send + Sync + 'static {
    /// Its name in the singular, in lower case: it names the table.
    const NAME: &'static str;
    /// What is kept of it; for most, the state that its events publish.
    type State: Serialize + DeserializeOwned + Clone + Send + Sync + 'static;
}

/// How an aggregate decides a command: a pure rule, without IO or clock. Each field of the command is within its limit
/// ([`Command::check`]) when it comes here.
pub trait Decide<C: Command>: Aggregate {
    /// The decision, given the aggregate as it stands; `None` where it doesn't exist, or no longer.
    ///
    /// # Errors
    /// A [`Rejection`] where the rules refuse the command.
    fn decide(
        state: Option<&Self::State>,
        command: &C,
        context: &Context,
    ) -> Result<Decision<Self::State>, Rejection>;
}

/// What an aggregate decides.
pub type Decided<A> = Result<Decision<<A as Aggregate>::State>, Rejection>;

/// What a decision may know besides the aggregate and the command.
#[derive(Clone, Debug)]
pub struct Context {
    /// When the command was given, by its sender's clock.
    pub at: Timestamp,
    /// Whether the aggregate existed once and was deleted.
    pub deleted: bool,
}

/// A refusal by the domain's rules, as data: safe to show to a client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{message}")]
pub struct Rejection {
    /// A stable code, upper case.
    pub code: Cow<'static, str>,
    /// What is wrong, and what would be right. No personal data.
    pub message: String,
}

impl Rejection {
    /// A refusal with a stable code.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into() }
    }
}

impl From<Violation> for Rejection {
    fn from(violation: Violation) -> Self {
        Self { code: violation.code().into(), message: violation.to_string() }
    }
}

/// What becomes of an aggregate by a command.
#[derive(Clone, Debug)]
pub struct Decision<S> {
    pub(crate) change: Option<Change<S>>,
    pub(crate) events: Vec<Recorded>,
}

#[derive(Clone, Debug)]
pub(crate) enum Change<S> {
    To(S),
    Deleted,
}

/// An event that a decision brings, not yet in its envelope.
#[derive(Clone, Debug)]
pub(crate) struct Recorded {
    pub domain: &'static str,
    pub name: &'static str,
    pub major: u16,
    pub kind: Kind,
    pub subject: String,
    pub data: Result<Value, String>,
}

impl<S> Decision<S> {
    /// Nothing changes: the command asks for what is so already, or was superseded.
    pub fn unchanged() -> Self {
        Self { change: None, events: Vec::new() }
    }

    /// The aggregate is this from now on, and an event of kind State says so.
    pub fn state<E: Event<Kind = State>>(state: S, event: &E) -> Self {
        Self { change: Some(Change::To(state)), events: vec![Recorded::of(event)] }
    }

    /// The aggregate is this from now on, and an event of kind Delta tells the change. Each write of such an
    /// aggregate brings one Delta, so that their sequence has no gaps.
    pub fn delta<E: Event<Kind = Delta>>(state: S, event: &E) -> Self {
        Self { change: Some(Change::To(state)), events: vec![Recorded::of(event)] }
    }

    /// The aggregate is gone, and an event of kind Deleted says so.
    pub fn deleted<E: Event<Kind = Deleted>>(event: &E) -> Self {
        Self { change: Some(Change::Deleted), events: vec![Recorded::of(event)] }
    }

    /// Says the same in another major version of its event too, for those who don't read the newer one yet. Who reads
    /// both is told once.
    #[must_use]
    pub fn beside<E: Event>(mut self, event: &E) -> Self {
        self.events.push(Recorded::of(event));
        self
    }
}

impl Recorded {
    fn of<E: Event>(event: &E) -> Self {
        Self {
            domain: E::DOMAIN,
            name: E::NAME,
            major: E::MAJOR,
            kind: <E::Kind as EventKind>::KIND,
            subject: event.subject(),
            data: serde_json::to_value(event).map_err(|error| error.to_string()),
        }
    }
}
