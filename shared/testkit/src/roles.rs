//! A service's binary in each of its roles, as Lambda runs it: over loopback HTTP, with payloads as AWS hands them
//! over. One line in a service's tests stands for all of it.

mod generations;

use crate::delivery;
use crate::lambda::request::{DOORS, Request, answered};
use crate::lambda::surroundings::Surroundings;
use crate::lambda::{Answer, Function, REGION};
use anyhow::{Context as _, ensure};
use archive::Archive;
use archive::object_store::memory::InMemory;
use aws_sdk_dynamodb::types::AttributeValue;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request as HttpRequest, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use contracts::{Version, published};
use embedded::queue::{QueueConfig, QueueSettings, Queues};
use embedded::{DynamoDb, EventBus, Topics};
use futures::future::BoxFuture;
use micrograph::manifest::{Function as Declared, Manifest, Trigger};
use micrograph::{App, Environment, Micrograph};
use projection::quarantine::{Entry, Filter};
use projection::store::Relational;
use serde_dynamo::Item;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const PREFIX: &str = "test-";
const BUS: &str = "bus";
const BUCKET: &str = "archive";
/// A queue that hears everything.
const HEARD: &str = "heard";
const POISON: &str = r#"{"name": "ada@example.org""#;

/// Runs a binary in each role that its micrograph declares, and checks what every function of that role owes Lambda:
/// right answers, failures message by message, errors with a name, nothing kept from one invocation to the next, an
/// orderly end when it is asked to.
pub async fn work(binary: &str, micrograph: fn() -> Micrograph) -> anyhow::Result<()> {
    work_beside(binary, micrograph, None).await
}

/// The same, of a micrograph that keeps projections in a relational store. It takes the tables that begin with `test-`.
pub async fn work_beside(
    binary: &str,
    micrograph: fn() -> Micrograph,
    beside: Option<&Beside>,
) -> anyhow::Result<()> {
    for function in Manifest::of(&micrograph()).functions {
        let account = Account::beside(micrograph(), beside.cloned()).await?;
        let handler = function.handler.clone();
        let worked = match &function.trigger {
            Trigger::Http => subgraph(&account, binary).await,
            Trigger::Stream { .. } => outbox(&account, binary).await,
            Trigger::Schedule { .. } if handler == "generations" => generations::work(&account, binary).await,
            Trigger::Schedule { .. } => watch(&account, binary).await,
            Trigger::Queues { queues, .. } => dead_letters(&account, binary, queues).await,
            Trigger::Queue { .. } if handler == "commands" => commands(&account, binary).await,
            Trigger::Queue { .. } => consumer(&account, binary, &function).await,
        };
        worked.with_context(|| format!("the function {handler}"))?;
    }
    Ok(())
}

/// A relational store, and what functions are told of it.
#[derive(Clone)]
pub struct Beside {
    /// The store.
    pub store: Arc<dyn Relational>,
    /// Where it is.
    pub url: String,
    /// Deletes an item of a table, as no event does.
    pub lose: fn(url: String, table: String) -> BoxFuture<'static, anyhow::Result<()>>,
}

/// What a function finds around it: its micrograph's tables and a bus, empty at first.
pub struct Account {
    app: Arc<App>,
    dynamodb: DynamoDb,
    queues: Queues,
    bus: EventBus,
    archive: Archive,
    around: Surroundings,
    away: Arc<AtomicBool>,
    relational: Option<Beside>,
}

impl Account {
    /// The surroundings of a micrograph's functions.
    pub async fn of(micrograph: Micrograph) -> anyhow::Result<Self> {
        Self::beside(micrograph, None).await
    }

