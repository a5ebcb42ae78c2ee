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
        let message = Message { id: Cow::Borrowed(""), body, malformed: None };
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
            id: id.unwrap_or_default(),
            body: Cow::Borrowed(raw),
            malformed: Some(why),
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
                    self.messages.push(Message { id, body: event.text, malformed: None });
                }
            }
            Record { sns: Some(sns), .. } => {
                self.partial = false;
                self.messages.push(Message { id: sns.message_id, body: sns.message, malformed: None });
            }
            Record { message_id: Some(id), body: Some(body), .. } => {
                self.messages.push(Message { id, body, malformed: None });
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

fn name_of(raw: &str) -> Option<Cow<'_, str>> {
    let record: serde_json::Value = serde_json::from_str(raw).ok()?;
    let name = record.get("messageId").or_else(|| record.pointer("/dynamodb/SequenceNumber"))?;
    Some(Cow::Owned(name.as_str()?.to_owned()))
}
