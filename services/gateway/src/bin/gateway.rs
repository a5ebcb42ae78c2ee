//! The gateway as a program: a supergraph file, subgraphs over HTTP.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use gateway::transport::HttpTransport;
use gateway::{Config, Gateway, Graphiql, Subgraph, Supergraph, compose};
use tokio::net::TcpListener;
use tracing_subscriber::EnvFilter;

/// Serves a federated GraphQL graph.
///
/// Reads a supergraph that was composed before, or composes one from the subgraphs' schemas, and answers
/// GraphQL requests on /graphql by asking the subgraphs over HTTP.
#[derive(Parser)]
#[command(
    version,
    after_help = "\
Examples:
  gateway --supergraph supergraph.graphql
  gateway --supergraph supergraph.graphql --subgraph pricing=http://127.0.0.1:4101/graphql
  gateway --schema catalogue=catalogue.graphql --subgraph catalogue=http://127.0.0.1:4100/graphql"
)]
struct Arguments {
    /// The supergraph, in the join specification's SDL.
    #[arg(long, value_name = "FILE", required_unless_present = "schema", conflicts_with = "schema")]
    supergraph: Option<PathBuf>,

    /// A subgraph's schema, to compose the supergraph from; may be given several times.
    #[arg(long, value_name = "NAME=FILE", value_parser = pair)]
    schema: Vec<(String, String)>,

    /// Where a subgraph answers, in place of what the supergraph says; may be given several times.
    #[arg(long, value_name = "NAME=URL", value_parser = pair)]
    subgraph: Vec<(String, String)>,

    /// Where to listen; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:4000", env = "GATEWAY_LISTEN")]
    listen: SocketAddr,

    /// Seconds that a subgraph has for one answer.
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    subgraph_timeout: u64,

    /// A request header to hand on to subgraphs, besides `authorization`; may be given several times.
    #[arg(long, value_name = "NAME")]
    forward_header: Vec<http::HeaderName>,

    /// A label of `@override` that holds; `percent(x)` holds for its share of requests anyway. May be given several
    /// times.
    #[arg(long, value_name = "LABEL")]
    override_label: Vec<String>,

    /// Close introspection and `GraphiQL`, as fits a graph in production.
    #[arg(long)]
    production: bool,

    /// Only check that the supergraph can be served; with --schema, also print it.
    #[arg(long)]
    check: bool,
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && !value.is_empty() => {
            Ok((name.to_owned(), value.to_owned()))
        }
        _ => Err("write it as name=value".to_owned()),
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();

    let supergraph = supergraph(&arguments)?;
    let mut transport = HttpTransport::new()?;
    for (name, url) in &arguments.subgraph {
        if !supergraph.graphs().iter().any(|graph| graph.name == *name) {
            let names: Vec<&str> = supergraph.graphs().iter().map(|graph| graph.name.as_str()).collect();
            anyhow::bail!("--subgraph {name}: the supergraph has no such subgraph, but {}", names.join(", "));
        }
        transport = transport.with_address(name, url);
    }
    for graph in supergraph.graphs() {
        if graph.url.is_empty() && !arguments.subgraph.iter().any(|(name, _)| *name == graph.name) {
            anyhow::ensure!(
                arguments.check,
                "the supergraph does not say where {0} answers: add --subgraph {0}=URL",
                graph.name
            );
        }
    }
    if arguments.check && !arguments.schema.is_empty() {
        println!("{}", supergraph.sdl());
    }
    let hash = supergraph.hash().to_owned();
    let subgraphs = supergraph.graphs().len();
    let gateway = Arc::new(Gateway::new(supergraph, Arc::new(transport), config(&arguments))?);
    if arguments.check {
        eprintln!("the supergraph {hash} of {subgraphs} subgraphs can be served");
        return Ok(());
    }
    let listener = TcpListener::bind(arguments.listen)
        .await
        .with_context(|| format!("can't listen on {}: is another program there?", arguments.listen))?;
    let address = listener.local_addr()?;
    tracing::info!(supergraph = hash, subgraphs, "serving http://{address}/graphql");
    gateway::http::serve(gateway, listener, stopped()).await?;
    tracing::info!("stopped");
    Ok(())
}

fn supergraph(arguments: &Arguments) -> anyhow::Result<Supergraph> {
    let read = |path: &str| std::fs::read_to_string(path).with_context(|| format!("can't read {path}"));
    if let Some(path) = &arguments.supergraph {
        let sdl = read(&path.to_string_lossy())?;
        return Supergraph::parse(&sdl).with_context(|| format!("{} can't be served", path.display()));
    }
    let subgraphs = arguments
        .schema
        .iter()
        .map(|(name, path)| {
            let url = arguments.subgraph.iter().find(|(known, _)| known == name);
            let url = url.map(|(_, url)| url.clone()).unwrap_or_default();
            Ok(Subgraph { name: name.clone(), url, sdl: read(path)? })
        })
        .collect::<anyhow::Result<Vec<Subgraph>>>()?;
    Ok(compose(&subgraphs)?)
}

fn config(arguments: &Arguments) -> Config {
    let mut config = Config {
        subgraph_timeout: Duration::from_secs(arguments.subgraph_timeout),
        override_labels: arguments.override_label.clone(),
        introspection: !arguments.production,
        graphiql: (!arguments.production).then(Graphiql::default),
        ..Config::default()
    };
    config.forwarded_headers.extend(arguments.forward_header.iter().cloned());
    config
}

/// Ready once the process is asked to stop, by Ctrl-C or SIGTERM.
async fn stopped() {
    let interrupted = tokio::signal::ctrl_c();
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        match signal(SignalKind::terminate()) {
            Ok(mut terminated) => {
                tokio::select! {
                    _ = interrupted => {}
                    _ = terminated.recv() => {}
                }
            }
            Err(error) => {
                tracing::warn!(%error, "SIGTERM is not heard: stop with Ctrl-C");
                let _ = interrupted.await;
            }
        }
    }
    #[cfg(not(unix))]
    let _ = interrupted.await;
}
