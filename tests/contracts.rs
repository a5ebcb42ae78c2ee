//! The published language as a whole: every example goes through every consumer of it, everything that was released is
//! still read, and what is written about it is as committed.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use contracts::published;
use flate2::read::GzDecoder;
use local::gate::released::{self, EVENTS};
use local::gate::{asyncapi, page, readers};
use micrograph::manifest::Manifest;
use serde_json::Value;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use testkit::Fixture;

fn events() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(EVENTS)
}

fn manifests() -> Vec<Manifest> {
    local::shop::all().iter().map(Manifest::of).collect()
}

/// Fails where a committed file isn't what the code says; writes it where `UPDATE_CONTRACTS` is set.
fn committed(file: &str, text: &str) {
    let path = events().join(file);
    if std::env::var_os("UPDATE_CONTRACTS").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let stands = std::fs::read_to_string(&path).unwrap_or_default();
    let hint = "review the change, then run `UPDATE_CONTRACTS=1 cargo test -p suite-tests --test contracts`";
    assert_eq!(stands, text, "{}: {hint}", path.display());
}

#[tokio::test]
async fn every_consumer_folds_the_examples_of_what_it_consumes() -> anyhow::Result<()> {
    let mut folded = 0;
    for micrograph in local::shop::all() {
        let name = micrograph.name();
        let fixture = Fixture::new(micrograph).await?;
        for consumed in fixture.app().manifest().consumes {
            let contract = published::all()
                .into_iter()
                .find(|it| format!("{}.{}", it.domain, it.name) == consumed && it.kind.is_some());
            let contract =
                contract.unwrap_or_else(|| panic!("{name} consumes {consumed}, which has no contract"));
            fixture.publish(&[(contract.example)()]).await?;
            folded += 1;
        }
        let kept = fixture.quarantined().await?;
        assert!(kept.iter().all(|entry| entry.reason == "VersionFork"), "{name}: {kept:#?}");
    }
    assert!(folded >= 15, "only {folded} events were folded");
    Ok(())
}

#[tokio::test]
async fn everything_that_was_released_is_applied_by_the_consumers_of_today() -> anyhow::Result<()> {
    let contracts = released::today(&released::folder(&events())?)?;
    let mut applied = 0;
    for micrograph in local::shop::all() {
        let consumed = Manifest::of(&micrograph).consumes;
        for (id, contract) in contracts.all.iter().filter(|(id, _)| consumed.contains(&id.full_name())) {
            for (minor, form) in &contract.released {
                let fixture = Fixture::new(micrograph.clone()).await?;
                fixture.publish(std::slice::from_ref(&form.example)).await?;
                let kept = fixture.quarantined().await?;
                assert!(kept.is_empty(), "{} of {id}, v{}.{minor}: {kept:#?}", micrograph.name(), id.major);
                applied += 1;
            }
        }
    }
    assert!(applied >= 15, "only {applied} released events were applied");
    Ok(())
}

#[tokio::test]
async fn who_reads_what_is_as_committed() -> anyhow::Result<()> {
    let readers = readers::all(&local::shop::all()).await?;
    let shows = |event: &str, field: &str| {
        let of_event = readers.iter().filter(|it| it.event == event);
        of_event.flat_map(|it| it.graph.values()).flatten().any(|it| it == field)
    };
    assert!(shows("inventory.StockAdjusted", "StockLedgerEntry.reason"), "what is folded in order is shown");
    assert!(shows("catalogue.ProductDelisted", "Product.title"), "what ends was there before");
    committed(readers::FILE, &readers::file(&readers)?);
    committed(page::FILE, &page::written(&manifests(), &readers));
    Ok(())
}

#[test]
fn the_asyncapi_document_is_as_committed_and_valid() {
    let document = asyncapi::document(&manifests());
    committed(asyncapi::FILE, &format!("{document:#}\n"));
    let packed =
        std::fs::File::open(Path::new(env!("CARGO_MANIFEST_DIR")).join("asyncapi/3.0.0.json.gz")).unwrap();
    let mut schema = String::new();
    GzDecoder::new(packed).read_to_string(&mut schema).unwrap();
    let schema: Value = serde_json::from_str(&schema).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<String> =
        validator.iter_errors(&document).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:#?}");
    let mut wrong = document.clone();
    wrong["operations"]["orders.publishes"]["action"] = "shout".into();
    assert!(!validator.is_valid(&wrong), "the schema lets anything pass");
    // Each reference leads to something.
    references(&document, &mut |reference| match reference.strip_prefix('#') {
        Some(pointer) => assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere"),
        None => assert!(events().join(reference).exists(), "{reference} leads nowhere"),
    });
}

fn references(value: &Value, visit: &mut impl FnMut(&str)) {
    match value {
        Value::Object(fields) => {
            fields.get("$ref").and_then(Value::as_str).into_iter().for_each(&mut *visit);
            fields.values().for_each(|it| references(it, visit));
        }
        Value::Array(items) => items.iter().for_each(|it| references(it, visit)),
        _ => {}
    }
}
