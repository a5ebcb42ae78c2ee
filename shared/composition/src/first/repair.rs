//! What `graphql-composition` leaves out of the join specification, put in.

use graphql_tools::parser::{
    Pos,
    query::{Directive, Value},
    schema::{Definition, Document, TypeDefinition},
};

/// Adds `@join__type` to root types: without it the planner finds no way into any subgraph.
pub(super) fn repaired(mut document: Document<'static, String>) -> Document<'static, String> {
    let mut roots = vec!["Query".to_owned(), "Mutation".to_owned(), "Subscription".to_owned()];
    let mut graphs = Vec::new();
    for definition in &document.definitions {
        match definition {
            Definition::SchemaDefinition(schema) => {
                let named = [&schema.query, &schema.mutation, &schema.subscription];
                roots.extend(named.into_iter().flatten().cloned());
            }
            Definition::TypeDefinition(TypeDefinition::Enum(def)) if def.name == "join__Graph" => {
                graphs.extend(def.values.iter().map(|value| value.name.clone()));
            }
            _ => {}
        }
    }
    for definition in &mut document.definitions {
        let Definition::TypeDefinition(TypeDefinition::Object(object)) = definition else { continue };
        if !roots.contains(&object.name) || object.directives.iter().any(|d| d.name == "join__type") {
            continue;
        }
        let mut owners: Vec<&str> = object
            .fields
            .iter()
            .flat_map(|field| &field.directives)
            .filter(|directive| directive.name == "join__field")
            .filter_map(|directive| argument(directive, "graph"))
            .collect();
        owners.sort_unstable();
        owners.dedup();
        if owners.is_empty() {
            owners = graphs.iter().map(String::as_str).collect();
        }
        let joins: Vec<Directive<'static, String>> = owners
            .into_iter()
            .map(|graph| Directive {
                position: Pos::default(),
                name: "join__type".to_owned(),
                arguments: vec![("graph".to_owned(), Value::Enum(graph.to_owned()))],
            })
            .collect();
        object.directives.extend(joins);
    }
    document
}

fn argument<'a>(directive: &'a Directive<'static, String>, name: &str) -> Option<&'a str> {
    directive.arguments.iter().find_map(|(key, value)| match value {
        Value::Enum(text) | Value::String(text) if key == name => Some(text.as_str()),
        _ => None,
    })
}
