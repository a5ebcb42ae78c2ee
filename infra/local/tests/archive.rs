//! The archive in the suite: it has every event, and a replay of all of them changes nothing.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use archive::{Filter, Sink, SinkError};
use async_trait::async_trait;
use aws_sdk_dynamodb::types::AttributeValue;
use contracts::digest;
use embedded::QueueConfig;
use embedded::events::Target;
use embedded::queue::Outgoing;
use local::archiving::replaying::{self, Outcome, Request};
use local::suite::{CommandRef, Settings, Suite};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};

/// A suite in memory with the sample shop's trade, and a queue that heard every event.
async fn shop() -> Suite {
    let suite = Suite::start(None, Settings::default()).await.unwrap();
    // What is in a dead-letter queue isn't waited for.
    suite.queues.create(QueueConfig::new("spy")).unwrap();
    suite.queues.create(QueueConfig::new("spied").redrive_to("spy", 1)).unwrap();
    let every = serde_json::json!({ "source": [{ "prefix": "tributary." }] });
    suite.bus.put_rule("spy", &every, vec![Target::queue("spy")]).unwrap();
    let commands = local::sample::commands(jiff::Timestamp::from_second(1_700_000_000).unwrap());
    let refs = commands.iter().map(|command| CommandRef {
        domain: command.domain,
        subject: &command.subject,
        id: &command.id,
        json: &command.json,
    });
    suite.send(refs).unwrap();
    suite.drained().await.unwrap();
    suite
}

/// An item as text. When a tombstone may go depends on the clock.
fn canonical(item: &HashMap<String, AttributeValue>) -> String {
    let value = |value: &AttributeValue| match value {
        AttributeValue::M(fields) => canonical(fields),
        AttributeValue::L(items) => items
            .iter()
            .map(|item| item.as_m().map_or_else(|_| format!("{item:?}"), canonical))
            .collect::<Vec<_>>()
            .join(","),
        AttributeValue::Ss(set) | AttributeValue::Ns(set) => {
            format!("{:?}", set.iter().collect::<BTreeSet<_>>())
        }
        other => format!("{other:?}"),
    };
    let fields = item.iter().filter(|(name, _)| *name != "ttl");
    let sorted: BTreeMap<_, _> = fields.map(|(name, it)| (name, value(it))).collect();
    format!("{sorted:?}")
}

/// The content of every table, as a digest.
async fn digests(suite: &Suite) -> BTreeMap<String, (usize, String)> {
    let mut digests = BTreeMap::new();
    for app in suite.apps.values() {
        for table in app.manifest().tables {
            let name = app.environment().table(&table.name);
            let mut items = BTreeSet::new();
            let mut after = None;
            loop {
                let scan = app.environment().dynamodb.scan().table_name(&name).set_exclusive_start_key(after);
                let page = scan.send().await.unwrap();
                items.extend(page.items().iter().map(canonical));
                after = page.last_evaluated_key;
                if after.is_none() {
                    break;
                }
            }
            let text = items.iter().map(String::as_bytes).collect::<Vec<_>>();
            digests.insert(name, (items.len(), digest::short(&text)));
        }
    }
    digests
}

struct Collected(Mutex<Vec<String>>);

#[async_trait]
impl Sink for Collected {
    async fn send(&self, envelopes: Vec<Arc<str>>) -> Result<(), SinkError> {
        self.0.lock().unwrap().extend(envelopes.iter().map(ToString::to_string));
        Ok(())
    }
}

async fn replay(suite: &Suite, to: &str, filter: Filter) -> Outcome {
    let plan = replaying::plan(Request { to: to.to_owned(), filter, rate: None, resume: false }).unwrap();
    let outcome = replaying::run(suite, &plan, &|| false, &|_| {}).await.unwrap();
    suite.drained().await.unwrap();
    outcome
}

/// How many events the archive holds once it is compacted.
async fn stored(suite: &Suite) -> u64 {
    suite.archive.compact(&Filter::default()).await.unwrap();
    let hours = suite.archive.summary(&Filter::default()).await.unwrap();
    hours.iter().map(|hour| hour.events).sum()
}

fn projections() -> Vec<String> {
    let named = |micrograph: &micrograph::Micrograph| {
        let name = micrograph.name();
        micrograph.projections().map(|it| format!("{name}.{}", it.name())).collect::<Vec<_>>()
    };
    local::shop::micrographs().iter().flat_map(named).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_archive_has_every_event_of_the_bus_once_and_byte_by_byte() {
    let suite = shop().await;
    let heard = suite.queues.receive("spy", usize::MAX, None).unwrap();
    let detail = |body: &str| {
        let start = body.find("\"detail\":").unwrap() + "\"detail\":".len();
        body[start..body.len() - 1].to_owned()
    };
    let mut heard: Vec<String> = heard.iter().map(|message| detail(&message.body)).collect();
    let sink = Collected(Mutex::default());
    suite.archive.replay(&Filter::default(), None, None, &sink, &|_| {}).await.unwrap();
    let mut archived = sink.0.into_inner().unwrap();
    heard.sort();
    archived.sort();
    assert!(heard.len() > 100, "{} events", heard.len());
    assert_eq!(archived, heard);
    suite.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_of_everything_changes_nothing_in_any_projection() {
    let suite = shop().await;
    let before = digests(&suite).await;
    assert!(before.values().filter(|(items, _)| *items > 0).count() > 8, "{before:?}");
    let once = stored(&suite).await;
    for projection in projections() {
        let outcome = replay(&suite, &projection, Filter::default()).await;
        assert!(outcome.replayed.sent > 0, "{projection} was sent nothing");
        assert_eq!(digests(&suite).await, before, "after a replay to {projection}");
    }
    replay(&suite, replaying::BUS, Filter::default()).await;
    assert_eq!(digests(&suite).await, before, "after a replay to the bus");
    assert_eq!(stored(&suite).await, once, "what came by the bus again is folded");
    suite.stop().await;
}

/// The queue of a projection in another suite.
struct ToQueue<'a>(&'a Suite, String);

#[async_trait]
impl Sink for ToQueue<'_> {
    async fn send(&self, envelopes: Vec<Arc<str>>) -> Result<(), SinkError> {
        self.0.queues.send(&self.1, envelopes.into_iter().map(Outgoing::new).collect())?;
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_projection_is_filled_by_a_replay() {
    let suite = shop().await;
    let fresh = Suite::start(None, Settings::default()).await.unwrap();
    for projection in projections() {
        let (micrograph, name) = projection.split_once('.').unwrap();
        let queue = fresh.apps[micrograph].fed(name).await.unwrap().remove(0).queue.name;
        let filter = Filter::default();
        suite.archive.replay(&filter, None, None, &ToQueue(&fresh, queue), &|_| {}).await.unwrap();
    }
    fresh.drained().await.unwrap();
    let (expected, filled) = (digests(&suite).await, digests(&fresh).await);
    let mut equal = 0;
    for micrograph in local::shop::micrographs() {
        for projection in micrograph.projections() {
            let table = projection.table(micrograph.name(), projection.generation()).name;
            assert_eq!(filled[&table], expected[&table], "{table}");
            equal += 1;
        }
    }
    assert!(equal > 5);
    fresh.stop().await;
    suite.stop().await;
}
