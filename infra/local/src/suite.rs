//! The suite: every micrograph, its tables, its queues, the bus between them.

use crate::folder::Folder;
use crate::regions::{self, Neighbour, Place};
use crate::tally::Tally;
use crate::{archiving, purging, wiring};
use anyhow::Context as _;
use archive::Archive;
use embedded::queue::{Chaos, Outgoing};
use embedded::{Durability, DynamoDb, EventBus, EventSourceMapping, QueueSettings, Queues, Topics};
use gateway::Gateway;
use gateway::transport::InProcess;
use micrograph::{App, Changes, Edge, Environment};
use projection::store::Relational;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The name of the local bus.
const BUS: &str = "tributary";

/// The region that stands in local envelopes.
const REGION: &str = "local";

/// How the suite is kept and run.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// What an acknowledged write survives.
    pub durability: Durability,
    /// Disorder on the queues.
    pub chaos: Chaos,
    /// Its place among several regions; none where it is the only one.
    pub place: Option<Place>,
    /// What is done for caches, and for who reads what they wrote.
    pub edge: Edge,
    /// Holds relational projections, and brings the micrographs that need it; none leaves them out.
    pub relational: Option<Arc<dyn Relational>>,
}

/// The suite, at work until it is stopped.
pub struct Suite {
    /// Its micrographs, by name.
    pub apps: BTreeMap<&'static str, Arc<App>>,
    /// Its queues.
    pub queues: Queues,
    /// Its bus.
    pub bus: EventBus,
    /// Every event there was.
    pub archive: Archive,
    /// What it did so far.
    pub tally: Arc<Tally>,
    /// Its place among several regions.
    pub place: Option<Place>,
    /// Who subscribed to what.
    pub changes: Changes,
    databases: BTreeMap<&'static str, DynamoDb>,
    pub(crate) topics: Topics,
    pub(crate) mappings: Mutex<BTreeMap<String, EventSourceMapping>>,
    pumps: Vec<JoinHandle<()>>,
    stop: watch::Sender<bool>,
}

impl Suite {
    /// Opens the state in a folder, or none, and puts everything to work.
    pub async fn start(folder: Option<&Folder>, settings: Settings) -> anyhow::Result<Self> {
        if let Some(folder) = folder {
            let regions = settings.place.as_ref().map_or(1, |place| place.all.len());
            folder.settle(u16::try_from(regions)?)?;
        }
        let queue_settings = QueueSettings {
            durability: settings.durability,
            chaos: settings.chaos,
            ..QueueSettings::default()
        };
        let queues = match folder {
            None => Queues::in_memory(queue_settings)?,
            Some(folder) => Queues::open(&folder.file("queues.db"), queue_settings)?,
        };
        let topics = Topics::new(queues.clone());
        let bus = EventBus::new(BUS, queues.clone(), topics.clone());
        let changes = Changes::default();
        let mut apps = BTreeMap::new();
        let mut databases = BTreeMap::new();
        let relational = settings.relational.iter().flat_map(|_| crate::shop::relational());
        let all = crate::shop::micrographs().into_iter().chain(relational);
        for micrograph in all.chain([archivist::micrograph()]) {
            let name = micrograph.name();
            // A bounded context has its own database, as it has its own tables on AWS.
            let dynamodb = match folder {
                None => DynamoDb::in_memory()?,
                Some(folder) => {
                    DynamoDb::open_with(&folder.file(&format!("{name}.db")), settings.durability)?
                }
            };
            let environment = Environment {
                dynamodb: dynamodb.client(),
                relational: settings.relational.clone(),
                eventbridge: bus.client(),
                bus: BUS.to_owned(),
                region: settings.place.as_ref().map_or_else(|| REGION.to_owned(), |it| it.own.clone()),
                regions: settings.place.clone().map(several),
                table_prefix: String::new(),
                build: env!("CARGO_PKG_VERSION").to_owned(),
                clock: micrograph::environment::now,
                edge: settings.edge.clone(),
                changes: Some(changes.clone()),
            };
            let app = App::new(micrograph, environment);
            app.create_tables().await.with_context(|| format!("the tables of {name}"))?;
            databases.insert(name, dynamodb);
            apps.insert(name, app);
        }
        let (stop, _) = watch::channel(false);
        let mut suite = Self {
            apps,
            queues,
            bus,
            archive: archiving::open(folder, settings.durability)?,
            tally: Arc::default(),
            place: settings.place,
            changes,
            databases,
            topics,
            mappings: Mutex::default(),
            pumps: Vec::new(),
            stop,
        };
        wiring::declare(&suite)?;
        archiving::declare(&suite)?;
        if settings.edge.announces {
            purging::declare(&suite)?;
        }
        if let Some(place) = &suite.place {
            regions::start(&suite, place)?;
        }
        for app in suite.apps.values() {
            for (projection, _) in app.projections() {
                for parts in app.fed(projection).await? {
                    wiring::feed(&suite, app, &parts)?;
                }
            }
        }
        archiving::start(&suite)?;
        // Last, once all who are to hear are subscribed: what the streams held back is published at once.
        suite.pumps = wiring::start(&suite, &suite.stop)?;
        Ok(suite)
    }

