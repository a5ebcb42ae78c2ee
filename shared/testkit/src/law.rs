//! The law of a projection: whatever happens to its events, its tables end the same.
//!
//! A log tells of aggregates whose home region moves, while the home before goes on for some writes. It is delivered in one
//! or two regions, each with a table of its own: in any order, with duplicates, in any
//! batches, wrapped in each of the ways that AWS wraps events, to warm and cold containers that run at the same time,
//! with a beginning of the log replayed. Writes are throttled, conflict, time out before and after they are done, are
//! done halfway; containers end before and after a write. Tables are rebuilt in the middle: the shadow is subscribed,
//! filled from what has arrived, fed beside the old one, and swapped. Days pass.
//!
//! All tables must hold what [`Model`](crate::model::Model) says of the log in order, a shadow must hold what has
//! arrived before it is read, nothing may be left in the quarantine or be asked for again without a reason (an
//! event that has an order waits for those before it), and a second round must change nothing.
//!
//! Most trials run on [`MemoryStore`], some on the embedded DynamoDB; a relational store runs all of them by
//! [`Law::relational`]. Everything follows from one number.

mod derive;
mod report;
mod schedule;
mod shrink;
mod stage;

use crate::dice::Dice;
use crate::log::{Log, clock};
use crate::memory::{MemoryStore, Time};
use aws_sdk_dynamodb::Client;
use embedded::dynamodb::DynamoDb;
use projection::Projection;
use projection::consumer::Consumer;
use projection::dynamodb::DynamoStore;
use projection::store::{Relational, Store};
use proptest::strategy::{Just, Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use report::Broke;
use schedule::{Shape, Trial};
use stage::{Ground, Stage, Tables};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

pub use derive::{NoLogs, logs, logs_of_all};
pub use stage::{Checked, Container};

/// How many trials are run in memory, unless `LAW_CASES` says otherwise.
const CASES: u32 = 48;

/// How many more are run on the embedded DynamoDB.
const EMBEDDED_CASES: u32 = 3;

/// How many smaller trials are run to make a failure readable.
const ATTEMPTS_TO_SHRINK: u32 = 2_000;
const EMBEDDED_ATTEMPTS_TO_SHRINK: u32 = 200;

/// Checks the law for a projection, with logs made of the examples of the events that it folds, at several versions
/// of several aggregates, with fields changed. To be called in a plain `#[test]`.
///
/// # Panics
/// If the law is broken: with the smallest log and deliveries found, and the seed to see it again.
pub fn of(projection: Projection) {
    let logs = logs(&projection).unwrap_or_else(|error| panic!("{error}"));
    Law::new(projection).must_hold(&logs);
}

/// Checks the law for a projection and one log; parts of it are tried too. To be called in a plain `#[test]`.
///
/// # Panics
/// If the law is broken: with the smallest part of the log and deliveries found, and the seed to see it again.
pub fn holds(projection: Projection, log: impl Into<Log>) {
    Law::new(projection).must_hold(&parts(&log.into()));
}

/// Checks the law for a projection and logs of one's own making. To be called in a plain `#[test]`.
///
/// # Panics
/// If the law is broken: with the smallest log and deliveries found, and the seed to see it again.
pub fn holds_for<S: Strategy<Value = Log>>(projection: Projection, logs: S) {
    Law::new(projection).must_hold(&logs);
}

/// A log and its beginnings, which are valid histories too.
pub fn parts(log: &Log) -> impl Strategy<Value = Log> + use<> {
    let events = log.envelopes().to_vec();
    let whole = events.len();
    proptest::prop_oneof![1 => 0..=whole, 3 => Just(whole)]
        .prop_map(move |length| Log::from(events[..length].to_vec()))
}

/// The law, with what may be put in the place of the parts that it runs on.
pub struct Law {
    projections: Vec<Projection>,
    consumes: Vec<BTreeSet<(String, String)>>,
    client: Option<Client>,
    stores: Option<Box<MakeStores>>,
    relational: Option<Box<MakeRelational>>,
    wrap: Box<Wrap>,
    contain: Box<Contain>,
    rebuilding: Rebuilding,
    faults: bool,
    at_once: usize,
    events: usize,
    logs: Option<u64>,
    cases: u32,
    embedded_cases: u32,
    seed: u64,
    variables: (&'static str, &'static str),
}

type MakeStores = dyn Fn(&Time, usize) -> Vec<Arc<dyn Store>>;
type MakeRelational = dyn Fn() -> Arc<dyn Relational>;
type Wrap = dyn Fn(Arc<dyn Store>) -> Arc<dyn Store>;
type Contain = dyn Fn(Consumer) -> Arc<dyn Container>;

/// How a table is rebuilt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rebuilding {
    /// The shadow's queue is subscribed before what has arrived is read: right.
    SubscribeFirst,
    /// What has arrived is read before the shadow's queue is subscribed: wrong, for what comes in between is in
    /// neither.
    ScanFirst,
}

