//! What a function that rebuilds asks of AWS besides DynamoDB and EventBridge, over loopback HTTP: SQS's sending and
//! looking, Lambda's list of event source mappings, and a bucket of S3 that is read. Signatures are not looked at.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Query, Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use embedded::queue::{Outgoing, Queues, queue_arn};
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use projection::delivery::REPAIR;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

/// The largest request.
const MAX_BODY: usize = 2 * 1024 * 1024;
const NO_QUEUE: &str = "com.amazonaws.sqs#QueueDoesNotExist";
/// The path of Lambda's list of event source mappings.
const MAPPINGS: &str = "/2015-03-31/event-source-mappings/";

/// The queues, mappings and bucket around a function.
#[derive(Clone)]
pub struct Surroundings {
    /// The queues, by their names with the deployment's prefix.
    pub queues: Queues,
    /// The bucket's name.
    pub bucket: &'static str,
    /// What is in it.
    pub objects: Arc<dyn ObjectStore>,
    /// The functions that are mapped, each to the queue of its name.
    pub mapped: Arc<Mutex<BTreeSet<String>>>,
    /// How many messages SQS refuses for now before it takes them.
    pub refusals: Arc<Mutex<usize>>,
}

#[derive(Deserialize)]
struct Listing {
    #[serde(default)]
    prefix: String,
    delimiter: Option<String>,
}

#[derive(Deserialize)]
struct Mapped {
    #[serde(rename = "FunctionName")]
    function: String,
}

impl Surroundings {
    /// Answers what is asked of these services, before what a router answers.
    pub fn before(self, router: Router) -> Router {
        router.layer(from_fn_with_state(self, answer))
    }

    fn sqs(&self, operation: &str, asked: &Value) -> Result<Value, &'static str> {
        let name = || asked["QueueUrl"].as_str().unwrap_or_default().rsplit('/').next().unwrap_or_default();
        match operation {
            "GetQueueUrl" => {
                let name = asked["QueueName"].as_str().unwrap_or_default();
                if self.queues.config(name).is_err() {
                    return Err(NO_QUEUE);
                }
                Ok(json!({ "QueueUrl": format!("https://sqs.eu-west-1.amazonaws.com/123456789012/{name}") }))
            }
            "GetQueueAttributes" => {
                let depth = self.queues.depth(name()).map_err(|_| NO_QUEUE)?;
                Ok(json!({ "Attributes": {
                    "ApproximateNumberOfMessages": depth.visible.to_string(),
                    "ApproximateNumberOfMessagesNotVisible": depth.in_flight.to_string(),
                    "ApproximateNumberOfMessagesDelayed": depth.delayed.to_string(),
                } }))
            }
            "SendMessageBatch" => {
                let entries = asked["Entries"].as_array().cloned().unwrap_or_default();
                let bytes: usize =
                    entries.iter().filter_map(|it| it["MessageBody"].as_str()).map(str::len).sum();
                if entries.len() > 10 || bytes > 256 * 1024 && entries.len() > 1 {
                    return Err("com.amazonaws.sqs#BatchRequestTooLong");
                }
                let (mut taken, mut failed) = (Vec::new(), Vec::new());
                for entry in entries {
                    let id = entry["Id"].clone();
                    let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
                    if *refusals > 0 {
                        *refusals -= 1;
                        failed.push(json!({ "Id": id, "SenderFault": false, "Code": "InternalError" }));
                        continue;
                    }
                    let repair = entry["MessageAttributes"].get(REPAIR).is_some();
                    let attribute = json!({ REPAIR: { "dataType": "String", "stringValue": "1" } });
                    let message = Outgoing {
                        attributes: repair.then_some(attribute),
                        ..Outgoing::new(entry["MessageBody"].as_str().unwrap_or_default())
                    };
                    let sent = self.queues.send(name(), vec![message]);
                    sent.map_err(|_| NO_QUEUE)?;
                    taken.push(json!({ "Id": id, "MessageId": "id", "MD5OfMessageBody": "" }));
                }
                Ok(json!({ "Successful": taken, "Failed": failed }))
            }
            _ => Err("com.amazonaws.sqs#UnsupportedOperation"),
        }
    }

    fn mappings(&self, function: &str) -> Value {
        let mapped = self.mapped.lock().unwrap_or_else(PoisonError::into_inner).contains(function);
        let mapping =
            json!({ "EventSourceArn": queue_arn(function), "State": "Enabled", "FunctionArn": function });
        json!({ "EventSourceMappings": if mapped { vec![mapping] } else { Vec::new() } })
    }

    /// Objects under a prefix, as `ListObjectsV2` tells them, all in one page.
    async fn listed(&self, listing: &Listing) -> object_store::Result<String> {
        let all: Vec<_> = self.objects.list(None).try_collect().await?;
        let (mut found, mut folders) = (BTreeMap::new(), BTreeSet::new());
        for object in all {
            let key = object.location.to_string();
            let Some(rest) = key.strip_prefix(&listing.prefix) else { continue };
            match rest.split_once('/').filter(|_| listing.delimiter.is_some()) {
                Some((folder, _)) => {
                    folders.insert(format!("{}{folder}/", listing.prefix));
                }
                None => {
                    found.insert(key.clone(), object.size);
                }
            }
        }
        let mut xml = "<ListBucketResult><IsTruncated>false</IsTruncated>".to_owned();
        for (key, size) in found {
            let _ = write!(
                xml,
                "<Contents><Key>{key}</Key><LastModified>2011-03-01T10:00:00.000Z</LastModified><ETag>\"tag\"</ETag>\
                 <Size>{size}</Size></Contents>"
            );
        }
        for folder in folders {
            let _ = write!(xml, "<CommonPrefixes><Prefix>{folder}</Prefix></CommonPrefixes>");
        }
        Ok(xml + "</ListBucketResult>")
    }

    async fn read(&self, key: &str) -> object_store::Result<Bytes> {
        self.objects.get(&Path::from(key)).await?.bytes().await
    }
}

