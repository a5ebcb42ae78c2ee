//! From objects to a sink.

use crate::world::{Collected, START, deliveries, event, fill, log, paths, replayed, run, sorted};
use archive::object_store::memory::InMemory;
use archive::{Archive, Cursor, Filter, ReplayError, Replayed, Sink, SinkError};
use async_trait::async_trait;
use contracts::Header;
use jiff::Timestamp;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};

fn some(of: &'static [&'static str]) -> impl Strategy<Value = BTreeSet<String>> {
    let chosen = prop::sample::subsequence(of, 0..=of.len());
    chosen.prop_map(|chosen| chosen.into_iter().map(str::to_owned).collect())
}

fn filter() -> impl Strategy<Value = Filter> {
    let moment = || {
        let whole = (-3..64_i64).prop_map(|hours| START - START.rem_euclid(3600) + hours * 3600);
        let any = (-3600..64 * 3600_i64).prop_map(|seconds| START + seconds);
        prop::option::of(prop_oneof![whole, any].prop_map(|at| Timestamp::from_second(at).unwrap()))
    };
    let domains = some(&["orders", "catalogue", "inventory", "pricing", "../odd"]);
    let types = some(&["OrderPlaced", "OrderCancelled", "ProductListed", "StockAdjusted", "Unheard"]);
    let subjects = some(&["s0", "s1", "s2", "s3", "s4", "none"]);
    (domains, types, subjects, moment(), moment()).prop_map(|(domains, types, subjects, from, to)| Filter {
        domains,
        types,
        subjects,
        from,
        to,
    })
}

