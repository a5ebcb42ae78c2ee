//! The key of an item.

use std::fmt;

/// The key of an item of a projection: every table has a partition key `pk` and a sort key `sk`, both strings.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Partition key, not empty.
    pub pk: String,
    /// Sort key, not empty.
    pub sk: String,
}

impl Key {
    /// The sort key of an item that is alone in its partition.
    pub const ALONE: &str = "-";

    /// A key of two parts.
    pub fn new(pk: impl Into<String>, sk: impl Into<String>) -> Self {
        Self { pk: pk.into(), sk: sk.into() }
    }

    /// The key of an item that is alone in its partition.
    pub fn alone(pk: impl Into<String>) -> Self {
        Self::new(pk, Self::ALONE)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.pk, self.sk)
    }
}
