//! Several regions in one process: a suite each, with tables, queues and a bus of its own.
//!
//! What passes between them are events: a rule on each bus feeds a queue for each other region with what was published
//! here, and nothing else, so that no event goes further than one hop. A region that is cut off misses nothing: what
//! it is to hear waits in the queues.

use crate::folder::Folder;
use crate::suite::{self, Settings, Suite};
use anyhow::{Context as _, bail};
use async_trait::async_trait;
use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use bytes::Bytes;
use embedded::events::Target as BusTarget;
use embedded::mapping::{Backoff, Deadline, Handler, HandlerError, MappingConfig};
use embedded::{EventSourceMapping, QueueConfig};
use micrograph::regions::{Homes, Relay, RelayError};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::time::Duration;

/// The regions that there can be, in the order in which `--regions` takes them.
pub const NAMES: [&str; 3] = ["eu-west-1", "us-east-1", "ap-southeast-2"];

/// The entries that one call of PutEvents takes.
const ENTRIES: usize = 10;

/// How long what could not be forwarded rests: a region that is back is told soon.
const REST: Backoff = Backoff { first: Duration::from_millis(100), most: Duration::from_secs(1) };

/// A suite's place among the regions.
#[derive(Clone, Debug)]
pub struct Place {
    /// Its region.
    pub own: String,
    /// All regions, in the same order for each.
    pub all: Vec<String>,
    /// What goes between them.
    pub links: Arc<Links>,
}

/// What goes between the regions, and what doesn't.
#[derive(Debug, Default)]
pub struct Links {
    suites: RwLock<BTreeMap<String, Weak<Suite>>>,
    cut: Mutex<BTreeSet<String>>,
}

impl Links {
    /// The suite of another region, as one region reaches it.
    fn reach(&self, from: &str, to: &str) -> Result<Arc<Suite>, RelayError> {
        let unreachable = |source: &str| RelayError { region: to.to_owned(), source: source.into() };
        if let Some(cut) = self.cut().iter().find(|cut| [from, to].contains(&cut.as_str())) {
            return Err(unreachable(&format!("{cut} is cut off")));
        }
        self.suite(to).ok_or_else(|| unreachable("it is not running"))
    }

    /// The suite of a region, for who stands above the regions.
    fn suite(&self, region: &str) -> Option<Arc<Suite>> {
        self.suites.read().unwrap_or_else(PoisonError::into_inner).get(region).and_then(Weak::upgrade)
    }

    /// The regions that are cut off.
    fn cut(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.cut.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, region: &str, suite: &Arc<Suite>) {
        let mut suites = self.suites.write().unwrap_or_else(PoisonError::into_inner);
        suites.insert(region.to_owned(), Arc::downgrade(suite));
    }
}

/// Hands commands from one region to another, as a call of a function there would.
#[derive(Debug)]
pub struct Neighbour(pub Place);

#[async_trait]
impl Relay for Neighbour {
    async fn decide(&self, region: &str, micrograph: &str, command: &str) -> Result<Value, RelayError> {
        let suite = self.0.links.reach(&self.0.own, region)?;
        let Some(app) = suite.apps.get(micrograph) else {
            let source = format!("there is no micrograph {micrograph}").into();
            return Err(RelayError { region: region.to_owned(), source });
        };
        Ok(Box::pin(app.commands().decide(command)).await)
    }
}

/// The queue of what another region is to hear.
fn forward_queue(region: &str) -> String {
    format!("forward-{region}")
}

/// Feeds a queue for each other region with what is published here, and empties it to there.
pub fn start(suite: &Suite, place: &Place) -> anyhow::Result<()> {
    for other in place.all.iter().filter(|it| **it != place.own) {
        let queue = forward_queue(other);
        // It waits for as long as the other region is away: nothing is given up.
        suite.queues.create(QueueConfig::new(&queue))?;
        // The guard against loops: what another region published isn't forwarded from here.
        let pattern = json!({ "source": [{ "prefix": "tributary." }], "detail": { "region": [place.own] } });
        suite.bus.put_rule(&queue, &pattern, vec![BusTarget::queue(&queue)])?;
        let config =
            MappingConfig { batch_size: 100, concurrency: 4, backoff: REST, ..MappingConfig::new(&queue) };
        let (place, to) = (place.clone(), other.clone());
        let handler: Handler = Arc::new(move |payload: Bytes, _: Deadline| {
            let (place, to) = (place.clone(), to.clone());
            Box::pin(async move { forward(&place, &to, &payload).await })
        });
        let mapping = EventSourceMapping::start(suite.queues.clone(), config, handler)?;
        suite.mappings.lock().unwrap_or_else(PoisonError::into_inner).insert(queue, mapping);
    }
    Ok(())
}

#[derive(Deserialize)]
struct Batch {
    #[serde(rename = "Records")]
    records: Vec<Record>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    message_id: String,
    body: String,
}

/// An event as the bus delivers it.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Event {
    source: String,
    detail_type: String,
    detail: Box<serde_json::value::RawValue>,
}

