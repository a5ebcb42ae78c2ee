//! Who is hit by what, by the operations that clients send.

use crate::{live, production, submission};
use registry::{Registry, Report, Severity};

const SHOP: &str = "
type Query { find(by: By, mode: Mode, first: Int = 10): [Hit!]! node: Node kind: Kind }
type Mutation { put(by: By!): Int }
interface Node { id: ID! }
type Book implements Node { id: ID! pages: Int! }
type Toy implements Node { id: ID! age: Int }
union Hit = Book | Toy
enum Mode { ALL SOME } enum Kind { OLD NEW }
input By { name: String mode: Mode tags: [String!] }
";

async fn shop(usage: &[(&str, &str)]) -> Registry {
    let registry = live(usage).await;
    registry.publish(&production(), &submission(&[("shop", SHOP)]), "setup").await.unwrap();
    registry
}

/// The clients that a change of the shop hits, by rule, where it is an error or a warning.
async fn hit(usage: &[(&str, &str)], from: &str, to: &str) -> (Vec<(String, Vec<String>)>, Report) {
    assert_eq!(SHOP.matches(from).count(), 1, "{from}");
    let changed = SHOP.replace(from, to);
    let report =
        shop(usage).await.check(&production(), &submission(&[("shop", changed.as_str())])).await.unwrap();
    let told =
        report.findings.iter().filter(|it| it.severity > Severity::Info && it.topic != registry::Topic::Lint);
    let hit = told.map(|it| {
        let mut clients: Vec<String> = it.hit.iter().map(|hit| hit.client.name.clone()).collect();
        clients.sort_unstable();
        (it.rule.clone(), clients)
    });
    (hit.collect(), report)
}

const CLIENTS: &[(&str, &str)] = &[
    ("books", "{ find(mode: SOME) { ... on Book { pages } } }"),
    ("toys", "{ find(by: {name: \"x\", mode: ALL}) { ... on Toy { age } } }"),
    ("variables", "query($by: By) { find(by: $by, first: 3) { __typename } }"),
    ("writer", "mutation($name: String) { put(by: {name: $name}) }"),
    ("node", "{ node { id } kind }"),
];

#[tokio::test]
async fn each_change_hits_those_who_meet_it_and_nobody_else() {
    let cases: &[(&str, &str, &str, &[&str])] = &[
        ("pages: Int!", "", "field-removed", &["books"]),
        ("pages: Int!", "pages: Int", "field-became-nullable", &["books"]),
        ("age: Int", "age: String", "field-type-changed", &["toys"]),
        ("mode: Mode, first", "first", "argument-removed", &["books"]),
        ("first: Int = 10", "first: Int! = 10", "argument-became-non-null", &["variables"]),
        ("first: Int = 10", "first: Int = 20", "argument-default-changed", &["books", "toys", "variables"]),
        (
            "first: Int = 10",
            "must: Int!, first: Int = 10",
            "required-argument-added",
            &["books", "toys", "variables"],
        ),
        ("union Hit = Book | Toy", "union Hit = Book", "union-member-removed", &["toys"]),
        ("enum Mode { ALL SOME }", "enum Mode { ALL }", "enum-value-removed", &["books", "variables"]),
        ("enum Kind { OLD NEW }", "enum Kind { OLD }", "answered-enum-value-removed", &["node"]),
        ("enum Kind { OLD NEW }", "enum Kind { OLD NEW X }", "enum-value-added", &["node"]),
        ("name: String mode", "mode", "input-field-removed", &["toys", "variables", "writer"]),
        ("tags: [String!]", "", "input-field-removed", &["variables"]),
        (
            "tags: [String!]",
            "tags: [String!] n: Int!",
            "required-input-field-added",
            &["toys", "variables", "writer"],
        ),
        ("type Toy implements Node", "type Toy", "implementation-removed", &["node"]),
        ("type Mutation { put(by: By!): Int }", "", "root-removed", &["writer"]),
    ];
    for (from, to, rule, clients) in cases {
        let (told, report) = hit(CLIENTS, from, to).await;
        let clients: Vec<String> = clients.iter().map(|it| (*it).to_owned()).collect();
        assert!(told.contains(&((*rule).to_owned(), clients)), "{from} -> {to}: {told:?}");
        assert!(!report.findings.iter().any(|it| it.rule == "operation-refused"), "{from} -> {to}");
    }
}

#[tokio::test]
async fn what_only_a_variable_may_hold_says_so() {
    let (_, report) = hit(CLIENTS, "tags: [String!]", "").await;
    let finding = report.findings.iter().find(|it| it.rule == "input-field-removed").unwrap();
    assert!(finding.hit[0].by_variable, "{finding:?}");
    let (_, report) = hit(CLIENTS, "name: String mode", "mode").await;
    let finding = report.findings.iter().find(|it| it.rule == "input-field-removed").unwrap();
    let certain: Vec<bool> = finding.hit.iter().map(|hit| hit.by_variable).collect();
    assert_eq!(certain.iter().filter(|it| **it).count(), 1, "{finding:?}");
}