    /// The database of a micrograph.
    pub(crate) fn database(&self, micrograph: &str) -> Option<&DynamoDb> {
        self.databases.get(micrograph)
    }

    /// The micrographs' subgraphs: name, address and schema.
    pub fn subgraphs(&self) -> impl Iterator<Item = (&str, String, &str)> {
        self.apps.iter().filter_map(|(name, app)| {
            Some((*name, format!("in-process:{name}"), app.subgraph()?.sdl.as_str()))
        })
    }

    /// Composes the micrographs' subgraphs behind a gateway.
    pub fn gateway(&self, config: gateway::Config) -> anyhow::Result<Gateway> {
        let subgraph = |(name, url, sdl): (&str, String, &str)| gateway::Subgraph {
            name: name.to_owned(),
            url,
            sdl: sdl.to_owned(),
        };
        let subgraphs: Vec<_> = self.subgraphs().map(subgraph).collect();
        let mut transport = InProcess::new();
        for (name, app) in &self.apps {
            if let Some(subgraph) = app.subgraph() {
                transport = transport
                    .with((*name).to_owned(), Arc::clone(&subgraph.serve))
                    .with_subscriber((*name).to_owned(), Arc::clone(&subgraph.subscribe));
            }
        }
        let supergraph = gateway::compose(&subgraphs).context("the subgraphs don't compose")?;
        Ok(Gateway::new(supergraph, Arc::new(transport), config)?)
    }

    /// Sends commands to their micrographs' queues; they are durable there once this returns.
    pub fn send<'a>(&self, commands: impl IntoIterator<Item = CommandRef<'a>>) -> anyhow::Result<()> {
        let outgoing: Vec<(String, Outgoing)> = commands
            .into_iter()
            .map(|command| {
                let message = Outgoing {
                    deduplication_id: Some(command.id.to_owned()),
                    ..Outgoing::new(command.json).in_group(command.subject)
                };
                (wiring::command_queue(command.domain), message)
            })
            .collect();
        self.queues.send_all(&outgoing)?;
        Ok(())
    }

    /// Waits until there is nothing left to do.
    pub async fn drained(&self) -> anyhow::Result<()> {
        drained(&[self]).await
    }

    /// Messages that wait in queues, dead letters aside.
    pub fn waiting(&self) -> usize {
        let depths = self.queues.depths().unwrap_or_default();
        let waiting = depths.iter().filter(|(queue, _)| !queue.contains(wiring::DEAD_LETTERS));
        waiting.map(|(_, depth)| depth.total()).sum()
    }

    /// Messages that were given up on, by queue.
    pub fn dead_letters(&self) -> Vec<(String, usize)> {
        let depths = self.queues.depths().unwrap_or_default().into_iter();
        let dead = depths.filter(|(queue, depth)| queue.contains(wiring::DEAD_LETTERS) && depth.total() > 0);
        dead.map(|(queue, depth)| (queue, depth.total())).collect()
    }

    /// Whether what was given up on is on its way into a quarantine; nobody takes the rest there.
    fn is_burying(&self) -> bool {
        let mappings = self.mappings.lock().unwrap_or_else(PoisonError::into_inner);
        self.dead_letters().iter().any(|(queue, _)| mappings.contains_key(queue))
    }

    /// Finishes what is under way; the rest waits in the queues for the next start.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        let mappings = self.mappings.into_inner().unwrap_or_else(PoisonError::into_inner);
        for mapping in mappings.into_values() {
            mapping.stop().await;
        }
        for pump in self.pumps {
            if let Err(error) = pump.await {
                tracing::error!(%error, "a stream's reader ended in a panic");
            }
        }
    }
}

/// Waits until there is nothing left to do in any of these suites, which may give each other work.
pub async fn drained(suites: &[&Suite]) -> anyhow::Result<()> {
    let queues: Vec<Queues> = suites.iter().map(|suite| suite.queues.clone()).collect();
    let databases: Vec<DynamoDb> =
        suites.iter().flat_map(|suite| suite.databases.values()).cloned().collect();
    loop {
        embedded::idle(&queues, &databases).await?;
        if !suites.iter().any(|suite| suite.is_burying()) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn several(place: Place) -> micrograph::Regions {
    let all = place.all.clone();
    micrograph::Regions { first: all.clone(), all, relay: Some(Arc::new(Neighbour(place))) }
}

/// A command on its way to a queue.
#[derive(Clone, Copy, Debug)]
pub struct CommandRef<'a> {
    /// The micrograph that decides it.
    pub domain: &'a str,
    /// The aggregate: commands of one are carried out in order.
    pub subject: &'a str,
    /// The command's id.
    pub id: &'a str,
    /// Its envelope.
    pub json: &'a str,
}
