//! What clients and caches see at the edge: persisted queries, cache headers and tags, tokens, guards.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures::FutureExt;
use gateway::transport::{Handler, InProcess, SubgraphRequest, SubgraphResponse, Transport, TransportError};
use gateway::{CacheSizes, Config, Gateway, Limits, PersistedQueries, TrustedDocuments};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const SDL: &str = r#"extend schema @link(url: "https://specs.apollo.dev/federation/v2.5", import: ["@key"])

type Query {
  price: Int
  title: String
}

type Mutation {
  change: Int
}
"#;

/// A subgraph whose headers and answers a test sets, and that counts and notes what it is asked.
#[derive(Clone)]
struct Subgraph {
    answer: Arc<Mutex<(StatusCode, HeaderMap, String)>>,
    asked: Arc<AtomicUsize>,
    headers: Arc<Mutex<HeaderMap>>,
}

impl Subgraph {
    fn new(headers: &[(&'static str, &'static str)]) -> Self {
        let subgraph = Self { answer: Arc::default(), asked: Arc::default(), headers: Arc::default() };
        subgraph.answers(StatusCode::OK, headers, r#"{"data":{"price":1}}"#);
        subgraph
    }

    fn answers(&self, status: StatusCode, headers: &[(&'static str, &'static str)], body: &str) {
        let headers = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        *self.answer.lock().unwrap() = (status, headers, body.to_owned());
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    fn gateway(&self, config: Config) -> Gateway {
        let subgraph = self.clone();
        let handler: Handler = Arc::new(move |request| {
            subgraph.asked.fetch_add(1, Ordering::Relaxed);
            *subgraph.headers.lock().unwrap() = request.headers().clone();
            let (status, headers, body) = subgraph.answer.lock().unwrap().clone();
            let mut response = Response::new(Bytes::from(body));
            *response.status_mut() = status;
            *response.headers_mut() = headers;
            async move { response }.boxed()
        });
        let transport = Arc::new(InProcess::new().with("main", handler));
        support::gateway_with(&[("main", SDL, Value::Null)], transport, config)
    }
}

async fn send(
    gateway: &Gateway,
    method: Method,
    query: &str,
    headers: &[(&str, &str)],
    body: &Value,
) -> Response<Bytes> {
    let mut request =
        Request::builder().method(method).uri(format!("/graphql{query}")).header("host", "shop.example");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let body = if body.is_null() { Bytes::new() } else { body.to_string().into() };
    gateway.handle(request.body(body).unwrap()).await
}

async fn get(gateway: &Gateway, parameters: &[(&str, &str)], headers: &[(&str, &str)]) -> Response<Bytes> {
    let query = form_urlencoded::Serializer::new("?".to_owned()).extend_pairs(parameters).finish();
    send(gateway, Method::GET, &query, headers, &Value::Null).await
}

async fn post(gateway: &Gateway, headers: &[(&str, &str)], body: Value) -> Response<Bytes> {
    let mut all = vec![("content-type", "application/json")];
    all.extend(headers);
    send(gateway, Method::POST, "", &all, &body).await
}

fn header<'a>(response: &'a Response<Bytes>, name: &str) -> &'a str {
    response.headers().get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
}

fn json_of(response: &Response<Bytes>) -> Value {
    serde_json::from_slice(response.body()).unwrap()
}

fn code(response: &Response<Bytes>) -> String {
    json_of(response)["errors"][0]["extensions"]["code"].as_str().unwrap_or_default().to_owned()
}

fn hash(document: &str) -> String {
    Sha256::digest(document).iter().fold(String::new(), |hash, byte| format!("{hash}{byte:02x}"))
}

fn extension(document: &str) -> Value {
    json!({ "persistedQuery": { "version": 1, "sha256Hash": hash(document) } })
}

const PUBLIC: (&str, &str) = ("cache-control", "public, max-age=60");
const PRICE: &[(&str, &str)] = &[("query", "{ price }")];

