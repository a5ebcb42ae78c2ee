//! What a comparison finds.

use crate::released::Id;
use crate::rules::Rule;
use serde::Serialize;
use std::fmt;

/// A difference that somebody should know of.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// Which rule says so.
    #[serde(serialize_with = "by_id", rename = "rule")]
    pub rule: Rule,
    /// What kind of break it is.
    pub category: Category,
    /// Whether it stops a release.
    pub severity: Severity,
    /// The event or command, in its major version.
    pub contract: Id,
    /// The field, such as `data.lines[].sku`; empty where it is the contract as a whole.
    pub path: String,
    /// The released versions that differ, oldest first, such as `v1.0`.
    pub against: Vec<String>,
    /// Who can't read what; none where the bytes are read as before.
    pub direction: Option<Direction>,
    /// What changed.
    pub what: String,
    /// Why that breaks, and whom.
    pub why: String,
    /// What to do instead.
    pub advice: String,
}

/// What kind of difference it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Category {
    /// Bytes that were written can't be read.
    Wire,
    /// They can be read, and mean something else.
    Semantic,
    /// What is said of them changed.
    Docs,
}

/// Whether a finding stops a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It does.
    Error,
    /// It doesn't; somebody should look.
    Warning,
    /// It is told, no more.
    Note,
}

/// Who can't read what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Direction {
    /// Builds that run already can't read what the new one writes.
    OldReadsNew,
    /// The new build can't read what was written before: archives, queues, quarantines.
    NewReadsOld,
    /// Neither can read what the other writes.
    Neither,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn by_id<S: serde::Serializer>(rule: &Rule, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(rule.id())
}

impl Category {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Wire => "wire",
            Self::Semantic => "semantic",
            Self::Docs => "docs",
        }
    }
}

impl Severity {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]: {}", self.severity.name(), self.rule.id(), self.contract)?;
        if !self.path.is_empty() {
            write!(f, " {}", self.path)?;
        }
        writeln!(f, ": {}", self.what)?;
        if !self.against.is_empty() {
            writeln!(f, "  against: {}", self.against.join(", "))?;
        }
        writeln!(f, "  why:     {}", self.why)?;
        write!(f, "  do:      {}", self.advice)
    }
}
