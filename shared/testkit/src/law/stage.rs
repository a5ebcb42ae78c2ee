//! Plays a trial: queues, containers, tables and their shadows, in each region, over the stores that are given.

use super::report::{Broke, Happening, History};
use super::schedule::{Batch, Place, Step, Trial, routed};
use super::{Law, Rebuilding};
use crate::content::Content;
use crate::dice::Dice;
use crate::faults::{Faulty, Late};
use crate::log::clock;
use crate::memory::Time;
use crate::model::{Model, with_turn};
use crate::quarantine::Shelf;
use async_trait::async_trait;
use aws_sdk_dynamodb::Client;
use contracts::{Header, Version};
use futures::future::join_all;
use projection::Projection;
use projection::consumer::{ConsumeError, Consumer, Report};
use projection::dynamodb::{create_table, delete_table};
use projection::join::Join;
use projection::store::{Relational, Store};
use projection::table::Table;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A container of a function: what is handed a payload, and is kept from one invocation to the next.
#[async_trait]
pub trait Container: Send + Sync {
    /// Handles one invocation's payload.
    async fn invoke(&self, payload: &[u8]) -> Result<Report, ConsumeError>;
}

#[async_trait]
impl Container for Consumer {
    async fn invoke(&self, payload: &[u8]) -> Result<Report, ConsumeError> {
        self.consume(payload, None).await
    }
}

/// A table with its queue and its containers.
struct Generation {
    table: String,
    containers: [Option<Warm>; 2],
    /// The events that its queue was given.
    given: BTreeSet<usize>,
    /// Those of them that were not acknowledged.
    owed: BTreeSet<usize>,
}

#[derive(Clone)]
struct Warm {
    faulty: Arc<Faulty>,
    container: Arc<dyn Container>,
}

/// Where a rebuild stands.
#[derive(Default)]
struct Rebuild {
    scanned: Option<Vec<usize>>,
    filled: bool,
    swapped: bool,
}

struct Role {
    generations: Vec<Generation>,
    rebuild: Rebuild,
}

struct Region {
    store: Arc<dyn Store>,
    late: Arc<Late>,
    /// The events in the order in which they arrived; the archive.
    archive: Vec<usize>,
    roles: BTreeMap<usize, Role>,
}

/// Where a law is played.
pub(super) struct Ground<'a> {
    pub(super) stores: Vec<Arc<dyn Store>>,
    pub(super) time: Time,
    /// Where tables have to be made, and what their names begin with.
    pub(super) tables: Option<(&'a Tables, String)>,
}

/// What tables are made in.
pub(super) enum Tables {
    DynamoDb(Client),
    Relational(Arc<dyn Relational>),
}

impl Tables {
    async fn create(&self, name: &str, table: &Table) -> Result<(), Broke> {
        match self {
            Self::DynamoDb(client) => {
                create_table(client, name, table).await.map_err(|error| Broke::plain(format!("{error:?}")))
            }
            Self::Relational(store) => {
                store.create_table(name, table).await.map_err(|error| Broke::plain(format!("{error:?}")))
            }
        }
    }

    async fn delete(&self, name: &str) -> Result<(), Broke> {
        let deleted = match self {
            Self::DynamoDb(client) => delete_table(client, name).await,
            Self::Relational(store) => store.delete_table(name).await,
        };
        deleted.map_err(|error| Broke::plain(format!("{error:?}")))
    }
}

/// What was played.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Trials that ended as they should.
    pub trials: usize,
    /// Items that their tables ended with.
    pub items: usize,
    /// Invocations of consumers.
    pub invocations: usize,
    /// Messages that they were handed.
    pub messages: usize,
    /// Calls of the store that went wrong.
    pub faults: usize,
    /// Containers that ended in the middle.
    pub crashes: usize,
    /// Tables that were rebuilt and swapped.
    pub swaps: usize,
}

impl Checked {
    /// Both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            trials: self.trials + other.trials,
            items: self.items + other.items,
            invocations: self.invocations + other.invocations,
            messages: self.messages + other.messages,
            faults: self.faults + other.faults,
            crashes: self.crashes + other.crashes,
            swaps: self.swaps + other.swaps,
        }
    }
}

