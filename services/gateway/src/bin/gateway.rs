//! The gateway as a program: a supergraph from files, a registry's store or the subgraphs; subgraphs over HTTP.

#[path = "gateway/asking.rs"]
mod asking;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use asking::Asking;
use clap::Parser;
use clap::builder::NonEmptyStringValueParser;
use gateway::auth::{Auth, FromUrl};
use gateway::source::{FromRegistry, FromSubgraphs, Keeper, LastGood, Source};
use gateway::transport::{HttpTransport, Transport};
#[cfg(feature = "sigv4")]
use gateway::transport::{InvokeTransport, SigV4};
use gateway::{
    CacheSizes, Config, Explain, Gateway, Graphiql, Limits, PersistedQueries, Subgraph, Supergraph,
    TrustedDocuments, Usage, UsageInStore, compose,
};
use schemas::{ContractName, Schemas, Variant};
use tokio::net::TcpListener;

/// Serves a federated GraphQL graph.
///
/// The supergraph is read from a file, composed from schemas in files, taken from a registry's store, or composed from
/// what the subgraphs themselves tell; the last two are looked at again from time to time. Requests on /graphql are
/// answered by asking the subgraphs over HTTP. Started by Lambda, it answers invocations.
#[derive(Parser)]
#[command(
    version,
    after_help = "\
Examples:
  gateway --supergraph supergraph.graphql
  gateway --supergraph supergraph.graphql --subgraph pricing=http://127.0.0.1:4101/graphql
  gateway --schema catalogue=catalogue.graphql --subgraph catalogue=http://127.0.0.1:4100/graphql
  gateway --subgraph catalogue=http://127.0.0.1:4100/graphql --last-good /var/lib/gateway
  gateway --registry ./schemas --variant production --production --jwks https://issuer/.well-known/jwks.json"
)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
struct Arguments {
    /// The supergraph, in the join specification's SDL.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["schema", "registry"], env = "GATEWAY_SUPERGRAPH")]
    supergraph: Option<PathBuf>,

    /// A subgraph's schema, to compose the supergraph from; may be given several times.
    #[arg(long, value_name = "NAME=FILE", value_parser = pair, conflicts_with = "registry")]
    schema: Vec<(String, String)>,

    /// A registry's store to take the supergraph from: a folder, or `s3://BUCKET` where that was built in.
    #[arg(long, value_name = "PLACE", env = "GATEWAY_REGISTRY")]
    registry: Option<String>,

    /// The variant of the registry.
    #[arg(long, value_name = "NAME", default_value = "production", env = "GATEWAY_VARIANT")]
    variant: Variant,

    /// Of the variant, what this contract shows.
    #[arg(long, value_name = "NAME", requires = "registry", env = "GATEWAY_CONTRACT")]
    contract: Option<ContractName>,

    /// Record in the registry's store which clients send which operations.
    #[arg(long, requires = "registry", env = "GATEWAY_USAGE")]
    usage: bool,

    /// Seconds between two looks for a newer supergraph.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, env = "GATEWAY_REFRESH")]
    refresh: u64,

    /// Seconds for which the schema that a subgraph told is good.
    #[arg(long, value_name = "SECONDS", default_value_t = 300, env = "GATEWAY_SCHEMA_LIFE")]
    schema_life: u64,

    /// Keep what was served last for a start at which nobody tells a schema: in a folder, or under `s3://BUCKET/PREFIX`
    /// where that was built in.
    #[arg(long, value_name = "PLACE", env = "GATEWAY_LAST_GOOD")]
    last_good: Option<String>,

    /// Where a subgraph answers, in place of what the supergraph says; may be given several times. With neither
    /// --supergraph, --schema nor --registry the subgraphs are asked for their schemas.
    #[arg(long, value_name = "NAME=URL", value_parser = pair, env = "GATEWAY_SUBGRAPHS", value_delimiter = ',')]
    subgraph: Vec<(String, String)>,

    /// A subgraph that gets queries by GET, their documents named by hash, so that a cache in front of it answers what it
    /// knows; `*` for all. May be given several times.
    #[arg(long, value_name = "NAME", env = "GATEWAY_BY_GET", value_delimiter = ',')]
    by_get: Vec<String>,

    /// Where to listen; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:4000", env = "GATEWAY_LISTEN")]
    listen: SocketAddr,

    /// Seconds that a subgraph has for one answer.
    #[arg(long, value_name = "SECONDS", default_value_t = 10, env = "GATEWAY_SUBGRAPH_TIMEOUT")]
    subgraph_timeout: u64,

