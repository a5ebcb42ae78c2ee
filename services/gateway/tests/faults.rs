//! Subgraphs that are down, late or talk nonsense: their fields are null, with an error; the rest is there.

mod support;

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use gateway::transport::{Handler, InProcess, SubgraphRequest, SubgraphResponse, Transport, TransportError};
use gateway::{Config, Gateway, Method, Request, Supergraph};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::{Value, json};

const PRODUCTS: &str = r#"extend schema @link(url: "https://specs.apollo.dev/federation/v2.5", import: ["@key"])

type Query {
  products: [Product!]!
  product: Product
}

type Mutation {
  touch: Product
}

type Product @key(fields: "sku") {
  sku: ID!
  title: String
}
"#;

const PRICES: &str = r#"extend schema @link(url: "https://specs.apollo.dev/federation/v2.5", import: ["@key"])

type Query {
  currencies: [String!]
}

type Product @key(fields: "sku") {
  sku: ID!
  price: String
}
"#;

fn subgraphs() -> [(&'static str, &'static str, Value); 2] {
    let product =
        |sku: &str| json!({ "__typename": "Product", "sku": sku, "title": format!("title of {sku}") });
    let products = json!({ "Query": { "products": [product("a"), product("b")], "product": product("a") }, "Mutation": { "touch": product("a") } });
    let price = |sku: &str| json!({ "$key": ["sku"], "sku": sku, "price": "1.00" });
    let prices =
        json!({ "Query": { "currencies": ["GBP"] }, "entities": { "Product": [price("a"), price("b")] } });
    [("products", PRODUCTS, products), ("prices", PRICES, prices)]
}