/// What a filter wants, by its definition.
fn naive(filter: &Filter, log: &[String]) -> Vec<String> {
    let among = |set: &BTreeSet<String>, it: &str| set.is_empty() || set.iter().any(|wanted| wanted == it);
    let wanted = |text: &&String| {
        let it: Header<'_> = serde_json::from_str(text).unwrap();
        let timely =
            filter.from.is_none_or(|from| it.time >= from) && filter.to.is_none_or(|to| it.time < to);
        let (domain, name) = (among(&filter.domains, &it.domain), among(&filter.types, &it.name));
        domain && name && timely && among(&filter.subjects, &it.subject)
    };
    sorted(log.iter().filter(wanted).cloned().collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_filter_gives_what_its_definition_says(
        (log, batches) in log(60).prop_flat_map(deliveries), filters in prop::collection::vec(filter(), 1..8)
    ) {
        run(async {
            let archive = Archive::in_memory();
            fill(&archive, &batches).await;
            for filter in filters {
                let (events, told) = replayed(&archive, &filter).await;
                assert_eq!(events, naive(&filter, &log), "{filter:?}");
                assert_eq!(told.objects, told.objects_done);
                assert_eq!(told.events, told.read);
            }
        });
    }

    #[test]
    fn after_any_number_of_objects_the_rest_is_sent(batches in log(60).prop_flat_map(deliveries)) {
        let (log, batches) = batches;
        run(async {
            let store = Arc::new(InMemory::new());
            let archive = Archive::new(Arc::clone(&store) as _);
            fill(&archive, &batches).await;
            let mut cursors: Vec<Cursor> =
                paths(&*store).await.iter().map(|path| path.as_ref().parse().unwrap()).collect();
            cursors.sort();
            let mut left: BTreeSet<String> = log.iter().cloned().collect();
            for (done, cursor) in cursors.iter().enumerate() {
                let sink = Collected::new();
                let told = archive.replay(&Filter::default(), Some(cursor), None, &sink, &|_| {}).await.unwrap();
                assert_eq!(told.objects_done as usize, cursors.len() - done - 1);
                let rest = sink.distinct();
                assert!(rest.is_subset(&left), "what was left shrinks");
                left = rest;
            }
            assert!(left.is_empty());
        });
    }
}

/// Many objects of some hours: 40 batches of 100 events.
async fn large(archive: &Archive) -> Vec<String> {
    let log: Vec<String> = (0..4_000)
        .map(|number| event(number, 0, number % 7, (number as i64 * 37) % 14_400, "local"))
        .collect();
    let batches: Vec<Vec<String>> = log.chunks(100).map(<[_]>::to_vec).collect();
    fill(archive, &batches).await;
    sorted(log)
}

#[tokio::test]
async fn a_replay_that_stopped_goes_on_where_it_was_even_if_the_hours_were_compacted_meanwhile() {
    for (room, compacted) in [(0, false), (700, false), (1_234, true), (2_500, false), (3_999, true)] {
        let archive = Archive::in_memory();
        let log = large(&archive).await;
        let filter = Filter::default();
        let first = Collected::with_room(room);
        let stopped = archive.replay(&filter, None, None, &first, &|_| {}).await.unwrap_err();
        assert!(matches!(stopped, ReplayError::Sink { .. }), "{stopped:?}");
        let so_far = stopped.so_far().clone();
        assert_eq!(so_far.sent as usize, first.events.lock().unwrap().len());
        if compacted {
            archive.compact(&filter).await.unwrap();
        }
        let second = Collected::new();
        let cursor = so_far.cursor.map(|cursor| cursor.to_string().parse().unwrap());
        let rest = archive.replay(&filter, cursor.as_ref(), None, &second, &|_| {}).await.unwrap();
        let all: BTreeSet<String> = first.distinct().union(&second.distinct()).cloned().collect();
        assert_eq!(all.into_iter().collect::<Vec<_>>(), log, "room for {room}");
        if !compacted && room > 0 {
            assert!((rest.sent as usize) < 4_000, "what was sent is not all sent again");
            assert!(rest.sent as usize + room < 4_000 + 1_200, "little is sent twice: {}", rest.sent);
        }
    }
}

/// A sink that has the archive compacted as soon as the first events come.
struct Meanwhile {
    archive: Archive,
    collected: Collected,
    done: Mutex<bool>,
}

#[async_trait]
impl Sink for Meanwhile {
    async fn send(&self, envelopes: Vec<Arc<str>>) -> Result<(), SinkError> {
        let first = !std::mem::replace(&mut *self.done.lock().unwrap(), true);
        if first {
            let compacted = self.archive.compact(&Filter::default()).await?;
            assert!(compacted.objects_before > compacted.objects_after, "{compacted:?}");
        }
        self.collected.send(envelopes).await
    }
}

#[tokio::test]
async fn objects_that_are_replaced_while_they_are_replayed_are_found_again() {
    let root = tempfile::tempdir().unwrap();
    for archive in [Archive::in_memory(), Archive::in_folder(root.path(), false).unwrap()] {
        let log = large(&archive).await;
        let sink =
            Meanwhile { archive: archive.clone(), collected: Collected::new(), done: Mutex::new(false) };
        archive.replay(&Filter::default(), None, None, &sink, &|_| {}).await.unwrap();
        assert_eq!(sink.collected.sorted(), log, "each once");
    }
}

#[tokio::test(start_paused = true)]
async fn a_rate_is_kept() {
    let archive = Archive::in_memory();
    let batch: Vec<String> = (0..100).map(|number| event(number, 0, 0, 0, "local")).collect();
    fill(&archive, &[batch]).await;
    let started = tokio::time::Instant::now();
    let sink = Collected::new();
    let steps = Mutex::new(Vec::new());
    let told = |so_far: &Replayed| steps.lock().unwrap().push(so_far.sent);
    archive.replay(&Filter::default(), None, NonZeroU32::new(20), &sink, &told).await.unwrap();
    let took = started.elapsed().as_secs_f64();
    assert!((4.8..5.1).contains(&took), "100 events at 20 a second took {took} s");
    let steps = steps.into_inner().unwrap();
    assert!(steps.is_sorted() && steps.len() > 40, "progress is told on the way: {steps:?}");
    assert_eq!(steps.last(), Some(&100));
}

#[tokio::test]
async fn hours_outside_the_time_are_not_read() {
    let archive = Archive::in_memory();
    let hours = 0..48_i64;
    let batch: Vec<String> = hours.map(|hour| event(hour as usize, 0, 0, hour * 3600, "local")).collect();
    fill(&archive, &[batch]).await;
    let from = Timestamp::from_second(START + 10 * 3600 + 60).unwrap();
    let to = Timestamp::from_second(START + 12 * 3600 + 60).unwrap();
    let filter = Filter { from: Some(from), to: Some(to), ..Filter::default() };
    let (events, told) = replayed(&archive, &filter).await;
    assert_eq!((events.len(), told.objects_done, told.read), (2, 3, 3));
}
