//! What a micrograph needs of its surroundings, as data: read by the local suite, and by the CDK through
//! `bootstrap manifest`.

mod parts;

pub use parts::{Feed, Parts};

use crate::declaration::{Micrograph, Published, Subscription};
use crate::reads::{self, Reads};
use crate::rebuild::role::GENERATIONS;
use crate::regions::{self, REPLICAS};
use contracts::event;
use projection::quarantine::COMMANDS;
use projection::{Generation, JoinKind, Projection, Table};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// The manifest of a micrograph. Names are before any prefix of the deployment.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Its name.
    pub micrograph: &'static str,
    /// Its tables: owned aggregates, projections, quarantine.
    pub tables: Vec<Table>,
    /// The tables of its projections that are kept in the relational store, which makes them itself.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub relational: Vec<Table>,
    /// Its queues, each with a dead-letter queue.
    pub queues: Vec<Queue>,
    /// Its SNS topics.
    pub topics: Vec<Topic>,
    /// What reaches its queues and topics from the bus.
    pub rules: Vec<Rule>,
    /// What reaches its queues from topics, its own or others'.
    pub subscriptions: Vec<TopicSubscription>,
    /// Its functions: one binary, by handler.
    pub functions: Vec<Function>,
    /// What is to be alarmed of, before anything is dropped by age.
    pub alarms: Vec<Alarm>,
    /// The generations of its projections that are deployed with it.
    pub projections: Vec<Projected>,
    /// The events that it publishes, as `<domain>.<Name>.v<major>`.
    pub publishes: Vec<String>,
    /// The events that it consumes, as `<domain>.<Name>`.
    pub consumes: Vec<String>,
    /// The commands that it decides.
    pub decides: Vec<&'static str>,
    /// What it needs besides where there are several regions; none if it owns nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replication: Option<Replication>,
    /// What its projections read of what it consumes; only in [`Manifest::described`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reads: Vec<Reads>,
}

/// What keeps replicas of the aggregates that are at home in other regions.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Replication {
    /// Says where aggregates are at home.
    pub table: Table,
    /// From which replicas come.
    pub queue: Queue,
    /// What reaches the queue: what other regions tell. The own region stands in it as [`OWN_REGION`].
    pub rule: Rule,
    /// Applies it.
    pub function: Function,
}

/// The region of a deployment where a manifest can't know it, as `Fn::Sub` of a template reads it.
pub const OWN_REGION: &str = "${AWS::Region}";

/// An SQS queue with its dead-letter queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Queue {
    /// Its name; a FIFO queue's ends in `.fifo`.
    pub name: String,
    /// Whether it keeps the order of each message group.
    pub fifo: bool,
    /// How long a received message is hidden, in seconds: at least six times its function's timeout and the time in
    /// which a batch is gathered, as Lambda's documentation asks.
    pub visibility_timeout_seconds: u32,
    /// How long a message is kept, in seconds.
    pub retention_seconds: u32,
    /// How often a message is received before it goes to the dead-letter queue.
    pub max_receive_count: u32,
    /// The name of its dead-letter queue, of the same kind, visibility and retention; it is drained into the quarantine.
    pub dead_letter_queue: String,
    /// Under which name what it carries stands in the quarantine.
    pub consumer: String,
}

/// An SNS topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Topic {
    /// Its name.
    pub name: &'static str,
}

/// An EventBridge rule.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Rule {
    /// Its name.
    pub name: String,
    /// The event pattern.
    pub pattern: Value,
    /// Where matching events go.
    #[serde(flatten)]
    pub target: Target,
}

/// The target of a rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Target {
    /// A queue of the micrograph's.
    Queue(String),
    /// A topic of the micrograph's.
    Topic(&'static str),
}

/// A queue's subscription to an SNS topic.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TopicSubscription {
    /// The topic.
    pub topic: &'static str,
    /// The queue.
    pub queue: String,
    /// Whether the message comes without SNS's notification around it.
    pub raw_delivery: bool,
    /// The filter policy on the message's body.
    pub filter_policy: Value,
}

