use crate::production;
use jiff::{SignedDuration, Timestamp};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};
use schemas::Schemas;
use schemas::usage::{Client, Operation, UsageLine, signature};
use std::sync::Arc;

fn line(document: &str, client: &str, hour: i64, count: u64) -> UsageLine {
    let at = Timestamp::UNIX_EPOCH + SignedDuration::from_hours(hour);
    let signature = signature(document, None).unwrap();
    UsageLine {
        at,
        until: at + SignedDuration::from_mins(1),
        client: Client { name: client.to_owned(), version: "1".to_owned() },
        operation: Operation { name: signature.name, hash: signature.hash, text: signature.text },
        count,
        contract: None,
    }
}

#[tokio::test]
async fn what_was_recorded_is_summed_by_operation_and_client_from_a_moment_on() {
    let schemas = Schemas::in_memory();
    let lines = [
        line("query Old { a }", "web", 1, 5),
        line("query Top { b }", "web", 30, 2),
        line("query Top { b }", "web", 55, 3),
        line("query Top { b }", "app", 54, 7),
    ];
    schemas.record_usage(&production(), &lines).await.unwrap();
    // The same lines again are the same object.
    schemas.record_usage(&production(), &lines).await.unwrap();
    let since = Timestamp::UNIX_EPOCH + SignedDuration::from_hours(30);
    let usage = schemas.usage(&production(), since).await.unwrap();
    assert_eq!(usage.operations.len(), 1);
    let top = usage.operations.values().next().unwrap();
    assert_eq!(top.name, "Top");
    let counts: Vec<(&str, u64)> =
        top.clients.iter().map(|(client, used)| (client.name.as_str(), used.count)).collect();
    assert_eq!(counts, [("app", 7), ("web", 5)]);
    assert_eq!(
        usage.operations.values().next().unwrap().clients.values().next_back().unwrap().last,
        lines[2].until
    );

    let all = schemas.usage(&production(), Timestamp::UNIX_EPOCH).await.unwrap();
    assert_eq!(all.operations.len(), 2);
    let staging = schemas.usage(&"staging".parse().unwrap(), Timestamp::UNIX_EPOCH).await.unwrap();
    assert!(staging.is_empty());
}

#[tokio::test]
async fn a_line_that_cannot_be_read_costs_itself_alone() {
    let objects: Arc<dyn ObjectStore> = Arc::new(object_store::memory::InMemory::new());
    let schemas = Schemas::new(Arc::clone(&objects));
    schemas.record_usage(&production(), &[line("{ a }", "web", 1, 1)]).await.unwrap();
    let at = Path::from("usage/production/1970-01-01/235959-bad.ndjson");
    let sound = serde_json::to_string(&line("{ b }", "web", 2, 1)).unwrap();
    objects.put(&at, format!("{{}}\nnonsense\n\n{sound}\n{}", &sound[..40]).into()).await.unwrap();
    let usage = schemas.usage(&production(), Timestamp::UNIX_EPOCH).await.unwrap();
    assert_eq!((usage.lines, usage.unreadable, usage.operations.len()), (2, 3, 2));
}

#[test]
fn the_format_is_as_documented() {
    let json = serde_json::to_value(line("query Top { b }", "web", 1, 2)).unwrap();
    let shape: Vec<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(shape, ["at", "until", "client", "operation", "count"]);
    assert_eq!(json["at"], "1970-01-01T01:00:00Z");
    assert_eq!(json["client"], serde_json::json!({"name": "web", "version": "1"}));
    assert_eq!(json["operation"]["name"], "Top");
    let anonymous = r#"{"at":"1970-01-01T00:00:00Z","until":"1970-01-01T00:01:00Z","client":{},"count":1,"operation":
        {"hash":"0000000000000000000000000000000000000000000000000000000000000000","text":"{ a }"}}"#;
    assert_eq!(serde_json::from_str::<UsageLine>(anonymous).unwrap().client, Client::default());
}
