//! From batches to objects.

use crate::world::{Flaky, archivist, deliveries, event, fill, log, paths, replayed, run, sorted, sqs};
use archive::object_store::ObjectStoreExt as _;
use archive::object_store::memory::InMemory;
use archive::{Archive, Filter, ObjectName};
use projection::quarantine::Reason;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::Ordering;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn however_often_and_in_whatever_order_events_come_each_is_there(
        (log, batches) in log(60).prop_flat_map(deliveries)
    ) {
        run(async {
            let archive = Archive::in_memory();
            fill(&archive, &batches).await;
            assert_eq!(replayed(&archive, &Filter::default()).await.0, sorted(log));
        });
    }

    #[test]
    fn what_is_acknowledged_is_stored_and_the_rest_comes_again(
        (log, batches) in log(40).prop_flat_map(deliveries), writes in 0..20_i64, after_the_effect: bool
    ) {
        run(async {
            let store = Arc::new(Flaky { after_the_effect, ..Flaky::new(InMemory::new()) });
            store.writes_left.store(writes, Ordering::SeqCst);
            let archive = Archive::new(Arc::clone(&store) as _);
            let (archivist, _) = archivist(&archive);
            let mut again = Vec::new();
            let mut acknowledged = Vec::new();
            for batch in &batches {
                let report = archivist.archive(&sqs(batch), None).await.unwrap();
                for (number, event) in batch.iter().enumerate() {
                    let failed = report.failed.contains(&number.to_string());
                    if failed { &mut again } else { &mut acknowledged }.push(event.clone());
                }
            }
            let (stored, _) = replayed(&archive, &Filter::default()).await;
            assert!(acknowledged.iter().all(|event| stored.contains(event)), "acknowledged and lost");
            store.writes_left.store(i64::MAX, Ordering::SeqCst);
            if !again.is_empty() {
                fill(&archive, &[again]).await;
            }
            assert_eq!(replayed(&archive, &Filter::default()).await.0, sorted(log));
        });
    }
}

#[tokio::test]
async fn the_same_batch_again_is_the_same_objects() {
    let store = Arc::new(InMemory::new());
    let archive = Archive::new(Arc::clone(&store) as _);
    let batch: Vec<String> = (0..40).map(|number| event(number, number, 0, 60, "local")).collect();
    let mut reversed = batch.clone();
    reversed.reverse();
    fill(&archive, &[batch]).await;
    let before = paths(&*store).await;
    let (archivist, _) = archivist(&archive);
    let report = archivist.archive(&sqs(&reversed), None).await.unwrap();
    assert_eq!((report.objects, report.repeated), (0, before.len()), "{report:?}");
    assert_eq!(paths(&*store).await, before);
    assert!(before.iter().all(|path| ObjectName::parse(path.as_ref()).is_some()), "{before:?}");
}

#[tokio::test]
async fn what_is_no_event_is_quarantined_and_its_neighbours_are_archived() {
    let archive = Archive::in_memory();
    let (archivist, shelf) = archivist(&archive);
    let good = event(1, 0, 0, 0, "local");
    let changed = |field: &str, value: Value| {
        let mut event: Value = serde_json::from_str(&good).unwrap();
        event[field] = value;
        event.to_string()
    };
    let bad = [
        ("{".to_owned(), Reason::Malformed),
        ("[]".to_owned(), Reason::Malformed),
        (changed("time", "yesterday".into()), Reason::Malformed),
        (changed("data", "x".repeat(300_000).into()), Reason::Malformed),
        (changed("domain", "../orders".into()), Reason::HandlerRejected),
        (changed("domain", "".into()), Reason::HandlerRejected),
        (changed("region", "a/b".into()), Reason::HandlerRejected),
        (changed("time", "-000001-01-01T00:00:00Z".into()), Reason::HandlerRejected),
    ];
    for (bad, reason) in bad {
        let records = [("0", &bad), ("1", &good)].map(|(id, body)| json!({ "messageId": id, "body": body }));
        let payload = json!({ "Records": records }).to_string();
        let report = archivist.archive(payload.as_bytes(), None).await.unwrap();
        assert_eq!((report.quarantined, report.archived, report.failed.len()), (1, 1, 0), "{bad:.80}");
        assert_eq!(shelf.0.lock().unwrap().pop(), Some((reason, bad)));
    }
    assert_eq!(replayed(&archive, &Filter::default()).await.0, [good]);
}

