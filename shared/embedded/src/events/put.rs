//! `PutEvents`.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::{Bus, Event, rfc3339_seconds};
use crate::connector::Answer;
use crate::{ACCOUNT, REGION};

/// The most entries of a call.
pub const MOST_ENTRIES: usize = 10;

/// The largest entry in bytes: source, detail type, detail, resources, and 14 bytes for a time.
pub const LARGEST_ENTRY: usize = 1024 * 1024;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Request {
    entries: Option<Vec<Entry>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    /// Seconds since the epoch.
    time: Option<f64>,
    source: Option<String>,
    resources: Option<Vec<String>>,
    detail_type: Option<String>,
    detail: Option<String>,
    event_bus_name: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Response {
    failed_entry_count: usize,
    entries: Vec<Outcome>,
}

#[derive(Serialize, Default)]
#[serde(rename_all = "PascalCase")]
struct Outcome {
    #[serde(skip_serializing_if = "Option::is_none")]
    event_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_message: Option<String>,
}

impl Outcome {
    fn failed((code, message): (&'static str, String)) -> Self {
        Self { event_id: None, error_code: Some(code), error_message: Some(message) }
    }
}

#[derive(Serialize)]
struct Envelope<'event> {
    version: &'static str,
    id: &'event str,
    #[serde(rename = "detail-type")]
    detail_type: &'event str,
    source: &'event str,
    account: &'static str,
    time: &'event str,
    region: &'static str,
    resources: &'event [String],
    detail: &'event RawValue,
}

pub(super) fn put_events(bus: &Bus, body: &[u8]) -> Answer {
    let request: Request = match serde_json::from_slice(body) {
        Ok(request) => request,
        Err(error) => return Answer::error(400, "SerializationException", &error.to_string()),
    };
    let entries = request.entries.unwrap_or_default();
    if entries.is_empty() || entries.len() > MOST_ENTRIES {
        let rule = if entries.is_empty() { "greater than or equal to 1" } else { "less than or equal to 10" };
        let message = format!(
            "1 validation error detected: Value at 'entries' failed to satisfy constraint: Member must have length \
             {rule}"
        );
        return Answer::error(400, "ValidationException", &message);
    }
    let mut events = Vec::with_capacity(entries.len());
    let mut outcomes = Vec::with_capacity(entries.len());
    for entry in entries {
        match event(bus, &entry) {
            Ok(event) => {
                outcomes.push(Outcome { event_id: Some(event.id.clone()), ..Outcome::default() });
                events.push(event);
            }
            Err(failure) => outcomes.push(Outcome::failed(failure)),
        }
    }
    if let Err(error) = bus.deliver(&events) {
        tracing::error!(%error, bus = bus.name, "can't deliver events");
        return Answer::error(500, "InternalException", "The events could not be stored; put them again.");
    }
    let failed_entry_count = outcomes.iter().filter(|outcome| outcome.error_code.is_some()).count();
    let response = Response { failed_entry_count, entries: outcomes };
    Answer::ok(serde_json::to_vec(&response).expect("plain data"))
}

type Failure = (&'static str, String);

fn invalid(parameter: &str, reason: &str) -> Failure {
    ("InvalidArgument", format!("Parameter {parameter} is not valid. Reason: {reason}"))
}

fn event(bus: &Bus, entry: &Entry) -> Result<Event, Failure> {
    fn required<'entry>(value: Option<&'entry String>, parameter: &str) -> Result<&'entry str, Failure> {
        let value = value.map(String::as_str).filter(|value| !value.is_empty());
        value.ok_or_else(|| invalid(parameter, &format!("{parameter} is a required argument.")))
    }
    if !bus.is_addressed(entry.event_bus_name.as_deref()) {
        let name = entry.event_bus_name.as_deref().unwrap_or("default");
        return Err(invalid("EventBusName", &format!("Event bus {name} does not exist.")));
    }
    let source = required(entry.source.as_ref(), "Source")?;
    let detail_type = required(entry.detail_type.as_ref(), "DetailType")?;
    let detail = required(entry.detail.as_ref(), "Detail")?;
    let resources = entry.resources.as_deref().unwrap_or_default();
    let size = source.len()
        + detail_type.len()
        + detail.len()
        + resources.iter().map(String::len).sum::<usize>()
        + entry.time.map_or(0, |_| 14);
    if size > LARGEST_ENTRY {
        let reason = format!("The entry has {size} bytes, and {LARGEST_ENTRY} are the most.");
        return Err(invalid("Entry", &reason));
    }
    if source.starts_with("aws.") {
        let message = format!("Not authorized for the source: {source}");
        return Err(("NotAuthorizedForSourceException", message));
    }
    let malformed = || ("MalformedDetail", "Detail is malformed.".to_owned());
    let raw: &RawValue = serde_json::from_str(detail).map_err(|_| malformed())?;
    let parsed: Map<String, Value> = serde_json::from_str(detail).map_err(|_| malformed())?;
    let now = bus.queues.clock().now_ms();
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a float's cast saturates, and the time is checked next"
    )]
    let time = rfc3339_seconds(entry.time.map_or(now, |seconds| (seconds * 1_000.0) as i64));
    if time.is_empty() {
        return Err(invalid("Time", "Time is out of range."));
    }
    let id = bus.fresh_id();
    let envelope = Envelope {
        version: "0",
        id: &id,
        detail_type,
        source,
        account: ACCOUNT,
        time: &time,
        region: REGION,
        resources,
        detail: raw,
    };
    let text = serde_json::to_string(&envelope).expect("plain data");
    let parsed = serde_json::json!({
        "version": "0",
        "id": id,
        "detail-type": detail_type,
        "source": source,
        "account": ACCOUNT,
        "time": time,
        "region": REGION,
        "resources": resources,
        "detail": parsed,
    });
    Ok(Event { id, text: text.into(), parsed })
}
