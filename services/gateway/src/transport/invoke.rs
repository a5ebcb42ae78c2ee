//! Subgraphs that are Lambda functions, invoked by name (Lambda's `Invoke`,
//! <https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html>): no address stands in between, and no more than IAM
//! guards them.

use async_trait::async_trait;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use serde::Deserialize;
use serde_json::{Map, json};
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::{SigV4, SubgraphEvents, SubgraphRequest, SubgraphResponse, Transport, TransportError, Unsigned};

/// How many bytes an invocation may carry, and its answer may have: 6 MB, as Lambda has it.
pub const MAX_PAYLOAD: usize = 6 << 20;

/// How long a connection to Lambda may take.
const CONNECT: Duration = Duration::from_secs(3);

const CONTENT_TYPE: &str = "application/json";

/// Invokes subgraphs whose address is the ARN of a Lambda function; hands all others on.
///
/// A function gets the request as from an API Gateway's HTTP API (payload 2.0), and answers as to one, so that the same
/// function may stand behind a function URL too.
pub struct InvokeTransport {
    /// Made when a function is invoked first: where there is none, no start has to wait for it.
    client: OnceLock<reqwest::Client>,
    signer: SigV4,
    addresses: HashMap<String, String>,
    endpoint: Option<String>,
    others: Arc<dyn Transport>,
}

/// What an ARN says of a function: `arn:PARTITION:lambda:REGION:ACCOUNT:function:NAME[:QUALIFIER]`.
struct Function<'a> {
    arn: &'a str,
    region: &'a str,
    domain: &'static str,
}

impl<'a> Function<'a> {
    fn parse(address: &'a str) -> Option<Self> {
        let mut parts = address.split(':');
        let (arn, partition, service) = (parts.next()?, parts.next()?, parts.next()?);
        let (region, _account, kind) = (parts.next()?, parts.next()?, parts.next()?);
        let is_function = arn == "arn" && service == "lambda" && kind == "function" && !region.is_empty();
        let domain = if partition == "aws-cn" { "amazonaws.com.cn" } else { "amazonaws.com" };
        (is_function && parts.next().is_some_and(|name| !name.is_empty())).then_some(Self {
            arn: address,
            region,
            domain,
        })
    }

    fn url(&self, endpoint: Option<&str>) -> String {
        let Self { arn, region, domain } = self;
        let regional = || format!("https://lambda.{region}.{domain}");
        let endpoint = endpoint.map_or_else(regional, |it| it.trim_end_matches('/').to_owned());
        format!("{endpoint}/2015-03-31/functions/{}/invocations", arn.replace(':', "%3A"))
    }
}

/// What a function answers, as to an API Gateway's HTTP API.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    status_code: u16,
    #[serde(default)]
    headers: HashMap<String, String>,
    #[serde(default)]
    multi_value_headers: HashMap<String, Vec<String>>,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    is_base64_encoded: bool,
}

impl InvokeTransport {
    /// Signs with `signer`; `others` sends what goes to no function.
    pub fn new(signer: SigV4, others: Arc<dyn Transport>) -> Self {
        Self { client: OnceLock::new(), signer, addresses: HashMap::new(), endpoint: None, others }
    }

    /// Sends a subgraph's requests to `address` in place of the supergraph's.
    #[must_use]
    pub fn with_address(mut self, subgraph: impl Into<String>, address: impl Into<String>) -> Self {
        self.addresses.insert(subgraph.into(), address.into());
        self
    }

    /// Calls Lambda at this address in place of the region's own.
    #[must_use]
    pub fn with_endpoint(mut self, endpoint: impl Into<String>) -> Self {
        self.endpoint = Some(endpoint.into());
        self
    }

    fn client(&self) -> Result<&reqwest::Client, reqwest::Error> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let made = reqwest::Client::builder().connect_timeout(CONNECT).tcp_nodelay(true).build()?;
        Ok(self.client.get_or_init(|| made))
    }

    async fn invoke(
        &self,
        function: &Function<'_>,
        request: SubgraphRequest,
    ) -> Result<SubgraphResponse, TransportError> {
        let unreachable = |what: &str, error: &dyn std::error::Error| {
            TransportError::Unreachable(format!("{what}: {}", telemetry::error_chain(error)))
        };
        let url = function.url(self.endpoint.as_deref());
        let payload = payload(&request);
        if payload.len() > MAX_PAYLOAD {
            let size = payload.len();
            let why = format!("an invocation of {size} bytes is larger than Lambda's limit of {MAX_PAYLOAD}");
            return Err(TransportError::Unreachable(why));
        }
        let unsigned =
            Unsigned { method: &Method::POST, url: &url, content_type: Some(CONTENT_TYPE), body: &payload };
        let signed = self.signer.sign_for("lambda", function.region, &unsigned).await;
        let signed =
            signed.map_err(|error| TransportError::Unreachable(format!("it can't be signed: {error}")))?;
        let sent = self
            .client()
            .map_err(|error| unreachable("no client of Lambda", &error))?
            .post(url)
            .headers(signed)
            .header(header::CONTENT_TYPE, CONTENT_TYPE)
            .timeout(request.timeout)
            .body(payload)
            .send()
            .await;
        let failed = |error: reqwest::Error| {
            if error.is_timeout() && !error.is_connect() {
                TransportError::TimedOut(request.timeout)
            } else {
                unreachable("Lambda", &error)
            }
        };
        let response = sent.map_err(failed)?;
        let status = response.status();
        let failure = response.headers().get("x-amz-function-error").cloned();
        let bytes = response.bytes().await.map_err(failed)?;
        // What they say may show a part of the request: it stays out of the log.
        if !status.is_success() {
            return Err(TransportError::Unreachable(format!("Lambda answered with the status {status}")));
        }
        if let Some(failure) = failure {
            return Err(TransportError::Unreachable(format!("the function failed: {failure:?}")));
        }
        let answer = serde_json::from_slice(&bytes);
        let answer: Answer = answer.map_err(|error| unreachable("the function's answer is none", &error))?;
        answer
            .into_response()
            .map_err(|why| TransportError::Unreachable(format!("the function's answer can't be read: {why}")))
    }
}

