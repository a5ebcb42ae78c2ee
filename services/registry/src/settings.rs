//! What the registry is told by its settings.

use crate::finding::Severity;
use crate::lint::Lint;
use schemas::usage::Client;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// How a lint is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// It isn't looked at.
    Off,
    /// Its findings are told.
    Info,
    /// Its findings are warnings.
    Warning,
    /// Its findings fail the check.
    Error,
}

impl Level {
    /// How much its findings weigh; none where it is off.
    pub fn severity(self) -> Option<Severity> {
        match self {
            Self::Off => None,
            Self::Info => Some(Severity::Info),
            Self::Warning => Some(Severity::Warning),
            Self::Error => Some(Severity::Error),
        }
    }
}

/// The settings: `settings.json` in the store of schemas. What they don't say is by default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Lints by id, where they are taken otherwise than by default.
    pub lints: BTreeMap<String, Level>,
    /// Which usage counts.
    pub usage: UsageSettings,
}

/// Which usage counts when a change is held against it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UsageSettings {
    /// How many days back.
    pub days: u32,
    /// An operation that all clients together sent less often doesn't count.
    pub least: u64,
    /// Clients by name that don't count, such as a monitor.
    pub ignored_clients: BTreeSet<String>,
}

impl Default for UsageSettings {
    fn default() -> Self {
        Self { days: 30, least: 1, ignored_clients: BTreeSet::new() }
    }
}

impl UsageSettings {
    pub(crate) fn counts(&self, client: &Client) -> bool {
        !self.ignored_clients.contains(&client.name)
    }
}

/// Settings that can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// There is no such lint.
    #[error("there is no lint `{0}`: there are {known}", known = known())]
    UnknownLint(String),
    /// No usage would count.
    #[error("usage of 0 days counts nothing: set at least 1")]
    NoDays,
}

fn known() -> String {
    Lint::ALL.iter().map(|lint| lint.id()).collect::<Vec<_>>().join(", ")
}

impl Settings {
    /// Refuses what can't be meant.
    pub fn check(&self) -> Result<(), SettingsError> {
        if let Some(unknown) = self.lints.keys().find(|id| Lint::by_id(id).is_none()) {
            return Err(SettingsError::UnknownLint(unknown.clone()));
        }
        if self.usage.days == 0 {
            return Err(SettingsError::NoDays);
        }
        Ok(())
    }

    /// How a lint is taken.
    pub fn level(&self, lint: Lint) -> Level {
        self.lints.get(lint.id()).copied().unwrap_or_else(|| lint.default_level())
    }
}
