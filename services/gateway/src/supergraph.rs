//! The supergraph: what composition gives and the planner takes, in the join specification's SDL.

use std::fmt::Write as _;

use graphql_tools::parser::{
    query::Value,
    schema::{Definition, Document, TypeDefinition, parse_schema},
};
use sha2::{Digest, Sha256};

/// A composed graph, checked to be one that can be planned against.
#[derive(Clone)]
pub struct Supergraph {
    sdl: String,
    hash: String,
    graphs: Vec<Graph>,
    document: Document<'static, String>,
}

/// A subgraph as a supergraph lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Graph {
    /// The name in plans and errors.
    pub name: String,
    /// Where it answers; empty if the supergraph does not say.
    pub url: String,
}

/// Why a text is not a supergraph.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SupergraphError {
    /// It is not SDL.
    #[error("the supergraph does not parse: {0}")]
    Syntax(String),
    /// It holds an `extend …`.
    #[error("the supergraph extends {0}: it must be composed, with every type defined once")]
    Extension(String),
    /// A type is defined twice.
    #[error("the supergraph defines {0} more than once")]
    DefinedTwice(String),
    /// It lists no subgraphs.
    #[error("the supergraph has no enum join__Graph with @join__graph values: was it composed?")]
    NoGraphs,
    /// There is nothing to query.
    #[error("the supergraph has no query root type with fields")]
    NoQuery,
    /// A root is named that is not there.
    #[error("the supergraph's schema names {0} as a root, which is no object type")]
    MissingRoot(String),
    /// A type or field refers to a subgraph that is not listed.
    #[error("{place} refers to the subgraph {graph}, which join__Graph does not list")]
    UnknownGraph {
        /// The type or field.
        place: String,
        /// The subgraph's enum value.
        graph: String,
    },
    /// A field has a type that is not defined.
    #[error("{place} has the type {name}, which is not defined")]
    UnknownType {
        /// The field or argument.
        place: String,
        /// The type.
        name: String,
    },
    /// A composite type says of no subgraph that it is there.
    #[error("{0} has no @join__type: no subgraph could answer it")]
    NoJoinType(String),
}

impl Supergraph {
    /// Reads a supergraph that has been composed, by this gateway or by another tool.
    pub fn parse(sdl: &str) -> Result<Self, SupergraphError> {
        let document = parse_schema::<String>(sdl)
            .map_err(|error| SupergraphError::Syntax(error.to_string()))?
            .into_static();
        let graphs = check(&document)?;
        let mut hash = String::with_capacity(64);
        for byte in Sha256::digest(sdl.as_bytes()) {
            write!(hash, "{byte:02x}").expect("a string takes all text");
        }
        Ok(Self { sdl: sdl.to_owned(), hash, graphs, document })
    }

    /// The text.
    pub fn sdl(&self) -> &str {
        &self.sdl
    }

    /// SHA-256 of the text, in hexadecimal.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// The subgraphs, in the order of the supergraph.
    pub fn graphs(&self) -> &[Graph] {
        &self.graphs
    }

    pub(crate) fn document(&self) -> &Document<'static, String> {
        &self.document
    }
}

impl std::fmt::Debug for Supergraph {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Supergraph")
            .field("hash", &self.hash)
            .field("graphs", &self.graphs)
            .finish_non_exhaustive()
    }
}

/// Refuses what the planner would panic on or could never answer.
fn check(document: &Document<'static, String>) -> Result<Vec<Graph>, SupergraphError> {
    let mut names = std::collections::HashSet::new();
    let mut graphs = None;
    let mut roots = (None, None, None);
    for definition in &document.definitions {
        match definition {
            Definition::TypeExtension(extension) => {
                return Err(SupergraphError::Extension(extension_name(extension)));
            }
            Definition::SchemaDefinition(schema) => {
                roots = (schema.query.clone(), schema.mutation.clone(), schema.subscription.clone());
            }
            Definition::TypeDefinition(definition) => {
                let name = type_name(definition);
                if !names.insert(name.to_owned()) {
                    return Err(SupergraphError::DefinedTwice(name.to_owned()));
                }
                if let TypeDefinition::Enum(def) = definition
                    && def.name == "join__Graph"
                {
                    graphs =
                        Some(def.values.iter().map(|value| (value.name.clone(), graph(value))).collect());
                }
            }
            Definition::DirectiveDefinition(_) => {}
        }
    }
    let graphs: Vec<(String, Option<Graph>)> = graphs.unwrap_or_default();
    if graphs.is_empty() || graphs.iter().any(|(_, graph)| graph.is_none()) {
        return Err(SupergraphError::NoGraphs);
    }
    names.extend(["ID", "String", "Boolean", "Int", "Float"].map(str::to_owned));
    let query = roots.0.unwrap_or_else(|| "Query".to_owned());
    let mut has_query = false;
    for root in [roots.1, roots.2].into_iter().flatten() {
        if !is_object(document, &root) {
            return Err(SupergraphError::MissingRoot(root));
        }
    }
    for definition in &document.definitions {
        let Definition::TypeDefinition(definition) = definition else { continue };
        let (name, directives, fields) = match definition {
            TypeDefinition::Object(object) => (&object.name, &object.directives, &object.fields),
            TypeDefinition::Interface(interface) => {
                (&interface.name, &interface.directives, &interface.fields)
            }
            _ => continue,
        };
        has_query |= *name == query && !fields.is_empty();
        let listed = |directive: &graphql_tools::parser::query::Directive<'static, String>, place: &str| {
            let Some(graph) = argument(directive, "graph") else { return Ok(()) };
            if graphs.iter().any(|(value, _)| value == graph) {
                return Ok(());
            }
            Err(SupergraphError::UnknownGraph { place: place.to_owned(), graph: graph.to_owned() })
        };
        let mut joined = false;
        for directive in directives.iter().filter(|directive| directive.name.starts_with("join__")) {
            joined |= directive.name == "join__type";
            listed(directive, name)?;
        }
        if !joined {
            return Err(SupergraphError::NoJoinType(name.clone()));
        }
        for field in fields {
            let place = format!("{name}.{}", field.name);
            for directive in field.directives.iter().filter(|directive| directive.name == "join__field") {
                listed(directive, &place)?;
            }
            let types = std::iter::once(&field.field_type)
                .chain(field.arguments.iter().map(|input| &input.value_type));
            for ty in types {
                let ty = crate::schema::TypeRef::from(ty);
                if !names.contains(ty.name()) {
                    return Err(SupergraphError::UnknownType { place, name: ty.name().to_owned() });
                }
            }
        }
    }
    if !has_query {
        return Err(SupergraphError::NoQuery);
    }
    Ok(graphs.into_iter().filter_map(|(_, graph)| graph).collect())
}