fn refused(kind: &str) -> Response {
    (StatusCode::BAD_REQUEST, json!({ "__type": kind, "message": "" }).to_string()).into_response()
}

async fn answer(State(around): State<Surroundings>, request: Request<Body>, next: Next) -> Response {
    let target = request.headers().get("x-amz-target").and_then(|it| it.to_str().ok()).unwrap_or_default();
    if let Some(operation) = target.strip_prefix("AmazonSQS.").map(str::to_owned) {
        let body = axum::body::to_bytes(request.into_body(), MAX_BODY).await.unwrap_or_default();
        let asked = serde_json::from_slice(&body).unwrap_or_default();
        return around.sqs(&operation, &asked).map_or_else(refused, |it| it.to_string().into_response());
    }
    let (path, method) = (request.uri().path().to_owned(), request.method().clone());
    if path == MAPPINGS {
        let asked: Option<Query<Mapped>> = Query::try_from_uri(request.uri()).ok();
        let function = asked.map(|it| it.0.function).unwrap_or_default();
        return around.mappings(&function).to_string().into_response();
    }
    let within = path.strip_prefix('/').and_then(|path| path.strip_prefix(around.bucket));
    let Some(key) = within.filter(|_| method == Method::GET) else { return next.run(request).await };
    if let Some(key) = key.strip_prefix('/').filter(|key| !key.is_empty()) {
        return match around.read(key).await {
            Ok(body) => {
                let headers =
                    [(header::ETAG, "\"tag\""), (header::LAST_MODIFIED, "Tue, 01 Mar 2011 10:00:00 GMT")];
                (headers, body).into_response()
            }
            Err(_) => (StatusCode::NOT_FOUND, "<Error><Code>NoSuchKey</Code></Error>").into_response(),
        };
    }
    let Ok(Query(listing)) = Query::<Listing>::try_from_uri(request.uri()) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    match around.listed(&listing).await {
        Ok(xml) => ([(header::CONTENT_TYPE, "application/xml")], xml).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
