//! One HTTP request as each of AWS's front doors hands it to a function, and what a function answers to each.
//!
//! The shapes are those of the payloads that AWS documents for REST APIs (1.0), HTTP APIs and function URLs (2.0), and
//! Application Load Balancers.

use super::now_ms;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

/// What stands before a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// API Gateway's REST API: payload 1.0.
    RestApi,
    /// API Gateway's HTTP API: payload 2.0.
    HttpApi,
    /// The function's own URL: payload 2.0.
    FunctionUrl,
    /// An Application Load Balancer.
    LoadBalancer,
}

/// All of them.
pub const DOORS: [Door; 4] = [Door::RestApi, Door::HttpApi, Door::FunctionUrl, Door::LoadBalancer];

/// A request.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// `GET` or `POST`.
    pub method: &'a str,
    /// The path.
    pub path: &'a str,
    /// The parameters of the query, not encoded.
    pub query: &'a [(&'a str, &'a str)],
    /// Names in lower case.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body, empty where there is none.
    pub body: &'a str,
    /// Whether the door hands the body over in base64, as it does with what it takes for binary.
    pub base64: bool,
}

impl<'a> Request<'a> {
    /// A GraphQL operation by POST; `body` is JSON.
    pub fn graphql(body: &'a str) -> Self {
        Self {
            method: "POST",
            path: "/graphql",
            query: &[],
            headers: &[("content-type", "application/json"), ("accept", "application/json")],
            body,
            base64: false,
        }
    }

    /// The payload of a function behind a door.
    pub fn payload(&self, door: Door) -> String {
        let headers: Map<String, Value> =
            self.headers.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        let many: Map<String, Value> =
            self.headers.iter().map(|(name, value)| ((*name).to_owned(), json!([value]))).collect();
        let query: Map<String, Value> =
            self.query.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        let queries: Map<String, Value> =
            self.query.iter().map(|(name, value)| ((*name).to_owned(), json!([value]))).collect();
        let encoded = |value: &str| -> String {
            value
                .bytes()
                .map(|byte| {
                    if byte.is_ascii_alphanumeric() {
                        char::from(byte).to_string()
                    } else {
                        format!("%{byte:02X}")
                    }
                })
                .collect()
        };
        let raw: Vec<String> =
            self.query.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        let body = match (self.body.is_empty(), self.base64) {
            (true, _) => Value::Null,
            (false, true) => json!(STANDARD.encode(self.body)),
            (false, false) => json!(self.body),
        };
        let (method, path) = (self.method, self.path);
        match door {
            Door::RestApi => json!({
                "version": "1.0", "resource": "/{proxy+}", "path": path, "httpMethod": method,
                "headers": headers, "multiValueHeaders": many,
                "queryStringParameters": query, "multiValueQueryStringParameters": queries,
                "pathParameters": { "proxy": path.trim_start_matches('/') }, "stageVariables": null,
                "requestContext": {
                    "accountId": "123456789012", "apiId": "id", "authorizer": {}, "domainName": "id.execute-api.eu-west-1.amazonaws.com",
                    "domainPrefix": "id", "extendedRequestId": "request-id", "httpMethod": method,
                    "identity": { "sourceIp": "203.0.113.7", "userAgent": "test" },
                    "path": path, "protocol": "HTTP/1.1", "requestId": "id=", "requestTime": "04/Mar/2020:19:15:17 +0000",
                    "requestTimeEpoch": now_ms(), "resourceId": null, "resourcePath": "/{proxy+}", "stage": "prod",
                },
                "body": body, "isBase64Encoded": self.base64,
            }),
            Door::HttpApi | Door::FunctionUrl => json!({
                "version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": raw.join("&"),
                "headers": headers, "queryStringParameters": query,
                "requestContext": {
                    "accountId": if door == Door::FunctionUrl { "anonymous" } else { "123456789012" }, "apiId": "id",
                    "domainName": if door == Door::FunctionUrl { "id.lambda-url.eu-west-1.on.aws" } else { "id.execute-api.eu-west-1.amazonaws.com" },
                    "domainPrefix": "id", "requestId": "id", "routeKey": "$default", "stage": "$default",
                    "time": "12/Mar/2020:19:03:58 +0000", "timeEpoch": now_ms(),
                    "http": { "method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "203.0.113.7", "userAgent": "test" },
                },
                "body": body, "isBase64Encoded": self.base64,
            }),
            Door::LoadBalancer => json!({
                "requestContext": { "elb": { "targetGroupArn": "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/it/49e9d65c45c6791a" } },
                "httpMethod": method, "path": path,
                "queryStringParameters": self.query.iter().map(|(name, value)| ((*name).to_owned(), json!(encoded(value)))).collect::<Map<_, _>>(),
                "headers": headers,
                "body": if body.is_null() { json!("") } else { body }, "isBase64Encoded": self.base64,
            }),
        }
        .to_string()
    }
}

/// What a function answered to a door: the status, and the body.
pub fn answered(answer: &Value) -> Option<(u64, String)> {
    let body = answer["body"].as_str().unwrap_or_default();
    let body = if answer["isBase64Encoded"] == json!(true) {
        String::from_utf8(STANDARD.decode(body).ok()?).ok()?
    } else {
        body.to_owned()
    };
    Some((answer["statusCode"].as_u64()?, body))
}
