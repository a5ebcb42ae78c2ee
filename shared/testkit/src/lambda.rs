//! Lambda's Runtime API (2018-06-01) on the loopback, for one process of a function: what
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html> documents, and the AWS services that the function
//! calls at the same address.

pub mod request;
pub mod surroundings;

use crate::log::NOW;
use anyhow::{Context as _, bail};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::Value;
use std::net::SocketAddr;
use std::path::Path as FilePath;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;

/// The region that a function is told it runs in.
pub const REGION: &str = "eu-west-1";

/// The year 2100: no invocation runs out of time unless a test says so.
const FAR_OFF: u64 = 4_102_444_800_000;

/// The trace that an invocation belongs to, as Lambda hands it over.
pub const TRACE: &str = "Root=1-4bf92f35-77b34da6a3ce929d0e0e4736;Parent=00f067aa0ba902b7;Sampled=1";

/// One invocation.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// The request's id.
    pub id: String,
    /// The event, as text.
    pub payload: String,
    /// When it must have ended, in milliseconds since the epoch.
    pub deadline: u64,
}

/// What a function answered, or the error that it reported: an object with `errorType` and `errorMessage`.
pub type Answer = Result<Value, Value>;

/// The process of a function.
#[derive(Debug)]
pub struct Function {
    process: Child,
    invocations: mpsc::UnboundedSender<Invocation>,
    answers: mpsc::UnboundedReceiver<(String, Answer)>,
    output: JoinHandle<String>,
    server: JoinHandle<()>,
    asked: u64,
}

/// A function that has ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to stdout: its log and its metrics.
    pub log: String,
}

#[derive(Clone)]
struct Api {
    invocations: Arc<Mutex<mpsc::UnboundedReceiver<Invocation>>>,
    answers: mpsc::UnboundedSender<(String, Answer)>,
}

async fn next(State(api): State<Api>) -> Response {
    let Some(invocation) = api.invocations.lock().await.recv().await else {
        return std::future::pending().await;
    };
    let headers = [
        ("lambda-runtime-aws-request-id", invocation.id),
        ("lambda-runtime-deadline-ms", invocation.deadline.to_string()),
        ("lambda-runtime-invoked-function-arn", format!("arn:aws:lambda:{REGION}:123456789012:function:it")),
        ("lambda-runtime-trace-id", TRACE.to_owned()),
        ("content-type", "application/json".to_owned()),
    ];
    (headers, invocation.payload).into_response()
}

async fn told(State(api): State<Api>, Path((id, kind)): Path<(String, String)>, body: Bytes) -> StatusCode {
    let Ok(body) = serde_json::from_slice(&body) else { return StatusCode::BAD_REQUEST };
    let answer = match kind.as_str() {
        "response" => Ok(body),
        "error" => Err(body),
        _ => return StatusCode::NOT_FOUND,
    };
    // The test may be over.
    let _ = api.answers.send((id, answer));
    StatusCode::ACCEPTED
}

/// The environment that Lambda gives a process, and nothing else.
fn environment(address: SocketAddr, handler: &str) -> [(&'static str, String); 14] {
    [
        ("_HANDLER", handler.to_owned()),
        ("AWS_LAMBDA_RUNTIME_API", address.to_string()),
        ("AWS_ENDPOINT_URL", format!("http://{address}")),
        ("AWS_LAMBDA_FUNCTION_NAME", "it".to_owned()),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST".to_owned()),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256".to_owned()),
        ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand".to_owned()),
        ("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/it".to_owned()),
        ("AWS_LAMBDA_LOG_STREAM_NAME", "it".to_owned()),
        ("AWS_EXECUTION_ENV", "AWS_Lambda_provided.al2023".to_owned()),
        ("AWS_REGION", REGION.to_owned()),
        ("AWS_ACCESS_KEY_ID", "id".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "secret".to_owned()),
        ("AWS_SESSION_TOKEN", "token".to_owned()),
    ]
}

impl Function {
    /// Starts a binary in a role; `services` answers what it asks of AWS, and `variables` are set besides Lambda's own.
    pub async fn start(
        binary: &FilePath,
        handler: &str,
        services: Router,
        variables: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        let (invocations, waiting) = mpsc::unbounded_channel();
        let (answers, heard) = mpsc::unbounded_channel();
        let api = Api { invocations: Arc::new(Mutex::new(waiting)), answers };
        let router = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/{id}/{kind}", post(told))
            .with_state(api)
            .merge(services);
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let server = tokio::spawn(async move {
            // It is aborted with the function.
            let _ = axum::serve(listener, router).await;
        });
        let mut process = Command::new(binary)
            .env_clear()
            .envs(environment(address, handler))
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{} can't be started", binary.display()))?;
        let mut stdout = process.stdout.take().context("stdout is piped")?;
        let output = tokio::spawn(async move {
            let mut text = Vec::new();
            // What a killed process wrote last may be cut off.
            let _ = stdout.read_to_end(&mut text).await;
            String::from_utf8_lossy(&text).into_owned()
        });
        Ok(Self { process, invocations, answers: heard, output, server, asked: 0 })
    }

    /// Invokes it, with all the time there is.
    pub async fn invoke(&mut self, payload: impl Into<String>) -> anyhow::Result<Answer> {
        self.invoke_until(payload, FAR_OFF).await
    }

    /// Invokes it; it must have ended at `deadline`, in milliseconds since the epoch.
    pub async fn invoke_until(
        &mut self,
        payload: impl Into<String>,
        deadline: u64,
    ) -> anyhow::Result<Answer> {
        self.asked += 1;
        let id = format!("request-{}", self.asked);
        self.invocations.send(Invocation { id: id.clone(), payload: payload.into(), deadline })?;
        tokio::select! {
            answer = self.answers.recv() => match answer.context("the API is up")? {
                (of, answer) if of == id => Ok(answer),
                (of, _) => bail!("it answered {of}, which is not the invocation under way"),
            },
            status = self.process.wait() => bail!("the function ended: {}", status?),
        }
    }

    /// The process's id.
    pub fn id(&self) -> Option<u32> {
        self.process.id()
    }

    /// Asks it to end, as Lambda does before an environment goes away, and waits until it has.
    pub async fn terminate(mut self) -> anyhow::Result<Ended> {
        let id = self.process.id().context("the function ended before")?;
        let asked = Command::new("kill").args(["-TERM", &id.to_string()]).status().await?;
        anyhow::ensure!(asked.success(), "the function could not be asked to end");
        let status = self.process.wait().await?;
        self.ended(status).await
    }

    /// Waits until it has ended of itself.
    pub async fn wait(mut self) -> anyhow::Result<Ended> {
        let status = self.process.wait().await?;
        self.ended(status).await
    }

    async fn ended(self, status: ExitStatus) -> anyhow::Result<Ended> {
        self.server.abort();
        Ok(Ended { status, log: self.output.await? })
    }
}

/// The moment of requests in tests, in milliseconds since the epoch.
pub fn now_ms() -> i64 {
    NOW.as_millisecond()
}
