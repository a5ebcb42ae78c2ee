//! Cursors: where a row stands in a list, bound to that list.

use crate::error::UserError;
use aws_sdk_dynamodb::types::AttributeValue;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use std::collections::HashMap;

/// The form of cursors; another is not understood.
const FORMAT: u8 = 1;

/// The bytes of the checksum.
const CHECKSUM: usize = 8;

/// The longest cursor: a DynamoDB key has at most 3 KiB, an index adds another.
const MAX_LENGTH: usize = 12 * 1024;

/// What a cursor is bound to: the list (table, index, partition, range, direction), as one text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scope(pub(crate) String);

/// The key attributes of a row, sorted by name.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Cursor(Vec<(String, AttributeValue)>);

impl Cursor {
    /// Takes the key attributes out of an item. `None` when one is missing or is neither string nor number.
    pub(crate) fn of(item: &HashMap<String, AttributeValue>, names: &[&str]) -> Option<Self> {
        let mut attributes = Vec::with_capacity(names.len());
        for name in names {
            let value = item.get(*name).filter(|value| value.is_s() || value.is_n())?;
            attributes.push(((*name).to_owned(), value.clone()));
        }
        attributes.sort_by(|a, b| a.0.cmp(&b.0));
        attributes.dedup_by(|a, b| a.0 == b.0);
        Some(Self(attributes))
    }

    /// As DynamoDB takes it.
    pub(crate) fn into_key(self) -> HashMap<String, AttributeValue> {
        self.0.into_iter().collect()
    }

    /// Opaque text: format, checksum over the list and the position, position.
    pub(crate) fn encode(&self, scope: &Scope) -> String {
        let position: Vec<(&str, &str, &str)> = self
            .0
            .iter()
            .map(|(name, value)| match value {
                AttributeValue::N(number) => (name.as_str(), "N", number.as_str()),
                other => (name.as_str(), "S", other.as_s().map_or("", String::as_str)),
            })
            .collect();
        let position = serde_json::to_vec(&position).expect("strings are always JSON");
        let mut bytes = vec![FORMAT];
        bytes.extend_from_slice(&checksum(scope, &position));
        bytes.extend_from_slice(&position);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads a cursor of the same list with the same key attributes; anything else is the client's error.
    pub(crate) fn decode(text: &str, scope: &Scope, names: &[&str]) -> Result<Self, UserError> {
        let parse = || {
            if text.len() > MAX_LENGTH {
                return None;
            }
            let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
            let (&format, rest) = bytes.split_first()?;
            let (sum, position) = rest.split_at_checked(CHECKSUM)?;
            if format != FORMAT || sum != checksum(scope, position) {
                return None;
            }
            let position: Vec<(String, String, String)> = serde_json::from_slice(position).ok()?;
            let item = position
                .into_iter()
                .map(|(name, kind, value)| match kind.as_str() {
                    "S" => Some((name, AttributeValue::S(value))),
                    "N" => Some((name, AttributeValue::N(value))),
                    _ => None,
                })
                .collect::<Option<HashMap<_, _>>>()?;
            Self::of(&item, names).filter(|cursor| cursor.0.len() == item.len())
        };
        parse().ok_or_else(|| {
            UserError::bad_input(
                "this cursor is not of this list; use one that the same list with the same arguments gave",
            )
        })
    }
}

/// A checksum, not a signature: it finds mistakes. Whoever forges one can only ask for another place in a list they
/// may read anyway, since the partition comes from the query.
fn checksum(scope: &Scope, position: &[u8]) -> [u8; CHECKSUM] {
    let mut hash = Sha256::new();
    hash.update([FORMAT]);
    hash.update(u64::try_from(scope.0.len()).unwrap_or(u64::MAX).to_be_bytes());
    hash.update(scope.0.as_bytes());
    hash.update(position);
    let mut sum = [0; CHECKSUM];
    sum.copy_from_slice(&hash.finalize()[..CHECKSUM]);
    sum
}
