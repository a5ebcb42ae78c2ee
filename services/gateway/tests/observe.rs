//! What is seen of operations from outside: plans, the log of slow ones, and who uses what.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use gateway::{Config, EXPLAIN_KEY, Explain, Gateway, Usage, UsageInStore, UsageSink};
use http::{HeaderMap, HeaderValue, Request, Response};
use jiff::Timestamp;
use schemas::usage::UsageLine;
use schemas::{Schemas, Variant};
use serde_json::{Value, json};

const PRODUCTS: &str = r#"extend schema @link(url: "https://specs.apollo.dev/federation/v2.5", import: ["@key"])

type Query {
  product(id: ID): Product
}

type Product @key(fields: "id") {
  id: ID!
  title: String
}
"#;

const PRICES: &str = r#"extend schema @link(url: "https://specs.apollo.dev/federation/v2.5", import: ["@key"])

type Product @key(fields: "id") {
  id: ID!
  price: Int
}
"#;

fn gateway(config: Config) -> (Gateway, support::Log) {
    let products = json!({ "Query": { "product": { "__typename": "Product", "id": "1", "title": "Tea" } } });
    let prices = json!({ "entities": { "Product": [{ "id": "1", "price": 4 }] } });
    support::gateway_of(&[("products", PRODUCTS, products), ("prices", PRICES, prices)], config)
}

const QUERY: &str = "query Shown { product(id: 1) { title price } }";

async fn asked(gateway: &Gateway, url: &str, headers: &[(&'static str, &str)]) -> Response<Bytes> {
    let body = json!({ "query": QUERY }).to_string();
    let mut request = Request::post(url).header("content-type", "application/json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    gateway.handle(request.body(Bytes::from(body)).unwrap()).await
}

fn json_of(response: &Response<Bytes>) -> Value {
    serde_json::from_slice(response.body()).unwrap()
}

fn answered() -> Value {
    json!({ "data": { "product": { "title": "Tea", "price": 4 } } })
}

#[tokio::test]
async fn a_plan_is_shown_in_place_of_the_answer() {
    let (gateway, log) = gateway(Config { explain: Explain::Open, ..Config::default() });
    let response = asked(&gateway, "/graphql?explain", &[]).await;
    assert_eq!(response.headers()["cache-control"], "no-store");
    let shown = json_of(&response);
    assert_eq!(shown["data"], Value::Null);
    let explained = &shown["extensions"]["explain"];
    assert_eq!(explained["supergraph"], gateway.supergraph().hash());
    assert!(explained["cost"].as_u64().unwrap() > 0);
    let steps = explained["plan"]["sequence"].as_array().unwrap();
    let told: Vec<_> = steps.iter().map(|step| (&step["fetch"]["subgraph"], &step["fetch"]["at"])).collect();
    assert_eq!(told, [(&json!("products"), &json!([""])), (&json!("prices"), &json!(["product"]))]);
    assert!(steps[1]["fetch"]["query"].as_str().unwrap().contains("price"));
    assert!(log.lock().unwrap().is_empty(), "nobody is asked for it");
    assert_eq!(json_of(&asked(&gateway, "/graphql", &[]).await), answered());
}

#[tokio::test]
async fn plans_are_for_who_may_see_them() {
    let (closed, _) = gateway(Config::default());
    assert_eq!(json_of(&asked(&closed, "/graphql?explain", &[(EXPLAIN_KEY, "")]).await), answered());
    let key = Explain::Key("secret".into());
    assert!(!format!("{key:?}").contains("secret"));
    let (guarded, _) = gateway(Config { explain: key, ..Config::default() });
    for headers in [&[][..], &[(EXPLAIN_KEY, "guessed")]] {
        assert_eq!(json_of(&asked(&guarded, "/graphql?explain", headers).await), answered());
    }
    let shown = json_of(&asked(&guarded, "/graphql?explain", &[(EXPLAIN_KEY, "secret")]).await);
    assert!(shown["extensions"]["explain"]["plan"].is_object(), "{shown}");
}

/// Log lines, for a test to look at.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_slow_operation_is_logged_with_its_plan() {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt().json().with_writer(move || writer.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let logged = || {
        let text = String::from_utf8(std::mem::take(&mut *lines.0.lock().unwrap())).unwrap();
        let all = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["fields"].clone());
        all.filter(|fields| fields["message"] == "a slow operation").collect::<Vec<_>>()
    };
    for slow_after in [None, Some(Duration::from_mins(1))] {
        let (quick, _) = gateway(Config { slow_after, ..Config::default() });
        support::ask(&quick, QUERY, Value::Null).await;
        assert!(logged().is_empty());
    }
    let (slow, _) = gateway(Config { slow_after: Some(Duration::ZERO), ..Config::default() });
    let answer = support::ask(&slow, QUERY, Value::Null).await;
    let logged = logged();
    assert_eq!((logged.len(), &logged[0]["operation"]), (1, &json!("Shown")));
    assert_eq!(logged[0]["bytes"], answer.body.len());
    let plan: Value = serde_json::from_str(logged[0]["plan"].as_str().unwrap()).unwrap();
    assert_eq!(plan["sequence"][1]["fetch"]["subgraph"], "prices");
}

