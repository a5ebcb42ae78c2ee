//! The embedded store conforms; the example asks any other.

use embedded::dynamodb::DynamoDb;
use testkit::conformance::{self, Races};

#[tokio::test]
async fn the_embedded_dynamodb_conforms() {
    let dynamodb = DynamoDb::in_memory().unwrap();
    let report = conformance::run(&dynamodb.client(), "conformance", Races::Run).await.unwrap();
    assert!(report.failed.is_empty(), "{report}");
    assert_eq!(report.passed.len(), 31);
}
