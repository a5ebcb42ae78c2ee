//! What stands below the SDK clients: a network that fails when it is told to, and a bus that records.

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
    http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use embedded::DynamoDb;
use serde_json::{Value, json};
use std::fmt;
use std::sync::{Arc, Mutex};

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    Works,
    /// The request is carried out; its answer is lost.
    LosesTheAnswer,
    /// The request gets nowhere.
    Fails,
    /// Nothing ever comes back.
    Hangs,
}

type Weather = Arc<dyn Fn(&str, &str) -> Network + Send + Sync>;

/// A client of the embedded DynamoDB whose every request asks `weather(operation, body)` what becomes of it, and lets
/// others run first.
pub fn through(
    db: &DynamoDb,
    weather: impl Fn(&str, &str) -> Network + Send + Sync + 'static,
) -> aws_sdk_dynamodb::Client {
    let weather: Weather = Arc::new(weather);
    over(db, move |connector| SharedHttpConnector::new(Wire { connector, weather: Arc::clone(&weather) }))
}

/// The connector below the embedded DynamoDB's client, for requests that were made elsewhere.
pub async fn below(db: &DynamoDb) -> SharedHttpConnector {
    let seen = Arc::new(Mutex::new(None));
    let notes = Arc::clone(&seen);
    let client = over(db, move |connector| {
        *notes.lock().expect("lock") = Some(connector.clone());
        connector
    });
    client.list_tables().send().await.expect("it lists");
    let connector = seen.lock().expect("lock").take();
    connector.expect("a request was made")
}

/// A client of the embedded DynamoDB with something above its connector.
fn over(
    db: &DynamoDb,
    put: impl Fn(SharedHttpConnector) -> SharedHttpConnector + Send + Sync + 'static,
) -> aws_sdk_dynamodb::Client {
    let client = db.client();
    let inner = client.config().http_client().expect("the embedded client has one");
    let http = http_client_fn(move |settings, components| put(inner.http_connector(settings, components)));
    aws_sdk_dynamodb::Client::from_conf(client.config().to_builder().http_client(http).build())
}

#[derive(Clone)]
struct Wire {
    connector: SharedHttpConnector,
    weather: Weather,
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wire")
    }
}

impl HttpConnector for Wire {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let connector = self.connector.clone();
        let body = String::from_utf8_lossy(request.body().bytes().unwrap_or_default()).into_owned();
        let becomes = (self.weather)(operation(&request), &body);
        HttpConnectorFuture::new(async move {
            tokio::task::yield_now().await;
            match becomes {
                Network::Works => connector.call(request).await,
                Network::LosesTheAnswer => {
                    connector.call(request).await?;
                    Err(ConnectorError::timeout("the answer was lost".into()))
                }
                Network::Fails => Err(ConnectorError::io("the network is down".into())),
                Network::Hangs => std::future::pending().await,
            }
        })
    }
}

fn operation(request: &HttpRequest) -> &str {
    request.headers().get("x-amz-target").unwrap_or_default().rsplit('.').next().unwrap_or_default()
}

/// What the bus says to one call.
#[derive(Clone, Debug)]
pub enum Reply {
    Taken,
    /// The entries at these positions are refused.
    Refused(Vec<usize>),
    /// The answer leaves out all entries after this many.
    CutAfter(usize),
    /// The call fails with a status and an error's name.
    Error(u16, &'static str),
}

type Script = Arc<dyn Fn(usize, &[Value]) -> Reply + Send + Sync>;

/// An event bus below the SDK: it records each call's entries, and answers as it is told.
#[derive(Clone)]
pub struct Bus {
    calls: Arc<Mutex<Vec<Vec<Value>>>>,
    script: Script,
}

impl fmt::Debug for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bus")
    }
}

impl Bus {
    /// A bus that answers as `script(number of the call, entries)` says.
    pub fn new(script: impl Fn(usize, &[Value]) -> Reply + Send + Sync + 'static) -> Self {
        Self { calls: Arc::default(), script: Arc::new(script) }
    }

    pub fn calls(&self) -> Vec<Vec<Value>> {
        self.calls.lock().expect("lock").clone()
    }

    pub fn client(&self) -> aws_sdk_eventbridge::Client {
        let config = aws_sdk_eventbridge::Config::builder()
            .behavior_version(aws_sdk_eventbridge::config::BehaviorVersion::latest())
            .region(aws_sdk_eventbridge::config::Region::from_static("eu-west-1"))
            .endpoint_url("http://bus.test")
            .http_client(self.clone())
            .allow_no_auth()
            .build();
        aws_sdk_eventbridge::Client::from_conf(config)
    }

    /// Answers the body of a PutEvents.
    pub fn put_events(&self, body: &[u8]) -> (u16, Value) {
        let body: Value = serde_json::from_slice(body).expect("JSON");
        let entries = body["Entries"].as_array().expect("entries").clone();
        let number = {
            let mut calls = self.calls.lock().expect("lock");
            calls.push(entries.clone());
            calls.len() - 1
        };
        let result = |position: usize, refused: &[usize]| {
            if refused.contains(&position) {
                json!({ "ErrorCode": "ThrottlingException", "ErrorMessage": "slow down" })
            } else {
                json!({ "EventId": format!("bus-{number}-{position}") })
            }
        };
        let answer = |refused: &[usize], count: usize| {
            let results: Vec<_> = (0..count).map(|position| result(position, refused)).collect();
            (200, json!({ "FailedEntryCount": refused.len(), "Entries": results }))
        };
        match (self.script)(number, &entries) {
            Reply::Taken => answer(&[], entries.len()),
            Reply::Refused(positions) => answer(&positions, entries.len()),
            Reply::CutAfter(count) => answer(&[], count),
            Reply::Error(status, kind) => (status, json!({ "__type": kind, "message": "no" })),
        }
    }
}

impl HttpClient for Bus {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Bus {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        assert_eq!(operation(&request), "PutEvents");
        let (status, body) = self.put_events(request.body().bytes().expect("a body in memory"));
        let status = status.try_into().expect("a status");
        HttpConnectorFuture::ready(Ok(HttpResponse::new(status, SdkBody::from(body.to_string()))))
    }
}
