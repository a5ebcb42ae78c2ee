//! The key of an item.

use std::fmt;

/// The primary key of an item of a projection's table: string attributes `pk` and `sk`, both always present.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The partition key, attribute `pk`.
    pub pk: String,
    /// The sort key, attribute `sk`.
    pub sk: String,
}

impl Key {
    /// The sort key of an item that is alone in its partition, as projections write it.
    pub const ALONE: &str = "-";

    /// Whether an item can have this key: a partition key of 1 to 2,048 bytes, a sort key of 1 to 1,024, as DynamoDB
    /// documents them.
    pub fn is_possible(&self) -> bool {
        (1..=2_048).contains(&self.pk.len()) && (1..=1_024).contains(&self.sk.len())
    }

    /// A key of its two parts.
    pub fn new(pk: impl Into<String>, sk: impl Into<String>) -> Self {
        Self { pk: pk.into(), sk: sk.into() }
    }

    /// The key of an item that is alone in its partition.
    pub fn alone(pk: impl Into<String>) -> Self {
        Self::new(pk, Self::ALONE)
    }
}

impl From<(String, String)> for Key {
    fn from((pk, sk): (String, String)) -> Self {
        Self { pk, sk }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} / {}", self.pk, self.sk)
    }
}