/// A Lambda function of a micrograph.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Function {
    /// Its name; a projection's is that of its table and its queue.
    pub name: String,
    /// The handler's name; it says the role.
    pub handler: String,
    /// What invokes it.
    pub trigger: Trigger,
    /// Timeout in seconds.
    pub timeout_seconds: u32,
    /// Memory in MB.
    pub memory_mb: u32,
    /// The tables that it reads.
    pub reads: Vec<String>,
    /// The tables that it writes.
    pub writes: Vec<String>,
    /// Whether it puts events on the bus.
    pub puts_events: bool,
    /// The tables that it reads as a whole.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scans: Vec<String>,
    /// The queues that it sends to, and looks at; of a projection's, at what takes from it too.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sends: Vec<String>,
    /// The domains whose events it reads in the archive.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub archives: Vec<String>,
    /// What it does in the relational store; none where it doesn't need it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relational: Option<Relation>,
}

/// What a function does in the relational store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Relation {
    /// It makes tables, writes them, and removes them.
    Owns,
    /// It reads them.
    Asks,
}

/// A generation of a projection: a table, a queue and a function of one name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Projected {
    /// The projection's name.
    pub name: &'static str,
    /// The generation.
    pub generation: Generation,
    /// The name of its table, its queue and its function.
    pub deployed: String,
    /// What it folds.
    pub folds: Vec<Folded>,
}

/// An event that a projection folds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Folded {
    /// The event, as `<domain>.<Name>`.
    pub event: String,
    /// What it brings, each once: what an event costs to apply follows from it.
    pub joins: BTreeSet<JoinKind>,
}

/// What is to be alarmed of: a metric that is above a threshold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Alarm {
    /// Its name.
    pub name: String,
    /// The metric, and of what.
    #[serde(flatten)]
    pub metric: AlarmMetric,
    /// The alarm is raised where the maximum in five minutes is above this.
    pub above: u64,
}

/// A metric that is watched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "metric", rename_all = "camelCase")]
pub enum AlarmMetric {
    /// SQS's `ApproximateAgeOfOldestMessage` of a queue, in seconds.
    QueueAge {
        /// The queue.
        queue: String,
    },
    /// SQS's `ApproximateNumberOfMessagesVisible` of a queue.
    QueueDepth {
        /// The queue.
        queue: String,
    },
    /// The metric `QuarantineEntries` of the micrograph, which its function `watch` measures.
    QuarantineEntries,
    /// The metric `PartsDrifted` of a projection, which its function `generations` measures.
    PartsDrifted {
        /// The projection.
        projection: &'static str,
    },
}

/// What invokes a function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum Trigger {
    /// An event source mapping of a queue, with partial batch response.
    #[serde(rename_all = "camelCase")]
    Queue {
        /// The queue.
        queue: String,
        /// The most messages in a batch: 10 for a FIFO queue.
        batch_size: u32,
        /// How long a batch is gathered, in seconds; none for a FIFO queue.
        window_seconds: u32,
        /// How many invocations run at once.
        maximum_concurrency: u32,
    },
    /// Event source mappings of several queues, each with partial batch response and no window.
    #[serde(rename_all = "camelCase")]
    Queues {
        /// The queues.
        queues: Vec<String>,
        /// The most messages in a batch.
        batch_size: u32,
    },
    /// An event source mapping of a table's stream, with partial batch response.
    #[serde(rename_all = "camelCase")]
    Stream {
        /// The table.
        table: String,
        /// The most records in a batch.
        batch_size: u32,
    },
    /// The clock.
    #[serde(rename_all = "camelCase")]
    Schedule {
        /// Minutes from one invocation to the next.
        minutes: u32,
    },
    /// HTTP: a function URL or an API.
    Http,
}

