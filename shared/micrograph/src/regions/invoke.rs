//! The way to a home elsewhere on AWS: the function `commands` of the other region is invoked, and its answer is the
//! command's (Lambda's `Invoke`, <https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html>).

use super::{Relay, RelayError};
use crate::aws::{Call, Failure, Signed};
use async_trait::async_trait;
use aws_config::SdkConfig;
use jiff::Timestamp;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use std::time::Duration;

/// How long it may take to answer: its function's cold start and a few tries are within it.
const ANSWER: Duration = Duration::from_secs(10);

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
    signed: Signed,
    prefix: String,
}

impl Invoke {
    /// With the credentials and the endpoint of a configuration; none without credentials.
    pub fn new(config: &SdkConfig, prefix: &str, clock: fn() -> Timestamp) -> Option<Self> {
        Some(Self { signed: Signed::new(config, ANSWER, clock)?, prefix: prefix.to_owned() })
    }

    async fn invoke(&self, region: &str, micrograph: &str, command: &str) -> Result<Value, Failure> {
        let name = format!("{}{micrograph}-commands", self.prefix);
        let handed: &RawValue = serde_json::from_str(command)?;
        let call = Call {
            service: "lambda",
            region,
            method: Method::POST,
            path: &format!("/2015-03-31/functions/{name}/invocations"),
            headers: &[],
            body: serde_json::to_string(&json!({ "decide": handed }))?,
        };
        let response = self.signed.send(call).await?;
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
