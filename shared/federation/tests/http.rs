//! A whole subgraph, asked over HTTP.
#![expect(
    clippy::unwrap_used,
    clippy::unused_async,
    reason = "a test fails by panicking; resolvers are async"
)]

#[path = "support/store.rs"]
mod support;

use async_graphql::connection::Connection;
use async_graphql::{Context, EmptySubscription, ID, Object, Result, Schema, SimpleObject};
use bytes::Bytes;
use documents::{DocumentStore, DocumentsInMemory};
use federation::http::{Limits, Options, RequestContext, serve, serve_with};
use federation::read::{Backoff, List};
use federation::{DateTime, Decimal, Entities, Key, Money, PageArgs, Reader, UserError, connection, entity};
use http::{Request, Response, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use support::{Scripted, TABLE, answer_some, keys_of};

/// What the catalogue knows of it.
#[derive(Clone, Deserialize, SimpleObject)]
#[graphql(cache_control(max_age = 60))]
struct Product {
    #[graphql(external)]
    #[serde(rename = "pk")]
    sku: String,
    title: String,
    #[graphql(cache_control(max_age = 30, private))]
    #[serde(default)]
    note: Option<String>,
}

struct Query;

#[Object]
impl Query {
    #[graphql(entity)]
    async fn product_by_sku(&self, ctx: &Context<'_>, sku: ID) -> Option<Product> {
        entity(ctx, Key::new(&**sku, "view")).await
    }

    async fn product(&self, ctx: &Context<'_>, sku: ID) -> Option<Product> {
        entity(ctx, Key::new(&**sku, "view")).await
    }

    async fn products(
        &self,
        ctx: &Context<'_>,
        first: Option<i32>,
        after: Option<String>,
    ) -> Result<Connection<String, Product>> {
        let args = PageArgs::new(first, after, None, None)?;
        let page = ctx.data::<Reader>()?.page(&List::of("products"), &args).await?;
        Ok(connection(page, |product: Product| product))
    }

    async fn unhinted(&self) -> i32 {
        1
    }

    async fn who(&self, ctx: &Context<'_>) -> Result<String> {
        let context = ctx.data::<RequestContext>()?;
        Ok(format!("{} {:?}", context.correlation_id, context.traceparent.map(|parent| parent.to_string())))
    }

    async fn secret(&self) -> Result<Option<i32>> {
        Err(std::io::Error::other("password=hunter2").into())
    }

    async fn bare(&self) -> Result<Option<i32>> {
        Err(async_graphql::Error::new("password=hunter2"))
    }

    async fn echo(&self, amount: Decimal, at: DateTime) -> String {
        format!("{} {}", amount.0, at.0)
    }

    async fn nested(&self) -> Nest {
        Nest
    }
}

struct Nest;

#[Object]
impl Nest {
    async fn leaf(&self) -> i32 {
        1
    }

    async fn nested(&self) -> Nest {
        Nest
    }
}

struct Mutation;

#[Object]
impl Mutation {
    async fn charge(&self, amount: Decimal) -> Result<Money> {
        if amount.0.is_sign_negative() {
            return Err(UserError::new("AMOUNT_NEGATIVE", "an amount is not negative").into());
        }
        Ok(Money { amount, currency: "GBP".to_owned() })
    }
}

type Subgraph = Schema<Query, Mutation, EmptySubscription>;

fn subgraph(scripted: &Scripted) -> Subgraph {
    let backoff = Backoff { attempts: 1, jitter: Arc::new(|| 0.0), ..Backoff::default() };
    let reader = Reader::new(scripted.client(), TABLE).backoff(backoff);
    federation::schema(Query, Mutation, EmptySubscription)
        .data(Entities::<Product>::new(reader.clone()))
        .data(reader)
        .finish()
}

/// A table that has every item but those named `missing…`; hands back those named `stuck…`; `bad…` is no product.
fn table() -> Scripted {
    Scripted::new(|request| {
        if request.get("KeyConditionExpression").is_some() {
            return (500, json!({ "__type": "InternalServerError", "message": "the table is on fire" }));
        }
        let (status, mut answer) = answer_some(request, 100);
        let named = |row: &Value, name: &str| row["pk"]["S"].as_str().unwrap().starts_with(name);
        answer["Responses"][TABLE].as_array_mut().unwrap().retain_mut(|row| {
            if named(row, "bad") {
                row["title"] = json!({ "N": "7" });
            }
            !named(row, "missing") && !named(row, "stuck")
        });
        let stuck: Vec<Value> = keys_of(request).into_iter().filter(|key| named(key, "stuck")).collect();
        if !stuck.is_empty() {
            answer["UnprocessedKeys"] = json!({ TABLE: { "Keys": stuck } });
        }
        (status, answer)
    })
}

fn post(body: &Value) -> Request<Bytes> {
    Request::post("/graphql")
        .header("content-type", "application/json; charset=utf-8")
        .header("x-correlation-id", "c-1")
        .body(Bytes::from(body.to_string()))
        .unwrap()
}

fn get(query: &str) -> Request<Bytes> {
    let query: String = form_urlencoded::Serializer::new(String::new()).append_pair("query", query).finish();
    Request::get(format!("/graphql?{query}")).body(Bytes::new()).unwrap()
}

fn body(response: &Response<Bytes>) -> Value {
    serde_json::from_slice(response.body()).unwrap()
}

fn cache(response: &Response<Bytes>) -> &str {
    response.headers()["cache-control"].to_str().unwrap()
}

async fn ask(query: &str) -> (Value, String) {
    let response = serve(&subgraph(&table()), post(&json!({ "query": query }))).await;
    assert_eq!(response.status(), StatusCode::OK, "{response:?}");
    (body(&response), cache(&response).to_owned())
}

const ENTITIES: &str =
    "query($r: [_Any!]!) { _entities(representations: $r) { ... on Product { sku title } } }";

async fn entities(scripted: &Scripted, skus: &[String]) -> (Value, String) {
    let representations: Vec<Value> =
        skus.iter().map(|sku| json!({ "__typename": "Product", "sku": sku })).collect();
    let request = post(&json!({ "query": ENTITIES, "variables": { "r": representations } }));
    let response = serve(&subgraph(scripted), request).await;
    (body(&response), cache(&response).to_owned())
}

#[tokio::test]
async fn a_hundred_representations_are_one_read() {
    let scripted = table();
    let skus: Vec<String> = (0..100).map(|n| format!("p#{}", n % 90)).collect();
    let (answer, cache) = entities(&scripted, &skus).await;
    let titles: Vec<_> =
        answer["data"]["_entities"].as_array().unwrap().iter().map(|row| &row["title"]).collect();
    let expected: Vec<Value> = skus.iter().map(|sku| format!("title of {sku}").into()).collect();
    assert_eq!(titles, expected.iter().collect::<Vec<_>>());
    let requests = scripted.requests();
    assert_eq!((requests.len(), keys_of(&requests[0]).len()), (1, 90));
    assert_eq!(cache, "public, max-age=60");
}

#[tokio::test]
async fn a_missing_entity_is_null_with_no_error_and_is_forgotten_soon() {
    let (answer, cache) = entities(&table(), &["p#1".into(), "missing".into(), "p#2".into()]).await;
    let product = |sku: &str| json!({ "sku": sku, "title": format!("title of {sku}") });
    assert_eq!(answer, json!({ "data": { "_entities": [product("p#1"), null, product("p#2")] } }));
    assert_eq!(cache, "public, max-age=5");
}

#[tokio::test]
async fn an_entity_that_can_not_be_read_is_null_and_reported_and_its_neighbours_live() {
    let (answer, cache) =
        entities(&table(), &["p#1".into(), "stuck".into(), "bad".into(), "p#2".into()]).await;
    let rows = answer["data"]["_entities"].as_array().unwrap();
    let alive: Vec<bool> = rows.iter().map(|row| !row.is_null()).collect();
    assert_eq!(alive, [true, false, false, true]);
    let errors = answer["errors"].as_array().unwrap();
    assert_eq!(errors.len(), 2);
    for error in errors {
        assert_eq!(error["path"], json!(["_entities"]));
        assert_eq!(error["message"], "something went wrong on our side; ask about c-1");
        assert_eq!(error["extensions"], json!({ "code": "INTERNAL_SERVER_ERROR", "correlationId": "c-1" }));
    }
    assert_eq!(cache, "no-store");
}

#[tokio::test]
async fn the_lowest_hint_wins_and_private_wins() {
    let (_, cache) = ask(r#"{ product(sku: "p#1") { title } }"#).await;
    assert_eq!(cache, "public, max-age=60");
    let (_, cache) = ask(r#"{ product(sku: "p#1") { title note } }"#).await;
    assert_eq!(cache, "private, max-age=30");
    let (_, cache) = ask(r#"{ product(sku: "missing") { title } __typename }"#).await;
    assert_eq!(cache, "public, max-age=5");
}

#[tokio::test]
async fn what_has_no_hint_fails_or_changes_is_not_stored() {
    let uncacheable = [
        "{ unhinted }",
        r#"{ product(sku: "p#1") { title } unhinted }"#,
        r#"query { ...all } fragment all on Query { product(sku: "p#1") { title } ... on Query { unhinted } }"#,
        r#"{ product(sku: "bad") { title } }"#,
        "{ secret }",
        "{ nothing }",
        "{ _service { sdl } }",
        r#"mutation { charge(amount: "1.00") { amount } }"#,
    ];
    for query in uncacheable {
        let (_, cache) = ask(query).await;
        assert_eq!(cache, "no-store", "{query}");
    }
}

#[tokio::test]
async fn a_schema_that_is_not_watched_is_never_stored() {
    let reader = Reader::new(table().client(), TABLE);
    let entities = Entities::<Product>::new(reader);
    let schema = Schema::build(Query, Mutation, EmptySubscription).data(entities).finish();
    let response = serve(&schema, post(&json!({ "query": r#"{ product(sku: "p#1") { title } }"# }))).await;
    assert_eq!(body(&response)["data"]["product"]["title"], "title of p#1");
    assert_eq!(cache(&response), "no-store");
}

#[tokio::test]
async fn what_is_ours_never_reaches_a_client() {
    for (query, path) in
        [("{ secret }", "secret"), ("{ bare }", "bare"), ("{ products { nodes { title } } }", "products")]
    {
        let (answer, _) = ask(query).await;
        let text = answer.to_string();
        assert!(!text.contains("hunter2") && !text.contains("fire"), "{text}");
        assert_eq!(answer["errors"][0]["path"], json!([path]));
        assert_eq!(answer["data"][path], Value::Null);
        assert_eq!(answer["errors"][0]["extensions"]["code"], "INTERNAL_SERVER_ERROR", "{text}");
    }
}

#[tokio::test]
async fn what_is_the_clients_is_said_with_a_code() {
    let cases = [
        (
            r#"mutation { charge(amount: "-1.00") { amount } }"#,
            "AMOUNT_NEGATIVE",
            "an amount is not negative",
        ),
        (
            "{ products(first: 0) { nodes { title } } }",
            "BAD_USER_INPUT",
            "first must be between 1 and 100; it is 0",
        ),
        (
            r#"{ products(after: "x") { nodes { title } } }"#,
            "BAD_USER_INPUT",
            "this cursor is not of this list",
        ),
        ("{ nothing }", "GRAPHQL_VALIDATION_FAILED", "Unknown field"),
        ("{", "GRAPHQL_VALIDATION_FAILED", "-->"),
        (r#"{ echo(amount: "1e3", at: "2011-12-09T12:50:00Z") }"#, "", "a decimal is written like"),
        (r#"{ echo(amount: "1", at: "yesterday") }"#, "", "an instant is written like"),
    ];
    for (query, code, message) in cases {
        let (answer, _) = ask(query).await;
        let error = &answer["errors"][0];
        assert!(error["message"].as_str().unwrap().contains(message), "{query}: {error}");
        let given = error["extensions"]["code"].as_str().unwrap();
        assert!(given == code || (code.is_empty() && given != "INTERNAL_SERVER_ERROR"), "{query}: {error}");
    }
}

#[tokio::test]
async fn scalars_are_exact_on_their_way() {
    let (answer, _) = ask(r#"{ echo(amount: "0.10", at: "2011-12-09T14:50:00+02:00") }"#).await;
    assert_eq!(answer["data"]["echo"], "0.10 2011-12-09T12:50:00Z");
    let (answer, _) = ask("mutation { charge(amount: 19.99) { amount currency } }").await;
    assert_eq!(answer["data"]["charge"], json!({ "amount": "19.99", "currency": "GBP" }));
}

#[tokio::test]
async fn a_query_that_is_too_deep_is_refused() {
    let nested = |levels: usize| format!("{{ {} leaf {} }}", "nested {".repeat(levels), "}".repeat(levels));
    let (answer, _) = ask(&nested(20)).await;
    assert_eq!(answer.get("errors"), None);
    for levels in [32, 200, 20_000] {
        let (answer, _) = ask(&nested(levels)).await;
        let error = &answer["errors"][0];
        assert_eq!(
            (&answer["data"], &error["extensions"]["code"]),
            (&Value::Null, &json!("GRAPHQL_VALIDATION_FAILED"))
        );
        let message = error["message"].as_str().unwrap();
        let refused =
            ["deep", "recursion limit", "stack limit"].iter().any(|reason| message.contains(reason));
        assert!(refused || levels > 1_000, "{levels}: {error}");
        assert!(message.len() < 2_000, "{} bytes of error", message.len());
    }
}

#[tokio::test]
async fn headers_become_the_requests_context() {
    let schema = subgraph(&table());
    let mut request = post(&json!({ "query": "{ who }" }));
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    request.headers_mut().insert("traceparent", trace.parse().unwrap());
    let response = serve(&schema, request).await;
    assert_eq!(body(&response)["data"]["who"], format!("c-1 Some({trace:?})"));
    assert_eq!(response.headers()["x-correlation-id"], "c-1");

    let mut request = post(&json!({ "query": "{ who }" }));
    request.headers_mut().insert("traceparent", trace.parse().unwrap());
    request.headers_mut().insert("x-correlation-id", "not plain".parse().unwrap());
    let response = serve(&schema, request).await;
    assert_eq!(response.headers()["x-correlation-id"], "4bf92f3577b34da6a3ce929d0e0e4736");
}

#[tokio::test]
async fn get_is_for_queries() {
    let schema = subgraph(&table());
    let response = serve(&schema, get("{ unhinted }")).await;
    assert_eq!((response.status(), body(&response)), (StatusCode::OK, json!({ "data": { "unhinted": 1 } })));
    let response = serve(&schema, get(r#"mutation { charge(amount: "1") { amount } }"#)).await;
    assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(response.headers()["allow"], "GET, POST");
    let uri = "/graphql?query=query+A($a:Decimal!){echo(amount:$a,at:%222011-12-09T12:50:00Z%22)}query+B{unhinted}\
               &operationName=A&variables=%7B%22a%22:%221.50%22%7D";
    let request = Request::get(uri.replace(['{', '}'], "")).body(Bytes::new()).unwrap();
    assert_eq!(serve(&schema, request).await.status(), StatusCode::OK);
    let encoded = uri.replace('{', "%7B").replace('}', "%7D");
    let response = serve(&schema, Request::get(encoded).body(Bytes::new()).unwrap()).await;
    assert_eq!(body(&response)["data"]["echo"], "1.50 2011-12-09T12:50:00Z");
}

#[tokio::test]
async fn what_is_no_graphql_request_is_refused_clearly() {
    let schema = subgraph(&table());
    let bodies = [
        "",
        "{",
        "[]",
        "7",
        "{}",
        r#"{"query":7}"#,
        r#"{"query":"{unhinted}","variables":[]}"#,
        r#"{"query":"{unhinted}","operationName":{}}"#,
    ];
    for text in bodies {
        let mut request = post(&json!({}));
        *request.body_mut() = Bytes::from(text);
        let response = serve(&schema, request).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{text}");
        assert_eq!(body(&response)["errors"][0]["extensions"]["code"], "BAD_REQUEST");
    }
    let mut plain = post(&json!({ "query": "{ unhinted }" }));
    plain.headers_mut().insert("content-type", "text/plain".parse().unwrap());
    assert_eq!(serve(&schema, plain).await.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let put = Request::put("/graphql").body(Bytes::new()).unwrap();
    assert_eq!(serve(&schema, put).await.status(), StatusCode::METHOD_NOT_ALLOWED);
    let mut html = post(&json!({ "query": "{ unhinted }" }));
    html.headers_mut().insert("accept", "text/html".parse().unwrap());
    assert_eq!(serve(&schema, html).await.status(), StatusCode::NOT_ACCEPTABLE);
}

#[tokio::test]
async fn sizes_are_limited_both_ways() {
    let schema = subgraph(&table());
    let limits = |request, response| Options { limits: Limits { request, response }, ..Options::default() };
    let request = || post(&json!({ "query": "{ unhinted }" }));
    let response = serve_with(&schema, request(), limits(10, 1_000)).await;
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(body(&response)["errors"][0]["extensions"]["code"], "REQUEST_TOO_LARGE");
    let response = serve_with(&schema, request(), limits(1_000, 10)).await;
    assert_eq!(body(&response)["errors"][0]["extensions"]["code"], "RESPONSE_TOO_LARGE");
}

#[tokio::test]
async fn the_media_type_is_negotiated() {
    let schema = subgraph(&table());
    let cases = [
        ("application/graphql-response+json", "application/graphql-response+json", 400),
        ("application/graphql-response+json;q=0, application/json", "application/json", 200),
        ("text/html, */*;q=0.1", "application/json", 200),
    ];
    for (accept, media, status) in cases {
        let mut request = post(&json!({ "query": "{ nothing }" }));
        request.headers_mut().insert("accept", accept.parse().unwrap());
        let response = serve(&schema, request).await;
        assert_eq!(response.headers()["content-type"], media, "{accept}");
        assert_eq!(response.status().as_u16(), status, "{accept}");
    }
}

#[tokio::test]
async fn the_sdl_is_stable_and_links_federation() {
    let scripted = table();
    let sdl = federation::sdl(&subgraph(&scripted));
    assert_eq!(sdl, federation::sdl(&subgraph(&scripted)));
    insta::assert_snapshot!(sdl);
}

/// A document by its hash, with or without its text.
fn by_hash(method: &str, document: &str, with_text: bool) -> Request<Bytes> {
    let extensions = json!({ "persistedQuery": { "version": 1, "sha256Hash": documents::sha256(document) } });
    if method == "POST" {
        let mut body = json!({ "extensions": extensions });
        if with_text {
            body["query"] = document.into();
        }
        return post(&body);
    }
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("extensions", &extensions.to_string())
        .finish();
    Request::get(format!("/graphql?{query}")).body(Bytes::new()).unwrap()
}

#[tokio::test]
async fn a_document_is_named_by_its_hash_once_it_proved_valid() {
    let schema = subgraph(&table());
    let store: Arc<dyn DocumentStore> = Arc::new(DocumentsInMemory::new(1 << 20));
    let options = || Options { documents: Some(Arc::clone(&store)), ..Options::default() };
    let document = r#"{ product(sku: "p#1") { title } }"#;
    for method in ["GET", "POST"] {
        let unknown = serve_with(&schema, by_hash(method, document, false), options()).await;
        assert_eq!((unknown.status(), cache(&unknown)), (StatusCode::OK, documents::NOT_KEPT));
        let error = &body(&unknown)["errors"][0];
        assert_eq!(error["message"], "PersistedQueryNotFound");
        assert_eq!(error["extensions"]["code"], "PERSISTED_QUERY_NOT_FOUND");
    }
    // What is not valid is answered and not kept.
    for _ in 0..2 {
        let invalid = serve_with(&schema, by_hash("POST", "{ nothing }", true), options()).await;
        assert_eq!(body(&invalid)["errors"][0]["extensions"]["code"], "GRAPHQL_VALIDATION_FAILED");
        let unknown = serve_with(&schema, by_hash("GET", "{ nothing }", false), options()).await;
        assert_eq!(body(&unknown)["errors"][0]["message"], "PersistedQueryNotFound");
    }
    let told = serve_with(&schema, by_hash("POST", document, true), options()).await;
    assert_eq!(body(&told)["data"]["product"]["title"], "title of p#1");
    let known = serve_with(&schema, by_hash("GET", document, false), options()).await;
    assert_eq!(body(&known), body(&told));
    assert_eq!(cache(&known), "public, max-age=60");
    assert_eq!(known.headers()["vary"], "accept, x-consistency-token, x-generations");

    let mut forged = by_hash("POST", document, true);
    *forged.body_mut() = String::from_utf8_lossy(forged.body()).replace("title }", "sku }").into();
    let refused = serve_with(&schema, forged, options()).await;
    assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
    assert_eq!(body(&refused)["errors"][0]["extensions"]["code"], "PERSISTED_QUERY_HASH_MISMATCH");
    let mutation = r#"mutation { charge(amount: "1") { amount } }"#;
    let _ = serve_with(&schema, by_hash("POST", mutation, true), options()).await;
    let refused = serve_with(&schema, by_hash("GET", mutation, false), options()).await;
    assert_eq!(refused.status(), StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn a_subgraph_without_a_store_says_so() {
    let schema = subgraph(&table());
    let refused = serve(&schema, by_hash("GET", "{ unhinted }", false)).await;
    assert_eq!((refused.status(), cache(&refused)), (StatusCode::OK, documents::NOT_KEPT));
    assert_eq!(body(&refused)["errors"][0]["message"], "PersistedQueryNotSupported");
    let answered = serve(&schema, by_hash("POST", "{ unhinted }", true)).await;
    assert_eq!(body(&answered)["data"]["unhinted"], 1);
}
