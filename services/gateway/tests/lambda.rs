//! The program as Lambda runs it: a process that asks the runtime API for its invocations, in the form of each of those
//! who hand HTTP requests to functions.

#![cfg(feature = "lambda")]
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::process::Stdio;
use std::sync::Arc;

use axum::Router;
use axum::body::{Bytes, to_bytes};
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;

/// The year 2100, in milliseconds: an invocation's deadline.
const LATE: &str = "4102444800000";

const TRACE: &str = "Root=1-4bf92f35-77b34da6a3ce929d0e0e4736;Parent=00f067aa0ba902b7;Sampled=1";

/// Who hands requests to functions, and what he hands over.
const FORMS: [(&str, &str); 4] = [
    ("API Gateway, payload 1.0", include_str!("payloads/api_gateway_v1.json")),
    ("API Gateway, payload 2.0", include_str!("payloads/api_gateway_v2.json")),
    ("ALB", include_str!("payloads/alb.json")),
    ("function URL", include_str!("payloads/function_url.json")),
];

const FUNCTION_URL: &str = FORMS[3].1;

/// Lambda's runtime API, and a subgraph on the same address.
#[derive(Clone)]
struct Api {
    invocations: Arc<Mutex<mpsc::UnboundedReceiver<(String, &'static str)>>>,
    answers: mpsc::UnboundedSender<(HeaderMap, Bytes)>,
    asked: mpsc::UnboundedSender<HeaderMap>,
}

async fn next(State(api): State<Api>) -> Response {
    let Some((event, deadline)) = api.invocations.lock().await.recv().await else {
        return std::future::pending().await;
    };
    let headers = [
        ("lambda-runtime-aws-request-id", "request-1"),
        ("lambda-runtime-deadline-ms", deadline),
        ("lambda-runtime-invoked-function-arn", "arn:aws:lambda:eu-west-1:000000000000:function:gateway"),
        ("lambda-runtime-trace-id", TRACE),
    ];
    (headers, event).into_response()
}

async fn answer(
    State(api): State<Api>,
    Path((id, kind)): Path<(String, String)>,
    request: Request,
) -> StatusCode {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    assert_eq!((id.as_str(), kind.as_str()), ("request-1", "response"), "{body:?}");
    // The test may be over.
    let _ = api.answers.send((parts.headers, body));
    StatusCode::ACCEPTED
}

/// Repeats a text as often as it is asked to.
async fn subgraph(State(api): State<Api>, headers: HeaderMap, body: Bytes) -> String {
    let _ = api.asked.send(headers);
    let body: Value = serde_json::from_slice(&body).unwrap();
    let times = usize::try_from(body["variables"]["times"].as_u64().unwrap_or(1)).unwrap();
    let text = body["variables"]["text"].as_str().unwrap_or("tea").repeat(times);
    json!({ "data": { "echo": text } }).to_string()
}

/// The gateway as a function.
struct Function {
    process: Child,
    invocations: mpsc::UnboundedSender<(String, &'static str)>,
    answers: mpsc::UnboundedReceiver<(HeaderMap, Bytes)>,
    asked: mpsc::UnboundedReceiver<HeaderMap>,
    /// What it logs, read on and on: a pipe that is full would stop it.
    log: JoinHandle<String>,
    _folder: tempfile::TempDir,
}

impl Function {
    async fn start(settings: &[(&str, &str)]) -> Self {
        let (invocations, invoked) = mpsc::unbounded_channel();
        let (answered, answers) = mpsc::unbounded_channel();
        let (asks, asked) = mpsc::unbounded_channel();
        let api = Api { invocations: Arc::new(Mutex::new(invoked)), answers: answered, asked: asks };
        let router = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/{id}/{kind}", post(answer))
            .route("/graphql", post(subgraph))
            .layer(DefaultBodyLimit::disable())
            .with_state(api);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move { axum::serve(listener, router).await });
        let folder = tempfile::tempdir().unwrap();
        let supergraph = folder.path().join("supergraph.graphql");
        let sdl = format!(
            r#"enum join__Graph {{ MAIN @join__graph(name: "main", url: "http://{address}/graphql") }}
            type Query @join__type(graph: MAIN) {{ echo(text: String, times: Int): String }}"#
        );
        std::fs::write(&supergraph, sdl).unwrap();
        let mut process = Command::new(env!("CARGO_BIN_EXE_gateway"))
            .env_clear()
            .env("AWS_LAMBDA_RUNTIME_API", &address)
            .env("AWS_LAMBDA_FUNCTION_NAME", "gateway")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "1")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "1024")
            .env("AWS_REGION", "eu-west-1")
            .env("GATEWAY_SUPERGRAPH", &supergraph)
            .envs(settings.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut stdout = process.stdout.take().unwrap();
        let log = tokio::spawn(async move {
            let mut log = String::new();
            stdout.read_to_string(&mut log).await.unwrap();
            log
        });
        Self { process, invocations, answers, asked, log, _folder: folder }
    }