const TIMEOUT: u32 = 30;
/// How long the batch of a consumer is gathered.
const WINDOW: u32 = 1;
const FOURTEEN_DAYS: u32 = 14 * 24 * 3600;
/// The most that Lambda gives: a rebuild goes on in further invocations.
const LONG_TIMEOUT: u32 = 900;
/// The memory with which Lambda gives a processor of its own, in MB.
const ONE_PROCESSOR: u32 = 1_769;
/// How many minutes pass from one drift audit of all projections to the next.
const AUDITED_EVERY: u32 = 24 * 60;

impl Manifest {
    /// The manifest of a micrograph, with the generations of its projections that are deployed with it.
    pub fn of(micrograph: &Micrograph) -> Self {
        let mut manifest = Self::begin(micrograph);
        for subscription in &micrograph.consumes {
            manifest.projected(micrograph, subscription);
        }
        manifest.finish(micrograph)
    }

    /// The same, with what its projections read of what they consume: that is found by folding examples.
    ///
    /// # Errors
    /// Where a projection can't fold the example of an event that it consumes.
    pub fn described(micrograph: &Micrograph) -> Result<Self, reads::Unknown> {
        Ok(Self { reads: reads::of(micrograph)?, ..Self::of(micrograph) })
    }

    /// What a micrograph needs whatever the generations of its projections.
    pub(crate) fn lasting(micrograph: &Micrograph) -> Self {
        Self::begin(micrograph).finish(micrograph)
    }

    fn begin(micrograph: &Micrograph) -> Self {
        let mut manifest = Self {
            micrograph: micrograph.name,
            tables: Vec::new(),
            relational: Vec::new(),
            queues: Vec::new(),
            topics: Vec::new(),
            rules: Vec::new(),
            subscriptions: Vec::new(),
            functions: Vec::new(),
            alarms: Vec::new(),
            projections: Vec::new(),
            publishes: published(micrograph),
            consumes: consumed(micrograph),
            decides: micrograph.decides.keys().copied().collect(),
            replication: Replication::of(micrograph),
            reads: Vec::new(),
        };
        manifest.tables.push(micrograph.quarantine_table());
        if !micrograph.consumes.is_empty() {
            manifest.tables.push(micrograph.generations_table());
        }
        manifest.owned(micrograph);
        manifest
    }

    /// The functions that look after all the rest.
    fn finish(mut self, micrograph: &Micrograph) -> Self {
        let manifest = &mut self;
        if !manifest.queues.is_empty() {
            let queues = manifest.queues.iter().map(|queue| queue.dead_letter_queue.clone()).collect();
            manifest.functions.push(Function {
                trigger: Trigger::Queues { queues, batch_size: 10 },
                reads: vec![micrograph.quarantine_table().name],
                writes: vec![micrograph.quarantine_table().name],
                ..Function::of(micrograph, "dead-letters")
            });
        }
        manifest.watched(micrograph);
        manifest.rebuilt(micrograph);
        if micrograph.serves.is_some() {
            let owned = micrograph.owns.iter().map(|it| micrograph.aggregate_table(it).name);
            let versions = micrograph.consumes.iter().flat_map(Subscription::versions);
            let versions = versions.filter(|it| !it.is_relational());
            let projected = versions.map(|it| it.table(micrograph.name, it.generation()).name);
            let aliases = (!micrograph.consumes.is_empty()).then(|| micrograph.generations_table().name);
            let asks = micrograph.projections().any(Projection::is_relational);
            manifest.functions.push(Function {
                trigger: Trigger::Http,
                relational: asks.then_some(Relation::Asks),
                reads: owned.clone().chain(projected).chain(aliases).collect(),
                // Mutations are commands, decided where they arrive.
                writes: owned.collect(),
                ..Function::of(micrograph, "subgraph")
            });
        }
        self
    }

