//! The binary of a micrograph as Lambda runs it: a process that asks the runtime API for its invocations.

use crate::catalogue::{Product, catalogue};
use crate::wire::{self, Bus};
use crate::world::{AT, World, batch, failed, list, text};
use aws_smithy_runtime_api::client::http::{HttpConnector, SharedHttpConnector};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::sync::Arc;
use tokio::process::{Child, Command};
use tokio::sync::{Mutex, mpsc};

/// The year 2100, in milliseconds: an invocation's deadline.
const DEADLINE: &str = "4102444800000";

const TRACE: &str = "Root=1-4bf92f35-77b34da6a3ce929d0e0e4736;Parent=00f067aa0ba902b7;Sampled=1";

/// Lambda's runtime API and, on the same address, the AWS services that the function calls.
#[derive(Clone)]
struct Api {
    invocations: Arc<Mutex<mpsc::UnboundedReceiver<String>>>,
    answers: mpsc::UnboundedSender<(String, Value)>,
    dynamodb: SharedHttpConnector,
    bus: Bus,
}

async fn next(State(api): State<Api>) -> Response {
    let Some(event) = api.invocations.lock().await.recv().await else { return std::future::pending().await };
    let headers = [
        ("lambda-runtime-aws-request-id", "request-1"),
        ("lambda-runtime-deadline-ms", DEADLINE),
        ("lambda-runtime-invoked-function-arn", "arn:aws:lambda:eu-west-1:000000000000:function:shop"),
        ("lambda-runtime-trace-id", TRACE),
    ];
    (headers, event).into_response()
}

async fn answer(State(api): State<Api>, Path((id, kind)): Path<(String, String)>, body: Bytes) -> StatusCode {
    assert_eq!(id, "request-1");
    // The test may be over.
    let _ = api.answers.send((kind, serde_json::from_slice(&body).expect("JSON")));
    StatusCode::ACCEPTED
}

async fn aws(State(api): State<Api>, headers: HeaderMap, body: Bytes) -> (StatusCode, Vec<u8>) {
    let target = headers["x-amz-target"].to_str().expect("ASCII").to_owned();
    let (status, body) = if target == "AWSEvents.PutEvents" {
        let (status, answer) = api.bus.put_events(&body);
        (status, answer.to_string().into_bytes())
    } else {
        let mut request = HttpRequest::new(SdkBody::from(body.to_vec()));
        request.headers_mut().insert("x-amz-target", target);
        let response = api.dynamodb.call(request).await.expect("an answer");
        (response.status().as_u16(), response.body().bytes().expect("in memory").to_vec())
    };
    (StatusCode::from_u16(status).expect("a status"), body)
}

/// A function with one role.
struct Function {
    process: Child,
    invocations: mpsc::UnboundedSender<String>,
    answers: mpsc::UnboundedReceiver<(String, Value)>,
}

impl Function {
    async fn start(world: &World, handler: &str) -> Self {
        Self::start_in("eu-west-1", world, handler, &[], Router::new()).await
    }

    /// In a region, with further variables and something else at the address of the services.
    async fn start_in(
        region: &str,
        world: &World,
        handler: &str,
        variables: &[(&str, &str)],
        also: Router,
    ) -> Self {
        let (invocations, asked) = mpsc::unbounded_channel();
        let (told, answers) = mpsc::unbounded_channel();
        let api = Api {
            invocations: Arc::new(Mutex::new(asked)),
            answers: told,
            dynamodb: wire::below(&world.db).await,
            bus: world.bus.clone(),
        };
        let router = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/{id}/{kind}", post(answer))
            .route("/", post(aws))
            .with_state(api)
            .merge(also);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move { axum::serve(listener, router).await });
        let mut command = bootstrap(Some(address), handler);
        command.env("AWS_REGION", region).envs(variables.iter().copied());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        Self { process: command.spawn().expect("it starts"), invocations, answers }
    }

    /// What the function answers, or which error it reports.
    async fn invoke(&mut self, payload: impl Into<String>) -> Result<Value, Value> {
        self.invocations.send(payload.into()).expect("the API is up");
        tokio::select! {
            answer = self.answers.recv() => match answer.expect("the API is up") {
                (kind, body) if kind == "response" => Ok(body),
                (_, body) => Err(body),
            },
            status = self.process.wait() => panic!("the function ended: {status:?}"),
        }
    }

    /// Ends the function and gives what it logged.
    async fn log(mut self) -> String {
        self.process.start_kill().expect("it runs");
        let output = self.process.wait_with_output().await.expect("it ended");
        String::from_utf8(output.stdout).expect("UTF-8")
    }
}

