//! EventBridge: a bus with rules, under the real `aws-sdk-eventbridge` client.

pub mod pattern;
mod put;

use std::sync::{Arc, PoisonError, RwLock};

use aws_sdk_eventbridge::config::{BehaviorVersion, Region, StalledStreamProtectionConfig};
use bytes::Bytes;
use serde_json::Value;

pub use self::pattern::{Pattern, PatternError};
pub use self::put::{LARGEST_ENTRY, MOST_ENTRIES};
use crate::connector::{Answer, InProcess, Service};
use crate::queue::{Outgoing, QueueError, Queues, uuid_of};
use crate::topic::{Notification, TopicError, Topics};
use crate::{ACCOUNT, REGION};

/// Where a rule's events go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A queue, which gets the event as the body.
    Queue {
        /// Its name.
        name: String,
        /// The group of each message, for a FIFO queue.
        group: Option<String>,
    },
    /// A topic, which gets the event as the message.
    Topic {
        /// Its name.
        name: String,
    },
}

impl Target {
    /// A standard queue.
    pub fn queue(name: impl Into<String>) -> Self {
        Self::Queue { name: name.into(), group: None }
    }

    /// A topic.
    pub fn topic(name: impl Into<String>) -> Self {
        Self::Topic { name: name.into() }
    }
}

/// Why a rule can't be put.
#[derive(Debug, thiserror::Error)]
pub enum RuleError {
    /// The pattern isn't one.
    #[error("the pattern of the rule {rule:?} is invalid")]
    Pattern {
        /// The rule.
        rule: String,
        /// Why.
        #[source]
        source: PatternError,
    },
    /// A target doesn't exist.
    #[error("the rule {rule:?} has a target that doesn't exist: {target:?}; create it first")]
    NoTarget {
        /// The rule.
        rule: String,
        /// The target.
        target: Target,
    },
}

/// An event bus. Clones share it. Rules are kept in memory: who starts the bus puts them.
#[derive(Debug, Clone)]
pub struct EventBus(Arc<Bus>);

#[derive(Debug)]
struct Bus {
    name: String,
    queues: Queues,
    topics: Topics,
    rules: RwLock<Vec<Rule>>,
}

#[derive(Debug)]
struct Rule {
    name: String,
    pattern: Pattern,
    targets: Vec<Target>,
}

/// An event as it is delivered.
struct Event {
    id: String,
    text: Arc<str>,
    parsed: Value,
}

impl EventBus {
    /// A bus with no rules yet. An event that no rule wants is accepted and gone, as on AWS.
    pub fn new(name: impl Into<String>, queues: Queues, topics: Topics) -> Self {
        Self(Arc::new(Bus { name: name.into(), queues, topics, rules: RwLock::default() }))
    }

    /// The name by which entries address this bus; its ARN does too.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Puts a rule, in place of the one of this name if there is one. Each target gets each matching event once for
    /// each rule.
    pub fn put_rule(&self, name: &str, pattern: &Value, targets: Vec<Target>) -> Result<(), RuleError> {
        let pattern = Pattern::compile(pattern)
            .map_err(|source| RuleError::Pattern { rule: name.to_owned(), source })?;
        for target in &targets {
            let exists = match target {
                Target::Queue { name, .. } => self.0.queues.config(name).is_ok(),
                Target::Topic { name } => self.0.topics.exists(name),
            };
            if !exists {
                return Err(RuleError::NoTarget { rule: name.to_owned(), target: target.clone() });
            }
        }
        let mut rules = self.0.rules.write().unwrap_or_else(PoisonError::into_inner);
        rules.retain(|rule| rule.name != name);
        rules.push(Rule { name: name.to_owned(), pattern, targets });
        Ok(())
    }

    /// Removes a rule, if there is one of this name.
    pub fn delete_rule(&self, name: &str) {
        self.0.rules.write().unwrap_or_else(PoisonError::into_inner).retain(|rule| rule.name != name);
    }

    /// A client of the real SDK. It has `PutEvents`, and answers `UnknownOperationException` to the others; it needs
    /// neither network nor credentials.
    pub fn client(&self) -> aws_sdk_eventbridge::Client {
        let config = aws_sdk_eventbridge::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static(REGION))
            .endpoint_url("http://events.embedded")
            .http_client(InProcess::new(Arc::clone(&self.0)))
            .allow_no_auth()
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .build();
        aws_sdk_eventbridge::Client::from_conf(config)
    }
}

/// Why events could not be delivered; none of them was.
#[derive(Debug, thiserror::Error)]
enum DeliverError {
    #[error(transparent)]
    Queue(#[from] QueueError),
    #[error(transparent)]
    Topic(#[from] TopicError),
}

impl Bus {
    fn deliver(&self, events: &[Event]) -> Result<(), DeliverError> {
        let rules = self.rules.read().unwrap_or_else(PoisonError::into_inner);
        let mut deliveries = Vec::new();
        for event in events {
            for rule in rules.iter().filter(|rule| rule.pattern.matches(&event.parsed)) {
                for target in &rule.targets {
                    match target {
                        Target::Queue { name, group } => {
                            let outgoing = Outgoing {
                                body: Arc::clone(&event.text),
                                group: group.clone(),
                                ..Outgoing::default()
                            };
                            deliveries.push((name.clone(), outgoing));
                        }
                        Target::Topic { name } => {
                            let notification =
                                Notification { message: Arc::clone(&event.text), ..Notification::default() };
                            deliveries.extend(self.topics.deliveries(
                                name,
                                &notification,
                                Some(&event.parsed),
                                &event.id,
                            )?);
                        }
                    }
                }
            }
        }
        drop(rules);
        if !deliveries.is_empty() {
            self.queues.deliver(&deliveries)?;
        }
        Ok(())
    }

    fn is_addressed(&self, bus: Option<&str>) -> bool {
        let name = bus.unwrap_or("default");
        name == self.name
            || name
                .strip_prefix("arn:aws:events:")
                .is_some_and(|arn| arn.ends_with(&format!(":{ACCOUNT}:event-bus/{}", self.name)))
    }

    fn fresh_id(&self) -> String {
        uuid_of(self.queues.fresh_id())
    }
}

impl EventBus {
    pub(crate) fn service(&self) -> Arc<impl Service + use<>> {
        Arc::clone(&self.0)
    }
}

impl Service for Bus {
    const TARGET_PREFIX: &'static str = "AWSEvents.";

    async fn call(self: Arc<Self>, operation: String, body: Bytes) -> Answer {
        if operation == "PutEvents" {
            put::put_events(&self, &body)
        } else {
            Answer::unknown_operation(&operation)
        }
    }
}

/// `2026-11-21T10:00:00.000Z`.
pub(crate) fn rfc3339_millis(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).map(|time| format!("{time:.3}")).unwrap_or_default()
}

/// `2026-11-21T10:00:00Z`.
fn rfc3339_seconds(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).map(|time| format!("{time:.0}")).unwrap_or_default()
}
