//! The way to a home elsewhere on AWS: the function `commands` of the other region is invoked, and its answer is the
//! command's (Lambda's `Invoke`, <https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html>).

use super::{Relay, RelayError};
use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use std::sync::OnceLock;
use std::time::Duration;

/// How long another region may take to be reached.
const CONNECT: Duration = Duration::from_secs(2);
/// How long it may take to answer: its function's cold start and a few tries are within it.
const ANSWER: Duration = Duration::from_secs(10);

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A command as another region hands it over.
#[derive(Deserialize)]
pub(crate) struct Handed<'a> {
    /// The command's envelope.
    #[serde(borrow)]
    pub decide: &'a RawValue,
}

/// Invokes the other regions' functions.
#[derive(Debug)]
pub(crate) struct Invoke {
    /// Made when the first command is handed on: most functions hand on none.
    http: OnceLock<reqwest::Client>,
    credentials: SharedCredentialsProvider,
    endpoint: Option<String>,
    prefix: String,
    clock: fn() -> Timestamp,
}

impl Invoke {
    /// With the credentials and the endpoint of a configuration; none without credentials.
    pub fn new(config: &SdkConfig, prefix: &str, clock: fn() -> Timestamp) -> Option<Self> {
        Some(Self {
            http: OnceLock::new(),
            credentials: config.credentials_provider()?,
            endpoint: config.endpoint_url().map(str::to_owned),
            prefix: prefix.to_owned(),
            clock,
        })
    }

    fn http(&self) -> Result<&reqwest::Client, reqwest::Error> {
        if let Some(http) = self.http.get() {
            return Ok(http);
        }
        let made = reqwest::Client::builder().connect_timeout(CONNECT).timeout(ANSWER).build()?;
        Ok(self.http.get_or_init(|| made))
    }

    async fn invoke(&self, region: &str, micrograph: &str, command: &str) -> Result<Value, Failure> {
        let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        let regional = || format!("https://lambda.{region}.{domain}");
        let endpoint = self.endpoint.clone().unwrap_or_else(regional);
        let name = format!("{}{micrograph}-commands", self.prefix);
        let url = format!("{}/2015-03-31/functions/{name}/invocations", endpoint.trim_end_matches('/'));
        let handed: &RawValue = serde_json::from_str(command)?;
        let body = serde_json::to_string(&json!({ "decide": handed }))?;
        let identity = self.credentials.provide_credentials().await?.into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(region)
            .name("lambda")
            .time((self.clock)().into())
            .settings(SigningSettings::default())
            .build()?
            .into();
        let signable =
            SignableRequest::new("POST", &url, std::iter::empty(), SignableBody::Bytes(body.as_bytes()))?;
        let (signature, _) = sign(signable, &parameters)?.into_parts();
        let mut request = self.http()?.post(&url);
        for (name, value) in signature.headers() {
            request = request.header(name, value);
        }
        let response = request.body(body).send().await?;
        let status = response.status();
        let failed = response.headers().contains_key("x-amz-function-error");
        let answer = response.bytes().await?;
        // What it says may show a part of the command.
        if !status.is_success() {
            return Err(format!("{name} could not be invoked: {status}").into());
        }
        if failed {
            return Err(format!("{name} failed").into());
        }
        Ok(serde_json::from_slice(&answer)?)
    }
}

#[async_trait]
impl Relay for Invoke {
    async fn decide(&self, region: &str, micrograph: &str, command: &str) -> Result<Value, RelayError> {
        let unreachable = |source| RelayError { region: region.to_owned(), source };
        Box::pin(self.invoke(region, micrograph, command)).await.map_err(unreachable)
    }
}
