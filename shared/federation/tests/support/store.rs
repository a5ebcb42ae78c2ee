//! A table as projections have it, and a client that counts and can be made to fail.
#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "each test binary uses its share; a test fails by panicking"
)]

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region, retry::RetryConfig};
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType,
    Projection, ProjectionType, ScalarAttributeType,
};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use embedded::DynamoDb;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};

pub const TABLE: &str = "views";

pub struct Store {
    // Kept for as long as its client is used.
    _database: DynamoDb,
    pub client: Client,
}

/// An empty table with the index `by_rank`.
pub async fn store() -> Store {
    let database = DynamoDb::in_memory().unwrap();
    let client = database.client();
    let key = |name: &str, kind: KeyType| {
        KeySchemaElement::builder().attribute_name(name).key_type(kind).build().unwrap()
    };
    let text = |name: &str| {
        AttributeDefinition::builder()
            .attribute_name(name)
            .attribute_type(ScalarAttributeType::S)
            .build()
            .unwrap()
    };
    let index = GlobalSecondaryIndex::builder()
        .index_name("by_rank")
        .key_schema(key("g", KeyType::Hash))
        .key_schema(key("rank", KeyType::Range))
        .projection(Projection::builder().projection_type(ProjectionType::All).build())
        .build()
        .unwrap();
    client
        .create_table()
        .table_name(TABLE)
        .key_schema(key("pk", KeyType::Hash))
        .key_schema(key("sk", KeyType::Range))
        .attribute_definitions(text("pk"))
        .attribute_definitions(text("sk"))
        .attribute_definitions(text("g"))
        .attribute_definitions(text("rank"))
        .global_secondary_indexes(index)
        .billing_mode(BillingMode::PayPerRequest)
        .send()
        .await
        .unwrap();
    Store { _database: database, client }
}

impl Store {
    pub async fn put(&self, pk: &str, sk: &str, rest: &[(&str, AttributeValue)]) {
        let mut item = HashMap::from([
            ("pk".to_owned(), AttributeValue::S(pk.to_owned())),
            ("sk".to_owned(), AttributeValue::S(sk.to_owned())),
            ("v".to_owned(), AttributeValue::N("1".to_owned())),
        ]);
        item.extend(rest.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        self.client.put_item().table_name(TABLE).set_item(Some(item)).send().await.unwrap();
    }
}

pub fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

pub fn number(value: i64) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

type Script = dyn FnMut(&Value) -> (u16, Value) + Send;

/// Answers an SDK's requests by a function of the body, and keeps the bodies.
#[derive(Clone)]
pub struct Scripted {
    script: Arc<Mutex<Box<Script>>>,
    requests: Arc<Mutex<Vec<Value>>>,
}

impl Scripted {
    pub fn new(script: impl FnMut(&Value) -> (u16, Value) + Send + 'static) -> Self {
        Self { script: Arc::new(Mutex::new(Box::new(script))), requests: Arc::default() }
    }

    pub fn client(&self) -> Client {
        let config = aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("local"))
            .endpoint_url("http://dynamodb.invalid")
            .credentials_provider(Credentials::new("test", "test", None, None, "test"))
            .retry_config(RetryConfig::disabled())
            .http_client(self.clone())
            .build();
        Client::from_conf(config)
    }

    pub fn requests(&self) -> Vec<Value> {
        self.requests.lock().unwrap().clone()
    }
}

impl fmt::Debug for Scripted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scripted")
    }
}

impl HttpClient for Scripted {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Scripted {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let body: Value = serde_json::from_slice(request.body().bytes().unwrap()).unwrap();
        self.requests.lock().unwrap().push(body.clone());
        let (status, answer) = (self.script.lock().unwrap())(&body);
        let response = HttpResponse::new(status.try_into().unwrap(), SdkBody::from(answer.to_string()));
        HttpConnectorFuture::ready(Ok(response))
    }
}

/// The keys a `BatchGetItem` asks for, as their JSON.
pub fn keys_of(request: &Value) -> Vec<Value> {
    request["RequestItems"][TABLE]["Keys"].as_array().unwrap().clone()
}

/// An answer to a `BatchGetItem` that has items for the first `share` keys, and hands the rest back.
pub fn answer_some(request: &Value, share: usize) -> (u16, Value) {
    let keys = keys_of(request);
    let (now, later) = keys.split_at(share.min(keys.len()));
    let items: Vec<Value> = now
        .iter()
        .map(|key| json!({ "pk": key["pk"], "sk": key["sk"], "title": { "S": format!("title of {}", key["pk"]["S"].as_str().unwrap()) } }))
        .collect();
    let mut answer = json!({ "Responses": { TABLE: items }, "UnprocessedKeys": {} });
    if !later.is_empty() {
        answer["UnprocessedKeys"] = json!({ TABLE: { "Keys": later } });
    }
    (200, answer)
}
