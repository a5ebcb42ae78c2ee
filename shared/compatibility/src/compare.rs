//! Two shapes of one contract, both ways: what was released, and what is today.

mod words;

use crate::finding::{Direction, Finding, Severity};
use crate::released::{Id, Role};
use crate::rules::Rule;
use crate::shape::{Field, Form, Range, Shape, Text, join};
use crate::units;
use serde_json::Value;
use std::collections::BTreeMap;
use words::Words;

/// What differs between a released version of a contract and today's, in the order of its fields.
///
/// Who writes fills known fields with known values within the limits. Who reads takes fields that it doesn't know, and
/// values of an open enum that it doesn't know; a consumer doesn't look at limits of texts, numbers and lists, while who
/// decides a command does.
pub fn compare(id: &Id, role: Role, released: &Shape, today: &Shape) -> Vec<Finding> {
    let mut comparison = Comparison { id, words: Words { id, role }, role, findings: Vec::new() };
    comparison.shapes(released, today, "");
    comparison.findings
}

struct Comparison<'a> {
    id: &'a Id,
    words: Words<'a>,
    role: Role,
    findings: Vec<Finding>,
}

use Direction::{Neither, NewReadsOld, OldReadsNew};

impl Comparison<'_> {
    fn add(&mut self, rule: Rule, path: &str, direction: impl Into<Option<Direction>>, what: String) {
        let direction = direction.into();
        let severity = match (self.role, direction, rule) {
            // Who decides commands is one: it is deployed before those who send the new ones.
            (Role::Command, Some(OldReadsNew), _) => Severity::Warning,
            // A decider checks limits: what was taken is refused.
            (Role::Command, Some(NewReadsOld), Rule::LimitNarrowed | Rule::EnumValueRemoved) => {
                Severity::Error
            }
            _ => rule.severity(),
        };
        let (why, advice) = (self.words.why(rule, direction), self.words.advice(rule, direction, path));
        let category = rule.category();
        let (contract, path) = (self.id.clone(), path.to_owned());
        let finding = Finding {
            rule,
            category,
            severity,
            contract,
            path,
            against: Vec::new(),
            direction,
            what,
            why,
            advice,
        };
        self.findings.push(finding);
    }

    fn shapes(&mut self, old: &Shape, new: &Shape, path: &str) {
        let before = self.findings.len();
        match (old.nullable, new.nullable) {
            (false, true) => self.add(Rule::NullAllowed, path, OldReadsNew, "it may be null now".to_owned()),
            (true, false) => {
                self.add(Rule::NullForbidden, path, NewReadsOld, "it may no longer be null".to_owned());
            }
            _ => {}
        }
        match (&old.form, &new.form) {
            (Form::Any, Form::Any) | (Form::Boolean, Form::Boolean) => {}
            (
                Form::Integer { width: old_width, limits: old_limits },
                Form::Integer { width: new_width, limits: new_limits },
            ) => {
                self.width(*old_width, *new_width, *old_limits, *new_limits, path);
                self.limits("number", *old_limits, *new_limits, path);
            }
            (Form::Number { least, most }, Form::Number { least: new_least, most: new_most }) => {
                self.fractions((*least, *most), (*new_least, *new_most), path);
            }
            (Form::Text(old), Form::Text(new)) => self.texts(old, new, path),
            (Form::Choice { values: old, open: was_open }, Form::Choice { values: new, open: is_open }) => {
                self.choices(old, *was_open, new, *is_open, path);
            }
            (Form::Choice { open: true, .. }, Form::Text(text))
            | (Form::Text(text), Form::Choice { open: true, .. })
                if text.format.is_none() =>
            {
                let what = format!("it was {}, now it is {}", old.describe(), new.describe());
                self.add(Rule::ChoiceLoosened, path, None, what);
            }
            (Form::Constant(old), Form::Constant(new)) => {
                if old != new {
                    let what = format!("it always said {old}, now it says {new}");
                    self.add(Rule::ConstantChanged, path, Neither, what);
                }
            }
            (Form::List { items: old, count }, Form::List { items: new, count: new_count }) => {
                self.limits("number of items", *count, *new_count, path);
                self.shapes(old, new, &format!("{path}[]"));
            }
            (Form::Map(old), Form::Map(new)) => self.shapes(old, new, &join(path, "*")),
            (Form::Object(old), Form::Object(new)) => self.objects(old, new, path),
            _ => {
                let what = format!("it was {}, now it is {}", old.describe(), new.describe());
                self.add(Rule::TypeChanged, path, Neither, what);
            }
        }
        // What is of another type is described otherwise, too.
        if !self.findings[before..].iter().any(|it| it.rule == Rule::TypeChanged && it.path == path) {
            self.doc(&old.doc, &new.doc, path, "");
        }
    }

    fn objects(&mut self, old: &BTreeMap<String, Field>, new: &BTreeMap<String, Field>, path: &str) {
        for (name, was) in old {
            let here = join(path, name);
            let Some(is) = new.get(name) else {
                let renamed = new.iter().find(|(other, it)| {
                    !old.contains_key(*other)
                        && it.shape.form == was.shape.form
                        && it.required == was.required
                });
                let renamed =
                    renamed.map(|(other, _)| format!("; did it become `{other}`?")).unwrap_or_default();
                if was.required {
                    self.add(Rule::FieldRemoved, &here, OldReadsNew, format!("it is gone{renamed}"));
                } else {
                    self.add(Rule::OptionalFieldRemoved, &here, None, format!("it is gone{renamed}"));
                }
                continue;
            };
            match (was.required, is.required) {
                (false, true) => {
                    self.add(
                        Rule::FieldRequired,
                        &here,
                        NewReadsOld,
                        "it may no longer be absent".to_owned(),
                    );
                }
                (true, false) => {
                    self.add(Rule::FieldOptional, &here, OldReadsNew, "it may be absent now".to_owned());
                }
                _ => {}
            }
            if !is.required && was.default != is.default {
                let told =
                    |value: &Option<Value>| value.as_ref().map_or("nothing".to_owned(), Value::to_string);
                let what = format!(
                    "where it is absent it stood for {}, now for {}",
                    told(&was.default),
                    told(&is.default)
                );
                self.add(Rule::DefaultChanged, &here, None, what);
            }
            self.shapes(&was.shape, &is.shape, &here);
        }
        for (name, is) in new.iter().filter(|(name, _)| !old.contains_key(*name)) {
            let here = join(path, name);
            if is.required {
                self.add(Rule::FieldRequired, &here, NewReadsOld, "it is new, and must be there".to_owned());
            }
            if is.shape.doc.trim().is_empty() {
                self.add(
                    Rule::DescriptionMissing,
                    &here,
                    None,
                    "it is new, and nothing is said of it".to_owned(),
                );
            }
        }
    }

    fn choices(
        &mut self,
        old: &BTreeMap<String, String>,
        was_open: bool,
        new: &BTreeMap<String, String>,
        is_open: bool,
        path: &str,
    ) {
        if was_open && !is_open {
            let what = "it takes no other values any more".to_owned();
            self.add(Rule::EnumClosed, path, NewReadsOld, what);
        }
        for value in old.keys().filter(|value| !new.contains_key(*value)) {
            self.add(Rule::EnumValueRemoved, path, NewReadsOld, format!("the value `{value}` is gone"));
        }
        for value in new.keys().filter(|value| !old.contains_key(*value)) {
            if !was_open {
                let what = format!("the value `{value}` is new, and readers know no others than theirs");
                self.add(Rule::EnumValueAdded, path, OldReadsNew, what);
            }
        }
        for (value, doc) in old {
            if let Some(now) = new.get(value) {
                self.doc(doc, now, path, &format!(" of the value `{value}`"));
            }
        }
    }

    fn texts(&mut self, old: &Text, new: &Text, path: &str) {
        if old.format != new.format {
            let told = |format: &Option<String>| format.as_deref().unwrap_or("any text").to_owned();
            let what = format!("it was written as {}, now as {}", told(&old.format), told(&new.format));
            let direction = match (&old.format, &new.format) {
                (_, None) => OldReadsNew,
                (None, _) => NewReadsOld,
                _ => Neither,
            };
            self.add(Rule::FormatChanged, path, direction, what);
        }
        self.limits("number of characters", old.length, new.length, path);
        match (&old.pattern, &new.pattern) {
            (None, Some(now)) => {
                self.add(Rule::PatternChanged, path, NewReadsOld, format!("it must match `{now}` now"));
            }
            (Some(was), None) => {
                let what = format!("it need not match `{was}` any more");
                self.add(Rule::PatternChanged, path, OldReadsNew, what);
            }
            (Some(was), Some(now)) if was != now => {
                let what = format!("it had to match `{was}`, now `{now}`");
                self.add(Rule::PatternChanged, path, Neither, what);
            }
            _ => {}
        }
    }

    /// What a type can't hold isn't decoded, whatever the limits.
    fn width(&mut self, old: Range, new: Range, old_limits: Range, new_limits: Range, path: &str) {
        if !new_limits.within(old) {
            let what = format!("it may be {new_limits}, which a type of {old} can't hold");
            self.add(Rule::WidthChanged, path, OldReadsNew, what);
        }
        if !old_limits.within(new) {
            let what = format!("it was {old_limits}, which a type of {new} can't hold");
            self.add(Rule::WidthChanged, path, NewReadsOld, what);
        }
    }

    fn limits(&mut self, of: &str, old: Range, new: Range, path: &str) {
        if !old.within(new) {
            let what = format!("its {of} was {old}, now it is {new}");
            self.add(Rule::LimitNarrowed, path, NewReadsOld, what);
        }
        if !new.within(old) {
            let what = format!("its {of} was {old}, now it is {new}");
            self.add(Rule::LimitWidened, path, OldReadsNew, what);
        }
    }

    fn fractions(&mut self, old: (Option<f64>, Option<f64>), new: (Option<f64>, Option<f64>), path: &str) {
        let within = |inner: (Option<f64>, Option<f64>), outer: (Option<f64>, Option<f64>)| {
            outer.0.is_none_or(|it| inner.0.is_some_and(|own| own >= it))
                && outer.1.is_none_or(|it| inner.1.is_some_and(|own| own <= it))
        };
        let told = |(least, most): (Option<f64>, Option<f64>)| {
            let told = |limit: Option<f64>| limit.map_or("any".to_owned(), |it| it.to_string());
            format!("{} to {}", told(least), told(most))
        };
        let what = || format!("it was {}, now it is {}", told(old), told(new));
        if !within(old, new) {
            self.add(Rule::LimitNarrowed, path, NewReadsOld, what());
        }
        if !within(new, old) {
            self.add(Rule::LimitWidened, path, OldReadsNew, what());
        }
    }

    fn doc(&mut self, old: &str, new: &str, path: &str, of: &str) {
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let (old, new) = (words(old), words(new));
        if old == new || old.is_empty() {
            return;
        }
        if new.is_empty() {
            self.add(Rule::DescriptionRemoved, path, None, format!("the description{of}, “{old}”, is gone"));
            return;
        }
        let (was, is) = (units::named(&old), units::named(&new));
        if was == is {
            let what = format!("the description{of} was “{old}”, now it is “{new}”");
            self.add(Rule::DescriptionChanged, path, None, what);
        } else {
            let told = |units: &std::collections::BTreeSet<&str>| match units.len() {
                0 => "no unit".to_owned(),
                _ => units.iter().copied().collect::<Vec<_>>().join(", "),
            };
            let what = format!(
                "the description{of} named {}, now it names {}: “{old}” became “{new}”",
                told(&was),
                told(&is)
            );
            self.add(Rule::UnitChanged, path, None, what);
        }
    }
}

/// A finding about a contract as a whole.
pub(crate) fn explain(contract: (&Id, Role), rule: Rule, what: String, against: Vec<String>) -> Finding {
    let (id, told_as) = contract;
    let words = Words { id, role: told_as };
    Finding {
        rule,
        category: rule.category(),
        severity: rule.severity(),
        contract: id.clone(),
        path: String::new(),
        against,
        direction: None,
        what,
        why: words.why(rule, None),
        advice: words.advice(rule, None, ""),
    }
}
