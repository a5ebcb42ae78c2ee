//! The archive's functions as Lambda runs them: those that need no bucket.

#[tokio::test]
async fn every_function_of_its_quarantine_does_its_work_on_lambda() -> anyhow::Result<()> {
    testkit::roles::work(env!("CARGO_BIN_EXE_archivist"), archivist::micrograph).await
}
