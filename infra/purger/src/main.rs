//! The purger on Lambda. `purger manifest` prints what it needs.

use anyhow::{Context as _, bail};
use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use purger::{Cache, CloudFront, PURGER, Purger};
use serde_json::value::RawValue;
use std::sync::Arc;
use std::time::Duration;

/// How long the end of an invocation may wait for telemetry to be sent.
const FLUSH: Duration = Duration::from_millis(200);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    if std::env::args().nth(1).as_deref() == Some("manifest") {
        println!("{}", serde_json::to_string_pretty(&purger::manifest())?);
        return Ok(());
    }
    if std::env::var_os("AWS_LAMBDA_RUNTIME_API").is_none() {
        bail!(
            "it runs on Lambda; here it takes `manifest`. Locally: `cargo run -- --cache` or `--purge URL`"
        );
    }
    let telemetry = telemetry::init(telemetry::Config::from_env());
    let ids =
        std::env::var("DISTRIBUTION_IDS").context("DISTRIBUTION_IDS must name the distributions to purge")?;
    let client = aws_sdk_cloudfront::Client::new(&sdk::config().await);
    let ids = ids.split(',').map(str::trim).filter(|id| !id.is_empty());
    let reference = || micrograph::environment::now().as_nanosecond().to_string();
    let caches = ids.map(|id| Arc::new(CloudFront::new(client.clone(), id, reference)) as Arc<dyn Cache>);
    let purger = Purger::new(caches);
    let (purger, telemetry_guard) = (&purger, &telemetry);
    let invoke = |event: LambdaEvent<Box<RawValue>>| async move {
        let answer = purger.handle(event.payload.get().as_bytes()).await;
        let answer = answer.map_err(|error| {
            let error_message = telemetry::error_chain(&error);
            tracing::error!(error = error_message, "the invocation failed");
            Diagnostic { error_type: PURGER.to_owned(), error_message }
        });
        telemetry_guard.flush(FLUSH);
        answer
    };
    let served = lambda_runtime::run(service_fn(invoke)).await;
    telemetry.flush(FLUSH);
    served.map_err(|error| anyhow::anyhow!(error))
}
