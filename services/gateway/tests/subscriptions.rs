//! Subscriptions through the gateway: what clients hear, in both forms, and when it ends.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, BodyDataStream, to_bytes};
use bytes::Bytes;
use futures::stream::{StreamExt, unfold};
use futures::{FutureExt, future};
use gateway::transport::{InProcess, Subscriber};
use gateway::{Config, Gateway, Limits, Subgraph, TrustedDocuments, compose};
use http::{HeaderMap, Request, Response, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::watch;

const ORDERS: &str = r#"extend schema @link(url: "https://specs.apollo.dev/federation/v2.5", import: ["@key", "@authenticated"])

type Query {
  order(id: ID!): Order
}

type Subscription {
  orderStatus(id: ID!): Order
  secret: Int @authenticated
}

type Order @key(fields: "id") {
  id: ID!
  status: String!
  product: Product
}

type Product @key(fields: "sku", resolvable: false) {
  sku: ID!
}
"#;

const CATALOGUE: &str = r#"extend schema @link(url: "https://specs.apollo.dev/federation/v2.5", import: ["@key"])

type Query {
  products: [Product!]
}

type Product @key(fields: "sku") {
  sku: ID!
  title: String
}
"#;

/// What the orders tell, as a test says; each of these is an answer to an event.
struct World {
    gateway: Gateway,
    tell: watch::Sender<Value>,
    log: support::Log,
    /// What the subscriptions were asked.
    asked: Arc<std::sync::Mutex<Vec<(Value, HeaderMap)>>>,
}

fn stands(status: &str, sku: &str) -> Value {
    json!({ "data": { "orderStatus": { "__typename": "Order", "id": "1", "status": status, "product": { "__typename": "Product", "sku": sku } } } })
}

fn world(config: Config) -> World {
    let products = json!({ "Product": [{ "sku": "a", "title": "Tea", "$key": ["sku"] }, { "sku": "b", "title": "Cake", "$key": ["sku"] }] });
    let subgraphs =
        [("orders", ORDERS, json!({})), ("catalogue", CATALOGUE, json!({ "entities": products }))];
    let (transport, log) = support::transport_of(&subgraphs);
    let tell = watch::Sender::new(stands("PLACED", "a"));
    let (source, asked) = (tell.clone(), Arc::<std::sync::Mutex<Vec<_>>>::default());
    let noted = Arc::clone(&asked);
    let subscriber: Subscriber = Arc::new(move |request| {
        let body = serde_json::from_slice(request.body()).unwrap();
        noted.lock().unwrap().push((body, request.headers().clone()));
        let mut heard = source.subscribe();
        heard.mark_changed();
        let events = unfold(heard, |mut heard| async move {
            heard.changed().await.ok()?;
            let answer = heard.borrow_and_update().to_string();
            (answer != "\"end\"").then(|| (Response::new(Bytes::from(answer)), heard))
        });
        future::ready(events.boxed()).boxed()
    });
    let transport = InProcess::clone(&transport).with_subscriber("orders", subscriber);
    let subgraph = |(name, sdl): (&str, &str)| Subgraph {
        name: name.to_owned(),
        url: String::new(),
        sdl: sdl.to_owned(),
    };
    let supergraph = compose(&[("orders", ORDERS), ("catalogue", CATALOGUE)].map(subgraph)).unwrap();
    let gateway = Gateway::new(supergraph, Arc::new(transport), config).unwrap();
    World { gateway, tell, log, asked }
}

const STATUS: &str = "subscription S($id: ID!) { orderStatus(id: $id) { status product { title } } }";

fn asking(query: &str) -> Value {
    json!({ "query": query, "variables": { "id": "1" } })
}

async fn send(gateway: &Gateway, accept: &str, body: &Value) -> Response<Body> {
    let request =
        Request::post("/graphql").header("content-type", "application/json").header("accept", accept);
    gateway.stream(request.body(Bytes::from(body.to_string())).unwrap()).await
}

async fn get(gateway: &Gateway, accept: &str, pairs: &[(&str, &str)]) -> Response<Body> {
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    let request = Request::get(format!("/graphql?{query}")).header("accept", accept);
    gateway.stream(request.body(Bytes::new()).unwrap()).await
}

const SSE: &str = "text/event-stream";
const PARTS: &str = "multipart/mixed;subscriptionSpec=1.0, application/json";

fn body(response: Response<Body>) -> BodyDataStream {
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["cache-control"], "no-store");
    response.into_body().into_data_stream()
}

/// The next piece of a body; what is awaited comes, or the test fails.
async fn piece(body: &mut BodyDataStream) -> String {
    let piece = tokio::time::timeout(Duration::from_mins(10), body.next()).await.expect("something comes");
    String::from_utf8(piece.unwrap().unwrap().to_vec()).unwrap()
}

