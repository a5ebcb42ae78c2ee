//! Changes of a field of an example.

use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Another value for a field, or none.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Change {
    /// JSON pointer.
    at: String,
    to: Option<Value>,
}

impl Change {
    /// Changes the field, if there is such a field.
    pub(super) fn apply(&self, data: &mut Value) -> bool {
        if let Some(to) = &self.to {
            return data.pointer_mut(&self.at).map(|field| *field = to.clone()).is_some();
        }
        let Some((parent, name)) = self.at.rsplit_once('/') else { return false };
        let parent = data.pointer_mut(parent).and_then(Value::as_object_mut);
        parent.and_then(|parent| parent.remove(name)).is_some()
    }
}

/// All changes to try of the fields of `data`. What is `own` is the aggregate's identity and stays.
pub(super) fn changes(
    data: &Value,
    others: &[&Value],
    own: &BTreeSet<String>,
    identities: &BTreeSet<String>,
) -> Vec<Change> {
    let mut found = Vec::new();
    walk(data, &mut String::new(), &mut |at, field| {
        if field.as_str().is_some_and(|text| own.contains(text)) {
            return;
        }
        let seen = others.iter().filter_map(|other| other.pointer(at)).filter(|it| *it != field).cloned();
        let values = values(field, identities).into_iter().chain(seen);
        found.extend(values.map(|to| Change { at: at.to_owned(), to: Some(to) }));
        found.push(Change { at: at.to_owned(), to: None });
    });
    found
}

fn walk(value: &Value, at: &mut String, visit: &mut impl FnMut(&str, &Value)) {
    let children: Vec<(String, &Value)> = match value {
        Value::Object(fields) => {
            fields.iter().map(|(name, it)| (name.replace('~', "~0").replace('/', "~1"), it)).collect()
        }
        Value::Array(items) => items.iter().enumerate().map(|(index, it)| (index.to_string(), it)).collect(),
        _ => {
            visit(at, value);
            return;
        }
    };
    let length = at.len();
    for (name, child) in children {
        at.push('/');
        at.push_str(&name);
        walk(child, at, visit);
        at.truncate(length);
    }
}

fn values(field: &Value, identities: &BTreeSet<String>) -> Vec<Value> {
    match field {
        Value::Bool(value) => vec![json!(!value)],
        Value::Number(number) => match number.as_i64() {
            Some(value) => [value + 1, 0, 1_000_000, -value - 7].map(|it| json!(it)).into(),
            None => vec![json!(0.5)],
        },
        Value::String(text) if identities.contains(text) => {
            vec![json!(other_identity(text, 1)), json!(other_identity(text, 2))]
        }
        Value::String(text) => texts(text),
        _ => Vec::new(),
    }
}

fn texts(text: &str) -> Vec<Value> {
    if let Ok(time) = text.parse::<Timestamp>() {
        let hours = [-1, 24, 24 * 40].map(SignedDuration::from_hours);
        return hours.iter().map(|it| json!((time + *it).to_string())).collect();
    }
    if text.contains('.') && text.parse::<Decimal>().is_ok() {
        return ["0.001", "19.990", "123456789012.345", "-2.50"].map(|it| json!(it)).into();
    }
    vec![json!(format!("{text} ✓")), json!(format!("Zürich {text}"))]
}

/// Another value in the place of an identity, the same wherever it stands.
pub(super) fn other_identity(identity: &str, number: usize) -> String {
    format!("{identity}-{number}")
}

/// Puts another text in the place of one, wherever it stands.
pub(super) fn rename(value: &mut Value, from: &str, to: &str) {
    match value {
        Value::String(text) if text == from => to.clone_into(text),
        Value::Array(items) => items.iter_mut().for_each(|item| rename(item, from, to)),
        Value::Object(fields) => fields.values_mut().for_each(|field| rename(field, from, to)),
        _ => {}
    }
}