    async fn invoke_until(&mut self, payload: &Value, deadline: &'static str) -> (HeaderMap, Bytes) {
        self.invocations.send((payload.to_string(), deadline)).unwrap();
        tokio::select! {
            answer = self.answers.recv() => answer.unwrap(),
            status = self.process.wait() => panic!("the function ended: {status:?}"),
        }
    }

    /// What the function answers, as whoever handed over the request reads it.
    async fn invoke(&mut self, payload: &Value) -> Answer {
        Answer::of(&self.invoke_until(payload, LATE).await.1)
    }

    /// Ends the function and gives what it logged.
    async fn log(mut self) -> String {
        self.process.start_kill().unwrap();
        self.log.await.unwrap()
    }
}

struct Answer {
    status: u64,
    headers: Value,
    is_binary: bool,
    body: Vec<u8>,
    /// Bytes of the whole payload.
    size: usize,
}

impl Answer {
    fn of(payload: &[u8]) -> Self {
        let answer: Value = serde_json::from_slice(payload).unwrap();
        let body = answer["body"].as_str().unwrap_or_default();
        let is_binary = answer["isBase64Encoded"].as_bool().unwrap();
        let body = if is_binary { BASE64.decode(body).unwrap() } else { body.as_bytes().to_vec() };
        let single = answer["headers"].as_object().filter(|headers| !headers.is_empty());
        let headers = if let Some(headers) = single {
            Value::from(headers.clone())
        } else {
            let headers = answer["multiValueHeaders"].as_object().unwrap().iter();
            headers.map(|(name, values)| (name.clone(), values[0].clone())).collect()
        };
        let status = answer["statusCode"].as_u64().unwrap();
        Self { status, headers, is_binary, body, size: payload.len() }
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

const QUERY: &str = "query Echo($text: String, $times: Int) { echo(text: $text, times: $times) }";

fn posted(form: &str, headers: &[(&str, &str)], text: &str, times: u64) -> Value {
    let mut payload: Value = serde_json::from_str(form).unwrap();
    let body = json!({ "query": QUERY, "variables": { "text": text, "times": times } });
    payload["body"] = json!(body.to_string());
    for (name, value) in headers {
        set_header(&mut payload, name, value);
    }
    payload
}

fn set_header(payload: &mut Value, name: &str, value: &str) {
    let known = |headers: &Value| {
        let names = headers.as_object().into_iter().flatten().map(|(known, _)| known.clone());
        names.into_iter().find(|known| known.eq_ignore_ascii_case(name)).unwrap_or_else(|| name.to_owned())
    };
    let name = known(&payload["headers"]);
    payload["headers"][&name] = json!(value);
    if payload["multiValueHeaders"].is_object() {
        payload["multiValueHeaders"][&name] = json!([value]);
    }
}

/// The same question by GET, its parameters where and how each of them hands them over.
fn got(form: &str, text: &str) -> Value {
    let mut payload: Value = serde_json::from_str(form).unwrap();
    let variables = json!({ "text": text }).to_string();
    let parameters = [("query", QUERY), ("variables", variables.as_str())];
    let coded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    if payload["requestContext"]["http"].is_object() {
        let query: Vec<_> =
            parameters.iter().map(|(name, value)| format!("{name}={}", coded(value))).collect();
        payload["rawQueryString"] = json!(query.join("&"));
        payload["queryStringParameters"] =
            parameters.iter().map(|(name, value)| (*name, json!(value))).collect();
        payload["requestContext"]["http"]["method"] = json!("GET");
        return payload;
    }
    let is_alb = payload["requestContext"]["elb"].is_object();
    for (name, value) in parameters {
        // An ALB leaves them as they are in the URL.
        let value = if is_alb { coded(value) } else { value.to_owned() };
        payload["queryStringParameters"][name] = json!(value);
        if !is_alb {
            payload["multiValueQueryStringParameters"][name] = json!([value]);
        }
    }
    payload["httpMethod"] = json!("GET");
    payload
}

#[tokio::test]
async fn whoever_hands_a_request_over_gets_the_answer() {
    let mut function = Function::start(&[]).await;
    for (who, form) in FORMS {
        let answer = function.invoke(&posted(form, &[], "tea", 2)).await;
        assert_eq!((answer.status, answer.is_binary), (200, false), "{who}");
        assert_eq!(answer.json(), json!({ "data": { "echo": "teatea" } }), "{who}");
        assert_eq!(answer.headers["content-type"], "application/json; charset=utf-8", "{who}");
        assert_eq!(answer.headers["cache-control"], "no-store", "{who}");
        // Subgraphs see X-Ray's trace as one of the W3C's.
        let asked = function.asked.recv().await.unwrap();
        assert_eq!(asked["traceparent"], "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "{who}");

        let mut coded = posted(form, &[], "tea", 1);
        coded["body"] = json!(BASE64.encode(coded["body"].as_str().unwrap()));
        coded["isBase64Encoded"] = json!(true);
        assert_eq!(function.invoke(&coded).await.json(), json!({ "data": { "echo": "tea" } }), "{who}");

        let text = "é & \"50 %\" + a=b; %20";
        let answer = function.invoke(&got(form, text)).await;
        assert_eq!(answer.json(), json!({ "data": { "echo": text } }), "{who}");

        let mut wrong = posted(form, &[("content-type", "text/plain")], "tea", 1);
        assert_eq!(function.invoke(&wrong).await.status, 415, "{who}");
        for path in ["path", "rawPath"] {
            if wrong[path].is_string() {
                wrong[path] = json!("/health");
            }
        }
        assert_eq!(function.invoke(&wrong).await.body, b"ok\n", "{who}");
    }
}

#[tokio::test]
async fn an_answer_is_compressed_before_it_is_too_large() {
    const MEGABYTES: u64 = 1 << 20;
    let mut function = Function::start(&[]).await;
    for (who, form) in FORMS {
        let limit = if who == "ALB" { 1 } else { 6 };
        let fits = function.invoke(&posted(form, &[], "tea!", limit * MEGABYTES / 4 - 30_000)).await;
        assert_eq!(fits.status, 200, "{who}");
        assert!(fits.size as u64 <= limit * MEGABYTES, "{who}: {}", fits.size);
        let answer = function.invoke(&posted(form, &[], "tea!", limit * MEGABYTES / 4)).await;
        assert_eq!((answer.status, &answer.headers["cache-control"]), (500, &json!("no-store")), "{who}");
        let error = &answer.json()["errors"][0];
        assert_eq!(error["extensions"]["code"], "RESPONSE_TOO_LARGE", "{who}");
        let (size, most) = (&error["extensions"]["size"], &error["extensions"]["limit"]);
        assert!(size.as_u64().unwrap() > limit * MEGABYTES, "{who}: {size}");
        assert!(most.as_u64().unwrap() < limit * MEGABYTES, "{who}: {most}");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(&size.to_string()) && message.contains(&most.to_string()), "{message}");

        let taking = [("accept-encoding", "gzip")];
        let answer = function.invoke(&posted(form, &taking, "tea!", limit * MEGABYTES / 4)).await;
        assert_eq!((answer.status, answer.is_binary), (200, true), "{who}");
        assert_eq!(answer.headers["content-encoding"], "gzip", "{who}");
        let mut plain = String::new();
        std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&answer.body[..]), &mut plain)
            .unwrap();
        let expected = usize::try_from(limit * MEGABYTES).unwrap();
        assert_eq!(plain.len(), expected + r#"{"data":{"echo":""}}"#.len(), "{who}");
    }
}

#[tokio::test]
async fn a_text_full_of_quotes_goes_out_in_base64() {
    let mut function = Function::start(&[]).await;
    // In JSON each quote is two bytes, and in a payload, which is JSON again, four.
    let answer = function.invoke(&posted(FUNCTION_URL, &[], "\"", 1_000_000)).await;
    assert_eq!((answer.status, answer.is_binary), (200, true));
    assert!(answer.size < 3_000_000, "{}", answer.size);
    assert_eq!(answer.json()["data"]["echo"].as_str().unwrap().len(), 1_000_000);
}

#[tokio::test]
async fn a_streamed_answer_may_be_larger() {
    let mut function = Function::start(&[("GATEWAY_STREAM", "true")]).await;
    let payload = posted(FUNCTION_URL, &[], "tea!", 2 << 20);
    let (headers, body) = function.invoke_until(&payload, LATE).await;
    assert_eq!(headers["lambda-runtime-function-response-mode"], "streaming");
    // What goes before the body is divided from it by eight zeros.
    let end = body.windows(8).position(|bytes| bytes == [0; 8]).unwrap();
    let prelude: Value = serde_json::from_slice(&body[..end]).unwrap();
    assert_eq!(prelude["statusCode"], 200);
    assert_eq!(prelude["headers"]["content-type"], "application/json; charset=utf-8");
    let answer: Value = serde_json::from_slice(&body[end + 8..]).unwrap();
    assert_eq!(answer["data"]["echo"].as_str().unwrap().len(), 8 << 20);
}

#[tokio::test]
async fn an_invocation_that_ends_waits_for_nobody() {
    let mut function = Function::start(&[]).await;
    let payload = posted(FUNCTION_URL, &[], "tea", 1);
    let (_, body) = function.invoke_until(&payload, "1").await;
    let answer = Answer::of(&body);
    assert_eq!(answer.json()["errors"][0]["extensions"]["code"], "SUBGRAPH_TIMEOUT");
    let answer = function.invoke(&payload).await;
    assert_eq!(answer.json(), json!({ "data": { "echo": "tea" } }));
}

#[tokio::test]
async fn a_function_measures_operations_and_subgraphs() {
    let mut function = Function::start(&[]).await;
    function.invoke(&posted(FUNCTION_URL, &[], "tea", 1)).await;
    let mut wrong = posted(FUNCTION_URL, &[], "tea", 1);
    wrong["body"] = json!(r#"{"query":"{ nothing }"}"#);
    function.invoke(&wrong).await;
    let log = function.log().await;
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let metrics: Vec<Value> = lines.filter(|line| line["_aws"].is_object()).collect();
    let sum = |name: &str, dimension: &str, value: &str| {
        let of_it = metrics.iter().filter(|line| line[dimension] == value);
        let sum: f64 = of_it.filter_map(|line| line[name].as_f64()).sum();
        sum.to_string()
    };
    assert_eq!(sum("GatewayOperations", "Operation", "Echo"), "1", "{log}");
    assert_eq!(sum("GatewayOperations", "Cache", "off"), "2", "{log}");
    assert_eq!(sum("GatewayErrors", "Operation", "Echo"), "0", "{log}");
    assert_eq!(sum("GatewayErrors", "Operation", "refused"), "1", "{log}");
    assert_eq!(sum("SubgraphRequests", "Subgraph", "main"), "1", "{log}");
    for name in ["GatewayDuration", "GatewayResponseBytes", "GatewayPlanning", "SubgraphDuration"] {
        assert!(metrics.iter().any(|line| line[name].is_array()), "{name}: {log}");
    }
}

#[tokio::test]
async fn a_function_logs_in_lines_of_json() {
    let mut function = Function::start(&[]).await;
    let answer = function.invoke(&posted(FUNCTION_URL, &[], "tea!", 2 << 20)).await;
    assert_eq!(answer.status, 500);
    let log = function.log().await;
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let line = lines.iter().find(|line| line["message"] == "an answer was too large to be sent").unwrap();
    assert_eq!((&line["role"], &line["request_id"]), (&json!("gateway"), &json!("request-1")));
    assert_eq!(line["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
}
