//! Two schemas, side by side.

use super::inputs::{self, ARGUMENTS, DIRECTIVE_ARGUMENTS, INPUT_FIELDS, Place, Shift};
use super::{Change, Rule};
use crate::operations::Use;
use crate::schema::{About, DirectiveType, Kind, Root, Schema, Type, text};

pub(super) fn compare(old: &Schema, new: &Schema) -> Vec<Change> {
    let mut changes = Vec::new();
    roots(old, new, &mut changes);
    let (sendable, answerable) = (old.sendable(), old.answerable());
    let answerable_now = new.answerable();
    for (name, was) in &old.types {
        let Some(is) = new.types.get(name) else {
            let is_root = old.roots.iter().any(|(root, it)| it == name && new.root(*root) != Some(name));
            if !is_root {
                let message = format!("`{name}`, {}, is removed.", was.kind.words());
                changes.push(change(Rule::TypeRemoved, name, message, all_of(name)));
            }
            continue;
        };
        if was.kind != is.kind {
            let message = format!("`{name}` was {} and becomes {}.", was.kind.words(), is.kind.words());
            changes.push(change(Rule::TypeKindChanged, name, message, all_of(name)));
            continue;
        }
        about(name, &was.about, &is.about, &mut changes);
        match was.kind {
            Kind::Object | Kind::Interface => {
                fields(name, was, is, &mut changes);
                implementations(name, was, is, &mut changes);
            }
            Kind::Union => members(name, was, is, &mut changes),
            Kind::Enum => {
                let sent = sendable.contains(name.as_str());
                let answered = answerable.contains(name.as_str()) || answerable_now.contains(name.as_str());
                values(name, was, is, sent, answered, &mut changes);
            }
            Kind::Input => input_type(name, was, is, &mut changes),
            Kind::Scalar => scalar(name, was, is, &mut changes),
        }
    }
    for (name, is) in new.types.iter().filter(|(name, _)| !old.types.contains_key(*name)) {
        let message = format!("`{name}`, {}, is new.", is.kind.words());
        changes.push(change(Rule::TypeAdded, name, message, Vec::new()));
    }
    directives(old, new, &mut changes);
    changes
}

fn change(rule: Rule, path: impl Into<String>, message: String, touches: Vec<Use>) -> Change {
    Change { rule, path: path.into(), message, touches }
}

/// What an operation has that has anything to do with a type.
fn all_of(name: &str) -> Vec<Use> {
    vec![Use::of_type(name), Use::answered(name), Use::sent(name)]
}

fn roots(old: &Schema, new: &Schema, changes: &mut Vec<Change>) {
    for root in Root::ALL {
        let word = root.word();
        match (old.root(root), new.root(root)) {
            (Some(was), None) => {
                let message = format!("There are no {word} operations any more: `{was}` is removed.");
                changes.push(change(Rule::RootRemoved, was, message, vec![Use::of_type(was)]));
            }
            (None, Some(is)) => {
                let message = format!("There are {word} operations now, from `{is}` on.");
                changes.push(change(Rule::RootAdded, is, message, Vec::new()));
            }
            (Some(was), Some(is)) if was != is => {
                let message = format!("A {word} starts at `{is}`, no longer at `{was}`.");
                changes.push(change(Rule::RootChanged, was, message, vec![Use::of_type(was)]));
            }
            _ => {}
        }
    }
}

