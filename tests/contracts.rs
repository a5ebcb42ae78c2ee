//! Every example event goes through every consumer of it, and every example command through its decider.

use contracts::published;
use testkit::Fixture;

#[tokio::test]
async fn every_consumer_folds_the_examples_of_what_it_consumes() -> anyhow::Result<()> {
    let mut folded = 0;
    for micrograph in local::shop::micrographs() {
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
