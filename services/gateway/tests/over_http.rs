//! Subgraphs on sockets, and the program itself.

mod support;

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::routing::post;
use bytes::Bytes;
use gateway::transport::{
    FORWARDED_AUTHORIZATION, HttpTransport, Signer, SubgraphRequest, Transport, TransportError, Unsigned,
};
use gateway::{Config, Gateway, Supergraph};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Value, json};
use tokio::io::AsyncBufReadExt as _;
use tokio::net::TcpListener;

/// Serves `router` on a free port until the test ends, and gives its address.
async fn serve(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, router).await.expect("it serves") });
    format!("http://{address}")
}

fn request(url: &str, timeout: Duration) -> SubgraphRequest {
    let mut headers = HeaderMap::new();
    headers.insert("traceparent", HeaderValue::from_static("00-trace"));
    SubgraphRequest {
        subgraph: "main".to_owned(),
        url: url.to_owned(),
        body: Bytes::from_static(b"{\"query\":\"{a}\"}"),
        headers,
        timeout,
        is_mutation: false,
        document: None,
    }
}

const LONG: Duration = Duration::from_mins(1);

#[tokio::test]
async fn requests_and_answers_are_carried_whole() {
    let router = Router::new()
        .route(
            "/echo",
            post(|headers: HeaderMap, body: Bytes| async move {
                let shown = json!({
                    "body": String::from_utf8_lossy(&body),
                    "type": headers["content-type"].to_str().expect("text"),
                    "trace": headers["traceparent"].to_str().expect("text"),
                });
                (StatusCode::IM_A_TEAPOT, [("cache-control", "max-age=5")], shown.to_string())
            }),
        )
        .route(
            "/pieces",
            post(|| async {
                let pieces =
                    ["one ", "two ", "three"].map(|piece| Ok::<_, std::io::Error>(Bytes::from(piece)));
                Body::from_stream(futures::stream::iter(pieces))
            }),
        )
        .route("/never", post(std::future::pending::<&'static str>))
        .route("/elsewhere", post(|| async { (StatusCode::FOUND, [("location", "/echo")]) }));
    let base = serve(router).await;
    let transport = HttpTransport::new().expect("a client").with_max_body(1_000);

    let answer = transport.send(request(&format!("{base}/echo"), LONG)).await.expect("an answer");
    assert_eq!(answer.status, StatusCode::IM_A_TEAPOT);
    assert_eq!(answer.headers["cache-control"], "max-age=5");
    let body: Value = serde_json::from_slice(&answer.body).expect("JSON");
    assert_eq!(
        body,
        json!({ "body": "{\"query\":\"{a}\"}", "type": "application/json", "trace": "00-trace" })
    );

    let answer = transport.send(request(&format!("{base}/pieces"), LONG)).await.expect("an answer");
    assert_eq!(answer.body, "one two three");
    let answer = transport.send(request(&format!("{base}/elsewhere"), LONG)).await.expect("an answer");
    assert_eq!(answer.status, StatusCode::FOUND, "no redirect is followed");

    let small = transport.clone().with_max_body(10);
    for path in ["echo", "pieces"] {
        let error = small.send(request(&format!("{base}/{path}"), LONG)).await.expect_err("too large");
        assert!(matches!(error, TransportError::TooLarge { limit: 10 }), "{path}: {error}");
    }
    let error =
        transport.send(request(&format!("{base}/never"), Duration::from_millis(1))).await.expect_err("late");
    assert!(matches!(error, TransportError::TimedOut(_)), "{error}");
    let elsewhere = transport.with_address("main", format!("{base}/pieces"));
    let answer = elsewhere.send(request("http://127.0.0.1:1/", LONG)).await.expect("an answer");
    assert_eq!(answer.body, "one two three", "an address that is set is used in place of the supergraph's");
}

/// Signs with the length of what it signs.
#[derive(Debug)]
struct Counting;

#[async_trait]
impl Signer for Counting {
    async fn sign(&self, request: &Unsigned<'_>) -> Result<HeaderMap, String> {
        let Unsigned { url, content_type, body, .. } = request;
        if url.ends_with("/free") {
            return Ok(HeaderMap::new());
        }
        let signature = format!("{} {}", content_type.unwrap_or("-"), body.len())
            .parse()
            .map_err(|_| "odd".to_owned())?;
        Ok(HeaderMap::from_iter([(header::AUTHORIZATION, signature)]))
    }
}

#[tokio::test]
async fn a_signature_takes_the_place_of_the_client_s_authorization() {
    let echo = || {
        post(|headers: HeaderMap| async move {
            let shown = |name| headers.get(name).and_then(|it| it.to_str().ok()).unwrap_or("-").to_owned();
            format!("{}, {}", shown(header::AUTHORIZATION), shown(FORWARDED_AUTHORIZATION))
        })
    };
    let base = serve(Router::new().route("/guarded", echo()).route("/free", echo())).await;
    let transport = HttpTransport::new().expect("a client").signed(Arc::new(Counting));
    for (path, expected) in [("guarded", "application/json 15, Bearer it"), ("free", "Bearer it, -")] {
        let mut request = request(&format!("{base}/{path}"), LONG);
        request.headers.insert(header::AUTHORIZATION, HeaderValue::from_static("Bearer it"));
        let answer = transport.send(request).await.expect("an answer");
        assert_eq!(answer.body, expected);
    }
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    drop(listener);
    let error =
        HttpTransport::new().expect("a client").send(request(&url, LONG)).await.expect_err("nobody there");
    assert!(matches!(error, TransportError::Unreachable(_)), "{error}");
}

fn supergraph(url: &str) -> String {
    format!(
        r#"enum join__Graph {{ MAIN @join__graph(name: "main", url: "{url}") }}
        type Query @join__type(graph: MAIN) {{ a: String }}"#
    )
}

#[tokio::test]
async fn a_graph_is_served_from_sockets() {
    let answer = || async { ([("cache-control", "max-age=5")], r#"{"data":{"a":"yes"}}"#) };
    let base = serve(Router::new().route("/", post(answer))).await;
    let transport = Arc::new(HttpTransport::new().expect("a client"));
    let supergraph = Supergraph::parse(&supergraph(&base)).expect("a supergraph");
    let gateway = Gateway::new(supergraph, transport, Config::default()).expect("it can be served");
    let answer = support::ask(&gateway, "{ a }", Value::Null).await;
    assert_eq!(support::json_of(&answer), json!({ "data": { "a": "yes" } }));
    assert_eq!(answer.cache.to_string(), "max-age=5, public");
}

fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gateway"));
    command.args(arguments).env_remove("RUST_LOG").env_remove("GATEWAY_LISTEN");
    command
}

fn run(arguments: &[&str]) -> (bool, String) {
    let output = program(arguments).output().expect("it runs");
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn the_program_says_what_is_wrong() {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let file = |name: &str| cases.join(name).to_string_lossy().into_owned();
    // Composed by npm's `@theguild/federation-composition`: any tool's supergraph can be served.
    let composed = file("../supergraphs/composed_elsewhere.graphql");
    let (works, help) = run(&["--help"]);
    assert!(works && help.contains("--supergraph <FILE>") && help.contains("Examples:"));
    let (works, text) = run(&["--check", "--supergraph", &composed]);
    assert!(works && text.contains("of 2 subgraphs can be served"), "{text}");
    let schema = format!("prices={}", file("key/prices.graphql"));
    let products = format!("products={}", file("key/products.graphql"));
    let (works, text) = run(&["--check", "--schema", &schema, "--schema", &products]);
    assert!(works && text.contains("join__Graph"), "{text}");
    for (arguments, expected) in [
        (vec!["--supergraph", "/nowhere.graphql"], "can't read /nowhere.graphql"),
        (vec![], "say where the supergraph comes from"),
        (vec!["--schema", "prices"], "write it as name=value"),
        (vec!["--supergraph", &file("key/prices.graphql")], "does not parse"),
        (vec!["--supergraph", &composed], "add --subgraph left=URL"),
        (
            vec!["--supergraph", &composed, "--subgraph", "middle=http://x"],
            "no such subgraph, but left, right",
        ),
        (vec!["--check", "--supergraph", &composed, "--hedge-after", "10000"], "a subgraph has 10s"),
    ] {
        let (works, text) = run(&arguments);
        assert!(!works && text.contains(expected), "{arguments:?}: {text}");
    }
}

/// A router that counts its requests.
fn counting(router: Router) -> (Router, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let asked = Arc::clone(&count);
    let counted = move |request: axum::extract::Request, next: axum::middleware::Next| {
        asked.fetch_add(1, Ordering::SeqCst);
        next.run(request)
    };
    (router.layer(axum::middleware::from_fn(counted)), count)
}

#[tokio::test]
async fn the_program_asks_subgraphs_as_often_as_it_is_told() {
    let down = Router::new().route("/", post(|| async { StatusCode::SERVICE_UNAVAILABLE }));
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("supergraph.graphql");
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let settings: [(&[&str], [usize; 2]); 2] = [
        (
            &["--retries", "2", "--retry-pause", "1", "--breaker-failures", "1", "--breaker-rest", "3600"],
            [3, 3],
        ),
        (&["--retries", "0", "--breaker-failures", "0"], [1, 2]),
    ];
    for (settings, expected) in settings {
        let (router, sent) = counting(down.clone());
        std::fs::write(&path, supergraph(&serve(router).await)).expect("a file");
        let file = path.to_string_lossy();
        let arguments = [&["--listen", "127.0.0.1:0", "--supergraph", &*file][..], settings].concat();
        let mut command = tokio::process::Command::from(program(&arguments));
        let mut child = command.stderr(Stdio::piped()).kill_on_drop(true).spawn().expect("it runs");
        let mut log = tokio::io::BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let line = log.next_line().await.expect("text").expect("a line");
        let url = line.split_whitespace().find(|word| word.contains("http://")).expect("an address");
        for expected in expected {
            let asked = client.get(format!("{url}?query={{a}}")).send().await.expect("an answer");
            let answer = asked.text().await.expect("text");
            assert!(answer.contains(r#""data":{"a":null}"#), "{answer}");
            assert_eq!(sent.load(Ordering::SeqCst), expected, "{settings:?}");
        }
    }
}

/// Where nothing else tells the region, the machine is asked for it: as often as the configuration of AWS is loaded.
#[tokio::test]
async fn the_configuration_of_aws_is_loaded_once_and_only_where_it_is_needed() {
    let ttl = [("x-aws-ec2-metadata-token-ttl-seconds", "21600")];
    let (region, loaded) = counting(
        Router::new()
            .route("/latest/meta-data/placement/region", axum::routing::get(|| async { "eu-west-1" })),
    );
    let token = axum::routing::put(move || async move { (ttl, "token") });
    let machine = serve(region.route("/latest/api/token", token)).await;
    let composed = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/supergraphs/composed_elsewhere.graphql");
    for (settings, expected) in [
        (vec![], 0),
        (vec!["--sigv4"], 1),
        (vec!["--documents-table", "documents"], 1),
        (vec!["--sigv4", "--documents-table", "documents"], 1),
    ] {
        let arguments = [&["--check", "--supergraph", composed][..], settings.as_slice()].concat();
        let mut command = program(&arguments);
        command.env_clear().env("AWS_EC2_METADATA_SERVICE_ENDPOINT", &machine);
        let output = tokio::process::Command::from(command).output().await.expect("it runs");
        assert!(output.status.success(), "{output:?}");
        assert_eq!(loaded.swap(0, Ordering::SeqCst), expected, "{settings:?}");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn the_program_serves_until_it_is_asked_to_stop() {
    let folder = std::env::temp_dir().join(format!("gateway-test-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let path = folder.join("supergraph.graphql");
    std::fs::write(&path, supergraph("http://127.0.0.1:1/")).expect("a file");
    let mut child = program(&["--listen", "127.0.0.1:0", "--supergraph", &path.to_string_lossy()])
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut log = BufReader::new(child.stderr.take().expect("a pipe"));
    let mut line = String::new();
    log.read_line(&mut line).expect("a line");
    let url = line.split_whitespace().find(|word| word.contains("http://")).expect("an address").to_owned();
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let asked = client.get(format!("{url}?query={{__typename}}")).send().await.expect("an answer");
    assert_eq!(asked.text().await.expect("text"), r#"{"data":{"__typename":"Query"}}"#);
    drop(client);
    let killed = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().expect("kill runs");
    assert!(killed.success());
    assert!(child.wait().expect("it ends").success());
    let mut rest = String::new();
    log.read_to_string(&mut rest).expect("text");
    assert!(rest.contains("stopped"), "{rest}");
    std::fs::remove_dir_all(&folder).expect("the folder goes");
}
