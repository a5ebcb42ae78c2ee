//! What the gateway itself costs: planning against the number of subgraphs, executing against that of subgraphs and of
//! entities, HTTP at 50 connections. Subgraphs answer at once, from memory, so that nothing else is measured.
//!
//! `cargo bench -p gateway --bench gateway [-- plan|execute|http]`. Times depend on the machine. What does not, or less, are
//! ratios: an execution is told in multiples of what parsing the subgraphs' answers into `serde_json::Value` takes, and its
//! memory, beyond what the process holds already, in multiples of their bytes.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gateway::transport::{Handler, InProcess};
use gateway::{Config, Gateway, Limits, Method, Request, Subgraph, compose};
use http::{HeaderMap, Response};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::time::Instant;

/// How long each figure is measured.
const LONG: Duration = Duration::from_secs(2);

fn main() -> anyhow::Result<()> {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|it| !it.starts_with('-')).collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|it| it == name);
    let runtime = tokio::runtime::Runtime::new()?;
    if is_wanted("plan") {
        for subgraphs in [3, 26, 260] {
            runtime.block_on(plan(subgraphs))?;
        }
    }
    if is_wanted("execute") {
        for subgraphs in [3, 26, 260] {
            for entities in [20, 1_000, 20_000] {
                // More than that would measure how fast this machine copies.
                if subgraphs * entities <= 600_000 {
                    runtime.block_on(execute(subgraphs, entities))?;
                }
            }
        }
    }
    if is_wanted("http") {
        runtime.block_on(http())?;
    }
    Ok(())
}

/// A graph of which the first subgraph has the list, and each of the others a field of its items.
fn graph(subgraphs: usize, entities: usize) -> anyhow::Result<Gateway> {
    let head =
        "extend schema @link(url: \"https://specs.apollo.dev/federation/v2.3\", import: [\"@key\"])\n\n";
    let mut schemas = Vec::new();
    let mut transport = InProcess::new();
    for number in 0..subgraphs {
        let name = format!("s{number}");
        let root = if number == 0 { "type Query { items: [Item!]! }\n\n" } else { "" };
        let sdl = format!("{head}{root}type Item @key(fields: \"id\") {{ id: ID! f{number}: Int }}\n");
        schemas.push(Subgraph { name: name.clone(), url: String::new(), sdl });
        transport = transport.with(name, answers(number, entities));
    }
    let limits = Limits { fields: 100_000, cost: u64::MAX, tokens: 100_000, ..Limits::default() };
    let planning_timeout = Duration::from_mins(1);
    let config =
        Config { limits, planning_timeout, plan_cache: 10, operation_cache: 10, ..Config::default() };
    Ok(Gateway::new(compose(&schemas)?, Arc::new(transport), config)?)
}

fn answers(number: usize, entities: usize) -> Handler {
    let body = Bytes::from(body(number, entities));
    Arc::new(move |_| {
        let body = body.clone();
        Box::pin(async move { Response::new(body) })
    })
}

