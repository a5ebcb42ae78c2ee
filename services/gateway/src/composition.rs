//! Subgraphs in, one supergraph out.

use composition::{CompositionError, Subgraph, render_errors};

use crate::supergraph::{Supergraph, SupergraphError};

/// Why subgraphs give no supergraph.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ComposeError {
    /// They do not compose.
    #[error("the subgraphs do not compose:\n{rendered}")]
    Composition {
        /// All that is wrong.
        errors: Vec<CompositionError>,
        /// The same for people, with the lines of the schemas.
        rendered: String,
    },
    /// What composition gave is no supergraph.
    #[error("composition gave a supergraph that can't be planned against")]
    Supergraph(#[source] SupergraphError),
}

/// Composes subgraphs into a supergraph. The order of the subgraphs makes no difference.
pub fn compose(subgraphs: &[Subgraph]) -> Result<Supergraph, ComposeError> {
    let composed = composition::compose(subgraphs).map_err(|errors| ComposeError::Composition {
        rendered: render_errors(&errors, subgraphs),
        errors,
    })?;
    Supergraph::parse(&composed.supergraph).map_err(ComposeError::Supergraph)
}
