//! A micrograph in its environment: what runs, on Lambda and in the local suite alike.

use crate::commands::Commands;
use crate::declaration::Micrograph;
use crate::edge::{Announcer, Marks, Told};
use crate::environment::Environment;
use crate::generations::Read;
use crate::manifest::{Manifest, Queue, Replication};
use crate::publisher::{PublishError, Publisher};
use crate::rebuild::role::AskError;
use crate::regions::{Book, Handed, Homes, Regions, Replicas};
use crate::snapshots::Owned;
use crate::subgraph::Subgraph;
use projection::Table;
use projection::consumer::{ConsumeError, Consumer};
use projection::dynamodb::{CreateTableError, create_table};
use projection::quarantine::{DynamoQuarantine, Standing, dead_letters};
use projection::store::StoreError;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use telemetry::metrics;
use tokio::sync::OnceCell;
use tokio::time::Instant;

/// A micrograph that can be invoked. Each role is built when it is first asked for, so that a function of one role
/// pays for that role only.
pub struct App {
    micrograph: Micrograph,
    environment: Environment,
    consumers: Mutex<BTreeMap<String, Arc<Consumer>>>,
    commands: OnceLock<Commands>,
    publisher: OnceLock<Publisher>,
    replicas: OnceLock<Option<Replicas>>,
    homes: Option<Arc<Book>>,
    subgraph: OnceLock<Option<Subgraph>>,
    adopted: OnceCell<()>,
}

/// What somebody invokes the role `watch` with to take over from a region.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Move {
    move_homes: Moved,
}

