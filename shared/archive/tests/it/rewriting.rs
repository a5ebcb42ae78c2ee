//! Compaction and erasure.

use crate::world::{Flaky, deliveries, event, fill, log, paths, replayed, run, sorted};
use archive::object_store::ObjectStoreExt as _;
use archive::object_store::memory::InMemory;
use archive::{Archive, Filter, ObjectName};
use contracts::{Header, Kind};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The places of a store's objects: domain, hour and region.
async fn places(store: &InMemory) -> Vec<(String, String, String)> {
    let names = paths(store).await;
    let names = names.iter().map(|path| ObjectName::parse(path.as_ref()).unwrap());
    names.map(|name| (name.domain, name.hour.to_string(), name.region)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn compacted_an_hour_is_one_object_that_holds_each_event_once(
        (log, batches) in log(60).prop_flat_map(deliveries), late in 0..5_usize
    ) {
        run(async {
            let store = Arc::new(InMemory::new());
            let archive = Archive::new(Arc::clone(&store) as _);
            fill(&archive, &batches).await;
            archive.compact(&Filter::default()).await.unwrap();
            // Late ones are merged by the next compaction, into what the first one left.
            fill(&archive, &batches[..late.min(batches.len())]).await;
            archive.compact(&Filter::default()).await.unwrap();
            let (events, told) = replayed(&archive, &Filter::default()).await;
            assert_eq!(told.read as usize, log.len(), "an event is stored once");
            assert_eq!(events, sorted(log));
            let places = places(&store).await;
            assert_eq!(places.iter().collect::<BTreeSet<_>>().len(), places.len(), "{places:?}");
            let again = archive.compact(&Filter::default()).await.unwrap();
            assert_eq!(again.rewritten, 0, "what is compact stays: {again:?}");
        });
    }

    #[test]
    fn a_compaction_that_breaks_anywhere_loses_nothing_and_the_next_one_ends_it(
        (log, batches) in log(40).prop_flat_map(deliveries), writes in 0..30_i64, removals in 0..60_i64, after_the_effect: bool
    ) {
        run(async {
            let store = Arc::new(Flaky { after_the_effect, ..Flaky::new(InMemory::new()) });
            let archive = Archive::new(Arc::clone(&store) as _);
            fill(&archive, &batches).await;
            store.writes_left.store(writes, Ordering::SeqCst);
            store.removals_left.store(removals, Ordering::SeqCst);
            let _ = archive.compact(&Filter::default()).await;
            let log = sorted(log);
            assert_eq!(replayed(&archive, &Filter::default()).await.0, log);
            store.writes_left.store(i64::MAX, Ordering::SeqCst);
            store.removals_left.store(i64::MAX, Ordering::SeqCst);
            archive.compact(&Filter::default()).await.unwrap();
            let (events, told) = replayed(&archive, &Filter::default()).await;
            assert_eq!(told.read as usize, log.len());
            assert_eq!(events, log);
        });
    }

    #[test]
    fn an_erased_aggregate_leaves_its_tombstones_only(
        (log, batches) in log(60).prop_flat_map(deliveries), compacted: bool
    ) {
        run(async {
            let store = Arc::new(InMemory::new());
            let archive = Archive::new(Arc::clone(&store) as _);
            fill(&archive, &batches).await;
            if compacted {
                archive.compact(&Filter::default()).await.unwrap();
            }
            let gone = |text: &String| {
                let header: Header<'_> = serde_json::from_str(text).unwrap();
                header.domain == "orders" && header.subject == "s1" && header.kind != Kind::Deleted
            };
            let before = paths(&*store).await;
            let erased = archive.erase("orders", "s1").await.unwrap();
            let kept: Vec<String> = log.iter().filter(|text| !gone(text)).cloned().collect();
            assert_eq!(replayed(&archive, &Filter::default()).await.0, sorted(kept));
            let any = log.iter().any(gone);
            assert_eq!((erased.events > 0, erased.rewritten > 0), (any, any), "{erased:?}");
            assert_eq!(paths(&*store).await == before, !any, "untouched hours stay as they are");
            for path in paths(&*store).await {
                let bytes = store.get(&path).await.unwrap().bytes().await.unwrap();
                let text = String::from_utf8(zstd::decode_all(&*bytes).unwrap()).unwrap();
                assert!(!text.lines().map(str::to_owned).any(|line| gone(&line)), "{path} still holds it");
            }
            assert_eq!(archive.erase("orders", "s1").await.unwrap().events, 0, "once is enough");
        });
    }
}

#[tokio::test]
async fn a_damaged_object_stops_the_compaction_of_its_hour_only_and_never_an_erasure() {
    let store = Arc::new(InMemory::new());
    let archive = Archive::new(Arc::clone(&store) as _);
    for number in 0..6 {
        fill(&archive, &[vec![event(number, 0, number, number as i64 / 3 * 3600, "local")]]).await;
    }
    let victim = paths(&*store).await.remove(0);
    store.put(&victim, b"no zstd".to_vec().into()).await.unwrap();
    let compacted = archive.compact(&Filter::default()).await.unwrap();
    assert_eq!((compacted.hours, compacted.rewritten, compacted.damaged.len()), (2, 1, 1), "{compacted:?}");
    assert_eq!(compacted.damaged[0].object, victim.as_ref());
    assert_eq!(paths(&*store).await.len(), 3 + 1);
    let mut events = 0;
    for number in 0..6 {
        let erased = archive.erase("orders", &format!("s{number}")).await.unwrap();
        assert_eq!(erased.damaged.len(), 1);
        events += erased.events;
    }
    assert_eq!(events, 5);
    assert_eq!(paths(&*store).await, [victim]);
}
