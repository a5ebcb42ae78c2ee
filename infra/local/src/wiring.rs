//! From the manifests to the embedded services: the same tables, queues, rules, topics and functions as on AWS.

use crate::suite::Suite;
use crate::tally::Tally;
use anyhow::Context as _;
use bytes::Bytes;
use embedded::dynamodb::StreamBatch;
use embedded::events::Target as BusTarget;
use embedded::events::pattern::Pattern;
use embedded::mapping::{Backoff, Deadline, Handler, MappingConfig};
use embedded::topic::Subscription;
use embedded::{DynamoDb, EventSourceMapping, QueueConfig};
use micrograph::App;
use micrograph::manifest::{Feed, Function, Parts, Queue, Rule, Target, TopicSubscription, Trigger};
use micrograph::rebuild::role::GENERATIONS;
use serde_json::Value;
use std::collections::btree_map::Entry;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// What the name of every dead-letter queue contains.
pub const DEAD_LETTERS: &str = "-dead-letters";

/// How long a batch is gathered locally: long enough to fill one under load, too short to be noticed.
const WINDOW: Duration = Duration::from_millis(50);

/// When what a store outside of the process did not take comes again: in two and a half minutes a server is started anew,
/// and nothing is given up until then.
const OUTSIDE: Backoff = Backoff { first: Duration::from_secs(10), most: Duration::from_mins(2) };

/// How long a function has for each second of its timeout: one machine does the work of many, and may be busy with
/// something else. Below six, for which a queue hides what was received.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a stream's reader waits after records that could not be published.
const STREAM_BACKOFF: Duration = Duration::from_millis(200);

/// The queue of a micrograph's commands.
pub fn command_queue(micrograph: &str) -> String {
    format!("{micrograph}-commands.fifo")
}

/// Creates queues and topics, and puts rules and subscriptions: all but those of projections.
pub fn declare(suite: &Suite) -> anyhow::Result<()> {
    let manifests: Vec<_> = suite.apps.values().map(|app| app.lasting()).collect();
    for manifest in &manifests {
        for queue in &manifest.queues {
            create(suite, queue)?;
        }
        for topic in &manifest.topics {
            suite.topics.create(topic.name);
        }
    }
    for manifest in &manifests {
        for rule in &manifest.rules {
            put(suite, rule)?;
        }
    }
    for app in suite.apps.values() {
        if let Some(replication) = app.replication() {
            create(suite, &replication.queue)?;
            put(suite, &replication.rule_in(&app.environment().region))?;
        }
    }
    Ok(())
}

/// Creates a queue with its dead-letter queue.
pub fn create(suite: &Suite, queue: &Queue) -> anyhow::Result<()> {
    let visibility = Duration::from_secs(queue.visibility_timeout_seconds.into());
    suite.queues.create(QueueConfig { visibility, ..QueueConfig::new(&queue.dead_letter_queue) })?;
    let config = QueueConfig { visibility, ..QueueConfig::new(&queue.name) };
    Ok(suite.queues.create(config.redrive_to(&queue.dead_letter_queue, queue.max_receive_count))?)
}

fn put(suite: &Suite, rule: &Rule) -> anyhow::Result<()> {
    let target = match &rule.target {
        Target::Queue(queue) => BusTarget::queue(queue),
        Target::Topic(topic) => BusTarget::topic(*topic),
    };
    Ok(suite.bus.put_rule(&rule.name, &rule.pattern, vec![target])?)
}

/// Feeds a generation of a projection: its queue, subscribed, and its consumer. What is there already is left as it is.
pub fn feed(suite: &Suite, app: &Arc<App>, parts: &Parts) -> anyhow::Result<()> {
    create(suite, &parts.queue)?;
    match &parts.feed {
        Feed::Rule(rule) => put(suite, rule)?,
        Feed::Topics(wanted) => {
            for TopicSubscription { topic, queue, raw_delivery: raw, filter_policy } in wanted {
                let filter = Some(Pattern::compile(filter_policy)?);
                suite.topics.subscribe(topic, Subscription { queue: queue.clone(), raw: *raw, filter })?;
            }
        }
    }
    map(suite, app, &parts.function)?;
    bury(suite, app, &parts.queue)
}

