//! The outbox role: carries events from the stream of an owned table to the bus.

use crate::declaration::Micrograph;
use crate::environment::Environment;
use crate::regions::{HOMES, Homes, REPLICA};
use aws_sdk_eventbridge::Client;
use aws_sdk_eventbridge::error::ProvideErrorMetadata;
use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use aws_smithy_types::DateTime;
use contracts::{Header, event};
use futures::StreamExt;
use projection::consumer::ConsumeError;
use projection::delivery::{self, Message};
use projection::json;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::time::Duration;
use telemetry::metrics;

/// The entries that one call of PutEvents takes.
const ENTRIES: usize = 10;

/// The bytes of all entries that one call of PutEvents takes, with room for what surrounds the details.
const CALL_BYTES: usize = 1_000_000;

/// How often an entry that the bus refused is sent again before the stream is asked to deliver it again.
const TRIES: u32 = 5;

/// How many calls are under way at once.
const CONCURRENT_CALLS: usize = 4;

/// The bytes of the largest image that is told to other regions; the store keeps 400 KB of an item.
const LARGEST_IMAGE: usize = 900_000;

/// Publishes events.
#[derive(Clone, Debug)]
pub struct Publisher {
    client: Client,
    bus: String,
    micrograph: &'static str,
    region: String,
    table_prefix: String,
    /// Whether other regions are told of the aggregates that are at home here.
    replicates: bool,
}

/// What is put on the bus.
struct Entry<'a> {
    /// The stream's record that it comes from.
    record: Cow<'a, str>,
    source: String,
    detail_type: Cow<'a, str>,
    detail: Cow<'a, str>,
    time: Option<DateTime>,
    trace: Option<String>,
}

/// The bus did not take something.
#[derive(Debug, thiserror::Error)]
#[error("the bus did not take {0}; it is safe to try again")]
pub struct PublishError(&'static str);

/// The records of a stream, looked at for images.
#[derive(Deserialize)]
struct Records<'a> {
    #[serde(rename = "Records", borrow, default)]
    records: Vec<Record<'a>>,
}

#[derive(Deserialize)]
struct Record<'a> {
    #[serde(rename = "eventSourceARN", borrow, default)]
    arn: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    dynamodb: Option<Change<'a>>,
}

#[derive(Deserialize)]
struct Change<'a> {
    #[serde(rename = "SequenceNumber", borrow)]
    sequence_number: Cow<'a, str>,
    #[serde(rename = "NewImage", borrow, default)]
    new_image: Option<&'a RawValue>,
}

/// Where an item was written, which is all that is looked at of an image: it goes out as it came.
#[derive(Deserialize)]
struct Image<'a> {
    #[serde(borrow, default)]
    region: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Text<'a> {
    #[serde(rename = "S", borrow)]
    text: Cow<'a, str>,
}

