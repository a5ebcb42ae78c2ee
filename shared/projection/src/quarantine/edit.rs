//! Edits of quarantined messages: what is edited, what an edit must not change, what it changed.

use super::About;
use crate::decode;
use crate::json;
use contracts::envelope::MAX_EVENT_BYTES;
use serde_json::Value;
use std::fmt;

/// The most that lines are compared pair by pair; larger texts are shown as replaced.
const MOST_PAIRS: usize = 4_000_000;

/// Why a message can't be edited so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// It is no JSON.
    #[error("the edited message is not JSON: {0}")]
    NotJson(String),
    /// It is JSON, but no message.
    #[error("the edited message is no envelope: it has no text `{0}`")]
    NotAMessage(&'static str),
    /// It is larger than a message may be.
    #[error("the edited message has {0} bytes; a message has at most {MAX_EVENT_BYTES}")]
    TooLarge(usize),
    /// It would be another message about another aggregate.
    #[error(
        "the edit changes `{field}`, which says what the message is about: another message may already say that. \
         If it must be so, repeat it with --allow-identity"
    )]
    Identity {
        /// What it changes.
        field: &'static str,
    },
    /// A place to set is not there.
    #[error(
        "there is no place `{0}` in the message: a place is like /data/title, and what holds it must be there"
    )]
    NoPlace(String),
    /// The message has no fields that could be set.
    #[error("the message is not JSON, so that no field of it can be set: edit it as a whole, with --file")]
    NoFields,
    /// It changes nothing.
    #[error("the edit changes nothing")]
    Unchanged,
}

/// The message that is edited: its envelope, without what SNS or EventBridge put around it, laid out to be read. What
/// is no JSON is given as it is.
pub fn readable(raw: &str) -> String {
    let envelope = decode::unwrap(raw).unwrap_or(raw.into());
    match serde_json::from_str::<Value>(&envelope) {
        Ok(value) => format!("{value:#}"),
        Err(_) => envelope.into_owned(),
    }
}

/// Sets fields, each named by a JSON pointer; the value is JSON, or else a text.
pub fn set(message: &str, fields: &[(String, String)]) -> Result<String, EditError> {
    let mut value: Value = serde_json::from_str(message).map_err(|_| EditError::NoFields)?;
    for (place, new) in fields {
        let missing = || EditError::NoPlace(place.clone());
        let new: Value = serde_json::from_str(new).unwrap_or_else(|_| Value::String(new.clone()));
        if let Some(present) = value.pointer_mut(place).filter(|_| !place.is_empty()) {
            *present = new;
            continue;
        }
        let (parent, name) = place.rsplit_once('/').ok_or_else(missing)?;
        let object = value.pointer_mut(parent).and_then(Value::as_object_mut).ok_or_else(missing)?;
        object.insert(name.replace("~1", "/").replace("~0", "~"), new);
    }
    Ok(format!("{value:#}"))
}

/// Checks an edited message against what it is an edit of, as [`readable`] gives that; `identity` lets it be about
/// something else.
pub fn check(original: &str, edited: &str, identity: bool) -> Result<(), EditError> {
    let value: Value =
        serde_json::from_str(edited).map_err(|error| EditError::NotJson(json::describe(&error)))?;
    if edited.len() > MAX_EVENT_BYTES {
        return Err(EditError::TooLarge(edited.len()));
    }
    let about = About::of(edited);
    for (field, found) in [("domain", &about.domain), ("type", &about.name), ("subject", &about.subject)] {
        if found.is_none() {
            return Err(EditError::NotAMessage(field));
        }
    }
    let Ok(before) = serde_json::from_str::<Value>(original) else { return Ok(()) };
    if before == value {
        return Err(EditError::Unchanged);
    }
    // What was not there may be filled in.
    let changed = |field: &&'static str| before.get(*field).is_some_and(|it| value.get(*field) != Some(it));
    match ["id", "domain", "subject", "version"].into_iter().find(changed) {
        Some(field) if !identity => Err(EditError::Identity { field }),
        _ => Ok(()),
    }
}

/// A line of a comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// In both.
    Same(&'a str),
    /// In the first only.
    Removed(&'a str),
    /// In the second only.
    Added(&'a str),
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Same(line) => write!(f, "  {line}"),
            Self::Removed(line) => write!(f, "- {line}"),
            Self::Added(line) => write!(f, "+ {line}"),
        }
    }
}

/// Compares two texts line by line.
pub fn difference<'a>(before: &'a str, after: &'a str) -> Vec<Line<'a>> {
    let (a, b): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    let head = a.iter().zip(&b).take_while(|(one, other)| one == other).count();
    let rest = a.len().min(b.len()) - head;
    let tail = a.iter().rev().zip(b.iter().rev()).take(rest).take_while(|(one, other)| one == other).count();
    let (old, new) = (&a[head..a.len() - tail], &b[head..b.len() - tail]);
    let mut lines: Vec<Line<'_>> = a[..head].iter().map(|line| Line::Same(line)).collect();
    if old.len().saturating_mul(new.len()) > MOST_PAIRS {
        lines.extend(old.iter().map(|line| Line::Removed(line)));
        lines.extend(new.iter().map(|line| Line::Added(line)));
    } else {
        middle(old, new, &mut lines);
    }
    lines.extend(a[a.len() - tail..].iter().map(|line| Line::Same(line)));
    lines
}