/// The law is broken; what was found, as text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Broken(pub String);

/// What a check ran on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum On {
    Memory,
    DynamoDb,
    Relational,
}

impl Law {
    /// The law of a projection, in memory and on an embedded DynamoDB. In the environment, `LAW_CASES` says how many
    /// trials are run in memory, `LAW_SEED` from which number they follow, and `LAW_ON=dynamodb` that they are run on
    /// the embedded DynamoDB instead.
    pub fn new(projection: Projection) -> Self {
        let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
        let asked = number("LAW_CASES").and_then(|it| u32::try_from(it).ok());
        let (cases, embedded_cases) = match (std::env::var("LAW_ON").is_ok_and(|on| on == "dynamodb"), asked)
        {
            (true, asked) => (0, asked.unwrap_or(EMBEDDED_CASES)),
            (false, Some(asked)) => (asked, 0),
            (false, None) => (CASES, EMBEDDED_CASES),
        };
        let seed = number("LAW_SEED").unwrap_or(1);
        Self { cases, embedded_cases, seed, ..Self::of_all(vec![projection]) }
    }

    /// The law of several projections that events are routed to, in memory.
    pub fn of_all(projections: Vec<Projection>) -> Self {
        let owned = |(domain, name): (&str, &str)| (domain.to_owned(), name.to_owned());
        Self {
            consumes: projections.iter().map(|it| it.consumes().map(owned).collect()).collect(),
            at_once: projections.len(),
            projections,
            client: None,
            stores: None,
            relational: None,
            wrap: Box::new(|store| store),
            contain: Box::new(|consumer| Arc::new(consumer)),
            rebuilding: Rebuilding::SubscribeFirst,
            faults: true,
            events: usize::MAX,
            logs: None,
            cases: CASES,
            embedded_cases: 0,
            seed: 1,
            variables: ("LAW_SEED", "LAW_CASES"),
        }
    }

    /// The variables of the environment, for the seed and the number of trials, that a failure names. They are read by
    /// [`Law::new`] alone.
    #[must_use]
    pub fn named(mut self, seed: &'static str, cases: &'static str) -> Self {
        self.variables = (seed, cases);
        self
    }

    /// Runs on this DynamoDB only, in tables `law-<number>…`.
    #[must_use]
    pub fn on(mut self, client: Client) -> Self {
        (self.client, self.embedded_cases, self.cases) = (Some(client), self.cases.max(1), 0);
        self
    }

    /// Runs on this relational store only, in tables `law-<number>…`. It is made within the runtime that the law runs in.
    #[must_use]
    pub fn relational(mut self, make: impl Fn() -> Arc<dyn Relational> + 'static) -> Self {
        let asked = if self.embedded_cases > 0 { self.embedded_cases } else { self.cases.max(1) };
        self.relational = Some(Box::new(make));
        (self.embedded_cases, self.cases) = (asked, 0);
        self
    }

