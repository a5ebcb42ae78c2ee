//! What a check says, for people and for machines.

use jiff::Timestamp;
use schemas::Hash;
use schemas::usage::Client;
use serde::{Deserialize, Serialize};
use std::fmt;

/// How much a finding weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Worth a look; nothing is refused for it.
    Warning,
    /// The check fails.
    Error,
}

impl Severity {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// What a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Topic {
    /// The subgraphs don't make a graph, or perhaps not the one that their authors think of.
    Composition,
    /// An operation that was right is refused, or an answer is not what its client was built for.
    Breaking,
    /// A client may meet what it doesn't expect.
    Dangerous,
    /// Nothing that a client could notice without asking for it.
    Safe,
    /// How the schema is written.
    Lint,
    /// A contract can't be made, or shows less than before.
    Contract,
    /// What the check stands on.
    Usage,
}

/// One thing that a check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The rule's stable id.
    pub rule: String,
    /// How much it weighs.
    pub severity: Severity,
    /// What it is about.
    pub topic: Topic,
    /// The schema coordinate, as in `Product.title`; empty where it is about the whole.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// The contract whose clients it concerns, if not all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contract: Option<String>,
    /// What is the matter.
    pub message: String,
    /// What to do.
    pub help: String,
    /// Where it is in the subgraphs' schemas.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub locations: Vec<Location>,
    /// Who is hit, the most frequent first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hit: Vec<Hit>,
    /// Whether it would fail the check, and was accepted by name.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub accepted: bool,
}

/// A place in a subgraph's schema.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Location {
    /// The subgraph.
    pub subgraph: String,
    /// The line of its SDL, from 1.
    pub line: usize,
    /// The column, from 1.
    pub column: usize,
}

/// A client with an operation that meets a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hit {
    /// Who sends it.
    pub client: Client,
    /// The operation's name; empty where it has none.
    pub operation: String,
    /// The hash of its text.
    pub hash: Hash,
    /// How often it was sent.
    pub count: u64,
    /// When last.
    pub last: Timestamp,
    /// Whether what changed isn't in the operation itself, but may be in its variables.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_variable: bool,
}

/// All that a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// What it found, what fails it first.
    pub findings: Vec<Finding>,
    /// The hash of the supergraph that it would be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supergraph: Option<Hash>,
    /// Operations in use that it was held against.
    pub operations: u64,
    /// Lints that the schemas that stand have already: they aren't told again.
    pub standing: u64,
}

impl fmt::Display for Hit {
    /// A client and what it sends.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.client.name.as_str(), self.client.version.as_str()) {
            ("", _) => f.write_str("a client without a name")?,
            (name, "") => f.write_str(name)?,
            (name, version) => write!(f, "{name} {version}")?,
        }
        match self.operation.as_str() {
            "" => write!(f, ", by an operation without a name ({})", self.hash.short())?,
            name => write!(f, ", by {name}")?,
        }
        let may = if self.by_variable { ", whose variables may hold it" } else { "" };
        let times = if self.count == 1 { "time" } else { "times" };
        write!(f, "{may}: {} {times}, last {}", self.count, self.last.strftime("%Y-%m-%d %H:%MZ"))
    }
}

impl Report {
    /// Whether nothing in it is an error.
    pub fn passed(&self) -> bool {
        self.findings.iter().all(|finding| finding.severity < Severity::Error)
    }

    /// How many findings weigh so much.
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }

    pub(crate) fn sort(&mut self) {
        self.findings.sort_by(|a, b| {
            let key = |it: &Finding| (std::cmp::Reverse(it.severity), it.topic, it.contract.clone());
            key(a)
                .cmp(&key(b))
                .then_with(|| (&a.path, &a.rule, &a.message).cmp(&(&b.path, &b.rule, &b.message)))
        });
    }
}
