//! The entry point of a service's binary: on Lambda the role that the handler's name says, else tools for people.

use crate::app::{App, InvokeError};
use crate::declaration::Micrograph;
use crate::environment::Environment;
use crate::manifest::Manifest;
use crate::rebuild::role::{GENERATIONS, Generations};
use anyhow::{Context as _, bail};
use bytes::Bytes;
use http::{Request, Response};
use lambda_http::RequestExt;
use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use projection::consumer::ConsumeError;
use serde_json::value::RawValue;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;
use tracing::{Instrument, Span};

/// How long the end of an invocation may wait for telemetry to be sent.
const FLUSH: Duration = Duration::from_millis(200);

/// Runs a micrograph: `manifest` and `schema` print what they say; on Lambda, `_HANDLER` says the role.
pub async fn main(micrograph: Micrograph) -> anyhow::Result<()> {
    main_in(micrograph, Ok).await
}

/// The same, in an environment to which something is added on Lambda: a relational store, say.
pub async fn main_in(
    micrograph: Micrograph,
    add: impl FnOnce(Environment) -> anyhow::Result<Environment>,
) -> anyhow::Result<()> {
    match std::env::args().nth(1).as_deref() {
        Some("manifest") => {
            println!("{}", serde_json::to_string_pretty(&Manifest::described(&micrograph)?)?);
            return Ok(());
        }
        Some("schema") => {
            let name = micrograph.name();
            let app = App::new(micrograph, Environment::nowhere());
            let Some(subgraph) = app.subgraph() else { bail!("{name} serves no subgraph") };
            print!("{}", subgraph.sdl);
            return Ok(());
        }
        _ => {}
    }
    if std::env::var_os("AWS_LAMBDA_RUNTIME_API").is_none() {
        let (name, manifest) = (micrograph.name(), Manifest::of(&micrograph));
        let handlers: Vec<_> = manifest.functions.into_iter().map(|function| function.handler).collect();
        bail!(
            "{name} runs on Lambda, as one of {handlers:?}; here it takes `manifest` or `schema`.\n\
             The whole suite runs on one machine with `cargo run`."
        );
    }
    let telemetry = telemetry::init(telemetry::Config::from_env());
    let handler =
        std::env::var("_HANDLER").context("_HANDLER must name the role: set the function's handler")?;
    let manifest = Manifest::of(&micrograph);
    let is_relational = !manifest.relational.is_empty();
    let replication = manifest.replication.map(|replication| replication.function);
    let known: Vec<_> = manifest.functions.into_iter().chain(replication).map(|it| it.handler).collect();
    if !known.contains(&handler) && micrograph.consumer(&handler).is_none() {
        bail!("{} has no handler `{handler}`; it has {known:?}", micrograph.name());
    }
    let environment = add(Environment::from_env().await?)?;
    if is_relational && environment.relational.is_none() {
        bail!("{} has a relational projection, and its environment no relational store", micrograph.name());
    }
    let app = App::new(micrograph, environment);
    let serving = async {
        if handler == "subgraph" { serve(app, &telemetry).await } else { run(app, handler, &telemetry).await }
    };
    let served = Box::pin(until_asked_to_end(serving)).await;
    telemetry.flush(FLUSH);
    served
}

/// Serves until Lambda asks the process to end, which it does between invocations; where no extension is registered, it
/// doesn't ask, and nothing is held back then: each invocation flushes what it told.
pub async fn until_asked_to_end(serving: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let mut asked = signal(SignalKind::terminate()).context("can't listen to SIGTERM")?;
    tokio::select! {
        served = serving => served,
        _ = asked.recv() => {
            tracing::info!("asked to end");
            Ok(())
        }
    }
}

async fn run(app: Arc<App>, handler: String, telemetry: &telemetry::Guard) -> anyhow::Result<()> {
    let generations = match handler.as_str() {
        GENERATIONS => Some(Arc::new(Box::pin(Generations::from_env(Arc::clone(&app))).await?)),
        _ => None,
    };
    let invoke = |event: LambdaEvent<Box<RawValue>>| {
        let (app, handler, generations) = (Arc::clone(&app), handler.clone(), generations.clone());
        async move {
            let context = event.context;
            let span = span(&handler, &context);
            let deadline = Some(Instant::now() + remaining(context.deadline, app.environment().clock));
            let payload = event.payload.get().as_bytes();
            let answer = match &generations {
                Some(generations) => {
                    let answer = Box::pin(generations.handle(payload, deadline).instrument(span)).await;
                    answer.map_err(InvokeError::from)
                }
                None => Box::pin(app.invoke(&handler, payload, deadline).instrument(span)).await,
            };
            let answer = answer.map_err(|error| {
                let message = telemetry::error_chain(&error);
                tracing::error!(error = message, "the invocation failed");
                Diagnostic { error_type: kind(&error).to_owned(), error_message: message }
            });
            telemetry.flush(FLUSH);
            answer
        }
    };
    let answered: Result<(), _> = lambda_runtime::run(service_fn(invoke)).await;
    answered.map_err(|error| anyhow::anyhow!(error))
}

fn span(role: &str, context: &lambda_runtime::Context) -> tracing::Span {
    let parent = context.xray_trace_id.as_deref().and_then(telemetry::TraceParent::from_xray);
    telemetry::span::invocation(role, &context.request_id, &context.request_id, parent)
}

/// The name under which Lambda counts an error.
fn kind(error: &InvokeError) -> &'static str {
    match error {
        InvokeError::UnknownHandler { .. } => "UnknownHandler",
        InvokeError::UnknownRegion { .. } => "UnknownRegion",
        InvokeError::Store(_) => "Store",
        InvokeError::Generations(error) => error.kind(),
        InvokeError::Publish(_) => "Publish",
        InvokeError::Consume(ConsumeError::Payload(_)) => "Payload",
        InvokeError::Consume(ConsumeError::Unfinished) => "Unfinished",
    }
}

/// How long until a deadline that is given in milliseconds since the epoch.
fn remaining(deadline: u64, clock: fn() -> jiff::Timestamp) -> Duration {
    let now = u64::try_from(clock().as_millisecond()).unwrap_or(0);
    Duration::from_millis(deadline.saturating_sub(now))
}

async fn serve(app: Arc<App>, telemetry: &telemetry::Guard) -> anyhow::Result<()> {
    let Some(subgraph) = app.subgraph() else { bail!("{} serves no subgraph", app.name()) };
    let serve = Arc::clone(&subgraph.serve);
    let answer = move |request: lambda_http::Request| {
        let serve = Arc::clone(&serve);
        async move {
            let span = request.lambda_context_ref().map_or_else(Span::none, |it| span("subgraph", it));
            let (parts, body) = request.into_parts();
            let request: Request<Bytes> = Request::from_parts(parts, Bytes::copy_from_slice(&body));
            let response: Response<Bytes> = serve(request).instrument(span).await;
            telemetry.flush(FLUSH);
            let (parts, body) = response.into_parts();
            Ok::<_, lambda_http::Error>(Response::from_parts(parts, lambda_http::Body::from(body.to_vec())))
        }
    };
    lambda_http::run(lambda_http::service_fn(answer)).await.map_err(|error| anyhow::anyhow!(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_in_the_past_leaves_no_time() {
        let clock: fn() -> jiff::Timestamp = || jiff::Timestamp::constant(1_000, 0);
        assert_eq!(remaining(999_000, clock), Duration::ZERO);
        assert_eq!(remaining(1_000_250, clock), Duration::from_millis(250));
    }
}