fn graph(value: &graphql_tools::parser::schema::EnumValue<'static, String>) -> Option<Graph> {
    let directive = value.directives.iter().find(|directive| directive.name == "join__graph")?;
    Some(Graph {
        name: argument(directive, "name")?.to_owned(),
        url: argument(directive, "url").unwrap_or_default().to_owned(),
    })
}

/// A directive's argument that is a string or an enum value.
pub(crate) fn argument<'a>(
    directive: &'a graphql_tools::parser::query::Directive<'static, String>,
    name: &str,
) -> Option<&'a str> {
    directive.arguments.iter().find_map(|(key, value)| match value {
        Value::String(text) | Value::Enum(text) if key == name => Some(text.as_str()),
        _ => None,
    })
}

fn is_object(document: &Document<'static, String>, name: &str) -> bool {
    document.definitions.iter().any(|definition| {
        matches!(definition, Definition::TypeDefinition(TypeDefinition::Object(object)) if object.name == name)
    })
}

fn type_name<'a>(definition: &'a TypeDefinition<'static, String>) -> &'a str {
    match definition {
        TypeDefinition::Scalar(def) => &def.name,
        TypeDefinition::Object(def) => &def.name,
        TypeDefinition::Interface(def) => &def.name,
        TypeDefinition::Union(def) => &def.name,
        TypeDefinition::Enum(def) => &def.name,
        TypeDefinition::InputObject(def) => &def.name,
    }
}

fn extension_name(extension: &graphql_tools::parser::schema::TypeExtension<'static, String>) -> String {
    use graphql_tools::parser::schema::TypeExtension;
    match extension {
        TypeExtension::Scalar(def) => &def.name,
        TypeExtension::Object(def) => &def.name,
        TypeExtension::Interface(def) => &def.name,
        TypeExtension::Union(def) => &def.name,
        TypeExtension::Enum(def) => &def.name,
        TypeExtension::InputObject(def) => &def.name,
    }
    .clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = r#"
        enum join__Graph { A @join__graph(name: "a", url: "http://a") }
    "#;

    fn refused(rest: &str) -> SupergraphError {
        Supergraph::parse(&format!("{HEAD}{rest}")).unwrap_err()
    }

    #[test]
    fn what_the_planner_panics_on_is_refused_with_its_name() {
        let query = "type Query @join__type(graph: A) { a: String }";
        assert_eq!(
            refused(&format!("{query} extend type Query {{ b: String }}")),
            SupergraphError::Extension("Query".to_owned())
        );
        assert_eq!(
            refused(&format!("schema {{ query: Query mutation: Mutation }} {query}")),
            SupergraphError::MissingRoot("Mutation".to_owned())
        );
        assert_eq!(refused("type Query { a: String }"), SupergraphError::NoJoinType("Query".to_owned()));
        assert_eq!(refused("scalar Nothing"), SupergraphError::NoQuery);
        assert_eq!(
            refused("type Query @join__type(graph: B) { a: String }"),
            SupergraphError::UnknownGraph { place: "Query".to_owned(), graph: "B".to_owned() }
        );
        assert_eq!(
            refused("type Query @join__type(graph: A) { a: Nowhere }"),
            SupergraphError::UnknownType { place: "Query.a".to_owned(), name: "Nowhere".to_owned() }
        );
        assert_eq!(Supergraph::parse("type Query { a: String }").unwrap_err(), SupergraphError::NoGraphs);
        assert!(matches!(Supergraph::parse("type {").unwrap_err(), SupergraphError::Syntax(_)));
    }

    #[test]
    fn a_supergraph_lists_its_subgraphs_and_has_a_hash() {
        let sdl = format!("{HEAD} type Query @join__type(graph: A) {{ a: String }}");
        let supergraph = Supergraph::parse(&sdl).unwrap();
        assert_eq!(supergraph.graphs(), [Graph { name: "a".to_owned(), url: "http://a".to_owned() }]);
        assert_eq!(supergraph.hash().len(), 64);
        assert_eq!(supergraph.sdl(), sdl);
    }
}
