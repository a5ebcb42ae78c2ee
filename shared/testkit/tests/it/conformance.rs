//! The embedded store and the one in memory conform; the example asks any other.

use embedded::dynamodb::DynamoDb;
use projection::store::Store;
use std::sync::Arc;
use testkit::conformance::{self, Races};
use testkit::faults::{Faulty, Late};
use testkit::memory::MemoryStore;

#[tokio::test]
async fn the_embedded_dynamodb_conforms() {
    let dynamodb = DynamoDb::in_memory().unwrap();
    let report = conformance::run(&dynamodb.client(), "conformance", Races::Run).await.unwrap();
    assert!(report.failed.is_empty(), "{report}");
    assert_eq!(report.passed.len(), 49);
}

#[tokio::test]
async fn the_store_in_memory_conforms() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    for store in [Arc::clone(&store), Arc::new(Faulty::new(store, Arc::new(Late::default())))] {
        let table = format!("conformance-{}", Arc::as_ptr(&store).addr());
        let report = conformance::store_conformance(store, &table, Races::Run).await;
        assert!(report.failed.is_empty(), "{report}");
        assert_eq!(report.passed.len(), 43);
    }
}