#[async_trait]
impl Transport for InvokeTransport {
    async fn subscribe(&self, request: SubgraphRequest) -> Result<SubgraphEvents, TransportError> {
        let address = self.addresses.get(&request.subgraph).unwrap_or(&request.url);
        match Function::parse(address) {
            // A function that is invoked answers once.
            Some(_) => Err(TransportError::NoEvents),
            None => self.others.subscribe(request).await,
        }
    }

    async fn send(&self, request: SubgraphRequest) -> Result<SubgraphResponse, TransportError> {
        let address = self.addresses.get(&request.subgraph).unwrap_or(&request.url).clone();
        match Function::parse(&address) {
            Some(function) => self.invoke(&function, request).await,
            None => self.others.send(request).await,
        }
    }
}

/// The request as from an API Gateway's HTTP API
/// (<https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>).
fn payload(request: &SubgraphRequest) -> Bytes {
    let mut headers = Map::new();
    for name in request.headers.keys() {
        let values = request.headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        headers.insert(name.as_str().to_owned(), values.collect::<Vec<_>>().join(",").into());
    }
    let accepted = "application/graphql-response+json, application/json;q=0.9";
    headers.insert(header::CONTENT_TYPE.as_str().to_owned(), CONTENT_TYPE.into());
    headers.insert(header::ACCEPT.as_str().to_owned(), accepted.into());
    headers.insert(header::HOST.as_str().to_owned(), "lambda".into());
    let payload = json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": "/graphql",
        "rawQueryString": "",
        "headers": headers,
        "requestContext": {
            "routeKey": "$default",
            "stage": "$default",
            "timeEpoch": 0,
            "http": { "method": "POST", "path": "/graphql", "protocol": "HTTP/1.1" },
        },
        "body": String::from_utf8_lossy(&request.body),
        "isBase64Encoded": false,
    });
    payload.to_string().into()
}

impl Answer {
    fn into_response(self) -> Result<SubgraphResponse, String> {
        let status = StatusCode::from_u16(self.status_code).map_err(|error| error.to_string())?;
        let mut headers = HeaderMap::new();
        let single = self.headers.into_iter();
        let several = self.multi_value_headers.into_iter();
        let several = several.flat_map(|(name, values)| values.into_iter().map(move |it| (name.clone(), it)));
        for (name, value) in single.chain(several) {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|error| error.to_string())?;
            let value = HeaderValue::from_str(&value).map_err(|error| error.to_string())?;
            if headers.get_all(&name).iter().all(|it| it != value) {
                headers.append(name, value);
            }
        }
        let body = self.body.unwrap_or_default();
        let body = if self.is_base64_encoded {
            BASE64_STANDARD.decode(body).map_err(|error| error.to_string())?.into()
        } else {
            body.into()
        };
        Ok(SubgraphResponse { status, headers, body })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_credential_types::Credentials;
    use aws_credential_types::provider::SharedCredentialsProvider;
    use axum::Router;
    use axum::extract::{Request, State};
    use axum::response::{IntoResponse, Response};
    use serde_json::Value;
    use std::sync::Mutex;
    use std::time::SystemTime;
    use tokio::net::TcpListener;

    const ARN: &str = "arn:aws:lambda:eu-west-1:123456789012:function:pricing-subgraph:live";

    type Seen = Arc<Mutex<Vec<(String, HeaderMap, Value)>>>;

