//! An operation free of what a client put into it.

use crate::hash::Hash;
use graphql_tools::parser::Pos;
use graphql_tools::parser::query::{
    Definition, Directive, Document, FragmentDefinition, OperationDefinition, Selection, SelectionSet, Value,
    VariableDefinition, parse_query,
};
use std::collections::BTreeMap;

type Text = String;

/// An operation as the usage log has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// The operation's name; empty where it has none.
    pub name: String,
    /// The hash of the text.
    pub hash: Hash,
    /// The operation and the fragments that it uses.
    pub text: String,
}

/// Why a document has no signature.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// It does not parse.
    #[error("the document does not parse: {0}")]
    Syntax(String),
    /// It has no such operation.
    #[error("the document has no operation of that name, or several and none was named")]
    NoOperation,
}

/// The signature of the operation that is executed: without the other operations, without aliases, and with strings,
/// numbers and list lengths gone from its literals, so that it says which fields, arguments, input fields and enum
/// values are used, and nothing of a person. Booleans and null stay. Two requests that differ in literals, aliases or
/// white space have one signature.
pub fn signature(document: &str, operation: Option<&str>) -> Result<Signature, SignatureError> {
    let parsed = parse_query::<Text>(document).map_err(|error| SignatureError::Syntax(error.to_string()))?;
    let mut fragments = BTreeMap::new();
    let mut found = Vec::new();
    for definition in parsed.definitions {
        match definition {
            Definition::Fragment(fragment) => {
                fragments.insert(fragment.name.clone(), fragment);
            }
            Definition::Operation(definition) => {
                if operation.is_none_or(|wanted| name(&definition) == wanted) {
                    found.push(definition);
                }
            }
        }
    }
    let (Some(mut executed), true) = (found.pop(), found.is_empty()) else {
        return Err(SignatureError::NoOperation);
    };
    strip_operation(&mut executed);
    let name = name(&executed).to_owned();
    let mut used = BTreeMap::new();
    reach(selection_set(&executed), &mut fragments, &mut used);
    let mut definitions = vec![Definition::Operation(executed)];
    definitions.extend(used.into_values().map(Definition::Fragment));
    let text = Document { definitions }.to_string();
    Ok(Signature { name, hash: Hash::of(&text), text })
}

/// Moves the fragments that a selection uses, stripped, from those that are left to those that are used.
fn reach<'a>(
    set: &SelectionSet<'a, Text>,
    left: &mut BTreeMap<String, FragmentDefinition<'a, Text>>,
    used: &mut BTreeMap<String, FragmentDefinition<'a, Text>>,
) {
    for item in &set.items {
        match item {
            Selection::Field(field) => reach(&field.selection_set, left, used),
            Selection::InlineFragment(fragment) => reach(&fragment.selection_set, left, used),
            Selection::FragmentSpread(spread) => {
                let Some(mut fragment) = left.remove(&spread.fragment_name) else { continue };
                strip_directives(&mut fragment.directives);
                strip_selection(&mut fragment.selection_set);
                reach(&fragment.selection_set, left, used);
                used.insert(spread.fragment_name.clone(), fragment);
            }
        }
    }
}

fn name<'b>(operation: &'b OperationDefinition<'_, Text>) -> &'b str {
    let name = match operation {
        OperationDefinition::SelectionSet(_) => None,
        OperationDefinition::Query(query) => query.name.as_deref(),
        OperationDefinition::Mutation(mutation) => mutation.name.as_deref(),
        OperationDefinition::Subscription(subscription) => subscription.name.as_deref(),
    };
    name.unwrap_or_default()
}

fn selection_set<'b, 'a>(operation: &'b OperationDefinition<'a, Text>) -> &'b SelectionSet<'a, Text> {
    match operation {
        OperationDefinition::SelectionSet(set) => set,
        OperationDefinition::Query(query) => &query.selection_set,
        OperationDefinition::Mutation(mutation) => &mutation.selection_set,
        OperationDefinition::Subscription(subscription) => &subscription.selection_set,
    }
}

fn strip_operation(operation: &mut OperationDefinition<'_, Text>) {
    let (variables, directives, set) = match operation {
        OperationDefinition::SelectionSet(set) => return strip_selection(set),
        OperationDefinition::Query(it) => {
            (&mut it.variable_definitions, &mut it.directives, &mut it.selection_set)
        }
        OperationDefinition::Mutation(it) => {
            (&mut it.variable_definitions, &mut it.directives, &mut it.selection_set)
        }
        OperationDefinition::Subscription(it) => {
            (&mut it.variable_definitions, &mut it.directives, &mut it.selection_set)
        }
    };
    for VariableDefinition { default_value, .. } in variables {
        if let Some(value) = default_value {
            strip(value);
        }
    }
    strip_directives(directives);
    strip_selection(set);
}

