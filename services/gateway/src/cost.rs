//! What an operation may cost before it is run: objects are counted, those of a list as often as the list may be long.
//!
//! How long a list is, is said by a slicing argument of its field, or of the field around it, as Relay's connections
//! have it (`products(first: 20) { nodes { … } }`); a list without one counts as an assumed size. Scalars cost nothing, an
//! object costs one, a mutation ten more, as in Apollo's demand control.

use std::collections::HashMap;

use graphql_tools::parser::query::{
    Field, FragmentDefinition, Selection, SelectionSet, TypeCondition, Value,
};

use crate::limits;
use crate::operation::{Conditions, Operation, OperationKind};
use crate::schema::{FieldDef, Schema, TypeRef};
use crate::variables::Variables;

/// Arguments that say how many items a list has at most.
const SLICING: [&str; 4] = ["first", "last", "limit", "pageSize"];

/// What a mutation costs besides its objects.
const MUTATION: u64 = 10;

/// What an operation may cost.
pub(crate) fn cost(
    operation: &Operation,
    conditions: &Conditions,
    variables: &Variables,
    schema: &Schema,
    assumed: u64,
) -> u64 {
    let (root, each) = match operation.kind {
        OperationKind::Query => (Some(&schema.query), 0),
        OperationKind::Mutation => (schema.mutation.as_ref(), MUTATION),
        OperationKind::Subscription => (schema.subscription.as_ref(), 0),
    };
    let fragments = limits::fragments(&operation.document);
    let walk = Walk { conditions, variables, schema, assumed, fragments };
    root.map_or(0, |root| walk.set(&operation.selection_set, root, None, each))
}

struct Walk<'a> {
    conditions: &'a Conditions,
    variables: &'a Variables,
    schema: &'a Schema,
    assumed: u64,
    fragments: HashMap<&'a str, &'a FragmentDefinition<'static, String>>,
}

impl Walk<'_> {
    /// `sliced` is how many items the lists of this set's objects have, if the field around them says so.
    fn set(&self, set: &SelectionSet<'static, String>, parent: &str, sliced: Option<u64>, each: u64) -> u64 {
        let costs = set.items.iter().map(|selection| match selection {
            Selection::Field(field) if self.conditions.include(&field.directives) => {
                self.field(field, parent, sliced).saturating_add(each)
            }
            Selection::InlineFragment(fragment) if self.conditions.include(&fragment.directives) => {
                let on = match &fragment.type_condition {
                    Some(TypeCondition::On(name)) => name.as_str(),
                    None => parent,
                };
                self.set(&fragment.selection_set, on, sliced, each)
            }
            Selection::FragmentSpread(spread) if self.conditions.include(&spread.directives) => {
                let Some(fragment) = self.fragments.get(spread.fragment_name.as_str()) else { return 0 };
                let TypeCondition::On(on) = &fragment.type_condition;
                self.set(&fragment.selection_set, on, sliced, each)
            }
            _ => 0,
        });
        costs.fold(0, u64::saturating_add)
    }

    fn field(&self, field: &Field<'static, String>, parent: &str, sliced: Option<u64>) -> u64 {
        let Some(def) = self.schema.get(parent).and_then(|def| def.field(&field.name)) else { return 0 };
        let ty = def.ty.name();
        if !self.schema.get(ty).is_some_and(crate::schema::TypeDef::is_composite) {
            return 0;
        }
        let own = self.size(field, def);
        let (times, inner) = match lists(&def.ty) {
            0 => (1, own),
            depth => {
                let first = own.or(sliced).unwrap_or(self.assumed);
                (first.saturating_mul(self.assumed.saturating_pow(depth - 1)), None)
            }
        };
        let one = self.set(&field.selection_set, ty, inner, 0).saturating_add(1);
        one.saturating_mul(times)
    }

    /// What the field's slicing argument says; its default where it isn't given.
    fn size(&self, field: &Field<'static, String>, def: &FieldDef) -> Option<u64> {
        let arguments = def.arguments.iter().filter(|argument| SLICING.contains(&argument.name.as_str()));
        let sizes = arguments.filter_map(|argument| {
            let given =
                field.arguments.iter().find(|(name, _)| *name == argument.name).map(|(_, value)| value);
            let literal = |value: &Value<'static, String>| match value {
                Value::Int(number) => u64::try_from(number.as_i64()?).ok(),
                _ => None,
            };
            match given {
                Some(Value::Variable(name)) => self.variables.get(name)?.as_u64(),
                Some(value) => literal(value),
                None => argument.default.as_ref().and_then(literal),
            }
        });
        sizes.max()
    }
}