async fn whole(response: Response<Body>) -> (StatusCode, String) {
    let status = response.status();
    let bytes = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, String::from_utf8(bytes.to_vec()).unwrap())
}

async fn refused(response: Response<Body>) -> (u16, String) {
    let (status, text) = whole(response).await;
    let answer: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("no JSON: {text}"));
    (status.as_u16(), answer["errors"][0]["extensions"]["code"].as_str().unwrap_or_default().to_owned())
}

fn shown(status: &str, title: &str) -> String {
    format!(r#"{{"data":{{"orderStatus":{{"status":"{status}","product":{{"title":"{title}"}}}}}}}}"#)
}

#[tokio::test]
async fn each_event_is_completed_by_the_other_subgraphs() {
    let world = world(Config::default());
    let response = send(&world.gateway, SSE, &asking(STATUS)).await;
    assert_eq!(response.headers()["content-type"], "text/event-stream; charset=utf-8");
    let mut heard = body(response);
    assert_eq!(piece(&mut heard).await, ":\n\n");
    let event = |status: &str, title: &str| format!("event: next\ndata: {}\n\n", shown(status, title));
    assert_eq!(piece(&mut heard).await, event("PLACED", "Tea"));
    world.tell.send_replace(stands("CANCELLED", "b"));
    assert_eq!(piece(&mut heard).await, event("CANCELLED", "Cake"));
    // The source is asked once, for its own fields; the catalogue with each event.
    let asked = world.asked.lock().unwrap().clone();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].0["variables"], json!({ "id": "1" }));
    assert!(!asked[0].0["query"].as_str().unwrap().contains("title"));
    assert_eq!(world.log.lock().unwrap().len(), 2);
    world.tell.send_replace(json!("end"));
    assert_eq!(piece(&mut heard).await, "event: complete\ndata:\n\n");
    assert!(heard.next().await.is_none());
}

#[tokio::test]
async fn apollo_s_clients_hear_parts() {
    let world = world(Config::default());
    let response = send(&world.gateway, PARTS, &asking(STATUS)).await;
    assert_eq!(
        response.headers()["content-type"],
        "multipart/mixed;boundary=\"graphql\";subscriptionSpec=1.0"
    );
    let mut heard = body(response);
    assert_eq!(piece(&mut heard).await, "\r\n--graphql");
    let payload = format!("{{\"payload\":{}}}", shown("PLACED", "Tea"));
    assert_eq!(
        piece(&mut heard).await,
        format!("\r\ncontent-type: application/json\r\n\r\n{payload}\r\n--graphql")
    );
    world.tell.send_replace(json!("end"));
    assert_eq!(piece(&mut heard).await, "--\r\n");
    assert!(heard.next().await.is_none());
}

