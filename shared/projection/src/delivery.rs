//! What Lambda is handed, taken apart message by message: one bad message never hides its neighbours.
//!
//! Known are SQS batches, DynamoDB streams of tables with an inline outbox, SNS and EventBridge invocations, and a
//! bare envelope, as the event source mappings and services document them.

use crate::json;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// The attribute of an item in which its last events stand, each as the JSON text of its envelope.
pub const OUTBOX: &str = "events";

/// The message attribute that says which entry of the quarantine a message was redriven from.
pub const REDRIVE: &str = "redrive";

/// The message attribute that says that what a message tells was found missing: a warm container's memory of having
/// stored it doesn't count.
pub const REPAIR: &str = "repair";

/// A payload, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery<'a> {
    /// Whether failed messages are named in the answer; where they can't be, the invocation fails as a whole.
    pub partial: bool,
    /// The messages. One record may hold several, under one id.
    pub messages: Vec<Message<'a>>,
}

/// One message of a payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// What names its record in `batchItemFailures`.
    pub id: Cow<'a, str>,
    /// Its body, or the record as it came where the body can't be found.
    pub body: Cow<'a, str>,
    /// What is wrong with the record itself.
    pub malformed: Option<String>,
    /// The entry of the quarantine that it was redriven from, as its attribute [`REDRIVE`] says.
    pub redrive: Option<Cow<'a, str>>,
    /// Whether what it tells was found missing, as its attribute [`REPAIR`] says.
    pub repair: bool,
    /// The queue that it came from.
    pub queue: Option<Cow<'a, str>>,
    /// How often it has come, this time included, as its queue counts.
    pub receives: u32,
    /// When it came first, in milliseconds since 1970, as its queue says.
    pub first_received: Option<i64>,
}

impl<'a> Message<'a> {
    /// A message that came by itself.
    pub fn alone(body: &'a str) -> Self {
        Self::new(Cow::Borrowed(""), Cow::Borrowed(body))
    }

    fn new(id: Cow<'a, str>, body: Cow<'a, str>) -> Self {
        Self {
            id,
            body,
            malformed: None,
            redrive: None,
            repair: false,
            queue: None,
            receives: 1,
            first_received: None,
        }
    }
}

/// The payload is not JSON, or no JSON object.
#[derive(Debug, thiserror::Error)]
#[error("the payload is not an object of JSON")]
pub struct NotJson(#[source] serde_json::Error);

#[derive(Deserialize)]
struct Payload<'a> {
    #[serde(rename = "Records", borrow, default)]
    records: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
struct Record<'a> {
    #[serde(rename = "eventSource", alias = "EventSource", borrow, default)]
    source: Option<Cow<'a, str>>,
    #[serde(rename = "messageId", borrow, default)]
    message_id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    body: Option<Cow<'a, str>>,
    #[serde(rename = "Sns", borrow, default)]
    sns: Option<Sns<'a>>,
    #[serde(borrow, default)]
    dynamodb: Option<Change<'a>>,
    #[serde(rename = "messageAttributes", borrow, default)]
    attributes: Option<&'a RawValue>,
    #[serde(rename = "attributes", borrow, default)]
    system: Option<&'a RawValue>,
    #[serde(rename = "eventSourceARN", borrow, default)]
    source_arn: Option<Cow<'a, str>>,
}

/// The one message attribute that is read; others may be anything.
#[derive(Default, Deserialize)]
struct Attributes<'a> {
    #[serde(borrow, default)]
    redrive: Option<Attribute<'a>>,
    #[serde(borrow, default)]
    repair: Option<Attribute<'a>>,
}

/// What a queue says of a message, each as text; what can't be read is as if it weren't there.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct System<'a> {
    #[serde(borrow, default)]
    approximate_receive_count: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    approximate_first_receive_timestamp: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Attribute<'a> {
    #[serde(rename = "stringValue", borrow)]
    text: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Sns<'a> {
    #[serde(rename = "MessageId", borrow)]
    message_id: Cow<'a, str>,
    #[serde(rename = "Message", borrow)]
    message: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Change<'a> {
    #[serde(rename = "SequenceNumber", borrow)]
    sequence_number: Cow<'a, str>,
    #[serde(rename = "NewImage", borrow, default)]
    new_image: Option<Image<'a>>,
}

