//! Whatever is asked of the federated graph gets the answer, in the order of the query, that one subgraph with
//! all of the data would give.

mod support;

use std::fmt::Write as _;
use std::sync::OnceLock;

use bytes::Bytes;
use gateway::transport::Handler;
use gateway::{Config, Gateway};
use http::Request;
use proptest::prelude::*;
use serde_json::{Value, json};

const LINK: &str = r#"extend schema @link(url: "https://specs.apollo.dev/federation/v2.5", import: ["@key", "@shareable", "@external", "@requires", "@provides"])"#;

const SHOP: &str = "
type Query { shop: Shop! items: [Item!]! product: Product nothing: Product }
type Shop { name: String! shelves: [[Product!]!]! best: Item }
interface Item { id: ID! title: String! maker: Maker }
type Product implements Item @key(fields: \"id\") { id: ID! title: String! maker: Maker grams: Int }
type Service implements Item @key(fields: \"id\") { id: ID! title: String! maker: Maker hours: Int }
type Maker @key(fields: \"code\") { code: ID! }
";

const PRICES: &str = "
type Query { cheapest: Product }
type Product @key(fields: \"id\") { id: ID! price(currency: String): String offers: [Offer!] grams: Int @external perGram: Int @requires(fields: \"grams\") }
type Service @key(fields: \"id\") { id: ID! price(currency: String): String }
type Offer { percent: Int! by: Maker }
type Maker @key(fields: \"code\") { code: ID! discount: Int }
";

const MAKERS: &str = "
type Query { makers: [Maker!]! }
type Maker @key(fields: \"code\") { code: ID! name: String! country: Country products: [Product!] }
type Country @shareable { code: String! name: String }
type Product @key(fields: \"id\") { id: ID! }
";

/// Fields, each with its type's name, or none for a leaf.
type Fields = &'static [(&'static str, Option<&'static str>)];

/// All of it as one schema.
const FIELDS: &[(&str, Fields)] = &[
    (
        "Query",
        &[
            ("shop", Some("Shop")),
            ("items", Some("Item")),
            ("product", Some("Product")),
            ("nothing", Some("Product")),
            ("cheapest", Some("Product")),
            ("makers", Some("Maker")),
            ("__typename", None),
        ],
    ),
    ("Shop", &[("name", None), ("shelves", Some("Product")), ("best", Some("Item")), ("__typename", None)]),
    ("Item", &[("id", None), ("title", None), ("maker", Some("Maker")), ("__typename", None)]),
    (
        "Product",
        &[
            ("id", None),
            ("title", None),
            ("maker", Some("Maker")),
            ("grams", None),
            ("price", None),
            ("offers", Some("Offer")),
            ("perGram", None),
            ("__typename", None),
        ],
    ),
    (
        "Service",
        &[
            ("id", None),
            ("title", None),
            ("maker", Some("Maker")),
            ("hours", None),
            ("price", None),
            ("__typename", None),
        ],
    ),
    ("Offer", &[("percent", None), ("by", Some("Maker"))]),
    (
        "Maker",
        &[
            ("code", None),
            ("discount", None),
            ("name", None),
            ("country", Some("Country")),
            ("products", Some("Product")),
            ("__typename", None),
        ],
    ),
    ("Country", &[("code", None), ("name", None)]),
];

fn product(n: usize) -> Value {
    json!({ "__typename": "Product", "id": format!("p{n}"), "title": format!("product {n}"), "grams": n * 10,
        "maker": if n == 3 { Value::Null } else { json!({ "__typename": "Maker", "code": format!("m{}", n % 2) }) } })
}

fn price(n: usize) -> Value {
    json!({ "id": format!("p{n}"), "price": format!("{n}.00 GBP"), "price({\"currency\":\"EUR\"})": format!("{n}.20 EUR"),
        "offers": [{ "__typename": "Offer", "percent": n, "by": { "__typename": "Maker", "code": "m1", "discount": 1 } }, { "__typename": "Offer", "percent": 2 * n, "by": null }],
        "perGram": { "$from": "grams" } })
}

fn maker(n: usize) -> Value {
    json!({ "__typename": "Maker", "$key": ["code"], "code": format!("m{n}"), "name": format!("maker {n}"),
        "country": { "__typename": "Country", "code": "GB", "name": null },
        "products": [{ "__typename": "Product", "id": "p1" }, { "__typename": "Product", "id": "p2" }] })
}

fn service() -> Value {
    json!({ "__typename": "Service", "id": "s1", "title": "service", "hours": null, "maker": { "__typename": "Maker", "code": "m0" } })
}

fn subgraphs() -> Vec<(&'static str, String, Value)> {
    let shop = json!({
        "Query": {
            "shop": { "__typename": "Shop", "name": "shop", "best": service(), "shelves": [[product(1), product(2)], [], [product(1), product(3)]] },
            "items": [product(1), service(), product(2)],
            "product": product(2),
        },
        "entities": { "Product": [product(1), product(2), product(3)], "Service": [service()] },
    });
    let discount =
        |n: usize| json!({ "__typename": "Maker", "$key": ["code"], "code": format!("m{n}"), "discount": n });
    let prices = json!({
        "Query": { "cheapest": { "__typename": "Product", "id": "p1", "price": "1.00 GBP", "price({\"currency\":\"EUR\"})": "1.20 EUR", "offers": price(1)["offers"] } },
        "entities": {
            "Product": [price(1), price(2), price(3)],
            "Service": [{ "id": "s1", "price": "9.00 GBP", "price({\"currency\":\"EUR\"})": "9.20 EUR" }],
            "Maker": [discount(0), discount(1)],
        },
    });
    let makers =
        json!({ "Query": { "makers": [maker(0), maker(1)] }, "entities": { "Maker": [maker(0), maker(1)] } });
    vec![
        ("shop", format!("{LINK}\n\n{SHOP}"), shop),
        ("prices", format!("{LINK}\n\n{PRICES}"), prices),
        ("makers", format!("{LINK}\n\n{MAKERS}"), makers),
    ]
}

/// Fills entities in wherever they stand, to a depth that no query passes.
fn filled(value: &Value, depth: usize) -> Value {
    if depth == 0 {
        return Value::Null;
    }
    match value {
        Value::Array(items) => items.iter().map(|item| filled(item, depth)).collect(),
        Value::Object(fields) => {
            let mut all = fields.clone();
            all.remove("$key");
            let mut add = |more: Value| {
                for (key, value) in more.as_object().expect("an object") {
                    all.entry(key.clone()).or_insert_with(|| value.clone());
                }
            };
            let number =
                |text: &Value| text.as_str().and_then(|text| text[1..].parse::<usize>().ok()).expect("an id");
            match fields.get("__typename").and_then(Value::as_str) {
                Some("Product") => {
                    let n = number(&fields["id"]);
                    add(product(n));
                    add(json!({ "perGram": n * 10 }));
                    add(price(n));
                }
                Some("Service") => {
                    add(json!({ "price": "9.00 GBP", "price({\"currency\":\"EUR\"})": "9.20 EUR" }));
                }
                Some("Maker") => {
                    let n = number(&fields["code"]);
                    add(maker(n));
                    add(json!({ "discount": n }));
                }
                _ => {}
            }
            all.remove("$key");
            Value::Object(all.iter().map(|(key, value)| (key.clone(), filled(value, depth - 1))).collect())
        }
        scalar => scalar.clone(),
    }
}

/// One subgraph that has all of the data.
fn monolith() -> support::DataSubgraph {
    let mut roots = serde_json::Map::new();
    for (_, _, data) in subgraphs() {
        for (key, value) in data["Query"].as_object().expect("roots") {
            roots.insert(key.clone(), filled(value, 9));
        }
    }
    let sdl = "interface Item { id: ID } type Product implements Item { id: ID } type Service implements Item { id: ID }";
    support::DataSubgraph::new("all", sdl, json!({ "Query": roots }), support::Log::default())
}

/// A selection set of a type, of a form that a seed decides.
fn selections(name: &str, seed: &mut impl FnMut(u32) -> u32, depth: usize, out: &mut String) {
    let fields = FIELDS.iter().find(|(known, _)| *known == name).expect("a type").1;
    out.push_str("{ ");
    for _ in 0..=seed(4) {
        let (field, of) = fields[seed(u32::try_from(fields.len()).expect("few")) as usize];
        if depth == 0 && of.is_some() {
            out.push_str("__typename ");
            continue;
        }
        let euro = field == "price" && seed(2) == 0;
        // An alias that is the name of another field, of a key above all, must not lead the gateway astray; the
        // same key for the same field and arguments is merged.
        if euro {
            write!(out, "{}: ", ["euro", "title"][seed(2) as usize]).expect("text");
        } else if seed(5) == 0 && field != "__typename" {
            write!(out, "also_{field}: ").expect("text");
        } else if seed(6) == 0 && field == "title" {
            out.push_str("named: ");
        }
        out.push_str(field);
        if euro {
            out.push_str("(currency: \"EUR\")");
        }
        match seed(6) {
            0 => out.push_str(" @include(if: $yes)"),
            1 => out.push_str(" @skip(if: $yes)"),
            _ => {}
        }
        out.push(' ');
        if let Some(of) = of {
            selections(of, seed, depth - 1, out);
        }
    }
    if name == "Item" {
        for member in ["Product", "Service"] {
            if seed(2) == 0 {
                write!(out, "... on {member} ").expect("text");
                selections(member, seed, depth.saturating_sub(1), out);
            }
        }
    } else if seed(5) == 0 {
        write!(out, "... on {name} ").expect("text");
        selections(name, seed, depth.saturating_sub(1), out);
    }
    out.push_str("} ");
}

/// The gateway, what its subgraphs were asked, and the one subgraph to compare with: made once for all queries.
fn both() -> &'static (Gateway, support::Log, Handler) {
    static BOTH: OnceLock<(Gateway, support::Log, Handler)> = OnceLock::new();
    BOTH.get_or_init(|| {
        let owned = subgraphs();
        let parts: Vec<(&str, &str, Value)> =
            owned.iter().map(|(name, sdl, data)| (*name, sdl.as_str(), data.clone())).collect();
        let (gateway, log) = support::gateway_of(&parts, Config::default());
        (gateway, log, monolith().handler())
    })
}

async fn compare(query: &str, yes: bool) -> Result<(), TestCaseError> {
    let (gateway, log, monolith) = both();
    log.lock().expect("the log").clear();
    let answer = support::ask(gateway, query, json!({ "yes": yes })).await;
    if answer.codes.iter().any(|code| code == "GRAPHQL_VALIDATION_FAILED") {
        // Two fields of one key that can't be merged: no valid query.
        return Err(TestCaseError::reject("not valid"));
    }
    let decided = query.replace("($yes: Boolean!)", "").replace("$yes", if yes { "true" } else { "false" });
    let asked = json!({ "query": decided }).to_string();
    let expected = monolith(Request::new(Bytes::from(asked))).await;
    let expected: Value = serde_json::from_slice(expected.body()).expect("JSON");
    let asked = log.lock().expect("the log").clone();
    prop_assert_eq!(support::json_of(&answer).to_string(), expected.to_string(), "{}\n{:#?}", query, asked);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases / 2, max_global_rejects: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn many_subgraphs_answer_as_one(choices in prop::collection::vec(any::<u32>(), 80), yes in any::<bool>()) {
        let mut at = 0;
        let mut seed = |bound: u32| {
            at += 1;
            choices[at % choices.len()].wrapping_add(u32::try_from(at / choices.len()).expect("few")) % bound
        };
        let mut query = "query ($yes: Boolean!) ".to_owned();
        selections("Query", &mut seed, 4, &mut query);
        if !query.contains("$yes)") || query.matches("$yes").count() < 2 {
            query = query.replace("($yes: Boolean!) ", "");
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(compare(&query, yes))?;
    }
}
