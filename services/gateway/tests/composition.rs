//! What composes, and what is said of what does not.

mod support;

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

/// What composition adds for gateways is nothing for clients.
#[tokio::test]
async fn introspection_shows_no_machinery() {
    let sdl = r#"extend schema @link(url: "https://specs.apollo.dev/federation/v2.9", import: ["@key", "@tag", "@inaccessible", "@authenticated", "@requiresScopes", "@policy", "@cost", "@listSize"])

type Query {
  a: Int @tag(name: "x") @authenticated @cost(weight: 2)
  b: [Int] @requiresScopes(scopes: [["s"]]) @policy(policies: [["p"]]) @listSize(assumedSize: 3)
  c: Int @inaccessible
}
"#;
    let (gateway, _) =
        support::gateway_of(&[("only", sdl, serde_json::json!({}))], gateway::Config::default());
    let answer = support::ask(
        &gateway,
        "{ __schema { types { name } directives { name } } }",
        serde_json::Value::Null,
    )
    .await;
    let body = support::json_of(&answer);
    let names = |list: &str| -> Vec<String> {
        let all = body["data"]["__schema"][list].as_array().expect("a list");
        all.iter().map(|one| one["name"].as_str().expect("a name").to_owned()).collect()
    };
    let types: Vec<String> = names("types").into_iter().filter(|name| !name.starts_with("__")).collect();
    assert_eq!(types, ["Boolean", "Float", "ID", "Int", "Query", "String"]);
    let known = ["deprecated", "include", "oneOf", "skip", "specifiedBy"];
    assert!(
        names("directives").iter().all(|name| known.contains(&name.as_str())),
        "{:?}",
        names("directives")
    );
}
