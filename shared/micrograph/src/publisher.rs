//! The outbox role: carries events from the stream of an owned table to the bus.

use aws_sdk_eventbridge::Client;
use aws_sdk_eventbridge::error::ProvideErrorMetadata;
use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use aws_smithy_types::DateTime;
use contracts::{Header, event};
use futures::StreamExt;
use projection::consumer::ConsumeError;
use projection::delivery::{self, Message};
use projection::json;
use serde_json::{Value, json};
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

/// Publishes events.
#[derive(Clone, Debug)]
pub struct Publisher {
    client: Client,
    bus: String,
}

struct Entry<'a> {
    record: &'a str,
    event: &'a str,
    header: Header<'a>,
}

/// What came of a call.
enum Put<'a> {
    /// These were not taken, the others were.
    Refused(Vec<Entry<'a>>),
    /// None of these was taken, because one of them is not valid.
    Invalid(Vec<Entry<'a>>),
}

impl Publisher {
    /// Publishes to a bus.
    pub fn new(client: Client, bus: impl Into<String>) -> Self {
        Self { client, bus: bus.into() }
    }

    /// Handles one batch of a DynamoDB stream: the events in each new image are put on the bus. Records whose
    /// events the bus did not take are named in the answer.
    ///
    /// # Errors
    /// Where the payload can't be taken apart, and where an event that was handed over alone was not taken.
    pub async fn handle(&self, payload: &[u8]) -> Result<Value, ConsumeError> {
        let delivery = delivery::take_apart(payload)?;
        let mut failed: BTreeSet<&str> = BTreeSet::new();
        let mut entries = Vec::with_capacity(delivery.messages.len());
        for message in &delivery.messages {
            match entry(message) {
                Ok(entry) => entries.push(entry),
                // What stands in the outbox was written by this micrograph: it stays in its table for a later build.
                Err(error) => {
                    let error = json::bounded(error);
                    tracing::error!(error, record = %message.id, "an outbox event can't be read; it is not published");
                }
            }
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

    /// Puts entries on the bus, those that are refused again; gives the records of those that were not taken.
    async fn publish<'a>(&self, mut entries: Vec<Entry<'a>>) -> Vec<&'a str> {
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
        entries.into_iter().map(|entry| entry.record).collect()
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
            tracing::warn!(code, why, event = %entry.header.id, "the bus refused an event");
            refused.push(entry);
        }
        metrics::counter(metrics::EVENTS_PUBLISHED, sent - refused.len() as u64, &[]);
        metrics::counter(metrics::EVENTS_UNPUBLISHED, refused.len() as u64, &[]);
        Put::Refused(refused)
    }

    fn request(&self, entry: &Entry<'_>) -> PutEventsRequestEntry {
        let trace = entry.header.traceparent.as_deref().and_then(telemetry::TraceParent::parse);
        PutEventsRequestEntry::builder()
            .event_bus_name(&self.bus)
            .source(event::source(&entry.header.domain))
            .detail_type(entry.header.name.as_ref())
            .detail(entry.event)
            .time(DateTime::from_millis(entry.header.time.as_millisecond()))
            .set_trace_header(trace.map(telemetry::TraceParent::to_xray))
            .build()
    }
}

fn entry<'a>(message: &'a Message<'a>) -> Result<Entry<'a>, String> {
    if let Some(why) = &message.malformed {
        return Err(why.clone());
    }
    let header = serde_json::from_str(&message.body).map_err(|error| json::describe(&error))?;
    Ok(Entry { record: &message.id, event: &message.body, header })
}

/// Entries in calls that are within the limits of PutEvents.
fn calls(entries: Vec<Entry<'_>>) -> Vec<Vec<Entry<'_>>> {
    let mut calls: Vec<Vec<Entry<'_>>> = Vec::new();
    let mut bytes = 0;
    for entry in entries {
        match calls.last_mut() {
            Some(call) if call.len() < ENTRIES && bytes + entry.event.len() <= CALL_BYTES => {
                bytes += entry.event.len();
                call.push(entry);
            }
            _ => {
                bytes = entry.event.len();
                calls.push(vec![entry]);
            }
        }
    }
    calls
}
