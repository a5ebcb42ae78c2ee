//! A micrograph in a test: its real handlers over the embedded DynamoDB, with what carries its events taken along.

use crate::delivery;
use anyhow::{Context as _, ensure};
use bytes::Bytes;
use contracts::{Command, CommandEnvelope};
use embedded::dynamodb::DynamoDb;
use futures::StreamExt;
use futures::stream::BoxStream;
use jiff::Timestamp;
use micrograph::{App, Environment, Micrograph};
use projection::delivery::take_apart;
use projection::dynamodb::Unasked;
use projection::quarantine::{Entry, Filter};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The time of every fixture.
const CLOCK: fn() -> Timestamp = || Timestamp::constant(1_300_000_000, 0);

/// A micrograph that handles commands and events, and answers queries, as it does on Lambda.
///
/// What it publishes reaches its own consumers with [`Fixture::settle`], which every query does first.
pub struct Fixture {
    app: Arc<App>,
    dynamodb: DynamoDb,
}

impl Fixture {
    /// Puts a micrograph into an environment of its own and creates its tables.
    pub async fn new(micrograph: Micrograph) -> anyhow::Result<Self> {
        let dynamodb = DynamoDb::in_memory()?;
        let unreachable = aws_sdk_eventbridge::Config::builder()
            .behavior_version(aws_sdk_eventbridge::config::BehaviorVersion::latest())
            .region(aws_sdk_eventbridge::config::Region::new("eu-west-1"))
            .build();
        let environment = Environment {
            dynamodb: dynamodb.client(),
            relational: Some(Arc::new(Unasked::new(dynamodb.client(), CLOCK))),
            eventbridge: aws_sdk_eventbridge::Client::from_conf(unreachable),
            bus: "default".to_owned(),
            region: "eu-west-1".to_owned(),
            regions: None,
            table_prefix: String::new(),
            build: "test".to_owned(),
            clock: CLOCK,
            edge: micrograph::Edge::default(),
            changes: Some(micrograph::Changes::default()),
        };
        let app = App::new(micrograph, environment);
        app.create_tables().await?;
        Ok(Self { app, dynamodb })
    }

    /// The micrograph.
    pub fn app(&self) -> &Arc<App> {
        &self.app
    }

    /// Delivers a command by the queue of commands. What the rules refuse is in the quarantine then.
    pub async fn command<C: Command>(&self, id: &str, time: &str, data: C) -> anyhow::Result<()> {
        let envelope = CommandEnvelope::new(id, time.parse()?, data);
        let answer = self.deliver("commands", &[serde_json::to_string(&envelope)?]).await?;
        ensure!(answer == json!({ "batchItemFailures": [] }), "the command waits: {answer}");
        Ok(())
    }

    /// Delivers events, each an envelope, to every consumer; what a consumer doesn't fold it passes over.
    pub async fn publish(&self, events: &[Value]) -> anyhow::Result<()> {
        let bodies: Vec<String> = events.iter().map(Value::to_string).collect();
        for function in self.app.manifest().functions {
            if function.handler.starts_with("consumer.") {
                let answer = self.deliver(&function.handler, &bodies).await?;
                ensure!(answer == json!({ "batchItemFailures": [] }), "{}: {answer}", function.handler);
            }
        }
        Ok(())
    }

    async fn deliver(&self, handler: &str, bodies: &[String]) -> anyhow::Result<Value> {
        let payload = delivery::sqs(bodies.iter().map(String::as_str));
        Ok(self.app.invoke(handler, payload.as_bytes(), None).await?)
    }

    /// Carries what was published to the micrograph's own consumers, until its streams are empty. Gives the events.
    pub async fn settle(&self) -> anyhow::Result<Vec<Value>> {
        let mut published = Vec::new();
        for table in self.dynamodb.streams() {
            while let Some(batch) = self.dynamodb.stream_batch(&table, 100)? {
                let payload = batch.payload().clone();
                let events = take_apart(&payload)?.messages.into_iter();
                let events: Vec<Value> =
                    events.map(|message| serde_json::from_str(&message.body)).collect::<Result<_, _>>()?;
                self.publish(&events).await?;
                self.dynamodb.ack(&batch)?;
                published.extend(events);
            }
        }
        Ok(published)
    }

    /// Settles, then runs an operation in the subgraph; gives the whole response.
    pub async fn query(&self, query: &str, variables: Value) -> anyhow::Result<Value> {
        self.settle().await?;
        self.query_unsettled(query, variables).await
    }

    /// Runs an operation in the subgraph as things stand; gives the whole response.
    pub async fn query_unsettled(&self, query: &str, variables: Value) -> anyhow::Result<Value> {
        let body = json!({ "query": query, "variables": variables }).to_string();
        let request = http::Request::post("/graphql")
            .header("content-type", "application/json")
            .body(Bytes::from(body))?;
        let subgraph = self.app.subgraph().context("the micrograph serves no subgraph")?;
        Ok(serde_json::from_slice(&(subgraph.serve)(request).await.into_body())?)
    }

    /// Opens a subscription in the subgraph.
    pub async fn subscribe(&self, query: &str, variables: Value) -> anyhow::Result<Heard> {
        let body = json!({ "query": query, "variables": variables }).to_string();
        let request = http::Request::post("/graphql")
            .header("content-type", "application/json")
            .body(Bytes::from(body))?;
        let subgraph = self.app.subgraph().context("the micrograph serves no subgraph")?;
        Ok(Heard((subgraph.subscribe)(request).await))
    }

    /// Resolves representations of entities with a selection, as a gateway does; gives `data._entities`.
    pub async fn entities(&self, representations: Value, selection: &str) -> anyhow::Result<Value> {
        let query = format!(
            "query ($representations: [_Any!]!) {{ _entities(representations: $representations) {selection} }}"
        );
        let mut answer = self.query(&query, json!({ "representations": representations })).await?;
        ensure!(answer.get("errors").is_none(), "{answer}");
        Ok(answer["data"]["_entities"].take())
    }

    /// What is in the quarantine; the first thousand entries.
    pub async fn quarantined(&self) -> anyhow::Result<Vec<Entry>> {
        Ok(self.app.quarantine().list(&Filter::default(), None, 1_000).await?.entries)
    }
}

/// What a subscription hears.
pub struct Heard(BoxStream<'static, http::Response<Bytes>>);

impl Heard {
    /// The next event's whole response; fails where none comes within a minute.
    pub async fn next(&mut self) -> anyhow::Result<Value> {
        let next = tokio::time::timeout(Duration::from_mins(1), self.0.next());
        let event = next.await.context("nothing is heard")?.context("the subscription is over")?;
        Ok(serde_json::from_slice(event.body())?)
    }
}

/// Fails where `schema.graphql` in a service's folder isn't the schema that its code serves; with the variable
/// `UPDATE_SCHEMA` set, writes it.
pub async fn schema_is_committed(micrograph: Micrograph, folder: &str) -> anyhow::Result<()> {
    let fixture = Fixture::new(micrograph).await?;
    let sdl = &fixture.app.subgraph().context("the micrograph serves no subgraph")?.sdl;
    let path = Path::new(folder).join("schema.graphql");
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(&path, sdl)?;
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    let hint = "run its tests with UPDATE_SCHEMA=1 and review the difference";
    ensure!(committed == *sdl, "{} is not what the code serves: {hint}", path.display());
    Ok(())
}
