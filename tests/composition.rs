//! The subgraphs compose, and the supergraph is the committed one.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use gateway::Subgraph;
use std::path::Path;

fn subgraphs() -> Vec<Subgraph> {
    let services = Path::new(env!("CARGO_MANIFEST_DIR")).join("../services");
    local::shop::all()
        .iter()
        .map(|micrograph| {
            let name = micrograph.name();
            let sdl = std::fs::read_to_string(services.join(name).join("schema.graphql")).unwrap();
            Subgraph { name: name.to_owned(), url: format!("in-process:{name}"), sdl }
        })
        .collect()
}

#[test]
fn the_supergraph_is_as_committed() {
    let supergraph = gateway::compose(&subgraphs()).unwrap_or_else(|error| panic!("{error}"));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("supergraph.graphql");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, supergraph.sdl()).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(committed, supergraph.sdl(), "review the change, then run the tests with UPDATE_GOLDEN=1");
}

#[test]
fn a_clash_between_subgraphs_is_told_with_its_subgraph() {
    let mut subgraphs = subgraphs();
    let pricing = subgraphs.iter_mut().find(|it| it.name == "pricing").unwrap();
    assert!(pricing.sdl.contains("forSale: Boolean!"), "the field of this test is gone from pricing");
    pricing.sdl.push_str("\nextend type Product { title: Int! }\n");
    let error = gateway::compose(&subgraphs).expect_err("a title that is a number and a text").to_string();
    assert!(error.contains("Product") && error.contains("title"), "{error}");
}