#[tokio::test]
async fn a_client_names_a_document_then_sends_it_then_names_it_for_good() {
    let gateway = Subgraph::new(&[PUBLIC]).gateway(Config::default());
    let extensions = extension("{ price }").to_string();
    for accept in ["application/json", "application/graphql-response+json"] {
        let unknown = get(&gateway, &[("extensions", &extensions)], &[("accept", accept)]).await;
        assert_eq!(unknown.status(), StatusCode::OK);
        assert_eq!(header(&unknown, "cache-control"), "private, no-cache, must-revalidate");
        assert_eq!(json_of(&unknown)["errors"][0]["message"], "PersistedQueryNotFound");
        assert_eq!(code(&unknown), "PERSISTED_QUERY_NOT_FOUND");
    }
    let registered = get(&gateway, &[("query", "{ price }"), ("extensions", &extensions)], &[]).await;
    assert_eq!(json_of(&registered), json!({ "data": { "price": 1 } }));
    let named = get(&gateway, &[("extensions", &extensions)], &[]).await;
    assert_eq!(json_of(&named), json!({ "data": { "price": 1 } }));
    assert_eq!(header(&named, "cache-control"), "max-age=60, public");
    let posted = post(&gateway, &[], json!({ "extensions": extension("{ price }") })).await;
    assert_eq!(json_of(&posted), json!({ "data": { "price": 1 } }));
}

#[tokio::test]
async fn a_document_that_is_not_valid_is_not_kept() {
    let gateway = Subgraph::new(&[PUBLIC]).gateway(Config::default());
    for document in ["{ nowhere }", "{ price"] {
        let full = json!({ "query": document, "extensions": extension(document) });
        assert!(code(&post(&gateway, &[], full).await).starts_with("GRAPHQL_"));
        let named = post(&gateway, &[], json!({ "extensions": extension(document) })).await;
        assert_eq!(code(&named), "PERSISTED_QUERY_NOT_FOUND");
    }
    let wrong = json!({ "query": "{ price }", "extensions": extension("{ title }") });
    let wrong = post(&gateway, &[], wrong).await;
    assert_eq!((wrong.status(), code(&wrong).as_str()), (StatusCode::OK, "PERSISTED_QUERY_HASH_MISMATCH"));
}