#[tokio::test]
async fn an_event_over_several_lines_is_archived_on_one_and_means_the_same() {
    let archive = Archive::in_memory();
    let value: Value = serde_json::from_str(&event(1, 0, 0, 0, "local")).unwrap();
    let pretty = serde_json::to_string_pretty(&value).unwrap().replace('\n', "\r\n");
    fill(&archive, &[vec![pretty]]).await;
    let (events, _) = replayed(&archive, &Filter::default()).await;
    assert_eq!(events.len(), 1);
    assert_eq!(serde_json::from_str::<Value>(&events[0]).unwrap(), value);
}

#[tokio::test]
async fn a_fork_keeps_both_of_its_ends() {
    let archive = Archive::in_memory();
    let one = event(1, 0, 0, 0, "local");
    let other = one.replace("\"number\":1", "\"number\":2");
    fill(&archive, &[vec![one.clone()], vec![other.clone()]]).await;
    archive.compact(&Filter::default()).await.unwrap();
    assert_eq!(replayed(&archive, &Filter::default()).await.0, sorted(vec![one, other]));
}

#[tokio::test(start_paused = true)]
async fn past_the_deadline_nothing_is_begun_and_everything_comes_again() {
    let archive = Archive::in_memory();
    let (archivist, _) = archivist(&archive);
    let batch = [event(1, 0, 0, 0, "local"), event(2, 1, 0, 0, "local")];
    let answer = archivist.handle(&sqs(&batch), Some(tokio::time::Instant::now())).await.unwrap();
    assert_eq!(
        answer,
        json!({ "batchItemFailures": [{ "itemIdentifier": "0" }, { "itemIdentifier": "1" }] })
    );
    let bare = archivist.handle(batch[0].as_bytes(), Some(tokio::time::Instant::now())).await;
    assert!(bare.is_err(), "an event that came alone can't be named in an answer");
    assert_eq!(archive.summary(&Filter::default()).await.unwrap(), []);
}

#[tokio::test]
async fn a_damaged_object_is_healed_by_the_same_events() {
    let store = Arc::new(InMemory::new());
    let archive = Archive::new(Arc::clone(&store) as _);
    let batch = vec![event(1, 0, 0, 0, "local")];
    fill(&archive, std::slice::from_ref(&batch)).await;
    let path = paths(&*store).await.pop().unwrap();
    store.put(&path, b"".as_slice().to_vec().into()).await.unwrap();
    fill(&archive, std::slice::from_ref(&batch)).await;
    assert_eq!(replayed(&archive, &Filter::default()).await.0, batch);
}

#[tokio::test]
async fn a_folder_holds_what_was_archived_by_an_earlier_process() {
    let root = tempfile::tempdir().unwrap();
    let batch: Vec<String> =
        (0..100).map(|number| event(number, number, number, 36 * number as i64, "local")).collect();
    for power in [false, true] {
        let folder = root.path().join(power.to_string());
        fill(&Archive::in_folder(&folder, power).unwrap(), std::slice::from_ref(&batch)).await;
        let archive = Archive::in_folder(&folder, power).unwrap();
        assert_eq!(replayed(&archive, &Filter::default()).await.0, sorted(batch.clone()));
        let summary = archive.summary(&Filter::default()).await.unwrap();
        assert_eq!(summary.iter().map(|hour| hour.events).sum::<u64>(), 100);
    }
}
