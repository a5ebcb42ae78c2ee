//! The account as the place where generations live. The stack of a service makes and removes their parts; what is done
//! here is to see that they are there, to send to their queues, and to look at these.

use super::{Site, SiteError};
use crate::app::App;
use crate::aws::{Call, Failure, Signed};
use crate::manifest::Parts;
use async_trait::async_trait;
use aws_sdk_dynamodb::operation::describe_table::DescribeTableError;
use futures::StreamExt;
use jiff::Timestamp;
use projection::Generation;
use projection::delivery::REPAIR;
use projection::dynamodb::failure;
use projection::generation::Alias;
use reqwest::Method;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// The messages that one call takes.
const ENTRIES: usize = 10;
/// The bytes that one call takes, unless one message alone has more: SQS takes four times as much.
const CALL_BYTES: usize = 256 * 1024;
/// How many calls are under way at once.
const CONCURRENT_CALLS: usize = 8;
/// How often a call, or a message that SQS did not take, is tried.
const TRIES: u32 = 6;
/// How long SQS and Lambda may take to answer.
const ANSWER: Duration = Duration::from_secs(20);

/// How long a queue must look empty: the numbers that SQS tells are approximate, and right a minute after the last message
/// (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_GetQueueAttributes.html>).
pub const QUIET: Duration = Duration::from_mins(1);
/// A queue that is never empty, because events keep coming, is settled when fewer than this wait at each look ...
const FEW: u64 = 1_000;
/// ... for so long: a batch of any function that reads from a queue is gathered and handled within it.
const BUSY: Duration = Duration::from_mins(3);

/// The account and region that a function runs in.
#[derive(Debug)]
pub struct Account {
    signed: Signed,
    region: String,
    /// What names are put behind.
    prefix: String,
    quiet: Duration,
    urls: Mutex<BTreeMap<String, String>>,
}

