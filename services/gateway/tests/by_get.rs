//! Queries to subgraphs by GET, over sockets: a cache in front of a subgraph answers what it knows.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use bytes::Bytes;
use documents::{DocumentStore, DocumentsInMemory, Named};
use gateway::transport::HttpTransport;
use gateway::{Config, Gateway, Method, Subgraph, compose};
use http::{HeaderMap, HeaderValue, Response, StatusCode, Uri};
use serde_json::{Value, json};
use tokio::net::TcpListener;

const CATALOGUE: &str = r#"extend schema @link(url: "https://specs.apollo.dev/federation/v2.5", import: ["@key"])

type Query {
  product(sku: ID!, as: Look): Product
}

type Mutation {
  rename(sku: ID!): String
}

input Look {
  language: String
  market: String
}

type Product @key(fields: "sku") {
  sku: ID!
  title: String
}
"#;

/// A subgraph that takes documents by their hash, as far as the protocol goes; with a cache in front that goes by the URL.
#[derive(Clone)]
struct Front {
    store: Arc<DocumentsInMemory>,
    kept: Arc<Mutex<HashMap<Uri, Bytes>>>,
    /// What reached the subgraph itself: method and headers.
    asked: Arc<Mutex<Vec<(http::Method, HeaderMap)>>>,
    hits: Arc<Mutex<usize>>,
    /// Whether it takes documents by their hash at all.
    is_old: bool,
}

impl Front {
    fn new(is_old: bool) -> Self {
        let store = Arc::new(DocumentsInMemory::new(1 << 20));
        Self { store, kept: Arc::default(), asked: Arc::default(), hits: Arc::default(), is_old }
    }

    fn methods(&self) -> Vec<http::Method> {
        self.asked.lock().unwrap().iter().map(|(method, _)| method.clone()).collect()
    }

    fn hits(&self) -> usize {
        *self.hits.lock().unwrap()
    }
}