#[tokio::test]
async fn a_mutation_is_persisted_and_still_not_run_by_get() {
    let gateway = Subgraph::new(&[]).gateway(Config::default());
    let document = "mutation { change }";
    let _ = post(&gateway, &[], json!({ "query": document, "extensions": extension(document) })).await;
    let got = get(&gateway, &[("extensions", &extension(document).to_string())], &[]).await;
    assert_eq!(got.status(), StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn trusted_documents_are_all_that_is_run() {
    let trusted = TrustedDocuments::parse(r#"{"price":"{ price }"}"#).unwrap();
    let persisted_queries = PersistedQueries::Trusted(Arc::new(trusted));
    let gateway = Subgraph::new(&[PUBLIC]).gateway(Config { persisted_queries, ..Config::default() });
    let data = json!({ "data": { "price": 1 } });
    assert_eq!(json_of(&get(&gateway, &[("documentId", "price")], &[]).await), data);
    assert_eq!(json_of(&get(&gateway, PRICE, &[]).await), data);
    assert_eq!(code(&get(&gateway, &[("query", "{ title }")], &[]).await), "DOCUMENT_NOT_TRUSTED");
    assert_eq!(code(&get(&gateway, &[("documentId", "other")], &[]).await), "DOCUMENT_NOT_TRUSTED");
}

#[tokio::test]
async fn who_would_send_too_long_a_url_is_told_to_post() {
    let limits = Limits { url_bytes: 400, ..Limits::default() };
    let gateway = Subgraph::new(&[PUBLIC]).gateway(Config { limits, ..Config::default() });
    let document = "query A($a: Boolean!) { price @include(if: $a) }";
    let ask = |padding: usize| json!({ "query": document, "variables": { "a": true, "b": "x".repeat(padding) }, "extensions": extension(document) });
    assert_eq!(header(&post(&gateway, &[], ask(1)).await, "graphql-use-method"), "");
    assert_eq!(header(&post(&gateway, &[], ask(200)).await, "graphql-use-method"), "POST");
    let long = get(&gateway, &[("query", &format!("{{ price }} # {}", "x".repeat(400)))], &[]).await;
    assert_eq!((long.status(), code(&long).as_str()), (StatusCode::URI_TOO_LONG, "REQUEST_URL_TOO_LONG"));
    assert_eq!(header(&long, "graphql-use-method"), "POST");
}

#[tokio::test]
async fn cache_headers_say_what_all_parts_allow() {
    let subgraph = Subgraph::new(&[
        ("cache-control", "public, max-age=60, stale-while-revalidate=30, stale-if-error=90"),
        ("age", "20"),
        ("cache-tag", "b,a"),
    ]);
    let gateway = subgraph.gateway(Config::default());
    let answer = get(&gateway, PRICE, &[]).await;
    assert_eq!(
        header(&answer, "cache-control"),
        "max-age=40, public, stale-while-revalidate=30, stale-if-error=90"
    );
    assert_eq!(header(&answer, "cache-tag"), "a,b");
    assert_eq!(header(&answer, "vary"), "accept, accept-encoding, x-consistency-token, authorization");
    // What only the client may keep has no tags: they would tell what it shows.
    subgraph.answers(
        StatusCode::OK,
        &[("cache-control", "private, max-age=60"), ("cache-tag", "a")],
        r#"{"data":{"price":1}}"#,
    );
    let answer = get(&gateway, PRICE, &[]).await;
    assert_eq!((header(&answer, "cache-control"), header(&answer, "cache-tag")), ("max-age=60, private", ""));
    // Errors and mutations are never kept.
    subgraph.answers(StatusCode::OK, &[PUBLIC], r#"{"data":{"price":null},"errors":[{"message":"no"}]}"#);
    assert_eq!(header(&get(&gateway, PRICE, &[]).await, "cache-control"), "no-store");
    subgraph.answers(StatusCode::OK, &[PUBLIC], r#"{"data":{"change":1}}"#);
    let changed = post(&gateway, &[], json!({ "query": "mutation { change }" })).await;
    assert_eq!(header(&changed, "cache-control"), "no-store");
}

#[tokio::test]
async fn what_can_not_be_purged_by_few_tags_is_for_the_client_alone() {
    let tags: Vec<String> = (0..60).map(|it| format!("other:{it}")).collect();
    let tags: &'static str = Box::leak(tags.join(",").into_boxed_str());
    let gateway = Subgraph::new(&[PUBLIC, ("cache-tag", tags)]).gateway(Config::default());
    let answer = get(&gateway, PRICE, &[]).await;
    assert_eq!((header(&answer, "cache-control"), header(&answer, "cache-tag")), ("max-age=60, private", ""));
}

fn caching() -> Config {
    Config { cache: CacheSizes { answers: Some(1 << 20), subgraphs: None }, ..Config::default() }
}

fn tags(text: &str) -> Vec<freshness::Tag> {
    text.split(',').filter_map(freshness::Tag::parse).collect()
}

#[tokio::test(start_paused = true)]
async fn the_gateway_keeps_answers_until_they_are_purged() {
    let subgraph = Subgraph::new(&[PUBLIC, ("cache-tag", "price:1")]);
    let gateway = subgraph.gateway(caching());
    assert_eq!(header(&get(&gateway, PRICE, &[]).await, "age"), "");
    tokio::time::advance(std::time::Duration::from_secs(5)).await;
    let again = get(&gateway, PRICE, &[]).await;
    assert_eq!((header(&again, "age"), header(&again, "cache-control")), ("5", "max-age=60, public"));
    assert_eq!(subgraph.asked(), 1);
    // Another client's rights, another question, another answer.
    let _ = get(&gateway, PRICE, &[("authorization", "Bearer x")]).await;
    let _ = get(&gateway, &[("query", "{ p: price }")], &[]).await;
    assert_eq!(subgraph.asked(), 3);
    gateway.purge(&tags("price:2"));
    let _ = get(&gateway, PRICE, &[]).await;
    assert_eq!(subgraph.asked(), 3);
    gateway.purge(&tags("price:1"));
    subgraph.answers(StatusCode::OK, &[PUBLIC], r#"{"data":{"price":2}}"#);
    assert_eq!(json_of(&get(&gateway, PRICE, &[]).await), json!({ "data": { "price": 2 } }));
    assert_eq!(subgraph.asked(), 4);
}

#[tokio::test]
async fn who_has_the_key_purges_what_the_gateway_keeps() {
    let subgraph = Subgraph::new(&[PUBLIC, ("cache-tag", "price:1")]);
    let purge = async |gateway: &Gateway, authorization: &str, tags: &str| {
        let request =
            Request::builder().method("PURGE").uri("/graphql").header("authorization", authorization);
        let request = request.header("cache-tag", tags).body(Bytes::new()).unwrap();
        let status = gateway.handle(request).await.status().as_u16();
        let _ = get(gateway, PRICE, &[]).await;
        (status, subgraph.asked())
    };
    let gateway = subgraph.gateway(Config { purge_key: Some("secret".into()), ..caching() });
    assert_eq!(format!("{:?}", gateway.config().purge_key), "Some(Secret(…))");
    let _ = get(&gateway, PRICE, &[]).await;
    // `purger:secret` and `purger:other`.
    let (right, wrong) = ("Basic cHVyZ2VyOnNlY3JldA==", "Basic cHVyZ2VyOm90aGVy");
    for nobody in [wrong, "", "Basic", "Basic c2VjcmV0", "Bearer secret"] {
        assert_eq!(purge(&gateway, nobody, "price:1").await, (401, 1), "{nobody}");
    }
    assert_eq!(purge(&gateway, right, "").await, (400, 1));
    assert_eq!(purge(&gateway, right, "price:2").await, (204, 1));
    assert_eq!(purge(&gateway, right, "price:2, price:1").await, (204, 2));
    // Without a key nobody may.
    let gateway = subgraph.gateway(caching());
    let _ = get(&gateway, PRICE, &[]).await;
    assert_eq!(purge(&gateway, right, "price:1").await, (405, 3));
}

#[tokio::test(start_paused = true)]
async fn a_stale_answer_is_served_while_it_is_made_anew_and_where_it_can_not_be() {
    let long = ("cache-control", "public, max-age=10, stale-while-revalidate=10, stale-if-error=60");
    let subgraph = Subgraph::new(&[long]);
    let gateway = subgraph.gateway(caching());
    let _ = get(&gateway, PRICE, &[]).await;
    tokio::time::advance(std::time::Duration::from_secs(15)).await;
    subgraph.answers(StatusCode::OK, &[long], r#"{"data":{"price":2}}"#);
    let stale = get(&gateway, PRICE, &[]).await;
    assert_eq!((json_of(&stale), header(&stale, "age")), (json!({ "data": { "price": 1 } }), "15"));
    while subgraph.asked() < 2 {
        tokio::task::yield_now().await;
    }
    tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    assert_eq!(json_of(&get(&gateway, PRICE, &[]).await), json!({ "data": { "price": 2 } }));
    tokio::time::advance(std::time::Duration::from_secs(40)).await;
    subgraph.answers(StatusCode::INTERNAL_SERVER_ERROR, &[], "down");
    assert_eq!(json_of(&get(&gateway, PRICE, &[]).await), json!({ "data": { "price": 2 } }));
    tokio::time::advance(std::time::Duration::from_mins(1)).await;
    assert_eq!(code(&get(&gateway, PRICE, &[]).await), "SUBGRAPH_HTTP_ERROR");
}

#[tokio::test]
async fn subgraphs_answers_are_kept_too() {
    let subgraph = Subgraph::new(&[PUBLIC, ("cache-tag", "price:1")]);
    let cache = CacheSizes { answers: None, subgraphs: Some(1 << 20) };
    let gateway = subgraph.gateway(Config { cache, ..Config::default() });
    for _ in 0..3 {
        let _ = get(&gateway, PRICE, &[]).await;
        let _ = get(&gateway, &[("query", "query Other { price }")], &[]).await;
    }
    assert_eq!(subgraph.asked(), 1);
    gateway.purge(&tags("price:1"));
    let _ = get(&gateway, PRICE, &[]).await;
    assert_eq!(subgraph.asked(), 2);
    // A mutation is always sent.
    for _ in 0..2 {
        let _ = post(&gateway, &[], json!({ "query": "mutation { change }" })).await;
    }
    assert_eq!(subgraph.asked(), 4);
}

#[tokio::test]
async fn tokens_go_out_with_what_was_written_and_come_back_with_what_is_asked() {
    let subgraph = Subgraph::new(&[("x-consistency-token", "written")]);
    let gateway = subgraph.gateway(caching());
    subgraph.answers(StatusCode::OK, &[("x-consistency-token", "written")], r#"{"data":{"change":1}}"#);
    let changed = post(&gateway, &[], json!({ "query": "mutation { change }" })).await;
    assert_eq!(header(&changed, "x-consistency-token"), "written");

    subgraph.answers(
        StatusCode::OK,
        &[PUBLIC, ("x-consistency-behind", "shop-prices")],
        r#"{"data":{"price":1}}"#,
    );
    let answer = get(&gateway, PRICE, &[("x-consistency-token", "written")]).await;
    assert_eq!(subgraph.headers.lock().unwrap()["x-consistency-token"], "written");
    assert_eq!(json_of(&answer)["extensions"]["consistency"]["behind"], json!(["shop-prices"]));
    assert_eq!(header(&answer, "cache-control"), "no-store");
    // The same as an extension, for who can't set headers.
    let body = json!({ "query": "{ price }", "extensions": { "consistencyToken": "other" } });
    let _ = post(&gateway, &[], body).await;
    assert_eq!(subgraph.headers.lock().unwrap()["x-consistency-token"], "other");
}

/// Two subgraphs; who was asked with which tokens, in order. Every answer gives a token, but those of `prices` to queries:
/// they are never there in time.
struct Writing {
    inner: Arc<InProcess>,
    asked: Mutex<Vec<(String, String)>>,
}

#[async_trait]
impl Transport for Writing {
    async fn send(&self, request: SubgraphRequest) -> Result<SubgraphResponse, TransportError> {
        let tokens = request.headers.get_all("x-consistency-token").into_iter();
        let tokens: Vec<&str> = tokens.map(|it| it.to_str().unwrap()).collect();
        let kind = if request.is_mutation { "changes" } else { "reads" };
        let who = format!("{}-{kind}", request.subgraph);
        self.asked.lock().unwrap().push((who.clone(), tokens.join(" | ")));
        let is_late = request.subgraph == "prices" && !request.is_mutation;
        let name = if is_late { "x-consistency-behind" } else { "x-consistency-token" };
        let value = HeaderValue::from_str(&who).unwrap();
        let mut response = self.inner.send(request).await?;
        response.headers.insert(name, value);
        Ok(response)
    }
}

#[tokio::test]
async fn a_mutation_is_shown_what_it_wrote_itself_and_a_query_only_what_it_brings() {
    const LINK: &str =
        "extend schema @link(url: \"https://specs.apollo.dev/federation/v2.5\", import: [\"@key\"])\n\n";
    let orders = format!(
        "{LINK}type Query {{ product: Product }} type Mutation {{ order: Product }} type Product @key(fields: \"id\") {{ id: ID! }}"
    );
    let prices = format!(
        "{LINK}type Mutation {{ reprice: Product }} type Product @key(fields: \"id\") {{ id: ID! price: Int }}"
    );
    let product = json!({ "__typename": "Product", "id": "a" });
    let subgraphs = [
        (
            "orders",
            orders.as_str(),
            json!({ "Query": { "product": product }, "Mutation": { "order": product } }),
        ),
        (
            "prices",
            prices.as_str(),
            json!({ "Mutation": { "reprice": product }, "entities": { "Product": [{ "id": "a", "price": 1 }] } }),
        ),
    ];
    let transport = Arc::new(Writing { inner: support::transport_of(&subgraphs).0, asked: Mutex::default() });
    let gateway =
        support::gateway_with(&subgraphs, Arc::clone(&transport) as Arc<dyn Transport>, Config::default());
    let asked = async |query: &str, headers: &[(&str, &str)]| {
        let answer = post(&gateway, headers, json!({ "query": query })).await;
        (answer, std::mem::take(&mut *transport.asked.lock().unwrap()))
    };

    let (answer, log) = asked("mutation { order { price } reprice { id } last: order { id } }", &[]).await;
    let behind = json!({ "behind": ["prices-reads"] });
    assert_eq!(json_of(&answer)["data"]["order"]["price"], 1);
    assert_eq!(json_of(&answer)["extensions"]["consistency"], behind, "and what it is not shown is named");
    assert_eq!(header(&answer, "x-consistency-token"), "orders-changes,prices-changes");
    let mut so_far = BTreeSet::new();
    for (who, tokens) in &log {
        assert_eq!(*tokens, Vec::from_iter(so_far.clone()).join(","), "{log:?}");
        so_far.extend((who != "prices-reads").then(|| who.clone()));
    }
    let mut who: Vec<&str> = log.iter().map(|(who, _)| who.as_str()).collect();
    who.sort_unstable();
    assert_eq!(who, ["orders-changes", "orders-changes", "prices-changes", "prices-reads"]);

    // What it brings of earlier ones stays, and no token is made up.
    for (query, brought, first, second) in [
        ("mutation { order { price } }", "earlier", "earlier", "orders-changes,earlier"),
        ("{ product { price } }", "earlier, other", "earlier, other", "earlier, other"),
    ] {
        let (_, log) = asked(query, &[("x-consistency-token", brought)]).await;
        assert_eq!([&*log[0].1, &*log[1].1], [first, second], "{query}");
    }
    let (_, log) = asked("{ product { price } }", &[]).await;
    assert_eq!([&*log[0].1, &*log[1].1], ["", ""]);
}

#[tokio::test]
async fn an_operation_asks_for_the_generations_that_the_last_one_was_told_of() {
    let subgraph =
        Subgraph::new(&[("x-generations", "offers=offers-1"), ("x-generations-next", "offers=offers-2")]);
    let gateway = subgraph.gateway(Config::default());
    let asked = || subgraph.headers.lock().unwrap().get("x-generations").cloned();
    // A client can't choose.
    let chosen = [("x-generations", "offers=secret")];
    let answer = send(
        &gateway,
        Method::POST,
        "",
        &[chosen[0], ("content-type", "application/json")],
        &json!({ "query": "{ price }" }),
    )
    .await;
    assert_eq!(asked(), None);
    assert_eq!(header(&answer, "x-generations"), "", "it is between the gateway and its subgraphs");
    let _ = post(&gateway, &[], json!({ "query": "{ price }" })).await;
    assert_eq!(asked().unwrap(), "offers=offers-2");
}

#[tokio::test]
async fn answers_are_compressed_for_who_takes_it() {
    let subgraph = Subgraph::new(&[PUBLIC]);
    let long = json!({ "data": { "title": "tea ".repeat(1_000) } });
    subgraph.answers(StatusCode::OK, &[PUBLIC], &long.to_string());
    let gateway = subgraph.gateway(Config::default());
    let query = [("query", "{ title }")];
    let plain = get(&gateway, &query, &[]).await;
    assert_eq!((header(&plain, "content-encoding"), json_of(&plain)), ("", long.clone()));
    let coded = get(&gateway, &query, &[("accept-encoding", "gzip, br")]).await;
    assert_eq!(header(&coded, "content-encoding"), "br");
    assert!(coded.body().len() < plain.body().len() / 10);
    let off = subgraph.gateway(Config { compress: false, ..Config::default() });
    assert_eq!(header(&get(&off, &query, &[("accept-encoding", "br")]).await, "content-encoding"), "");
}

#[tokio::test]
async fn a_browser_can_not_be_made_to_ask_for_another_site() {
    let gateway = Subgraph::new(&[PUBLIC]).gateway(Config { csrf_guard: true, ..Config::default() });
    let blocked = get(&gateway, PRICE, &[]).await;
    assert_eq!((blocked.status(), code(&blocked).as_str()), (StatusCode::BAD_REQUEST, "CSRF_GUARD"));
    assert_eq!(get(&gateway, PRICE, &[("apollo-require-preflight", "true")]).await.status(), StatusCode::OK);
    assert_eq!(post(&gateway, &[], json!({ "query": "{ price }" })).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn an_operation_that_may_cost_too_much_is_not_run() {
    let subgraph = Subgraph::new(&[PUBLIC]);
    let limits = Limits { cost: 5, ..Limits::default() };
    let gateway = subgraph.gateway(Config { limits, ..Config::default() });
    let refused = post(&gateway, &[], json!({ "query": "mutation { change }" })).await;
    assert_eq!(code(&refused), "COST_LIMIT_EXCEEDED");
    assert_eq!(json_of(&refused)["errors"][0]["extensions"]["cost"], 10);
    assert_eq!(subgraph.asked(), 0);
}

#[tokio::test]
async fn why_a_subgraph_failed_is_for_who_may_know() {
    let subgraph = Subgraph::new(&[]);
    let failure = r#"{"data":null,"errors":[{"message":"10.0.0.1 refused","path":["price"],"extensions":{"sql":"1"}}]}"#;
    subgraph.answers(StatusCode::OK, &[], failure);
    let told = async |config: Config| {
        let answer = post(&subgraph.gateway(config), &[], json!({ "query": "{ price }" })).await;
        json_of(&answer)["errors"][0].clone()
    };
    let open = told(Config::default()).await;
    assert_eq!((&open["message"], &open["extensions"]["sql"]), (&json!("10.0.0.1 refused"), &json!("1")));
    let closed = told(Config { error_detail: false, ..Config::default() }).await;
    let extensions = json!({ "code": "DOWNSTREAM_SERVICE_ERROR", "serviceName": "main" });
    assert_eq!(closed, json!({ "message": "main failed", "path": ["price"], "extensions": extensions }));
}