/// By the longest common subsequence.
fn middle<'a>(old: &[&'a str], new: &[&'a str], lines: &mut Vec<Line<'a>>) {
    let width = new.len() + 1;
    let mut longest = vec![0_u32; (old.len() + 1) * width];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            longest[i * width + j] = if old[i] == new[j] {
                longest[(i + 1) * width + j + 1] + 1
            } else {
                longest[(i + 1) * width + j].max(longest[i * width + j + 1])
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            lines.push(Line::Same(old[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == new.len()
            || i < old.len() && longest[(i + 1) * width + j] >= longest[i * width + j + 1]
        {
            lines.push(Line::Removed(old[i]));
            i += 1;
        } else {
            lines.push(Line::Added(new[j]));
            j += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn message() -> String {
        let version = json!({ "epoch": 0, "seq": 1 });
        format!(
            "{:#}",
            json!({ "id": "i", "domain": "d", "type": "T", "major": 1, "subject": "s", "version": version,
                    "data": { "title": "t" } })
        )
    }

    fn set_one(place: &str, value: &str) -> Result<String, EditError> {
        set(&message(), &[(place.to_owned(), value.to_owned())])
    }

    #[test]
    fn a_field_is_set_to_json_or_to_text() {
        let value = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        let edited = value(&set_one("/data/title", "a title").unwrap());
        assert_eq!(edited["data"]["title"], "a title");
        assert_eq!(value(&set_one("/data/size", "7").unwrap())["data"]["size"], 7);
        assert_eq!(
            value(&set_one("/data/a~1b", "null").unwrap())["data"],
            json!({ "title": "t", "a/b": null })
        );
        for nowhere in ["", "title", "/data/title/x", "/nothing/x"] {
            assert_eq!(set_one(nowhere, "1"), Err(EditError::NoPlace(nowhere.to_owned())), "{nowhere:?}");
        }
        let broken = set("{", &[("/data".to_owned(), "1".to_owned())]);
        assert_eq!(broken, Err(EditError::NoFields));
    }

    #[test]
    fn an_edit_must_be_a_message_about_the_same() {
        let check_one = |place, value| check(&message(), &set_one(place, value).unwrap(), false);
        assert_eq!(check_one("/data/title", "other"), Ok(()));
        assert_eq!(check_one("/major", "2"), Ok(()));
        assert_eq!(check_one("/data/title", "t"), Err(EditError::Unchanged));
        for (place, value) in [("/subject", "x"), ("/domain", "x"), ("/version/seq", "2"), ("/id", "x")] {
            let refused = check_one(place, value);
            assert!(matches!(refused, Err(EditError::Identity { .. })), "{place}: {refused:?}");
            assert_eq!(check(&message(), &set_one(place, value).unwrap(), true), Ok(()));
        }
        assert!(matches!(check(&message(), "{", false), Err(EditError::NotJson(_))));
        assert_eq!(check(&message(), "[]", false), Err(EditError::NotAMessage("domain")));
        assert_eq!(check_one("/type", "7"), Err(EditError::NotAMessage("type")));
        let large = check_one("/data/title", &"x".repeat(MAX_EVENT_BYTES));
        assert!(matches!(large, Err(EditError::TooLarge(_))));
        assert_eq!(check("no JSON at all", &message(), false), Ok(()), "there was nothing to be the same as");
    }

    #[test]
    fn a_comparison_shows_what_was_changed() {
        let edited = set_one("/data/title", "u").unwrap();
        let before = message();
        let lines = difference(&before, &edited);
        let changed: Vec<String> =
            lines.iter().filter(|line| !matches!(line, Line::Same(_))).map(Line::to_string).collect();
        assert_eq!(changed, ["-     \"title\": \"t\"", "+     \"title\": \"u\""]);
    }

    proptest! {
        #[test]
        fn a_comparison_holds_both_texts(a in "([ab]\n){0,9}", b in "([ab]\n){0,9}") {
            let lines = difference(&a, &b);
            let first = lines.iter().filter_map(|line| match line {
                Line::Same(it) | Line::Removed(it) => Some(*it),
                Line::Added(_) => None,
            });
            prop_assert!(first.eq(a.lines()));
            let second = lines.iter().filter_map(|line| match line {
                Line::Same(it) | Line::Added(it) => Some(*it),
                Line::Removed(_) => None,
            });
            prop_assert!(second.eq(b.lines()));
        }
    }
}
