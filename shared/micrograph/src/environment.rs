//! What a micrograph runs in: clients, names and the clock.

use aws_config::{BehaviorVersion, SdkConfig};
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
    ///
    /// # Errors
    /// Where `REGION_EPOCH` is no epoch: commands decided in a wrong one would not be fenced off.
    pub async fn from_env() -> Result<Self, EnvironmentError> {
        let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
        let base = Self::over(&config);
        let var = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let epoch = match var("REGION_EPOCH") {
            None => 0,
            Some(epoch) => epoch.parse().map_err(|_| EnvironmentError::Epoch(epoch))?,
        };
        Ok(Self {
            bus: var("EVENT_BUS").unwrap_or(base.bus),
            region: var("AWS_REGION").unwrap_or(base.region),
            epoch,
            table_prefix: var("TABLE_PREFIX").unwrap_or(base.table_prefix),
            build: var("BUILD_ID").unwrap_or(base.build),
            ..base
        })
    }

    /// An environment in which nothing can be reached: enough to build a schema.
    pub(crate) fn nowhere() -> Self {
        Self::over(&SdkConfig::builder().behavior_version(BehaviorVersion::latest()).build())
    }

    fn over(config: &SdkConfig) -> Self {
        Self {
            dynamodb: aws_sdk_dynamodb::Client::new(config),
            eventbridge: aws_sdk_eventbridge::Client::new(config),
            bus: "default".to_owned(),
            region: "local".to_owned(),
            epoch: 0,
            table_prefix: String::new(),
            build: env!("CARGO_PKG_VERSION").to_owned(),
            clock: now,
        }
    }
}

/// Why the environment can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvironmentError {
    /// `REGION_EPOCH` is no epoch.
    #[error("REGION_EPOCH is {0:?}; it must be a whole number from 0 to 65535")]
    Epoch(String),
}

/// The system's clock.
#[expect(clippy::disallowed_methods, reason = "the one place from which a running micrograph gets its clock")]
pub fn now() -> Timestamp {
    Timestamp::now()
}
