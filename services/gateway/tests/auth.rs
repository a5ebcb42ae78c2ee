//! Who may see what: guarded fields are left out before any subgraph is asked.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use futures::StreamExt;
use gateway::auth::{Auth, KeySetError, KeySource};
use gateway::{Config, Gateway, Supergraph};
use http::{Request, Response, StatusCode};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

/// As composed, with guards on a field, a type, and through an interface.
const SUPERGRAPH: &str = r#"
schema
  @link(url: "https://specs.apollo.dev/link/v1.0")
  @link(url: "https://specs.apollo.dev/join/v0.3", for: EXECUTION)
  @link(url: "https://specs.apollo.dev/authenticated/v0.1", for: SECURITY)
  @link(url: "https://specs.apollo.dev/requiresScopes/v0.1", as: "needs", for: SECURITY)
  @link(url: "https://specs.apollo.dev/policy/v0.1", for: SECURITY)
{ query: Query subscription: Subscription }

directive @link(url: String, as: String, for: link__Purpose, import: [String]) repeatable on SCHEMA
directive @join__graph(name: String!, url: String!) on ENUM_VALUE
directive @join__type(graph: join__Graph!, key: String) repeatable on OBJECT | INTERFACE | ENUM | SCALAR
directive @join__implements(graph: join__Graph!, interface: String!) repeatable on OBJECT | INTERFACE
directive @authenticated on FIELD_DEFINITION | OBJECT | INTERFACE | SCALAR | ENUM
directive @needs(scopes: [[String!]!]!) on FIELD_DEFINITION | OBJECT | INTERFACE | SCALAR | ENUM
directive @policy(policies: [[String!]!]!) on FIELD_DEFINITION | OBJECT | INTERFACE | SCALAR | ENUM
enum link__Purpose { SECURITY EXECUTION }
enum join__Graph { SHOP @join__graph(name: "shop", url: "http://shop") }

type Query @join__type(graph: SHOP) {
  title: String
  mine: String @authenticated
  cost: Int! @needs(scopes: [["cost:read", "staff"], ["admin"]])
  plan: String @policy(policies: [["planner"]])
  orders: [Order!]
  things: [Thing!]
}

type Subscription @join__type(graph: SHOP) { told: String @authenticated }

interface Thing @join__type(graph: SHOP) { name: String }
type Order @join__type(graph: SHOP) @authenticated { id: ID  total: Int }
type Open implements Thing @join__implements(graph: SHOP, interface: "Thing") @join__type(graph: SHOP) { name: String }
type Secret implements Thing @join__implements(graph: SHOP, interface: "Thing") @join__type(graph: SHOP) {
  name: String @needs(scopes: [["secrets"]])
}
"#;

/// Keys that a test may replace, and how often they were asked for.
#[derive(Default)]
struct Keys {
    set: Mutex<Vec<Value>>,
    asked: AtomicUsize,
}

#[async_trait]
impl KeySource for Keys {
    async fn load(&self) -> Result<String, KeySetError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let keys = self.set.lock().unwrap().clone();
        if keys.is_empty() {
            return Err(KeySetError::Source("down".to_owned()));
        }
        Ok(json!({ "keys": keys }).to_string())
    }
}

struct Signer {
    id: &'static str,
    private: Vec<u8>,
    public: Value,
}

impl Signer {
    fn new(id: &'static str) -> Self {
        let private = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap().as_ref().to_vec();
        let public = Ed25519KeyPair::from_pkcs8(&private).unwrap();
        let x = URL_SAFE_NO_PAD.encode(public.public_key().as_ref());
        let public =
            json!({ "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": id, "x": x });
        Self { id, private, public }
    }

    fn sign(&self, claims: &Value) -> String {
        let header = Header { kid: Some(self.id.to_owned()), ..Header::new(Algorithm::EdDSA) };
        format!("Bearer {}", encode(&header, claims, &EncodingKey::from_ed_der(&self.private)).unwrap())
    }
}

/// In the year 2100.
const LATE: u64 = 4_102_444_800;

fn claims(scope: &str) -> Value {
    json!({ "sub": "1", "exp": LATE, "iss": "https://issuer", "aud": "shop", "scope": scope, "policies": ["planner"] })
}

struct World {
    gateway: Gateway,
    keys: Arc<Keys>,
    log: Arc<Mutex<Vec<String>>>,
}

