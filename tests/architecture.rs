//! Who owns, publishes, consumes and serves what: new coupling shows in a diff of a file.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use micrograph::manifest::Manifest;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn manifests() -> Vec<Manifest> {
    local::shop::micrographs().iter().map(Manifest::of).collect()
}

/// Fails where a committed file isn't what the code says; writes it where `UPDATE_GOLDEN` is set.
fn committed(path: &Path, text: &str) {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, text).unwrap();
    }
    let stands = std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(
        stands,
        text,
        "{}: review the change, then run the tests with UPDATE_GOLDEN=1",
        path.display()
    );
}

#[test]
fn the_map_of_the_suite_is_as_committed() {
    let mut text = String::new();
    for manifest in manifests() {
        let tables: Vec<&str> = manifest.tables.iter().map(|table| table.name.as_str()).collect();
        let _ = writeln!(text, "{}", manifest.micrograph);
        let mut line = |what: &str, values: &[String]| {
            let _ = writeln!(text, "  {what:<10} {}", values.join(", "));
        };
        let strings = |values: &[&str]| values.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
        line("decides", &strings(&manifest.decides));
        line("publishes", &manifest.publishes);
        line("consumes", &manifest.consumes);
        line("tables", &strings(&tables));
    }
    committed(&root().join("tests/architecture.golden"), &text);
}

#[test]
fn what_is_consumed_is_published_by_its_domain() {
    let published: Vec<String> = manifests().iter().flat_map(|manifest| manifest.publishes.clone()).collect();
    for manifest in manifests() {
        for event in manifest.consumes {
            let versions = format!("{event}.v");
            assert!(published.iter().any(|it| it.starts_with(&versions)), "nobody publishes {event}");
        }
        for event in &manifest.publishes {
            assert!(event.starts_with(&format!("{}.", manifest.micrograph)), "{event} is another domain's");
        }
    }
}

#[test]
fn every_contract_has_its_publisher_or_its_decider() {
    let manifests: BTreeMap<&str, Manifest> = manifests().into_iter().map(|it| (it.micrograph, it)).collect();
    for contract in contracts::published::all() {
        let manifest = &manifests[contract.domain];
        let known = match contract.kind {
            Some(_) => manifest
                .publishes
                .contains(&format!("{}.{}.v{}", contract.domain, contract.name, contract.major)),
            None => manifest.decides.contains(&contract.name),
        };
        assert!(known, "{}.{} is declared by nobody", contract.domain, contract.name);
    }
}

/// The crates of ours that a crate's manifest names under `[dependencies]`.
fn dependencies(folder: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap();
    let section = text.split("[dependencies]").nth(1).unwrap_or_default();
    let section = section.split("\n[").next().unwrap_or_default();
    section.lines().filter_map(|line| line.split(['.', ' ', '=']).next()).map(str::to_owned).collect()
}

fn folders(parent: &str) -> Vec<(String, PathBuf)> {
    let entries = std::fs::read_dir(root().join(parent)).unwrap();
    let folder = |path: PathBuf| (path.file_name().unwrap().to_str().unwrap().to_owned(), path);
    entries
        .map(|entry| folder(entry.unwrap().path()))
        .filter(|(_, path)| path.join("Cargo.toml").exists())
        .collect()
}

#[test]
fn services_meet_in_contracts_only_and_shared_crates_know_no_service() {
    let services = folders("services");
    let is_service = |name: &String| services.iter().any(|(service, _)| service == name);
    assert!(services.len() >= 8, "the services' folders were not found");
    for (name, folder) in services.iter().chain(&folders("shared")) {
        let coupled: Vec<String> = dependencies(folder).into_iter().filter(is_service).collect();
        assert!(coupled.is_empty(), "{name} depends on {coupled:?}");
    }
    let ours: Vec<String> = folders("shared").into_iter().map(|(name, _)| name).collect();
    let of_contracts = dependencies(&root().join("shared/contracts"));
    assert!(!of_contracts.iter().any(|it| ours.contains(it)), "contracts depends on {of_contracts:?}");
}

#[test]
fn what_comes_by_topics_is_fanned_out_by_each_of_its_domains() {
    let manifests = manifests();
    let mut subscribed = 0;
    for manifest in &manifests {
        for subscription in &manifest.subscriptions {
            let owner = |topic| manifests.iter().find(|it| it.topics.iter().any(|own| own.name == topic));
            let topics = manifest.subscriptions.iter().filter(|it| it.queue == subscription.queue);
            let owners =
                topics.map(|it| owner(it.topic).unwrap_or_else(|| panic!("nobody owns {}", it.topic)));
            let fanned_out: BTreeSet<String> =
                owners.map(|it| contracts::event::source(it.micrograph)).collect();
            let wanted = subscription.filter_policy["source"].as_array().unwrap().iter();
            let wanted: BTreeSet<String> = wanted.map(|it| it.as_str().unwrap().to_owned()).collect();
            assert_eq!(fanned_out, wanted, "{}", subscription.queue);
            subscribed += 1;
        }
    }
    assert!(subscribed >= 4, "only {subscribed} subscriptions were found");
}

/// Lines of code of a crate: neither blank, nor a comment, nor of a test.
fn lines_of_code(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let counted = entries.map(|path| match path.file_name().unwrap().to_str().unwrap() {
        "tests" | "tests.rs" => 0,
        _ if path.is_dir() => lines_of_code(&path),
        name if name.ends_with(".rs") => {
            let text = std::fs::read_to_string(&path).unwrap();
            text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//")).count()
        }
        _ => 0,
    });
    counted.sum()
}

#[test]
fn a_bounded_context_is_read_in_one_sitting() {
    let services = folders("services");
    // The gateway and the registry know no domain: they are no bounded contexts, but products of their own.
    let contexts = services.iter().filter(|(name, _)| name != "gateway" && name != "registry");
    let sizes: Vec<(&str, usize)> =
        contexts.map(|(name, folder)| (name.as_str(), lines_of_code(&folder.join("src")))).collect();
    assert!(sizes.len() >= 7 && sizes.iter().all(|(_, lines)| *lines > 100), "{sizes:?}");
    let large: Vec<_> = sizes.iter().filter(|(_, lines)| *lines >= 400).collect();
    assert!(large.is_empty(), "400 lines of code or more; find what is a context of its own: {large:?}");
}

#[test]
fn manifests_are_json_with_the_limits_that_aws_wants() {
    for manifest in manifests() {
        let json: Value = serde_json::to_value(&manifest).unwrap();
        for queue in json["queues"].as_array().unwrap() {
            let visibility = queue["visibilityTimeoutSeconds"].as_u64().unwrap();
            let longest =
                json["functions"].as_array().unwrap().iter().map(|it| it["timeoutSeconds"].as_u64().unwrap());
            assert!(visibility >= 6 * longest.max().unwrap(), "{queue}");
            assert!(queue["maxReceiveCount"].as_u64().unwrap() >= 5, "{queue}");
        }
        for table in json["tables"].as_array().unwrap() {
            assert!(table["indexes"].as_array().unwrap().len() <= 20, "{table}");
        }
    }
}