    /// Seconds that this subgraph has, where that is less; may be given several times.
    #[arg(long, value_name = "NAME=SECONDS", value_parser = timeout, env = "GATEWAY_TIMEOUTS", value_delimiter = ',')]
    timeout: Vec<(String, Duration)>,

    #[command(flatten)]
    asking: Asking,

    /// Seconds that a whole request has; on Lambda no more than its invocation.
    #[arg(long, value_name = "SECONDS", default_value_t = 25, env = "GATEWAY_REQUEST_TIMEOUT")]
    request_timeout: u64,

    /// What a request may cost: `depth`, `cost`, `aliases` and the others of the README's table; `url_bytes` is 8,192 for
    /// CloudFront, and 10,240 for an API Gateway alone. May be given several times.
    #[arg(long, value_name = "NAME=NUMBER", value_parser = limit, env = "GATEWAY_LIMITS", value_delimiter = ',')]
    limit: Vec<(String, u32)>,

    /// A request header to hand on to subgraphs, besides `authorization`; may be given several times.
    #[arg(long, value_name = "NAME", env = "GATEWAY_FORWARD_HEADERS", value_delimiter = ',')]
    forward_header: Vec<http::HeaderName>,

    /// A label of `@override` that holds; `percent(x)` holds for its share of requests anyway. May be given several
    /// times.
    #[arg(long, value_name = "LABEL", env = "GATEWAY_OVERRIDE_LABELS", value_delimiter = ',')]
    override_label: Vec<String>,

    /// Run these documents only: an Apollo persisted query manifest, or an object of documents by id.
    #[arg(long, value_name = "FILE", env = "GATEWAY_TRUSTED_DOCUMENTS")]
    trusted_documents: Option<PathBuf>,

    /// Keep persisted queries in this DynamoDB table, where that was built in.
    #[arg(long, value_name = "TABLE", env = "GATEWAY_DOCUMENTS_TABLE", conflicts_with = "trusted_documents")]
    documents_table: Option<String>,

    /// The key set (JWKS) that tokens are checked against.
    #[arg(long, value_name = "URL", env = "GATEWAY_JWKS")]
    jwks: Option<String>,

    /// Who must have issued a token; may be given several times.
    #[arg(long, value_name = "ISSUER", requires = "jwks", env = "GATEWAY_ISSUERS", value_delimiter = ',')]
    issuer: Vec<String>,

    /// For whom a token must be; may be given several times.
    #[arg(
        long,
        value_name = "AUDIENCE",
        requires = "jwks",
        env = "GATEWAY_AUDIENCES",
        value_delimiter = ','
    )]
    audience: Vec<String>,

    /// Megabytes of answers that the gateway keeps itself.
    #[arg(long, value_name = "MB", env = "GATEWAY_CACHE")]
    cache: Option<u64>,

    /// Megabytes of subgraphs' answers that the gateway keeps itself.
    #[arg(long, value_name = "MB", env = "GATEWAY_SUBGRAPH_CACHE")]
    subgraph_cache: Option<u64>,

    /// Take `PURGE /graphql` with the tags of what changed in `cache-tag`, by basic authentication with this password.
    #[arg(
        long,
        value_name = "KEY",
        env = "GATEWAY_PURGE_KEY",
        hide_env_values = true,
        value_parser = NonEmptyStringValueParser::new()
    )]
    purge_key: Option<String>,

    /// Show plans (/graphql?explain) to who sends this in `x-explain-key`; without --production everyone may see them.
    #[arg(
        long,
        value_name = "KEY",
        env = "GATEWAY_EXPLAIN_KEY",
        hide_env_values = true,
        value_parser = NonEmptyStringValueParser::new()
    )]
    explain_key: Option<String>,

    /// Milliseconds from which on an operation is logged with its plan; 0 logs none.
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 2_000, env = "GATEWAY_SLOW_AFTER")]
    slow_after: u64,

    /// Sign requests to subgraphs behind function URLs and API Gateways, for IAM, and invoke those whose address is a
    /// Lambda function's ARN, where that was built in.
    #[arg(long, env = "GATEWAY_SIGV4")]
    sigv4: bool,

    /// On Lambda: stream answers, as the function URL or the API is set to.
    #[arg(long, env = "GATEWAY_STREAM")]
    stream: bool,

    /// Close introspection, plans, `GraphiQL` and why subgraphs failed, and refuse what a browser may have been made to send,
    /// as fits a graph in production.
    #[arg(long, env = "GATEWAY_PRODUCTION")]
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

fn limit(text: &str) -> Result<(String, u32), String> {
    let (name, number) = pair(text)?;
    let number: u32 = number.parse().map_err(|_| "write it as name=number".to_owned())?;
    Limits::default().set(&name, number).map_err(|error| error.to_string())?;
    Ok((name, number))
}