fn world(signer: &Signer) -> World {
    let keys = Arc::new(Keys::default());
    keys.set.lock().unwrap().push(signer.public.clone());
    let log = Arc::new(Mutex::new(Vec::new()));
    let asked = Arc::clone(&log);
    let handler: gateway::transport::Handler = Arc::new(move |request| {
        let body: Value = serde_json::from_slice(request.body()).unwrap();
        asked.lock().unwrap().push(body["query"].as_str().unwrap().to_owned());
        let asks = |name: &str| body["query"].as_str().unwrap().contains(name);
        let mut data = json!({
            "title": "shop", "mine": "mine", "cost": 3, "plan": "b",
            "orders": [{ "id": "1", "total": 2 }], "things": [{ "__typename": "Open", "name": "o" }],
        });
        data.as_object_mut().unwrap().retain(|name, _| asks(name));
        let data = json!({ "data": data });
        let mut response = Response::new(Bytes::from(data.to_string()));
        response.headers_mut().insert("cache-control", "public, max-age=60".parse().unwrap());
        Box::pin(async move { response })
    });
    let subscriber: gateway::transport::Subscriber = Arc::new(|_| {
        let event = || Response::new(Bytes::from_static(br#"{"data":{"told":"it"}}"#));
        Box::pin(async move { futures::stream::repeat_with(event).boxed() })
    });
    let transport = gateway::transport::InProcess::new().with("shop", handler);
    let transport = Arc::new(transport.with_subscriber("shop", subscriber));
    let auth = Auth {
        issuers: vec!["https://issuer".to_owned()],
        audiences: vec!["shop".to_owned()],
        ..Auth::new(Arc::clone(&keys) as Arc<dyn KeySource>)
    };
    let config = Config { auth: Some(auth), ..Config::default() };
    let gateway = support::gateway_over(Supergraph::parse(SUPERGRAPH).unwrap(), transport, config);
    World { gateway, keys, log }
}

impl World {
    async fn ask(&self, query: &str, authorization: Option<&str>) -> (StatusCode, Value, String) {
        let mut request = Request::post("/graphql").header("content-type", "application/json");
        if let Some(value) = authorization {
            request = request.header("authorization", value);
        }
        let body = Bytes::from(json!({ "query": query }).to_string());
        let response = self.gateway.handle(request.body(body).unwrap()).await;
        let cache = response.headers()["cache-control"].to_str().unwrap().to_owned();
        (response.status(), serde_json::from_slice(response.body()).unwrap(), cache)
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.log.lock().unwrap())
    }
}

#[tokio::test]
async fn what_may_not_be_seen_is_never_asked_for() {
    let world = world(&Signer::new("one"));
    let (status, answer, cache) = world.ask("{ title mine orders { id } }", None).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(answer["data"], json!({ "title": "shop", "mine": null, "orders": null }));
    let errors = answer["errors"].as_array().unwrap();
    let paths: Vec<&Value> = errors.iter().map(|error| &error["path"]).collect();
    assert_eq!(paths, [&json!(["mine"]), &json!(["orders"])]);
    assert!(errors.iter().all(|error| error["extensions"]["code"] == "UNAUTHORIZED_FIELD_OR_TYPE"));
    assert_eq!(cache, "no-store");
    assert_eq!(world.asked(), ["{title}"]);
    // Where nothing is left, nobody is asked.
    let (_, answer, _) = world.ask("{ mine }", None).await;
    assert_eq!(answer["data"], json!({ "mine": null }));
    assert!(world.asked().is_empty());
}

#[tokio::test]
async fn a_field_that_is_never_null_nulls_what_is_around_it_with_one_error() {
    let (_, answer, _) = world(&Signer::new("one")).ask("{ title cost }", None).await;
    assert_eq!(answer["data"], Value::Null);
    assert_eq!(answer["errors"].as_array().unwrap().len(), 1, "{answer}");
}

#[tokio::test]
async fn rights_open_fields_and_their_answers_are_for_one_client() {
    let signer = Signer::new("one");
    let world = world(&signer);
    let some = signer.sign(&claims("cost:read"));
    let (_, answer, cache) = world.ask("{ mine plan orders { total } }", Some(&some)).await;
    assert_eq!(answer, json!({ "data": { "mine": "mine", "plan": "b", "orders": [{ "total": 2 }] } }));
    assert_eq!(cache, "max-age=60, private");
    let (_, _, cache) = world.ask("{ title }", Some(&some)).await;
    assert_eq!(cache, "max-age=60, public");
    // One of the lists of scopes, all of its names.
    assert_eq!(world.ask("{ cost }", Some(&some)).await.1["data"], Value::Null);
    for scope in ["cost:read staff", "admin"] {
        let token = signer.sign(&claims(scope));
        assert_eq!(world.ask("{ cost }", Some(&token)).await.1, json!({ "data": { "cost": 3 } }), "{scope}");
    }
}

#[tokio::test]
async fn an_interface_is_no_way_around() {
    let signer = Signer::new("one");
    let world = world(&signer);
    let (_, answer, _) = world.ask("{ things { name } }", None).await;
    assert_eq!(answer["errors"][0]["path"], json!(["things"]));
    assert!(
        world.asked().iter().all(|query| !query.contains("{name") && !query.contains(" name")),
        "the name is not asked for"
    );
    let token = signer.sign(&claims("secrets"));
    let (_, answer, _) = world.ask("{ things { name } }", Some(&token)).await;
    assert_eq!(answer, json!({ "data": { "things": [{ "name": "o" }] } }));
}

#[tokio::test]
async fn a_token_that_does_not_hold_is_refused() {
    let signer = Signer::new("one");
    let world = world(&signer);
    let other = Signer { id: "one", ..Signer::new("other") };
    let with = |name: &str, value: Value| {
        let mut claims = claims("");
        claims[name] = value;
        signer.sign(&claims)
    };
    let without_exp = signer.sign(&json!({ "iss": "https://issuer", "aud": "shop" }));
    let unsigned =
        format!("Bearer {}.{}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#), URL_SAFE_NO_PAD.encode("{}"));
    let wrong = [
        other.sign(&claims("")),
        with("exp", json!(1)),
        with("nbf", json!(LATE)),
        with("iss", json!("https://other")),
        with("aud", json!("other")),
        without_exp,
        unsigned,
        "Bearer nonsense".to_owned(),
        "Basic dGVh".to_owned(),
        "nonsense".to_owned(),
    ];
    for token in &wrong {
        let (status, answer, cache) = world.ask("{ title }", Some(token)).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{token}");
        assert_eq!(answer["errors"][0]["extensions"]["code"], "UNAUTHENTICATED");
        assert_eq!(cache, "no-store");
    }
    assert!(world.asked().is_empty());
}

#[tokio::test(start_paused = true)]
async fn keys_are_kept_and_rotate() {
    let (old, new) = (Signer::new("old"), Signer::new("new"));
    let world = world(&old);
    let asked = || world.keys.asked.load(Ordering::Relaxed);
    let status = async |signer: &Signer| world.ask("{ title }", Some(&signer.sign(&claims("")))).await.0;
    for _ in 0..3 {
        assert_eq!(status(&old).await, StatusCode::OK);
    }
    assert_eq!(asked(), 1);
    // A key that is not known has the set asked for again, but not each time.
    world.keys.set.lock().unwrap().push(new.public.clone());
    assert_eq!(status(&new).await, StatusCode::UNAUTHORIZED);
    assert_eq!(asked(), 1);
    tokio::time::advance(Duration::from_secs(31)).await;
    assert_eq!(status(&new).await, StatusCode::OK);
    assert_eq!(asked(), 2);
    // The source may be down; what was known holds.
    world.keys.set.lock().unwrap().clear();
    tokio::time::advance(Duration::from_mins(6)).await;
    assert_eq!(status(&old).await, StatusCode::OK);
    // A key that was taken out is good no longer than the set is kept.
    world.keys.set.lock().unwrap().push(new.public.clone());
    assert_eq!(status(&old).await, StatusCode::UNAUTHORIZED);
    assert_eq!(status(&new).await, StatusCode::OK);
}

#[tokio::test]
async fn without_keys_nobody_is_let_in_by_a_token() {
    let signer = Signer::new("one");
    let world = world(&signer);
    world.keys.set.lock().unwrap().clear();
    let (status, answer, _) = world.ask("{ title }", Some(&signer.sign(&claims("")))).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer["errors"][0]["extensions"]["code"], "AUTH_UNAVAILABLE");
    assert_eq!(world.ask("{ title }", None).await.0, StatusCode::OK);
}

/// Time stands still but for what a test lets pass: keys grow old.
#[tokio::test(start_paused = true)]
async fn a_subscription_lasts_no_longer_than_the_token_that_opened_it() {
    let signer = Signer::new("one");
    let world = world(&signer);
    let token = signer.sign(&claims(""));
    let open = async |authorization: &str| {
        let request = Request::post("/graphql")
            .header("content-type", "application/json")
            .header("accept", "multipart/mixed;subscriptionSpec=1.0, application/json")
            .header("authorization", authorization);
        let body = Bytes::from_static(br#"{"query":"subscription { told }"}"#);
        world.gateway.stream(request.body(body).unwrap()).await
    };
    assert_eq!(open("Bearer nonsense").await.status(), StatusCode::UNAUTHORIZED);
    let mut heard = open(&token).await.into_body().into_data_stream();
    let mut told = Vec::new();
    for _ in 0..3 {
        told.push(String::from_utf8(heard.next().await.unwrap().unwrap().to_vec()).unwrap());
    }
    assert!(told[1].contains(r#"{"payload":{"data":{"told":"it"}}}"#) && told[2] == told[1], "{told:?}");
    // Another key has taken its place; the old one is no longer good once it is asked for again.
    *world.keys.set.lock().unwrap() = vec![Signer::new("two").public];
    tokio::time::advance(Duration::from_mins(6)).await;
    let last = heard.next().await.unwrap().unwrap();
    let last = String::from_utf8_lossy(&last);
    assert!(last.contains(r#"{"payload":null,"errors":[{"#) && last.contains("UNAUTHENTICATED"), "{last}");
    assert_eq!(&heard.next().await.unwrap().unwrap()[..], b"--\r\n");
    assert!(heard.next().await.is_none());
    assert_eq!(world.gateway.open_subscriptions(), 0);
}
