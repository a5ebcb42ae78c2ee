//! What the deployment to AWS is made from: the manifests that infra/aws reads are the ones that the binaries print.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use micrograph::manifest::Manifest;
use projection::join::Join;
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../infra/aws/manifests")
}

/// Fails where a committed file isn't what the code says; writes it where `UPDATE_GOLDEN` is set.
fn committed(path: &Path, content: &impl Serialize) {
    let text = serde_json::to_string_pretty(content).unwrap() + "\n";
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, &text).unwrap();
    }
    let stands = std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(
        stands,
        text,
        "{}: review the change, then run the tests with UPDATE_GOLDEN=1",
        path.display()
    );
}

/// What applying the example of an event writes to a projection.
#[derive(Default, Serialize)]
struct Writes {
    /// Items that one write each replaces, or adds to.
    items: u64,
    /// Items of transactions: of each contributor, and the totals that it changes.
    in_transactions: u64,
}

fn writes(projection: &projection::Projection, example: &Value) -> Writes {
    let text = example.to_string();
    let header: contracts::Header<'_> = serde_json::from_str(&text).unwrap();
    let mut writes = Writes::default();
    for join in projection.fold(&header).unwrap().unwrap_or_default() {
        match join {
            Join::Put(_) | Join::Dot(_) | Join::Step(_) => writes.items += 1,
            Join::Contribution(it) => writes.in_transactions += 1 + it.amounts.len() as u64,
        }
    }
    writes
}

/// By projection, then by event; what an event costs is worked out from it.
#[test]
fn what_the_examples_of_events_write_is_as_committed() {
    let examples = contracts::published::all();
    let mut all: BTreeMap<String, BTreeMap<String, Writes>> = BTreeMap::new();
    for micrograph in local::shop::all() {
        for projection in micrograph.projections() {
            let mut of: BTreeMap<String, Writes> = BTreeMap::new();
            for contract in examples.iter().filter(|it| it.kind.is_some()) {
                if projection.consumes().any(|event| event == (contract.domain, contract.name)) {
                    let name = format!("{}.{}", contract.domain, contract.name);
                    of.insert(name, writes(projection, &(contract.example)()));
                }
            }
            all.insert(format!("{}.{}", micrograph.name(), projection.name()), of);
        }
    }
    committed(&folder().join("../cost/writes.json"), &all);
}

#[test]
fn the_manifests_that_aws_is_set_up_from_are_as_committed() {
    let mut names = BTreeSet::new();
    for micrograph in local::shop::all() {
        committed(&folder().join(format!("{}.json", micrograph.name())), &Manifest::of(&micrograph));
        names.insert(format!("{}.json", micrograph.name()));
    }
    committed(&folder().join("archive.json"), &archivist::manifest());
    committed(&folder().join("cache.json"), &purger::manifest());
    committed(&folder().join("registry.json"), &registry::manifest::manifest());
    names.extend(["archive.json", "cache.json", "registry.json"].map(str::to_owned));
    let there = std::fs::read_dir(folder()).unwrap();
    let there: BTreeSet<String> = there.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(there, names, "a manifest of a service that is gone, or none of one that is there");
}