async fn front(State(front): State<Front>, request: Request) -> Response<axum::body::Body> {
    let (parts, body) = request.into_parts();
    if parts.method == http::Method::GET
        && let Some(kept) = front.kept.lock().unwrap().get(&parts.uri)
    {
        *front.hits.lock().unwrap() += 1;
        return answered(kept.clone(), "public, max-age=60");
    }
    front.asked.lock().unwrap().push((parts.method.clone(), parts.headers));
    let asked: Value = if parts.method == http::Method::GET {
        let query = parts.uri.query().unwrap();
        let pairs = form_urlencoded::parse(query.as_bytes());
        pairs
            .map(|(name, value)| (name.into_owned(), serde_json::from_str(&value).unwrap()))
            .collect::<serde_json::Map<_, _>>()
            .into()
    } else {
        serde_json::from_slice(&to_bytes(body, 1 << 20).await.unwrap()).unwrap()
    };
    let refusal = |message: &str| {
        let body = json!({ "errors": [{ "message": message }] }).to_string();
        answered(body.into(), documents::NOT_KEPT)
    };
    let text = asked["query"].as_str().unwrap_or_default().to_owned();
    let named = &asked["extensions"]["persistedQuery"];
    let text = if named.is_null() {
        text
    } else if front.is_old {
        return refusal("PersistedQueryNotSupported");
    } else {
        let hash = documents::hash(named).unwrap();
        match documents::resolve(&*front.store, &hash, &text).await {
            Ok(Named::Known(text)) => text.to_string(),
            Ok(Named::New) => {
                front.store.put(&hash, &text).await.unwrap();
                text
            }
            Err(error) => return refusal(&error.to_string()),
        }
    };
    if text.starts_with("mutation") {
        return answered(r#"{"data":{"rename":"x"}}"#.into(), "no-store");
    }
    let product = json!({ "__typename": "Product", "sku": "1", "title": "Tea" });
    let body = Bytes::from(json!({ "data": { "product": product } }).to_string());
    if parts.method == http::Method::GET {
        front.kept.lock().unwrap().insert(parts.uri, body.clone());
    }
    answered(body, "public, max-age=60")
}

fn answered(body: Bytes, cache: &'static str) -> Response<axum::body::Body> {
    let mut response = Response::new(axum::body::Body::from(body));
    response.headers_mut().insert("cache-control", HeaderValue::from_static(cache));
    response
}

/// A gateway that asks the subgraph by GET, or not.
async fn gateway(front: &Front, by_get: Option<&str>) -> Gateway {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/graphql", listener.local_addr().unwrap());
    let router = Router::new().fallback(self::front).with_state(front.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let subgraph = Subgraph { name: "catalogue".to_owned(), url, sdl: CATALOGUE.to_owned() };
    let mut transport = HttpTransport::new().unwrap();
    if let Some(name) = by_get {
        transport = transport.by_get(name);
    }
    Gateway::new(compose(&[subgraph]).unwrap(), Arc::new(transport), Config::default()).unwrap()
}

const TITLE: &str = "query ($sku: ID!, $as: Look) { product(sku: $sku, as: $as) { title } }";

async fn ask(gateway: &Gateway, query: &str, variables: Value, headers: &HeaderMap) -> Value {
    let Value::Object(variables) = variables else { panic!("variables are an object") };
    let request = gateway::Request { query: query.to_owned(), variables, ..gateway::Request::default() };
    let answer = gateway.answer(request, Method::Post, headers).await;
    serde_json::from_slice(&answer.body).unwrap()
}

fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    let pairs = pairs.iter();
    pairs.map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
}

const GET: http::Method = http::Method::GET;
const POST: http::Method = http::Method::POST;

#[tokio::test]
async fn a_hot_query_is_answered_by_the_cache_in_front() {
    let front = Front::new(false);
    let gateway = gateway(&front, Some("catalogue")).await;
    let tea = json!({ "data": { "product": { "title": "Tea" } } });
    let none = HeaderMap::new();
    // Not known, told by POST, then kept: what comes after is the cache's, in whatever order its variables stand.
    for variables in [
        json!({ "sku": "1", "as": { "language": "en", "market": "GB" } }),
        json!({ "sku": "1", "as": { "language": "en", "market": "GB" } }),
        json!({ "as": { "market": "GB", "language": "en" }, "sku": "1" }),
    ] {
        assert_eq!(ask(&gateway, TITLE, variables, &none).await, tea);
    }
    assert_eq!(front.methods(), [GET, POST, GET]);
    assert_eq!(front.hits(), 1);
    assert_eq!(ask(&gateway, TITLE, json!({ "sku": "2" }), &none).await, tea);
    assert_eq!((front.methods().len(), front.hits()), (4, 1), "another product is another URL");
}

#[tokio::test]
async fn what_is_for_one_alone_goes_by_post() {
    let front = Front::new(false);
    let gateway = gateway(&front, Some("*")).await;
    let sku = || json!({ "sku": "1" });
    for private in [("authorization", "Bearer it"), ("x-consistency-token", "token")] {
        let _ = ask(&gateway, TITLE, sku(), &headers(&[private])).await;
    }
    let _ = ask(&gateway, "mutation { rename(sku: 1) }", json!({}), &HeaderMap::new()).await;
    assert_eq!(front.methods(), [POST, POST, POST]);
    let trace = headers(&[("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")]);
    let _ = ask(&gateway, TITLE, sku(), &trace).await;
    assert_eq!(front.methods()[3..], [GET, POST]);
    let asked = front.asked.lock().unwrap();
    assert!(asked[3].1.contains_key("traceparent") && !asked[3].1.contains_key("content-type"));
}

#[tokio::test]
async fn a_url_that_would_be_too_long_goes_by_post() {
    let front = Front::new(false);
    let gateway = gateway(&front, Some("catalogue")).await;
    let long = "x".repeat(8_192);
    let _ = ask(&gateway, TITLE, json!({ "sku": long }), &HeaderMap::new()).await;
    assert_eq!(front.methods(), [POST]);
}

#[tokio::test]
async fn it_is_off_unless_it_is_set() {
    let front = Front::new(false);
    for by_get in [None, Some("pricing")] {
        let gateway = gateway(&front, by_get).await;
        let _ = ask(&gateway, TITLE, json!({ "sku": "1" }), &HeaderMap::new()).await;
    }
    assert_eq!(front.methods(), [POST, POST]);
}

#[tokio::test]
async fn a_subgraph_that_takes_no_hashes_is_asked_by_post_from_then_on() {
    let front = Front::new(true);
    let gateway = gateway(&front, Some("catalogue")).await;
    for _ in 0..2 {
        let answer = ask(&gateway, TITLE, json!({ "sku": "1" }), &HeaderMap::new()).await;
        assert_eq!(answer["data"]["product"]["title"], "Tea");
    }
    assert_eq!(front.methods(), [GET, POST, POST]);
}

#[tokio::test]
async fn a_failure_is_the_answer_and_no_reason_to_ask_again() {
    let front = Front::new(false);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let counted = Arc::clone(&front.hits);
    let failing = axum::routing::any(move || {
        *counted.lock().unwrap() += 1;
        async { StatusCode::INTERNAL_SERVER_ERROR }
    });
    let router = Router::new().fallback_service(failing);
    tokio::spawn(async move { axum::serve(listener, router).await });
    let subgraph = Subgraph { name: "catalogue".to_owned(), url, sdl: CATALOGUE.to_owned() };
    let transport = Arc::new(HttpTransport::new().unwrap().by_get("catalogue"));
    let gateway = Gateway::new(compose(&[subgraph]).unwrap(), transport, Config::default()).unwrap();
    let answer = ask(&gateway, TITLE, json!({ "sku": "1" }), &HeaderMap::new()).await;
    assert_eq!(answer["errors"][0]["extensions"]["code"], "SUBGRAPH_HTTP_ERROR");
    assert_eq!(front.hits(), 1);
}
