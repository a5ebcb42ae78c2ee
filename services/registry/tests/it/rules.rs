//! Every rule with a change that it names and a near twin that it doesn't; and operations in use, held against the
//! rules and against validation.

use registry::changes::{Category, Rule, changes};
use registry::schema::Schema;
use std::collections::BTreeSet;

/// A rule, where it finds something, the schema before, after, and a near twin of after.
type Case = (&'static str, &'static str, &'static str, &'static str, &'static str);

const CASES: &[Case] = &[
    (
        "type-removed",
        "T",
        "type Query { a: Int } type T { b: Int }",
        "type Query { a: Int }",
        "type Query { a: Int } type T { b: Int c: Int }",
    ),
    (
        "type-kind-changed",
        "T",
        "type Query { a: T } type T { b: Int }",
        "type Query { a: T } interface T { b: Int }",
        "type Query { a: T } type T { b: Int! }",
    ),
    (
        "type-added",
        "T",
        "type Query { a: Int }",
        "type Query { a: Int } type T { b: Int }",
        "type Query { a: Int b: Int }",
    ),
    (
        "field-removed",
        "Query.b",
        "type Query { a: Int b: Int }",
        "type Query { a: Int }",
        "type Query { a: Int b: Int @deprecated(reason: \"Use a.\") }",
    ),
    (
        "field-added",
        "Query.b",
        "type Query { a: Int }",
        "type Query { a: Int b: Int }",
        "type Query { a(b: Int): Int }",
    ),
    (
        "field-type-changed",
        "Query.a",
        "type Query { a: [Int] }",
        "type Query { a: Int }",
        "type Query { a: [Int!]! }",
    ),
    (
        "field-became-nullable",
        "Query.a",
        "type Query { a: [Int!]! }",
        "type Query { a: [Int]! }",
        "type Query { a: [Int!]! b: Int }",
    ),
    (
        "field-became-non-null",
        "Query.a",
        "type Query { a: [Int] }",
        "type Query { a: [Int!] }",
        "type Query { a: [Int] }",
    ),
    (
        "argument-removed",
        "Query.a(x:)",
        "type Query { a(x: Int): Int }",
        "type Query { a: Int }",
        "type Query { a(x: Int, y: Int): Int }",
    ),
    (
        "required-argument-added",
        "Query.a(x:)",
        "type Query { a: Int }",
        "type Query { a(x: Int!): Int }",
        "type Query { a(x: Int! = 1): Int }",
    ),
    (
        "argument-added",
        "Query.a(x:)",
        "type Query { a: Int }",
        "type Query { a(x: Int! = 1): Int }",
        "type Query { a: Int! }",
    ),
    (
        "argument-type-changed",
        "Query.a(x:)",
        "type Query { a(x: Int): Int }",
        "type Query { a(x: ID): Int }",
        "type Query { a(x: Int = 1): Int }",
    ),
    (
        "argument-became-non-null",
        "Query.a(x:)",
        "type Query { a(x: [Int]): Int }",
        "type Query { a(x: [Int!]): Int }",
        "type Query { a(x: [Int]): Int! }",
    ),
    (
        "argument-became-nullable",
        "Query.a(x:)",
        "type Query { a(x: Int!): Int }",
        "type Query { a(x: Int): Int }",
        "type Query { a(x: Int! = 2): Int }",
    ),
    (
        "argument-default-changed",
        "Query.a(x:)",
        "type Query { a(x: Int = 1): Int }",
        "type Query { a(x: Int = 2): Int }",
        "type Query { a(x: Int = 1): Int! }",
    ),
    (
        "argument-default-removed",
        "Query.a(x:)",
        "type Query { a(x: Int! = 1): Int }",
        "type Query { a(x: Int!): Int }",
        "type Query { a(x: Int): Int }",
    ),
    (
        "input-field-removed",
        "I.y",
        "type Query { a(i: I): Int } input I { x: Int y: Int }",
        "type Query { a(i: I): Int } input I { x: Int }",
        "type Query { a(i: I): Int } input I { x: Int y: Int z: Int }",
    ),
    (
        "required-input-field-added",
        "I.y",
        "type Query { a(i: I): Int } input I { x: Int }",
        "type Query { a(i: I): Int } input I { x: Int y: Int! }",
        "type Query { a(i: I): Int } input I { x: Int y: Int! = 0 }",
    ),
    (
        "input-field-added",
        "I.y",
        "type Query { a(i: I): Int } input I { x: Int }",
        "type Query { a(i: I): Int } input I { x: Int y: Int }",
        "type Query { a(i: I): Int } input I { x: Int @deprecated }",
    ),
    (
        "input-field-type-changed",
        "I.x",
        "type Query { a(i: I): Int } input I { x: Int }",
        "type Query { a(i: I): Int } input I { x: [Int] }",
        "type Query { a(i: I): Int } input I { x: Int = 3 }",
    ),
    (
        "input-field-became-non-null",
        "I.x",
        "type Query { a(i: I): Int } input I { x: Int }",
        "type Query { a(i: I): Int } input I { x: Int! }",
        "type Query { a(i: I): Int! } input I { x: Int }",
    ),
    (
        "input-field-became-nullable",
        "I.x",
        "type Query { a(i: I): Int } input I { x: Int! }",
        "type Query { a(i: I): Int } input I { x: Int }",
        "type Query { a(i: I): Int } input I { x: Int! }",
    ),
    (
        "input-field-default-changed",
        "I.x",
        "type Query { a(i: I): Int } input I { x: Int = 1 }",
        "type Query { a(i: I): Int } input I { x: Int }",
        "type Query { a(i: I!): Int } input I { x: Int = 1 }",
    ),
    (
        "input-field-default-removed",
        "I.x",
        "type Query { a(i: I): Int } input I { x: Int! = 1 }",
        "type Query { a(i: I): Int } input I { x: Int! }",
        "type Query { a(i: I): Int } input I { x: Int = 1 }",
    ),
    (
        "input-became-one-of",
        "I",
        "type Query { a(i: I): Int } input I { x: Int y: Int }",
        "type Query { a(i: I): Int } input I @oneOf { x: Int y: Int }",
        "type Query { a(i: I): Int } \"One.\" input I { x: Int y: Int }",
    ),
    (
        "input-ceased-to-be-one-of",
        "I",
        "type Query { a(i: I): Int } input I @oneOf { x: Int y: Int }",
        "type Query { a(i: I): Int } input I { x: Int y: Int }",
        "type Query { a(i: I): Int } input I @oneOf { x: Int y: Int z: Int }",
    ),
    (
        "enum-value-removed",
        "E.B",
        "type Query { a(e: E): Int } enum E { A B }",
        "type Query { a(e: E): Int } enum E { A }",
        "type Query { a(e: E): Int } enum E { A B @deprecated(reason: \"Use A.\") }",
    ),
    (
        "answered-enum-value-removed",
        "E.B",
        "type Query { a: E } enum E { A B }",
        "type Query { a: E } enum E { A }",
        "type Query { a: E } enum E { B A }",
    ),
    (
        "enum-value-added",
        "E.C",
        "type Query { a: E b(e: E): Int } enum E { A B }",
        "type Query { a: E b(e: E): Int } enum E { A B C }",
        "type Query { a: E b(e: E): Int } enum E { B A }",
    ),
    (
        "sent-enum-value-added",
        "E.C",
        "type Query { a(e: E): Int } enum E { A B }",
        "type Query { a(e: E): Int } enum E { A B C }",
        "type Query { a(e: E = A): Int } enum E { A B }",
    ),
    (
        "union-member-removed",
        "U",
        "type Query { u: U } union U = A | B type A { a: Int } type B { b: Int }",
        "type Query { u: U b: B } union U = A type A { a: Int } type B { b: Int }",
        "type Query { u: U } union U = B | A type A { a: Int } type B { b: Int }",
    ),
    (
        "union-member-added",
        "U",
        "type Query { u: U } union U = A type A { a: Int } type B { b: Int }",
        "type Query { u: U } union U = A | B type A { a: Int } type B { b: Int }",
        "type Query { u: U b: B } union U = A type A { a: Int } type B { b: Int }",
    ),
    (
        "implementation-removed",
        "A",
        "type Query { n: N } interface N { a: Int } type A implements N { a: Int }",
        "type Query { n: N } interface N { a: Int } type A { a: Int }",
        "type Query { n: N } interface N { a: Int } type A implements N { a: Int b: Int }",
    ),
    (
        "implementation-added",
        "A",
        "type Query { n: N } interface N { a: Int } type A { a: Int }",
        "type Query { n: N } interface N { a: Int } type A implements N { a: Int }",
        "type Query { n: N m: A } interface N { a: Int } type A { a: Int }",
    ),
    (
        "directive-removed",
        "@d",
        "type Query { a: Int } directive @d on FIELD",
        "type Query { a: Int }",
        "type Query { a: Int } directive @d on FIELD | QUERY",
    ),
    (
        "directive-added",
        "@d",
        "type Query { a: Int }",
        "type Query { a: Int } directive @d on FIELD",
        "type Query { a: Int } directive @d on OBJECT",
    ),
    (
        "directive-location-removed",
        "@d",
        "type Query { a: Int } directive @d on FIELD | QUERY",
        "type Query { a: Int } directive @d on FIELD",
        "type Query { a: Int } directive @d on QUERY | FIELD | OBJECT",
    ),
    (
        "directive-location-added",
        "@d",
        "type Query { a: Int } directive @d on FIELD",
        "type Query { a: Int } directive @d on FIELD | QUERY",
        "type Query { a: Int } directive @d on FIELD | OBJECT",
    ),
    (
        "directive-no-longer-repeatable",
        "@d",
        "type Query { a: Int } directive @d repeatable on FIELD",
        "type Query { a: Int } directive @d on FIELD",
        "type Query { a: Int } directive @d(x: Int) repeatable on FIELD",
    ),
    (
        "directive-became-repeatable",
        "@d",
        "type Query { a: Int } directive @d on FIELD",
        "type Query { a: Int } directive @d repeatable on FIELD",
        "type Query { a: Int } directive @d(x: Int) on FIELD",
    ),
    (
        "directive-argument-removed",
        "@d(x:)",
        "type Query { a: Int } directive @d(x: Int) on FIELD",
        "type Query { a: Int } directive @d on FIELD",
        "type Query { a: Int } directive @d(x: Int, y: Int) on FIELD",
    ),
    (
        "required-directive-argument-added",
        "@d(x:)",
        "type Query { a: Int } directive @d on FIELD",
        "type Query { a: Int } directive @d(x: Int!) on FIELD",
        "type Query { a: Int } directive @d(x: Int! = 1) on FIELD",
    ),
    (
        "directive-argument-added",
        "@d(x:)",
        "type Query { a: Int } directive @d on FIELD",
        "type Query { a: Int } directive @d(x: Int) on FIELD",
        "type Query { a: Int } directive @d(x: Int!) on FIELD",
    ),
    (
        "directive-argument-type-changed",
        "@d(x:)",
        "type Query { a: Int } directive @d(x: Int) on FIELD",
        "type Query { a: Int } directive @d(x: String) on FIELD",
        "type Query { a: Int } directive @d(x: Int = 1) on FIELD",
    ),
    (
        "directive-argument-became-non-null",
        "@d(x:)",
        "type Query { a: Int } directive @d(x: Int) on FIELD",
        "type Query { a: Int } directive @d(x: Int!) on FIELD",
        "type Query { a: Int! } directive @d(x: Int) on FIELD",
    ),
    (
        "directive-argument-became-nullable",
        "@d(x:)",
        "type Query { a: Int } directive @d(x: Int!) on FIELD",
        "type Query { a: Int } directive @d(x: Int) on FIELD",
        "type Query { a: Int } directive @d(x: Int! = 1) on FIELD",
    ),
    (
        "directive-argument-default-changed",
        "@d(x:)",
        "type Query { a: Int } directive @d(x: Int = 1) on FIELD",
        "type Query { a: Int } directive @d(x: Int = 2) on FIELD",
        "type Query { a: Int! } directive @d(x: Int = 1) on FIELD",
    ),
    (
        "directive-argument-default-removed",
        "@d(x:)",
        "type Query { a: Int } directive @d(x: Int! = 1) on FIELD",
        "type Query { a: Int } directive @d(x: Int!) on FIELD",
        "type Query { a: Int } directive @d(x: Int = 1) on FIELD",
    ),
    (
        "root-removed",
        "Mutation",
        "type Query { a: Int } type Mutation { m: Int }",
        "type Query { a: Int }",
        "type Query { a: Int } type Mutation { m: Int n: Int }",
    ),
    (
        "root-added",
        "Mutation",
        "type Query { a: Int }",
        "type Query { a: Int } type Mutation { m: Int }",
        "type Query { a: Int } type Mutations { m: Int }",
    ),
    (
        "root-changed",
        "Query",
        "type Query { a: Int } type Q { a: Int }",
        "schema { query: Q } type Query { a: Int } type Q { a: Int }",
        "schema { query: Query } type Query { a: Int } type Q { a: Int }",
    ),
    (
        "scalar-specification-changed",
        "D",
        "type Query { a: D } scalar D @specifiedBy(url: \"https://a.example\")",
        "type Query { a: D } scalar D @specifiedBy(url: \"https://b.example\")",
        "type Query { a: D! } scalar D @specifiedBy(url: \"https://a.example\")",
    ),
    (
        "deprecated",
        "Query.b",
        "type Query { a: Int b: Int }",
        "type Query { a: Int b: Int @deprecated(reason: \"Use a.\") }",
        "type Query { a: Int b: Int! }",
    ),
    (
        "deprecation-removed",
        "Query.b",
        "type Query { a: Int b: Int @deprecated(reason: \"Use a.\") }",
        "type Query { a: Int b: Int }",
        "type Query { a: Int b: Int @deprecated(reason: \"Use c.\") }",
    ),
    (
        "description-changed",
        "Query.a",
        "type Query { \"In kilograms.\" a: Int }",
        "type Query { \"In pounds.\" a: Int }",
        "type Query { \"In kilograms.\" a: Int! }",
    ),
];

fn found(before: &str, after: &str) -> Vec<(Rule, String)> {
    let api = |sdl: &str| Schema::parse(sdl).unwrap().into_api();
    changes(&api(before), &api(after)).into_iter().map(|it| (it.rule, it.path)).collect()
}

#[test]
fn every_rule_finds_its_change_and_leaves_its_twin() {
    let mut untried: BTreeSet<&str> = Rule::ALL.iter().map(|rule| rule.id()).collect();
    for (id, path, before, after, twin) in CASES {
        let rule = Rule::ALL.iter().find(|rule| rule.id() == *id).unwrap_or_else(|| panic!("no rule {id}"));
        untried.remove(id);
        let found_after = found(before, after);
        assert!(found_after.contains(&(*rule, (*path).to_owned())), "{id}: {found_after:?}");
        let found_twin = found(before, twin);
        assert!(!found_twin.iter().any(|(it, _)| it == rule), "{id}: {found_twin:?}");
        assert_eq!(found(before, before), [], "{id}");
        // A change is told once: what else it is said to be isn't breaking too.
        if rule.category() == Category::Breaking {
            let breaking = found_after.iter().filter(|(it, _)| it.category() == Category::Breaking).count();
            assert_eq!(breaking, 1, "{id}: {found_after:?}");
        }
    }
    assert!(untried.is_empty(), "no case of {untried:?}");
}

#[test]
fn a_breaking_change_says_what_to_do_and_a_rule_has_one_id() {
    let mut ids = BTreeSet::new();
    for rule in Rule::ALL {
        assert!(ids.insert(rule.id()), "{} is there twice", rule.id());
        assert!(rule.id().chars().all(|it| it.is_ascii_lowercase() || it == '-'), "{}", rule.id());
        assert!(rule.help().ends_with('.') && !rule.meaning().trim().is_empty(), "{rule:?}");
        assert!(rule.category() == Category::Safe || rule.help() != "Nothing to do.", "{rule:?}");
    }
}

#[test]
fn what_becomes_inaccessible_is_gone_for_clients_and_what_always_was_is_not_missed() {
    let before = "type Query { a: Int b: Int @inaccessible }";
    let hidden = found(before, "type Query { a: Int @inaccessible c: Int b: Int @inaccessible }");
    assert!(hidden.contains(&(Rule::FieldRemoved, "Query.a".to_owned())), "{hidden:?}");
    assert_eq!(found(before, "type Query { a: Int }"), []);
    assert_eq!(found(before, "type Query { a: Int b: Int }"), [(Rule::FieldAdded, "Query.b".to_owned())]);
}