fn bootstrap(api: Option<SocketAddr>, handler: &str) -> Command {
    let test = std::env::current_exe().expect("a path");
    let target: PathBuf = test.ancestors().nth(2).expect("target/<profile>/deps/<test>").into();
    let path = target.join("examples").join(format!("shop{}", std::env::consts::EXE_SUFFIX));
    assert!(path.exists(), "{} is missing: `cargo test -p micrograph` builds it", path.display());
    let mut command = Command::new(path);
    command.env_clear();
    if let Some(address) = api {
        command
            .env("AWS_LAMBDA_RUNTIME_API", address.to_string())
            .env("AWS_ENDPOINT_URL", format!("http://{address}"))
            .env("AWS_LAMBDA_FUNCTION_NAME", "shop")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "1")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
            .env("AWS_REGION", "eu-west-1")
            .env("AWS_ACCESS_KEY_ID", "id")
            .env("AWS_SECRET_ACCESS_KEY", "secret")
            .env("TABLE_PREFIX", "test-")
            .env("EVENT_BUS", "shop")
            .env("_HANDLER", handler);
    }
    command
}

async fn run(arguments: &[&str]) -> Output {
    bootstrap(None, "").args(arguments).output().await.expect("it runs")
}

fn utf8(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("UTF-8")
}

fn payload(bodies: &[String]) -> String {
    utf8(batch(bodies))
}

#[tokio::test]
async fn commands_are_carried_out_and_those_that_must_wait_are_named() {
    let world = World::of(catalogue()).await;
    let mut function = Function::start(&world, "commands").await;
    let bad = r#"{"name": "ada@example.org"}"#.to_owned();
    let answer = function.invoke(payload(&[text(&list("c0", "A", "Apron")), bad.clone()])).await;
    assert_eq!(failed(&answer.expect("an answer")), [""; 0]);
    assert_eq!(world.events("test-catalogue-product").len(), 1);
    assert_eq!(world.quarantined().await[0].1, bad);

    let quarantine = world.db.client().delete_table().table_name("test-catalogue-quarantine");
    quarantine.send().await.expect("deleted");
    let answer = function.invoke(payload(&[bad, text(&list("c1", "B", "Bowl"))])).await;
    assert_eq!(failed(&answer.expect("an answer")), ["m0"]);
    assert_eq!(world.events("test-catalogue-product").len(), 2);

    let log = function.log().await;
    let lines: Vec<Value> = log.lines().map(|it| serde_json::from_str(it).expect("JSON lines")).collect();
    let found = lines
        .iter()
        .find(|it| it["message"] == "a command is quarantined")
        .unwrap_or_else(|| panic!("not logged: {log}"));
    assert_eq!((&found["role"], &found["request_id"]), (&"commands".into(), &"request-1".into()));
    assert!(!log.contains("ada@example.org"), "personal data in the log: {log}");
}