fn timeout(text: &str) -> Result<(String, Duration), String> {
    let (name, seconds) = pair(text)?;
    let seconds: u64 = seconds.parse().map_err(|_| "write it as name=seconds".to_owned())?;
    Ok((name, Duration::from_secs(seconds)))
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let telemetry = telemetry::init(telemetry::Config::from_env());
    let transport = transport(&arguments).await?;
    let schemas = arguments.registry.as_deref().map(store).transpose()?;
    let config = config(&arguments, schemas.as_ref()).await?;
    let serve = |supergraph| Gateway::new(supergraph, Arc::clone(&transport), config.clone());
    let (gateway, keeper) = match source(&arguments, &transport, schemas.as_ref()) {
        None => (serve(supergraph(&arguments)?)?, None),
        Some(source) => {
            let last_good = arguments.last_good.as_deref().map(last_good).transpose()?;
            let every = Duration::from_secs(arguments.refresh.max(1));
            let keeper = Arc::new(Keeper::start(source, last_good, every, serve).await?);
            (keeper.gateway().clone(), Some(keeper))
        }
    };
    let supergraph = gateway.supergraph();
    say_what_is_missing(&arguments, &supergraph);
    let (hash, subgraphs) = (supergraph.hash(), supergraph.graphs().len());
    if arguments.check {
        if !arguments.schema.is_empty() {
            println!("{}", supergraph.sdl());
        }
        eprintln!("the supergraph {hash} of {subgraphs} subgraphs can be served");
        return Ok(());
    }
    if std::env::var_os("AWS_LAMBDA_RUNTIME_API").is_some() {
        return on_lambda(gateway, keeper, telemetry, arguments.stream).await;
    }
    let listener = TcpListener::bind(arguments.listen)
        .await
        .with_context(|| format!("can't listen on {}: is another program there?", arguments.listen))?;
    let address = listener.local_addr()?;
    tracing::info!(supergraph = hash, subgraphs, "serving http://{address}/graphql");
    let served = gateway::http::serve(Arc::new(gateway.clone()), listener, stopped());
    let kept = async {
        match keeper {
            Some(keeper) => keeper.run().await,
            None => std::future::pending().await,
        }
    };
    let measured = async {
        loop {
            tokio::time::sleep(Duration::from_mins(1)).await;
            telemetry.flush(Duration::from_millis(200));
        }
    };
    tokio::select! {
        served = served => served?,
        () = kept => {}
        () = measured => {}
    }
    gateway.flush().await;
    tracing::info!("stopped");
    Ok(())
}

#[cfg(feature = "lambda")]
async fn on_lambda(
    gateway: Gateway,
    keeper: Option<Arc<Keeper>>,
    telemetry: telemetry::Guard,
    stream: bool,
) -> anyhow::Result<()> {
    let flush = move || _ = telemetry.flush(Duration::from_millis(200));
    let served = gateway::lambda::Function::new(gateway.clone(), keeper, flush).run(stream).await;
    gateway.flush().await;
    served.map_err(|error| anyhow::anyhow!(error))
}

#[cfg(not(feature = "lambda"))]
#[expect(clippy::unused_async, reason = "the other one waits for invocations")]
async fn on_lambda(_: Gateway, _: Option<Arc<Keeper>>, _: telemetry::Guard, _: bool) -> anyhow::Result<()> {
    bail!("this build does not run on Lambda: build it with --features lambda")
}

async fn transport(arguments: &Arguments) -> anyhow::Result<Arc<dyn Transport>> {
    let mut transport = HttpTransport::new()?;
    for (name, url) in &arguments.subgraph {
        transport = transport.with_address(name, url);
    }
    for name in &arguments.by_get {
        transport = transport.by_get(name);
    }
    if arguments.sigv4 { signed(transport, arguments).await } else { Ok(Arc::new(transport)) }
}

/// The configuration of AWS, loaded by the first who needs it.
#[cfg(feature = "sigv4")]
async fn aws() -> &'static sdk::SdkConfig {
    static LOADED: tokio::sync::OnceCell<sdk::SdkConfig> = tokio::sync::OnceCell::const_new();
    LOADED.get_or_init(sdk::config).await
}