    /// Runs on these stores only, made anew for each trial: one for each of so many regions.
    #[must_use]
    pub fn stores(mut self, stores: impl Fn(&Time, usize) -> Vec<Arc<dyn Store>> + 'static) -> Self {
        self.stores = Some(Box::new(stores));
        self.embedded_cases = 0;
        self
    }

    /// Puts a store around each region's, a fresh one for each trial: to make it fail, or to break it.
    #[must_use]
    pub fn wrapping(mut self, wrap: impl Fn(Arc<dyn Store>) -> Arc<dyn Store> + 'static) -> Self {
        self.wrap = Box::new(wrap);
        self
    }

    /// Puts something around each consumer that is started.
    #[must_use]
    pub fn containers(mut self, contain: impl Fn(Consumer) -> Arc<dyn Container> + 'static) -> Self {
        self.contain = Box::new(contain);
        self
    }

    /// Rebuilds tables in this way.
    #[must_use]
    pub fn rebuilding(mut self, rebuilding: Rebuilding) -> Self {
        self.rebuilding = rebuilding;
        self
    }

    /// Nothing goes wrong between consumers and their stores: order, duplicates and rebuilds alone.
    #[must_use]
    pub fn without_faults(mut self) -> Self {
        self.faults = false;
        self
    }

    /// Lets at most so many projections take part in a trial, and about so many events.
    #[must_use]
    pub fn at_once(mut self, projections: usize, events: usize) -> Self {
        (self.at_once, self.events) = (projections, events);
        self
    }

    /// Makes so many different logs at most, since making one takes longer than playing it.
    #[must_use]
    pub fn different_logs(mut self, logs: u64) -> Self {
        self.logs = Some(logs.max(1));
        self
    }

    /// Runs as many trials in memory.
    #[must_use]
    pub fn cases(mut self, cases: u32) -> Self {
        self.cases = cases;
        self
    }