    async fn beside(micrograph: Micrograph, relational: Option<Beside>) -> anyhow::Result<Self> {
        let dynamodb = DynamoDb::in_memory()?;
        let queues = Queues::in_memory(QueueSettings::default())?;
        queues.create(QueueConfig::new(HEARD))?;
        let bus = EventBus::new(BUS, queues.clone(), Topics::new(queues.clone()));
        let everything = json!({ "source": [{ "prefix": "" }] });
        bus.put_rule("everything", &everything, vec![embedded::events::Target::queue(HEARD)])?;
        let environment = Environment {
            dynamodb: dynamodb.client(),
            relational: relational.as_ref().map(|it| Arc::clone(&it.store)),
            eventbridge: bus.client(),
            bus: BUS.to_owned(),
            region: REGION.to_owned(),
            regions: None,
            table_prefix: PREFIX.to_owned(),
            build: "test".to_owned(),
            clock: crate::clock,
            edge: micrograph::edge::Edge::default(),
            changes: None,
        };
        let app = App::new(micrograph, environment);
        if let Some(Beside { store, .. }) = &relational {
            for (table, _) in store.tables(PREFIX).await? {
                store.delete_table(&table).await?;
            }
        }
        app.create_tables().await?;
        let objects = Arc::new(InMemory::new());
        let around = Surroundings {
            queues: queues.clone(),
            bucket: BUCKET,
            objects: objects.clone(),
            mapped: Arc::default(),
            refusals: Arc::default(),
        };
        let (archive, away) = (Archive::new(objects), Arc::default());
        Ok(Self { app, dynamodb, queues, bus, archive, around, away, relational })
    }

    /// Starts a binary in a role.
    pub async fn start(&self, binary: &str, handler: &str) -> anyhow::Result<Function> {
        let services = embedded::http::router(&self.dynamodb, Some(&self.bus));
        let services: Router = services.layer(from_fn_with_state(Arc::clone(&self.away), unless_away));
        let mut variables = vec![
            ("TABLE_PREFIX", PREFIX),
            ("EVENT_BUS", BUS),
            ("ARCHIVE_BUCKET", BUCKET),
            ("AWS_ALLOW_HTTP", "true"),
            ("QUEUE_QUIET_SECONDS", "0"),
        ];
        variables.extend(self.relational.iter().map(|it| ("DATABASE_URL", it.url.as_str())));
        let services = self.around.clone().before(services);
        Function::start(Path::new(binary), handler, services, &variables).await
    }

    /// A payload that gives a function of a queue, a stream or the clock its usual work.
    pub fn payload(&self, function: &Declared) -> anyhow::Result<String> {
        let manifest = self.app.manifest();
        Ok(match &function.trigger {
            Trigger::Stream { .. } => {
                let events = published_examples(&manifest);
                let changes: Vec<&[Value]> = events.iter().map(std::slice::from_ref).collect();
                delivery::stream(changes)
            }
            Trigger::Queue { .. } if function.handler == "commands" => {
                delivery::sqs(command_examples(&manifest))
            }
            Trigger::Queue { .. } => {
                let projection = manifest.projections.iter().find(|it| it.deployed == function.name);
                let folds = projection.context("it is declared")?.folds.iter();
                let events = examples(&folds.map(|it| it.event.clone()).collect::<Vec<_>>());
                delivery::sqs(events.iter().enumerate().map(|(number, event)| body(number, event)))
            }
            Trigger::Queues { .. } => delivery::sqs(["a dead letter"]),
            Trigger::Schedule { .. } if function.handler == "generations" => r#""list""#.to_owned(),
            Trigger::Schedule { .. } => delivery::scheduled(),
            Trigger::Http => anyhow::bail!("{} answers requests", function.handler),
        })
    }

    /// Whether what the function stands on answers.
    fn goes_away(&self, away: bool) {
        self.away.store(away, Ordering::SeqCst);
    }

    /// The relational store, if it holds this table.
    fn beside_with(&self, table: &str) -> Option<&Beside> {
        let is_there = self.app.manifest().relational.iter().any(|it| it.name == table);
        self.relational.as_ref().filter(|_| is_there)
    }

