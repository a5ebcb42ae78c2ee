//! Personal data that must not reach a log.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Wraps a personal value (a name, an address, an e-mail) so that printing it shows `[redacted]`.
///
/// Serialising passes the value through: it guards logs, not stores.
///
/// ```
/// let name = telemetry::Redacted::new("Ada".to_owned());
/// assert_eq!(format!("{name} {name:?}"), "[redacted] [redacted]");
/// assert_eq!(name.expose(), "Ada");
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Redacted<T>(T);

impl<T> Redacted<T> {
    /// Guards `value`.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself; the name marks each place where it is read.
    pub const fn expose(&self) -> &T {
        &self.0
    }

    /// Gives the value up.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> From<T> for Redacted<T> {
    fn from(value: T) -> Self {
        Self(value)
    }
}

impl<T> fmt::Debug for Redacted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl<T> fmt::Display for Redacted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}
