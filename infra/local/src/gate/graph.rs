//! The graph: whether the micrographs' subgraphs make one, and whether it is the committed one.

use super::checks::problem;
use super::findings::Problem;
use super::report::{Ran, Report, counted};
use micrograph::{App, Environment, Micrograph};
use std::path::Path;

/// The composed graph, from the repository's root.
const SUPERGRAPH: &str = "tests/supergraph.graphql";

/// Composes the subgraphs as the code has them.
pub(super) fn check(root: &Path, micrographs: &[Micrograph], report: &mut Report) -> anyhow::Result<()> {
    let mut subgraphs = Vec::new();
    for micrograph in micrographs {
        let name = micrograph.name();
        let app = App::new(micrograph.clone(), Environment::nowhere());
        let Some(subgraph) = app.subgraph() else { continue };
        let file = format!("services/{name}/schema.graphql");
        let committed = std::fs::read_to_string(root.join(&file)).unwrap_or_default();
        if committed != subgraph.sdl {
            report.problems.push(Problem {
                why: "the schema that is published and reviewed is the committed one".to_owned(),
                advice: format!("run `UPDATE_SCHEMA=1 cargo test -p {name}`, and review the difference"),
                file,
                line: 1,
                ..problem(
                    "graph",
                    "schema-stale",
                    name,
                    "its schema.graphql is not what the code serves".to_owned(),
                )
            });
        }
        let url = format!("in-process:{name}");
        subgraphs.push(gateway::Subgraph { name: name.to_owned(), url, sdl: subgraph.sdl.clone() });
    }
    match gateway::compose(&subgraphs) {
        Err(error) => report.problems.push(Problem {
            why: "without a supergraph there is no gateway".to_owned(),
            advice: "let the subgraphs agree; each names what it shares in `services/<name>/src/graph.rs`"
                .to_owned(),
            ..problem("graph", "not-composed", "the supergraph", error.to_string())
        }),
        Ok(supergraph) => {
            let committed = std::fs::read_to_string(root.join(SUPERGRAPH)).unwrap_or_default();
            if committed != supergraph.sdl() {
                report.problems.push(Problem {
                    why: "what clients see is reviewed as a difference of this file".to_owned(),
                    advice: "run `UPDATE_GOLDEN=1 cargo test -p suite-tests --test composition`, and review the difference".to_owned(),
                    file: SUPERGRAPH.to_owned(),
                    line: 1,
                    ..problem("graph", "supergraph-stale", SUPERGRAPH, "it is not what the subgraphs compose to".to_owned())
                });
            }
        }
    }
    report
        .checks
        .push(Ran { name: "graph", looked_at: format!("{} composed", counted(subgraphs.len(), "subgraph")) });
    Ok(())
}
