//! What changed between two schemas that clients see, and what each change means to them.
//!
//! After the rules that graphql-js publishes (`findBreakingChanges`, `findDangerousChanges`), told apart further by
//! where a type is used.

mod compare;
mod inputs;
mod rules;

use crate::operations::Use;
use crate::schema::Schema;
use serde::{Deserialize, Serialize};

pub use rules::Rule;

/// What a change means to clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Category {
    /// An operation that was right is refused, or an answer is no longer what its client was built for.
    Breaking,
    /// No operation is refused, but a client may meet what it doesn't expect.
    Dangerous,
    /// Nothing that a client could notice without asking for it.
    Safe,
}

impl Category {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Breaking => "breaking",
            Self::Dangerous => "dangerous",
            Self::Safe => "safe",
        }
    }
}

/// A change between two schemas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What kind of change.
    pub rule: Rule,
    /// The schema coordinate, as in `Product.title` or `Query.products(first:)`.
    pub path: String,
    /// What changed, in a sentence.
    pub message: String,
    /// An operation that uses any of these meets the change.
    pub touches: Vec<Use>,
}

/// What changed from one schema to another, by path.
pub fn changes(old: &Schema, new: &Schema) -> Vec<Change> {
    let mut changes = compare::compare(old, new);
    changes.sort_by(|a, b| (&a.path, a.rule).cmp(&(&b.path, b.rule)));
    changes
}