fn strip_selection(set: &mut SelectionSet<'_, Text>) {
    for item in &mut set.items {
        match item {
            Selection::Field(field) => {
                field.alias = None;
                strip_arguments(&mut field.arguments);
                strip_directives(&mut field.directives);
                strip_selection(&mut field.selection_set);
            }
            Selection::FragmentSpread(spread) => strip_directives(&mut spread.directives),
            Selection::InlineFragment(fragment) => {
                strip_directives(&mut fragment.directives);
                strip_selection(&mut fragment.selection_set);
            }
        }
    }
    // Aliases told these apart: `a: product(sku: "1") b: product(sku: "2")` says one thing twice. Where each stands in
    // the document doesn't count.
    let mut seen = std::collections::HashSet::new();
    set.items.retain(|item| {
        let one = SelectionSet { span: (Pos::default(), Pos::default()), items: vec![item.clone()] };
        seen.insert(print(one))
    });
}

fn print(set: SelectionSet<'_, Text>) -> String {
    Document { definitions: vec![Definition::Operation(OperationDefinition::SelectionSet(set))] }.to_string()
}

fn strip_directives(directives: &mut [Directive<'_, Text>]) {
    for directive in directives {
        strip_arguments(&mut directive.arguments);
    }
}

fn strip_arguments(arguments: &mut [(Text, Value<'_, Text>)]) {
    for (_, value) in arguments {
        strip(value);
    }
}

fn strip(value: &mut Value<'_, Text>) {
    match value {
        Value::String(text) => text.clear(),
        Value::Int(number) => *number = 0.into(),
        Value::Float(number) => *number = 0.0,
        Value::List(items) => {
            let mut kept: Vec<Value<'_, Text>> = Vec::new();
            for mut item in std::mem::take(items) {
                strip(&mut item);
                if !kept.contains(&item) {
                    kept.push(item);
                }
            }
            *items = kept;
        }
        Value::Object(fields) => strip_arguments(fields),
        Value::Variable(_) | Value::Boolean(_) | Value::Null | Value::Enum(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(document: &str) -> Signature {
        signature(document, None).unwrap()
    }

    #[test]
    fn literals_aliases_and_layout_do_not_count() {
        let one = of(
            r#"query Best($n: Int = 17) { a: product(sku: "85123A") { title } b: product(sku: "22423") { title }
               all(ids: [1, 2, 3], by: {city: "Paris", kind: GIFT, at: 1.5}, deep: true, none: null) { id } }"#,
        );
        let other = of(r#"query Best($n: Int = 3) { product(sku: "x") { t: title }
               all(ids: [9], by: {city: "Bonn", kind: GIFT, at: 2.25}, deep: true, none: null) { id } }"#);
        assert_eq!(one, other);
        for gone in ["85123A", "Paris", "1.5", "17", "22423"] {
            assert!(!one.text.contains(gone), "{gone} is in {}", one.text);
        }
        for kept in ["city", "GIFT", "sku", "deep: true", "none: null", "$n"] {
            assert!(one.text.contains(kept), "{kept} is not in {}", one.text);
        }
        assert_eq!(one.name, "Best");
        assert_ne!(one.hash, of("query Best { product(sku: 1) { sku } }").hash);
    }

    #[test]
    fn only_what_is_executed_counts() {
        let document = "query A { a { ...F } } query B { b } fragment F on T { x(y: 3) ...G } \
                        fragment G on T { z } fragment H on T { unused }";
        let a = signature(document, Some("A")).unwrap();
        assert!(a.text.contains("fragment F") && a.text.contains("fragment G"), "{}", a.text);
        assert!(
            !a.text.contains("unused") && !a.text.contains("query B") && !a.text.contains('3'),
            "{}",
            a.text
        );
        assert_eq!(signature(document, None), Err(SignatureError::NoOperation));
        assert_eq!(signature(document, Some("C")), Err(SignatureError::NoOperation));
        assert!(matches!(signature("{ a", None), Err(SignatureError::Syntax(_))));
    }

    #[test]
    fn fragments_that_go_in_circles_end() {
        let text = of("{ a { ...F } } fragment F on T { b { ...F } }").text;
        assert_eq!(text.matches("fragment F").count(), 1);
    }

    #[test]
    fn a_signature_is_its_own() {
        let once = of(
            r#"query Q($v: In = {a: ["x"]}) { f(v: $v, w: {list: [{a: 1}, {a: 2}, {b: ""}]}) { ... on T @include(if: true) { g } } }"#,
        );
        assert_eq!(of(&once.text), once);
    }
}
