//! A micrograph in its environment: what runs, on Lambda and in the local suite alike.

use crate::commands::Commands;
use crate::declaration::Micrograph;
use crate::environment::Environment;
use crate::manifest::{Manifest, Queue};
use crate::publisher::Publisher;
use crate::subgraph::Subgraph;
use projection::Table;
use projection::consumer::{ConsumeError, Consumer};
use projection::dynamodb::{CreateTableError, DynamoStore, create_table};
use projection::quarantine::{DynamoQuarantine, Standing, dead_letters};
use projection::store::StoreError;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use telemetry::metrics;
use tokio::time::Instant;

/// A micrograph that can be invoked. Each role is built when it is first asked for, so that a function of one role
/// pays for that role only.
pub struct App {
    micrograph: Micrograph,
    environment: Environment,
    consumers: BTreeMap<&'static str, OnceLock<Consumer>>,
    commands: OnceLock<Commands>,
    publisher: OnceLock<Publisher>,
    subgraph: OnceLock<Option<Subgraph>>,
}

/// Why an invocation failed as a whole.
#[derive(Debug, thiserror::Error)]
pub enum InvokeError {
    /// The micrograph has no such handler.
    #[error("{micrograph} has no handler `{handler}`; it has {known:?}")]
    UnknownHandler {
        /// The micrograph.
        micrograph: &'static str,
        /// What was asked for.
        handler: String,
        /// The handlers that it has, the subgraph's HTTP handler aside.
        known: Vec<String>,
    },
    /// The payload can't be taken apart, or what was handed over alone could not be dealt with for now.
    #[error(transparent)]
    Consume(#[from] ConsumeError),
    /// The quarantine can't be measured for now.
    #[error("the quarantine can't be measured")]
    Watch(#[from] StoreError),
}

impl App {
    /// Puts a micrograph into its environment.
    pub fn new(micrograph: Micrograph, environment: Environment) -> Arc<Self> {
        let consumers = micrograph.projections().map(|it| (it.name(), OnceLock::new())).collect();
        Arc::new(Self {
            micrograph,
            environment,
            consumers,
            commands: OnceLock::new(),
            publisher: OnceLock::new(),
            subgraph: OnceLock::new(),
        })
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        self.micrograph.name
    }

    /// What it runs in.
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// What it needs of its surroundings.
    pub fn manifest(&self) -> Manifest {
        Manifest::of(&self.micrograph)
    }

    /// Handles an invocation, by the handler's name: `consumer.<projection>`, `commands`, `outbox`, `dead-letters` or
    /// `watch`.
    pub async fn invoke(
        &self,
        handler: &str,
        payload: &[u8],
        deadline: Option<Instant>,
    ) -> Result<Value, InvokeError> {
        if let Some(projection) = handler.strip_prefix("consumer.")
            && let Some(consumer) = self.consumer(projection)
        {
            return Ok(Box::pin(consumer.handle(payload, deadline)).await?);
        }
        match handler {
            "commands" if !self.micrograph.decides.is_empty() => {
                Ok(Box::pin(self.commands().handle(payload, deadline)).await?)
            }
            "dead-letters" if !self.manifest().queues.is_empty() => {
                let queues = self.manifest().queues;
                let consumer = |name: &str| gave_up(&queues, name);
                Ok(Box::pin(dead_letters::drain(&self.quarantine(), payload, consumer)).await?)
            }
            "watch" => Ok(serde_json::to_value(Box::pin(self.watch()).await?).unwrap_or_default()),
            "outbox" if !self.micrograph.owns.is_empty() => Ok(self.publisher().handle(payload).await?),
            _ => Err(InvokeError::UnknownHandler {
                micrograph: self.name(),
                handler: handler.to_owned(),
                known: self.manifest().functions.into_iter().map(|function| function.handler).collect(),
            }),
        }
    }

    /// Measures how the quarantine stands.
    async fn watch(&self) -> Result<Standing, StoreError> {
        let standing = self.quarantine().standing().await?;
        let oldest = standing.oldest.as_ref().and_then(|at| at.parse::<jiff::Timestamp>().ok());
        let age = oldest.map_or(0, |at| (self.environment.clock)().duration_since(at).as_secs().max(0));
        let dimensions = [("Micrograph", self.name())];
        #[expect(clippy::cast_precision_loss, reason = "counts and ages stay far below 2^53")]
        for (metric, value) in
            [(metrics::QUARANTINE_ENTRIES, standing.entries as f64), (metrics::QUARANTINE_AGE, age as f64)]
        {
            metrics::histogram(metric, value, &dimensions);
        }
        if standing.entries > 0 {
            let (micrograph, entries) = (self.name(), standing.entries);
            tracing::warn!(micrograph, entries, oldest_seconds = age, "messages stand in the quarantine");
        }
        Ok(standing)
    }

    /// The consumer of a projection.
    pub fn consumer(&self, projection: &str) -> Option<&Consumer> {
        let declared = self.micrograph.projections().find(|it| it.name() == projection)?;
        let build = || {
            let environment = &self.environment;
            let store = DynamoStore::new(environment.dynamodb.clone(), environment.clock);
            Consumer::new(
                self.name(),
                declared.clone(),
                environment.table(&declared.table(self.name()).name),
                Arc::new(store),
                Arc::new(self.quarantine()),
                environment.clock,
            )
        };
        Some(self.consumers.get(projection)?.get_or_init(build))
    }

    /// Decides commands.
    pub fn commands(&self) -> &Commands {
        self.commands.get_or_init(|| Commands::new(&self.micrograph, &self.environment))
    }

    fn publisher(&self) -> &Publisher {
        let build = || Publisher::new(self.environment.eventbridge.clone(), &self.environment.bus);
        self.publisher.get_or_init(build)
    }

    /// Its subgraph, if it serves one.
    pub fn subgraph(self: &Arc<Self>) -> Option<&Subgraph> {
        self.subgraph.get_or_init(|| self.micrograph.serves.map(|serve| serve(self))).as_ref()
    }

    /// The quarantine of all its consumers and commands.
    pub fn quarantine(&self) -> DynamoQuarantine {
        let table = self.environment.table(&self.micrograph.quarantine_table().name);
        let Environment { dynamodb, build, clock, .. } = &self.environment;
        DynamoQuarantine::new(dynamodb.clone(), table, build, *clock)
    }

    /// Reads a projection of its own.
    ///
    /// # Panics
    /// Where the micrograph declares no projection of that name: a mistake in its code.
    pub fn reader(&self, projection: &str) -> federation::Reader {
        let declared = self.micrograph.projections().find(|it| it.name() == projection);
        let table =
            declared.expect("a subgraph reads projections that its micrograph declares").table(self.name());
        federation::Reader::new(self.environment.dynamodb.clone(), self.environment.table(&table.name))
    }

    /// Creates its tables where they don't exist: for the local suite and for tests; on AWS a stack does it.
    pub async fn create_tables(&self) -> Result<(), CreateTableError> {
        for table in self.tables() {
            create_table(&self.environment.dynamodb, &self.environment.table(&table.name), &table).await?;
        }
        Ok(())
    }

    fn tables(&self) -> Vec<Table> {
        self.manifest().tables
    }
}

/// Who gave up the messages of a dead-letter queue, and after how many deliveries; its name may have a prefix.
fn gave_up(queues: &[Queue], name: &str) -> (String, Option<u32>) {
    let of_queue = queues.iter().filter(|queue| name.ends_with(&queue.dead_letter_queue));
    let Some(queue) = of_queue.max_by_key(|queue| queue.dead_letter_queue.len()) else {
        return (if name.is_empty() { "unknown".to_owned() } else { name.to_owned() }, None);
    };
    (queue.consumer.clone(), Some(queue.max_receive_count))
}