#[derive(Deserialize)]
struct Image<'a> {
    #[serde(borrow, default)]
    events: Option<List<'a>>,
}

#[derive(Deserialize)]
struct List<'a> {
    #[serde(rename = "L", borrow)]
    items: Vec<Text<'a>>,
}

#[derive(Deserialize)]
struct Text<'a> {
    #[serde(rename = "S", borrow)]
    text: Cow<'a, str>,
}

/// Takes a payload apart.
pub fn take_apart(payload: &[u8]) -> Result<Delivery<'_>, NotJson> {
    let parsed: Payload<'_> = serde_json::from_slice(payload).map_err(NotJson)?;
    let Some(records) = parsed.records else {
        let body = String::from_utf8_lossy(payload);
        let message = Message::new(Cow::Borrowed(""), body);
        return Ok(Delivery { partial: false, messages: vec![message] });
    };
    let mut delivery = Delivery { partial: true, messages: Vec::with_capacity(records.len()) };
    for record in records {
        delivery.take(record.get());
    }
    Ok(delivery)
}

impl<'a> Delivery<'a> {
    fn take(&mut self, raw: &'a str) {
        let broken = |id: Option<Cow<'a, str>>, why: String| Message {
            malformed: Some(why),
            ..Message::new(id.unwrap_or_default(), Cow::Borrowed(raw))
        };
        let record = match serde_json::from_str::<Record<'_>>(raw) {
            Ok(record) => record,
            Err(error) => {
                // The record's name in the answer may still be there; without it the whole batch would come again.
                self.messages.push(broken(name_of(raw), json::describe(&error)));
                return;
            }
        };
        match record {
            Record { dynamodb: Some(change), .. } => {
                let events = change.new_image.and_then(|image| image.events).map(|list| list.items);
                for event in events.unwrap_or_default() {
                    let id = change.sequence_number.clone();
                    self.messages.push(Message::new(id, event.text));
                }
            }
            Record { sns: Some(sns), .. } => {
                self.partial = false;
                self.messages.push(Message::new(sns.message_id, sns.message));
            }
            Record { message_id: Some(id), body: Some(body), attributes, system, source_arn, .. } => {
                let system: Option<System<'_>> = system.and_then(|it| serde_json::from_str(it.get()).ok());
                let system = system.unwrap_or_default();
                let receives = system.approximate_receive_count.and_then(|it| it.parse().ok()).unwrap_or(1);
                let first_received =
                    system.approximate_first_receive_timestamp.and_then(|it| it.parse().ok());
                let attributes = attributes.and_then(|it| serde_json::from_str(it.get()).ok());
                let Attributes { redrive, repair } = attributes.unwrap_or_default();
                let queue = source_arn.map(|arn| match arn {
                    Cow::Borrowed(arn) => Cow::Borrowed(queue_in(arn)),
                    Cow::Owned(arn) => Cow::Owned(queue_in(&arn).to_owned()),
                });
                let redrive = redrive.map(|attribute| attribute.text);
                let repair = repair.is_some();
                let message = Message::new(id, body);
                self.messages.push(Message { redrive, repair, queue, receives, first_received, ..message });
            }
            Record { message_id, source, .. } => {
                let why = format!(
                    "a record of {} without a body",
                    source.as_deref().unwrap_or("an unknown source")
                );
                self.messages.push(broken(message_id, why));
            }
        }
    }
}

fn queue_in(arn: &str) -> &str {
    arn.rsplit(':').next().unwrap_or(arn)
}

fn name_of(raw: &str) -> Option<Cow<'_, str>> {
    let record: serde_json::Value = serde_json::from_str(raw).ok()?;
    let name = record.get("messageId").or_else(|| record.pointer("/dynamodb/SequenceNumber"))?;
    Some(Cow::Owned(name.as_str()?.to_owned()))
}
