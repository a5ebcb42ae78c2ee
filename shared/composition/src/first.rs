//! The one place that knows `graphql-composition`.

mod repair;

use std::panic::{AssertUnwindSafe, catch_unwind};

use graphql_composition::Subgraphs;
use graphql_tools::parser::schema::parse_schema;

use crate::{Code, Composed, CompositionError, Location, Subgraph};

pub(crate) fn compose(subgraphs: &[&Subgraph]) -> Result<Composed, Vec<CompositionError>> {
    let mut ingested = Subgraphs::default();
    let mut errors = Vec::new();
    for subgraph in subgraphs {
        let url = (!subgraph.url.is_empty()).then_some(subgraph.url.as_str());
        if let Err(error) = ingested.ingest_str(&subgraph.sdl, &subgraph.name, url) {
            errors.push(CompositionError {
                code: Code::InvalidGraphql,
                message: format!("the schema of subgraph {} does not parse: {error}", subgraph.name),
                locations: vec![Location { subgraph: subgraph.name.clone(), line: 1, column: 1 }],
                help: None,
            });
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let broken = |message: String| {
        vec![CompositionError { code: Code::InvalidGraphql, message, locations: Vec::new(), help: None }]
    };
    let rendered = catch_unwind(AssertUnwindSafe(|| {
        graphql_composition::compose(&mut ingested)
            .into_result()
            .map(|graph| graphql_composition::render_federated_sdl(&graph).map_err(|error| error.to_string()))
    }))
    .map_err(|_| broken("composition broke on these subgraphs".to_owned()))?;
    let sdl = match rendered {
        Ok(Ok(sdl)) => sdl,
        Ok(Err(message)) => return Err(broken(message)),
        Err(diagnostics) => {
            return Err(diagnostics
                .iter_errors()
                .map(|message| CompositionError {
                    code: Code::FieldTypeMismatch,
                    message: message.to_owned(),
                    locations: named_in(message, subgraphs),
                    help: None,
                })
                .collect());
        }
    };
    let document = parse_schema::<String>(&sdl)
        .map_err(|error| broken(format!("composition's result does not parse: {error}")))?
        .into_static();
    Ok(Composed { supergraph: repair::repaired(document).to_string(), hints: Vec::new() })
}

/// The subgraphs whose names stand in a message as words of their own.
fn named_in(message: &str, subgraphs: &[&Subgraph]) -> Vec<Location> {
    let words: Vec<&str> =
        message.split(|char: char| !(char.is_ascii_alphanumeric() || char == '-' || char == '_')).collect();
    subgraphs
        .iter()
        .filter(|subgraph| words.contains(&subgraph.name.as_str()))
        .map(|subgraph| Location { subgraph: subgraph.name.clone(), line: 1, column: 1 })
        .collect()
}
