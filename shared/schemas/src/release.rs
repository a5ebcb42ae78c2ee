//! What a variant is at a version.

use crate::hash::Hash;
use crate::variant::{ContractName, Variant};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A version of a variant: what is read by its pointer, and what its history is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// Counted from 1, without gaps.
    pub version: u64,
    /// The composed graph.
    pub supergraph: Hash,
    /// What it was composed of, by name.
    pub subgraphs: BTreeMap<String, LiveSubgraph>,
    /// The views of it, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub contracts: BTreeMap<ContractName, Contract>,
    /// When it was made.
    pub at: Timestamp,
    /// Who made it.
    pub by: String,
    /// Why, in the words of who made it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// What was done.
    pub deed: Deed,
}

/// A subgraph of a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveSubgraph {
    /// Its schema.
    pub sdl: Hash,
    /// Where it answers; empty where the gateway knows by its name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub url: String,
}

/// A view of a release by tags.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contract {
    /// What is in it.
    #[serde(flatten)]
    pub tags: Tags,
    /// The supergraph with all else inaccessible.
    pub supergraph: Hash,
}

/// Which parts of a graph a contract shows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tags {
    /// Only what has one of these tags, unless it is empty.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub include: BTreeSet<String>,
    /// Nothing that has one of these tags, whatever else it has.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub exclude: BTreeSet<String>,
}

/// What made a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "did")]
pub enum Deed {
    /// Subgraphs were published, or taken out.
    Publish {
        /// Those that are new or have changed.
        changed: BTreeSet<String>,
        /// Those that are gone.
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        removed: BTreeSet<String>,
        /// Breaking changes that were accepted by name, as `rule path`.
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        accepted: BTreeSet<String>,
        /// The variant that this one began as a copy of.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<Variant>,
    },
    /// An earlier version was deployed again.
    Rollback {
        /// That version.
        to: u64,
    },
    /// A contract was set or removed.
    Contract {
        /// Its name.
        name: ContractName,
    },
}
