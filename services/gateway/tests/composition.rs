//! What composes, and what is said of what does not.

use gateway::{CompositionError, Subgraph, SupergraphError, compose};

const LINK: &str = r#"extend schema @link(url: "https://specs.apollo.dev/federation/v2.5", import: ["@key", "@shareable", "@external", "@requires"])"#;

fn subgraph(name: &str, types: &str) -> Subgraph {
    Subgraph {
        name: name.to_owned(),
        url: format!("http://{name}.test/graphql"),
        sdl: format!("{LINK}\n{types}"),
    }
}

#[test]
fn the_supergraph_is_the_same_whatever_the_order_of_its_parts() {
    let a = subgraph("a", "type Query { thing: Thing } type Thing @key(fields: \"id\") { id: ID! }");
    let b =
        subgraph("b", "type Mutation { make: Thing } type Thing @key(fields: \"id\") { id: ID! more: Int }");
    let one = compose(&[a.clone(), b.clone()]).unwrap();
    let other = compose(&[b, a]).unwrap();
    assert_eq!(one.sdl(), other.sdl());
    assert_eq!(one.hash(), other.hash());
    let graphs: Vec<(&str, &str)> =
        one.graphs().iter().map(|graph| (graph.name.as_str(), graph.url.as_str())).collect();
    assert_eq!(graphs, [("a", "http://a.test/graphql"), ("b", "http://b.test/graphql")]);
    // Root types say whose they are: without that, nothing can be planned.
    assert!(one.sdl().contains("type Mutation @join__type(graph: B)"), "{}", one.sdl());
}

#[test]
fn what_composition_gives_can_be_read_again() {
    let a = subgraph(
        "a",
        "type Query { thing(text: String = \"a \\\"b\\\"\"): String @deprecated(reason: \"no\") }",
    );
    let composed = compose(&[a]).unwrap();
    let read = gateway::Supergraph::parse(composed.sdl()).unwrap();
    assert_eq!(read.hash(), composed.hash());
}

#[test]
fn errors_name_the_subgraph() {
    assert_eq!(compose(&[]).unwrap_err(), CompositionError::NoSubgraphs);
    let fine = || subgraph("fine", "type Query { a: Int @shareable }");
    assert_eq!(compose(&[fine(), fine()]).unwrap_err(), CompositionError::NameTaken("fine".to_owned()));
    assert_eq!(
        compose(&[subgraph("no spaces", "type Query { a: Int }")]).unwrap_err(),
        CompositionError::Name("no spaces".to_owned())
    );
    let CompositionError::Syntax { subgraph: named, .. } =
        compose(&[fine(), subgraph("broken", "type Query {")]).unwrap_err()
    else {
        panic!("a syntax error");
    };
    assert_eq!(named, "broken");
    let CompositionError::Conflicts(conflicts) =
        compose(&[fine(), subgraph("other", "type Query { a: String @shareable }")]).unwrap_err()
    else {
        panic!("a conflict");
    };
    assert!(!conflicts.is_empty());
    assert!(
        conflicts.iter().any(|conflict| conflict.subgraphs.contains(&"other".to_owned())),
        "{conflicts:?}"
    );
    let kinds = compose(&[fine(), subgraph("kinds", "scalar Query")]).unwrap_err();
    assert_eq!(kinds, CompositionError::Supergraph(SupergraphError::DefinedTwice("Query".to_owned())));
    let nothing = compose(&[subgraph("nothing", "type Thing { a: Int }")]).unwrap_err();
    assert!(
        matches!(nothing, CompositionError::Conflicts(_) | CompositionError::Supergraph(_)),
        "{nothing:?}"
    );
}