    async fn items(&self, table: &str) -> anyhow::Result<BTreeSet<String>> {
        if let Some(Beside { store, .. }) = self.beside_with(table) {
            let (mut items, mut after) = (BTreeSet::new(), None);
            loop {
                let (page, next) = store.scan(&format!("{PREFIX}{table}"), after).await?;
                let item = |item: Item| shown(&AttributeValue::M(item.into()));
                items.extend(page.into_iter().map(|(key, it)| format!("{key:?} {}", item(it))));
                after = next;
                if after.is_none() {
                    return Ok(items);
                }
            }
        }
        let scan = self.dynamodb.client().scan().table_name(format!("{PREFIX}{table}")).send().await?;
        Ok(scan.items().iter().map(|item| shown(&AttributeValue::M(item.clone()))).collect())
    }

    async fn quarantined(&self) -> anyhow::Result<Vec<Entry>> {
        Ok(self.app.quarantine().list(&Filter::default(), None, 1_000).await?.entries)
    }

    /// The bodies of what the bus was given since it was asked last.
    fn heard(&self) -> anyhow::Result<Vec<Value>> {
        let received = self.queues.receive(HEARD, 1_000, None)?;
        received.iter().map(|it| Ok(serde_json::from_str(&it.body)?)).collect()
    }
}

/// Refuses everything while it is away, in a way that no client tries again by itself.
async fn unless_away(
    State(away): State<Arc<AtomicBool>>,
    request: HttpRequest<Body>,
    next: Next,
) -> Response {
    if away.load(Ordering::SeqCst) && request.uri().path() == "/" {
        let error = json!({ "__type": "com.amazonaws.dynamodb.v20120810#ResourceNotFoundException", "message": "away" });
        return (StatusCode::BAD_REQUEST, error.to_string()).into_response();
    }
    next.run(request).await
}

/// The same text for the same value.
fn shown(value: &AttributeValue) -> String {
    match value {
        AttributeValue::M(map) => {
            format!("{:?}", map.iter().map(|(name, it)| (name, shown(it))).collect::<BTreeMap<_, _>>())
        }
        AttributeValue::L(list) => format!("{:?}", list.iter().map(shown).collect::<Vec<_>>()),
        AttributeValue::Ss(set) | AttributeValue::Ns(set) => {
            format!("{:?}", set.iter().collect::<BTreeSet<_>>())
        }
        other => format!("{other:?}"),
    }
}

/// The examples of events that a projection folds, as one version after the other of what they are of.
fn examples(consumes: &[String]) -> Vec<Value> {
    let wanted = |contract: &published::Contract| {
        contract.kind.is_some() && consumes.contains(&format!("{}.{}", contract.domain, contract.name))
    };
    let examples = published::all().into_iter().filter(wanted).map(|it| (it.example)());
    let versioned = |(seq, mut event): (u64, Value)| {
        event["version"] = json!(Version::first_epoch(seq));
        event
    };
    (1..).zip(examples).map(versioned).collect()
}

/// The examples of commands that a micrograph decides.
fn command_examples(manifest: &Manifest) -> Vec<String> {
    let wanted = |it: &published::Contract| {
        it.kind.is_none() && it.domain == manifest.micrograph && manifest.decides.contains(&it.name)
    };
    published::all().iter().filter(|it| wanted(it)).map(|it| (it.example)().to_string()).collect()
}

/// The examples of events that a micrograph publishes.
fn published_examples(manifest: &Manifest) -> Vec<Value> {
    let named = |it: &published::Contract| format!("{}.{}.v{}", it.domain, it.name, it.major);
    let wanted = |it: &published::Contract| it.kind.is_some() && manifest.publishes.contains(&named(it));
    published::all().iter().filter(|it| wanted(it)).map(|it| (it.example)()).collect()
}

/// An envelope as one of the three ways brings it to a queue.
fn body(number: usize, envelope: &Value) -> String {
    match number % 3 {
        0 => delivery::eventbridge(envelope),
        1 => delivery::sns_wrapped(&envelope.to_string()),
        _ => delivery::sns_raw(envelope),
    }
}

