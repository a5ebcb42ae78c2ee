//! Keys that a subgraph answered to, and does no more.

use crate::schema::{Kind, Schema, argument_of, text};
use graphql_tools::parser::query::{
    Definition, OperationDefinition, Selection, SelectionSet, Value, parse_query,
};
use std::collections::{BTreeMap, BTreeSet};

/// A key that is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LostKey {
    /// The entity.
    pub ty: String,
    /// The key's fields, sorted.
    pub fields: String,
    /// Other subgraphs that refer to the entity by it.
    pub referrers: Vec<String>,
    /// Whether one of them refers to it by no key that is left.
    pub is_only_way: bool,
}

/// Keys that a subgraph doesn't answer to any more.
pub(crate) fn lost(old: &Schema, new: &Schema, others: &BTreeMap<&str, &Schema>) -> Vec<LostKey> {
    let now = keys(new, true);
    let lost = keys(old, true).into_iter().filter(|key| !now.contains(key));
    // An entity that is gone as a whole is told of as such.
    let lost = lost.filter(|(ty, _)| new.types.contains_key(ty));
    let told = |key: (String, String)| {
        let mut referrers = Vec::new();
        let mut is_only_way = false;
        for (name, other) in others {
            let theirs = keys(other, false);
            if theirs.contains(&key) {
                referrers.push((*name).to_owned());
                is_only_way |= !theirs.iter().any(|it| it.0 == key.0 && now.contains(it));
            }
        }
        LostKey { ty: key.0, fields: key.1, referrers, is_only_way }
    };
    lost.map(told).collect()
}

/// The entities of a subgraph, each with one of its keys; those that it can't resolve only if wanted.
fn keys(schema: &Schema, resolvable_only: bool) -> BTreeSet<(String, String)> {
    let mut keys = BTreeSet::new();
    for (name, ty) in &schema.types {
        if !matches!(ty.kind, Kind::Object | Kind::Interface) {
            continue;
        }
        for key in ty.about.directives("key") {
            let resolvable = argument_of(key, "resolvable") != Some(&Value::Boolean(false));
            if let Some(fields) = text(key, "fields")
                && (resolvable || !resolvable_only)
            {
                keys.insert((name.clone(), sorted(fields)));
            }
        }
    }
    keys
}

/// A field set with one way to write it.
fn sorted(fields: &str) -> String {
    fn write(set: &SelectionSet<'_, String>) -> String {
        let mut parts: Vec<String> = Vec::new();
        for item in &set.items {
            if let Selection::Field(field) = item {
                let inner = write(&field.selection_set);
                let inner = if inner.is_empty() { inner } else { format!(" {{ {inner} }}") };
                parts.push(format!("{}{inner}", field.name));
            }
        }
        parts.sort_unstable();
        parts.join(" ")
    }
    let text = format!("{{{fields}}}");
    let Ok(document) = parse_query::<String>(&text) else { return fields.trim().to_owned() };
    match document.definitions.first() {
        Some(Definition::Operation(OperationDefinition::SelectionSet(set))) => write(set),
        _ => fields.trim().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost_between(old: &str, new: &str) -> Vec<LostKey> {
        let other = Schema::parse("type P @key(fields: \"sku\", resolvable: false) { sku: ID! }").unwrap();
        let (old, new) = (Schema::parse(old).unwrap(), Schema::parse(new).unwrap());
        lost(&old, &new, &BTreeMap::from([("other", &other)]))
    }

    const OLD: &str = "type P @key(fields: \"sku\") @key(fields: \"a { c b } d\") { sku: ID! }";

    #[test]
    fn a_changed_key_is_lost_with_who_refers_by_it() {
        let lost =
            lost_between(OLD, "type P @key(fields: \"id\") @key(fields: \"d a { b c }\") { sku: ID! }");
        let key = LostKey {
            ty: "P".to_owned(),
            fields: "sku".to_owned(),
            referrers: vec!["other".to_owned()],
            is_only_way: true,
        };
        assert_eq!(lost, [key]);
        let unresolvable = OLD.replace("\"sku\"", "\"sku\", resolvable: false");
        assert_eq!(lost_between(OLD, &unresolvable).len(), 1);
        let unused = &lost_between(OLD, "type P @key(fields: \"sku\") { sku: ID! }")[0];
        assert_eq!((unused.fields.as_str(), unused.is_only_way), ("a { b c } d", false));
    }

    #[test]
    fn another_key_or_another_order_loses_nothing() {
        let more =
            "type P @key(fields: \" sku \") @key(fields: \"d, a { b c }\") @key(fields: \"id\") { sku: ID! }";
        assert_eq!(lost_between(OLD, more), []);
        assert_eq!(lost_between(OLD, "type Q { a: Int }"), []);
    }
}