/// What a subgraph answers.
fn body(number: usize, entities: usize) -> String {
    let mut body = if number == 0 { r#"{"data":{"items":["# } else { r#"{"data":{"_entities":["# }.to_owned();
    for item in 0..entities {
        let comma = if item == 0 { "" } else { "," };
        let _ = write!(body, "{comma}{{\"__typename\":\"Item\",\"id\":\"{item}\",\"f{number}\":{item}}}");
    }
    body.push_str("]}}");
    body
}

fn query(subgraphs: usize, name: &str) -> Request {
    let fields: Vec<String> = (0..subgraphs).map(|number| format!("f{number}")).collect();
    Request { query: format!("query {name} {{ items {{ id {} }} }}", fields.join(" ")), ..Request::default() }
}

async fn ask(gateway: &Gateway, request: Request) -> anyhow::Result<usize> {
    let answer = gateway.answer(request, Method::Post, &HeaderMap::new()).await;
    anyhow::ensure!(answer.codes.is_empty(), "{:?}", answer.codes);
    Ok(answer.body.len())
}

/// An operation that was never seen, over one entity: parsed, validated, planned and run.
async fn plan(subgraphs: usize) -> anyhow::Result<()> {
    let begun = Instant::now();
    let gateway = graph(subgraphs, 1)?;
    let ready = begun.elapsed();
    let mut times = Vec::new();
    let begun = Instant::now();
    while begun.elapsed() < LONG || times.is_empty() {
        // Another alias each time is another plan.
        let mut request = query(subgraphs, "Q");
        request.query = request.query.replacen("f0", &format!("a{}: f0", times.len()), 1);
        let at = Instant::now();
        ask(&gateway, request).await?;
        times.push(at.elapsed());
    }
    println!(
        "plan     {subgraphs:>4} subgraphs: composed and ready in {ready:.1?}, a new operation in {:.2?}",
        median(times)
    );
    Ok(())
}

/// An operation whose plan is kept.
async fn execute(subgraphs: usize, entities: usize) -> anyhow::Result<()> {
    let gateway = graph(subgraphs, entities)?;
    ask(&gateway, query(subgraphs, "Q")).await?;
    let before = forget_peak();
    let bytes = ask(&gateway, query(subgraphs, "Q")).await?;
    let grown = peak().saturating_sub(before);
    let mut times = Vec::new();
    let begun = Instant::now();
    while begun.elapsed() < LONG || times.is_empty() {
        let at = Instant::now();
        ask(&gateway, query(subgraphs, "Q")).await?;
        times.push(at.elapsed());
    }
    let bodies: Vec<String> = (0..subgraphs).map(|number| body(number, entities)).collect();
    let received: usize = bodies.iter().map(String::len).sum();
    let mut parsing = Vec::new();
    let begun = Instant::now();
    while begun.elapsed() < LONG / 4 || parsing.is_empty() {
        let at = Instant::now();
        for body in &bodies {
            std::hint::black_box(serde_json::from_str::<Value>(body)?);
        }
        parsing.push(at.elapsed());
    }
    let (time, parsing) = (median(times), median(parsing));
    #[expect(clippy::cast_precision_loss, reason = "a few megabytes")]
    let memory = grown as f64 / received as f64;
    println!(
        "execute  {subgraphs:>4} subgraphs, {entities:>6} entities: {time:.2?} ({:.1} x parsing), further memory of \
         {memory:.1} x the bytes received, an answer of {bytes} bytes",
        time.as_secs_f64() / parsing.as_secs_f64(),
    );
    Ok(())
}

/// Has the system measure the process's largest memory from here on; gives its size now, in bytes.
fn forget_peak() -> usize {
    // Where the system can't, the first measurement stands for all.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    peak()
}

/// The process's largest memory, in bytes; 0 where the system does not tell.
fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<usize>().ok());
    kilobytes.unwrap_or_default() * 1024
}

/// Requests by 50 connections at once, over loopback, by a client that shares the machine.
async fn http() -> anyhow::Result<()> {
    let gateway = Arc::new(graph(3, 20)?);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/graphql", listener.local_addr()?);
    let server = tokio::spawn(gateway::http::serve(gateway, listener, std::future::pending()));
    let client = reqwest::Client::builder().pool_max_idle_per_host(50).build()?;
    let body = serde_json::json!({ "query": query(3, "Q").query }).to_string();
    let until = Instant::now() + 2 * LONG;
    let connections = (0..50).map(|_| {
        let (client, url, body) = (client.clone(), url.clone(), body.clone());
        tokio::spawn(async move {
            let mut times = Vec::new();
            while Instant::now() < until {
                let at = Instant::now();
                let request = client.post(&url).header("content-type", "application/json").body(body.clone());
                let answer: Value = serde_json::from_slice(&request.send().await?.bytes().await?)?;
                anyhow::ensure!(answer["data"]["items"].as_array().is_some_and(|items| items.len() == 20));
                times.push(at.elapsed());
            }
            Ok(times)
        })
    });
    let mut times = Vec::new();
    for connection in connections.collect::<Vec<_>>() {
        times.extend(connection.await??);
    }
    server.abort();
    let rate = times.len() as u64 / (2 * LONG.as_secs());
    println!(
        "http     3 subgraphs, 20 entities, 50 connections: {rate} requests a second, {:.2?} each",
        median(times)
    );
    Ok(())
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
