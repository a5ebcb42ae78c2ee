//! The names that the planner knows subgraphs by.
//!
//! The planner looks at subgraphs in the order of their names, and finds no way from an `@interfaceObject` to the
//! fields of one implementation where the subgraph with the interface comes later. So it gets names in which
//! subgraphs with interface objects come last.

use std::collections::HashSet;

use graphql_tools::parser::{
    query::{Directive, Value},
    schema::{Definition, Document, TypeDefinition},
};

use crate::supergraph::argument;

/// A supergraph with the planner's names: a digit, then the name.
pub(super) fn ordered(supergraph: &Document<'static, String>) -> Document<'static, String> {
    let mut document = supergraph.clone();
    let last: HashSet<String> = document
        .definitions
        .iter()
        .filter_map(|definition| match definition {
            Definition::TypeDefinition(TypeDefinition::Interface(interface)) => Some(&interface.directives),
            _ => None,
        })
        .flatten()
        .filter(|directive| {
            directive.name == "join__type"
                && directive.arguments.contains(&("isInterfaceObject".to_owned(), Value::Boolean(true)))
        })
        .filter_map(|directive| argument(directive, "graph").map(str::to_owned))
        .collect();
    let mut renamed = Vec::new();
    for definition in &mut document.definitions {
        let Definition::TypeDefinition(TypeDefinition::Enum(graphs)) = definition else { continue };
        if graphs.name != "join__Graph" {
            continue;
        }
        for graph in &mut graphs.values {
            let rank = if last.contains(&graph.name) { '1' } else { '0' };
            for directive in &mut graph.directives {
                change(directive, "name", |name| {
                    renamed.push((name.to_owned(), format!("{rank}{name}")));
                    format!("{rank}{name}")
                });
            }
        }
    }
    // `@override` names the subgraph that it takes a field from.
    for definition in &mut document.definitions {
        let fields = match definition {
            Definition::TypeDefinition(TypeDefinition::Object(object)) => &mut object.fields,
            Definition::TypeDefinition(TypeDefinition::Interface(interface)) => &mut interface.fields,
            _ => continue,
        };
        for directive in fields.iter_mut().flat_map(|field| &mut field.directives) {
            if directive.name == "join__field" {
                change(directive, "override", |from| {
                    let known = renamed.iter().find(|(name, _)| name == from);
                    known.map_or_else(|| format!("0{from}"), |(_, name)| name.clone())
                });
            }
        }
    }
    document
}

fn change(directive: &mut Directive<'static, String>, name: &str, new: impl FnOnce(&str) -> String) {
    if let Some((_, Value::String(text))) = directive.arguments.iter_mut().find(|(key, _)| key == name) {
        *text = new(text);
    }
}

/// The subgraph's own name.
pub(super) fn original(name: String) -> String {
    name.strip_prefix(['0', '1']).map(str::to_owned).unwrap_or(name)
}
