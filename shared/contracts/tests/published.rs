//! The committed contracts are those of the code.

use contracts::published::{self, Contract};
use contracts::{Version, envelope};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::path::PathBuf;

fn folder(contract: &Contract) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../events").join(contract.domain).join(contract.name)
}

fn files(contract: &Contract) -> [(PathBuf, Value); 2] {
    let file = |what: &str| folder(contract).join(format!("v{}.{what}.json", contract.major));
    [(file("schema"), (contract.schema)()), (file("example"), (contract.example)())]
}

#[test]
fn committed_files_are_what_the_code_says() {
    let update = std::env::var_os("UPDATE_CONTRACTS").is_some();
    let mut stale = Vec::new();
    for (path, value) in published::all().iter().flat_map(files) {
        let text = serde_json::to_string_pretty(&value).unwrap() + "\n";
        if std::fs::read_to_string(&path).ok().as_deref() == Some(text.as_str()) {
            continue;
        }
        if update {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, text).unwrap();
        } else {
            stale.push(path);
        }
    }
    assert!(
        stale.is_empty(),
        "not what the code says, run `UPDATE_CONTRACTS=1 cargo test -p contracts` and review: {stale:#?}"
    );
}

#[test]
fn every_committed_file_belongs_to_a_contract() {
    let known: Vec<PathBuf> = published::all().iter().flat_map(files).map(|(path, _)| path).collect();
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../events");
    for domain in
        std::fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir())
    {
        for name in std::fs::read_dir(domain).unwrap() {
            for file in std::fs::read_dir(name.unwrap().path()).unwrap() {
                let file = file.unwrap().path();
                assert!(known.contains(&file), "{} belongs to no contract", file.display());
            }
        }
    }
}

#[test]
fn every_example_is_valid_under_its_schema_and_survives_a_round_trip() {
    for contract in published::all() {
        let schema = jsonschema::validator_for(&(contract.schema)()).unwrap();
        let example = (contract.example)();
        let errors: Vec<String> = schema.iter_errors(&example).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{}: {errors:?}", contract.name);
        assert_eq!((contract.round_trip)(&example.to_string()).unwrap(), example, "{}", contract.name);
    }
}

#[test]
fn schemas_reject_what_is_not_the_contract() {
    for contract in published::all() {
        let schema = jsonschema::validator_for(&(contract.schema)()).unwrap();
        for field in ["id", "data", "version", "subject", "major"] {
            let mut message = (contract.example)();
            message.as_object_mut().unwrap().remove(field);
            if contract.kind.is_none() && field == "version" {
                continue;
            }
            assert!(!schema.is_valid(&message), "{} without {field}", contract.name);
        }
        let mut message = (contract.example)();
        message["type"] = "SomethingElse".into();
        assert!(!schema.is_valid(&message), "{} under another name", contract.name);
    }
}

#[test]
fn what_a_later_build_adds_survives_a_round_trip() {
    for contract in published::all() {
        let mut message = (contract.example)();
        message["shard"] = json!({ "added": ["later", 1] });
        if contract.kind.is_some() {
            message["data"]["addedLater"] = json!([null, 1.5, "x"]);
        }
        assert_eq!((contract.round_trip)(&message.to_string()).unwrap(), message, "{}", contract.name);
    }
    let orders = published::all().into_iter().find(|contract| contract.name == "OrderPlaced").unwrap();
    let mut message = (orders.example)();
    message["data"]["status"] = "held".into();
    message["data"]["lines"][0]["kind"] = "voucher".into();
    message["data"]["lines"][0]["engraving"] = "To Ann".into();
    assert_eq!((orders.round_trip)(&message.to_string()).unwrap(), message);
}

#[test]
fn names_are_unique() {
    let mut names: Vec<_> = published::all().iter().map(|it| (it.domain, it.name, it.major)).collect();
    names.sort_unstable();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count);
}

proptest! {
    #[test]
    fn an_event_id_depends_on_what_identifies_the_event_and_on_nothing_else(
        subject in ".{0,12}", seq in 1..=Version::MAX_SEQ, index in 0..4_u16,
    ) {
        let version = Version::first_epoch(seq);
        let id = envelope::event_id("orders", &subject, version, index);
        prop_assert_eq!(&id, &envelope::event_id("orders", &subject, version, index));
        prop_assert_ne!(&id, &envelope::event_id("orders", &subject, version, index + 1));
        prop_assert_ne!(&id, &envelope::event_id("orders", &subject, Version { epoch: 1, seq }, index));
        prop_assert_ne!(&id, &envelope::event_id("pricing", &subject, version, index));
    }
}