    /// Lambda, as far as `Invoke` goes: what the query says is what it answers.
    async fn lambda(State(seen): State<Seen>, request: Request) -> Response {
        let (parts, body) = request.into_parts();
        let body = axum::body::to_bytes(body, MAX_PAYLOAD).await.unwrap();
        let payload: Value = serde_json::from_slice(&body).unwrap();
        let asked: Value = serde_json::from_str(payload["body"].as_str().unwrap()).unwrap();
        let query = asked["query"].as_str().unwrap().to_owned();
        seen.lock().unwrap().push((parts.uri.path().to_owned(), parts.headers, payload));
        match &*query {
            "throttled" => (StatusCode::TOO_MANY_REQUESTS, "{}").into_response(),
            "failed" => {
                ([("x-amz-function-error", "Unhandled")], r#"{"errorMessage":"secret"}"#).into_response()
            }
            "nonsense" => "[]".into_response(),
            "encoded" => {
                let body = BASE64_STANDARD.encode(r#"{"data":{}}"#);
                json!({ "statusCode": 200, "body": body, "isBase64Encoded": true })
                    .to_string()
                    .into_response()
            }
            _ => {
                let headers = json!({ "cache-control": "max-age=60", "content-type": "application/json" });
                json!({ "statusCode": 200, "headers": headers, "body": r#"{"data":{"a":1}}"# })
                    .to_string()
                    .into_response()
            }
        }
    }

    /// What gets everything that goes to no function.
    struct Others;

    #[async_trait]
    impl Transport for Others {
        async fn send(&self, request: SubgraphRequest) -> Result<SubgraphResponse, TransportError> {
            Err(TransportError::UnknownSubgraph(request.url))
        }
    }

    async fn world() -> (InvokeTransport, Seen) {
        let seen = Seen::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}/", listener.local_addr().unwrap());
        let router = Router::new().fallback(lambda).with_state(Arc::clone(&seen));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let credentials = Credentials::new("KEY", "secret", None, None, "test");
        let signer = SigV4::new(SharedCredentialsProvider::new(credentials), || SystemTime::UNIX_EPOCH);
        (InvokeTransport::new(signer, Arc::new(Others)).with_endpoint(endpoint), seen)
    }

    fn request(url: &str, query: &str) -> SubgraphRequest {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, HeaderValue::from_static("Bearer client"));
        SubgraphRequest {
            subgraph: "pricing".to_owned(),
            url: url.to_owned(),
            body: json!({ "query": query }).to_string().into(),
            headers,
            timeout: Duration::from_secs(5),
            is_mutation: false,
            document: None,
        }
    }

    #[tokio::test]
    async fn a_function_gets_the_request_as_from_an_http_api() {
        let (transport, seen) = world().await;
        let answer = transport.send(request(ARN, "{ a }")).await.unwrap();
        assert_eq!(answer.status, 200);
        assert_eq!(answer.headers[header::CACHE_CONTROL], "max-age=60");
        assert_eq!(answer.body, r#"{"data":{"a":1}}"#);
        let (path, headers, payload) = seen.lock().unwrap()[0].clone();
        assert_eq!(path, format!("/2015-03-31/functions/{}/invocations", ARN.replace(':', "%3A")));
        let authorization = headers[header::AUTHORIZATION].to_str().unwrap();
        assert!(authorization.contains("/eu-west-1/lambda/aws4_request"), "{authorization}");
        assert_eq!(payload["requestContext"]["http"]["method"], "POST");
        // The client's own authorisation is the subgraph's to check; Lambda's is another.
        assert_eq!(payload["headers"]["authorization"], "Bearer client");
        assert_eq!(payload["headers"]["content-type"], CONTENT_TYPE);
    }

    #[tokio::test]
    async fn what_a_function_encodes_is_decoded() {
        let (transport, _) = world().await;
        assert_eq!(transport.send(request(ARN, "encoded")).await.unwrap().body, r#"{"data":{}}"#);
    }

    #[tokio::test]
    async fn what_fails_is_told_without_what_it_says() {
        let (transport, _) = world().await;
        for (query, why) in [("throttled", "429"), ("failed", "Unhandled"), ("nonsense", "is none")] {
            let error = transport.send(request(ARN, query)).await.unwrap_err().to_string();
            assert!(error.contains(why) && !error.contains("secret"), "{query}: {error}");
        }
        let large = "x".repeat(MAX_PAYLOAD);
        let error = transport.send(request(ARN, &large)).await.unwrap_err().to_string();
        assert!(error.contains("larger than Lambda's limit"), "{error}");
    }

    #[tokio::test]
    async fn what_is_no_function_is_handed_on_and_an_address_may_be_another() {
        let (transport, seen) = world().await;
        for url in
            ["https://example.org/graphql", "arn:aws:sns:eu-west-1:1:topic", "arn:aws:lambda:x:1:function:"]
        {
            let error = transport.send(request(url, "{ a }")).await.unwrap_err();
            assert!(matches!(error, TransportError::UnknownSubgraph(other) if other == url));
        }
        assert!(seen.lock().unwrap().is_empty());
        let transport = transport.with_address("pricing", ARN);
        assert_eq!(
            transport.send(request("https://example.org/graphql", "{ a }")).await.unwrap().status,
            200
        );
    }
}
