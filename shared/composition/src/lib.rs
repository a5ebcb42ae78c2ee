#![doc = include_str!("../README.md")]

mod error;
mod first;
mod render;

pub use error::{Code, CompositionError, Hint, HintCode, Location};
pub use render::{render_errors, render_hints};

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
pub fn compose(subgraphs: &[Subgraph]) -> Result<Composed, Vec<CompositionError>> {
    let mut sorted: Vec<&Subgraph> = subgraphs.iter().collect();
    sorted.sort_by(|a, b| a.name.cmp(&b.name));
    let mut errors = Vec::new();
    if sorted.is_empty() {
        errors.push(name_error("there are no subgraphs to compose".to_owned(), "give at least one subgraph"));
    }
    for subgraph in &sorted {
        if !is_name(&subgraph.name) {
            errors.push(name_error(
                format!("a subgraph is named {:?}", subgraph.name),
                "use letters, digits, `-` and `_`, a letter first",
            ));
        }
    }
    for pair in sorted.windows(2).filter(|pair| pair[0].name == pair[1].name) {
        errors.push(name_error(format!("two subgraphs are named {}", pair[0].name), "rename one"));
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    first::compose(&sorted)
}

fn name_error(message: String, help: &str) -> CompositionError {
    CompositionError {
        code: Code::InvalidSubgraphName,
        message,
        locations: Vec::new(),
        help: Some(help.to_owned()),
    }
}

fn is_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.chars().all(|char| char.is_ascii_alphanumeric() || char == '-' || char == '_')
}
