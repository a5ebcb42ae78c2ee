//! Which fields of a message matter to somebody who reads it: found by leaving one out, or changing one, and looking at what
//! comes of it. Nothing is declared, so nothing can be declared wrong.

mod values;

use crate::shape::{Form, Shape};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// Messages to try on a reader.
#[derive(Clone, Debug)]
pub struct Probe {
    /// Messages as they are: the example, the same with all that may be absent, the same with each value of each enum.
    pub bases: Vec<Value>,
    /// The number of the base that has all that may be absent.
    pub full: usize,
    /// Each a base with one field changed.
    pub trials: Vec<Trial>,
}

/// A message with one field changed.
#[derive(Clone, Debug)]
pub struct Trial {
    /// The field, such as `lines[].sku`.
    pub path: String,
    /// The number of the base.
    pub base: usize,
    /// Whether the field was left out; else it is another value.
    pub dropped: bool,
    /// The message.
    pub data: Value,
}

/// What comes of a message, each part by its name; or why it is refused.
pub type Outcome = Result<BTreeMap<String, Value>, String>;

/// What a field is to a reader.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Read {
    /// Whether a message without it is refused.
    pub needed: bool,
    /// The parts of what comes of it that are others with another value.
    pub into: BTreeSet<String>,
    /// Whether every other value was refused: it is read, and nothing can be said of what for.
    pub refused: bool,
}

impl Read {
    /// Whether something is made of it.
    pub fn is_used(&self) -> bool {
        self.refused || !self.into.is_empty()
    }
}

/// Messages that try each field of a shape.
pub fn probe(shape: &Shape, example: &Value) -> Probe {
    let mut full = example.clone();
    complete(shape, &mut full);
    let mut bases = vec![example.clone()];
    if full != *example {
        bases.push(full.clone());
    }
    let all = bases.len() - 1;
    let fields = shape.fields();
    for (path, field, _) in &fields {
        let Form::Choice { values, .. } = &field.form else { continue };
        for value in values.keys() {
            let mut base = full.clone();
            if change(&mut base, path, &|_| Some(value.as_str().into())) && !bases.contains(&base) {
                bases.push(base);
            }
        }
    }
    let mut trials = Vec::new();
    for (path, field, _) in &fields {
        for (number, base) in bases.iter().enumerate() {
            let mut without = base.clone();
            if change(&mut without, path, &|_| None) {
                trials.push(Trial { path: path.clone(), base: number, dropped: true, data: without });
            }
            let Some(present) = at(base, path) else { continue };
            for other in values::others(field, present) {
                let mut data = base.clone();
                if change(&mut data, path, &|_| Some(other.clone())) && data != *base {
                    trials.push(Trial { path: path.clone(), base: number, dropped: false, data });
                }
            }
        }
    }
    Probe { bases, full: all, trials }
}

impl Probe {
    /// What each field is to a reader, given what came of each base and of each trial, in their order.
    pub fn conclude(&self, bases: &[Outcome], trials: &[Outcome]) -> BTreeMap<String, Read> {
        let mut reads: BTreeMap<String, Read> = BTreeMap::new();
        let mut taken: BTreeSet<&str> = BTreeSet::new();
        for (trial, outcome) in self.trials.iter().zip(trials) {
            let read = reads.entry(trial.path.clone()).or_default();
            let Some(Ok(before)) = bases.get(trial.base) else { continue };
            match outcome {
                Err(_) if trial.dropped => read.needed = true,
                Err(_) => {}
                Ok(after) => {
                    if !trial.dropped {
                        taken.insert(&trial.path);
                    }
                    let parts: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
                    let differ = parts.into_iter().filter(|part| before.get(*part) != after.get(*part));
                    read.into.extend(differ.cloned());
                }
            }
        }
        for trial in self.trials.iter().filter(|trial| !trial.dropped) {
            if !taken.contains(trial.path.as_str()) {
                reads.entry(trial.path.clone()).or_default().refused = true;
            }
        }
        reads
    }
}

/// Whether a path is another, or inside it.
pub fn inside(inner: &str, outer: &str) -> bool {
    inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// The value at a path; that of the first item of each list.
fn at<'a>(data: &'a Value, path: &str) -> Option<&'a Value> {
    let mut value = data;
    for name in path.split('.') {
        let (name, lists) = (name.trim_end_matches("[]"), name.matches("[]").count());
        value = value.get(name)?;
        for _ in 0..lists {
            value = value.get(0)?;
        }
    }
    Some(value)
}

