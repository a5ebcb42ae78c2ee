use super::*;

const SUPERGRAPH: &str = r#"
    schema @link(url: "https://specs.apollo.dev/link/v1.0") { query: Query mutation: Mutation }
    enum join__Graph { A @join__graph(name: "a", url: "") }
    type Query @join__type(graph: A) {
        product(sku: ID!, secret: Boolean = false @tag(name: "internal")): Product @tag(name: "public")
        audit(mode: Mode = FULL): Audit @tag(name: "internal")
        found: Found @tag(name: "public")
        node: Node @tag(name: "public")
    }
    type Mutation @join__type(graph: A) { reprice(by: Reprice!): Int @tag(name: "internal") }
    interface Node @join__type(graph: A) @tag(name: "public") { id: ID! }
    type Product implements Node @join__type(graph: A) @tag(name: "public") {
        id: ID! sku: ID! kind: Kind
        cost: Int @tag(name: "internal")
    }
    type Shop implements Node @join__type(graph: A) { id: ID! @tag(name: "public") city: String }
    type Audit @join__type(graph: A) { who: String }
    union Found = Product | Audit
    enum Kind { CARD GIFT TRIAL @tag(name: "internal") }
    enum Mode { FULL SHORT }
    input Reprice { cents: Int! }
"#;

fn tags(include: &[&str], exclude: &[&str]) -> Tags {
    let set = |tags: &[&str]| tags.iter().map(|it| (*it).to_owned()).collect();
    Tags { include: set(include), exclude: set(exclude) }
}

fn seen(sdl: &str, tags: &Tags) -> Vec<String> {
    let api = Schema::parse(&filtered(sdl, tags).unwrap()).unwrap().into_api();
    let mut seen = Vec::new();
    for (name, ty) in &api.types {
        let fields = ty.fields.iter().flat_map(|(field, it)| {
            let path = format!("{name}.{field}");
            let arguments = it.arguments.keys().map(|it| format!("{path}({it}:)")).collect::<Vec<_>>();
            std::iter::once(path).chain(arguments)
        });
        seen.extend(fields);
        seen.extend(
            ty.values.keys().chain(ty.inputs.keys()).chain(&ty.members).map(|it| format!("{name}.{it}")),
        );
    }
    seen
}

fn torn(sdl: &str, tags: &Tags) -> Vec<(&'static str, String)> {
    match filtered(sdl, tags) {
        Err(ContractError::Torn(tears)) => tears.into_iter().map(|it| (it.rule, it.path)).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn excluded_tags_go_and_so_does_what_only_they_reached() {
    let left = seen(SUPERGRAPH, &tags(&[], &["internal"]));
    let expected = [
        "Audit.who",
        "Found.Audit",
        "Found.Product",
        "Kind.CARD",
        "Kind.GIFT",
        "Node.id",
        "Product.id",
        "Product.kind",
        "Product.sku",
        "Query.found",
        "Query.node",
        "Query.product",
        "Query.product(sku:)",
        "Shop.city",
        "Shop.id",
    ];
    assert_eq!(left, expected);
}

#[test]
fn included_tags_let_in_types_with_all_their_fields_and_single_fields() {
    let left = seen(SUPERGRAPH, &tags(&["public"], &[]));
    // Product is in as a whole, Shop by one field; Audit is in by none, so the union is without it.
    for here in ["Product.cost", "Shop.id", "Found.Product", "Kind.TRIAL", "Query.product(secret:)"] {
        assert!(left.iter().any(|it| it == here), "{here} is not in {left:?}");
    }
    for gone in ["Shop.city", "Found.Audit", "Audit.who", "Query.audit", "Mutation.reprice", "Reprice.cents"]
    {
        assert!(!left.iter().any(|it| it == gone), "{gone} is in {left:?}");
    }
}

#[test]
fn exclusion_wins() {
    let left = seen(SUPERGRAPH, &tags(&["public"], &["internal"]));
    assert!(!left.iter().any(|it| it == "Product.cost" || it == "Query.product(secret:)"), "{left:?}");
}

#[test]
fn without_tags_nothing_that_is_reached_goes() {
    let whole = seen(SUPERGRAPH, &tags(&[], &[]));
    assert!(
        whole.iter().any(|it| it == "Reprice.cents") && whole.iter().any(|it| it == "Mode.FULL"),
        "{whole:?}"
    );
}

#[test]
fn a_contracts_supergraph_says_how_it_hides_and_hides_no_more_when_made_again() {
    let tags = tags(&[], &["internal"]);
    let once = filtered(SUPERGRAPH, &tags).unwrap();
    assert!(
        once.contains("specs.apollo.dev/inaccessible/v0.2") && once.contains("directive @inaccessible"),
        "{once}"
    );
    assert!(once.contains("cost: Int @tag(name: \"internal\") @inaccessible"), "{once}");
    assert!(!once.contains("enum join__Graph @inaccessible"), "{once}");
    assert_eq!(filtered(&once, &tags).unwrap(), once);
}

/// Each tear, and a near twin that is whole.
#[test]
fn what_is_left_is_whole_or_it_is_told_where_it_is_not() {
    let cases = [
        (
            "contract-reference",
            "Query.b",
            "type Query { a: Int b: T } type T @tag(name: \"x\") { c: Int }",
            "type Query { a: Int b: T @tag(name: \"x\") } type T @tag(name: \"x\") { c: Int }",
        ),
        (
            "contract-reference",
            "Query.a(in:)",
            "type Query { a(in: I): Int } input I { b: Int @tag(name: \"x\") }",
            "type Query { a(in: I): Int } input I { b: Int @tag(name: \"x\") c: Int }",
        ),
        (
            "contract-required",
            "Query.a(b:)",
            "type Query { a(b: Int! @tag(name: \"x\")): Int }",
            "type Query { a(b: Int! = 1 @tag(name: \"x\")): Int }",
        ),
        (
            "contract-required",
            "I.b",
            "type Query { a(in: I): Int } input I { b: Int! @tag(name: \"x\") c: Int }",
            "type Query { a(in: I): Int } input I { b: Int @tag(name: \"x\") c: Int }",
        ),
        (
            "contract-implementation",
            "T.b",
            "type Query { i: I } interface I { b: Int } type T implements I { b: Int @tag(name: \"x\") c: Int }",
            "type Query { i: I } interface I { b: Int @tag(name: \"x\") c: Int } type T implements I { b: Int @tag(name: \"x\") c: Int }",
        ),
        (
            "contract-default",
            "Query.a(e:)",
            "type Query { a(e: [E] = [ONE]): Int } enum E { ONE @tag(name: \"x\") TWO }",
            "type Query { a(e: [E] = [TWO]): Int } enum E { ONE @tag(name: \"x\") TWO }",
        ),
        (
            "contract-empty",
            "Query",
            "type Query { a: Int @tag(name: \"x\") }",
            "type Query { a: Int @tag(name: \"x\") b: Int }",
        ),
    ];
    let tags = tags(&[], &["x"]);
    for (rule, path, bad, good) in cases {
        assert_eq!(torn(bad, &tags), [(rule, path.to_owned())], "{bad}");
        filtered(good, &tags).unwrap();
    }
}

#[test]
fn a_tag_that_nothing_has_is_told() {
    let unknown = |tags: &Tags| unknown_tags(SUPERGRAPH, tags).unwrap().into_iter().collect::<Vec<_>>();
    assert_eq!(unknown(&tags(&["public"], &["internal"])), Vec::<String>::new());
    assert_eq!(unknown(&tags(&["publik"], &["internal"])), ["publik"]);
}