#[derive(Deserialize)]
struct Moved {
    from: String,
    to: String,
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
    /// A region was named that isn't one of the deployment's.
    #[error("{region} is no region of this deployment; it has {known:?}")]
    UnknownRegion {
        /// What was named.
        region: String,
        /// The regions.
        known: Vec<String>,
    },
    /// The bus did not take what the other regions are told.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// What was asked of the generations was not done.
    #[error(transparent)]
    Generations(#[from] AskError),
    /// What the invocation stands on could not be read or written for now.
    #[error("what the invocation stands on can't be read or written for now")]
    Store(#[from] StoreError),
}

/// Why a micrograph's tables could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetUpError {
    /// A table could not be created.
    #[error(transparent)]
    Table(#[from] CreateTableError),
    /// A relational table could not be created, or it could not be noted which generations are read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl App {
    /// What it declares.
    pub(crate) fn micrograph(&self) -> &Micrograph {
        &self.micrograph
    }

    /// Puts a micrograph into its environment.
    pub fn new(micrograph: Micrograph, environment: Environment) -> Arc<Self> {
        let homes = environment.regions.as_ref().filter(|_| !micrograph.owns.is_empty()).map(|regions| {
            let table = environment.table(&micrograph.homes_table().name);
            Arc::new(Book::new(environment.dynamodb.clone(), table, regions.first.clone()))
        });
        Arc::new(Self {
            homes,
            replicas: OnceLock::new(),
            micrograph,
            environment,
            consumers: Mutex::default(),
            adopted: OnceCell::new(),
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

    /// What it needs of its surroundings whatever the generations of its projections.
    pub fn lasting(&self) -> Manifest {
        Manifest::lasting(&self.micrograph)
    }

    /// Handles an invocation, by the handler's name: `consumer.<projection>-<generation>`, `commands`, `outbox`,
    /// `dead-letters`, `replicas` or `watch`.
    pub async fn invoke(
        &self,
        handler: &str,
        payload: &[u8],
        deadline: Option<Instant>,
    ) -> Result<Value, InvokeError> {
        if let Some(consumer) = self.consumer(handler) {
            Box::pin(self.adopted.get_or_try_init(|| self.prepare(handler))).await?;
            return Ok(Box::pin(consumer.handle(payload, deadline)).await?);
        }
        match handler {
            "commands" if !self.micrograph.decides.is_empty() => {
                if let Ok(Handed { decide }) = serde_json::from_slice(payload) {
                    return Ok(Box::pin(self.commands().decide(decide.get())).await);
                }
                Ok(Box::pin(self.commands().handle(payload, deadline)).await?)
            }
            "dead-letters" => {
                let queues = self.manifest().queues;
                let consumer = |name: &str| gave_up(self.name(), &queues, name);
                Ok(Box::pin(dead_letters::drain(&self.quarantine(), payload, consumer)).await?)
            }
            "watch" => {
                if let Ok(Move { move_homes: Moved { from, to } }) = serde_json::from_slice(payload) {
                    return Box::pin(self.take_over(&from, &to)).await;
                }
                Ok(serde_json::to_value(Box::pin(self.watch()).await?).unwrap_or_default())
            }
            "replicas" if self.homes.is_some() => match self.replicas() {
                Some(replicas) => Ok(Box::pin(replicas.handle(payload, deadline)).await?),
                None => Ok(Value::Null),
            },
            "outbox" if !self.micrograph.owns.is_empty() => Ok(self.publisher().handle(payload).await?),
            _ => Err(InvokeError::UnknownHandler {
                micrograph: self.name(),
                handler: handler.to_owned(),
                known: self.manifest().functions.into_iter().map(|function| function.handler).collect(),
            }),
        }
    }

    /// What must be there before a consumer's first event: an alias, and where it is relational its table, which no stack
    /// makes.
    async fn prepare(&self, handler: &str) -> Result<(), StoreError> {
        self.adopt().await?;
        let fed = self.micrograph.consumer(handler).filter(|(folds, _)| folds.is_relational());
        if let Some((folds, generation)) = fed {
            let table = folds.table(self.name(), generation);
            self.relational().create_table(&self.environment.table(&table.name), &table).await?;
        }
        Ok(())
    }

    /// Moves homes for somebody who says so, and tells how many shards are at home in each of the two.
    async fn take_over(&self, from: &str, to: &str) -> Result<Value, InvokeError> {
        let known = self.environment.regions.iter().flat_map(|it| &it.all).cloned().collect::<Vec<_>>();
        if let Some(region) = [from, to].into_iter().find(|it| !known.iter().any(|known| known == it)) {
            return Err(InvokeError::UnknownRegion { region: region.to_owned(), known });
        }
        let homes = self.move_homes(from, to).await?;
        let at = |region: &str| homes.as_ref().map_or(0, |homes| homes.at(region).0);
        Ok(json!({ "shards": { from: at(from), to: at(to) } }))
    }

    /// Measures how the quarantine stands, and tells the other regions where aggregates are at home.
    async fn watch(&self) -> Result<Standing, InvokeError> {
        self.tell_homes().await?;
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

    /// The consumer behind a handler's name, `consumer.<projection>-<generation>`.
    ///
    /// It is given a store, a quarantine, what reads the micrograph's own aggregates, and ears for what changed and how
    /// far it is: no generation, whether it is read or only built, has the means to publish an event or to send a command.
    pub fn consumer(&self, handler: &str) -> Option<Arc<Consumer>> {
        let mut consumers = self.consumers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(consumer) = consumers.get(handler) {
            return Some(Arc::clone(consumer));
        }
        let (folds, generation) = self.micrograph.consumer(handler)?;
        let environment = &self.environment;
        let consumer = Consumer::new(
            self.name(),
            folds.clone(),
            environment.table(&generation.name(self.name(), folds.name())),
            self.store(folds.is_relational()),
            Arc::new(self.quarantine()),
            environment.clock,
        )
        .snapshots(Arc::new(Owned::by(self)));
        let mut consumer = consumer;
        let announcer = || {
            let declared = self.micrograph.projections().find(|it| it.name() == folds.name());
            Announcer {
                client: environment.eventbridge.clone(),
                bus: environment.bus.clone(),
                micrograph: self.name(),
                read: Read::new(self, declared.unwrap_or(folds)),
            }
        };
        let told =
            Told { here: environment.changes.clone(), bus: environment.edge.announces.then(announcer) };
        if told.here.is_some() || told.bus.is_some() {
            consumer = consumer.announcing(Arc::new(told));
        }
        if environment.edge.consistency.is_some() {
            consumer = consumer.marking(Arc::new(self.marks()));
        }
        let consumer = Arc::new(consumer);
        consumers.insert(handler.to_owned(), Arc::clone(&consumer));
        Some(consumer)
    }

    /// How far its projections are with what somebody waits for.
    pub(crate) fn marks(&self) -> Marks {
        let table = self.environment.table(&self.micrograph.generations_table().name);
        Marks { client: self.environment.dynamodb.clone(), table, clock: self.environment.clock }
    }

    /// Decides commands.
    pub fn commands(&self) -> &Commands {
        let build = || Commands::new(&self.micrograph, &self.environment, self.homes.clone());
        self.commands.get_or_init(build)
    }

    fn publisher(&self) -> &Publisher {
        let build = || Publisher::new(&self.micrograph, &self.environment);
        self.publisher.get_or_init(build)
    }

    fn replicas(&self) -> Option<&Replicas> {
        let build = |book: &Arc<Book>| {
            let quarantine = Arc::new(self.quarantine());
            Replicas::new(&self.micrograph, &self.environment, Arc::clone(book), quarantine)
        };
        self.replicas.get_or_init(|| self.homes.as_ref().map(build)).as_ref()
    }

    /// Where its aggregates are at home; none where there is one region only, or it owns nothing.
    pub fn homes(&self) -> Option<&Arc<Book>> {
        self.homes.as_ref()
    }

    /// Makes what is at home in one region at home in another, in a new epoch, and tells the others. To be done where
    /// the new home is, or in any region that is there where the old one isn't. Said again, it tells again.
    pub async fn move_homes(&self, from: &str, to: &str) -> Result<Option<Arc<Homes>>, InvokeError> {
        let Some(book) = &self.homes else { return Ok(None) };
        let homes = book.change(|homes| *homes = homes.moved(from, to)).await?;
        self.publisher().tell_homes(&homes).await?;
        Ok(Some(homes))
    }

    /// Tells the other regions where aggregates are at home, as far as this one knows: a region that was away learns it.
    pub async fn tell_homes(&self) -> Result<(), InvokeError> {
        let Some(book) = &self.homes else { return Ok(()) };
        // What was never moved needs no telling.
        let homes = book.fresh().await?;
        let unmoved =
            self.environment.regions.iter().all(|Regions { first, .. }| *homes == Homes::first(first));
        if unmoved { Ok(()) } else { Ok(self.publisher().tell_homes(&homes).await?) }
    }

    /// What it needs of its surroundings besides, where there are several regions.
    pub fn replication(&self) -> Option<Replication> {
        self.homes.as_ref().and_then(|_| Replication::of(&self.micrograph))
    }

    /// Its subgraph, if it serves one.
    pub fn subgraph(self: &Arc<Self>) -> Option<&Subgraph> {
        let consistency = self.environment.edge.consistency.as_ref();
        let build = |serve: fn(&Arc<Self>) -> Subgraph| serve(self).with_consistency(consistency.cloned());
        self.subgraph.get_or_init(|| self.micrograph.serves.map(build)).as_ref()
    }

    /// The same as entities that can be subscribed to as well, where changes are heard.
    ///
    /// # Panics
    /// The same.
    pub fn heard<V: federation::entity::View>(&self, projection: &str) -> federation::Entities<V> {
        federation::Entities::new(self.reader(projection)).heard(self.environment.changes.clone())
    }

    /// The quarantine of all its consumers and commands.
    pub fn quarantine(&self) -> DynamoQuarantine {
        let table = self.environment.table(&self.micrograph.quarantine_table().name);
        let Environment { dynamodb, build, clock, .. } = &self.environment;
        DynamoQuarantine::new(dynamodb.clone(), table, build, *clock)
    }

    /// Reads a projection of its own, in the generation that is read.
    ///
    /// # Panics
    /// Where the micrograph declares no projection of that name: a mistake in its code.
    pub fn reader(&self, projection: &str) -> federation::Reader {
        let declared = self.micrograph.projections().find(|it| it.name() == projection);
        let declared = declared.expect("a subgraph reads projections that its micrograph declares");
        let alias = Read::new(self, declared);
        federation::Reader::of(self.environment.dynamodb.clone(), Arc::new(alias))
    }

    /// Creates its tables where they don't exist, those of the generations that are fed among them: for the local
    /// suite and for tests; on AWS a stack does it.
    pub async fn create_tables(&self) -> Result<(), SetUpError> {
        for table in self.lasting().tables {
            self.create_table(&table).await?;
        }
        if let Some(replication) = self.replication() {
            self.create_table(&replication.table).await?;
        }
        self.adopt().await?;
        for projection in self.micrograph.projections() {
            for parts in self.fed(projection.name()).await? {
                self.create_table(&parts.table).await?;
            }
        }
        Ok(())
    }

    /// Creates a table where it doesn't exist.
    pub async fn create_table(&self, table: &Table) -> Result<(), SetUpError> {
        let name = self.environment.table(&table.name);
        if table.relational {
            return Ok(self.relational().create_table(&name, table).await?);
        }
        Ok(create_table(&self.environment.dynamodb, &name, table).await?)
    }
}

/// Who gave up the messages of a dead-letter queue, and after how many deliveries; its name may have a prefix, and be of
/// any generation.
fn gave_up(micrograph: &str, queues: &[Queue], name: &str) -> (String, Option<u32>) {
    let named = |queue: &&Queue| {
        name.ends_with(&queue.dead_letter_queue)
            || name.contains(&format!("{micrograph}-{}-", queue.consumer))
    };
    let Some(queue) = queues.iter().filter(named).max_by_key(|queue| queue.consumer.len()) else {
        return (if name.is_empty() { "unknown".to_owned() } else { name.to_owned() }, None);
    };
    (queue.consumer.clone(), Some(queue.max_receive_count))
}
