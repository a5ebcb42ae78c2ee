//! SNS: topics that fan out to queues.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use serde_json::{Value, json};

use crate::events::Pattern;
use crate::queue::{Outgoing, QueueError, Queues, uuid_of};
use crate::{ACCOUNT, REGION};

/// The largest message that a topic takes, in bytes, where its queues do.
pub const LARGEST_MESSAGE: usize = 1024 * 1024;

/// A queue that gets what is published to a topic.
#[derive(Debug, Clone, PartialEq)]
pub struct Subscription {
    /// The queue's name.
    pub queue: String,
    /// Whether the message's text is the body as it is; else SNS's notification wraps it.
    pub raw: bool,
    /// What the message must match, read as JSON (SNS's filter policy with the scope `MessageBody`).
    pub filter: Option<Pattern>,
}

/// A message to publish.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Notification {
    /// The text.
    pub message: Arc<str>,
    /// A subject, which raw delivery leaves out.
    pub subject: Option<String>,
    /// `MessageAttributes` as SNS shows them: `{"name": {"Type", "Value"}}`.
    pub attributes: Option<Value>,
    /// The group, for FIFO queues.
    pub group: Option<String>,
    /// What FIFO queues deduplicate by.
    pub deduplication_id: Option<String>,
}

/// Why a topic can't do as asked.
#[derive(Debug, thiserror::Error)]
pub enum TopicError {
    /// No topic has this name.
    #[error("there is no topic {0:?}: create it first")]
    UnknownTopic(String),
    /// The message is too large.
    #[error("a message of {size} bytes is too large for the topic {topic:?}: at most {LARGEST_MESSAGE}")]
    TooLarge {
        /// The topic.
        topic: String,
        /// The message's size in bytes.
        size: usize,
    },
    /// A queue can't be used.
    #[error(transparent)]
    Queue(#[from] QueueError),
}

/// All topics of this process. Clones share them. They keep nothing: a message is in its queues or nowhere.
#[derive(Debug, Clone)]
pub struct Topics {
    queues: Queues,
    by_name: Arc<RwLock<HashMap<String, Vec<Subscription>>>>,
}

impl Topics {
    /// No topics yet.
    pub fn new(queues: Queues) -> Self {
        Self { queues, by_name: Arc::default() }
    }

    /// Creates a topic, if there is none of the name.
    pub fn create(&self, topic: &str) {
        self.by_name.write().unwrap_or_else(PoisonError::into_inner).entry(topic.to_owned()).or_default();
    }

    /// Whether there is a topic of this name.
    pub fn exists(&self, topic: &str) -> bool {
        self.by_name.read().unwrap_or_else(PoisonError::into_inner).contains_key(topic)
    }

    /// Subscribes a queue, which must exist, in place of its earlier subscription if it has one.
    pub fn subscribe(&self, topic: &str, subscription: Subscription) -> Result<(), TopicError> {
        self.queues.config(&subscription.queue)?;
        let mut topics = self.by_name.write().unwrap_or_else(PoisonError::into_inner);
        let subscriptions =
            topics.get_mut(topic).ok_or_else(|| TopicError::UnknownTopic(topic.to_owned()))?;
        subscriptions.retain(|earlier| earlier.queue != subscription.queue);
        subscriptions.push(subscription);
        Ok(())
    }

    /// Ends a queue's subscription, if it has one.
    pub fn unsubscribe(&self, topic: &str, queue: &str) {
        let mut topics = self.by_name.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(subscriptions) = topics.get_mut(topic) {
            subscriptions.retain(|subscription| subscription.queue != queue);
        }
    }

    /// Publishes a message: it is durable in every subscribed queue that wants it once this returns. Returns its id.
    pub fn publish(&self, topic: &str, notification: &Notification) -> Result<String, TopicError> {
        let size = notification.message.len();
        if size > LARGEST_MESSAGE {
            return Err(TopicError::TooLarge { topic: topic.to_owned(), size });
        }
        let id = uuid_of(self.queues.fresh_id());
        let deliveries = self.deliveries(topic, notification, None, &id)?;
        self.queues.deliver(&deliveries)?;
        Ok(id)
    }

    /// What goes into which queue. `parsed` saves parsing the message once more.
    pub(crate) fn deliveries(
        &self,
        topic: &str,
        notification: &Notification,
        parsed: Option<&Value>,
        id: &str,
    ) -> Result<Vec<(String, Outgoing)>, TopicError> {
        let topics = self.by_name.read().unwrap_or_else(PoisonError::into_inner);
        let subscriptions = topics.get(topic).ok_or_else(|| TopicError::UnknownTopic(topic.to_owned()))?;
        let own;
        let parsed = match parsed {
            Some(parsed) => Some(parsed),
            None if subscriptions.iter().any(|subscription| subscription.filter.is_some()) => {
                own = serde_json::from_str(&notification.message).ok();
                own.as_ref()
            }
            None => None,
        };
        let mut wrapped: Option<Arc<str>> = None;
        let deliveries = subscriptions
            .iter()
            .filter(|subscription| {
                let matches = |filter: &Pattern| parsed.is_some_and(|message| filter.matches(message));
                subscription.filter.as_ref().is_none_or(matches)
            })
            .map(|subscription| {
                let body = if subscription.raw {
                    Arc::clone(&notification.message)
                } else {
                    Arc::clone(wrapped.get_or_insert_with(|| self.wrap(topic, notification, id)))
                };
                let outgoing = Outgoing {
                    body,
                    attributes: notification.attributes.as_ref().filter(|_| subscription.raw).map(as_sqs),
                    delay: None,
                    group: notification.group.clone(),
                    deduplication_id: notification.deduplication_id.clone(),
                };
                (subscription.queue.clone(), outgoing)
            });
        Ok(deliveries.collect())
    }

    fn wrap(&self, topic: &str, notification: &Notification, id: &str) -> Arc<str> {
        let mut wrapped = json!({
            "Type": "Notification",
            "MessageId": id,
            "TopicArn": topic_arn(topic),
            "Message": &*notification.message,
            "Timestamp": crate::events::rfc3339_millis(self.queues.clock().now_ms()),
            "SignatureVersion": "1",
            "Signature": "",
            "SigningCertURL": "",
            "UnsubscribeURL": "",
        });
        if let Some(subject) = &notification.subject {
            wrapped["Subject"] = json!(subject);
        }
        if let Some(attributes) = &notification.attributes {
            wrapped["MessageAttributes"] = attributes.clone();
        }
        wrapped.to_string().into()
    }
}

/// SNS's attributes, as SQS shows them after a raw delivery.
fn as_sqs(attributes: &Value) -> Value {
    let attributes = attributes.as_object().into_iter().flatten().map(|(name, attribute)| {
        let shown = json!({ "stringValue": attribute["Value"], "dataType": attribute["Type"] });
        (name.clone(), shown)
    });
    Value::Object(attributes.collect())
}

/// The ARN of a topic.
pub fn topic_arn(topic: &str) -> String {
    format!("arn:aws:sns:{REGION}:{ACCOUNT}:{topic}")
}
