//! What a micrograph runs in: clients, names and the clock.

use jiff::Timestamp;

/// Where a micrograph runs.
#[derive(Clone, Debug)]
pub struct Environment {
    /// Holds its tables.
    pub dynamodb: aws_sdk_dynamodb::Client,
    /// Takes its events.
    pub eventbridge: aws_sdk_eventbridge::Client,
    /// The name of the event bus.
    pub bus: String,
    /// The region, as it stands in envelopes.
    pub region: String,
    /// The fencing epoch of this region as a home of aggregates.
    pub epoch: u16,
    /// Put before the name of every table.
    pub table_prefix: String,
    /// What was built: it is noted with what is quarantined.
    pub build: String,
    /// Tells the time.
    pub clock: fn() -> Timestamp,
}

impl Environment {
    /// The deployment's name of a table.
    pub fn table(&self, name: &str) -> String {
        format!("{}{name}", self.table_prefix)
    }

    /// Reads the environment of a Lambda function: `AWS_REGION`, `EVENT_BUS` (default `default`), `TABLE_PREFIX`
    /// (default none), `REGION_EPOCH` (default 0) and `BUILD_ID`.
    pub async fn from_env() -> Self {
        let config = aws_config::load_defaults(aws_config::BehaviorVersion::latest()).await;
        let var = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        Self {
            dynamodb: aws_sdk_dynamodb::Client::new(&config),
            eventbridge: aws_sdk_eventbridge::Client::new(&config),
            bus: var("EVENT_BUS").unwrap_or_else(|| "default".to_owned()),
            region: var("AWS_REGION").unwrap_or_else(|| "local".to_owned()),
            epoch: var("REGION_EPOCH").and_then(|epoch| epoch.parse().ok()).unwrap_or(0),
            table_prefix: var("TABLE_PREFIX").unwrap_or_default(),
            build: var("BUILD_ID").unwrap_or_else(|| env!("CARGO_PKG_VERSION").to_owned()),
            clock: now,
        }
    }
}

/// The system's clock.
#[expect(clippy::disallowed_methods, reason = "the one place from which a running micrograph gets its clock")]
pub fn now() -> Timestamp {
    Timestamp::now()
}