fn lists(ty: &TypeRef) -> u32 {
    match ty {
        TypeRef::Named(_) => 0,
        TypeRef::List(inner) => 1 + lists(inner),
        TypeRef::NonNull(inner) => lists(inner),
    }
}

#[cfg(test)]
mod tests {
    use graphql_tools::parser::schema::parse_schema;
    use serde_json::json;

    use super::*;
    use crate::config::Limits;
    use crate::operation::{Validator, parse};

    const SDL: &str = "
        directive @skip(if: Boolean!) on FIELD  directive @include(if: Boolean!) on FIELD
        scalar Int  scalar String  scalar Boolean
        type Query { one: Item  products(first: Int = 20, after: String): Page  best(limit: Int): [Item!]!  all: [Item] }
        type Mutation { change: Item }
        type Page { nodes: [Item!]!  info: Info }
        type Info { next: String }
        type Item { name: String  parts: [Item]  grid: [[Item]] }";

    #[expect(clippy::needless_pass_by_value, reason = "so that a test reads as the question that it asks")]
    fn cost_of(text: &str, variables: serde_json::Value) -> u64 {
        let document = parse_schema::<String>(SDL).unwrap().into_static();
        let schema = Schema::new(&document);
        let operation = parse(text, None, &schema, &Validator::new(document), &Limits::default()).unwrap();
        let variables = variables.as_object().cloned().unwrap();
        let variables = Variables::coerce(&operation, &variables, &schema).unwrap();
        cost(&operation, &variables.conditions(&operation), &variables, &schema, 10)
    }

    #[test]
    fn objects_are_counted_as_often_as_their_lists_are_long() {
        let cost = |text: &str| cost_of(text, json!({}));
        assert_eq!(cost("{ one { name } }"), 1);
        assert_eq!(cost("{ all { name } }"), 10);
        assert_eq!(cost("{ all { parts { name } } }"), 10 * (1 + 10));
        assert_eq!(cost("{ one { grid { name } } }"), 1 + 100);
        assert_eq!(cost("{ best(limit: 3) { name } }"), 3);
        // The page, its info, and its nodes: by the argument, or its default.
        assert_eq!(cost("{ products(first: 5) { nodes { name } info { next } } }"), 1 + 5 + 1);
        assert_eq!(cost("{ products { nodes { name } } }"), 1 + 20);
        assert_eq!(cost("mutation { change { name } }"), 11);
        assert_eq!(cost("{ ...F ... { one { name } } } fragment F on Query { all { name } }"), 11);
        assert_eq!(cost("{ one @skip(if: true) { name } all @include(if: true) { name } }"), 10);
    }

    #[test]
    fn variables_say_how_long_lists_are() {
        let text = "query A($n: Int!, $s: Boolean!) { products(first: $n) { nodes { name } } one @skip(if: $s) { name } }";
        assert_eq!(cost_of(text, json!({ "n": 100, "s": true })), 101);
        assert_eq!(cost_of(text, json!({ "n": 100, "s": false })), 102);
    }

    #[test]
    fn no_number_is_too_large() {
        let nested = (0..25).fold("name".to_owned(), |inner, _| format!("parts {{ {inner} }}"));
        assert_eq!(cost_of(&format!("{{ all {{ {nested} }} }}"), json!({})), u64::MAX);
    }
}