pub(super) struct Stage<'a> {
    law: &'a Law,
    trial: &'a Trial,
    ground: Ground<'a>,
    shelf: Arc<Shelf>,
    regions: Vec<Region>,
    history: History,
    tables: Vec<String>,
    checked: Checked,
}

impl<'a> Stage<'a> {
    /// Plays a trial.
    pub(super) async fn play(law: &'a Law, trial: &'a Trial, ground: Ground<'a>) -> Result<Checked, Broke> {
        let mut models = BTreeMap::new();
        for consumer in &trial.consumers {
            let model = Model::of(&law.projections[*consumer], trial.log.envelopes());
            models.insert(*consumer, model.map_err(|fault| Broke::plain(fault.to_string()))?.content());
        }
        let mut stage = Self {
            law,
            trial,
            shelf: Arc::new(Shelf::default()),
            regions: Vec::new(),
            history: History::default(),
            ground,
            tables: Vec::new(),
            checked: Checked::default(),
        };
        match stage.run(&models).await {
            Ok(()) => {
                let items = models.values().map(|content| content.0.len()).sum();
                Ok(Checked { trials: 1, items, ..stage.checked })
            }
            Err(broke) => Err(broke.after(stage.history)),
        }
    }

    async fn run(&mut self, models: &BTreeMap<usize, Content>) -> Result<(), Broke> {
        self.set_up().await?;
        let trial = self.trial;
        let mut steps = trial.steps.iter().peekable();
        while let Some(step) = steps.next() {
            for region in &self.regions {
                region.late.arrive(region.store.as_ref()).await;
            }
            self.history.next_step();
            match step {
                Step::Wait { hours } => {
                    self.ground.time.pass(*hours);
                    self.history.tell(Happening::Waited(*hours));
                }
                Step::Subscribe(place) => self.subscribe(*place).await?,
                Step::Backfill(place, seed) => self.backfill(*place, *seed).await?,
                Step::Swap(place) => self.swap(*place).await?,
                Step::Deliver(batch) => {
                    let mut group = vec![batch];
                    while let Some(Step::Deliver(next)) = steps.peek() {
                        let is_other = |it: &&Batch| {
                            (it.place, it.generation, it.container)
                                != (next.place, next.generation, next.container)
                        };
                        if !next.beside || !group.iter().all(is_other) {
                            break;
                        }
                        group.push(next);
                        steps.next();
                    }
                    self.deliver(&group).await?;
                }
            }
        }
        self.finish(models).await?;
        if let Some((tables, _)) = &self.ground.tables {
            for table in &self.tables {
                tables.delete(table).await?;
            }
        }
        Ok(())
    }

    async fn set_up(&mut self) -> Result<(), Broke> {
        for region in 0..self.trial.regions {
            let store = Arc::clone(&self.ground.stores[region]);
            let state =
                Region { store, late: Arc::default(), archive: Vec::new(), roles: BTreeMap::default() };
            self.regions.push(state);
            for consumer in &self.trial.consumers {
                let first = self.generation(Place { region, consumer: *consumer }, 0).await?;
                let role = Role { generations: vec![first], rebuild: Rebuild::default() };
                self.regions[region].roles.insert(*consumer, role);
            }
        }
        Ok(())
    }

