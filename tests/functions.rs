//! What the functions take: from the start of a process to its first answer, warm, at most, and in bytes, each role
//! beside a function that does nothing, measured in the same run: how many times as much is said in brackets, and holds on
//! other machines too. The gateway has a graph of 26 subgraphs, which answer over HTTP from memory.
//!
//! `cargo run -p suite-tests --example functions -- FOLDER [SERVICE …]`, where `FOLDER` has the services' binaries and
//! `empty` (`cargo build --profile lambda --features lambda -p empty -p gateway -p pricing …` puts them into `target/lambda`).

use anyhow::{Context as _, ensure};
use axum::Router;
use axum::extract::Path as Number;
use axum::routing::post;
use gateway::{Subgraph, compose};
use micrograph::Micrograph;
use micrograph::manifest::{Function as Declared, Manifest};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use testkit::lambda::Function;
use testkit::lambda::request::{Door, Request, answered};
use testkit::roles::Account;
use tokio::net::TcpListener;
use tokio::time::Instant;

/// Subgraphs of the gateway.
const SUBGRAPHS: usize = 26;
/// Entities that each of them answers with.
const ENTITIES: usize = 20;
/// Processes that are started for each role.
const STARTS: usize = 15;
/// Invocations of one warm process.
const WARM: usize = 200;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().context("name the folder with the binaries")?);
    let wanted: Vec<String> = arguments.collect();
    println!(
        "| function | cold, ms | CPU to first answer, ms | warm p50, ms | warm p99, ms | peak, MB | binary, MB |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|");
    let nothing = Account::of(local::shop::micrographs().into_iter().next().context("a service")?).await?;
    let empty = folder.join("empty");
    let nothing =
        measure(async || nothing.start(name(&empty)?, "empty").await, &empty, "{}", |_| Ok(())).await?;
    println!("{}", nothing.row("nothing", &nothing));
    let binary = folder.join("gateway");
    if wanted.iter().any(|it| it == "gateway") || wanted.is_empty() && binary.exists() {
        for asked in [3, SUBGRAPHS] {
            let row = format!("gateway of {SUBGRAPHS} subgraphs, {asked} of them asked");
            println!("{}", gateway_of_many(&binary, asked).await?.row(&row, &nothing));
        }
    }
    for micrograph in local::shop::micrographs() {
        let binary = folder.join(micrograph.name());
        let named = wanted.iter().any(|it| it == micrograph.name());
        if !(named || wanted.is_empty() && binary.exists()) {
            continue;
        }
        for function in Manifest::of(&micrograph).functions {
            let taken = role(&micrograph, &binary, &function).await.with_context(|| function.name.clone())?;
            println!("{}", taken.row(&function.name, &nothing));
        }
    }
    Ok(())
}

/// What a function takes: milliseconds, and MB.
struct Taken {
    cold: f64,
    cpu: f64,
    warm: f64,
    warm_at_most: f64,
    peak: f64,
    size: f64,
}

impl Taken {
    fn row(&self, name: &str, nothing: &Self) -> String {
        let times = |it: f64, of: f64| format!("{it:.1} ({:.1}×)", it / of);
        format!(
            "| {name} | {} | {} | {} | {:.2} | {} | {} |",
            times(self.cold, nothing.cold),
            times(self.cpu, nothing.cpu),
            format_args!("{:.2} ({:.1}×)", self.warm, self.warm / nothing.warm),
            self.warm_at_most,
            times(self.peak, nothing.peak),
            times(self.size, nothing.size),
        )
    }
}

async fn role(micrograph: &Micrograph, binary: &Path, function: &Declared) -> anyhow::Result<Taken> {
    let account = Account::of(micrograph.clone()).await?;
    let handler = function.handler.as_str();
    if handler == "subgraph" {
        let query = json!({ "query": entities(micrograph.name()) }).to_string();
        let payload = Request::graphql(&query).payload(Door::HttpApi);
        return measure(
            async || account.start(name(binary)?, handler).await,
            binary,
            &payload,
            without_errors,
        )
        .await;
    }
    let payload = account.payload(function)?;
    measure(async || account.start(name(binary)?, handler).await, binary, &payload, |_| Ok(())).await
}

fn name(binary: &Path) -> anyhow::Result<&str> {
    binary.to_str().context("a path in UTF-8")
}

fn without_errors(answer: &Value) -> anyhow::Result<()> {
    let (status, body) = answered(answer).context("an answer to HTTP")?;
    ensure!(status == 200 && !body.contains("\"errors\""), "{status} {body}");
    Ok(())
}

