//! EventBridge's event patterns: compiled once, matched against parsed events.
//!
//! The rules are those of <https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-event-patterns.html>.

mod compile;
mod matcher;

use serde_json::{Map, Value};

use self::matcher::Matcher;

/// An event pattern, ready to match.
#[derive(Debug, Clone, PartialEq)]
pub struct Pattern(Fields);

/// Why a pattern is not one. `path` is where, like `detail.state`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// The text isn't JSON.
    #[error("an event pattern must be JSON: {0}")]
    NotJson(String),
    /// The pattern itself isn't an object.
    #[error("an event pattern must be a JSON object")]
    NotAnObject,
    /// A field holds neither an object nor an array.
    #[error("{path:?} must be an object or an array, like [\"value\"]")]
    NotAnObjectOrArray {
        /// Where.
        path: String,
    },
    /// An array of values is empty.
    #[error("{path:?} is an empty array, which would match nothing")]
    EmptyArray {
        /// Where.
        path: String,
    },
    /// An object is empty.
    #[error("{path:?} is an empty object")]
    EmptyObject {
        /// Where.
        path: String,
    },
    /// An array holds something other than a string, a number, true, false, null or a match expression.
    #[error("a value of {path:?} must be a string, a number, true, false, null or a match expression")]
    NotAValue {
        /// Where.
        path: String,
    },
    /// A match expression has no key, or more than one.
    #[error("a match expression of {path:?} must have exactly one key")]
    OneKey {
        /// Where.
        path: String,
    },
    /// An operator that EventBridge doesn't have.
    #[error("{path:?} has the unknown match type {operator:?}")]
    UnknownOperator {
        /// Where.
        path: String,
        /// What stands there.
        operator: String,
    },
    /// An operator with an operand that it can't take.
    #[error("{path:?}: {operator} {expected}")]
    Operand {
        /// Where.
        path: String,
        /// Whose operand it is.
        operator: &'static str,
        /// What it must be.
        expected: &'static str,
    },
}

/// What an object must hold: each of the fields, and one of each group of alternatives.
#[derive(Debug, Clone, PartialEq, Default)]
struct Fields {
    required: Vec<(String, Node)>,
    alternatives: Vec<Vec<Fields>>,
}

#[derive(Debug, Clone, PartialEq)]
enum Node {
    Fields(Fields),
    /// One of these must match.
    Values(Vec<Matcher>),
}

impl Pattern {
    /// Compiles a pattern from its JSON text.
    pub fn parse(json: &str) -> Result<Self, PatternError> {
        let value = serde_json::from_str(json).map_err(|error| PatternError::NotJson(error.to_string()))?;
        Self::compile(&value)
    }

    /// Compiles a pattern from JSON.
    pub fn compile(value: &Value) -> Result<Self, PatternError> {
        compile::pattern(value).map(Self)
    }

    /// Whether an event matches: the whole envelope, `detail` as an object.
    pub fn matches(&self, event: &Value) -> bool {
        self.0.match_value(Some(event))
    }
}

impl Fields {
    /// In an array of objects, one of them must match as a whole.
    fn match_value(&self, value: Option<&Value>) -> bool {
        match value {
            Some(Value::Object(object)) => self.match_object(Some(object)),
            Some(Value::Array(elements)) if !elements.is_empty() => {
                elements.iter().any(|element| self.match_value(Some(element)))
            }
            _ => self.match_object(None),
        }
    }

    fn match_object(&self, object: Option<&Map<String, Value>>) -> bool {
        self.required.iter().all(|(name, node)| node.match_value(object.and_then(|object| object.get(name))))
            && self
                .alternatives
                .iter()
                .all(|group| group.iter().any(|alternative| alternative.match_object(object)))
    }
}

impl Node {
    fn match_value(&self, value: Option<&Value>) -> bool {
        match self {
            Self::Fields(fields) => fields.match_value(value),
            Self::Values(matchers) => {
                let present = value.is_some_and(|value| match_leaves(value, &mut |_| true));
                matchers.iter().any(|matcher| match matcher {
                    Matcher::Exists(wanted) => *wanted == present,
                    matcher => {
                        value.is_some_and(|value| match_leaves(value, &mut |leaf| matcher.matches(leaf)))
                    }
                })
            }
        }
    }
}

/// Whether a value, or an element of an array however deep, that isn't an object satisfies `accept`.
fn match_leaves(value: &Value, accept: &mut impl FnMut(&Value) -> bool) -> bool {
    match value {
        Value::Object(_) => false,
        Value::Array(elements) => elements.iter().any(|element| match_leaves(element, accept)),
        leaf => accept(leaf),
    }
}