/// Changes the field at a path, in the first item of each list, or takes it out. False where there is none.
fn change(data: &mut Value, path: &str, to: &dyn Fn(&Value) -> Option<Value>) -> bool {
    let (parent, name) = path.rsplit_once('.').map_or(("", path), |(parent, name)| (parent, name));
    let mut value = data;
    for name in parent.split('.').filter(|name| !name.is_empty()) {
        let (name, lists) = (name.trim_end_matches("[]"), name.matches("[]").count());
        let Some(field) = value.get_mut(name) else { return false };
        value = field;
        for _ in 0..lists {
            let Some(item) = value.get_mut(0) else { return false };
            value = item;
        }
    }
    let Some(object) = value.as_object_mut() else { return false };
    let Some(present) = object.get(name) else { return false };
    match to(present) {
        Some(other) => _ = object.insert(name.to_owned(), other),
        None => _ = object.remove(name),
    }
    true
}

/// Adds the fields that may be absent.
fn complete(shape: &Shape, value: &mut Value) {
    match (&shape.form, value) {
        (Form::Object(fields), Value::Object(object)) => {
            for (name, field) in fields {
                let absent = object.get(name).is_none_or(Value::is_null);
                if absent && let Some(value) = values::sample(&field.shape) {
                    object.insert(name.clone(), value);
                }
                if let Some(value) = object.get_mut(name) {
                    complete(&field.shape, value);
                }
            }
        }
        (Form::List { items, .. }, Value::Array(values)) => {
            for value in values {
                complete(items, value);
            }
        }
        _ => {}
    }
}

/// An object of these fields.
fn object(fields: impl IntoIterator<Item = (String, Value)>) -> Value {
    Value::Object(fields.into_iter().collect::<Map<_, _>>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn shape() -> Shape {
        Shape::read(&json!({
            "type": "object",
            "properties": {
                "id": { "type": "string" },
                "note": { "type": ["string", "null"] },
                "status": { "anyOf": [{ "const": "open" }, { "const": "shut" }, { "type": "string" }] },
                "lines": { "type": "array", "items": {
                    "type": "object",
                    "properties": { "sku": { "type": "string" }, "pieces": { "type": "integer", "format": "uint32" } },
                    "required": ["sku", "pieces"],
                } },
            },
            "required": ["id", "status", "lines"],
        }))
        .unwrap()
    }

    /// Needs the id; sums the pieces of what is open; looks at the note of what is shut alone.
    fn reader(data: &Value) -> Outcome {
        let id = data["id"].as_str().ok_or("no id")?;
        let pieces: u64 = data["lines"]
            .as_array()
            .ok_or("no lines")?
            .iter()
            .map(|it| it["pieces"].as_u64().unwrap_or(0))
            .sum();
        let open = data["status"] == "open";
        let mut view = BTreeMap::from([("key".to_owned(), json!(id))]);
        if open {
            view.insert("pieces".to_owned(), json!(pieces));
        } else {
            view.insert("note".to_owned(), data["note"].clone());
        }
        Ok(view)
    }

    #[test]
    fn a_field_is_read_where_another_value_makes_a_difference() {
        let probe =
            probe(&shape(), &json!({ "id": "A", "status": "open", "lines": [{ "sku": "S", "pieces": 2 }] }));
        let bases: Vec<Outcome> = probe.bases.iter().map(reader).collect();
        let trials: Vec<Outcome> = probe.trials.iter().map(|trial| reader(&trial.data)).collect();
        let reads = probe.conclude(&bases, &trials);
        let into = |path: &str| reads[path].into.iter().map(String::as_str).collect::<Vec<_>>();
        assert_eq!(into("id"), ["key"]);
        assert_eq!(into("lines"), ["pieces"]);
        assert_eq!(into("lines[].pieces"), ["pieces"]);
        assert_eq!(into("status"), ["note", "pieces"]);
        // Absent in the example, and looked at in one of the states alone.
        assert_eq!(into("note"), ["note"]);
        assert!(!reads["lines[].sku"].is_used(), "{reads:#?}");
        assert!(reads["id"].needed && reads["lines"].needed && !reads["note"].needed, "{reads:#?}");
    }

    #[test]
    fn a_path_is_inside_itself_and_those_around_it() {
        assert!(inside("lines[].sku", "lines") && inside("a.b", "a.b") && inside("a.b", "a"));
        assert!(!inside("lines", "lines[].sku") && !inside("lines", "line") && !inside("a.b", "a.c"));
    }
}
