//! Where messages go that can't be applied: kept whole, with the reason, then acknowledged; looked at, edited,
//! delivered again, and gone only once they were applied or somebody discarded them.

pub mod dead_letters;
pub mod edit;

mod dynamodb;

pub use dynamodb::{DynamoQuarantine, LARGEST, table};

use crate::json;
use crate::store::StoreError;
use async_trait::async_trait;
use contracts::digest;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::fmt;
use std::str::FromStr;

/// Why a message can't be applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Reason {
    /// Not an envelope at all.
    Malformed,
    /// A major version that this build doesn't know.
    UnknownMajor,
    /// The data isn't what its type says.
    SchemaViolation,
    /// The domain's rules, or the store, refuse it.
    HandlerRejected,
    /// The same version of the aggregate came with other content.
    VersionFork,
    /// It failed for now so often that its queue gave it up.
    Exhausted,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Malformed,
        Self::UnknownMajor,
        Self::SchemaViolation,
        Self::HandlerRejected,
        Self::VersionFork,
        Self::Exhausted,
    ];
}

/// The name under which commands stand in the quarantine.
pub const COMMANDS: &str = "commands";

/// A message to keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined<'a> {
    /// Who could not apply it: the projection, or `commands`.
    pub consumer: &'a str,
    /// Why, as a word.
    pub reason: Reason,
    /// Why, as a sentence. No personal data.
    pub detail: String,
    /// The body as it was delivered.
    pub raw: &'a str,
    /// The envelope in it, the same for every delivery of the message; the body where there is none.
    pub envelope: &'a str,
    /// What the delivery says of the entry that it was redriven from.
    pub redrive: Option<&'a str>,
}

impl Quarantined<'_> {
    /// Names the entry: the same for every delivery of the message to the same consumer.
    pub fn id(&self) -> String {
        digest::short(&[self.consumer.as_bytes(), self.envelope.as_bytes()])
    }
}

/// Keeps messages that can't be applied.
#[async_trait]
pub trait Quarantine: Send + Sync {
    /// Keeps a message. It may be acknowledged only after this succeeded.
    async fn keep(&self, message: &Quarantined<'_>) -> Result<(), StoreError>;

    /// A message that was redriven is applied now: the entry that it came from, by [`Redrive`]'s text, may go. It may
    /// be acknowledged only after this succeeded. A quarantine that redrives nothing has nothing to do.
    async fn applied(&self, _redrive: &str) -> Result<(), StoreError> {
        Ok(())
    }
}

/// A message that is kept, as people see it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Names it.
    pub id: String,
    /// Who could not apply it.
    pub consumer: String,
    /// Why, as a word.
    pub reason: String,
    /// Why, as a sentence.
    pub detail: String,
    /// How often it came.
    pub count: u64,
    /// When it came first.
    pub first_seen: String,
    /// When it came last.
    pub last_seen: String,
    /// The build that could not apply it last.
    pub build: String,
    /// Its size in bytes.
    pub bytes: usize,
    /// What its envelope says, where it could be read.
    #[serde(flatten)]
    pub about: About,
    /// How often it was edited; the last edit is what a redrive delivers.
    #[serde(default)]
    pub edits: u64,
    /// When it was edited last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edited_at: Option<String>,
    /// The entry whose edit this message is, where it came from a redrive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edit_of: Option<String>,
    /// Since when it is under way again; none where it isn't, or came back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redriven_at: Option<String>,
}

impl Entry {
    /// What a delivery of it says, as it is now.
    pub fn redrive(&self) -> Redrive {
        Redrive { id: self.id.clone(), edit: self.edits }
    }
}

/// What an envelope says of itself, as far as it can be read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct About {
    /// The domain of the event or command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// Its name.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The aggregate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The event's id, or the command's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_id: Option<String>,
}

impl About {
    /// Reads what can be read; values that are too long are cut.
    pub fn of(envelope: &str) -> Self {
        #[derive(Deserialize)]
        struct Names<'a> {
            #[serde(borrow, default)]
            domain: Option<&'a RawValue>,
            #[serde(borrow, default, rename = "type")]
            name: Option<&'a RawValue>,
            #[serde(borrow, default)]
            subject: Option<&'a RawValue>,
            #[serde(borrow, default)]
            id: Option<&'a RawValue>,
        }
        let Ok(names) = serde_json::from_str::<Names<'_>>(envelope) else { return Self::default() };
        let text = |value: Option<&RawValue>| {
            let text: String = serde_json::from_str(value?.get()).ok()?;
            (!text.is_empty()).then(|| json::bounded(text))
        };
        Self {
            domain: text(names.domain),
            name: text(names.name),
            subject: text(names.subject),
            event_id: text(names.id),
        }
    }
}

/// Which entries are meant; all of what is given must be so.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    /// Who could not apply it.
    pub consumer: Option<String>,
    /// Why.
    pub reason: Option<Reason>,
    /// The aggregate.
    pub subject: Option<String>,
    /// The name of the event or command.
    pub name: Option<String>,
}

/// A part of the quarantine, by the time that entries came first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The entries.
    pub entries: Vec<Entry>,
    /// Where the next page begins, if there may be more.
    pub next: Option<Cursor>,
}

/// A place in the quarantine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cursor {
    pub(crate) id: String,
    pub(crate) first_seen: String,
}

/// An entry with what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The entry.
    pub entry: Entry,
    /// The message as it was delivered.
    pub raw: Vec<u8>,
    /// The message as it was edited last.
    pub edited: Option<String>,
}

impl Held {
    /// What a redrive delivers: the edited message, or else the one that came.
    pub fn body(&self) -> String {
        self.edited.clone().unwrap_or_else(|| String::from_utf8_lossy(&self.raw).into_owned())
    }
}

/// How the quarantine stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Standing {
    /// How many entries there are.
    pub entries: u64,
    /// When the oldest of them came first.
    pub oldest: Option<String>,
}

/// What travels with a redriven message, as text in a message attribute: the entry that it came from, and which edit
/// of it. Once it is applied, that entry goes, unless it was edited since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redrive {
    /// The entry.
    pub id: String,
    /// The number of its edit; 0 for the message as it came.
    pub edit: u64,
}

impl fmt::Display for Redrive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.id, self.edit)
    }
}

/// The text names no entry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a redrive names an entry and the number of its edit, as `ID.0`")]
pub struct NotARedrive;

impl FromStr for Redrive {
    type Err = NotARedrive;

    fn from_str(text: &str) -> Result<Self, NotARedrive> {
        let (id, edit) = text.rsplit_once('.').ok_or(NotARedrive)?;
        let hex = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        let edit = edit.parse().ok().filter(|_| hex).ok_or(NotARedrive)?;
        Ok(Self { id: id.to_owned(), edit })
    }
}
