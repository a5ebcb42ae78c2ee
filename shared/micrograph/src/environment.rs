//! What a micrograph runs in: clients, names and the clock.

use crate::edge::Edge;
use crate::regions::{Invoke, Regions, Relay};
use aws_config::{BehaviorVersion, SdkConfig};
use federation::consistency::PATIENCE;
use federation::{Changes, Consistency};
use jiff::Timestamp;
use projection::store::Relational;
use std::sync::Arc;

/// Where a micrograph runs.
#[derive(Clone, Debug)]
pub struct Environment {
    /// Holds its tables.
    pub dynamodb: aws_sdk_dynamodb::Client,
    /// Holds the projections that are relational; none where the micrograph has none.
    pub relational: Option<Arc<dyn Relational>>,
    /// Takes its events.
    pub eventbridge: aws_sdk_eventbridge::Client,
    /// The name of the event bus.
    pub bus: String,
    /// The region, as it stands in envelopes.
    pub region: String,
    /// The regions of the deployment; none where this is the only one, and all aggregates are at home here.
    pub regions: Option<Regions>,
    /// Put before the name of every table.
    pub table_prefix: String,
    /// What was built: it is noted with what is quarantined.
    pub build: String,
    /// Tells the time.
    pub clock: fn() -> Timestamp,
    /// What it does for caches, and for who reads what they wrote.
    pub edge: Edge,
    /// Who subscribed to what, where consumers and subgraphs are one process; none where they aren't, as on Lambda.
    pub changes: Option<Changes>,
}

impl Environment {
    /// The deployment's name of a table.
    pub fn table(&self, name: &str) -> String {
        format!("{}{name}", self.table_prefix)
    }

    /// Reads the environment of a Lambda function: `AWS_REGION`, `EVENT_BUS` (default `default`), `TABLE_PREFIX`
    /// (default none), `REGIONS` (all regions of the deployment, separated by commas, in the same order in each; default
    /// this one alone), `FIRST_HOMES` (those where aggregates are at home before any is moved; default `REGIONS`; commands are handed to their homes by an invocation of the function
    /// `<TABLE_PREFIX><micrograph>-commands` there), `BUILD_ID`, `CONSISTENCY_KEY` (the secret of consistency tokens; none turns them off) and
    /// `CACHE_TAGS` (`on` announces what changed).
    ///
    /// # Errors
    /// Where `REGIONS` doesn't name this region, or one of `FIRST_HOMES`, or names one twice.
    pub async fn from_env() -> Result<Self, EnvironmentError> {
        let config = sdk::config().await;
        let base = Self::over(&config);
        let var = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let region = var("AWS_REGION").unwrap_or(base.region);
        let table_prefix = var("TABLE_PREFIX").unwrap_or(base.table_prefix);
        let relay = || Some(Arc::new(Invoke::new(&config, &table_prefix, base.clock)?) as Arc<dyn Relay>);
        let first = var("FIRST_HOMES");
        let regions =
            var("REGIONS").map(|all| regions(&all, first.as_deref(), &region, relay())).transpose()?;
        Ok(Self {
            bus: var("EVENT_BUS").unwrap_or(base.bus),
            region,
            regions,
            table_prefix,
            build: var("BUILD_ID").unwrap_or(base.build),
            edge: Edge {
                consistency: var("CONSISTENCY_KEY").map(consistency),
                announces: var("CACHE_TAGS").is_some_and(|it| it == "on"),
            },
            ..base
        })
    }

    /// An environment in which nothing can be reached: enough to build a schema, and to see what a micrograph says of
    /// itself.
    pub fn nowhere() -> Self {
        Self::over(&SdkConfig::builder().behavior_version(BehaviorVersion::latest()).build())
    }

    fn over(config: &SdkConfig) -> Self {
        Self {
            dynamodb: aws_sdk_dynamodb::Client::new(config),
            relational: None,
            eventbridge: aws_sdk_eventbridge::Client::new(config),
            bus: "default".to_owned(),
            region: "local".to_owned(),
            regions: None,
            table_prefix: String::new(),
            build: env!("CARGO_PKG_VERSION").to_owned(),
            clock: now,
            edge: Edge::default(),
            changes: None,
        }
    }
}

fn regions(
    text: &str,
    first: Option<&str>,
    own: &str,
    relay: Option<Arc<dyn Relay>>,
) -> Result<Regions, EnvironmentError> {
    let listed = |text: &str| text.split(',').map(|region| region.trim().to_owned()).collect::<Vec<String>>();
    let all = listed(text);
    let once = |region: &String| all.iter().filter(|it| *it == region).count() == 1;
    if !all.iter().all(once) || !all.iter().any(|region| region == own) {
        return Err(EnvironmentError::Regions { text: text.to_owned(), own: own.to_owned() });
    }
    let first = first.map_or_else(|| all.clone(), listed);
    match first.iter().find(|it| !all.contains(it)) {
        Some(unknown) => Err(EnvironmentError::FirstHomes { unknown: unknown.clone(), all }),
        None => Ok(Regions { all, first, relay }),
    }
}

/// Tokens that are signed with a secret, by the system's clock.
pub fn consistency(secret: impl AsRef<[u8]>) -> Consistency {
    let now = || u64::try_from(now().as_second()).unwrap_or_default();
    Consistency { key: freshness::Key::new(secret), patience: PATIENCE, now }
}

/// Why the environment can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvironmentError {
    /// `REGIONS` doesn't say where aggregates are at home.
    #[error("REGIONS is {text:?}; it must name each region once, and this one, {own:?}, among them")]
    Regions {
        /// What it is.
        text: String,
        /// This region.
        own: String,
    },
    /// `FIRST_HOMES` names what is no region.
    #[error("FIRST_HOMES names {unknown:?}, which is none of {all:?}")]
    FirstHomes {
        /// What it names.
        unknown: String,
        /// The regions.
        all: Vec<String>,
    },
}

/// The system's clock.
#[expect(clippy::disallowed_methods, reason = "the one place from which a running micrograph gets its clock")]
pub fn now() -> Timestamp {
    Timestamp::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_are_named_once_and_the_own_one_is_among_them() {
        let known = regions("eu-west-1, us-east-1", None, "us-east-1", None).unwrap();
        assert_eq!(
            (&known.all, &known.first),
            (&vec!["eu-west-1".to_owned(), "us-east-1".to_owned()], &known.all)
        );
        let added = regions("eu-west-1, us-east-1", Some("eu-west-1"), "us-east-1", None).unwrap();
        assert_eq!(added.first, ["eu-west-1"]);
        let refused =
            regions("eu-west-1", Some("eu-west-1,eu-west-2"), "eu-west-1", None).unwrap_err().to_string();
        assert!(refused.contains("eu-west-2"), "{refused}");
        for wrong in ["", "eu-west-1", "us-east-1,us-east-1", "us-east-1,,"] {
            let regions = regions(wrong, None, "us-east-1", None);
            let refused = regions.expect_err(wrong).to_string();
            assert!(refused.contains("REGIONS"), "{refused}");
        }
    }
}