#[tokio::test]
async fn a_subscription_may_be_opened_by_get() {
    let world = world(Config::default());
    let mut heard =
        body(get(&world.gateway, SSE, &[("query", STATUS), ("variables", r#"{"id":"1"}"#)]).await);
    let _ = piece(&mut heard).await;
    assert!(piece(&mut heard).await.contains("PLACED"));
}

#[tokio::test(start_paused = true)]
async fn a_quiet_subscription_gives_signs_of_life() {
    let world = world(Config { heartbeat: Duration::from_secs(5), ..Config::default() });
    for (accept, beat) in
        [(SSE, ":\n\n"), (PARTS, "\r\ncontent-type: application/json\r\n\r\n{}\r\n--graphql")]
    {
        let mut heard = body(send(&world.gateway, accept, &asking(STATUS)).await);
        for _ in 0..2 {
            let _ = piece(&mut heard).await;
        }
        let began = tokio::time::Instant::now();
        for beats in 1..4 {
            assert_eq!(piece(&mut heard).await, beat);
            assert_eq!(began.elapsed().as_secs(), 5 * beats);
        }
        // What is told between two of them is not lost.
        world.tell.send_replace(stands("CANCELLED", "b"));
        assert!(piece(&mut heard).await.contains("CANCELLED"));
        world.tell.send_replace(stands("PLACED", "a"));
    }
}

#[tokio::test]
async fn who_is_slow_is_shown_the_newest_state() {
    let world = world(Config::default());
    let mut heard = body(send(&world.gateway, SSE, &asking(STATUS)).await);
    for _ in 0..2 {
        let _ = piece(&mut heard).await;
    }
    let before = world.log.lock().unwrap().len();
    for number in 0..100 {
        world.tell.send_replace(stands(&format!("S{number}"), "a"));
        tokio::task::yield_now().await;
    }
    assert_eq!(world.log.lock().unwrap().len(), before, "nothing is worked out for who does not listen");
    assert!(piece(&mut heard).await.contains("S99"));
    assert_eq!(world.log.lock().unwrap().len(), before + 1);
}

#[tokio::test]
async fn a_client_that_goes_frees_everything_and_the_number_is_limited() {
    let limits = Limits { subscriptions: 2, ..Limits::default() };
    let world = world(Config { limits, ..Config::default() });
    let first = send(&world.gateway, SSE, &asking(STATUS)).await;
    let second = send(&world.gateway, PARTS, &asking(STATUS)).await;
    assert_eq!((world.gateway.open_subscriptions(), world.tell.receiver_count()), (2, 2));
    let (status, code) = refused(send(&world.gateway, PARTS, &asking(STATUS)).await).await;
    assert_eq!((status, code.as_str()), (503, "SUBSCRIPTION_LIMIT_EXCEEDED"));
    drop(first);
    assert_eq!((world.gateway.open_subscriptions(), world.tell.receiver_count()), (1, 1));
    drop(body(send(&world.gateway, SSE, &asking(STATUS)).await));
    drop(second);
    assert_eq!((world.gateway.open_subscriptions(), world.tell.receiver_count()), (0, 0));
}

#[tokio::test]
async fn a_gateway_that_stops_ends_its_subscriptions_and_opens_no_more() {
    let world = world(Config::default());
    let mut stream = body(send(&world.gateway, SSE, &asking(STATUS)).await);
    let mut parts = body(send(&world.gateway, PARTS, &asking(STATUS)).await);
    for heard in [&mut stream, &mut parts] {
        for _ in 0..2 {
            let _ = piece(heard).await;
        }
    }
    world.gateway.end_subscriptions();
    assert_eq!(piece(&mut stream).await, "event: complete\ndata:\n\n");
    assert_eq!(piece(&mut parts).await, "--\r\n");
    assert!(stream.next().await.is_none() && parts.next().await.is_none());
    assert_eq!((world.gateway.open_subscriptions(), world.tell.receiver_count()), (0, 0));
    let (status, code) = refused(send(&world.gateway, PARTS, &asking(STATUS)).await).await;
    assert_eq!((status, code.as_str()), (503, "STOPPING"));
}

#[tokio::test]
async fn who_takes_no_stream_is_told_which_to_take() {
    let world = world(Config::default());
    for accept in
        ["application/json", "application/graphql-response+json", "*/*", "multipart/mixed, application/json"]
    {
        let response = send(&world.gateway, accept, &asking(STATUS)).await;
        let (status, text) = whole(response).await;
        assert_eq!(status, StatusCode::NOT_ACCEPTABLE, "{accept}");
        let error = &serde_json::from_str::<Value>(&text).unwrap()["errors"][0];
        assert_eq!(error["extensions"]["code"], "SUBSCRIPTION_NEEDS_STREAM");
        let message = error["message"].as_str().unwrap();
        assert!(
            message.contains("text/event-stream") && message.contains("multipart/mixed;subscriptionSpec=1.0")
        );
    }
    // Where answers go out whole, as on Lambda.
    let request =
        Request::post("/graphql").header("content-type", "application/json").header("accept", PARTS);
    let answer = world.gateway.handle(request.body(asking(STATUS).to_string().into()).unwrap()).await;
    let answer: Value = serde_json::from_slice(answer.body()).unwrap();
    assert_eq!(answer["errors"][0]["extensions"]["code"], "SUBSCRIPTIONS_NOT_SUPPORTED");
    assert!(answer["errors"][0]["message"].as_str().unwrap().contains("Lambda"));
    assert_eq!(world.tell.receiver_count(), 0);
}

#[tokio::test]
async fn who_takes_streams_alone_gets_all_answers_as_one() {
    let world = world(Config::default());
    let (status, text) = whole(send(&world.gateway, SSE, &json!({ "query": "{ __typename }" })).await).await;
    assert_eq!(
        (status, text.as_str()),
        (
            StatusCode::OK,
            "event: next\ndata: {\"data\":{\"__typename\":\"Query\"}}\n\nevent: complete\ndata:\n\n"
        )
    );
    let (status, text) =
        whole(send(&world.gateway, SSE, &json!({ "query": "subscription { nothing }" })).await).await;
    assert_eq!(status, StatusCode::OK);
    assert!(
        text.starts_with("event: next\ndata: {\"errors\":") && text.ends_with("event: complete\ndata:\n\n"),
        "{text}"
    );
    // Who takes JSON as well gets JSON.
    let both = "application/json, text/event-stream";
    let (_, text) = whole(send(&world.gateway, both, &json!({ "query": "{ __typename }" })).await).await;
    assert_eq!(text, r#"{"data":{"__typename":"Query"}}"#);
    let mut heard = body(send(&world.gateway, both, &asking(STATUS)).await);
    assert_eq!(piece(&mut heard).await, ":\n\n");
}

#[tokio::test]
async fn errors_of_an_event_stand_in_it_and_the_next_one_may_be_whole() {
    let world = world(Config::default());
    let mut heard = body(send(&world.gateway, SSE, &asking(STATUS)).await);
    for _ in 0..2 {
        let _ = piece(&mut heard).await;
    }
    let failure = json!({ "data": { "orderStatus": null }, "errors": [{ "message": "not now", "path": ["orderStatus"], "extensions": { "code": "BUSY" } }] });
    world.tell.send_replace(failure);
    let event = piece(&mut heard).await;
    let data = event.strip_prefix("event: next\ndata: ").unwrap();
    let answer: Value = serde_json::from_str(data.trim_end()).unwrap();
    assert_eq!(answer["data"]["orderStatus"], Value::Null);
    assert_eq!(answer["errors"][0]["path"], json!(["orderStatus"]));
    assert_eq!(answer["errors"][0]["extensions"], json!({ "code": "BUSY", "serviceName": "orders" }));
    world.tell.send_replace(stands("CANCELLED", "b"));
    assert!(piece(&mut heard).await.contains("Cake"));
}

#[tokio::test]
async fn limits_rights_and_trusted_documents_hold_for_subscriptions() {
    let limits = Limits { depth: 2, ..Limits::default() };
    let world = world(Config { limits, ..Config::default() });
    let code = |response| async { refused(response).await.1 };
    assert_eq!(code(send(&world.gateway, PARTS, &asking(STATUS)).await).await, "DEPTH_LIMIT_EXCEEDED");
    let secret = json!({ "query": "subscription { secret }" });
    assert_eq!(code(send(&world.gateway, PARTS, &secret).await).await, "UNAUTHORIZED_FIELD_OR_TYPE");
    let two = json!({ "query": "subscription { secret orderStatus(id: 1) { status } }" });
    assert_eq!(code(send(&world.gateway, PARTS, &two).await).await, "GRAPHQL_VALIDATION_FAILED");
    assert_eq!(world.tell.receiver_count(), 0);

    let trusted = TrustedDocuments::parse(&json!({ "status": STATUS }).to_string()).unwrap();
    let persisted_queries = gateway::PersistedQueries::Trusted(Arc::new(trusted));
    let world = self::world(Config { persisted_queries, ..Config::default() });
    let other = json!({ "query": "subscription { orderStatus(id: 1) { status } }" });
    assert_eq!(code(send(&world.gateway, PARTS, &other).await).await, "DOCUMENT_NOT_TRUSTED");
    let mut heard = body(
        send(&world.gateway, PARTS, &json!({ "documentId": "status", "variables": { "id": "1" } })).await,
    );
    let _ = piece(&mut heard).await;
    assert!(piece(&mut heard).await.contains("PLACED"));
}

#[tokio::test]
async fn a_document_is_named_by_its_hash() {
    let world = world(Config::default());
    let hash = Sha256::digest(STATUS).iter().fold(String::new(), |hash, byte| format!("{hash}{byte:02x}"));
    let extensions = json!({ "persistedQuery": { "version": 1, "sha256Hash": hash } });
    let mut named = json!({ "extensions": extensions, "variables": { "id": "1" } });
    let (status, code) = refused(send(&world.gateway, PARTS, &named).await).await;
    assert_eq!((status, code.as_str()), (200, "PERSISTED_QUERY_NOT_FOUND"));
    named["query"] = STATUS.into();
    drop(body(send(&world.gateway, PARTS, &named).await));
    named.as_object_mut().unwrap().remove("query");
    let mut heard = body(send(&world.gateway, PARTS, &named).await);
    let _ = piece(&mut heard).await;
    assert!(piece(&mut heard).await.contains("PLACED"));
}

#[tokio::test]
async fn a_subgraph_that_tells_no_events_says_so() {
    let subgraphs = [("orders", ORDERS, json!({})), ("catalogue", CATALOGUE, json!({}))];
    let (gateway, _) = support::gateway_of(&subgraphs, Config::default());
    let (_, code) = refused(send(&gateway, PARTS, &asking(STATUS)).await).await;
    assert_eq!(code, "SUBSCRIPTIONS_NOT_SUPPORTED");
    assert_eq!(gateway.open_subscriptions(), 0);
}

#[tokio::test]
async fn the_plan_shows_what_is_done_for_each_event() {
    let world = world(Config { explain: gateway::Explain::Open, ..Config::default() });
    let request =
        Request::post("/graphql?explain").header("content-type", "application/json").header("accept", PARTS);
    let answer = world.gateway.stream(request.body(asking(STATUS).to_string().into()).unwrap()).await;
    let plan: Value = serde_json::from_str(&whole(answer).await.1).unwrap();
    let plan = &plan["extensions"]["explain"]["plan"];
    assert_eq!(plan["subscription"]["subgraph"], "orders");
    assert!(plan["eachEvent"].to_string().contains("catalogue"), "{plan}");
}