/// Why a call of SQS or Lambda failed.
#[derive(Debug, thiserror::Error)]
enum CallError {
    /// There is no answer.
    #[error("there is no answer")]
    Unanswered(#[source] Failure),
    /// It was refused.
    #[error("it was refused with {status}: {code} {message}")]
    Refused { status: u16, code: String, message: String },
    /// Of some messages SQS says that they will never be taken.
    #[error("{count} messages are not taken: {code}")]
    Messages { count: usize, code: String },
}

/// A part of a generation that no stack has made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} has no {what}: {how}")]
pub struct NotDeployed {
    /// The generation's name.
    pub name: String,
    /// What is missing.
    pub what: &'static str,
    /// What makes it.
    pub how: String,
}

/// What waits in a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Waiting {
    /// Messages that nobody took yet.
    untouched: u64,
    /// Messages in the hands of a function.
    taken: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Attributes {
    #[serde(default)]
    attributes: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Url {
    queue_url: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Sent {
    #[serde(default)]
    successful: Vec<Taken>,
    #[serde(default)]
    failed: Vec<NotTaken>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Taken {
    id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct NotTaken {
    #[serde(default)]
    sender_fault: bool,
    #[serde(default)]
    code: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Mappings {
    #[serde(default)]
    event_source_mappings: Vec<Mapping>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Mapping {
    #[serde(default)]
    event_source_arn: String,
    #[serde(default)]
    state: String,
}

#[derive(Default, Deserialize)]
struct Refusal {
    #[serde(rename = "__type", default)]
    kind: String,
    #[serde(alias = "Message", default)]
    message: String,
}

impl Account {
    /// With the credentials and the endpoint of a configuration; none without credentials. A queue has settled once it
    /// looked empty for `quiet`.
    pub fn new(
        config: &aws_config::SdkConfig,
        region: &str,
        prefix: &str,
        quiet: Duration,
        clock: fn() -> Timestamp,
    ) -> Option<Self> {
        Some(Self {
            signed: Signed::new(config, ANSWER, clock)?,
            region: region.to_owned(),
            prefix: prefix.to_owned(),
            quiet,
            urls: Mutex::default(),
        })
    }

    /// Calls SQS, again while it makes sense.
    async fn sqs<T: DeserializeOwned>(&self, operation: &str, body: &Value) -> Result<T, CallError> {
        let target = format!("AmazonSQS.{operation}");
        let headers = [("content-type", "application/x-amz-json-1.0"), ("x-amz-target", target.as_str())];
        self.call("sqs", &Method::POST, "/", &headers, &body.to_string()).await
    }

    async fn call<T: DeserializeOwned>(
        &self,
        service: &str,
        method: &Method,
        path: &str,
        headers: &[(&'static str, &str)],
        body: &str,
    ) -> Result<T, CallError> {
        let mut attempt = 0;
        loop {
            let (method, region, body) = (method.clone(), self.region.as_str(), body.to_owned());
            let call = Call { service, region, method, path, headers, body };
            let failed = match self.once(call).await {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed,
            };
            attempt += 1;
            let again = match &failed {
                CallError::Unanswered(_) => true,
                CallError::Refused { status, code, .. } => {
                    *status >= 500 || *status == 429 || code.contains("Thrott")
                }
                CallError::Messages { .. } => false,
            };
            if !again || attempt == TRIES {
                return Err(failed);
            }
            tokio::time::sleep(pause(attempt)).await;
        }
    }

    async fn once<T: DeserializeOwned>(&self, call: Call<'_>) -> Result<T, CallError> {
        let response = self.signed.send(call).await.map_err(CallError::Unanswered)?;
        let status = response.status();
        let body = response.bytes().await.map_err(|error| CallError::Unanswered(error.into()))?;
        if !status.is_success() {
            let Refusal { kind: code, message } = serde_json::from_slice(&body).unwrap_or_default();
            return Err(CallError::Refused { status: status.as_u16(), code, message });
        }
        serde_json::from_slice(&body).map_err(|error| CallError::Unanswered(error.into()))
    }

    /// The address of a queue; none where there is no such queue.
    async fn url(&self, queue: &str) -> Result<Option<String>, CallError> {
        let known = self.urls.lock().unwrap_or_else(PoisonError::into_inner).get(queue).cloned();
        if known.is_some() {
            return Ok(known);
        }
        let name = format!("{}{queue}", self.prefix);
        match self.sqs::<Url>("GetQueueUrl", &json!({ "QueueName": name })).await {
            Ok(Url { queue_url }) => {
                let mut urls = self.urls.lock().unwrap_or_else(PoisonError::into_inner);
                urls.insert(queue.to_owned(), queue_url.clone());
                Ok(Some(queue_url))
            }
            Err(CallError::Refused { code, .. })
                if code.contains("QueueDoesNotExist") || code.contains("NonExistentQueue") =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    async fn known(&self, queue: &str) -> Result<String, SiteError> {
        let found =
            self.url(queue).await.map_err(|error| SiteError::new(format!("finding {queue}"), error))?;
        found.ok_or_else(|| SiteError::new(format!("finding {queue}"), "there is no such queue"))
    }

    async fn waiting(&self, url: &str) -> Result<Waiting, CallError> {
        let names = [
            "ApproximateNumberOfMessages",
            "ApproximateNumberOfMessagesDelayed",
            "ApproximateNumberOfMessagesNotVisible",
        ];
        let body = json!({ "QueueUrl": url, "AttributeNames": names });
        let Attributes { attributes } = self.sqs("GetQueueAttributes", &body).await?;
        // What the answer says nothing of may be any number.
        let number =
            |name: &str| attributes.get(name).and_then(|it| it.parse::<u64>().ok()).unwrap_or(u64::MAX);
        let [visible, delayed, taken] = names.map(number);
        Ok(Waiting { untouched: visible.saturating_add(delayed), taken })
    }

    /// Sends messages that one call takes; those that SQS did not take for now again.
    async fn deliver(&self, url: &str, mut messages: Vec<Arc<str>>, repair: bool) -> Result<(), CallError> {
        let mut attempt = 0;
        loop {
            let attributes = json!({ REPAIR: { "DataType": "String", "StringValue": "1" } });
            let entry = |(number, body): (usize, &Arc<str>)| {
                let mut entry = json!({ "Id": number.to_string(), "MessageBody": **body });
                if repair {
                    entry["MessageAttributes"] = attributes.clone();
                }
                entry
            };
            let entries: Vec<Value> = messages.iter().enumerate().map(entry).collect();
            let sent: Sent =
                self.sqs("SendMessageBatch", &json!({ "QueueUrl": url, "Entries": entries })).await?;
            let never: Vec<&NotTaken> = sent.failed.iter().filter(|it| it.sender_fault).collect();
            if let Some(first) = never.first() {
                return Err(CallError::Messages { count: never.len(), code: first.code.clone() });
            }
            // What the answer says nothing of was not taken.
            let taken = |number: usize| sent.successful.iter().any(|it| it.id == number.to_string());
            let left: Vec<Arc<str>> = messages
                .iter()
                .enumerate()
                .filter(|(number, _)| !taken(*number))
                .map(|(_, it)| Arc::clone(it))
                .collect();
            if left.is_empty() {
                return Ok(());
            }
            attempt += 1;
            if attempt == TRIES {
                let code = sent.failed.first().map(|it| it.code.clone()).unwrap_or_default();
                return Err(CallError::Messages { count: left.len(), code });
            }
            messages = left;
            tokio::time::sleep(pause(attempt)).await;
        }
    }

    /// Whether a function is mapped to a queue, and takes from it.
    async fn is_consumed(&self, function: &str, queue: &str) -> Result<bool, CallError> {
        let path = format!("/2015-03-31/event-source-mappings/?FunctionName={}{function}", self.prefix);
        let mappings: Mappings = match self.call("lambda", &Method::GET, &path, &[], "").await {
            Err(CallError::Refused { status: 404, .. }) => return Ok(false),
            answer => answer?,
        };
        let ending = format!(":{}{queue}", self.prefix);
        let works = |it: &Mapping| {
            it.event_source_arn.ends_with(&ending)
                && !["Disabled", "Disabling", "Deleting"].contains(&it.state.as_str())
        };
        Ok(mappings.event_source_mappings.iter().any(works))
    }

    /// What deploys the parts of a generation.
    async fn how(&self, app: &App, parts: &Parts) -> String {
        let (micrograph, stack) = (app.name(), format!("{}{}-{}", self.prefix, app.name(), self.region));
        let named = app.micrograph().consumer(&parts.function.handler);
        let Some((folds, generation)) = named.filter(|(_, generation)| generation.build > 0) else {
            return format!("deploy the version of {micrograph} that has it: npx cdk deploy {stack}");
        };
        // Builds that are read or kept stay in the setting beside it.
        let alias = app.aliases().get(folds.name()).await.ok().flatten();
        let mut builds: Vec<Generation> =
            alias.iter().flat_map(Alias::fed).filter(|it| it.build > 0).collect();
        builds.push(generation);
        builds.sort_unstable();
        builds.dedup();
        let setting = json!({ micrograph: { (folds.name()): builds } });
        format!(
            r#"say "generations": {setting} under "tributary" in infra/aws/cdk.json, and deploy it: npx cdk deploy {stack}"#
        )
    }
}

/// How long to wait before trying again.
fn pause(attempt: u32) -> Duration {
    Duration::from_millis(25 << attempt.min(6))
}

#[async_trait]
impl Site for Account {
    /// Sees that the stack has made the parts: creating them is its business, relational tables aside.
    async fn raise(&self, app: &App, parts: &Parts) -> Result<(), SiteError> {
        let name = parts.table.name.as_str();
        let failed = |error: CallError| SiteError::new(format!("looking at {name}"), error);
        let table = app.environment().table(name);
        let is_there = if parts.table.relational {
            app.create_table(&parts.table).await?;
            true
        } else {
            let described = app.environment().dynamodb.describe_table().table_name(&table).send().await;
            let is_missing = |error: &DescribeTableError| error.is_resource_not_found_exception();
            match described {
                Ok(_) => true,
                Err(error) if error.as_service_error().is_some_and(is_missing) => false,
                Err(error) => {
                    let error = failure("DescribeTable", &table, error);
                    return Err(SiteError::new(format!("looking at {name}"), error));
                }
            }
        };
        let missing = if !is_there {
            Some("table")
        } else if self.url(&parts.queue.name).await.map_err(failed)?.is_none() {
            Some("queue")
        } else if !self.is_consumed(&parts.function.name, &parts.queue.name).await.map_err(failed)? {
            Some("consumer that takes from its queue")
        } else {
            None
        };
        let Some(what) = missing else { return Ok(()) };
        let missing = NotDeployed { name: name.to_owned(), what, how: self.how(app, parts).await };
        Err(SiteError::new(format!("feeding {name}"), missing))
    }

    async fn send(&self, queue: &str, events: Vec<Arc<str>>, repair: bool) -> Result<(), SiteError> {
        let url = self.known(queue).await?;
        let calls: Vec<_> = calls(events).into_iter().map(|call| self.deliver(&url, call, repair)).collect();
        let mut calls = futures::stream::iter(calls).buffer_unordered(CONCURRENT_CALLS);
        while let Some(sent) = calls.next().await {
            sent.map_err(|error| SiteError::new(format!("sending to {queue}"), error))?;
        }
        Ok(())
    }

    /// Waits until the queue has looked empty for long enough, or fewer than a batch waited for as long as a batch may
    /// take. Nothing is wrong where it looks so too early: what is still on its way shows in the comparison.
    async fn settled(&self, queue: &str) -> Result<(), SiteError> {
        let url = self.known(queue).await?;
        let look = (self.quiet / 6).clamp(Duration::from_millis(200), Duration::from_secs(10));
        let (mut empty, mut few): (Option<Instant>, Option<Instant>) = (None, None);
        loop {
            let waiting = self.waiting(&url).await;
            let waiting = waiting.map_err(|error| SiteError::new(format!("looking at {queue}"), error))?;
            let now = Instant::now();
            empty = (waiting == Waiting::default()).then(|| empty.unwrap_or(now));
            few = (waiting.untouched < FEW).then(|| few.unwrap_or(now));
            let since = |start: Option<Instant>| start.map_or(Duration::ZERO, |start| now - start);
            if since(empty) >= self.quiet || since(few) >= self.quiet.max(BUSY) {
                return Ok(());
            }
            tokio::time::sleep(look).await;
        }
    }

    /// Removes nothing: what a stack has made, its next deployment removes. Until then the generation is fed, and nobody
    /// reads it.
    async fn retire(&self, _: &App, _: &str, _: Generation) -> Result<(), SiteError> {
        Ok(())
    }

    async fn may_feed(&self, app: &App, projection: &str, generation: Generation) -> Result<bool, SiteError> {
        let name = generation.name(app.name(), projection);
        let fed = self.is_consumed(&name, &name).await;
        fed.map_err(|error| SiteError::new(format!("looking at the consumer of {name}"), error))
    }
}

/// Messages in calls that are within the limits of `SendMessageBatch`.
fn calls(events: Vec<Arc<str>>) -> Vec<Vec<Arc<str>>> {
    let mut calls: Vec<Vec<Arc<str>>> = Vec::new();
    let mut bytes = 0;
    for event in events {
        match calls.last_mut() {
            Some(call) if call.len() < ENTRIES && bytes + event.len() <= CALL_BYTES => {
                bytes += event.len();
                call.push(event);
            }
            _ => {
                bytes = event.len();
                calls.push(vec![event]);
            }
        }
    }
    calls
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_holds_no_more_than_sqs_takes() {
        let of = |sizes: &[usize]| {
            let events = sizes.iter().map(|size| Arc::from("x".repeat(*size))).collect();
            calls(events).iter().map(Vec::len).collect::<Vec<_>>()
        };
        assert_eq!(of(&[]), [0; 0]);
        assert_eq!(of(&[100; 25]), [10, 10, 5]);
        assert_eq!(of(&[CALL_BYTES / 2; 5]), [2, 2, 1]);
        // One that alone is larger than the rest of a call goes alone.
        assert_eq!(of(&[1, CALL_BYTES + 1, 1]), [1, 1, 1]);
    }
}
