//! The subset of JSON Schema that the types of the published language produce, read into something that can be compared.
//!
//! What is outside it is refused: a keyword that the comparison doesn't understand could hide a break.

mod read;

use std::collections::BTreeMap;

/// What a value may be.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    /// What it is where it isn't null.
    pub form: Form,
    /// Whether it may be null.
    pub nullable: bool,
    /// What it means; empty where nothing is said.
    pub doc: String,
}

/// What a value is where it isn't null.
#[derive(Clone, Debug, PartialEq)]
pub enum Form {
    /// Anything at all.
    Any,
    /// True or false.
    Boolean,
    /// A whole number.
    Integer {
        /// What the type can hold, from its `format`.
        width: Range,
        /// What it may be.
        limits: Range,
    },
    /// A number.
    Number {
        /// The least that it may be.
        least: Option<f64>,
        /// The most that it may be.
        most: Option<f64>,
    },
    /// A text.
    Text(Text),
    /// One of some texts.
    Choice {
        /// Each with what it means.
        values: BTreeMap<String, String>,
        /// Whether a reader takes a text that it doesn't know.
        open: bool,
    },
    /// One text or number.
    Constant(serde_json::Value),
    /// A list.
    List {
        /// What its items are.
        items: Box<Shape>,
        /// How many there may be.
        count: Range,
    },
    /// A map from texts to values.
    Map(Box<Shape>),
    /// An object, open to fields that a reader doesn't know.
    Object(BTreeMap<String, Field>),
}

/// A text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text {
    /// What it is written as, such as `date-time`.
    pub format: Option<String>,
    /// How many characters it may have.
    pub length: Range,
    /// The regular expression that it matches.
    pub pattern: Option<String>,
}

/// From a least to a most, both included; none where there is no such limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Range {
    /// The least.
    pub least: Option<i128>,
    /// The most.
    pub most: Option<i128>,
}

/// A field of an object.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// What it is.
    pub shape: Shape,
    /// Whether it is always there.
    pub required: bool,
    /// What stands for it where it isn't.
    pub default: Option<serde_json::Value>,
}

/// A schema that is outside the subset.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {what}; {advice}")]
pub struct Outside {
    /// Where, as [`Finding::path`](crate::Finding::path) has it; `.` for the whole.
    pub place: String,
    /// What stands there.
    pub what: String,
    /// What could stand there instead.
    pub advice: &'static str,
}

impl Range {
    /// Whether all that is within this is within the other.
    pub fn within(self, other: Self) -> bool {
        let least = other.least.is_none_or(|it| self.least.is_some_and(|own| own >= it));
        let most = other.most.is_none_or(|it| self.most.is_some_and(|own| own <= it));
        least && most
    }

    /// What is within both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let least = self.least.into_iter().chain(other.least).max();
        let most = self.most.into_iter().chain(other.most).min();
        Self { least, most }
    }
}

impl std::fmt::Display for Range {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.least, self.most) {
            (None, None) => f.write_str("any number"),
            (Some(least), None) => write!(f, "at least {least}"),
            (None, Some(most)) => write!(f, "at most {most}"),
            (Some(least), Some(most)) => write!(f, "{least} to {most}"),
        }
    }
}

impl Shape {
    /// Reads a whole schema, references and all.
    pub fn read(schema: &serde_json::Value) -> Result<Self, Outside> {
        read::shape(schema)
    }

    /// The field at a path such as `data.lines[].sku`, if there is one.
    pub fn at(&self, path: &str) -> Option<&Self> {
        let mut shape = self;
        for name in path.split('.').filter(|name| !name.is_empty()) {
            let (name, lists) = (name.trim_end_matches("[]"), name.matches("[]").count());
            shape = match &shape.form {
                Form::Object(fields) => &fields.get(name)?.shape,
                Form::Map(values) if name == "*" => values,
                _ => return None,
            };
            for _ in 0..lists {
                let Form::List { items, .. } = &shape.form else { return None };
                shape = items;
            }
        }
        Some(shape)
    }

    /// The paths of all fields inside this one, those of lists' items among them, each with its shape and whether it is
    /// always there.
    pub fn fields(&self) -> Vec<(String, &Self, bool)> {
        let mut found = Vec::new();
        self.walk("", &mut found);
        found
    }

    fn walk<'a>(&'a self, path: &str, found: &mut Vec<(String, &'a Self, bool)>) {
        match &self.form {
            Form::Object(fields) => {
                for (name, field) in fields {
                    let path = join(path, name);
                    found.push((path.clone(), &field.shape, field.required));
                    field.shape.walk(&path, found);
                }
            }
            Form::List { items, .. } => items.walk(&format!("{path}[]"), found),
            Form::Map(values) => values.walk(&join(path, "*"), found),
            _ => {}
        }
    }

    /// What it is, in a few words.
    pub fn describe(&self) -> String {
        let form = match &self.form {
            Form::Any => "any value".to_owned(),
            Form::Boolean => "true or false".to_owned(),
            Form::Integer { .. } => "a whole number".to_owned(),
            Form::Number { .. } => "a number".to_owned(),
            Form::Text(Text { format: Some(format), .. }) => format!("a text in the format {format}"),
            Form::Text(_) => "a text".to_owned(),
            Form::Choice { values, open } => {
                let values: Vec<&str> = values.keys().map(String::as_str).collect();
                format!("one of {}{}", values.join(", "), if *open { ", or another text" } else { "" })
            }
            Form::Constant(value) => format!("always {value}"),
            Form::List { items, .. } => format!("a list of {}", items.describe()),
            Form::Map(values) => format!("a map to {}", values.describe()),
            Form::Object(_) => "an object".to_owned(),
        };
        if self.nullable { format!("{form}, or null") } else { form }
    }
}

/// The path of a field of an object.
pub(crate) fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}