fn failed(answer: Answer) -> anyhow::Result<Vec<String>> {
    let answer = answer.map_err(|error| anyhow::anyhow!("the invocation failed: {error}"))?;
    let failures =
        answer["batchItemFailures"].as_array().with_context(|| format!("no failures named: {answer}"))?;
    Ok(failures.iter().filter_map(|it| it["itemIdentifier"].as_str().map(str::to_owned)).collect())
}

async fn ends(function: Function) -> anyhow::Result<()> {
    let ended = function.terminate().await?;
    ensure!(ended.status.success(), "it did not end in order: {}", ended.status);
    let lines = ended.log.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>();
    let lines = lines.with_context(|| format!("the log is not lines of JSON: {}", ended.log))?;
    ensure!(lines.iter().any(|it| it["message"] == "asked to end"), "its last line is lost: {}", ended.log);
    ensure!(!ended.log.contains("ada@example.org"), "personal data in the log: {}", ended.log);
    Ok(())
}

async fn consumer(account: &Account, binary: &str, declared: &Declared) -> anyhow::Result<()> {
    let manifest = account.app.manifest();
    let projection =
        manifest.projections.iter().find(|it| it.deployed == declared.name).context("declared")?;
    let folds: Vec<String> = projection.folds.iter().map(|it| it.event.clone()).collect();
    let events = examples(&folds);
    ensure!(!events.is_empty(), "there are no examples of {folds:?}");
    let mut bodies: Vec<String> = events.iter().enumerate().map(|(number, it)| body(number, it)).collect();
    let mut function = account.start(binary, &declared.handler).await?;

    // What it stands on is away: every message waits, none is lost, and the next invocation knows nothing of it.
    account.goes_away(true);
    let failures = failed(function.invoke(delivery::sqs(bodies.clone())).await?);
    // Before it knows which generation is read, it has nothing to name.
    ensure!(
        failures.map_or(true, |it| it.len() == bodies.len()),
        "messages were acknowledged that nobody stored"
    );
    account.goes_away(false);

    bodies.push(POISON.to_owned());
    let failures = failed(function.invoke(delivery::sqs(bodies.clone())).await?)?;
    ensure!(failures.is_empty(), "failed: {failures:?}");
    let items = account.items(&declared.name).await?;
    ensure!(!items.is_empty(), "nothing was applied");
    let quarantined = account.quarantined().await?;
    let [poison] = quarantined.as_slice() else { anyhow::bail!("not one is quarantined: {quarantined:?}") };
    ensure!(poison.reason == "Malformed" && poison.consumer == projection.name, "{poison:?}");

    // Again, and in another order, in this process and in a new one: nothing changes.
    bodies.reverse();
    ensure!(failed(function.invoke(delivery::sqs(bodies.clone())).await?)?.is_empty());
    ensure!(account.items(&declared.name).await? == items, "a repeated delivery changed the projection");
    ends(function).await?;
    let mut function = account.start(binary, &declared.handler).await?;
    ensure!(failed(function.invoke(delivery::sqs(bodies)).await?)?.is_empty());
    ensure!(
        account.items(&declared.name).await? == items,
        "a delivery to a new process changed the projection"
    );

    // EventBridge and SNS may call it too; a batch that can't be taken apart is an error that Lambda can count.
    let answer = function.invoke(delivery::eventbridge(&events[0])).await?;
    ensure!(answer.is_ok(), "EventBridge's own call: {answer:?}");
    let answer = function.invoke(delivery::sns(&events[0].to_string())).await?;
    ensure!(answer.is_ok(), "SNS's own call: {answer:?}");
    let error = function.invoke("7").await?.err().context("7 is no payload")?;
    ensure!(error["errorType"] == "Payload" && error["errorMessage"].is_string(), "{error}");
    ensure!(failed(function.invoke(r#"{"Records": []}"#).await?)?.is_empty(), "it lives on");
    ends(function).await
}

async fn commands(account: &Account, binary: &str) -> anyhow::Result<()> {
    let manifest = account.app.manifest();
    let examples = command_examples(&manifest);
    ensure!(examples.len() == manifest.decides.len(), "an example is missing of {:?}", manifest.decides);
    let mut function = account.start(binary, "commands").await?;

    account.goes_away(true);
    let failures = failed(function.invoke(delivery::sqs(examples.clone())).await?)?;
    ensure!(failures.len() == examples.len(), "commands were acknowledged that nobody stored: {failures:?}");
    account.goes_away(false);

    let mut bodies = examples.clone();
    bodies.push(POISON.to_owned());
    ensure!(failed(function.invoke(delivery::sqs(bodies.clone())).await?)?.is_empty());
    let owned: Vec<String> =
        account.app.manifest().tables.into_iter().filter(|it| it.stream).map(|it| it.name).collect();
    let mut before = Vec::new();
    for table in &owned {
        before.push(account.items(table).await?);
    }
    let quarantined = account.quarantined().await?;
    ensure!(quarantined.iter().filter(|it| it.reason == "Malformed").count() == 1, "{quarantined:?}");
    // What the rules refuse is kept; the rest is in the tables.
    let refused = quarantined.iter().filter(|it| it.reason != "Malformed").count();
    let stored: usize = before.iter().map(BTreeSet::len).sum();
    ensure!(stored + refused > 0, "the commands went nowhere");

    // Sent again, they change nothing.
    ensure!(failed(function.invoke(delivery::sqs(bodies)).await?)?.is_empty());
    for (table, before) in owned.iter().zip(before) {
        ensure!(account.items(table).await? == before, "a repeated command changed {table}");
    }
    ends(function).await
}

async fn outbox(account: &Account, binary: &str) -> anyhow::Result<()> {
    let manifest = account.app.manifest();
    let events = published_examples(&manifest);
    ensure!(events.len() == manifest.publishes.len(), "an example is missing of {:?}", manifest.publishes);
    let mut function = account.start(binary, "outbox").await?;
    let changes: Vec<&[Value]> = events.iter().map(std::slice::from_ref).collect();

    account.goes_away(true);
    let failures = failed(function.invoke(delivery::stream(changes.clone())).await?)?;
    ensure!(failures.len() == events.len(), "events were acknowledged that no bus took: {failures:?}");
    account.goes_away(false);

    ensure!(failed(function.invoke(delivery::stream(changes)).await?)?.is_empty());
    let heard = account.heard()?;
    let details: Vec<&Value> = heard.iter().map(|it| &it["detail"]).collect();
    for event in &events {
        ensure!(details.contains(&event), "{} was not published as it stands: {heard:?}", event["type"]);
    }
    ensure!(heard.len() == events.len(), "published {} for {}", heard.len(), events.len());
    let right = |it: &Value| {
        it["detail-type"] == it["detail"]["type"]
            && it["source"] == contracts::event::source(it["detail"]["domain"].as_str().unwrap_or_default())
    };
    ensure!(heard.iter().all(right), "rules would not match: {heard:?}");
    let error = function.invoke("7").await?.err().context("7 is no payload")?;
    ensure!(error["errorType"] == "Payload", "{error}");
    ends(function).await
}

async fn dead_letters(account: &Account, binary: &str, queues: &[String]) -> anyhow::Result<()> {
    let mut function = account.start(binary, "dead-letters").await?;
    for (number, queue) in queues.iter().enumerate() {
        let mut record = delivery::sqs_record(number, &format!("letter {number}"));
        record["eventSourceARN"] = json!(format!("arn:aws:sqs:{REGION}:123456789012:{PREFIX}{queue}"));
        ensure!(failed(function.invoke(delivery::payload(&[record])).await?)?.is_empty());
    }
    let quarantined = account.quarantined().await?;
    ensure!(quarantined.len() == queues.len(), "{quarantined:?}");
    let manifest = account.app.manifest();
    let consumers: BTreeSet<&str> = manifest.queues.iter().map(|it| it.consumer.as_str()).collect();
    let found: BTreeSet<&str> = quarantined.iter().map(|it| it.consumer.as_str()).collect();
    ensure!(found == consumers, "kept for {found:?}, not for {consumers:?}");
    ends(function).await
}

async fn watch(account: &Account, binary: &str) -> anyhow::Result<()> {
    let mut function = account.start(binary, "watch").await?;
    let answer = function.invoke(delivery::scheduled()).await?;
    ensure!(answer.as_ref().is_ok_and(|it| it["entries"] == 0), "{answer:?}");
    account.goes_away(true);
    let error = function
        .invoke(delivery::scheduled())
        .await?
        .err()
        .context("what it can't read, it can't measure")?;
    ensure!(error["errorType"].is_string() && error["errorMessage"].is_string(), "{error}");
    account.goes_away(false);
    let ended = function.terminate().await?;
    ensure!(ended.log.contains("\"QuarantineEntries\""), "nothing was measured: {}", ended.log);
    Ok(())
}

async fn subgraph(account: &Account, binary: &str) -> anyhow::Result<()> {
    let mut told: Option<String> = None;
    let mut function = account.start(binary, "subgraph").await?;
    for door in DOORS {
        let ask = json!({ "query": "{ _service { sdl } }" }).to_string();
        for base64 in [false, true] {
            let request = Request { base64, ..Request::graphql(&ask) };
            let (status, body) = http(&mut function, &request.payload(door)).await?;
            ensure!(status == 200 && body.contains("\"sdl\":\""), "{door:?}: {status} {body}");
            let first = told.get_or_insert_with(|| body.clone());
            ensure!(*first == body, "{door:?} is told something else than the door before");
        }
        let request = Request {
            method: "GET",
            query: &[("query", "query It { __typename }"), ("operationName", "It")],
            headers: &[("accept", "application/graphql-response+json"), ("x-correlation-id", "order-17")],
            ..Request::graphql("")
        };
        let answer = function.invoke(request.payload(door)).await?;
        let answer = answer.map_err(|error| anyhow::anyhow!("{door:?}: {error}"))?;
        let (status, body) = answered(&answer).context("an answer")?;
        ensure!(status == 200 && body.contains(r#""__typename":"Query""#), "{door:?}: {status} {body}");
        let headers = format!("{}{}", answer["headers"], answer["multiValueHeaders"]);
        ensure!(headers.contains("order-17"), "{door:?} lost the correlation: {headers}");

        // A document by its hash: not known, told once, then known, whatever the door.
        let document = format!("query Hashed {{ __typename }} # {door:?}");
        let persisted =
            json!({ "persistedQuery": { "version": 1, "sha256Hash": documents::sha256(&document) } });
        let told = json!({ "query": document, "extensions": persisted }).to_string();
        let extensions = persisted.to_string();
        let named =
            Request { method: "GET", query: &[("extensions", extensions.as_str())], ..Request::graphql("") };
        let (status, body) = http(&mut function, &named.payload(door)).await?;
        ensure!(status == 200 && body.contains("PersistedQueryNotFound"), "{door:?}: {status} {body}");
        for request in [Request::graphql(&told), named] {
            let (status, body) = http(&mut function, &request.payload(door)).await?;
            ensure!(status == 200 && body.contains(r#""__typename":"Query""#), "{door:?}: {status} {body}");
        }

        // What one request brought is not known to the next.
        let (status, body) = http(&mut function, &Request::graphql("{").payload(door)).await?;
        ensure!(status == 400 && body.contains("errors"), "{door:?}: {status} {body}");
        let plain = function.invoke(Request::graphql(&ask).payload(door)).await?;
        ensure!(!format!("{plain:?}").contains("order-17"), "{door:?}: a correlation outlived its request");
    }
    ends(function).await
}

async fn http(function: &mut Function, payload: &str) -> anyhow::Result<(u64, String)> {
    let answer = function.invoke(payload).await?.map_err(|error| anyhow::anyhow!("it failed: {error}"))?;
    answered(&answer).with_context(|| format!("no answer to HTTP: {answer}"))
}
