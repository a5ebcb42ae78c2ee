//! Calls of AWS services by their HTTP APIs, signed: for the few that no client of ours is there for.

use aws_config::SdkConfig;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use jiff::Timestamp;
use reqwest::Method;
use std::sync::OnceLock;
use std::time::Duration;

pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// How long a service may take to be reached.
const CONNECT: Duration = Duration::from_secs(2);

/// Signs and sends.
#[derive(Debug)]
pub(crate) struct Signed {
    /// Made when the first call is: most functions make none.
    http: OnceLock<reqwest::Client>,
    credentials: SharedCredentialsProvider,
    endpoint: Option<String>,
    /// How long an answer may take.
    patience: Duration,
    clock: fn() -> Timestamp,
}

/// A call of a service.
pub(crate) struct Call<'a> {
    /// The service, as signatures and addresses name it.
    pub service: &'a str,
    pub region: &'a str,
    pub method: Method,
    /// What follows the address, with its query.
    pub path: &'a str,
    pub headers: &'a [(&'static str, &'a str)],
    pub body: String,
}

impl Signed {
    /// With the credentials and the endpoint of a configuration; none without credentials.
    pub fn new(config: &SdkConfig, patience: Duration, clock: fn() -> Timestamp) -> Option<Self> {
        Some(Self {
            http: OnceLock::new(),
            credentials: config.credentials_provider()?,
            endpoint: config.endpoint_url().map(str::to_owned),
            patience,
            clock,
        })
    }

    fn http(&self) -> Result<&reqwest::Client, reqwest::Error> {
        if let Some(http) = self.http.get() {
            return Ok(http);
        }
        let made = reqwest::Client::builder().connect_timeout(CONNECT).timeout(self.patience).build()?;
        Ok(self.http.get_or_init(|| made))
    }

    /// Sends a call, and gives what came back, whatever its status.
    pub async fn send(&self, call: Call<'_>) -> Result<reqwest::Response, Failure> {
        let Call { service, region, method, path, headers, body } = call;
        let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        let regional = || format!("https://{service}.{region}.{domain}");
        let endpoint = self.endpoint.clone().unwrap_or_else(regional);
        let url = format!("{}{path}", endpoint.trim_end_matches('/'));
        let identity = self.credentials.provide_credentials().await?.into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(region)
            .name(service)
            .time((self.clock)().into())
            .settings(SigningSettings::default())
            .build()?
            .into();
        let signed = headers.iter().copied();
        let signable =
            SignableRequest::new(method.as_str(), &url, signed, SignableBody::Bytes(body.as_bytes()))?;
        let (signature, _) = sign(signable, &parameters)?.into_parts();
        let mut request = self.http()?.request(method, &url);
        for (name, value) in headers.iter().copied().chain(signature.headers()) {
            request = request.header(name, value);
        }
        Ok(request.body(body).send().await?)
    }
}
