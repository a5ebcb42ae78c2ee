//! What an operation uses of a schema.

#[cfg(test)]
mod soundness;
mod validity;

use crate::schema::{Literal, Root, Schema, TypeRef};
use graphql_tools::parser::query::{
    Definition, Directive, FragmentDefinition, OperationDefinition, Selection, SelectionSet, Value,
    VariableDefinition, parse_query,
};
use std::collections::{BTreeMap, BTreeSet};

pub(crate) use validity::Validator;

/// Something that an operation uses.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Use(String);

impl Use {
    /// A type: by a selection on it, a fragment, a variable or a literal.
    pub(crate) fn of_type(name: &str) -> Self {
        Self(name.to_owned())
    }

    pub(crate) fn field(ty: &str, field: &str) -> Self {
        Self(format!("{ty}.{field}"))
    }

    /// An argument that is given.
    pub(crate) fn argument(ty: &str, field: &str, argument: &str) -> Self {
        Self(format!("{ty}.{field}({argument}:)"))
    }

    /// An input field in a literal.
    pub(crate) fn input_field(ty: &str, field: &str) -> Self {
        Self(format!("{ty}.{field}"))
    }

    /// An enum's value in a literal.
    pub(crate) fn value(ty: &str, value: &str) -> Self {
        Self(format!("{ty}.{value}"))
    }

    /// A type whose values a field answers.
    pub(crate) fn answered(ty: &str) -> Self {
        Self(format!("answered {ty}"))
    }

    /// A type whose values a variable may send: nobody knows which of its fields and values.
    pub(crate) fn sent(ty: &str) -> Self {
        Self(format!("sent {ty}"))
    }

    /// A fragment's type, where it isn't the type around it.
    pub(crate) fn condition(within: &str, on: &str) -> Self {
        Self(format!("{within} > {on}"))
    }

    pub(crate) fn directive(name: &str) -> Self {
        Self(format!("@{name}"))
    }

    pub(crate) fn directive_on(name: &str, location: &str) -> Self {
        Self(format!("@{name} on {location}"))
    }

    pub(crate) fn directive_twice(name: &str) -> Self {
        Self(format!("@{name} twice"))
    }

    pub(crate) fn directive_argument(name: &str, argument: &str) -> Self {
        Self(format!("@{name}({argument}:)"))
    }

    /// Whether the operation itself doesn't say that it uses this, but its variables may.
    pub(crate) fn is_by_variable(&self) -> bool {
        self.0.starts_with("sent ")
    }
}

type Text = String;
type Fragments<'a> = BTreeMap<&'a str, &'a FragmentDefinition<'a, Text>>;

/// What an operation uses; an error in words where it doesn't parse. What the schema doesn't have is passed over: it
/// can't be lost.
pub fn uses(schema: &Schema, document: &str) -> Result<BTreeSet<Use>, String> {
    let document = parse_query::<Text>(document).map_err(|error| error.to_string())?;
    let mut fragments = Fragments::new();
    for definition in &document.definitions {
        if let Definition::Fragment(fragment) = definition {
            fragments.insert(&fragment.name, fragment);
        }
    }
    let mut visit = Visit { schema, fragments, seen: BTreeSet::new(), uses: BTreeSet::new() };
    for definition in &document.definitions {
        if let Definition::Operation(operation) = definition {
            visit.operation(operation);
        }
    }
    Ok(visit.uses)
}

struct Visit<'a> {
    schema: &'a Schema,
    fragments: Fragments<'a>,
    /// Fragments that were seen, by the type around them.
    seen: BTreeSet<(String, String)>,
    uses: BTreeSet<Use>,
}

