//! Introspection shows the clients' schema and nothing of federation.

mod support;

use gateway::Config;
use serde_json::{Value, json};

const SDL: &str = r#"extend schema @link(url: "https://specs.apollo.dev/federation/v2.5", import: ["@key", "@tag"])

"The way in."
type Query {
  "All of them."
  things(first: Int = 10, filter: Filter, old: Int @deprecated(reason: "use first")): [Thing!]!
  gone: String @deprecated
}

type Mutation {
  make(name: String!): Thing
}

interface Named {
  name: String!
}

type Thing implements Named @key(fields: "id") {
  id: ID!
  name: String!
  colour: Colour
  any: Any
}

union Either = Thing | Other

type Other {
  either: Either
}

enum Colour {
  RED
  OLD @deprecated(reason: "faded")
}

input Filter {
  colour: Colour = RED
  names: [String!]
}

scalar Any @specifiedBy(url: "https://example.test/any")
"#;

async fn introspect(query: &str) -> Value {
    let (gateway, log) =
        support::gateway_of(&[("main", SDL, json!({ "Query": { "gone": "x" } }))], Config::default());
    let answer =
        support::json_of(&support::ask(&gateway, query, json!({ "name": "Thing", "all": true })).await);
    if !query.contains("gone\n") {
        assert!(log.lock().expect("the log").is_empty(), "introspection asks no subgraph");
    }
    answer
}

#[tokio::test]
async fn types_are_shown_with_all_that_they_have() {
    let answer = introspect(
        "query ($name: String!, $all: Boolean) {
          thing: __type(name: $name) { __typename kind name interfaces { name } fields { name type { kind name ofType { kind name } } } }
          query: __type(name: \"Query\") {
            description
            fields(includeDeprecated: $all) {
              name description isDeprecated deprecationReason
              args(includeDeprecated: true) { name defaultValue isDeprecated type { kind name } }
            }
          }
          colour: __type(name: \"Colour\") { enumValues { name } all: enumValues(includeDeprecated: true) { name deprecationReason } }
          filter: __type(name: \"Filter\") { inputFields { name defaultValue type { kind ofType { kind ofType { name } } } } isOneOf }
          either: __type(name: \"Either\") { kind possibleTypes { name } fields { name } }
          named: __type(name: \"Named\") { kind possibleTypes { name } }
          any: __type(name: \"Any\") { kind specifiedByURL }
          nothing: __type(name: \"Nothing\") { name }
        }",
    )
    .await;
    insta::assert_json_snapshot!(answer);
}

#[tokio::test]
async fn the_schema_shows_roots_and_directives_but_not_federation() {
    let answer = introspect(
        "{ __schema { queryType { name } mutationType { name } subscriptionType { name } types { name }
           directives { name isRepeatable locations args { name type { kind ofType { name } } } } } }",
    )
    .await;
    let text = answer.to_string();
    for internal in ["join__", "link__", "_Any", "_Entity", "_Service", "inaccessible"] {
        assert!(!text.contains(internal), "{internal} is shown");
    }
    insta::assert_json_snapshot!(answer);
}

#[tokio::test]
async fn introspection_stands_beside_data() {
    let answer = introspect("{ gone\n __type(name: \"Other\") { name } __typename }").await;
    assert_eq!(
        answer,
        json!({ "data": { "gone": "x", "__type": { "name": "Other" }, "__typename": "Query" } })
    );
}
