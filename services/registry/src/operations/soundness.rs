//! An operation that a change makes wrong is one that a breaking change touches.

use super::{Use, Validator, uses};
use crate::changes::{Category, changes};
use crate::schema::Schema;
use proptest::prelude::*;
use std::collections::BTreeSet;

const SCHEMA: &str = "
directive @live(of: Mode, n: Int! = 1) repeatable on FIELD | QUERY | INLINE_FRAGMENT
type Query { product(sku: ID!, by: By, modes: [Mode!]): Product node(id: ID): Node search(n: Int! = 3, e: Mode = PLAIN): [Hit!]! pick(p: Pick): Int shop: Shop }
type Mutation { put(by: By!, m: Mode): Product }
interface Node { id: ID! name: String }
interface Named implements Node { id: ID! name: String }
type Product implements Node & Named { id: ID! name: String title(mode: Mode = PLAIN, max: Int): String kind: Kind! shop: Shop }
type Shop implements Node { id: ID! name: String city: String! }
type Lost { why: String }
union Hit = Product | Shop | Lost
enum Mode { PLAIN LOUD QUIET }
enum Kind { CARD GIFT }
input By { mode: Mode deep: By name: String! = \"x\" ids: [ID!] n: Int }
input Pick { a: Int b: String }
";

/// Parts of the schema, and what may come of them.
const EDITS: &[(&str, &str)] = &[
    ("(of: Mode, n: Int! = 1)", "(of: Mode, n: Int!)"),
    ("(of: Mode, n: Int! = 1)", "(of: Mode, n: Int! = 1, must: Int!)"),
    ("(of: Mode, n: Int! = 1)", "(n: Int! = 1)"),
    (" repeatable", ""),
    ("FIELD | QUERY | INLINE_FRAGMENT", "FIELD"),
    ("product(sku: ID!, by: By, modes: [Mode!]): Product", ""),
    ("product(sku: ID!, by: By,", "product(sku: ID!, by: By!,"),
    ("product(sku: ID!, by: By,", "product(sku: ID!, by: By, more: Int!,"),
    ("product(sku: ID!, by: By,", "product(sku: ID!,"),
    ("modes: [Mode!]", "modes: [Mode]"),
    ("modes: [Mode!]", "modes: Mode"),
    ("modes: [Mode!]", "modes: [Mode!]!"),
    ("node(id: ID): Node", "node(id: ID): Product"),
    ("node(id: ID)", "node(id: ID!)"),
    ("node(id: ID)", "node(id: Int)"),
    ("n: Int! = 3", "n: Int!"),
    ("n: Int! = 3", "n: Int = 3"),
    ("[Hit!]!", "[Hit!]"),
    ("[Hit!]!", "[Node!]!"),
    ("[Hit!]!", "Hit"),
    ("= 3, e: Mode = PLAIN", "= 3, e: Mode! = LOUD"),
    ("pick(p: Pick): Int", "pick(p: Pick): Shop"),
    ("type Mutation { put(by: By!, m: Mode): Product }", ""),
    ("put(by: By!, m: Mode)", "put(by: By!, m: Mode!)"),
    ("interface Node { id: ID! name: String }", "interface Node { id: ID! }"),
    ("type Product implements Node & Named", "type Product implements Node"),
    ("type Product implements Node & Named", "type Product"),
    ("type Shop implements Node", "type Shop"),
    ("title(mode: Mode = PLAIN, max: Int): String", "title: String"),
    ("title(mode: Mode = PLAIN, max: Int)", "title(mode: Mode = PLAIN, max: String)"),
    ("kind: Kind! shop", "kind: Kind shop"),
    ("kind: Kind! shop", "shop"),
    ("city: String!", "city: Place!"),
    ("city: String!", ""),
    ("union Hit = Product | Shop | Lost", "union Hit = Product | Shop"),
    ("union Hit = Product | Shop | Lost", "union Hit = Shop | Lost"),
    ("union Hit = Product | Shop | Lost", "interface Hit { id: ID! }"),
    ("type Lost { why: String }", "type Lost { why: Int }"),
    ("enum Mode { PLAIN LOUD QUIET }", "enum Mode { PLAIN LOUD }"),
    ("enum Mode { PLAIN LOUD QUIET }", "enum Mode { PLAIN QUIET }"),
    ("enum Mode { PLAIN LOUD QUIET }", "scalar Mode"),
    ("enum Kind { CARD GIFT }", "type Kind { name: String }"),
    ("input By { mode: Mode deep: By", "input By { deep: By"),
    ("input By { mode: Mode deep: By", "input By { mode: Mode! deep: By"),
    ("name: String! = \"x\" ids", "name: String! ids"),
    ("ids: [ID!] n: Int", "ids: [ID!] n: Int must: Int!"),
    ("ids: [ID!] n: Int", "ids: ID n: Int"),
    ("n: Int }", "n: [Int] }"),
    ("input Pick {", "input Pick @oneOf {"),
    ("input Pick { a: Int b: String }", "scalar Pick"),
    ("input Pick { a: Int b: String }", "input Pick { a: Int }"),
];

const OPERATIONS: &[&str] = &[
    "{ product(sku: 1) { id title kind } }",
    "{ product(sku: 1, by: {mode: LOUD, deep: {ids: [1], n: 2}}) { title(mode: QUIET) } }",
    "query($by: By) { product(sku: 1, by: $by) { name } }",
    "query($by: By!) { product(sku: 1, by: $by) { name } }",
    "query($m: Mode) { product(sku: 1, by: {mode: $m, name: \"\"}) { shop { city } } }",
    "query($m: [Mode!]) { product(sku: 1, modes: $m) { id } }",
    "query($m: [Mode!]!) { product(sku: 1, modes: $m) { title(max: 0) } }",
    "{ product(sku: 1, modes: [PLAIN, LOUD]) { title(mode: PLAIN, max: 0) } }",
    "{ node { id name __typename } }",
    "query($id: ID) { node(id: $id) { id ... on Product { title } ... on Shop { city } } }",
    "{ node { ... on Named { name } } }",
    "{ node { ...F } } fragment F on Hit { ... on Product { id } }",
    "{ search { __typename ... on Lost { why } ... on Product { kind } } }",
    "{ search(n: 0, e: LOUD) { ... on Node { id } ... on Shop { city } } }",
    "query($e: Mode) { search(e: $e) { __typename } }",
    "query($n: Int = 0) { search(n: $n) { ... on Named { id } } }",
    "{ pick(p: {a: 0}) }",
    "{ pick(p: {a: 0, b: \"\"}) }",
    "query($p: Pick) { pick(p: $p) }",
    "{ pick }",
    "{ shop { ... on Node { id name } city @live } }",
    "query @live(of: QUIET) { shop { id @live(n: 0) @live } }",
    "{ shop { ... @live(of: PLAIN) { id } } }",
    "mutation { put(by: {name: \"\"}) { id } }",
    "mutation($by: By!, $m: Mode) { put(by: $by, m: $m) { kind } }",
];

fn api(sdl: &str) -> Schema {
    Schema::parse(sdl).unwrap().into_api()
}

#[test]
fn the_operations_are_right_by_the_schema() {
    let validator = Validator::new(&api(SCHEMA)).unwrap();
    for operation in OPERATIONS {
        assert_eq!(validator.wrong(operation), None, "{operation}");
    }
    for (part, _) in EDITS {
        assert_eq!(SCHEMA.matches(part).count(), 1, "{part}");
    }
}

/// What becomes wrong by some edits, and isn't touched.
fn missed(edits: &[(&str, &str)]) -> Vec<String> {
    let old = api(SCHEMA);
    let edited = edits.iter().fold(SCHEMA.to_owned(), |sdl, (from, to)| sdl.replacen(from, to, 1));
    // Parts that name what another edit removed go with it, as `into_api` does.
    let Ok(new) = Schema::parse(&edited) else { return Vec::new() };
    let new = new.into_api();
    let breaking: BTreeSet<Use> = changes(&old, &new)
        .into_iter()
        .filter(|it| it.rule.category() == Category::Breaking)
        .flat_map(|it| it.touches)
        .collect();
    let Some(validator) = Validator::new(&new) else { return Vec::new() };
    let wrong = OPERATIONS.iter().filter_map(|operation| {
        let why = validator.wrong(operation)?;
        let touched = !uses(&old, operation).unwrap().is_disjoint(&breaking);
        (!touched).then(|| format!("{operation}: {why}"))
    });
    wrong.collect()
}

#[test]
fn every_edit_alone_misses_nothing() {
    for edit in EDITS {
        assert_eq!(missed(&[*edit]), Vec::<String>::new(), "{edit:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn no_operation_becomes_wrong_untouched(edits in prop::sample::subsequence(EDITS, 1..6)) {
        prop_assert_eq!(missed(&edits), Vec::<String>::new());
    }
}
