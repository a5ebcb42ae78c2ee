//! A gateway whose schemas heal themselves.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use gateway::source::{Found, FromRegistry, FromSubgraphs, Keeper, LastGood, Source, SourceError};
use gateway::transport::{SubgraphRequest, SubgraphResponse, Transport, TransportError};
use gateway::{Config, Gateway, GatewayError, Supergraph};
use http::{HeaderMap, StatusCode};
use object_store::memory::InMemory;
use schemas::{Deed, Hash, Release, Schemas, Variant};
use serde_json::json;

/// Subgraphs that tell the schemas that a test gives them, or are down; asked for data they give `1` for each field.
#[derive(Default)]
struct Subgraphs {
    schemas: Mutex<HashMap<&'static str, Option<String>>>,
    asked: Mutex<Vec<String>>,
}

impl Subgraphs {
    fn tells(&self, name: &'static str, schema: Option<&str>) {
        self.schemas.lock().unwrap().insert(name, schema.map(str::to_owned));
    }

    fn asked(&self) -> Vec<String> {
        let mut asked = std::mem::take(&mut *self.asked.lock().unwrap());
        asked.sort();
        asked
    }
}

#[async_trait]
impl Transport for Subgraphs {
    async fn send(&self, request: SubgraphRequest) -> Result<SubgraphResponse, TransportError> {
        let schema = self.schemas.lock().unwrap().get(request.subgraph.as_str()).cloned().flatten();
        let down = || TransportError::Unreachable("down".to_owned());
        let body = if request.body.starts_with(br#"{"query":"{ _service"#) {
            self.asked.lock().unwrap().push(request.subgraph);
            json!({ "data": { "_service": { "sdl": schema.ok_or_else(down)? } } })
        } else {
            json!({ "data": { "one": 1, "two": 1 } })
        };
        Ok(SubgraphResponse {
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            body: Bytes::from(body.to_string()),
        })
    }
}

const LIFE: Duration = Duration::from_mins(5);

fn source(subgraphs: &Arc<Subgraphs>) -> FromSubgraphs {
    let names = ["a", "b"].map(|name| (name.to_owned(), format!("http://{name}")));
    FromSubgraphs::new(Arc::clone(subgraphs) as Arc<dyn Transport>, names, LIFE)
}

fn both() -> Arc<Subgraphs> {
    let subgraphs = Arc::new(Subgraphs::default());
    subgraphs.tells("a", Some("type Query { one: Int }"));
    subgraphs.tells("b", Some("type Query { two: Int }"));
    subgraphs
}

fn last_good() -> LastGood {
    LastGood::new(Arc::new(InMemory::new()), "supergraph.graphql")
}

const EVERY: Duration = Duration::from_mins(1);

/// A gateway that starts, and is kept new.
async fn start(
    subgraphs: &Arc<Subgraphs>,
    source: Arc<dyn Source>,
    last_good: Option<&LastGood>,
) -> Result<Arc<Keeper>, SourceError> {
    let serve =
        |supergraph| Gateway::new(supergraph, Arc::clone(subgraphs) as Arc<dyn Transport>, Config::default());
    Ok(Arc::new(Keeper::start(source, last_good.cloned(), EVERY, serve).await?))
}

fn graphs(gateway: &Gateway) -> Vec<String> {
    gateway.supergraph().graphs().iter().map(|graph| graph.name.clone()).collect()
}

#[tokio::test(start_paused = true)]
async fn schemas_are_asked_for_when_they_are_due_and_subgraphs_that_were_down_each_time() {
    let subgraphs = both();
    subgraphs.tells("b", None);
    let source = source(&subgraphs);
    let found = source.look().await.unwrap().unwrap();
    assert_eq!(found.missing, ["b"]);
    assert_eq!(found.supergraph.graphs().len(), 1);
    assert_eq!(subgraphs.asked(), ["a", "b"]);
    tokio::time::advance(Duration::from_mins(1)).await;
    assert!(source.look().await.unwrap().is_none());
    assert_eq!(subgraphs.asked(), ["b"]);
    subgraphs.tells("b", Some("type Query { two: Int }"));
    let found = source.look().await.unwrap().unwrap();
    assert_eq!((found.missing.len(), found.supergraph.graphs().len()), (0, 2));
    assert_eq!(subgraphs.asked(), ["b"]);
    // A subgraph that goes down later keeps the schema that it told.
    tokio::time::advance(LIFE).await;
    subgraphs.tells("a", None);
    assert!(source.look().await.unwrap().is_none());
    assert_eq!(subgraphs.asked(), ["a", "b"]);
}