/// What came of a call.
enum Put<'a> {
    /// These were not taken, the others were.
    Refused(Vec<Entry<'a>>),
    /// None of these was taken, because one of them is not valid.
    Invalid(Vec<Entry<'a>>),
}

impl Publisher {
    /// Publishes what a micrograph stores.
    pub(crate) fn new(micrograph: &Micrograph, environment: &Environment) -> Self {
        Self {
            client: environment.eventbridge.clone(),
            bus: environment.bus.clone(),
            micrograph: micrograph.name(),
            region: environment.region.clone(),
            table_prefix: environment.table_prefix.clone(),
            replicates: environment.regions.is_some(),
        }
    }

    /// Handles one batch of a DynamoDB stream: the events in each new image are put on the bus, and the image itself
    /// where there are other regions. What came from another region was published there. Records of which the bus did
    /// not take something are named in the answer.
    ///
    /// # Errors
    /// Where the payload can't be taken apart, and where an event that was handed over alone was not taken.
    pub async fn handle(&self, payload: &[u8]) -> Result<Value, ConsumeError> {
        let delivery = delivery::take_apart(payload)?;
        let mut failed: BTreeSet<String> = BTreeSet::new();
        let mut entries = Vec::with_capacity(delivery.messages.len());
        for message in &delivery.messages {
            match entry(message) {
                Ok((entry, region)) if !self.replicates || region == self.region => entries.push(entry),
                Ok(_) => {}
                // What stands in the outbox was written by this micrograph: it stays in its table for a later build.
                Err(error) => {
                    let error = json::bounded(error);
                    tracing::error!(error, record = %message.id, "an outbox event can't be read; it is not published");
                }
            }
        }
        if self.replicates {
            entries.extend(self.replicas(payload));
        }
        // Collected first: a closure over borrowed entries inside the stream would not be Send for every lifetime.
        let calls: Vec<_> = calls(entries).into_iter().map(|call| self.publish(call)).collect();
        let mut calls = futures::stream::iter(calls).buffer_unordered(CONCURRENT_CALLS);
        while let Some(refused) = calls.next().await {
            failed.extend(refused);
        }
        if !delivery.partial && !failed.is_empty() {
            return Err(ConsumeError::Unfinished);
        }
        let failures: Vec<Value> = failed.iter().map(|id| json!({ "itemIdentifier": id })).collect();
        Ok(json!({ "batchItemFailures": failures }))
    }

    /// The images of what was written here, for the other regions.
    fn replicas<'a>(&self, payload: &'a [u8]) -> Vec<Entry<'a>> {
        let Ok(Records { records }) = serde_json::from_slice::<Records<'a>>(payload) else {
            return Vec::new();
        };
        let mut entries = Vec::with_capacity(records.len());
        for Record { arn, dynamodb } in records {
            let Some(Change { sequence_number, new_image: Some(image) }) = dynamodb else { continue };
            let written = serde_json::from_str::<Image<'_>>(image.get()).ok().and_then(|image| image.region);
            if written.is_none_or(|region| region.text != self.region) {
                continue;
            }
            let table = arn.as_deref().and_then(|arn| arn.split('/').nth(1));
            let Some(table) = table.and_then(|table| table.strip_prefix(self.table_prefix.as_str())) else {
                continue;
            };
            if image.get().len() > LARGEST_IMAGE {
                tracing::error!(
                    table,
                    bytes = image.get().len(),
                    "an image is too large for the bus: other regions don't get it"
                );
                continue;
            }
            let (region, table, image) = (json!(self.region), json!(table), image.get());
            let detail = format!(r#"{{"region":{region},"replica":{{"table":{table},"image":{image}}}}}"#);
            entries.push(Entry {
                record: sequence_number,
                source: event::source(self.micrograph),
                detail_type: REPLICA.into(),
                detail: detail.into(),
                time: None,
                trace: None,
            });
        }
        entries
    }

    /// Tells the other regions where the micrograph's aggregates are at home.
    pub(crate) async fn tell_homes(&self, homes: &Homes) -> Result<(), PublishError> {
        let entry = Entry {
            record: "homes".into(),
            source: event::source(self.micrograph),
            detail_type: HOMES.into(),
            detail: json!({ "region": self.region, "homes": homes }).to_string().into(),
            time: None,
            trace: None,
        };
        let left = self.publish(vec![entry]).await;
        if left.is_empty() { Ok(()) } else { Err(PublishError("where aggregates are at home")) }
    }

    /// Puts entries on the bus, those that are refused again; gives the records of those that were not taken.
    async fn publish(&self, mut entries: Vec<Entry<'_>>) -> Vec<String> {
        for attempt in 0..TRIES {
            if attempt > 0 {
                tokio::time::sleep(Duration::from_millis(25 << attempt)).await;
            }
            entries = match self.put(entries).await {
                Put::Refused(refused) if refused.is_empty() => return Vec::new(),
                Put::Refused(refused) => refused,
                // One entry that is not valid fails the call: its neighbours go without it.
                Put::Invalid(entries) => {
                    let mut left = Vec::new();
                    for entry in entries {
                        let (Put::Refused(refused) | Put::Invalid(refused)) = self.put(vec![entry]).await;
                        left.extend(refused);
                    }
                    left
                }
            };
        }
        entries.into_iter().map(|entry| entry.record.into_owned()).collect()
    }

    /// Makes one call.
    async fn put<'a>(&self, entries: Vec<Entry<'a>>) -> Put<'a> {
        let request = entries.iter().map(|entry| self.request(entry)).collect();
        let sent = entries.len() as u64;
        let answer = match self.client.put_events().set_entries(Some(request)).send().await {
            Ok(answer) => answer,
            Err(error) => {
                let invalid = error.code() == Some("ValidationException");
                let error = telemetry::error_chain(&error);
                tracing::warn!(error, entries = sent, "PutEvents failed");
                metrics::counter(metrics::EVENTS_UNPUBLISHED, sent, &[]);
                return if invalid && sent > 1 { Put::Invalid(entries) } else { Put::Refused(entries) };
            }
        };
        let mut refused = Vec::new();
        for (position, entry) in entries.into_iter().enumerate() {
            // What the answer says nothing of was not taken.
            let result = answer.entries().get(position);
            if result.is_some_and(|it| it.error_code().is_none()) {
                continue;
            }
            let code = result.and_then(|it| it.error_code());
            let why = result.and_then(|it| it.error_message());
            let (kind, record) = (&entry.detail_type, &entry.record);
            tracing::warn!(code, why, %kind, %record, "the bus refused an event");
            refused.push(entry);
        }
        metrics::counter(metrics::EVENTS_PUBLISHED, sent - refused.len() as u64, &[]);
        metrics::counter(metrics::EVENTS_UNPUBLISHED, refused.len() as u64, &[]);
        Put::Refused(refused)
    }

    fn request(&self, entry: &Entry<'_>) -> PutEventsRequestEntry {
        PutEventsRequestEntry::builder()
            .event_bus_name(&self.bus)
            .source(&entry.source)
            .detail_type(entry.detail_type.as_ref())
            .detail(entry.detail.as_ref())
            .set_time(entry.time)
            .set_trace_header(entry.trace.clone())
            .build()
    }
}

/// An event of the outbox, and the region that published it.
fn entry<'a>(message: &'a Message<'a>) -> Result<(Entry<'a>, Cow<'a, str>), String> {
    if let Some(why) = &message.malformed {
        return Err(why.clone());
    }
    let header: Header<'a> = serde_json::from_str(&message.body).map_err(|error| json::describe(&error))?;
    let trace = header.traceparent.as_deref().and_then(telemetry::TraceParent::parse);
    let entry = Entry {
        record: Cow::Borrowed(message.id.as_ref()),
        source: event::source(&header.domain),
        detail_type: header.name,
        detail: Cow::Borrowed(message.body.as_ref()),
        time: Some(DateTime::from_millis(header.time.as_millisecond())),
        trace: trace.map(telemetry::TraceParent::to_xray),
    };
    Ok((entry, header.region))
}

/// Entries in calls that are within the limits of PutEvents.
fn calls(entries: Vec<Entry<'_>>) -> Vec<Vec<Entry<'_>>> {
    let mut calls: Vec<Vec<Entry<'_>>> = Vec::new();
    let mut bytes = 0;
    for entry in entries {
        match calls.last_mut() {
            Some(call) if call.len() < ENTRIES && bytes + entry.detail.len() <= CALL_BYTES => {
                bytes += entry.detail.len();
                call.push(entry);
            }
            _ => {
                bytes = entry.detail.len();
                calls.push(vec![entry]);
            }
        }
    }
    calls
}