#[tokio::test]
async fn events_go_from_the_stream_to_the_bus() {
    let world = World::of(catalogue()).await;
    world.app.commands().execute::<Product, _>(&list("c0", "A", "Apron")).await.expect("listed");
    let stream = world.db.stream_batch("test-catalogue-product", 10).expect("a stream").expect("records");
    let mut function = Function::start(&world, "outbox").await;
    let answer = function.invoke(utf8(stream.payload().to_vec())).await.expect("an answer");
    assert_eq!(failed(&answer), [""; 0]);
    assert_eq!(world.bus.calls()[0][0]["DetailType"], "ProductListed");
    // A failed invocation is reported with a name to count it by, and the function lives on.
    let error = function.invoke("7").await.expect_err("no payload");
    assert_eq!(error["errorType"], "Payload");
    assert!(error["errorMessage"].as_str().is_some_and(|it| it.contains("JSON")), "{error}");
    function.invoke(r#"{"Records": []}"#).await.expect("an answer");
}

#[tokio::test]
async fn a_consumer_hydrates_its_projection() {
    let world = World::of(catalogue()).await;
    world.app.commands().execute::<Product, _>(&list("c0", "A", "Apron")).await.expect("listed");
    let event = &world.events("test-catalogue-product")[0];
    let wrapped = json!({ "source": "tributary.catalogue", "detail-type": "ProductListed", "detail": event });
    let mut function = Function::start(&world, "consumer.titles-1").await;
    let answer = function.invoke(payload(&["not JSON".to_owned(), wrapped.to_string()])).await;
    assert_eq!(failed(&answer.expect("an answer")), [""; 0]);
    assert_eq!(world.quarantined().await[0].0.consumer, "titles");
    let titles = catalogue().projections().next().expect("declared").clone();
    let table = titles.table("catalogue", titles.generation()).name;
    let items =
        world.db.client().scan().table_name(format!("test-{table}")).send().await.expect("read").items;
    let titles: Vec<_> = items.iter().flatten().map(|it| it["title"].as_s().cloned()).collect();
    assert_eq!(titles, [Ok("Apron".to_owned())]);
}

#[tokio::test]
async fn a_build_beside_what_is_deployed_is_fed_by_a_function_of_its_own() {
    let world = World::of(catalogue()).await;
    let built = "3-1".parse().ok().and_then(|it| world.app.parts("titles", it));
    assert!(built.is_none(), "it has no folds of version 3");
    let parts = world.app.parts("titles", "1-1".parse().expect("a generation")).expect("folds of version 1");
    world.app.create_table(&parts.table).await.expect("created");
    world.app.commands().execute::<Product, _>(&list("c0", "A", "Apron")).await.expect("listed");
    let event = world.events("test-catalogue-product")[0].to_string();
    let mut function = Function::start(&world, &parts.function.handler).await;
    assert_eq!(failed(&function.invoke(payload(&[event])).await.expect("an answer")), [""; 0]);
    let table = format!("test-{}", parts.table.name);
    assert_eq!(world.db.client().scan().table_name(table).send().await.expect("read").count, 1);
}

/// The regions, as a function of one of two is told.
const REGIONS: [(&str, &str); 1] = [("REGIONS", "eu-west-1,us-east-1")];

/// A region of two, with its homes.
async fn one_of_two(own: &str) -> World {
    let world = World::with(catalogue(), |it| {
        own.clone_into(&mut it.region);
        let all = ["eu-west-1", "us-east-1"].map(str::to_owned).to_vec();
        it.regions = Some(micrograph::Regions { first: all.clone(), all, relay: None });
    });
    let world = world.await;
    world.app.create_tables().await.expect("tables");
    world
}

/// Lambda's `Invoke`, of a function in the region that the signature names.
async fn invoke(
    State(function): State<Arc<Mutex<Function>>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: String,
) -> Response {
    assert_eq!(name, "test-catalogue-commands");
    let signature = headers["authorization"].to_str().expect("ASCII");
    assert!(signature.contains("/us-east-1/lambda/aws4_request"), "{signature}");
    assert!(signature.starts_with("AWS4-HMAC-SHA256 Credential=id/"), "{signature}");
    match function.lock().await.invoke(body).await {
        Ok(answer) => answer.to_string().into_response(),
        Err(error) => ([("x-amz-function-error", "Unhandled")], error.to_string()).into_response(),
    }
}

#[tokio::test]
async fn a_command_is_handed_to_the_function_at_home() {
    let (eu, us) = (one_of_two("eu-west-1").await, one_of_two("us-east-1").await);
    let there = Function::start_in("us-east-1", &us, "commands", &REGIONS, Router::new()).await;
    let there = Arc::new(Mutex::new(there));
    let way = Router::new()
        .route("/2015-03-31/functions/{name}/invocations", post(invoke))
        .with_state(Arc::clone(&there));
    let mut here = Function::start_in("eu-west-1", &eu, "commands", &REGIONS, way).await;
    let skus: Vec<String> = (0..8).map(|number| format!("SKU-{number}")).collect();
    let commands: Vec<String> =
        skus.iter().map(|sku| text(&list(&format!("c-{sku}"), sku, "Apron"))).collect();
    for _ in 0..2 {
        let answer = here.invoke(payload(&commands)).await.expect("an answer");
        assert_eq!(failed(&answer), [""; 0]);
        // Each was decided at its home, once.
        let (eu, us) = (eu.events("test-catalogue-product").len(), us.events("test-catalogue-product").len());
        assert!(eu > 0 && us > 0 && eu + us == skus.len(), "{eu} here, {us} there");
    }
    assert!(eu.quarantined().await.is_empty() && us.quarantined().await.is_empty());

    // Where the home doesn't answer, its commands wait, and no others.
    there.lock().await.process.kill().await.expect("it ran");
    let more: Vec<String> = skus.iter().map(|sku| text(&list(&format!("d-{sku}"), sku, "Bib"))).collect();
    let before = us.events("test-catalogue-product").len();
    drop(there);
    let cut = Router::new()
        .route("/2015-03-31/functions/{name}/invocations", post(StatusCode::SERVICE_UNAVAILABLE));
    let mut here = Function::start_in("eu-west-1", &eu, "commands", &REGIONS, cut).await;
    let answer = here.invoke(payload(&more)).await.expect("an answer");
    assert_eq!(failed(&answer).len(), before, "those at home there wait");
}

#[tokio::test]
async fn a_region_takes_over_when_its_watch_is_told_to() {
    let us = one_of_two("us-east-1").await;
    let mut watch = Function::start_in("us-east-1", &us, "watch", &REGIONS, Router::new()).await;
    let take_over = |from: &str, to: &str| json!({ "moveHomes": { "from": from, "to": to } }).to_string();
    let error = watch.invoke(take_over("eu-west-1", "mars-1")).await.expect_err("no such region");
    assert_eq!(error["errorType"], "UnknownRegion");
    for _ in 0..2 {
        let answer = watch.invoke(take_over("eu-west-1", "us-east-1")).await.expect("an answer");
        assert_eq!(answer["shards"], json!({ "eu-west-1": 0, "us-east-1": 64 }));
        assert_eq!(us.bus.calls().last().expect("told")[0]["DetailType"], "HomesMoved");
    }
}

/// A request as an HTTP API and a function URL hand it over.
fn request(query: &str) -> String {
    json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": "/graphql",
        "rawQueryString": "",
        "headers": { "content-type": "application/json", "x-correlation-id": "order-17" },
        "requestContext": {
            "accountId": "anonymous", "apiId": "id", "domainName": "id.lambda-url.eu-west-1.on.aws",
            "domainPrefix": "id", "requestId": "request-1", "routeKey": "$default", "stage": "$default",
            "time": AT.to_string(), "timeEpoch": AT.as_millisecond(),
            "http": {
                "method": "POST", "path": "/graphql", "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1",
                "userAgent": "test",
            },
        },
        "body": json!({ "query": query }).to_string(),
        "isBase64Encoded": false,
    })
    .to_string()
}

