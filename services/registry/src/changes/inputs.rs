//! Arguments and input fields: what clients send.

use super::{Change, Rule};
use crate::operations::Use;
use crate::schema::{Input, TypeRef};
use std::collections::BTreeMap;

/// The rules of a kind of input.
pub(super) struct InputRules {
    pub noun: &'static str,
    pub removed: Rule,
    pub required_added: Rule,
    pub added: Rule,
    pub type_changed: Rule,
    pub became_non_null: Rule,
    pub became_nullable: Rule,
    pub default_changed: Rule,
    pub default_removed: Rule,
}

pub(super) const ARGUMENTS: InputRules = InputRules {
    noun: "argument",
    removed: Rule::ArgumentRemoved,
    required_added: Rule::RequiredArgumentAdded,
    added: Rule::ArgumentAdded,
    type_changed: Rule::ArgumentTypeChanged,
    became_non_null: Rule::ArgumentBecameNonNull,
    became_nullable: Rule::ArgumentBecameNullable,
    default_changed: Rule::ArgumentDefaultChanged,
    default_removed: Rule::ArgumentDefaultRemoved,
};

pub(super) const INPUT_FIELDS: InputRules = InputRules {
    noun: "input field",
    removed: Rule::InputFieldRemoved,
    required_added: Rule::RequiredInputFieldAdded,
    added: Rule::InputFieldAdded,
    type_changed: Rule::InputFieldTypeChanged,
    became_non_null: Rule::InputFieldBecameNonNull,
    became_nullable: Rule::InputFieldBecameNullable,
    default_changed: Rule::InputFieldDefaultChanged,
    default_removed: Rule::InputFieldDefaultRemoved,
};

pub(super) const DIRECTIVE_ARGUMENTS: InputRules = InputRules {
    noun: "directive argument",
    removed: Rule::DirectiveArgumentRemoved,
    required_added: Rule::RequiredDirectiveArgumentAdded,
    added: Rule::DirectiveArgumentAdded,
    type_changed: Rule::DirectiveArgumentTypeChanged,
    became_non_null: Rule::DirectiveArgumentBecameNonNull,
    became_nullable: Rule::DirectiveArgumentBecameNullable,
    default_changed: Rule::DirectiveArgumentDefaultChanged,
    default_removed: Rule::DirectiveArgumentDefaultRemoved,
};

/// How a type changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shift {
    Same,
    /// Somewhere null was allowed and is not any more.
    Tighter,
    /// Somewhere null was not allowed and is.
    Looser,
    /// Both, in different places.
    Both,
    /// It is another type.
    Other,
}

/// How a type changed from one to another.
pub(super) fn shift(old: &TypeRef, new: &TypeRef) -> Shift {
    let (old, new, here) = match (old, new) {
        (TypeRef::NonNull(old), TypeRef::NonNull(new)) => (&**old, &**new, Shift::Same),
        (TypeRef::NonNull(old), new) => (&**old, new, Shift::Looser),
        (old, TypeRef::NonNull(new)) => (old, &**new, Shift::Tighter),
        (old, new) => (old, new, Shift::Same),
    };
    let inner = match (old, new) {
        (TypeRef::List(old), TypeRef::List(new)) => shift(old, new),
        (TypeRef::Named(old), TypeRef::Named(new)) if old == new => Shift::Same,
        _ => Shift::Other,
    };
    match (here, inner) {
        (_, Shift::Other) => Shift::Other,
        (Shift::Same, other) | (other, Shift::Same) => other,
        (here, inner) if here == inner => here,
        _ => Shift::Both,
    }
}

/// Where a group of inputs stands.
pub(super) struct Place<'a> {
    pub rules: &'a InputRules,
    /// The coordinate of one, by its name.
    pub path: &'a dyn Fn(&str) -> String,
    /// What an operation has that leaves all of them out, or may.
    pub all: Vec<Use>,
    /// What an operation has that gives one, or may.
    pub given: &'a dyn Fn(&str) -> Vec<Use>,
}

/// What changed among the inputs of one place.
pub(super) fn compare(
    old: &BTreeMap<String, Input>,
    new: &BTreeMap<String, Input>,
    place: &Place<'_>,
    changes: &mut Vec<Change>,
) {
    let Place { rules, path, all, given } = place;
    let noun = rules.noun;
    for (name, was) in old {
        let path = path(name);
        let mut push = |rule, message: String, touches: Vec<Use>| {
            changes.push(Change { rule, path: path.clone(), message, touches });
        };
        let Some(is) = new.get(name) else {
            push(rules.removed, format!("The {noun} `{path}` is removed."), given(name));
            continue;
        };
        let (from, to) = (&was.ty, &is.ty);
        match shift(from, to) {
            Shift::Same => {}
            Shift::Other | Shift::Both => {
                let message = format!("The {noun} `{path}` changes its type from `{from}` to `{to}`.");
                push(rules.type_changed, message, given(name));
            }
            Shift::Tighter => {
                let message = format!("The {noun} `{path}` may no longer be null: `{from}` becomes `{to}`.");
                // Who left it out is refused too, unless there is a default.
                let touches = if is.is_required() && !was.is_required() { all.clone() } else { given(name) };
                push(rules.became_non_null, message, touches);
            }
            Shift::Looser => {
                let message = format!("The {noun} `{path}` may be null: `{from}` becomes `{to}`.");
                push(rules.became_nullable, message, Vec::new());
            }
        }
        match (&was.default, &is.default) {
            // What a type change says already.
            (Some(_), None) if is.is_required() && !from.is_non_null() => {}
            (Some(before), None) if is.is_required() => {
                let message = format!("The {noun} `{path}` has to be given: its default `{before}` is gone.");
                push(rules.default_removed, message, all.clone());
            }
            // It had to be given before, so nobody relied on its absence.
            (None, Some(_)) if was.is_required() => {}
            (before, after) if before != after => {
                let say = |value: &Option<_>| {
                    value
                        .as_ref()
                        .map_or_else(|| "none".to_owned(), |it: &crate::schema::Literal| format!("`{it}`"))
                };
                let (before, after) = (say(before), say(after));
                let message = format!("The {noun} `{path}` changes its default from {before} to {after}.");
                push(rules.default_changed, message, all.clone());
            }
            _ => {}
        }
        super::compare::about(&path, &was.about, &is.about, changes);
    }
    for (name, is) in new.iter().filter(|(name, _)| !old.contains_key(*name)) {
        let path = path(name);
        let (rule, message, touches) = if is.is_required() {
            let message = format!("The {noun} `{path}: {}` is new, and has to be given.", is.ty);
            (rules.required_added, message, all.clone())
        } else {
            (rules.added, format!("The {noun} `{path}: {}` is new.", is.ty), Vec::new())
        };
        changes.push(Change { rule, path, message, touches });
    }
}
