//! The tables of a projection, as data.

use serde::Serialize;

/// A DynamoDB table: partition key `pk` and sort key `sk`, both strings; on demand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Table {
    /// Its name, before any prefix of the deployment.
    pub name: String,
    /// Its global secondary indexes.
    pub indexes: Vec<Index>,
    /// The attribute with the time in epoch seconds after which an item may go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl: Option<&'static str>,
    /// Whether its changes are streamed, as new images.
    pub stream: bool,
    /// Whether it is one of the relational store's, and none of DynamoDB's.
    #[serde(skip)]
    pub relational: bool,
}

/// A global secondary index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Index {
    /// Its name.
    pub name: &'static str,
    /// The attribute of its partition key, a string.
    pub partition: &'static str,
    /// The attribute of its sort key.
    pub sort: &'static str,
    /// The type of its sort key.
    pub sort_type: ScalarType,
    /// The attributes besides the keys that it holds; all of them where there is no list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub include: Option<&'static [&'static str]>,
}

/// The type of a key attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum ScalarType {
    /// A string.
    #[serde(rename = "S")]
    String,
    /// A number.
    #[serde(rename = "N")]
    Number,
}

impl Table {
    /// A table with time to live on `ttl`, no index and no stream.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), indexes: Vec::new(), ttl: Some("ttl"), stream: false, relational: false }
    }

    /// Streams its changes.
    #[must_use]
    pub fn streamed(mut self) -> Self {
        self.stream = true;
        self
    }
}

impl Index {
    /// An index by a string, holding all attributes.
    pub const fn new(name: &'static str, partition: &'static str, sort: &'static str) -> Self {
        Self { name, partition, sort, sort_type: ScalarType::String, include: None }
    }

    /// An index by a number, holding all attributes.
    pub const fn by_number(name: &'static str, partition: &'static str, sort: &'static str) -> Self {
        Self { name, partition, sort, sort_type: ScalarType::Number, include: None }
    }

    /// Holds only the keys and these attributes.
    #[must_use]
    pub const fn including(mut self, attributes: &'static [&'static str]) -> Self {
        self.include = Some(attributes);
        self
    }
}
