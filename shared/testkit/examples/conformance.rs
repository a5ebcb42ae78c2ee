//! Whether a DynamoDB does what the store of projections needs of it.
//!
//! `cargo run -p testkit --example conformance -- --endpoint http://127.0.0.1:5000`
//!
//! It makes a table and leaves it behind. Credentials come from the usual variables of the environment, if there are any.

use anyhow::Context as _;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use std::process::ExitCode;
use testkit::conformance::Races;

const USAGE: &str = "Usage: conformance --endpoint URL [--without-races]";

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<ExitCode> {
    let mut arguments = std::env::args().skip(1);
    let (mut endpoint, mut races) = (None, Races::Run);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--endpoint" => endpoint = arguments.next(),
            "--without-races" => races = Races::LeaveOut,
            _ => anyhow::bail!("`{argument}` is not known. {USAGE}"),
        }
    }
    let endpoint = endpoint.context(USAGE)?;
    let table = format!("conformance-{}", std::process::id());
    let variable = |name: &str| std::env::var(name).unwrap_or_else(|_| "local".to_owned());
    let (id, secret) = (variable("AWS_ACCESS_KEY_ID"), variable("AWS_SECRET_ACCESS_KEY"));
    let token = std::env::var("AWS_SESSION_TOKEN").ok();
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-west-1"))
        .credentials_provider(Credentials::new(id, secret, token, None, "environment"))
        .endpoint_url(&endpoint)
        .build();
    let report = testkit::conformance::run(&Client::from_conf(config), &table, races).await;
    let report = report.with_context(|| format!("can't use the DynamoDB at {endpoint}"))?;
    println!("{report}");
    Ok(if report.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
