//! The registry as a program: a function on Lambda, or a server over a folder.

use anyhow::{Context as _, bail};
use clap::{Parser, Subcommand};
use jiff::Timestamp;
use lambda_http::RequestExt as _;
use lambda_http::request::RequestContext;
use registry::Registry;
use registry::http::{Auth, Caller, router};
use schemas::Schemas;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Checks and deploys the schemas of subgraphs.
///
/// On Lambda it is configured by its environment: `REGISTRY_BUCKET`, and `REGISTRY_TOKENS` or `REGISTRY_AUTH=iam`.
/// Elsewhere it serves a folder over HTTP.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,

    /// The folder of schemas
    #[arg(long, value_name = "DIR", env = "REGISTRY_STORE")]
    store: Option<PathBuf>,

    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:4100", env = "REGISTRY_LISTEN")]
    listen: SocketAddr,

    /// Let everybody do everything: on the loopback alone
    #[arg(long)]
    open: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Print what the function needs of its surroundings, as JSON
    Manifest,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    if std::env::var_os("AWS_LAMBDA_RUNTIME_API").is_some() {
        return on_lambda().await;
    }
    let arguments = Arguments::parse();
    if matches!(arguments.command, Some(Command::Manifest)) {
        println!("{}", serde_json::to_string_pretty(&registry::manifest::manifest())?);
        return Ok(());
    }
    let telemetry = telemetry::init(telemetry::Config::from_env());
    let store = arguments.store.context("name a folder of schemas with --store DIR")?;
    let auth = if arguments.open {
        if !arguments.listen.ip().is_loopback() {
            bail!(
                "--open is for the loopback: name tokens in REGISTRY_TOKENS to listen on {}",
                arguments.listen
            );
        }
        Auth::Open
    } else {
        tokens()?.context("name tokens in REGISTRY_TOKENS, or give --open on the loopback")?
    };
    let router = router(Registry::new(Schemas::in_folder(&store)?, now), auth);
    let listener = tokio::net::TcpListener::bind(arguments.listen)
        .await
        .with_context(|| format!("can't listen on {}: is another program there?", arguments.listen))?;
    eprintln!("The registry of {} is at http://{}", store.display(), listener.local_addr()?);
    axum::serve(listener, router).with_graceful_shutdown(stopped()).await?;
    telemetry.flush(std::time::Duration::from_secs(2));
    Ok(())
}

async fn on_lambda() -> anyhow::Result<()> {
    let telemetry = telemetry::init(telemetry::Config::from_env());
    let bucket =
        std::env::var("REGISTRY_BUCKET").context("REGISTRY_BUCKET must name the bucket of schemas")?;
    let auth = match std::env::var("REGISTRY_AUTH").as_deref() {
        Ok("iam") => Auth::Iam,
        Ok(other) => bail!("REGISTRY_AUTH is {other:?}: `iam` is all that it can be"),
        Err(_) => tokens()?.context("REGISTRY_TOKENS or REGISTRY_AUTH=iam must say who may call")?,
    };
    let router = router(Registry::new(Schemas::in_bucket(&bucket)?, now), auth);
    let router = router.layer(axum::middleware::map_request(identified));
    let served = lambda_http::run(router).await;
    telemetry.flush(std::time::Duration::from_millis(200));
    served.map_err(|error| anyhow::anyhow!(error))
}

/// Notes the caller that AWS has checked.
async fn identified(mut request: axum::extract::Request) -> axum::extract::Request {
    let caller = match request.request_context_ref() {
        Some(RequestContext::ApiGatewayV2(context)) => {
            let authorizer = context.authorizer.as_ref();
            authorizer.and_then(|it| it.iam.as_ref()).and_then(|iam| iam.user_arn.clone())
        }
        Some(RequestContext::ApiGatewayV1(context)) => context.identity.user_arn.clone(),
        _ => None,
    };
    if let Some(caller) = caller {
        request.extensions_mut().insert(Caller(caller));
    }
    request
}

fn tokens() -> anyhow::Result<Option<Auth>> {
    let Ok(json) = std::env::var("REGISTRY_TOKENS") else { return Ok(None) };
    // What the parser says could show a part of it.
    let auth = Auth::tokens(&json).map_err(|error| {
        anyhow::anyhow!(
            "REGISTRY_TOKENS is not a list of {{\"name\", \"sha256\", \"may\"}} at line {}, column {}",
            error.line(),
            error.column()
        )
    });
    Ok(Some(auth?))
}

#[expect(clippy::disallowed_methods, reason = "the program's one clock, handed to the registry")]
fn now() -> Timestamp {
    Timestamp::now()
}

/// Ready once the process is asked to stop, by Ctrl-C or SIGTERM.
async fn stopped() {
    let interrupted = tokio::signal::ctrl_c();
    #[cfg(unix)]
    if let Ok(mut terminated) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        tokio::select! {
            _ = interrupted => {}
            _ = terminated.recv() => {}
        }
    }
    #[cfg(not(unix))]
    let _ = interrupted.await;
}
