//! Who owns, publishes, consumes and serves what: new coupling shows in a diff of a file.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use local::gate::architecture;
use micrograph::manifest::Manifest;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn manifests() -> Vec<Manifest> {
    local::shop::all().iter().map(Manifest::of).collect()
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
    committed(&root().join(architecture::FILE), &architecture::map(&manifests()));
}

#[test]
fn what_is_consumed_is_published_by_its_domain_and_every_contract_is_declared() {
    assert_eq!(architecture::loose_ends(&manifests()), Vec::<String>::new());
    let mut without = manifests();
    without.retain(|manifest| manifest.micrograph != "pricing");
    let loose = architecture::loose_ends(&without);
    let tells = |text: &str| loose.iter().any(|it| it.contains(text));
    assert!(tells("orders consumes pricing.ProductPriced, which nobody publishes"), "{loose:#?}");
    assert!(tells("nobody publishes pricing.ProductPriced.v1"), "{loose:#?}");
    assert!(tells("nobody decides pricing.RepriceProduct.v1"), "{loose:#?}");
}

#[test]
fn services_meet_in_contracts_only_and_shared_crates_know_no_service() {
    let (crates, wrong) = architecture::couplings(&root()).unwrap();
    assert!(crates >= 15, "the crates were not found");
    assert_eq!(wrong, Vec::new());
    let folder = tempfile::tempdir().unwrap();
    for (name, on) in
        [("services/a", "b.workspace = true"), ("services/b", "serde = \"1\""), ("shared/contracts", "")]
    {
        let at = folder.path().join(name);
        std::fs::create_dir_all(&at).unwrap();
        std::fs::write(
            at.join("Cargo.toml"),
            format!("[package]\n[dependencies]\n{on}\n[dev-dependencies]\na = 1\n"),
        )
        .unwrap();
    }
    let (_, wrong) = architecture::couplings(folder.path()).unwrap();
    assert_eq!(wrong, [("services/a".to_owned(), "b".to_owned())]);
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
        _ if path.extension().is_some_and(|it| it == "rs") => {
            let text = std::fs::read_to_string(&path).unwrap();
            text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//")).count()
        }
        _ => 0,
    });
    counted.sum()
}

#[test]
fn a_bounded_context_is_read_in_one_sitting() {
    let services = std::fs::read_dir(root().join("services")).unwrap().map(|entry| entry.unwrap().path());
    let contexts = services.filter(|folder| {
        // The gateway and the registry know no domain: they are no bounded contexts, but products of their own.
        folder.join("Cargo.toml").exists() && !folder.ends_with("gateway") && !folder.ends_with("registry")
    });
    let sizes: Vec<(PathBuf, usize)> = contexts
        .map(|folder| {
            let lines = lines_of_code(&folder.join("src"));
            (folder, lines)
        })
        .collect();
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
            // Of those that take from queues.
            let functions = json["functions"].as_array().unwrap().iter();
            let functions =
                functions.filter(|it| it["trigger"]["type"].as_str().unwrap().starts_with("queue"));
            let longest = functions.map(|it| it["timeoutSeconds"].as_u64().unwrap());
            assert!(visibility >= 6 * longest.max().unwrap(), "{queue}");
            assert!(queue["maxReceiveCount"].as_u64().unwrap() >= 5, "{queue}");
        }
        for table in json["tables"].as_array().unwrap() {
            assert!(table["indexes"].as_array().unwrap().len() <= 20, "{table}");
        }
    }
}