fn client(headers: &[(&'static str, &'static str)]) -> HeaderMap {
    headers.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
}

async fn sent(gateway: &Gateway, query: &str, headers: &HeaderMap) {
    let request = gateway::Request { query: query.to_owned(), ..gateway::Request::default() };
    let _ = gateway.answer(request, gateway::Method::Get, headers).await;
}

#[tokio::test]
async fn the_registry_is_told_who_uses_what() {
    let (schemas, variant): (_, Variant) = (Schemas::in_memory(), "production".parse().unwrap());
    let usage = Usage {
        sink: Arc::new(UsageInStore { schemas: schemas.clone(), variant: variant.clone() }),
        contract: Some("public".parse().unwrap()),
        every: Duration::from_mins(1),
        clock: || Timestamp::constant(1_700_000_000, 0),
    };
    let (gateway, _) = gateway(Config { usage: Some(usage), ..Config::default() });
    let web = client(&[("graphql-client-name", "web"), ("apollographql-client-version", "1.2")]);
    // Literals and aliases are nobody's business; what is not valid is used by nobody.
    for query in [
        "query A { x: product(id: 1) { title } }",
        "query A { product(id: 2) { title } }",
        "query A { nothing }",
        "query B { product(id: 1) { price } }",
    ] {
        sent(&gateway, query, &web).await;
    }
    sent(&gateway, "query B { product(id: 1) { price } }", &HeaderMap::new()).await;
    gateway.flush().await;
    let usage = schemas.usage(&variant, Timestamp::UNIX_EPOCH).await.unwrap();
    let mut used = Vec::new();
    for ((contract, _), operation) in &usage.operations {
        assert_eq!(contract.as_ref().map(ToString::to_string).as_deref(), Some("public"));
        assert!(!operation.text.contains("x:") && !operation.text.contains('2'), "{}", operation.text);
        for (client, used_by) in &operation.clients {
            let (name, version) = (client.name.as_str(), client.version.as_str());
            used.push((operation.name.as_str(), name, version, used_by.count));
        }
    }
    used.sort_unstable();
    assert_eq!(used, [("A", "web", "1.2", 2), ("B", "", "", 1), ("B", "web", "1.2", 1)]);
    gateway.flush().await;
    assert_eq!(schemas.usage(&variant, Timestamp::UNIX_EPOCH).await.unwrap(), usage, "nothing counts twice");
}

/// Tells each batch of lines that it gets, and fails.
struct Told(tokio::sync::mpsc::UnboundedSender<Vec<UsageLine>>);

#[async_trait]
impl UsageSink for Told {
    async fn record(&self, lines: &[UsageLine]) -> Result<(), String> {
        self.0.send(lines.to_vec()).map_err(|error| error.to_string())?;
        Err("the store is down".to_owned())
    }
}

#[tokio::test(start_paused = true)]
async fn usage_is_written_when_an_interval_is_over() {
    let (told, mut batches) = tokio::sync::mpsc::unbounded_channel();
    let usage = Usage {
        sink: Arc::new(Told(told)),
        contract: None,
        every: Duration::from_mins(1),
        clock: || Timestamp::UNIX_EPOCH,
    };
    let (gateway, _) = gateway(Config { usage: Some(usage), ..Config::default() });
    for _ in 0..3 {
        sent(&gateway, QUERY, &HeaderMap::new()).await;
    }
    assert!(batches.is_empty());
    tokio::time::advance(Duration::from_mins(1)).await;
    sent(&gateway, QUERY, &HeaderMap::new()).await;
    let lines = batches.recv().await.unwrap();
    assert_eq!((lines.len(), lines[0].count), (1, 4));
    // A store that is down costs what it did not take, and no answer.
    sent(&gateway, QUERY, &HeaderMap::new()).await;
    gateway.flush().await;
    assert_eq!(batches.recv().await.unwrap()[0].count, 1);
}
