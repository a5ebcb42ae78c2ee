//! The law of a projection: however its events are delivered, its table ends the same.
//!
//! A log is delivered in a random order, with duplicates, in random batches, wrapped in each of the ways that AWS
//! wraps it, to warm and cold containers, through the real consumer and store on the embedded DynamoDB; at times once
//! more as a whole. The table must hold what [`Model`] says of the log in order, nothing may be left in the
//! quarantine or be asked for again, and a second round must change nothing.

mod derive;
mod schedule;
mod shrink;

use crate::content::Content;
use crate::log::{Log, clock};
use crate::model::Model;
use crate::quarantine::Shelf;
use aws_sdk_dynamodb::Client;
use embedded::dynamodb::DynamoDb;
use projection::Projection;
use projection::consumer::{Consumer, Report};
use projection::dynamodb::{DynamoStore, create_table};
use projection::store::Store;
use projection::table::Table;
use proptest::strategy::{Just, Strategy};
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use schedule::{Batch, Trial};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

pub use derive::{NoLogs, logs};

/// How many logs are tried, unless `LAW_CASES` says otherwise.
const CASES: u32 = 32;

/// How many smaller logs and deliveries are tried to make a failure readable.
const ATTEMPTS_TO_SHRINK: u32 = 300;

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
    projection: Projection,
    client: Option<Client>,
    wrap: Box<Wrap>,
    cases: u32,
    seed: u64,
}

type Wrap = dyn Fn(Arc<dyn Store>) -> Arc<dyn Store>;

/// The law is broken; what was found, as text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Broken(pub String);

impl Law {
    /// The law on an embedded DynamoDB of its own. `LAW_CASES` and `LAW_SEED` in the environment, both numbers, say
    /// how many logs are tried and from which seed they are made.
    pub fn new(projection: Projection) -> Self {
        let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
        let cases = number("LAW_CASES").and_then(|it| u32::try_from(it).ok()).unwrap_or(CASES);
        let seed = number("LAW_SEED").unwrap_or(1);
        Self { projection, client: None, wrap: Box::new(|store| store), cases, seed }
    }

    /// Runs on this DynamoDB instead, in tables `law-<number>`.
    #[must_use]
    pub fn on(mut self, client: Client) -> Self {
        self.client = Some(client);
        self
    }

    /// Puts a store around the real one, a fresh one for each log: to make it fail, or to break it.
    #[must_use]
    pub fn wrapping(mut self, wrap: impl Fn(Arc<dyn Store>) -> Arc<dyn Store> + 'static) -> Self {
        self.wrap = Box::new(wrap);
        self
    }

    /// Tries as many logs.
    #[must_use]
    pub fn cases(mut self, cases: u32) -> Self {
        self.cases = cases;
        self
    }

    fn must_hold<S: Strategy<Value = Log>>(self, logs: &S) {
        if let Err(broken) = self.check(logs) {
            panic!("{broken}");
        }
    }

    /// Checks the law for these logs. Blocks: not to be called in an async function.
    pub fn check<S: Strategy<Value = Log>>(&self, logs: &S) -> Result<(), Broken> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Broken(format!("no runtime: {error}")))?;
        let embedded = DynamoDb::in_memory().map_err(|error| Broken(error.to_string()))?;
        let client = self.client.clone().unwrap_or_else(|| embedded.client());
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&self.seed.to_le_bytes());
        let config =
            Config { cases: self.cases, failure_persistence: None, max_shrink_iters: 0, ..Config::default() };
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
        let number = AtomicUsize::new(0);
        let folded = AtomicUsize::new(0);
        let attempt = |trial: &Trial| {
            let table = format!("law-{}", number.fetch_add(1, Ordering::Relaxed));
            runtime.block_on(self.run(&client, &table, trial))
        };
        let tried = TestRunner::new_with_rng(config, rng).run(&schedule::trials(logs), |trial| {
            let items = attempt(&trial).map_err(TestCaseError::fail)?;
            folded.fetch_add(items, Ordering::Relaxed);
            Ok(())
        });
        let name = self.projection.name();
        match tried {
            Ok(()) if folded.into_inner() == 0 && self.cases > 0 => Err(Broken(format!(
                "no log brought `{name}` a single item: nothing was shown. Give a richer log"
            ))),
            Ok(()) => Ok(()),
            Err(TestError::Abort(why)) => {
                Err(Broken(format!("the law of `{name}` could not be checked: {why}")))
            }
            Err(TestError::Fail(why, trial)) => {
                let breaks = |trial: &Trial| attempt(trial).err();
                let (trial, why) =
                    shrink::shrink(trial, why.message().to_owned(), ATTEMPTS_TO_SHRINK, breaks);
                Err(Broken(format!(
                    "the law of `{name}` is broken: {why}\n{trial:?}to see it again: LAW_SEED={} LAW_CASES={}",
                    self.seed, self.cases
                )))
            }
        }
    }

    /// Runs one trial on a table of its own; gives how many items it ends with.
    async fn run(&self, client: &Client, table: &str, trial: &Trial) -> Result<usize, String> {
        let model = Model::of(&self.projection, trial.log.envelopes()).map_err(|fault| fault.to_string())?;
        let expected = model.content();
        let description = Table { ttl: None, ..self.projection.table("law") };
        create_table(client, table, &description).await.map_err(|error| format!("{error:?}"))?;
        let store = (self.wrap)(Arc::new(DynamoStore::new(client.clone(), clock)));
        let quarantine = Arc::new(Shelf::default());
        let container = || {
            Consumer::new(
                "law",
                self.projection.clone(),
                table,
                Arc::clone(&store),
                Arc::clone(&quarantine) as _,
                clock,
            )
        };
        let mut containers = [container(), container()];
        for batch in &trial.batches {
            if batch.cold {
                containers[batch.container] = container();
            }
            deliver(&containers[batch.container], &quarantine, batch, &trial.log).await?;
        }
        let content =
            || async { Content::of(store.as_ref(), table).await.map_err(|error| format!("{error:?}")) };
        let stored = content().await?;
        if stored != expected {
            return Err(format!(
                "the table doesn't hold the log's events once each\n{}",
                stored.difference(&expected)
            ));
        }
        if trial.again {
            let again = deliver(&container(), &quarantine, &Batch::whole(&trial.log), &trial.log).await?;
            let after = content().await?;
            if again.applied > 0 || after != expected {
                let (applied, difference) = (again.applied, after.difference(&expected));
                return Err(format!(
                    "delivering the whole log again applied {applied} events anew\n{difference}"
                ));
            }
        }
        let deleted = client.delete_table().table_name(table).send().await;
        deleted.map_err(|error| format!("{error:?}"))?;
        Ok(expected.0.len())
    }
}

async fn deliver(
    consumer: &Consumer,
    quarantine: &Shelf,
    batch: &Batch,
    log: &Log,
) -> Result<Report, String> {
    let payload = batch.payload(log);
    let report = consumer.consume(payload.as_bytes(), None).await.map_err(|error| format!("{error:?}"))?;
    if let Some(kept) = quarantine.kept().first() {
        return Err(format!("an event went to the quarantine: {:?}, {}", kept.reason, kept.detail));
    }
    if !report.failed.is_empty() {
        return Err(format!("{:?} were asked for again, though no write failed", report.failed));
    }
    Ok(report)
}