/// Puts events on another region's bus; names those that it did not take.
async fn forward(place: &Place, to: &str, payload: &[u8]) -> Result<Value, HandlerError> {
    let Batch { records } = serde_json::from_slice(payload)?;
    let mut failed: Vec<&str> = Vec::new();
    for chunk in records.chunks(ENTRIES) {
        let Ok(suite) = place.links.reach(&place.own, to) else {
            failed.extend(chunk.iter().map(|record| record.message_id.as_str()));
            continue;
        };
        let mut entries = Vec::with_capacity(chunk.len());
        for record in chunk {
            let Event { source, detail_type, detail } = serde_json::from_str(&record.body)?;
            let entry = PutEventsRequestEntry::builder().event_bus_name(suite.bus.name()).source(source);
            entries.push(entry.detail_type(detail_type).detail(detail.get()).build());
        }
        let answer = suite.bus.client().put_events().set_entries(Some(entries)).send().await?;
        for (position, record) in chunk.iter().enumerate() {
            if answer.entries().get(position).is_none_or(|it| it.error_code().is_some()) {
                failed.push(&record.message_id);
            }
        }
    }
    let failures: Vec<Value> = failed.iter().map(|id| json!({ "itemIdentifier": id })).collect();
    Ok(json!({ "batchItemFailures": failures }))
}

/// The suites of all regions.
pub struct Regions {
    /// One for each region, in their order.
    pub suites: Vec<Arc<Suite>>,
}

impl Regions {
    /// Starts a suite for each of the first `count` regions, each in a folder of its own within the state's, if any.
    pub async fn start(folders: &[Option<&Folder>], settings: &Settings) -> anyhow::Result<Self> {
        let all: Vec<String> = NAMES.iter().take(folders.len()).map(|&name| name.to_owned()).collect();
        let links = Arc::new(Links::default());
        let mut suites = Vec::new();
        for (own, folder) in all.iter().zip(folders) {
            let place = Place { own: own.clone(), all: all.clone(), links: Arc::clone(&links) };
            let settings = Settings { place: Some(place), ..settings.clone() };
            let suite = Suite::start(*folder, settings).await.with_context(|| format!("the region {own}"))?;
            suites.push(Arc::new(suite));
        }
        for (region, suite) in all.iter().zip(&suites) {
            links.add(region, suite);
        }
        // A region that was away may have missed where aggregates are at home.
        for app in suites.iter().flat_map(|suite| suite.apps.values()) {
            app.tell_homes().await?;
        }
        Ok(Self { suites })
    }

    /// Waits until there is nothing left to do in any region; with one that is cut off there always is.
    pub async fn drained(&self) -> anyhow::Result<()> {
        let suites: Vec<&Suite> = self.suites.iter().map(|suite| &**suite).collect();
        suite::drained(&suites).await
    }

    /// Finishes what is under way in each.
    ///
    /// # Panics
    /// Where somebody else has one of the suites still.
    pub async fn stop(self) {
        for suite in self.suites {
            Arc::into_inner(suite).expect("nobody else has the suite").stop().await;
        }
    }
}

/// What is asked about regions.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Ask {
    /// How they stand.
    List,
    /// Cuts a region off from the others.
    Cut(String),
    /// Lets it hear the others again, and be heard.
    Heal(String),
    /// Makes what is at home in one region at home in another.
    FailOver {
        /// The one.
        from: String,
        /// The other.
        to: String,
    },
}

/// How a region stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The region.
    pub region: String,
    /// Whether it is cut off.
    pub cut: bool,
    /// Of how many shards of all micrographs it takes itself for the home.
    pub shards: usize,
    /// The latest epoch of these.
    pub epoch: u16,
    /// Events that wait to be forwarded from it, by region.
    pub waiting: BTreeMap<String, usize>,
}

/// Answers, in the process of all regions.
pub async fn answer(suite: &Suite, ask: Ask) -> anyhow::Result<Vec<Standing>> {
    let Some(place) = &suite.place else {
        bail!("there is one region only: serve with --regions 2, and ask again")
    };
    let known = |region: &str| {
        if place.all.iter().any(|it| it == region) {
            return Ok(());
        }
        bail!("there is no region `{region}`: there are {}", place.all.join(", "))
    };
    match ask {
        Ask::List => {}
        Ask::Cut(region) => {
            known(&region)?;
            place.links.cut().insert(region);
        }
        Ask::Heal(region) => {
            known(&region)?;
            place.links.cut().remove(&region);
        }
        Ask::FailOver { from, to } => {
            known(&from)?;
            known(&to)?;
            if from == to {
                bail!("{from} can't take over from itself");
            }
            let taker = place.links.suite(&to).with_context(|| format!("{to} is not running"))?;
            for app in taker.apps.values() {
                app.move_homes(&from, &to).await?;
            }
        }
    }
    let mut standings = Vec::new();
    for region in &place.all {
        let Some(suite) = place.links.suite(region) else { continue };
        standings.push(standing(region, &suite, place).await?);
    }
    Ok(standings)
}

async fn standing(region: &str, suite: &Suite, place: &Place) -> anyhow::Result<Standing> {
    let (mut shards, mut epoch) = (0, 0);
    for book in suite.apps.values().filter_map(|app| app.homes()) {
        let homes: Arc<Homes> = book.fresh().await?;
        let at = homes.at(region);
        (shards, epoch) = (shards + at.0, epoch.max(at.1));
    }
    let others = place.all.iter().filter(|it| *it != region);
    let waiting = others.map(|other| Ok((other.clone(), suite.queues.depth(&forward_queue(other))?.total())));
    let waiting = waiting.collect::<anyhow::Result<_>>()?;
    let cut = place.links.cut().contains(region);
    Ok(Standing { region: region.to_owned(), cut, shards, epoch, waiting })
}