    fn watched(&mut self, micrograph: &Micrograph) {
        self.functions.push(Function {
            trigger: Trigger::Schedule { minutes: 5 },
            reads: vec![micrograph.quarantine_table().name],
            ..Function::of(micrograph, "watch")
        });
        let entries = AlarmMetric::QuarantineEntries;
        let name = micrograph.quarantine_table().name;
        self.alarms.push(Alarm { name, metric: entries, above: 0 });
        for Queue { name, dead_letter_queue, retention_seconds, .. } in &self.queues {
            // Half of the time is left to do something before messages are gone.
            let half = u64::from(*retention_seconds) / 2;
            for queue in [name, dead_letter_queue] {
                let age = AlarmMetric::QueueAge { queue: queue.clone() };
                self.alarms.push(Alarm { name: format!("{queue}-age"), metric: age, above: half });
            }
            let depth = AlarmMetric::QueueDepth { queue: dead_letter_queue.clone() };
            self.alarms.push(Alarm { name: format!("{dead_letter_queue}-depth"), metric: depth, above: 0 });
        }
    }

    /// What rebuilds its projections and compares them with their sources.
    fn rebuilt(&mut self, micrograph: &Micrograph) {
        if micrograph.consumes.is_empty() {
            return;
        }
        let domains =
            micrograph.projections().flat_map(Projection::consumes).map(|(domain, _)| domain.to_owned());
        let domains: BTreeSet<String> = domains.collect();
        let owned = micrograph.owns.iter().filter(|_| domains.contains(micrograph.name));
        let owned = owned.map(|it| micrograph.aggregate_table(it).name);
        let deployed: Vec<String> = self.projections.iter().map(|it| it.deployed.clone()).collect();
        let aliases = vec![micrograph.generations_table().name];
        let is_relational = |name: &&String| self.relational.iter().any(|table| table.name == **name);
        let scanned: Vec<String> = deployed.iter().filter(|name| !is_relational(name)).cloned().collect();
        self.functions.push(Function {
            trigger: Trigger::Schedule { minutes: AUDITED_EVERY },
            timeout_seconds: LONG_TIMEOUT,
            memory_mb: ONE_PROCESSOR,
            reads: aliases.clone(),
            writes: aliases,
            scans: owned.chain(scanned).collect(),
            sends: deployed,
            archives: domains.into_iter().collect(),
            relational: (!self.relational.is_empty()).then_some(Relation::Owns),
            ..Function::of(micrograph, GENERATIONS)
        });
        for projection in micrograph.projections().map(Projection::name) {
            let name = format!("{}-{projection}-drift", micrograph.name);
            self.alarms.push(Alarm { name, metric: AlarmMetric::PartsDrifted { projection }, above: 0 });
        }
    }

    fn owned(&mut self, micrograph: &Micrograph) {
        let owned: Vec<Table> = micrograph.owns.iter().map(|it| micrograph.aggregate_table(it)).collect();
        if !micrograph.decides.is_empty() {
            let queue = Queue::new(&format!("{}-{COMMANDS}", micrograph.name), COMMANDS, true);
            let names: Vec<String> = owned.iter().map(|table| table.name.clone()).collect();
            self.functions.push(Function {
                trigger: Trigger::Queue {
                    queue: queue.name.clone(),
                    batch_size: 10,
                    window_seconds: 0,
                    maximum_concurrency: 10,
                },
                reads: [names.clone(), vec![micrograph.quarantine_table().name]].concat(),
                writes: [names, vec![micrograph.quarantine_table().name]].concat(),
                ..Function::of(micrograph, COMMANDS)
            });
            self.queues.push(queue);
        }
        for table in &owned {
            self.functions.push(Function {
                name: format!("{}-outbox", table.name),
                trigger: Trigger::Stream { table: table.name.clone(), batch_size: 100 },
                puts_events: true,
                ..Function::of(micrograph, "outbox")
            });
        }
        self.tables.extend(owned);
        if let Some(topic) = micrograph.topic {
            self.topics.push(Topic { name: topic });
            let names: BTreeSet<&str> = micrograph.publishes.iter().map(|it| it.name).collect();
            let pattern = json!({ "source": [event::source(micrograph.name)], "detail-type": names });
            self.rules.push(Rule { name: topic.to_owned(), pattern, target: Target::Topic(topic) });
        }
    }