#[tokio::test]
async fn nobody_tells_a_schema() {
    let subgraphs = Arc::new(Subgraphs::default());
    let error = start(&subgraphs, Arc::new(source(&subgraphs)), None).await.err().unwrap();
    assert!(error.to_string().contains("a: the subgraph can't be reached: down"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_better_schema_is_taken_into_service_and_a_worse_one_is_not() {
    let subgraphs = both();
    let kept = last_good();
    let keeper = start(&subgraphs, Arc::new(source(&subgraphs)), Some(&kept)).await.unwrap();
    let gateway = keeper.gateway();
    let one = support::ask(gateway, "{ one }", json!({})).await;
    assert_eq!(support::json_of(&one), json!({ "data": { "one": 1 } }));

    tokio::time::advance(LIFE).await;
    subgraphs.tells("b", Some("type Query { two: Int three: Int }"));
    keeper.look().await;
    assert!(gateway.supergraph().sdl().contains("three"));
    assert_eq!(kept.read().await.unwrap().hash(), gateway.supergraph().hash());
    let one = support::ask(gateway, "{ one }", json!({})).await;
    assert_eq!(support::json_of(&one), json!({ "data": { "one": 1 } }));

    // What does not compose changes nothing.
    for worse in ["type Query { two: Nothing }", "nonsense {"] {
        tokio::time::advance(LIFE).await;
        subgraphs.tells("b", Some(worse));
        keeper.look().await;
        assert!(gateway.supergraph().sdl().contains("three"));
        assert_eq!(graphs(gateway), ["a", "b"]);
    }
    tokio::time::advance(LIFE).await;
    subgraphs.tells("b", Some("type Query { two: Int four: Int }"));
    keeper.look().await;
    assert!(gateway.supergraph().sdl().contains("four"));
}

#[tokio::test(start_paused = true)]
async fn a_cold_start_needs_nobody_where_something_was_served_before() {
    let subgraphs = both();
    let kept = last_good();
    let from = || Arc::new(source(&subgraphs));
    let keeper = start(&subgraphs, from(), Some(&kept)).await.unwrap();
    assert!(kept.read().await.is_none());
    // A function keeps what it serves as soon as it is asked; it does not wait for that.
    keeper.touch();
    tokio::task::yield_now().await;
    let served = keeper.gateway().supergraph();
    assert_eq!(kept.read().await.unwrap().hash(), served.hash());

    // One of them is down: what was served has it.
    subgraphs.tells("b", None);
    let keeper = start(&subgraphs, from(), Some(&kept)).await.unwrap();
    assert_eq!(graphs(keeper.gateway()), ["a", "b"]);
    keeper.look().await;
    assert_eq!(graphs(keeper.gateway()), ["a", "b"]);
    // All are.
    subgraphs.tells("a", None);
    let keeper = start(&subgraphs, from(), Some(&kept)).await.unwrap();
    assert_eq!(graphs(keeper.gateway()), ["a", "b"]);
    assert!(start(&subgraphs, from(), Some(&last_good())).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_server_keeps_what_it_serves_and_looks_again_and_again() {
    let subgraphs = both();
    let kept = last_good();
    let keeper = start(&subgraphs, Arc::new(source(&subgraphs)), Some(&kept)).await.unwrap();
    let running = tokio::spawn({
        let keeper = Arc::clone(&keeper);
        async move { keeper.run().await }
    });
    subgraphs.tells("b", Some("type Query { two: Int three: Int }"));
    tokio::time::sleep(LIFE + EVERY).await;
    // Planning happens on other threads, which a clock that stands still does not wait for.
    while !keeper.gateway().supergraph().sdl().contains("three") {
        tokio::task::yield_now().await;
    }
    running.abort();
}

#[tokio::test(start_paused = true)]
async fn a_function_looks_when_it_is_asked_and_it_is_time_to() {
    let subgraphs = both();
    let keeper = start(&subgraphs, Arc::new(source(&subgraphs)), None).await.unwrap();
    assert_eq!(subgraphs.asked(), ["a", "b"]);
    subgraphs.tells("b", None);
    tokio::time::advance(EVERY / 2).await;
    keeper.touch();
    tokio::task::yield_now().await;
    assert_eq!(subgraphs.asked(), [""; 0]);
    tokio::time::advance(LIFE).await;
    keeper.touch();
    keeper.touch();
    tokio::task::yield_now().await;
    assert_eq!(subgraphs.asked(), ["a", "b"], "once, however many ask at once");
    keeper.touch();
    tokio::task::yield_now().await;
    assert_eq!(subgraphs.asked(), [""; 0]);
}

/// Gives one supergraph.
struct Given(Supergraph);

#[async_trait]
impl Source for Given {
    async fn look(&self) -> Result<Option<Found>, SourceError> {
        Ok(Some(Found { supergraph: self.0.clone(), missing: Vec::new() }))
    }
}

#[tokio::test]
async fn a_first_supergraph_that_can_t_be_served_gives_way_to_the_last_good_one() {
    let of = |field: &str| Supergraph::parse(&SUPERGRAPH.replace("one", field)).unwrap();
    let serve = |supergraph: Supergraph| {
        if supergraph.sdl().contains("bad") {
            return Err(GatewayError::Planner("no way".to_owned()));
        }
        Gateway::new(supergraph, both() as Arc<dyn Transport>, Config::default())
    };
    let kept = last_good();
    let bad = || Arc::new(Given(of("bad")));
    let error = Keeper::start(bad(), Some(kept.clone()), EVERY, serve).await.err().unwrap();
    assert_eq!(error.to_string(), "the supergraph can't be served: no way");
    let good = Keeper::start(Arc::new(Given(of("good"))), Some(kept.clone()), EVERY, serve).await.unwrap();
    Arc::new(good).touch();
    while kept.read().await.is_none() {
        tokio::task::yield_now().await;
    }
    let keeper = Keeper::start(bad(), Some(kept), EVERY, serve).await.unwrap();
    assert_eq!(keeper.gateway().supergraph().hash(), of("good").hash());
}

const SUPERGRAPH: &str = r#"enum join__Graph { A @join__graph(name: "a", url: "http://a") }
type Query @join__type(graph: A) { one: Int }
"#;

async fn publish(schemas: &Schemas, variant: &Variant, version: u64, text: &str) {
    let supergraph: Hash = schemas.put_schema(text).await.unwrap();
    let release = Release {
        version,
        supergraph,
        subgraphs: BTreeMap::new(),
        contracts: BTreeMap::new(),
        at: jiff::Timestamp::UNIX_EPOCH,
        by: "test".to_owned(),
        message: String::new(),
        deed: Deed::Publish {
            changed: ["a".to_owned()].into(),
            removed: BTreeSet::new(),
            accepted: BTreeSet::new(),
            from: None,
        },
    };
    schemas.commit(variant, &release).await.unwrap();
}

#[tokio::test]
async fn what_the_registry_releases_is_served() {
    let (schemas, variant): (_, Variant) = (Schemas::in_memory(), "production".parse().unwrap());
    let source = Arc::new(FromRegistry::new(schemas.clone(), variant.clone()));
    let error = source.look().await.unwrap_err().to_string();
    assert!(error.contains("nothing was ever published"), "{error}");
    publish(&schemas, &variant, 1, SUPERGRAPH).await;
    let keeper = start(&both(), Arc::clone(&source) as Arc<dyn Source>, None).await.unwrap();
    assert!(source.look().await.unwrap().is_none());
    publish(&schemas, &variant, 2, &SUPERGRAPH.replace("one: Int", "one: Int two: Int")).await;
    keeper.look().await;
    assert!(keeper.gateway().supergraph().sdl().contains("two: Int"));
    // What can't be read changes nothing, and is read again until something better is published.
    publish(&schemas, &variant, 3, "type Query { one: Int }").await;
    for _ in 0..2 {
        let error = source.look().await.unwrap_err();
        assert!(matches!(error, SourceError::Supergraph(_)), "{error}");
    }
    keeper.look().await;
    assert!(keeper.gateway().supergraph().sdl().contains("two: Int"));
    publish(&schemas, &variant, 4, SUPERGRAPH).await;
    keeper.look().await;
    assert!(!keeper.gateway().supergraph().sdl().contains("two: Int"));
}

fn program(arguments: &[&str]) -> (bool, String) {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_gateway"));
    let output = command.args(arguments).env_remove("RUST_LOG").output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

#[tokio::test]
async fn the_program_takes_what_the_registry_released_or_what_it_served_last() {
    let (folder, kept) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (place, last) = (folder.path().to_str().unwrap(), kept.path().to_str().unwrap());
    let (works, text) = program(&["--check", "--registry", place, "--last-good", last]);
    assert!(!works && text.contains("nothing was ever published of production"), "{text}");
    let variant = "production".parse().unwrap();
    publish(&Schemas::in_folder(folder.path()).unwrap(), &variant, 1, SUPERGRAPH).await;
    let (works, text) = program(&["--check", "--registry", place]);
    assert!(works && text.contains("of 1 subgraphs can be served"), "{text}");
    let staging = ["--check", "--registry", place, "--variant", "staging", "--last-good", last];
    assert!(!program(&staging).0);
    std::fs::write(kept.path().join("supergraph.graphql"), SUPERGRAPH).unwrap();
    let (works, text) = program(&staging);
    assert!(works && text.contains("served is what was served last"), "{text}");
}
