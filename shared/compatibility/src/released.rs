//! Contracts as files: today's beside all that were released.
//!
//! `<domain>/<Name>/v<major>.schema.json` and `.example.json` are today's; `released/v<major>.<minor>.*` in the same folder
//! never change once they are there; `v<major>.retired.json` says that nobody reads the major version any more.

mod check;
mod read;

use crate::finding::Finding;
use crate::shape::{Outside, Shape};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;

pub use check::check;

/// All contracts of a folder.
#[derive(Clone, Debug, Default)]
pub struct Contracts {
    /// Each major version of each event and command.
    pub all: BTreeMap<Id, Contract>,
    /// The files, by their paths in the folder.
    pub files: BTreeMap<String, String>,
}

/// An event or a command in one major version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id {
    /// The bounded context.
    pub domain: String,
    /// Its name.
    pub name: String,
    /// The major version.
    pub major: u16,
}

/// What a contract is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Published by its domain, read by many, archived for ever.
    Event,
    /// Sent by many, decided by its domain, kept in queues only.
    Command,
}

/// A contract in one major version.
#[derive(Clone, Debug, Default)]
pub struct Contract {
    /// Today's; none where it is retired, or gone.
    pub today: Option<Form>,
    /// What was released, by minor version.
    pub released: BTreeMap<u16, Form>,
    /// Why nobody reads it any more.
    pub retired: Option<String>,
}

/// A schema and its example.
#[derive(Clone, Debug)]
pub struct Form {
    /// JSON Schema.
    pub schema: Value,
    /// The same, read; or why it can't be.
    pub shape: Result<Shape, Outside>,
    /// A message.
    pub example: Value,
}

/// A minor version of a major one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Minor {
    /// The major version.
    pub major: u16,
    /// The minor version, from 0.
    pub minor: u16,
}

/// A folder that doesn't hold contracts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// A file isn't JSON.
    #[error("{path} is not JSON: {why}")]
    NotJson {
        /// The file.
        path: String,
        /// Why not.
        why: String,
    },
    /// A file has a name that means nothing.
    #[error(
        "{path} is no contract's: a contract has v<major>.schema.json, v<major>.example.json, v<major>.retired.json and released/v<major>.<minor>.*"
    )]
    Stray {
        /// The file.
        path: String,
    },
    /// A schema has no example, or an example no schema.
    #[error("{path} is missing beside {beside}")]
    Alone {
        /// The file that isn't there.
        path: String,
        /// The one that is.
        beside: String,
    },
    /// There is nothing.
    #[error("there are no contracts in it")]
    Empty,
}

impl Id {
    /// Its name without the version, such as `orders.OrderPlaced`.
    pub fn full_name(&self) -> String {
        format!("{}.{}", self.domain, self.name)
    }

    /// The path of one of its files.
    pub fn file(&self, what: &str) -> String {
        format!("{}/{}/v{}.{what}.json", self.domain, self.name, self.major)
    }

    /// The path of one of the files of a release.
    pub fn released_file(&self, minor: u16, what: &str) -> String {
        format!("{}/{}/released/v{}.{minor}.{what}.json", self.domain, self.name, self.major)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{} v{}", self.domain, self.name, self.major)
    }
}

impl Serialize for Id {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for Minor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}.{}", self.major, self.minor)
    }
}

impl Form {
    /// A schema with its example.
    pub fn new(schema: Value, example: Value) -> Self {
        let shape = Shape::read(&schema);
        Self { schema, shape, example }
    }

    /// An event's envelope has a kind, a command's has none.
    pub fn role(&self) -> Role {
        if self.schema["properties"].get("kind").is_some() { Role::Event } else { Role::Command }
    }
}

impl Contract {
    /// Its newest release.
    pub fn newest(&self) -> Option<(u16, &Form)> {
        self.released.last_key_value().map(|(minor, form)| (*minor, form))
    }

    /// The minor version that today's form would be released as; none where it is released, or gone.
    pub fn unreleased(&self) -> Option<u16> {
        let today = self.today.as_ref()?;
        match self.newest() {
            None => Some(0),
            Some((minor, newest)) => (newest.schema != today.schema).then_some(minor + 1),
        }
    }

    /// What it is.
    pub fn role(&self) -> Role {
        let form = self.today.as_ref().or_else(|| self.newest().map(|(_, form)| form));
        form.map_or(Role::Event, Form::role)
    }
}

impl Contracts {
    /// Reads the files of a folder, by their paths in it. Files that aren't in a contract's folder are passed over.
    pub fn read(files: BTreeMap<String, String>) -> Result<Self, Unreadable> {
        read::contracts(files)
    }

    /// The files that a release of today's forms adds.
    pub fn release(&self) -> BTreeMap<String, String> {
        let mut added = BTreeMap::new();
        for (id, contract) in &self.all {
            let Some(minor) = contract.unreleased() else { continue };
            for what in ["schema", "example"] {
                if let Some(text) = self.files.get(&id.file(what)) {
                    added.insert(id.released_file(minor, what), text.clone());
                }
            }
        }
        added
    }
}

/// Whether nothing among the findings stops a release.
pub fn passes(findings: &[Finding]) -> bool {
    findings.iter().all(|it| it.severity != crate::finding::Severity::Error)
}