/// What the subgraph `prices` does; `products` is well.
#[derive(Clone)]
enum Fault {
    Down,
    Never,
    Answers(u16, &'static str),
    Well,
}

struct Faulty {
    well: Arc<InProcess>,
    fault: Fault,
    sent: AtomicUsize,
    seen: std::sync::Mutex<Vec<HeaderMap>>,
}

#[async_trait]
impl Transport for Faulty {
    async fn send(&self, request: SubgraphRequest) -> Result<SubgraphResponse, TransportError> {
        self.sent.fetch_add(1, Ordering::Relaxed);
        self.seen.lock().expect("the log").push(request.headers.clone());
        if request.subgraph != "prices" {
            return self.well.send(request).await;
        }
        match self.fault {
            Fault::Well => {
                // Long enough for an equal request to arrive meanwhile.
                tokio::time::sleep(Duration::from_millis(10)).await;
                self.well.send(request).await
            }
            Fault::Down => Err(TransportError::Unreachable("connection refused by 10.0.0.1".to_owned())),
            Fault::Never => pending().await,
            Fault::Answers(status, body) => Ok(SubgraphResponse {
                status: StatusCode::from_u16(status).expect("a status"),
                headers: HeaderMap::new(),
                body: Bytes::from_static(body.as_bytes()),
            }),
        }
    }
}

fn faulty(fault: Fault) -> (Gateway, Arc<Faulty>) {
    let subgraphs = subgraphs();
    let (well, _) = support::transport_of(&subgraphs);
    let transport =
        Arc::new(Faulty { well, fault, sent: AtomicUsize::new(0), seen: std::sync::Mutex::default() });
    let gateway =
        support::gateway_with(&subgraphs, Arc::clone(&transport) as Arc<dyn Transport>, Config::default());
    (gateway, transport)
}

async fn answer(fault: Fault, query: &str) -> Value {
    support::json_of(&support::ask(&faulty(fault).0, query, Value::Null).await)
}

#[tokio::test(start_paused = true)]
async fn siblings_of_a_failed_subgraph_live() {
    let faults = [
        (Fault::Down, "SUBGRAPH_UNREACHABLE"),
        (Fault::Never, "SUBGRAPH_TIMEOUT"),
        (Fault::Answers(200, "<html>nonsense</html>"), "SUBGRAPH_MALFORMED_RESPONSE"),
        (Fault::Answers(200, "[]"), "SUBGRAPH_MALFORMED_RESPONSE"),
        (Fault::Answers(200, "{}"), "SUBGRAPH_MALFORMED_RESPONSE"),
        (Fault::Answers(200, r#"{"data":null}"#), "SUBGRAPH_MALFORMED_RESPONSE"),
        (Fault::Answers(200, r#"{"data":"text"}"#), "SUBGRAPH_MALFORMED_RESPONSE"),
        (Fault::Answers(200, r#"{"data":{"_entities":[]}}"#), "SUBGRAPH_MALFORMED_RESPONSE"),
        (Fault::Answers(200, r#"{"data":{"_entities":{}}}"#), "SUBGRAPH_MALFORMED_RESPONSE"),
        (Fault::Answers(200, r#"{"data":{},"errors":"text"}"#), "SUBGRAPH_MALFORMED_RESPONSE"),
        (Fault::Answers(503, "down for maintenance"), "SUBGRAPH_HTTP_ERROR"),
        (Fault::Answers(500, ""), "SUBGRAPH_HTTP_ERROR"),
        (Fault::Answers(500, r#"{"errors":[{"message":"db gone","extensions":{"code":"DB"}}]}"#), "DB"),
        (Fault::Answers(200, r#"{"errors":[{}]}"#), "DOWNSTREAM_SERVICE_ERROR"),
    ];
    for (fault, code) in faults {
        let got = answer(fault, "{ products { title price } }").await;
        let titles = json!({ "products": [{ "title": "title of a", "price": null }, { "title": "title of b", "price": null }] });
        assert_eq!(got["data"], titles, "{code}");
        assert_eq!(got["errors"].as_array().expect("errors").len(), 1, "{got}");
        let error = &got["errors"][0];
        assert_eq!(error["extensions"]["code"], code);
        assert_eq!(error["extensions"]["serviceName"], "prices");
        assert_eq!(error["path"], json!(["products"]));
        assert!(!got.to_string().contains("10.0.0.1"), "what is internal stays so");
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_names_the_field_in_the_clients_words() {
    let got = answer(Fault::Down, "{ one: product { cost: price } sku: product { price title } }").await;
    assert_eq!(
        got["data"],
        json!({ "one": { "cost": null }, "sku": { "price": null, "title": "title of a" } })
    );
    for place in ["one", "sku"] {
        let errors = got["errors"].as_array().expect("errors");
        assert!(errors.iter().any(|error| error["path"] == json!([place])), "{place}: {got}");
    }
    let got = answer(Fault::Answers(200, r#"{"data":{"_entities":[{"price":null},null]},"errors":[{"message":"x","path":["_entities",0,"price"]}]}"#), "{ products { sku: price id: sku } }").await;
    assert_eq!(got["data"]["products"], json!([{ "sku": null, "id": "a" }, { "sku": null, "id": "b" }]));
}

#[tokio::test(start_paused = true)]
async fn failed_root_fields_leave_the_others() {
    let got = answer(Fault::Down, "{ currencies product { title } }").await;
    assert_eq!(got["data"], json!({ "currencies": null, "product": { "title": "title of a" } }));
    assert_eq!(got["errors"][0]["extensions"]["code"], "SUBGRAPH_UNREACHABLE");
    assert_eq!(got["errors"][0]["path"], json!(["currencies"]));
}

#[tokio::test(start_paused = true)]
async fn an_entity_that_is_not_there_is_null_without_an_error() {
    let got = answer(
        Fault::Answers(200, r#"{"data":{"_entities":[null,{"price":"2.00"}]}}"#),
        "{ products { price } }",
    )
    .await;
    assert_eq!(got, json!({ "data": { "products": [{ "price": null }, { "price": "2.00" }] } }));
}

#[tokio::test]
async fn a_subgraph_that_panics_costs_its_own_fields() {
    let subgraphs = subgraphs();
    let (well, _) = support::transport_of(&subgraphs);
    let panics: Handler = Arc::new(|_| Box::pin(async { panic!("as a test asks for") }));
    let transport = Arc::new((*well).clone().with("prices", panics));
    let gateway = support::gateway_with(&subgraphs, transport, Config::default());
    let got = support::json_of(&support::ask(&gateway, "{ product { title price } }", Value::Null).await);
    assert_eq!(got["data"], json!({ "product": { "title": "title of a", "price": null } }));
    assert_eq!(got["errors"][0]["extensions"]["code"], "SUBGRAPH_UNREACHABLE");
}

#[tokio::test(start_paused = true)]
async fn values_of_the_wrong_kind_are_null_with_an_error() {
    let got = answer(
        Fault::Answers(200, r#"{"data":{"_entities":[{"price":{"x":1}},{"price":7}]}}"#),
        "{ products { price } }",
    )
    .await;
    assert_eq!(got["data"], json!({ "products": [{ "price": null }, { "price": null }] }));
    assert_eq!(got["errors"][1]["path"], json!(["products", 1, "price"]));
    assert_eq!(got["errors"][1]["extensions"]["code"], "RESPONSE_VALUE_INVALID");
}

#[tokio::test(start_paused = true)]
async fn a_request_never_takes_longer_than_its_time() {
    let before = tokio::time::Instant::now();
    let (gateway, _) = faulty(Fault::Never);
    support::ask(&gateway, "{ products { price } currencies }", Value::Null).await;
    assert!(before.elapsed() <= Config::default().request_timeout, "{:?}", before.elapsed());
}

#[tokio::test(start_paused = true)]
async fn equal_queries_under_way_are_sent_once() {
    let (gateway, transport) = faulty(Fault::Well);
    let ask = || support::ask(&gateway, "{ currencies }", Value::Null);
    let answers = tokio::join!(ask(), ask(), ask());
    assert_eq!(transport.sent.load(Ordering::Relaxed), 1);
    for answer in [answers.0, answers.1, answers.2] {
        assert_eq!(support::json_of(&answer), json!({ "data": { "currencies": ["GBP"] } }));
    }
    // Nothing is kept: the next one is sent again.
    ask().await;
    assert_eq!(transport.sent.load(Ordering::Relaxed), 2);
    // A client that goes away does not take the answer from another that waits for it.
    let gone = tokio::time::timeout(Duration::from_millis(1), ask());
    let (gone, stays) = tokio::join!(gone, ask());
    assert!(gone.is_err());
    assert_eq!(support::json_of(&stays), json!({ "data": { "currencies": ["GBP"] } }));
    assert_eq!(transport.sent.load(Ordering::Relaxed), 3);
}

#[tokio::test(start_paused = true)]
async fn queries_of_different_users_are_not_shared_and_mutations_never() {
    let (gateway, transport) = faulty(Fault::Well);
    let ask = |query: &str, user: &'static str| {
        let request = Request { query: query.to_owned(), ..Request::default() };
        let mut headers = HeaderMap::new();
        headers.insert("authorization", HeaderValue::from_static(user));
        headers.insert("traceparent", HeaderValue::from_static(user));
        headers.insert("cookie", HeaderValue::from_static(user));
        let gateway = &gateway;
        async move { gateway.answer(request, Method::Post, &headers).await }
    };
    tokio::join!(ask("{ currencies }", "a"), ask("{ currencies }", "b"));
    assert_eq!(transport.sent.load(Ordering::Relaxed), 2);
    tokio::join!(ask("mutation { touch { sku } }", "a"), ask("mutation { touch { sku } }", "a"));
    assert_eq!(transport.sent.load(Ordering::Relaxed), 4);
    let seen = transport.seen.lock().expect("the log");
    assert!(
        seen.iter()
            .all(|headers| headers.contains_key("traceparent") && headers.contains_key("authorization"))
    );
    assert!(seen.iter().all(|headers| !headers.contains_key("cookie")), "only what is allowed is handed on");
}

#[tokio::test]
async fn another_supergraph_is_taken_into_service_without_a_failed_request() {
    let all = subgraphs();
    let (gateway, _) = faulty(Fault::Well);
    let smaller: Supergraph = support::composed(&all[..1]);
    let before = gateway.supergraph().hash().to_owned();
    gateway.reload(smaller.clone()).expect("it can be served");
    assert_ne!(gateway.supergraph().hash(), before);
    assert_eq!(gateway.supergraph().hash(), smaller.hash());
    let got = support::json_of(&support::ask(&gateway, "{ currencies }", Value::Null).await);
    assert_eq!(got["errors"][0]["extensions"]["code"], "GRAPHQL_VALIDATION_FAILED");
    let got = support::json_of(&support::ask(&gateway, "{ product { title } }", Value::Null).await);
    assert_eq!(got, json!({ "data": { "product": { "title": "title of a" } } }));
}