#[cfg(feature = "sigv4")]
async fn signed(transport: HttpTransport, arguments: &Arguments) -> anyhow::Result<Arc<dyn Transport>> {
    let credentials =
        aws().await.credentials_provider().context("there are no AWS credentials to sign with")?;
    let signer = SigV4::new(credentials, || now().into());
    let transport = Arc::new(transport.signed(Arc::new(signer.clone())));
    let mut transport = InvokeTransport::new(signer, transport);
    for (name, address) in &arguments.subgraph {
        transport = transport.with_address(name, address);
    }
    if let Ok(endpoint) =
        std::env::var("AWS_ENDPOINT_URL_LAMBDA").or_else(|_| std::env::var("AWS_ENDPOINT_URL"))
    {
        transport = transport.with_endpoint(endpoint);
    }
    Ok(Arc::new(transport))
}

#[cfg(not(feature = "sigv4"))]
#[expect(clippy::unused_async, reason = "the other one asks for credentials")]
async fn signed(_: HttpTransport, _: &Arguments) -> anyhow::Result<Arc<dyn Transport>> {
    bail!("--sigv4: this build can't sign requests; build it with --features sigv4")
}

/// The registry's store.
fn store(place: &str) -> anyhow::Result<Schemas> {
    match place.strip_prefix("s3://") {
        None => Ok(Schemas::in_folder(Path::new(place))?),
        Some(bucket) => schemas_in(bucket),
    }
}

#[cfg(feature = "lambda")]
fn schemas_in(bucket: &str) -> anyhow::Result<Schemas> {
    Ok(Schemas::in_bucket(bucket)?)
}

#[cfg(not(feature = "lambda"))]
fn schemas_in(bucket: &str) -> anyhow::Result<Schemas> {
    bail!("--registry s3://{bucket}: this build has no client of S3; build it with --features lambda")
}

/// What is looked at again; none where the supergraph is in files.
fn source(
    arguments: &Arguments,
    transport: &Arc<dyn Transport>,
    schemas: Option<&Schemas>,
) -> Option<Arc<dyn Source>> {
    if let Some(schemas) = schemas {
        let source = FromRegistry::new(schemas.clone(), arguments.variant.clone());
        return Some(Arc::new(match &arguments.contract {
            Some(contract) => source.of_contract(contract.clone()),
            None => source,
        }));
    }
    let in_files = arguments.supergraph.is_some() || !arguments.schema.is_empty();
    (!in_files && !arguments.subgraph.is_empty()).then(|| {
        let life = Duration::from_secs(arguments.schema_life);
        let source = FromSubgraphs::new(Arc::clone(transport), arguments.subgraph.clone(), life);
        Arc::new(source) as Arc<dyn Source>
    })
}

fn last_good(place: &str) -> anyhow::Result<LastGood> {
    if let Some(place) = place.strip_prefix("s3://") {
        return last_good_in(place);
    }
    std::fs::create_dir_all(place).with_context(|| format!("can't make the folder {place}"))?;
    let objects = object_store::local::LocalFileSystem::new_with_prefix(place)?;
    Ok(LastGood::new(Arc::new(objects), "supergraph.graphql"))
}

#[cfg(feature = "lambda")]
fn last_good_in(place: &str) -> anyhow::Result<LastGood> {
    let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
    let objects = object_store::aws::AmazonS3Builder::from_env().with_bucket_name(bucket).build()?;
    let path = object_store::path::Path::from(format!("{prefix}/supergraph.graphql"));
    Ok(LastGood::new(Arc::new(objects), path))
}

#[cfg(not(feature = "lambda"))]
fn last_good_in(place: &str) -> anyhow::Result<LastGood> {
    bail!("--last-good s3://{place}: this build has no client of S3; build it with --features lambda")
}

/// The supergraph that is in files. It must be said of each of its subgraphs where it answers, and of no other.
fn supergraph(arguments: &Arguments) -> anyhow::Result<Supergraph> {
    let supergraph = read(arguments)?;
    for (name, _) in &arguments.subgraph {
        if !supergraph.graphs().iter().any(|graph| graph.name == *name) {
            let names: Vec<&str> = supergraph.graphs().iter().map(|graph| graph.name.as_str()).collect();
            bail!("--subgraph {name}: the supergraph has no such subgraph, but {}", names.join(", "));
        }
    }
    if !arguments.check
        && let Some(name) = without_address(arguments, &supergraph).next()
    {
        bail!("the supergraph does not say where {name} answers: add --subgraph {name}=URL");
    }
    Ok(supergraph)
}