/// Puts what a queue gave up into its micrograph's quarantine.
fn bury(suite: &Suite, app: &Arc<App>, queue: &Queue) -> anyhow::Result<()> {
    let functions = app.manifest().functions.into_iter();
    for function in functions.filter(|function| matches!(function.trigger, Trigger::Queues { .. })) {
        let Trigger::Queues { batch_size, .. } = function.trigger else { continue };
        let queues = vec![queue.dead_letter_queue.clone()];
        map(suite, app, &Function { trigger: Trigger::Queues { queues, batch_size }, ..function })?;
    }
    Ok(())
}

/// Takes away what feeds a generation of a projection, its queue too.
pub async fn starve(suite: &Suite, app: &App, parts: &Parts) -> anyhow::Result<()> {
    let queue = parts.queue.name.as_str();
    match &parts.feed {
        Feed::Rule(rule) => suite.bus.delete_rule(&rule.name),
        Feed::Topics(subscriptions) => {
            for it in subscriptions {
                suite.topics.unsubscribe(it.topic, queue);
            }
        }
    }
    for queue in [queue, parts.queue.dead_letter_queue.as_str()] {
        let mapping = suite.mappings.lock().unwrap_or_else(PoisonError::into_inner).remove(queue);
        if let Some(mapping) = mapping {
            mapping.stop().await;
        }
        if suite.queues.config(queue).is_ok() {
            suite.queues.delete_queue(queue)?;
        }
    }
    tracing::info!(micrograph = app.name(), queue, "a generation is fed no more");
    Ok(())
}

/// Maps queues to their function, each unless it is mapped already.
pub fn map(suite: &Suite, app: &Arc<App>, function: &Function) -> anyhow::Result<()> {
    let configs: Vec<MappingConfig> = match &function.trigger {
        Trigger::Queue { queue, batch_size, window_seconds, maximum_concurrency } => vec![MappingConfig {
            batch_size: *batch_size as usize,
            window: if *window_seconds == 0 { Duration::ZERO } else { WINDOW },
            concurrency: *maximum_concurrency as usize,
            ..MappingConfig::new(queue)
        }],
        Trigger::Queues { queues, batch_size } => {
            let config =
                |queue| MappingConfig { batch_size: *batch_size as usize, ..MappingConfig::new(queue) };
            queues.iter().map(config).collect()
        }
        Trigger::Stream { .. } | Trigger::Schedule { .. } | Trigger::Http => Vec::new(),
    };
    let timeout = PATIENCE * function.timeout_seconds;
    let mut mappings = suite.mappings.lock().unwrap_or_else(PoisonError::into_inner);
    for config in configs {
        if let Entry::Vacant(mapping) = mappings.entry(config.queue.clone()) {
            let backoff = function.relational.map_or(config.backoff, |_| OUTSIDE);
            let config = MappingConfig { timeout, backoff, ..config };
            let handler = handler(app, function, &suite.tally);
            mapping.insert(EventSourceMapping::start(suite.queues.clone(), config, handler)?);
        }
    }
    Ok(())
}

/// Maps queues and streams to the functions: all but those of projections.
pub fn start(suite: &Suite, stop: &watch::Sender<bool>) -> anyhow::Result<Vec<JoinHandle<()>>> {
    let mut pumps = Vec::new();
    for app in suite.apps.values() {
        let database = suite.database(app.name()).context("a micrograph has a database")?;
        if let Some(replication) = app.replication() {
            map(suite, app, &replication.function)?;
            bury(suite, app, &replication.queue)?;
        }
        for function in app.lasting().functions {
            map(suite, app, &function)?;
            match &function.trigger {
                Trigger::Stream { table, batch_size } => {
                    let pump = Pump {
                        app: Arc::clone(app),
                        database: database.clone(),
                        table: app.environment().table(table),
                        limit: *batch_size as usize,
                        tally: Arc::clone(&suite.tally),
                        function: function.handler.clone(),
                    };
                    pumps.push(tokio::spawn(pump.run(stop.subscribe())));
                }
                // Here `generations` and its audits run in this process, over its own queues and archive.
                Trigger::Schedule { .. } if function.handler == GENERATIONS => {}
                Trigger::Schedule { minutes } => {
                    let every = Duration::from_secs(60 * u64::from(*minutes));
                    let (app, handler) = (Arc::clone(app), function.handler.clone());
                    pumps.push(tokio::spawn(on_schedule(app, handler, every, stop.subscribe())));
                }
                Trigger::Queue { .. } | Trigger::Queues { .. } | Trigger::Http => {}
            }
        }
    }
    Ok(pumps)
}