fn fields(name: &str, was: &Type, is: &Type, changes: &mut Vec<Change>) {
    for (field, before) in &was.fields {
        let path = format!("{name}.{field}");
        let selected = || vec![Use::field(name, field)];
        let Some(after) = is.fields.get(field) else {
            let deprecated = match before.about.deprecation() {
                Some("") => " It was deprecated.".to_owned(),
                Some(reason) => format!(" It was deprecated: {reason}"),
                None => String::new(),
            };
            let message = format!("The field `{path}` is removed.{deprecated}");
            changes.push(change(Rule::FieldRemoved, path, message, selected()));
            continue;
        };
        let (from, to) = (&before.ty, &after.ty);
        let (rule, message, touches) = match inputs::shift(from, to) {
            Shift::Same => (None, String::new(), Vec::new()),
            Shift::Tighter => {
                let message = format!("The field `{path}` is never null: `{from}` becomes `{to}`.");
                (Some(Rule::FieldBecameNonNull), message, Vec::new())
            }
            Shift::Looser | Shift::Both => {
                let message = format!("The field `{path}` may be null: `{from}` becomes `{to}`.");
                (Some(Rule::FieldBecameNullable), message, selected())
            }
            Shift::Other => {
                let message = format!("The field `{path}` changes its type from `{from}` to `{to}`.");
                (Some(Rule::FieldTypeChanged), message, selected())
            }
        };
        changes.extend(rule.map(|rule| change(rule, &path, message, touches)));
        about(&path, &before.about, &after.about, changes);
        let place = Place {
            rules: &ARGUMENTS,
            path: &|argument| format!("{path}({argument}:)"),
            all: selected(),
            given: &|argument| vec![Use::argument(name, field, argument)],
        };
        inputs::compare(&before.arguments, &after.arguments, &place, changes);
    }
    for (field, after) in is.fields.iter().filter(|(field, _)| !was.fields.contains_key(*field)) {
        let path = format!("{name}.{field}");
        let message = format!("The field `{path}: {}` is new.", after.ty);
        changes.push(change(Rule::FieldAdded, path, message, Vec::new()));
    }
}

fn implementations(name: &str, was: &Type, is: &Type, changes: &mut Vec<Change>) {
    for interface in was.interfaces.difference(&is.interfaces) {
        let message = format!("`{name}` no longer implements `{interface}`.");
        let touches =
            vec![Use::condition(interface, name), Use::condition(name, interface), Use::answered(interface)];
        changes.push(change(Rule::ImplementationRemoved, name, message, touches));
    }
    for interface in is.interfaces.difference(&was.interfaces) {
        let message = format!("`{name}` implements `{interface}`.");
        changes.push(change(Rule::ImplementationAdded, name, message, vec![Use::answered(interface)]));
    }
}

fn members(name: &str, was: &Type, is: &Type, changes: &mut Vec<Change>) {
    for member in was.members.difference(&is.members) {
        let message = format!("The union `{name}` has no member `{member}` any more.");
        let touches = vec![Use::condition(name, member), Use::condition(member, name)];
        changes.push(change(Rule::UnionMemberRemoved, name, message, touches));
    }
    for member in is.members.difference(&was.members) {
        let message = format!("The union `{name}` has another member, `{member}`.");
        changes.push(change(Rule::UnionMemberAdded, name, message, vec![Use::answered(name)]));
    }
}

fn values(name: &str, was: &Type, is: &Type, sent: bool, answered: bool, changes: &mut Vec<Change>) {
    for (value, before) in &was.values {
        let path = format!("{name}.{value}");
        match is.values.get(value) {
            Some(after) => about(&path, before, after, changes),
            None if sent => {
                let message = format!("The value `{path}` is removed, and clients may send it.");
                let touches = vec![Use::value(name, value), Use::sent(name)];
                changes.push(change(Rule::EnumValueRemoved, path, message, touches));
            }
            None => {
                let message = format!("The value `{path}` is removed; it is only ever answered.");
                changes.push(change(
                    Rule::AnsweredEnumValueRemoved,
                    path,
                    message,
                    vec![Use::answered(name)],
                ));
            }
        }
    }
    for value in is.values.keys().filter(|value| !was.values.contains_key(*value)) {
        let path = format!("{name}.{value}");
        let (rule, message) = if answered {
            (Rule::EnumValueAdded, format!("The value `{path}` is new, and clients may be answered it."))
        } else {
            (Rule::SentEnumValueAdded, format!("The value `{path}` is new; it is only ever sent."))
        };
        changes.push(change(rule, path, message, vec![Use::answered(name)]));
    }
}