    fn projected(&mut self, micrograph: &Micrograph, subscription: &Subscription) {
        for folds in subscription.versions() {
            let parts = Parts::of(micrograph, subscription, folds, folds.generation());
            match parts.feed {
                Feed::Rule(rule) => self.rules.push(rule),
                Feed::Topics(subscriptions) => self.subscriptions.extend(subscriptions),
            }
            self.projections.push(Projected {
                name: folds.name(),
                generation: folds.generation(),
                deployed: parts.table.name.clone(),
                folds: folded(folds),
            });
            self.functions.push(parts.function);
            self.queues.push(parts.queue);
            let tables = if parts.table.relational { &mut self.relational } else { &mut self.tables };
            tables.push(parts.table);
        }
    }
}

impl Replication {
    pub(crate) fn of(micrograph: &Micrograph) -> Option<Self> {
        if micrograph.owns.is_empty() {
            return None;
        }
        let queue = Queue::new(&format!("{}-{REPLICAS}", micrograph.name), REPLICAS, false);
        let table = micrograph.homes_table();
        let pattern = json!({
            "source": [event::source(micrograph.name)],
            "detail-type": [regions::REPLICA, regions::HOMES],
            "detail": { "region": [{ "anything-but": [OWN_REGION] }] },
        });
        let owned = micrograph.owns.iter().map(|it| micrograph.aggregate_table(it).name);
        let own = [table.name.clone(), micrograph.quarantine_table().name];
        let tables: Vec<String> = own.into_iter().chain(owned).collect();
        let function = Function {
            trigger: Trigger::Queue {
                queue: queue.name.clone(),
                batch_size: 100,
                window_seconds: WINDOW,
                maximum_concurrency: 5,
            },
            reads: tables.clone(),
            writes: tables,
            ..Function::of(micrograph, REPLICAS)
        };
        let rule = Rule { name: queue.name.clone(), pattern, target: Target::Queue(queue.name.clone()) };
        Some(Self { table, queue, rule, function })
    }

    /// The rule in one region.
    pub fn rule_in(&self, region: &str) -> Rule {
        let mut rule = self.rule.clone();
        rule.pattern["detail"]["region"] = json!([{ "anything-but": [region] }]);
        rule
    }
}

fn published(micrograph: &Micrograph) -> Vec<String> {
    let name = |Published { name, major, .. }: &Published| format!("{}.{name}.v{major}", micrograph.name);
    let names: BTreeSet<String> = micrograph.publishes.iter().map(name).collect();
    names.into_iter().collect()
}

fn consumed(micrograph: &Micrograph) -> Vec<String> {
    let events = micrograph.projections().flat_map(|projection| {
        projection.consumes().map(|(domain, name)| format!("{domain}.{name}")).collect::<Vec<_>>()
    });
    events.collect::<BTreeSet<String>>().into_iter().collect()
}

impl Queue {
    fn new(name: &str, consumer: &str, fifo: bool) -> Self {
        let suffix = if fifo { ".fifo" } else { "" };
        Self {
            dead_letter_queue: format!("{name}-dead-letters{suffix}"),
            name: format!("{name}{suffix}"),
            fifo,
            visibility_timeout_seconds: 6 * TIMEOUT + WINDOW,
            retention_seconds: FOURTEEN_DAYS,
            max_receive_count: 5,
            consumer: consumer.to_owned(),
        }
    }
}

fn folded(folds: &Projection) -> Vec<Folded> {
    let folded =
        |(domain, name)| Folded { event: format!("{domain}.{name}"), joins: folds.joins(domain, name) };
    folds.consumes().map(folded).collect()
}

impl Function {
    /// With this handler, which can do nothing yet.
    fn of(micrograph: &Micrograph, handler: &str) -> Self {
        Self {
            name: format!("{}-{handler}", micrograph.name),
            handler: handler.to_owned(),
            trigger: Trigger::Http,
            timeout_seconds: TIMEOUT,
            memory_mb: 256,
            reads: Vec::new(),
            writes: Vec::new(),
            puts_events: false,
            scans: Vec::new(),
            sends: Vec::new(),
            archives: Vec::new(),
            relational: None,
        }
    }
}