    fn projection(&self, consumer: usize) -> &'a Projection {
        &self.law.projections[consumer]
    }

    async fn generation(&mut self, place: Place, generation: usize) -> Result<Generation, Broke> {
        let projection = self.projection(place.consumer);
        let mut table = format!("{}-{}-{generation}", projection.name(), place.consumer);
        if let Some((tables, prefix)) = &self.ground.tables {
            table = format!("{prefix}-{}-{table}", place.region);
            let description = Table { ttl: None, ..projection.table("law", projection.generation()) };
            tables.create(&table, &description).await?;
            self.tables.push(table.clone());
        }
        let (given, owed) = (BTreeSet::new(), BTreeSet::new());
        Ok(Generation { table, containers: [None, None], given, owed })
    }

    fn role(&mut self, place: Place) -> &mut Role {
        self.regions[place.region].roles.get_mut(&place.consumer).expect("each consumer is set up")
    }

    /// An event arrives in a region: in the archive, and in the queues that are subscribed to it.
    fn arrive(&mut self, region: usize, event: usize) {
        if self.regions[region].archive.contains(&event) {
            return;
        }
        self.regions[region].archive.push(event);
        self.history.arrived(region, event);
        let envelope = &self.trial.log.envelopes()[event];
        let text = |name: &str| envelope[name].as_str().unwrap_or_default().to_owned();
        let kind = (text("domain"), text("type"));
        for (consumer, role) in &mut self.regions[region].roles {
            if self.law.consumes[*consumer].contains(&kind) {
                for generation in &mut role.generations {
                    generation.given.insert(event);
                    generation.owed.insert(event);
                }
            }
        }
    }

    async fn subscribe(&mut self, place: Place) -> Result<(), Broke> {
        if self.role(place).generations.len() > 1 || self.role(place).rebuild.scanned.is_some() {
            return Ok(());
        }
        if self.law.rebuilding == Rebuilding::ScanFirst {
            let archive = self.archived(place);
            self.history.tell(Happening::Scanned(place, archive.clone()));
            self.role(place).rebuild.scanned = Some(archive);
            return Ok(());
        }
        self.make_shadow(place).await
    }

    async fn make_shadow(&mut self, place: Place) -> Result<(), Broke> {
        let shadow = self.generation(place, 1).await?;
        self.role(place).generations.push(shadow);
        self.history.tell(Happening::Subscribed(place));
        Ok(())
    }

    /// The events of the archive that a consumer folds.
    fn archived(&self, place: Place) -> Vec<usize> {
        let routed: BTreeSet<usize> =
            routed(&self.trial.log, &self.law.consumes[place.consumer]).into_iter().collect();
        let archive = self.regions[place.region].archive.iter();
        archive.copied().filter(|event| routed.contains(event)).collect()
    }

    /// Replays the archive into the shadow, in any order; what readers see must not change with it.
    async fn backfill(&mut self, place: Place, seed: u64) -> Result<(), Broke> {
        if self.role(place).rebuild.filled {
            return Ok(());
        }
        let mut events = match self.role(place).rebuild.scanned.take() {
            None => self.archived(place),
            Some(scanned) => {
                self.make_shadow(place).await?;
                scanned
            }
        };
        let Some(shadow) = self.role(place).generations.get_mut(1) else { return Ok(()) };
        shadow.given.extend(&events);
        shadow.owed.extend(&events);
        let before = self.content(place, 0).await?;
        Dice::new(seed).shuffle(&mut events);
        self.history.tell(Happening::Filled(place));
        for chunk in events.chunks(5) {
            self.deliver(&[&Batch::calm(place, 1, chunk.iter().copied())]).await?;
        }
        self.role(place).rebuild.filled = true;
        let after = self.content(place, 0).await?;
        if before != after {
            let why = "filling the shadow changed the table that is read";
            return Err(self.differs(why, place, 0, &after, before));
        }
        Ok(())
    }

    /// The shadow becomes the table that is read, once it holds all that has arrived.
    async fn swap(&mut self, place: Place) -> Result<(), Broke> {
        if !self.role(place).rebuild.filled || self.role(place).rebuild.swapped {
            return Ok(());
        }
        self.drain(place, 1).await?;
        let arrived: BTreeSet<usize> = self.archived(place).into_iter().collect();
        let log = self.trial.log.envelopes().iter().enumerate();
        let log: Vec<Value> =
            log.filter(|(number, _)| arrived.contains(number)).map(|(_, event)| event.clone()).collect();
        let model = Model::of(self.projection(place.consumer), &log);
        let expected = model.map_err(|fault| Broke::plain(fault.to_string()))?.content();
        let shadow = self.content(place, 1).await?;
        if shadow != expected {
            let why = "readers are about to be given a shadow that doesn't hold what has arrived, once each";
            return Err(self.differs(why, place, 1, &shadow, expected));
        }
        self.history.tell(Happening::Swapped(place));
        self.role(place).rebuild.swapped = true;
        self.checked.swaps += 1;
        Ok(())
    }

    async fn content(&self, place: Place, generation: usize) -> Result<Content, Broke> {
        let region = &self.regions[place.region];
        let table = &region.roles[&place.consumer].generations[generation].table;
        let content = Content::of(region.store.as_ref(), table).await;
        content.map_err(|error| Broke::plain(format!("{error:?}")))
    }

    fn differs(&self, why: &str, place: Place, generation: usize, is: &Content, expected: Content) -> Broke {
        let projection = self.projection(place.consumer).clone();
        Broke::differs(why, place, generation, projection, is.clone(), expected)
    }

    /// A container for a batch, as it is or just started.
    fn container(&mut self, batch: &Batch) -> Warm {
        let (law, place) = (self.law, batch.place);
        let region = &mut self.regions[place.region];
        let role = region.roles.get_mut(&place.consumer).expect("each consumer is set up");
        let generation = &mut role.generations[batch.generation];
        let slot = &mut generation.containers[batch.container];
        if let (Some(warm), false) = (&slot, batch.cold) {
            return warm.clone();
        }
        let faulty = Arc::new(Faulty::new(Arc::clone(&region.store), Arc::clone(&region.late)));
        let consumer = Consumer::new(
            "law",
            law.projections[place.consumer].clone(),
            &generation.table,
            Arc::clone(&faulty) as _,
            Arc::clone(&self.shelf) as _,
            clock,
        );
        slot.insert(Warm { faulty, container: (law.contain)(consumer) }).clone()
    }

    /// Delivers batches at the same time. What is not acknowledged stays owed.
    async fn deliver(&mut self, group: &[&Batch]) -> Result<Vec<Report>, Broke> {
        let mut running = Vec::new();
        let mut invoked: Vec<(Batch, Warm, BTreeSet<usize>)> = Vec::new();
        for batch in group {
            for (event, _) in &batch.messages {
                self.arrive(batch.place.region, *event);
            }
            let Some(generation) = self.role(batch.place).generations.get(batch.generation) else { continue };
            let mut batch = (*batch).clone();
            batch.messages.retain(|(event, _)| generation.given.contains(event));
            let before: BTreeSet<usize> = generation.given.difference(&generation.owed).copied().collect();
            if batch.messages.is_empty() {
                continue;
            }
            let warm = self.container(&batch);
            warm.faulty.expect(batch.faults.clone(), batch.pace);
            let payload = batch.payload(&self.trial.log);
            let process = warm.clone();
            running.push(async move {
                let invocation = process.container.invoke(payload.as_bytes());
                process.faulty.until_crash(invocation).await
            });
            invoked.push((batch, warm, before));
        }
        let mut reports = Vec::new();
        for (answer, (batch, warm, before)) in join_all(running).await.into_iter().zip(invoked) {
            let told = warm.faulty.told();
            let failed = match &answer {
                None => None,
                Some(Ok(report)) => Some(report.failed.iter().cloned().collect::<BTreeSet<String>>()),
                Some(Err(error)) => return Err(Broke::plain(format!("{error:?}"))),
            };
            let again = |number: usize| {
                failed.as_ref().is_none_or(|failed| failed.contains(&format!("message-{number}")))
            };
            let fates: Vec<(usize, bool)> = batch
                .messages
                .iter()
                .enumerate()
                .map(|(number, (event, _))| (*event, again(number)))
                .collect();
            let crashed = answer.is_none();
            self.checked.invocations += 1;
            self.checked.messages += fates.len();
            self.checked.faults += told.len();
            self.checked.crashes += usize::from(crashed);
            let generation = &mut self.role(batch.place).generations[batch.generation];
            for (event, _) in fates.iter().filter(|(_, again)| !again) {
                generation.owed.remove(event);
            }
            if crashed {
                generation.containers[batch.container] = None;
            }
            let known: BTreeSet<usize> = before.into_iter().chain(fates.iter().map(|it| it.0)).collect();
            let again = fates.iter().filter(|(_, again)| *again);
            let without_reason = again.filter(|(event, _)| !self.waits(batch.place, *event, &known)).count();
            let is_calm = told.is_empty();
            self.history.tell(Happening::Invoked { batch, fates, told, crashed });
            if let Some(kept) = self.shelf.kept().first() {
                let why = format!("an event went to the quarantine: {:?}, {}", kept.reason, kept.detail);
                return Err(Broke::plain(why));
            }
            if without_reason > 0 && is_calm {
                let why = "events were asked for again, though nothing went wrong".to_owned();
                return Err(Broke::plain(why));
            }
            if let Some(Ok(report)) = answer {
                reports.push(report);
            }
        }
        Ok(reports)
    }

    /// Delivers what is owed, with nothing going wrong.
    async fn drain(&mut self, place: Place, generation: usize) -> Result<(), Broke> {
        let Some(it) = self.role(place).generations.get(generation) else { return Ok(()) };
        if it.owed.is_empty() {
            return Ok(());
        }
        let rest = Batch::calm(place, generation, it.owed.clone());
        self.deliver(&[&rest]).await?;
        let Generation { given, owed, .. } =
            &self.regions[place.region].roles[&place.consumer].generations[generation];
        let left: Vec<&usize> = owed.iter().filter(|event| !self.waits(place, **event, given)).collect();
        if left.is_empty() { Ok(()) } else { Err(Broke::plain(format!("{left:?} were never acknowledged"))) }
    }

    /// Whether an event has an order, and its turn doesn't come by those of its aggregate that are known.
    fn waits(&self, place: Place, event: usize, known: &BTreeSet<usize>) -> bool {
        let log = self.trial.log.envelopes();
        let text = log[event].to_string();
        let Ok(header) = serde_json::from_str::<Header<'_>>(&text) else { return false };
        let joins = self.projection(place.consumer).fold(&header).ok().flatten().unwrap_or_default();
        if !joins.iter().any(|join| matches!(join, Join::Step(_))) {
            return false;
        }
        let of_aggregate = |other: &usize| {
            known.contains(other)
                && log[*other]["domain"] == log[event]["domain"]
                && log[*other]["subject"] == log[event]["subject"]
        };
        let version = |other: usize| {
            let version = serde_json::from_value(log[other]["version"].clone()).unwrap_or(Version::NONE);
            (version, log[other]["epochBase"].as_u64().unwrap_or(0))
        };
        let routed = routed(&self.trial.log, &self.law.consumes[place.consumer]);
        let others = routed.into_iter().filter(of_aggregate).map(version);
        !with_turn(others.chain([version(event)])).contains(&header.version)
    }

    /// Everything arrives and is acknowledged; each table must hold the canonical fold then.
    async fn finish(&mut self, models: &BTreeMap<usize, Content>) -> Result<(), Broke> {
        let places: Vec<Place> = (0..self.trial.regions)
            .flat_map(|region| self.trial.consumers.iter().map(move |it| Place { region, consumer: *it }))
            .collect();
        self.history.rest();
        for region in 0..self.trial.regions {
            for event in 0..self.trial.log.envelopes().len() {
                self.arrive(region, event);
            }
        }
        for place in &places {
            self.drain(*place, 0).await?;
            self.backfill(*place, 0).await?;
            self.swap(*place).await?;
            self.drain(*place, 1).await?;
        }
        for region in &self.regions {
            region.late.arrive(region.store.as_ref()).await;
        }
        for place in &places {
            for generation in 0..self.role(*place).generations.len() {
                self.holds(*place, generation, &models[&place.consumer]).await?;
            }
        }
        if self.trial.again {
            for place in &places {
                self.once_more(*place, &models[&place.consumer]).await?;
            }
        }
        Ok(())
    }

    async fn holds(&self, place: Place, generation: usize, expected: &Content) -> Result<(), Broke> {
        let stored = self.content(place, generation).await?;
        if stored == *expected {
            return Ok(());
        }
        let why = "the table doesn't hold the log's events once each";
        Err(self.differs(why, place, generation, &stored, expected.clone()))
    }

    async fn once_more(&mut self, place: Place, expected: &Content) -> Result<(), Broke> {
        let events = routed(&self.trial.log, &self.law.consumes[place.consumer]);
        for generation in 0..self.role(place).generations.len() {
            let whole = Batch::calm(place, generation, events.iter().copied());
            let applied: usize = self.deliver(&[&whole]).await?.iter().map(|report| report.applied).sum();
            if applied > 0 {
                let why = format!("delivering the whole log again applied {applied} events anew");
                return Err(Broke::plain(why));
            }
            self.holds(place, generation, expected).await?;
        }
        Ok(())
    }
}
