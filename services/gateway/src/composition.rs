//! Subgraphs in, one supergraph out. The one place that knows `graphql-composition`.

mod repair;

use std::panic::{AssertUnwindSafe, catch_unwind};

use graphql_composition::Subgraphs;
use graphql_tools::parser::schema::parse_schema;

use crate::supergraph::{Supergraph, SupergraphError};

/// A service's part of the graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subgraph {
    /// Its name, unique: letters, digits, `-` and `_`.
    pub name: String,
    /// Where it answers; empty if it is called by name.
    pub url: String,
    /// Its schema with federation directives, as `_service { sdl }` gives it.
    pub sdl: String,
}

/// Why subgraphs do not compose.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompositionError {
    /// There is nothing to compose.
    #[error("there are no subgraphs to compose")]
    NoSubgraphs,
    /// A subgraph's name can't be used.
    #[error("a subgraph is named {0:?}: use letters, digits, `-` and `_`, starting with a letter")]
    Name(String),
    /// Two subgraphs have one name.
    #[error("two subgraphs are named {0}: rename one")]
    NameTaken(String),
    /// A subgraph's SDL does not parse.
    #[error("the schema of subgraph {subgraph} does not parse: {message}")]
    Syntax {
        /// The subgraph.
        subgraph: String,
        /// What the parser says.
        message: String,
    },
    /// The subgraphs contradict each other.
    #[error("the subgraphs do not compose: {}", list(.0))]
    Conflicts(Vec<Conflict>),
    /// Composition broke.
    #[error("composition broke on these subgraphs ({0}): compose them with another tool and load the result")]
    Broken(String),
    /// What composition gave is no supergraph.
    #[error("composition gave a supergraph that can't be planned against")]
    Supergraph(#[source] SupergraphError),
}

/// One contradiction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The subgraphs that it names; empty if it names none.
    pub subgraphs: Vec<String>,
    /// What contradicts what.
    pub message: String,
}

impl std::fmt::Display for Conflict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

fn list(conflicts: &[Conflict]) -> String {
    conflicts.iter().map(|conflict| conflict.message.as_str()).collect::<Vec<_>>().join("; ")
}

/// Composes subgraphs into a supergraph. The order of the subgraphs makes no difference.
pub fn compose(subgraphs: &[Subgraph]) -> Result<Supergraph, CompositionError> {
    if subgraphs.is_empty() {
        return Err(CompositionError::NoSubgraphs);
    }
    let mut sorted: Vec<&Subgraph> = subgraphs.iter().collect();
    sorted.sort_by(|a, b| a.name.cmp(&b.name));
    for subgraph in &sorted {
        if !is_name(&subgraph.name) {
            return Err(CompositionError::Name(subgraph.name.clone()));
        }
    }
    if let Some(pair) = sorted.windows(2).find(|pair| pair[0].name == pair[1].name) {
        return Err(CompositionError::NameTaken(pair[0].name.clone()));
    }
    let mut ingested = Subgraphs::default();
    for subgraph in &sorted {
        let url = (!subgraph.url.is_empty()).then_some(subgraph.url.as_str());
        ingested.ingest_str(&subgraph.sdl, &subgraph.name, url).map_err(|error| {
            CompositionError::Syntax { subgraph: subgraph.name.clone(), message: error.to_string() }
        })?;
    }
    let rendered = catch_unwind(AssertUnwindSafe(|| {
        graphql_composition::compose(&mut ingested)
            .into_result()
            .map(|graph| graphql_composition::render_federated_sdl(&graph).map_err(|error| error.to_string()))
    }))
    .map_err(|_| CompositionError::Broken("it panicked".to_owned()))?;
    let sdl = match rendered {
        Ok(Ok(sdl)) => sdl,
        Ok(Err(message)) => return Err(CompositionError::Broken(message)),
        Err(diagnostics) => {
            let conflicts = diagnostics
                .iter_errors()
                .map(|message| Conflict {
                    subgraphs: named_in(message, &sorted),
                    message: message.to_owned(),
                })
                .collect();
            return Err(CompositionError::Conflicts(conflicts));
        }
    };
    let document = parse_schema::<String>(&sdl)
        .map_err(|error| CompositionError::Broken(format!("its result does not parse: {error}")))?
        .into_static();
    let document = repair::repaired(document, &sorted);
    let sdl = document.to_string();
    Supergraph::from_document(document, sdl).map_err(CompositionError::Supergraph)
}

fn is_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.chars().all(|char| char.is_ascii_alphanumeric() || char == '-' || char == '_')
}

/// The subgraphs whose names stand in a message as words of their own.
fn named_in(message: &str, subgraphs: &[&Subgraph]) -> Vec<String> {
    let words: Vec<&str> =
        message.split(|char: char| !(char.is_ascii_alphanumeric() || char == '-' || char == '_')).collect();
    subgraphs
        .iter()
        .filter(|subgraph| words.contains(&subgraph.name.as_str()))
        .map(|subgraph| subgraph.name.clone())
        .collect()
}
