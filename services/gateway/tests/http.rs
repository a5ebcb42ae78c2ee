//! GraphQL over HTTP, as its specification has it, through the core and through a real socket.

mod support;

use std::sync::Arc;

use bytes::Bytes;
use gateway::{Config, Gateway, Graphiql, Limits};
use http::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};

const SDL: &str = r#"extend schema @link(url: "https://specs.apollo.dev/federation/v2.5", import: ["@key"])

type Query {
  hello(name: String! = "you"): String
  required(input: Input!): String
  strict: String!
}

type Mutation {
  change: String
}

enum Colour {
  RED
  GREEN
}

input Input {
  colour: Colour!
  count: Int = 3
  inner: [Input!]
}
"#;

fn gateway(config: Config) -> Gateway {
    let data = json!({
        "cacheControl": "max-age=60, public",
        "Query": { "hello": "hello", "required": { "$args": true }, "strict": { "$error": "not today" } },
        "Mutation": { "change": "changed" },
    });
    support::gateway_of(&[("main", SDL, data)], config).0
}

fn request(method: Method, uri: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Request<Bytes> {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body.into()).expect("a request")
}

const JSON: (&str, &str) = ("content-type", "application/json");
const GRAPHQL: (&str, &str) = ("accept", "application/graphql-response+json");

async fn post(body: &str, headers: &[(&str, &str)]) -> Response<Bytes> {
    let mut all = vec![JSON];
    all.extend(headers);
    gateway(Config::default()).handle(request(Method::POST, "/graphql", &all, body.to_owned())).await
}

async fn get(uri: &str, headers: &[(&str, &str)]) -> Response<Bytes> {
    gateway(Config::default()).handle(request(Method::GET, uri, headers, "")).await
}

fn body(response: &Response<Bytes>) -> Value {
    serde_json::from_slice(response.body()).expect("JSON")
}

fn code(response: &Response<Bytes>) -> String {
    body(response)["errors"][0]["extensions"]["code"].as_str().unwrap_or_default().to_owned()
}

fn header<'a>(response: &'a Response<Bytes>, name: &str) -> &'a str {
    response.headers().get(name).map(|value| value.to_str().expect("text")).unwrap_or_default()
}