fn read(arguments: &Arguments) -> anyhow::Result<Supergraph> {
    let read = |path: &str| std::fs::read_to_string(path).with_context(|| format!("can't read {path}"));
    if let Some(path) = &arguments.supergraph {
        let sdl = read(&path.to_string_lossy())?;
        return Supergraph::parse(&sdl).with_context(|| format!("{} can't be served", path.display()));
    }
    if arguments.schema.is_empty() {
        bail!(
            "say where the supergraph comes from: --supergraph FILE, --schema NAME=FILE, --registry DIR or \
             --subgraph NAME=URL; --help says more"
        );
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

fn without_address<'a>(
    arguments: &'a Arguments,
    supergraph: &'a Supergraph,
) -> impl Iterator<Item = &'a str> {
    let is_set = |name: &str| arguments.subgraph.iter().any(|(known, _)| known == name);
    let graphs = supergraph.graphs().iter();
    graphs.filter(move |graph| graph.url.is_empty() && !is_set(&graph.name)).map(|graph| graph.name.as_str())
}

/// A supergraph that heals itself may lack what comes later.
fn say_what_is_missing(arguments: &Arguments, supergraph: &Supergraph) {
    for (name, _) in &arguments.subgraph {
        if !supergraph.graphs().iter().any(|graph| graph.name == *name) {
            tracing::warn!(subgraph = name, "the supergraph does not have it, so far");
        }
    }
    for name in without_address(arguments, supergraph) {
        tracing::warn!(subgraph = name, "nobody says where it answers: add --subgraph {name}=URL");
    }
}

async fn config(arguments: &Arguments, schemas: Option<&Schemas>) -> anyhow::Result<Config> {
    let explain = match &arguments.explain_key {
        Some(key) => Explain::Key(key.as_str().into()),
        None if arguments.production => Explain::Closed,
        None => Explain::Open,
    };
    let usage = schemas.filter(|_| arguments.usage).map(|schemas| Usage {
        sink: Arc::new(UsageInStore { schemas: schemas.clone(), variant: arguments.variant.clone() }),
        contract: arguments.contract.clone(),
        every: Duration::from_mins(1),
        clock: now,
    });
    let auth = match &arguments.jwks {
        None => None,
        Some(url) => Some(Auth {
            issuers: arguments.issuer.clone(),
            audiences: arguments.audience.clone(),
            ..Auth::new(Arc::new(FromUrl::new(url)?))
        }),
    };
    let bytes = |megabytes: Option<u64>| megabytes.map(|megabytes| megabytes << 20);
    let subgraph_timeout = Duration::from_secs(arguments.subgraph_timeout);
    let mut config = Config {
        subgraph_timeout,
        resilience: arguments.asking.rules(subgraph_timeout)?,
        request_timeout: Duration::from_secs(arguments.request_timeout),
        override_labels: arguments.override_label.clone(),
        introspection: !arguments.production,
        error_detail: !arguments.production,
        csrf_guard: arguments.production,
        graphiql: (!arguments.production).then(Graphiql::default),
        cache: CacheSizes { answers: bytes(arguments.cache), subgraphs: bytes(arguments.subgraph_cache) },
        purge_key: arguments.purge_key.as_deref().map(Into::into),
        persisted_queries: persisted_queries(arguments).await?,
        auth,
        explain,
        usage,
        slow_after: (arguments.slow_after > 0).then(|| Duration::from_millis(arguments.slow_after)),
        ..Config::default()
    };
    for (name, number) in &arguments.limit {
        config.limits.set(name, *number)?;
    }
    config.resilience.timeouts.extend(arguments.timeout.iter().cloned());
    config.forwarded_headers.extend(arguments.forward_header.iter().cloned());
    Ok(config)
}

async fn persisted_queries(arguments: &Arguments) -> anyhow::Result<PersistedQueries> {
    if let Some(path) = &arguments.trusted_documents {
        let text = std::fs::read_to_string(path).with_context(|| format!("can't read {}", path.display()))?;
        let trusted = TrustedDocuments::parse(&text).with_context(|| path.display().to_string())?;
        return Ok(PersistedQueries::Trusted(Arc::new(trusted)));
    }
    match &arguments.documents_table {
        None => Ok(PersistedQueries::default()),
        Some(table) => in_table(table).await,
    }
}

#[cfg(feature = "lambda")]
async fn in_table(table: &str) -> anyhow::Result<PersistedQueries> {
    let client = aws_sdk_dynamodb::Client::new(aws().await);
    let documents = gateway::DynamoDocuments::new(client, table, 16 << 20, || now().as_second());
    Ok(PersistedQueries::Automatic(Arc::new(documents)))
}

#[cfg(not(feature = "lambda"))]
#[expect(clippy::unused_async, reason = "the other one loads the configuration of AWS")]
async fn in_table(table: &str) -> anyhow::Result<PersistedQueries> {
    bail!("--documents-table {table}: this build has no client of DynamoDB; build it with --features lambda")
}

#[expect(clippy::disallowed_methods, reason = "the one place from which this program gets its clock")]
fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
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