/// Invokes a function by the clock.
async fn on_schedule(app: Arc<App>, handler: String, every: Duration, mut stop: watch::Receiver<bool>) {
    while !*stop.borrow() {
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            _ = stop.changed() => continue,
        }
        if let Err(error) = app.invoke(&handler, b"{}", Some(Instant::now() + every)).await {
            let error = telemetry::error_chain(&error);
            tracing::warn!(
                micrograph = app.name(),
                handler,
                error,
                "a scheduled function failed; it runs again"
            );
        }
    }
}

fn handler(app: &Arc<App>, function: &Function, tally: &Arc<Tally>) -> Handler {
    let name = format!("{}.{}", app.name(), function.handler);
    let timeout = PATIENCE * function.timeout_seconds;
    let (app, handler, tally) = (Arc::clone(app), function.handler.clone(), Arc::clone(tally));
    Arc::new(move |payload: Bytes, _: Deadline| {
        let (app, handler, tally) = (Arc::clone(&app), handler.clone(), Arc::clone(&tally));
        let name = name.clone();
        Box::pin(async move {
            let started = Instant::now();
            // What is left is for a machine that is too busy to keep the deadline to the second.
            let deadline = Some(started + timeout - timeout / 10);
            let Some(consumer) = app.consumer(&handler) else {
                let answer = app.invoke(&handler, &payload, deadline).await?;
                tally.invoked(&name, records(&payload), started.elapsed());
                return Ok(answer);
            };
            let report = consumer.consume(&payload, deadline).await?;
            tally.consumed(&name, &report, started.elapsed());
            Ok(report.answer())
        })
    })
}

/// The number of records in a payload, for the tally.
fn records(payload: &[u8]) -> usize {
    projection::delivery::take_apart(payload).map_or(0, |delivery| delivery.messages.len())
}

/// Carries a table's stream to the micrograph's outbox function, in order.
struct Pump {
    app: Arc<App>,
    database: DynamoDb,
    table: String,
    limit: usize,
    tally: Arc<Tally>,
    function: String,
}

impl Pump {
    async fn run(self, mut stop: watch::Receiver<bool>) {
        let mut changes = self.database.stream_changes(&self.table);
        let name = format!("{}.{}", self.app.name(), self.function);
        while !*stop.borrow() {
            match self.carry(&name).await {
                Ok(true) => {}
                Ok(false) => {
                    tokio::select! {
                        () = changes.written() => {}
                        _ = stop.changed() => {}
                    }
                }
                Err(error) => {
                    tracing::warn!(
                        table = self.table,
                        error = format!("{error:#}"),
                        "a stream's records come again"
                    );
                    tokio::time::sleep(STREAM_BACKOFF).await;
                }
            }
        }
    }

    /// Carries one batch; tells whether there was one.
    async fn carry(&self, name: &str) -> anyhow::Result<bool> {
        let Some(batch) = self.database.stream_batch(&self.table, self.limit)? else { return Ok(false) };
        let started = Instant::now();
        let answer = self.app.invoke(&self.function, batch.payload(), None).await?;
        self.tally.invoked(name, batch.len(), started.elapsed());
        self.acknowledge(&batch, &answer)?;
        Ok(true)
    }

    fn acknowledge(&self, batch: &StreamBatch, answer: &Value) -> anyhow::Result<()> {
        let failures = answer["batchItemFailures"].as_array().map(Vec::as_slice).unwrap_or_default();
        let failed = failures.iter().filter_map(|failure| failure["itemIdentifier"].as_str());
        // Sequence numbers are digits of one length or grow in length: the shortest, then smallest, comes first.
        match failed.min_by_key(|number| (number.len(), *number)) {
            None => Ok(self.database.ack(batch)?),
            Some(first) => {
                self.database.ack_before(batch, first)?;
                Err(anyhow::anyhow!("the record {first} could not be published")).context("the outbox")
            }
        }
    }
}