#[tokio::test]
async fn a_subgraph_answers_http() {
    let world = World::of(catalogue()).await;
    let mut function = Function::start(&world, "subgraph").await;
    let answer = function.invoke(request("{ boxSize }")).await.expect("an answer");
    assert_eq!((&answer["statusCode"], &answer["isBase64Encoded"]), (&200.into(), &false.into()));
    assert_eq!(answer["headers"]["x-correlation-id"], "order-17");
    let body: Value = serde_json::from_str(answer["body"].as_str().expect("text")).expect("JSON");
    assert_eq!(body["data"], json!({ "boxSize": 12 }));
    let answer = function.invoke(request("{ nothing }")).await.expect("an answer");
    assert!(answer["body"].as_str().is_some_and(|it| it.contains("errors")), "{answer}");
}

#[tokio::test]
async fn a_function_that_is_set_up_wrong_ends_at_once_and_says_why() {
    let nowhere: SocketAddr = ([127, 0, 0, 1], 9).into();
    let output = bootstrap(Some(nowhere), "consumer.nothing").output().await.expect("it runs");
    let said = utf8(output.stderr);
    assert!(!output.status.success() && said.contains("consumer.titles"), "{said}");
    let output =
        bootstrap(Some(nowhere), "outbox").env("REGIONS", "elsewhere").output().await.expect("it runs");
    let said = utf8(output.stderr);
    assert!(!output.status.success() && said.contains("REGIONS"), "{said}");
}

#[tokio::test]
async fn for_people_it_prints_its_manifest_and_its_schema() {
    let manifest = run(&["manifest"]).await;
    assert!(manifest.status.success());
    let manifest: Value = serde_json::from_slice(&manifest.stdout).expect("JSON");
    let expected =
        micrograph::manifest::Manifest::described(&catalogue()).expect("what its projections read");
    assert_eq!(manifest, serde_json::to_value(expected).expect("JSON"));
    let reads = manifest["reads"].as_array().expect("what its projections read");
    let listed =
        reads.iter().find(|it| it["projection"] == "titles" && it["event"] == "catalogue.ProductListed");
    assert_eq!(listed.expect("titles reads it")["fields"]["title"], json!(["title"]));

    let schema = run(&["schema"]).await;
    assert!(schema.status.success() && utf8(schema.stdout).contains("boxSize: Int!"));

    let nothing = run(&[]).await;
    let said = utf8(nothing.stderr);
    assert!(!nothing.status.success());
    assert!(
        ["runs on Lambda", "consumer.titles", "manifest", "cargo run"].iter().all(|it| said.contains(it)),
        "{said}"
    );
}
