#![doc = include_str!("../README.md")]

// One subgraph.
mod subgraph;
mod syntax;

// All of them together.
mod check;
mod merge;
mod satisfiability;
mod supergraph;
mod types;

// What comes out.
mod error;
mod print;
mod render;
mod report;
mod suggest;

pub use error::{Code, CompositionError, Hint, HintCode, Location};
pub use render::{render_errors, render_hints};

use report::Findings;

/// A service's part of the graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subgraph {
    /// Its name, unique: letters, digits, `-` and `_`, a letter first.
    pub name: String,
    /// Where it answers; empty if it is called by name.
    pub url: String,
    /// Its schema with federation directives, as `_service { sdl }` gives it.
    pub sdl: String,
}

/// A graph of all subgraphs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Composed {
    /// The supergraph's SDL.
    pub supergraph: String,
    /// What composes, but perhaps not as its authors think.
    pub hints: Vec<Hint>,
}

/// Composes subgraphs into a supergraph, or says all that is wrong with them.
///
/// Errors come in three steps, each only where the one before found none: each subgraph by itself, the subgraphs
/// together, and whether queries can reach all fields.
pub fn compose(subgraphs: &[Subgraph]) -> Result<Composed, Vec<CompositionError>> {
    let mut sorted: Vec<&Subgraph> = subgraphs.iter().collect();
    sorted.sort_by(|a, b| a.name.cmp(&b.name));
    let mut errors = wrong_names(&sorted);
    if !errors.is_empty() {
        return Err(errors);
    }
    let mut graphs: Vec<String> = Vec::new();
    let mut schemas = Vec::new();
    for subgraph in sorted {
        let graph = supergraph::graph_name(&subgraph.name, &graphs);
        graphs.push(graph.clone());
        let (schema, wrong) = subgraph::read(subgraph, graph);
        errors.extend(wrong);
        schemas.extend(schema);
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let mut findings = Findings::default();
    let (merged, overrides) = merge::merge(&schemas, &mut findings);
    if findings.errors.is_empty() {
        check::check(&schemas, &merged, &overrides, &mut findings);
    }
    if findings.errors.is_empty() {
        satisfiability::check(&schemas, &merged, &overrides, &mut findings);
    }
    if findings.errors.is_empty() {
        Ok(Composed { supergraph: supergraph::write(&schemas, &merged), hints: findings.hints })
    } else {
        Err(findings.errors)
    }
}

fn wrong_names(sorted: &[&Subgraph]) -> Vec<CompositionError> {
    let wrong = |message: String, help: &str| CompositionError {
        code: Code::InvalidSubgraphName,
        message,
        locations: Vec::new(),
        help: Some(help.to_owned()),
    };
    let mut errors = Vec::new();
    if sorted.is_empty() {
        errors.push(CompositionError {
            code: Code::NoQueries,
            ..wrong("there are no subgraphs to compose".to_owned(), "give at least one subgraph")
        });
    }
    for subgraph in sorted {
        if !is_name(&subgraph.name) {
            errors.push(wrong(
                format!("a subgraph is named {:?}", subgraph.name),
                "use letters, digits, `-` and `_`, a letter first",
            ));
        }
    }
    for pair in sorted.windows(2).filter(|pair| pair[0].name == pair[1].name) {
        errors.push(wrong(format!("two subgraphs are named {}", pair[0].name), "rename one"));
    }
    errors
}

fn is_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.chars().all(|char| char.is_ascii_alphanumeric() || char == '-' || char == '_')
}
