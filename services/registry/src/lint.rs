//! How a subgraph's schema is written: names, descriptions, deprecations.

use crate::schema::{About, Field, Input, Kind, Schema, Type, argument_of};
use crate::settings::Level;
use graphql_tools::parser::Pos;
use graphql_tools::parser::query::Value;

macro_rules! lints {
    ($($name:ident = $id:literal, $level:ident, $meaning:literal, $help:literal;)+) => {
        /// A lint. Its id is stable: settings name it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Lint {
            $(#[doc = concat!("The lint `", $id, "`.")] $name,)+
        }

        impl Lint {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// Its stable id.
            pub fn id(self) -> &'static str {
                match self { $(Self::$name => $id,)+ }
            }

            /// How it is taken where the settings don't say.
            pub fn default_level(self) -> Level {
                match self { $(Self::$name => Level::$level,)+ }
            }

            /// What it wants.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$name => $meaning,)+ }
            }

            /// What to do.
            pub fn help(self) -> &'static str {
                match self { $(Self::$name => $help,)+ }
            }
        }
    };
}

lints! {
    NamingType = "naming-type", Warning, "A type's name is in PascalCase.",
        "Clients' code generators make types of it: begin with a capital, and write no `_`.";
    NamingField = "naming-field", Warning, "A field's name is in camelCase.",
        "Begin with a small letter, and write no `_`.";
    NamingArgument = "naming-argument", Warning, "An argument's name is in camelCase.",
        "Begin with a small letter, and write no `_`.";
    NamingInputField = "naming-input-field", Warning, "An input field's name is in camelCase.",
        "Begin with a small letter, and write no `_`.";
    NamingEnumValue = "naming-enum-value", Warning, "An enum's value is in SCREAMING_SNAKE_CASE.",
        "Write it in capitals, with `_` between words.";
    DescriptionType = "description-type", Warning, "A type is described.",
        "Say in a sentence what it is: clients read it in their editors.";
    DescriptionField = "description-field", Warning, "A field is described.",
        "Say what it is, with its unit and when it is null.";
    DescriptionArgument = "description-argument", Off, "An argument is described.",
        "Say what it does, and what happens without it.";
    DescriptionInputField = "description-input-field", Off, "An input field is described.",
        "Say what it is, and what is allowed.";
    DescriptionEnumValue = "description-enum-value", Off, "An enum's value is described.",
        "Say when it is this one.";
    DeprecationReason = "deprecation-reason", Error, "A deprecation says why, and what to use instead.",
        "Write `@deprecated(reason: \"Use … instead.\")`: who reads it wants to know where to go.";
}

impl Lint {
    /// The lint of an id.
    pub fn by_id(id: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|lint| lint.id() == id)
    }
}

/// A place that a lint doesn't like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Linted {
    /// Which lint.
    pub lint: Lint,
    /// The schema coordinate.
    pub path: String,
    /// What is the matter.
    pub message: String,
    /// The line and the column, from 1.
    pub position: (usize, usize),
}

/// What the lints say to a subgraph's schema. What another subgraph owns, or federation, is not this one's to write.
pub fn lint(schema: &Schema) -> Vec<Linted> {
    let mut found = Found(Vec::new());
    for (name, ty) in &schema.types {
        if name.contains("__") || name.starts_with('_') || is_reference(ty) {
            continue;
        }
        found.name(Lint::NamingType, is_pascal(name), name, name, "PascalCase", ty.about.position);
        found.described(Lint::DescriptionType, name, &ty.about, ty.kind.words());
        for (field, it) in ty.fields.iter().filter(|(field, it)| !field.starts_with('_') && !is_foreign(it)) {
            found.field(&format!("{name}.{field}"), field, it);
        }
        for (field, it) in &ty.inputs {
            let path = format!("{name}.{field}");
            found.input(&path, field, it, Lint::NamingInputField, Lint::DescriptionInputField);
        }
        for (value, about) in &ty.values {
            let path = format!("{name}.{value}");
            let right = value.chars().all(|it| it.is_ascii_uppercase() || it.is_ascii_digit() || it == '_');
            found.name(Lint::NamingEnumValue, right, &path, value, "SCREAMING_SNAKE_CASE", about.position);
            found.described(Lint::DescriptionEnumValue, &path, about, "an enum value");
            found.deprecation(&path, about);
        }
    }
    found.0
}

/// Whether a type only refers to another subgraph's entity.
fn is_reference(ty: &Type) -> bool {
    let unresolvable = |it| argument_of(it, "resolvable") == Some(&Value::Boolean(false));
    ty.kind == Kind::Object && ty.about.has("key") && ty.about.directives("key").all(unresolvable)
}

fn is_foreign(field: &Field) -> bool {
    field.about.has("external")
}

fn is_pascal(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_uppercase()) && !name.contains('_')
}

fn is_camel(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_lowercase()) && !name.contains('_')
}

struct Found(Vec<Linted>);

impl Found {
    fn push(&mut self, lint: Lint, path: &str, message: String, position: Pos) {
        let position = (position.line, position.column);
        self.0.push(Linted { lint, path: path.to_owned(), message, position });
    }