    /// Runs the trials that follow from this number.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    fn must_hold<S: Strategy<Value = Log>>(self, logs: &S) {
        if let Err(broken) = self.check(logs) {
            panic!("{broken}");
        }
    }

    /// Checks the law for these logs. Blocks: not to be called in an async function.
    pub fn check<S: Strategy<Value = Log>>(&self, logs: &S) -> Result<Checked, Broken> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Broken(format!("no runtime: {error}")))?;
        let mut checked =
            self.trials(logs, On::Memory, self.cases, &|trial| runtime.block_on(self.in_memory(trial)))?;
        if self.embedded_cases > 0 {
            let embedded = DynamoDb::in_memory().map_err(|error| Broken(error.to_string()))?;
            let (on, tables) = if let Some(make) = &self.relational {
                (On::Relational, Tables::Relational(runtime.block_on(async { make() })))
            } else {
                let client = self.client.clone().unwrap_or_else(|| embedded.client());
                (On::DynamoDb, Tables::DynamoDb(client))
            };
            let number = AtomicUsize::new(0);
            let more = self.trials(logs, on, self.embedded_cases, &|trial| {
                let prefix = format!("law-{}", number.fetch_add(1, Ordering::Relaxed));
                runtime.block_on(self.in_tables(trial, &tables, prefix))
            })?;
            checked = checked.and(more);
        }
        if checked.items == 0 && self.cases + self.embedded_cases > 0 {
            let names = self.names();
            return Err(Broken(format!(
                "no log brought {names} a single item: nothing was shown. Give a richer log"
            )));
        }
        Ok(checked)
    }

    fn names(&self) -> String {
        let names: Vec<String> = self.projections.iter().map(|it| format!("`{}`", it.name())).collect();
        names.join(", ")
    }

    /// Runs trials.
    fn trials<S: Strategy<Value = Log>>(
        &self,
        logs: &S,
        on: On,
        cases: u32,
        play: &dyn Fn(&Trial) -> Result<Checked, Broke>,
    ) -> Result<Checked, Broken> {
        let shape = Shape {
            consumes: self.consumes.clone(),
            consumers: self.at_once,
            regions: 2,
            events: self.events,
            faults: self.faults,
        };
        let config = Config { failure_persistence: None, ..Config::default() };
        let mut known: std::collections::HashMap<u64, Log> = std::collections::HashMap::new();
        let mut checked = Checked::default();
        for case in 0..cases {
            let seed = Dice::seed_of_case(self.seed, case.into());
            let log = match self.logs {
                None => log_of(logs, &config, seed)?,
                Some(most) => match known.entry(seed % most) {
                    std::collections::hash_map::Entry::Occupied(known) => known.get().clone(),
                    std::collections::hash_map::Entry::Vacant(new) => {
                        let log = log_of(logs, &config, *new.key())?;
                        new.insert(log).clone()
                    }
                },
            };
            let trial = schedule::trial(&log, seed, &shape);
            match play(&trial) {
                Ok(one) => checked = checked.and(one),
                Err(_) => return Err(self.told(trial, on, seed, play)),
            }
        }
        Ok(checked)
    }

    /// Makes a trial that breaks the law small, and tells of it.
    fn told(
        &self,
        trial: Trial,
        kind: On,
        seed: u64,
        play: &dyn Fn(&Trial) -> Result<Checked, Broke>,
    ) -> Broken {
        let attempts = match kind {
            On::Memory => ATTEMPTS_TO_SHRINK,
            On::DynamoDb | On::Relational => EMBEDDED_ATTEMPTS_TO_SHRINK,
        };
        let trial = shrink::shrink(trial, attempts, |trial| play(trial).is_err());
        let story = match play(&trial) {
            Err(broke) => broke.told(&trial),
            Ok(_) => "it broke once and didn't when it was played again: it depends on more than the seed"
                .to_owned(),
        };
        let on = if kind == On::DynamoDb { " LAW_ON=dynamodb" } else { "" };
        let package = std::env::var("CARGO_PKG_NAME").unwrap_or_else(|_| "<package>".to_owned());
        let thread = std::thread::current();
        let test = thread.name().filter(|name| *name != "main").unwrap_or_default();
        let (names, (seed_name, cases_name)) = (self.names(), self.variables);
        let command = match kind {
            On::Relational => "tests/postgres/run".to_owned(),
            On::Memory | On::DynamoDb => format!("cargo test -p {package} {test}"),
        };
        Broken(format!(
            "the law of {names} is broken: {story}\
             to see it again: {seed_name}={seed} {cases_name}=1{on} {command}"
        ))
    }

    async fn in_memory(&self, trial: &Trial) -> Result<Checked, Broke> {
        let time = Time::default();
        let stores = match &self.stores {
            Some(stores) => stores(&time, trial.regions),
            None => (0..trial.regions).map(|_| Arc::new(MemoryStore::new(time.clone())) as _).collect(),
        };
        self.play(trial, stores, time, None).await
    }

    async fn in_tables(&self, trial: &Trial, tables: &Tables, prefix: String) -> Result<Checked, Broke> {
        let store = || match tables {
            Tables::DynamoDb(client) => Arc::new(DynamoStore::new(client.clone(), clock)) as Arc<dyn Store>,
            Tables::Relational(store) => Arc::clone(store) as Arc<dyn Store>,
        };
        let stores = (0..trial.regions).map(|_| store()).collect();
        self.play(trial, stores, Time::default(), Some((tables, prefix))).await
    }

    async fn play(
        &self,
        trial: &Trial,
        stores: Vec<Arc<dyn Store>>,
        time: Time,
        tables: Option<(&Tables, String)>,
    ) -> Result<Checked, Broke> {
        let stores = stores.into_iter().map(|store| (self.wrap)(store)).collect();
        Stage::play(self, trial, Ground { stores, time, tables }).await
    }
}

/// The log of a seed.
fn log_of<S: Strategy<Value = Log>>(logs: &S, config: &Config, seed: u64) -> Result<Log, Broken> {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(config.clone(), rng);
    let tree = logs.new_tree(&mut runner);
    tree.map(|tree| tree.current()).map_err(|why| Broken(format!("no log could be made: {why}")))
}