/// The gateway over many subgraphs, of which the first has the list, and each of the others a field of its items.
async fn gateway_of_many(binary: &Path, asked: usize) -> anyhow::Result<Taken> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let subgraph = |Number(number): Number<usize>| async move { items(number).to_string() };
    let subgraphs = Router::new().route("/{number}", post(subgraph));
    let server = tokio::spawn(async move { axum::serve(listener, subgraphs).await });
    let head = r#"extend schema @link(url: "https://specs.apollo.dev/federation/v2.3", import: ["@key"])"#;
    let schema = |number| Subgraph {
        name: format!("s{number}"),
        url: format!("http://{address}/{number}"),
        sdl: format!(
            r#"{head} {} type Item @key(fields: "id") {{ id: ID! f{number}: Int }}"#,
            if number == 0 { "type Query { items: [Item!]! }" } else { "" }
        ),
    };
    let folder = tempfile::tempdir()?;
    let supergraph = folder.path().join("supergraph.graphql");
    std::fs::write(&supergraph, compose(&(0..SUBGRAPHS).map(schema).collect::<Vec<_>>())?.sdl())?;
    let settings = [("GATEWAY_SUPERGRAPH", name(&supergraph)?)];
    let fields: Vec<String> = (0..asked).map(|number| format!("f{number}")).collect();
    let query = json!({ "query": format!("{{ items {{ id {} }} }}", fields.join(" ")) }).to_string();
    let payload = Request::graphql(&query).payload(Door::HttpApi);
    let start = async || Function::start(binary, "gateway", Router::new(), &settings).await;
    let taken = measure(start, binary, &payload, without_errors).await;
    server.abort();
    taken
}

/// What a subgraph answers.
fn items(number: usize) -> Value {
    let item = |id: usize| json!({ "__typename": "Item", "id": id.to_string(), format!("f{number}"): id });
    let items: Vec<Value> = (0..ENTITIES).map(item).collect();
    json!({ "data": { if number == 0 { "items" } else { "_entities" }: items } })
}

/// An operation that reads from DynamoDB, as a gateway sends it.
fn entities(service: &str) -> &'static str {
    match service {
        "pricing" => {
            "{ _entities(representations: [{ __typename: \"Product\", sku: \"22423\" }]) { ... on Product { price { amount } } } }"
        }
        "catalogue" => "{ product(sku: \"22423\") { title } }",
        "customers" => {
            "{ _entities(representations: [{ __typename: \"Customer\", id: \"17850\" }]) { __typename } }"
        }
        "inventory" => {
            "{ _entities(representations: [{ __typename: \"Product\", sku: \"22423\" }]) { ... on Product { stock { available } } } }"
        }
        "orders" => {
            "{ _entities(representations: [{ __typename: \"Order\", id: \"536365\" }]) { __typename } }"
        }
        "returns" => {
            "{ _entities(representations: [{ __typename: \"CreditNote\", id: \"C536379\" }]) { __typename } }"
        }
        "popularity" => "{ topProducts(first: 1) { rank } }",
        _ => "{ __typename }",
    }
}

/// Starts processes, then uses one for long.
async fn measure(
    start: impl AsyncFn() -> anyhow::Result<Function>,
    binary: &Path,
    payload: &str,
    right: impl Fn(&Value) -> anyhow::Result<()>,
) -> anyhow::Result<Taken> {
    let mut cold = Vec::new();
    let mut cpu = Vec::new();
    let mut peak = 0.0_f64;
    for _ in 0..STARTS {
        let started = Instant::now();
        let mut function = start().await?;
        let answer = asked(&mut function, payload).await?;
        cold.push(started.elapsed().as_secs_f64() * 1e3);
        right(&answer)?;
        cpu.push(cpu_ms(&function)?);
        peak = peak.max(peak_mb(&function)?);
    }
    let mut function = start().await?;
    asked(&mut function, payload).await?;
    let mut warm = Vec::new();
    for _ in 0..WARM {
        let asked_at = Instant::now();
        asked(&mut function, payload).await?;
        warm.push(asked_at.elapsed().as_secs_f64() * 1e3);
    }
    peak = peak.max(peak_mb(&function)?);
    #[expect(clippy::cast_precision_loss, reason = "a binary has fewer bytes than 2^52")]
    let size = std::fs::metadata(binary)?.len() as f64 / 1e6;
    Ok(Taken {
        cold: quantile(&mut cold, 0.5),
        cpu: quantile(&mut cpu, 0.5),
        warm: quantile(&mut warm, 0.5),
        warm_at_most: quantile(&mut warm, 0.99),
        peak,
        size,
    })
}

async fn asked(function: &mut Function, payload: &str) -> anyhow::Result<Value> {
    function.invoke(payload).await?.map_err(|error| anyhow::anyhow!("the invocation failed: {error}"))
}

fn quantile(values: &mut [f64], at: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an index of a few hundred values"
    )]
    let index = (values.len().saturating_sub(1) as f64 * at).round() as usize;
    values.get(index).copied().unwrap_or_default()
}

/// What all threads of a process have run on a processor, in milliseconds; Linux tells it in nanoseconds.
fn cpu_ms(function: &Function) -> anyhow::Result<f64> {
    let id = function.id().context("it runs")?;
    let mut nanoseconds = 0.0;
    for thread in std::fs::read_dir(format!("/proc/{id}/task"))? {
        let text = std::fs::read_to_string(thread?.path().join("schedstat"))?;
        let run: f64 = text.split_whitespace().next().context("a time")?.parse()?;
        nanoseconds += run;
    }
    Ok(nanoseconds / 1e6)
}

/// The most memory that a process had at once, in MB.
fn peak_mb(function: &Function) -> anyhow::Result<f64> {
    let id = function.id().context("it runs")?;
    let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
    let line = status.lines().find(|it| it.starts_with("VmHWM:")).context("a peak")?;
    let kb: f64 = line.split_whitespace().nth(1).context("a number")?.parse()?;
    Ok(kb * 1024.0 / 1e6)
}