    fn name(&mut self, lint: Lint, right: bool, path: &str, name: &str, case: &str, position: Pos) {
        if !right {
            self.push(lint, path, format!("`{name}` is not in {case}."), position);
        }
    }

    fn described(&mut self, lint: Lint, path: &str, about: &About, what: &str) {
        if about.description.as_deref().is_none_or(|text| text.trim().is_empty()) {
            self.push(lint, path, format!("`{path}`, {what}, has no description."), about.position);
        }
    }

    fn deprecation(&mut self, path: &str, about: &About) {
        // What the specification puts where no reason is given.
        let none = ["", "No longer supported"];
        if about.deprecation().is_some_and(|reason| none.contains(&reason.trim())) {
            self.push(
                Lint::DeprecationReason,
                path,
                format!("`{path}` is deprecated without a reason."),
                about.position,
            );
        }
    }

    fn field(&mut self, path: &str, name: &str, field: &Field) {
        self.name(Lint::NamingField, is_camel(name), path, name, "camelCase", field.about.position);
        self.described(Lint::DescriptionField, path, &field.about, "a field");
        self.deprecation(path, &field.about);
        for (argument, it) in &field.arguments {
            let path = format!("{path}({argument}:)");
            self.input(&path, argument, it, Lint::NamingArgument, Lint::DescriptionArgument);
        }
    }

    fn input(&mut self, path: &str, name: &str, input: &Input, naming: Lint, description: Lint) {
        self.name(naming, is_camel(name), path, name, "camelCase", input.about.position);
        self.described(description, path, &input.about, "an input");
        self.deprecation(path, &input.about);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(sdl: &str) -> Vec<(&'static str, String)> {
        lint(&Schema::parse(sdl).unwrap()).into_iter().map(|it| (it.lint.id(), it.path)).collect()
    }

    /// Each lint with a schema that it doesn't like, where, and a near twin that it does.
    #[test]
    fn every_lint_finds_its_own_and_leaves_its_twin() {
        let cases = [
            (
                "naming-type",
                "\"d\" type bad_type { \"d\" a: Int }",
                "bad_type",
                "\"d\" type GoodType { \"d\" a: Int }",
            ),
            (
                "naming-field",
                "\"d\" type T { \"d\" Bad_field: Int }",
                "T.Bad_field",
                "\"d\" type T { \"d\" goodField2: Int }",
            ),
            (
                "naming-argument",
                "\"d\" type T { \"d\" a(Bad: Int): Int }",
                "T.a(Bad:)",
                "\"d\" type T { \"d\" a(good: Int): Int }",
            ),
            (
                "naming-input-field",
                "\"d\" input T { bad_one: Int }",
                "T.bad_one",
                "\"d\" input T { goodOne: Int }",
            ),
            ("naming-enum-value", "\"d\" enum T { Bad }", "T.Bad", "\"d\" enum T { GOOD_2 }"),
            ("description-type", "type T { \"d\" a: Int }", "T", "\"d\" type T { \"d\" a: Int }"),
            ("description-field", "\"d\" type T { a: Int }", "T.a", "\"d\" type T { a: Int @external }"),
            (
                "description-argument",
                "\"d\" type T { \"d\" a(b: Int): Int }",
                "T.a(b:)",
                "\"d\" type T { \"d\" a(\"d\" b: Int): Int }",
            ),
            ("description-input-field", "\"d\" input T { a: Int }", "T.a", "\"d\" input T { \"d\" a: Int }"),
            ("description-enum-value", "\"d\" enum T { A }", "T.A", "\"d\" enum T { \"d\" A }"),
            (
                "deprecation-reason",
                "\"d\" type T { \"d\" a: Int @deprecated }",
                "T.a",
                "\"d\" type T { \"d\" a: Int @deprecated(reason: \"Use b instead.\") }",
            ),
        ];
        for lint in Lint::ALL {
            let (_, bad, path, good) = cases
                .iter()
                .find(|case| case.0 == lint.id())
                .unwrap_or_else(|| panic!("no case of {lint:?}"));
            assert!(found(bad).contains(&(lint.id(), (*path).to_owned())), "{lint:?}: {:?}", found(bad));
            assert!(!found(good).iter().any(|(id, _)| *id == lint.id()), "{lint:?}: {:?}", found(good));
        }
    }

    #[test]
    fn what_others_own_is_not_linted() {
        let sdl = "type _Any { a_b: Int } scalar federation__FieldSet type P @key(fields: \"id\", resolvable: false) { id: ID }";
        assert_eq!(found(sdl), []);
        assert!(!found("type P @key(fields: \"id\") { id: ID }").is_empty());
    }

    #[test]
    fn a_blank_reason_is_none() {
        for reason in ["\"\"", "\" \"", "\"No longer supported\""] {
            let sdl = format!("\"d\" enum T {{ A @deprecated(reason: {reason}) }}");
            assert!(found(&sdl).contains(&("deprecation-reason", "T.A".to_owned())), "{reason}");
        }
    }
}
