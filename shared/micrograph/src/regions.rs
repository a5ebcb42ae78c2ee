//! Several regions, all active: each aggregate has a home, where its commands are decided; the other regions keep a
//! replica of it, from which one of them can take over.
//!
//! What goes from region to region are events on the bus, forwarded one hop: the domain events, the replicas and the
//! moves of homes. Each region applies them to tables of its own, and each apply is a join on the version, whose epoch
//! fences off a home that was moved: what it still writes is superseded everywhere.

mod homes;
mod invoke;
mod replicas;

pub use homes::{Book, Home, Homes, SHARDS};
pub(crate) use invoke::{Handed, Invoke};
pub use replicas::REPLICAS;
pub(crate) use replicas::Replicas;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_dynamo::Item;
use serde_json::Value;
use std::sync::Arc;

/// The detail type of an aggregate's image on its way to the other regions.
pub const REPLICA: &str = "AggregateReplica";

/// The detail type of the news where aggregates are at home.
pub const HOMES: &str = "HomesMoved";

/// The regions of a deployment, as one of them knows them.
#[derive(Clone, Debug)]
pub struct Regions {
    /// All of them, the own one too.
    pub all: Vec<String>,
    /// Where aggregates are at home before any is moved, in the same order everywhere. It stays what it was at first: a
    /// region that is added has no replicas yet.
    pub first: Vec<String>,
    /// The way to a home elsewhere; without one, a command is refused there with the home's name.
    pub relay: Option<Arc<dyn Relay>>,
}

/// Hands a command to the aggregate's home.
#[async_trait]
pub trait Relay: Send + Sync + std::fmt::Debug {
    /// Has the command decided in that region by [`Commands::decide`](crate::Commands::decide), and gives its answer.
    async fn decide(&self, region: &str, micrograph: &str, command: &str) -> Result<Value, RelayError>;
}

/// A region that can't be reached for now.
#[derive(Debug, thiserror::Error)]
#[error("the region {region} can't be reached")]
pub struct RelayError {
    /// The region.
    pub region: String,
    /// Why not.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// What one region tells the others, as it stands in an event's detail.
#[derive(Debug, Serialize, Deserialize)]
struct Told {
    /// Who tells.
    region: String,
    /// The aggregate's image, as its table's stream has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    replica: Option<Replica>,
    /// Where aggregates are at home.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    homes: Option<Homes>,
}

/// An item of an aggregate's table.
#[derive(Debug, Serialize, Deserialize)]
struct Replica {
    /// The table, before any prefix of the deployment.
    table: String,
    /// The item.
    image: Item,
}
