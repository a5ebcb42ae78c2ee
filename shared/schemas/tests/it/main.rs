//! The store of schemas over memory and over a folder, under faults and many writers.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod commits;
mod reading;
mod usage;

use jiff::Timestamp;
use schemas::{Deed, LiveSubgraph, Release, Schemas, StorageError, Variant};
use std::collections::BTreeMap;

fn production() -> Variant {
    "production".parse().unwrap()
}

/// A release of one subgraph; its text and author follow from `by`.
async fn release(schemas: &Schemas, version: u64, by: &str) -> Result<Release, StorageError> {
    let supergraph = schemas.put_schema(&format!("type Query {{ {by}: Int }}")).await?;
    let live = LiveSubgraph { sdl: supergraph.clone(), url: String::new() };
    Ok(Release {
        version,
        supergraph,
        subgraphs: BTreeMap::from([(by.to_owned(), live)]),
        contracts: BTreeMap::new(),
        at: Timestamp::UNIX_EPOCH,
        by: by.to_owned(),
        message: String::new(),
        deed: Deed::Rollback { to: 0 },
    })
}
