//! What composes, and what is said of what does not.

use gateway::{ComposeError, CompositionError, Subgraph, compose};

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
    assert!(one.sdl().contains("type Mutation\n  @join__type(graph: B)"), "{}", one.sdl());
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

fn errors(subgraphs: &[Subgraph]) -> Vec<CompositionError> {
    match compose(subgraphs) {
        Err(ComposeError::Composition { errors, rendered }) => {
            assert!(errors.iter().all(|error| rendered.contains(error.code.as_str())), "{rendered}");
            errors
        }
        other => panic!("an error of composition, not {other:?}"),
    }
}

#[test]
fn errors_name_the_subgraph() {
    assert!(!errors(&[]).is_empty());
    let fine = || subgraph("fine", "type Query { a: Int @shareable }");
    assert!(errors(&[fine(), fine()])[0].message.contains("fine"));
    assert!(errors(&[subgraph("no spaces", "type Query { a: Int }")])[0].message.contains("no spaces"));
    let syntax = errors(&[fine(), subgraph("broken", "type Query {")]);
    assert_eq!(syntax[0].locations[0].subgraph, "broken");
    let clash = errors(&[fine(), subgraph("other", "type Query { a: String @shareable }")]);
    assert!(clash[0].locations.iter().any(|at| at.subgraph == "other"), "{clash:?}");
}