impl<'a> Visit<'a> {
    fn operation(&mut self, operation: &'a OperationDefinition<'a, Text>) {
        let (root, location, variables, directives, set): (_, _, &[VariableDefinition<'_, Text>], &[_], _) =
            match operation {
                OperationDefinition::SelectionSet(set) => (Root::Query, "QUERY", &[], &[], set),
                OperationDefinition::Query(it) => {
                    (Root::Query, "QUERY", &it.variable_definitions, &it.directives, &it.selection_set)
                }
                OperationDefinition::Mutation(it) => {
                    (Root::Mutation, "MUTATION", &it.variable_definitions, &it.directives, &it.selection_set)
                }
                OperationDefinition::Subscription(it) => (
                    Root::Subscription,
                    "SUBSCRIPTION",
                    &it.variable_definitions,
                    &it.directives,
                    &it.selection_set,
                ),
            };
        for variable in variables {
            let ty = crate::schema::type_ref(&variable.var_type);
            self.uses.insert(Use::of_type(ty.name()));
            self.sent(ty.name());
            if let Some(default) = &variable.default_value {
                self.literal(&ty, &default.into_static());
            }
        }
        self.directives(directives, location);
        let schema = self.schema;
        if let Some(root) = schema.root(root) {
            self.selection(root, set);
        }
    }

    fn selection(&mut self, within: &str, set: &'a SelectionSet<'a, Text>) {
        if !set.items.is_empty() {
            self.uses.insert(Use::of_type(within));
        }
        for item in &set.items {
            match item {
                Selection::Field(field) => {
                    self.directives(&field.directives, "FIELD");
                    let Some(known) = self.schema.field(within, &field.name) else { continue };
                    self.uses.insert(Use::field(within, &field.name));
                    for (name, value) in &field.arguments {
                        self.uses.insert(Use::argument(within, &field.name, name));
                        if let Some(argument) = known.arguments.get(name) {
                            self.literal(&argument.ty, &value.into_static());
                        }
                    }
                    self.uses.insert(Use::answered(known.ty.name()));
                    self.selection(known.ty.name(), &field.selection_set);
                }
                Selection::InlineFragment(fragment) => {
                    self.directives(&fragment.directives, "INLINE_FRAGMENT");
                    let on = fragment.type_condition.as_ref().map_or(within, |it| it.as_ref());
                    self.condition(within, on);
                    self.selection(on, &fragment.selection_set);
                }
                Selection::FragmentSpread(spread) => {
                    self.directives(&spread.directives, "FRAGMENT_SPREAD");
                    let Some(fragment) = self.fragments.get(spread.fragment_name.as_str()).copied() else {
                        continue;
                    };
                    if !self.seen.insert((within.to_owned(), fragment.name.clone())) {
                        continue;
                    }
                    self.directives(&fragment.directives, "FRAGMENT_DEFINITION");
                    let on = fragment.type_condition.as_ref();
                    self.condition(within, on);
                    self.selection(on, &fragment.selection_set);
                }
            }
        }
    }

    /// A fragment on a type within another. Two abstract types meet in the types that can be both, so each of those
    /// counts as if it were named.
    fn condition(&mut self, within: &str, on: &str) {
        if within == on {
            return;
        }
        self.uses.insert(Use::of_type(on));
        self.uses.insert(Use::condition(within, on));
        let both: BTreeSet<&str> =
            self.schema.possible(within).intersection(&self.schema.possible(on)).copied().collect();
        for object in both {
            self.uses.insert(Use::condition(within, object));
            self.uses.insert(Use::condition(on, object));
        }
    }

    fn directives(&mut self, directives: &'a [Directive<'a, Text>], location: &str) {
        for directive in directives {
            let name = directive.name.as_str();
            self.uses.insert(Use::directive(name));
            self.uses.insert(Use::directive_on(name, location));
            if directives.iter().filter(|it| it.name == name).count() > 1 {
                self.uses.insert(Use::directive_twice(name));
            }
            let known = self.schema.directives.get(name);
            for (argument, value) in &directive.arguments {
                self.uses.insert(Use::directive_argument(name, argument));
                if let Some(input) = known.and_then(|known| known.arguments.get(argument)) {
                    self.literal(&input.ty, &value.into_static());
                }
            }
        }
    }

    fn literal(&mut self, ty: &TypeRef, value: &Literal) {
        let name = ty.name();
        match value {
            Value::Variable(_) => self.sent(name),
            Value::Enum(value) => {
                self.uses.insert(Use::of_type(name));
                self.uses.insert(Use::value(name, value));
            }
            Value::List(items) => {
                for item in items {
                    self.literal(ty, item);
                }
            }
            Value::Object(fields) => {
                self.uses.insert(Use::of_type(name));
                let known = self.schema.types.get(name);
                for (field, value) in fields {
                    self.uses.insert(Use::input_field(name, field));
                    if let Some(input) = known.and_then(|known| known.inputs.get(field)) {
                        self.literal(&input.ty, value);
                    }
                }
            }
            Value::Int(_) | Value::Float(_) | Value::String(_) | Value::Boolean(_) | Value::Null => {}
        }
    }

    fn sent(&mut self, ty: &str) {
        let mut reached = BTreeSet::new();
        self.schema.reach(ty, &mut reached);
        self.uses.extend(reached.into_iter().map(Use::sent));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMA: &str = "
        directive @live(of: Mode) repeatable on FIELD
        type Query { product(sku: ID!, by: By): Product node: Node search: [Hit!] }
        interface Node { id: ID }
        type Product implements Node { id: ID title(mode: Mode = PLAIN): String kind: Kind }
        type Shop implements Node { id: ID }
        union Hit = Product | Shop
        enum Mode { PLAIN LOUD } enum Kind { CARD GIFT }
        input By { mode: Mode, deep: By, name: String }";

    fn used(document: &str) -> BTreeSet<String> {
        let schema = Schema::parse(SCHEMA).unwrap();
        uses(&schema, document).unwrap().into_iter().map(|it| it.0).collect()
    }

    fn assert_uses(document: &str, some: &[&str], none: &[&str]) {
        let used = used(document);
        for it in some {
            assert!(used.contains(*it), "{it} is not among {used:?}");
        }
        for it in none {
            assert!(!used.contains(*it), "{it} is among {used:?}");
        }
    }

    #[test]
    fn fields_arguments_and_what_they_answer_are_used() {
        assert_uses(
            "{ product(sku: 1) { title(mode: LOUD) kind } }",
            &[
                "Query.product",
                "Query.product(sku:)",
                "Product.title",
                "Mode.LOUD",
                "answered Kind",
                "Product",
            ],
            &["Product.id", "Query.product(by:)", "Mode.PLAIN", "sent Mode", "Node", "Kind.CARD"],
        );
    }

    #[test]
    fn a_literal_says_what_it_holds_and_a_variable_does_not() {
        assert_uses(
            "{ product(sku: 1, by: {deep: {mode: PLAIN}}) { id } }",
            &["By.deep", "By.mode", "Mode.PLAIN", "By"],
            &["By.name", "sent By", "sent Mode"],
        );
        assert_uses(
            "query($by: By) { product(sku: 1, by: $by) { id } }",
            &["sent By", "sent Mode", "By"],
            &["By.name", "By.mode", "Mode.PLAIN"],
        );
        assert_uses(
            "query($m: Mode = LOUD) { product(sku: 1, by: {mode: $m}) { id } }",
            &["By.mode", "sent Mode", "Mode.LOUD"],
            &["sent By"],
        );
    }

    #[test]
    fn fragments_say_within_what_they_stand() {
        assert_uses(
            "{ search { ... on Product { title } ...F } node { ... on Hit { __typename } } } fragment F on Node { id }",
            &["Hit > Product", "Hit > Node", "Node.id", "Node > Shop", "Node > Hit", "Hit > Shop"],
            &["Product.id"],
        );
        assert_uses("{ node { ...A } } fragment A on Node { ...A id }", &["Node.id"], &[]);
    }

    #[test]
    fn directives_say_where_they_stand_and_how_often() {
        assert_uses(
            "{ node @live(of: LOUD) @live { id @live } }",
            &["@live", "@live on FIELD", "@live twice", "@live(of:)", "Mode.LOUD"],
            &["@live on QUERY"],
        );
    }

    #[test]
    fn what_the_schema_does_not_have_is_passed_over() {
        assert_uses(
            "{ gone { id } product(sku: 1) { gone } } mutation { m }",
            &["Query.product"],
            &["Query.gone"],
        );
        assert!(uses(&Schema::parse(SCHEMA).unwrap(), "{ a").is_err());
    }
}