fn input_type(name: &str, was: &Type, is: &Type, changes: &mut Vec<Change>) {
    let built = || vec![Use::of_type(name), Use::sent(name)];
    let place = Place {
        rules: &INPUT_FIELDS,
        path: &|field| format!("{name}.{field}"),
        all: built(),
        given: &|field| vec![Use::input_field(name, field), Use::sent(name)],
    };
    inputs::compare(&was.inputs, &is.inputs, &place, changes);
    match (was.about.has("oneOf"), is.about.has("oneOf")) {
        (false, true) => {
            let message = format!("Exactly one field of `{name}` has to be given.");
            changes.push(change(Rule::InputBecameOneOf, name, message, built()));
        }
        (true, false) => {
            let message = format!("Any number of fields of `{name}` may be given.");
            changes.push(change(Rule::InputCeasedToBeOneOf, name, message, Vec::new()));
        }
        _ => {}
    }
}

fn scalar(name: &str, was: &Type, is: &Type, changes: &mut Vec<Change>) {
    let specified =
        |ty: &Type| ty.about.directives("specifiedBy").find_map(|it| text(it, "url").map(str::to_owned));
    let (before, after) = (specified(was), specified(is));
    if before != after {
        let say = |url: Option<String>| url.unwrap_or_else(|| "nowhere".to_owned());
        let message =
            format!("The scalar `{name}` is specified at {}, no longer at {}.", say(after), say(before));
        let touches = vec![Use::answered(name), Use::sent(name)];
        changes.push(change(Rule::ScalarSpecificationChanged, name, message, touches));
    }
}

fn directives(old: &Schema, new: &Schema, changes: &mut Vec<Change>) {
    for (name, was) in &old.directives {
        let path = format!("@{name}");
        let Some(is) = new.directives.get(name) else {
            let message = format!("The directive `{path}` is removed.");
            changes.push(change(Rule::DirectiveRemoved, path, message, vec![Use::directive(name)]));
            continue;
        };
        directive(name, was, is, changes);
    }
    for name in new.directives.keys().filter(|name| !old.directives.contains_key(*name)) {
        let message = format!("The directive `@{name}` is new.");
        changes.push(change(Rule::DirectiveAdded, format!("@{name}"), message, Vec::new()));
    }
}

fn directive(name: &str, was: &DirectiveType, is: &DirectiveType, changes: &mut Vec<Change>) {
    let path = format!("@{name}");
    for location in was.locations.difference(&is.locations) {
        let message = format!("The directive `{path}` may no longer stand on {location}.");
        let touches = vec![Use::directive_on(name, location)];
        changes.push(change(Rule::DirectiveLocationRemoved, &path, message, touches));
    }
    for location in is.locations.difference(&was.locations) {
        let message = format!("The directive `{path}` may stand on {location}.");
        changes.push(change(Rule::DirectiveLocationAdded, &path, message, Vec::new()));
    }
    match (was.repeatable, is.repeatable) {
        (true, false) => {
            let message = format!("The directive `{path}` may stand only once in a place.");
            let touches = vec![Use::directive_twice(name)];
            changes.push(change(Rule::DirectiveNoLongerRepeatable, &path, message, touches));
        }
        (false, true) => {
            let message = format!("The directive `{path}` may stand several times in a place.");
            changes.push(change(Rule::DirectiveBecameRepeatable, &path, message, Vec::new()));
        }
        _ => {}
    }
    let place = Place {
        rules: &DIRECTIVE_ARGUMENTS,
        path: &|argument| format!("{path}({argument}:)"),
        all: vec![Use::directive(name)],
        given: &|argument| vec![Use::directive_argument(name, argument)],
    };
    inputs::compare(&was.arguments, &is.arguments, &place, changes);
}

/// What changed of what anything has.
pub(super) fn about(path: &str, was: &About, is: &About, changes: &mut Vec<Change>) {
    match (was.deprecation(), is.deprecation()) {
        (None, Some(reason)) => {
            let message = format!("`{path}` is deprecated: {reason}");
            changes.push(change(Rule::Deprecated, path, message, Vec::new()));
        }
        (Some(_), None) => {
            let message = format!("`{path}` is no longer deprecated.");
            changes.push(change(Rule::DeprecationRemoved, path, message, Vec::new()));
        }
        _ => {}
    }
    if was.description != is.description {
        let message = format!("`{path}` is described in other words.");
        changes.push(change(Rule::DescriptionChanged, path, message, Vec::new()));
    }
}