#[tokio::test]
async fn a_query_by_post_and_by_get_gives_the_same() {
    let posted = post(r#"{"query":"{ hello }"}"#, &[]).await;
    let got = get("/graphql?query=%7B%20hello%20%7D", &[]).await;
    for response in [&posted, &got] {
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.body(), &Bytes::from_static(br#"{"data":{"hello":"hello"}}"#));
        assert_eq!(header(response, "content-type"), "application/json; charset=utf-8");
        assert_eq!(header(response, "cache-control"), "max-age=60, public");
        assert_eq!(header(response, "vary"), "accept, accept-encoding, x-consistency-token, authorization");
    }
    let head =
        gateway(Config::default()).handle(request(Method::HEAD, "/graphql?query={hello}", &[], "")).await;
    assert_eq!((head.status(), head.body().len()), (StatusCode::OK, 0));
}

#[tokio::test]
async fn variables_and_operation_names_come_both_ways() {
    let document = "query A($input: Input!) { required(input: $input) } query B { hello }";
    let asked =
        json!({ "query": document, "operationName": "A", "variables": { "input": { "colour": "RED" } } });
    let posted = post(&asked.to_string(), &[]).await;
    let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let uri = format!(
        "/graphql?query={}&operationName=A&variables={}",
        encode(document),
        encode(&asked["variables"].to_string())
    );
    let got = get(&uri, &[]).await;
    // The input object's default is filled in.
    let expected = json!({ "data": { "required": r#"{"input":{"colour":"RED","count":3}}"# } });
    assert_eq!(body(&posted), expected);
    assert_eq!(body(&got), expected);
}

#[tokio::test]
async fn the_media_type_decides_the_status_of_what_is_not_executed() {
    let cases = [
        ("{ nowhere }", "GRAPHQL_VALIDATION_FAILED"),
        ("{ hello", "GRAPHQL_PARSE_FAILED"),
        ("{ hello(name: \"\\u12\") }", "GRAPHQL_PARSE_FAILED"),
        ("{ hello(name: 99999999999999999999) }", "GRAPHQL_PARSE_FAILED"),
        ("{ required(input: { colour: RED, count: 1e400 }) }", "GRAPHQL_VALIDATION_FAILED"),
        ("{ required(input: { colour: BLUE }) }", "GRAPHQL_VALIDATION_FAILED"),
        ("{ a: hello a: strict }", "GRAPHQL_VALIDATION_FAILED"),
        ("{ __hello: hello }", "GRAPHQL_VALIDATION_FAILED"),
        ("{ ...A } fragment A on Query { ...A }", "GRAPHQL_VALIDATION_FAILED"),
        ("", "GRAPHQL_PARSE_FAILED"),
        ("{ hello @nowhere }", "GRAPHQL_VALIDATION_FAILED"),
        ("query A { hello } query B { hello }", "OPERATION_RESOLUTION_FAILURE"),
        ("query ($x: String!) { hello(name: $x) }", "BAD_USER_INPUT"),
        ("subscription { hello }", "GRAPHQL_VALIDATION_FAILED"),
    ];
    for (query, expected) in cases {
        let asked = json!({ "query": query }).to_string();
        let old = post(&asked, &[("accept", "application/json")]).await;
        let new = post(&asked, &[GRAPHQL]).await;
        assert_eq!((old.status(), code(&old).as_str()), (StatusCode::OK, expected), "{query}");
        assert_eq!((new.status(), code(&new).as_str()), (StatusCode::BAD_REQUEST, expected), "{query}");
        assert_eq!(header(&new, "content-type"), "application/graphql-response+json; charset=utf-8");
        assert_eq!(header(&new, "cache-control"), "no-store");
        assert!(body(&new).get("data").is_none());
    }
    // What is executed is answered with 200, even if nothing came of it.
    let failed = post(r#"{"query":"{ strict }"}"#, &[GRAPHQL]).await;
    assert_eq!(failed.status(), StatusCode::OK);
    assert_eq!(body(&failed)["data"], Value::Null);
    assert_eq!(header(&failed, "cache-control"), "no-store");
}

#[tokio::test]
async fn what_is_no_graphql_request_gets_400() {
    for asked in ["{", "[]", "{}", r#"{"query":1}"#, r#"{"query":"{hello}","variables":"x"}"#, ""] {
        let response = post(asked, &[]).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{asked}");
    }
    assert_eq!(code(&post(r#"[{"query":"{hello}"}]"#, &[]).await), "BATCHING_NOT_SUPPORTED");
    assert_eq!(get("/graphql", &[]).await.status(), StatusCode::BAD_REQUEST);
    assert_eq!(get("/graphql?query={hello}&variables=nonsense", &[]).await.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn methods_and_media_types_are_kept_to() {
    let gateway = gateway(Config::default());
    let ask = |method, uri: &str, headers: &[(&str, &str)], body: &str| {
        let request = request(method, uri, headers, body.to_owned());
        let gateway = &gateway;
        async move { gateway.handle(request).await }
    };
    let query = r#"{"query":"{ hello }"}"#;
    let put = ask(Method::PUT, "/graphql", &[JSON], query).await;
    assert_eq!(
        (put.status(), header(&put, "allow")),
        (StatusCode::METHOD_NOT_ALLOWED, "GET, HEAD, POST, OPTIONS")
    );
    let mutation = ask(Method::GET, "/graphql?query=mutation%7Bchange%7D", &[], "").await;
    assert_eq!(mutation.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert!(header(&mutation, "allow").contains("POST"));
    let mutation = ask(Method::POST, "/graphql", &[JSON], r#"{"query":"mutation { change }"}"#).await;
    assert_eq!(body(&mutation), json!({ "data": { "change": "changed" } }));
    assert_eq!(header(&mutation, "cache-control"), "no-store");
    for kind in ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin1"] {
        let response = ask(Method::POST, "/graphql", &[("content-type", kind)], query).await;
        assert_eq!(response.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE, "{kind}");
    }
    let coded = ask(Method::POST, "/graphql", &[JSON, ("content-encoding", "gzip")], query).await;
    assert_eq!(coded.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let image = ask(Method::POST, "/graphql", &[JSON, ("accept", "image/png")], query).await;
    assert_eq!(image.status(), StatusCode::NOT_ACCEPTABLE);
}

#[tokio::test]
async fn sizes_are_limited() {
    let limits = Limits { body_bytes: 100, url_bytes: 100, ..Limits::default() };
    let gateway = gateway(Config { limits, ..Config::default() });
    let long = format!(r#"{{"query":"{{ hello }} #{}"}}"#, "x".repeat(100));
    let posted = gateway.handle(request(Method::POST, "/graphql", &[JSON], long)).await;
    assert_eq!(
        (posted.status(), code(&posted).as_str()),
        (StatusCode::PAYLOAD_TOO_LARGE, "REQUEST_BODY_TOO_LARGE")
    );
    let uri = format!("/graphql?query={{hello}}&x={}", "x".repeat(100));
    let got = gateway.handle(request(Method::GET, &uri, &[], "")).await;
    assert_eq!((got.status(), code(&got).as_str()), (StatusCode::URI_TOO_LONG, "REQUEST_URL_TOO_LONG"));
}

#[tokio::test]
async fn a_query_of_200_levels_gets_a_clear_error() {
    let deep = format!("{}a{}", "{a".repeat(200), "}".repeat(200));
    let response = post(&json!({ "query": deep }).to_string(), &[GRAPHQL]).await;
    assert_eq!(
        (response.status(), code(&response).as_str()),
        (StatusCode::BAD_REQUEST, "DEPTH_LIMIT_EXCEEDED")
    );
    assert!(body(&response)["errors"][0]["message"].as_str().expect("a message").contains("more than 30"));
    // Far past what a recursive parser could stand.
    let deeper = format!("{}a{}", "{a".repeat(100_000), "}".repeat(100_000));
    assert_eq!(code(&post(&json!({ "query": deeper }).to_string(), &[]).await), "DEPTH_LIMIT_EXCEEDED");
}

#[tokio::test]
async fn variables_are_checked_against_their_types() {
    let ask = |input: Value| async move {
        let query = "query ($i: Input!) { required(input: $i) }";
        post(&json!({ "query": query, "variables": { "i": input } }).to_string(), &[]).await
    };
    let message =
        |response: &Response<Bytes>| body(response)["errors"][0]["message"].as_str().map(str::to_owned);
    let wrong = [
        (json!(null), "$i is null, but its type is Input!"),
        (json!({}), "$i.colour is required: its type is Colour!"),
        (json!({ "colour": "BLUE" }), "$i.colour is a string, but Colour is one of RED, GREEN"),
        (
            json!({ "colour": "RED", "count": 1.5 }),
            "$i.count is 1.5, but an Int is a whole number of 32 bits",
        ),
        (
            json!({ "colour": "RED", "count": 3_000_000_000_u64 }),
            "$i.count is 3000000000, but an Int is a whole number of 32 bits",
        ),
        (json!({ "colour": "RED", "more": 1 }), "$i has the field more, which Input does not have"),
        (
            json!({ "colour": "RED", "inner": [{ "colour": 1 }] }),
            "$i.inner[0].colour is 1, but Colour is one of RED, GREEN",
        ),
    ];
    for (input, expected) in wrong {
        let response = ask(input).await;
        assert_eq!(code(&response), "BAD_USER_INPUT");
        assert_eq!(message(&response).as_deref(), Some(expected));
    }
    // A single value stands for a list of one.
    let coerced = ask(json!({ "colour": "RED", "count": 1.0, "inner": { "colour": "GREEN" } })).await;
    assert_eq!(
        body(&coerced)["data"]["required"],
        r#"{"input":{"colour":"RED","count":1,"inner":[{"colour":"GREEN","count":3}]}}"#
    );
}

#[tokio::test]
async fn browsers_get_graphiql_and_its_files() {
    let config = Config {
        graphiql: Some(Graphiql { title: "Try it".to_owned(), queries: vec!["{ hello }".to_owned()] }),
        ..Config::default()
    };
    let open = gateway(config);
    let accept = ("accept", "text/html,application/xhtml+xml,*/*;q=0.8");
    let page = open.handle(request(Method::GET, "/graphql", &[accept], "")).await;
    assert_eq!(header(&page, "content-type"), "text/html; charset=utf-8");
    let text = String::from_utf8(page.body().to_vec()).expect("text");
    assert!(text.contains("<title>Try it</title>") && text.contains("{ hello }"));
    assert!(!text.contains("http://") && !text.contains("https://"), "the page loads nothing from elsewhere");
    let file = open
        .handle(request(
            Method::GET,
            "/graphql?graphiql=graphiql.min.js&version=1",
            &[("accept-encoding", "gzip")],
            "",
        ))
        .await;
    assert_eq!((file.status(), header(&file, "content-encoding")), (StatusCode::OK, "gzip"));
    assert!(header(&file, "cache-control").contains("immutable"));

    let closed = gateway(Config { graphiql: None, introspection: false, ..Config::default() });
    let page = closed.handle(request(Method::GET, "/graphql", &[accept], "")).await;
    assert_eq!(page.status(), StatusCode::NOT_ACCEPTABLE);
    let asked = closed.handle(request(Method::GET, "/graphql?query={__schema{types{name}}}", &[], "")).await;
    assert_eq!(code(&asked), "INTROSPECTION_DISABLED");
    let asked = closed.handle(request(Method::GET, "/graphql?query={__typename}", &[], "")).await;
    assert_eq!(body(&asked), json!({ "data": { "__typename": "Query" } }));
}

#[tokio::test]
async fn the_router_serves_it_on_a_socket() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let limits = Limits { body_bytes: 1_000, ..Limits::default() };
    let gateway = Arc::new(gateway(Config { limits, ..Config::default() }));
    let server = tokio::spawn(gateway::http::serve(gateway, listener, async {
        let _ = stopped.await;
    }));
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let url = format!("http://{address}/graphql");
    let answer = client
        .post(&url)
        .header(JSON.0, JSON.1)
        .body(r#"{"query":"{ hello }"}"#)
        .send()
        .await
        .expect("an answer");
    assert_eq!(answer.text().await.expect("text"), r#"{"data":{"hello":"hello"}}"#);
    let large =
        client.post(&url).header(JSON.0, JSON.1).body("x".repeat(2_000)).send().await.expect("an answer");
    assert_eq!(large.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(client.get(format!("http://{address}/health")).send().await.expect("an answer").status(), 200);
    drop(client);
    stop.send(()).expect("the server listens");
    server.await.expect("no panic").expect("a clean end");
}
