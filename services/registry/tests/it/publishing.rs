//! Publishes: at once, on top of each other, over a store that fails.

use crate::{CATALOGUE, PRICING, live, now, production, subgraph, submission};
use object_store::ObjectStore;
use object_store::memory::InMemory;
use proptest::prelude::*;
use registry::{Published, Registry, RegistryError, Submission};
use schemas::{Deed, Schemas};
use std::path::Path;
use std::sync::Arc;
use testkit::objects::{FaultyObjects, ObjectFault};

fn team(number: usize) -> (String, String) {
    (format!("team{number}"), format!("\"Q.\" type Query {{ \"F.\" team{number}: Int }}"))
}

async fn publish(registry: &Registry, number: usize) -> Result<Published, RegistryError> {
    let (name, sdl) = team(number);
    registry.publish(&production(), &submission(&[(name.as_str(), sdl.as_str())]), &name).await
}

/// As a team does that is told to try again.
async fn publish_until_done(registry: &Registry, number: usize) -> Published {
    loop {
        match publish(registry, number).await {
            Ok(published) => return published,
            Err(RegistryError::Overtaken(_)) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
}

/// The history is without gaps, every release is whole, its supergraph has what its subgraphs have, and the pointer
/// shows the last.
async fn sound(registry: &Registry) -> Vec<String> {
    let history = registry.history(&production(), None, 200).await.unwrap();
    for (place, release) in history.iter().rev().enumerate() {
        assert_eq!(release.version, place as u64 + 1);
        let supergraph = registry.schemas().schema(&release.supergraph).await.unwrap();
        for (name, live) in &release.subgraphs {
            registry.schemas().schema(&live.sdl).await.unwrap();
            assert!(
                supergraph.contains(&format!("{name}: Int")),
                "{name} is not in version {}",
                release.version
            );
        }
    }
    let shown = registry.schemas().current(&production()).await.unwrap();
    assert_eq!(shown.map(|it| it.release), history.first().cloned());
    history.first().map(|it| it.subgraphs.keys().cloned().collect()).unwrap_or_default()
}

async fn all_at_once(open: impl Fn(u64) -> Schemas) {
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..10 {
        let registry = Registry::new(open(number), now);
        tasks.spawn(async move { publish_until_done(&registry, usize::try_from(number).unwrap()).await });
    }
    let published = tasks.join_all().await;
    assert!(published.iter().all(|it| !it.unchanged));
    let registry = Registry::new(open(99), now);
    assert_eq!(sound(&registry).await.len(), 10, "each has its subgraph in the graph");
    assert_eq!(registry.current(&production()).await.unwrap().version, 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn teams_that_publish_at_once_to_a_bucket_are_all_in_the_graph() {
    let objects: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    all_at_once(|seed| Schemas::new(Arc::new(FaultyObjects::over(Arc::clone(&objects)).taking_turns(seed))))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn teams_that_publish_at_once_to_a_folder_are_all_in_the_graph() {
    let folder = tempfile::tempdir().unwrap();
    all_at_once(|_| Schemas::in_folder(folder.path()).unwrap()).await;
}

/// Of two that are right alone and wrong together, whoever comes second is refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_that_clash_are_not_both_live() {
    for seed in 0..20 {
        let objects: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let registry = |seed| {
            let objects = FaultyObjects::over(Arc::clone(&objects)).taking_turns(seed);
            Registry::new(Schemas::new(Arc::new(objects)), now)
        };
        let one =
            submission(&[("one", "\"Q.\" type Query { \"F.\" one: T } \"T.\" type T { \"A.\" a: Int }")]);
        let other = submission(&[("other", "\"Q.\" type Query { \"F.\" other: T } \"T.\" enum T { A }")]);
        let (first, second) = (registry(seed), registry(seed + 1_000));
        let variant = production();
        let (told_one, told_other) =
            tokio::join!(first.publish(&variant, &one, "one"), second.publish(&variant, &other, "other"),);
        let refused =
            |told: &Result<Published, RegistryError>| matches!(told, Err(RegistryError::Refused(_)));
        assert!(told_one.is_ok() != told_other.is_ok(), "{told_one:?} {told_other:?}");
        assert!(refused(&told_one) || refused(&told_other));
        assert_eq!(registry(0).current(&variant).await.unwrap().subgraphs.len(), 1);
    }
}

#[tokio::test]
async fn a_publisher_that_ends_anywhere_leaves_nothing_half_done() {
    for fault in ObjectFault::ALL {
        for write in 0.. {
            let objects: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
            let sound_one = Registry::new(Schemas::new(Arc::clone(&objects)), now);
            publish(&sound_one, 0).await.unwrap();
            let faulty = Arc::new(FaultyObjects::over(Arc::clone(&objects)).failing(write, fault));
            let told = publish(&Registry::new(Schemas::new(Arc::clone(&faulty) as _), now), 1).await;

            // A gateway that reads the pointer sees a whole graph.
            let shown = sound_one.schemas().current(&production()).await.unwrap().unwrap().release;
            sound_one.schemas().schema(&shown.supergraph).await.unwrap();
            // The next one goes on, and who was told of a failure may just try again.
            publish(&sound_one, 2).await.unwrap();
            let live = sound(&sound_one).await;
            assert!(told.is_err() || live.contains(&"team1".to_owned()), "{fault:?} at {write}: {live:?}");
            publish(&sound_one, 1).await.unwrap();
            assert_eq!(sound(&sound_one).await, ["team0", "team1", "team2"], "{fault:?} at {write}");
            if faulty.writes() <= write {
                assert!(told.is_ok() && write >= 4, "subgraphs, supergraph, entry, pointer: {write}");
                break;
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn of_publishers_in_any_order_one_may_end_anywhere(
        seeds in any::<[u64; 3]>(),
        write in 0_usize..10,
        fault in prop::sample::select(ObjectFault::ALL.to_vec()),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let objects: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
            let view = |seed| FaultyObjects::over(Arc::clone(&objects)).taking_turns(seed);
            let registry = |view| Registry::new(Schemas::new(Arc::new(view)), now);
            let failing = registry(view(seeds[0]).failing(write, fault));
            let (one, other) = (registry(view(seeds[1])), registry(view(seeds[2])));
            let (told, _, _) = tokio::join!(
                publish(&failing, 0),
                publish_until_done(&one, 1),
                publish_until_done(&other, 2),
            );
            let live = sound(&one).await;
            assert!(live.contains(&"team1".to_owned()) && live.contains(&"team2".to_owned()), "{live:?}");
            assert!(told.is_err() || live.contains(&"team0".to_owned()), "{live:?}");
        });
    }
}

#[tokio::test]
async fn the_same_again_changes_nothing_and_a_url_alone_is_a_change() {
    let registry = live(&[]).await;
    let same = submission(&[("pricing", PRICING), ("catalogue", CATALOGUE)]);
    let again = registry.publish(&production(), &same, "team").await.unwrap();
    assert!(again.unchanged && again.release.version == 1);
    // Where it answers is as before, unless it is said.
    let mut moved = subgraph("pricing", PRICING);
    moved.url = None;
    let submission = Submission { subgraphs: vec![moved.clone()], ..Submission::default() };
    assert!(registry.publish(&production(), &submission, "team").await.unwrap().unchanged);
    moved.url = Some("http://elsewhere.example".to_owned());
    let submission =
        Submission { subgraphs: vec![moved], message: "moved".to_owned(), ..Submission::default() };
    let published = registry.publish(&production(), &submission, "team").await.unwrap();
    assert!(!published.unchanged);
    assert_eq!(published.release.subgraphs["pricing"].url, "http://elsewhere.example");
    let Deed::Publish { changed, .. } = &published.release.deed else { panic!("{:?}", published.release) };
    assert_eq!(changed.iter().collect::<Vec<_>>(), ["pricing"]);
    assert_eq!((published.release.by.as_str(), published.release.message.as_str()), ("team", "moved"));
}

#[tokio::test]
async fn a_rollback_is_a_new_version_and_can_be_rolled_back() {
    let registry = live(&[]).await;
    let more = CATALOGUE.replace("author: String", "author: String\n  \"More.\"\n  more: Int");
    registry.publish(&production(), &submission(&[("catalogue", more.as_str())]), "team").await.unwrap();
    let back = registry.rollback(&production(), 1, "operator", "it broke").await.unwrap();
    assert_eq!((back.release.version, &back.release.deed), (3, &Deed::Rollback { to: 1 }));
    assert!(!registry.api(&production(), None, None).await.unwrap().contains("more"));
    let diff = registry.diff(&production(), None, None, None).await.unwrap();
    assert_eq!((diff.from, diff.to, diff.changes[0].rule.as_str()), (2, 3, "field-removed"));
    registry.rollback(&production(), 2, "operator", "").await.unwrap();
    assert!(registry.api(&production(), None, None).await.unwrap().contains("more"));
    assert!(registry.rollback(&production(), 2, "operator", "").await.unwrap().unchanged);
    let none = registry.rollback(&production(), 9, "operator", "").await.unwrap_err();
    assert_eq!(none.to_string(), "production has no version 9: it has 1 to 4");
    let elsewhere = registry.rollback(&"staging".parse().unwrap(), 1, "operator", "").await.unwrap_err();
    assert_eq!(elsewhere.to_string(), "there is no variant `staging`: there are production");
    let history = registry.history(&production(), Some(4), 2).await.unwrap();
    assert_eq!(history.iter().map(|it| it.version).collect::<Vec<_>>(), [3, 2]);
}

#[tokio::test]
async fn what_cannot_be_meant_is_refused_before_anything_is_read() {
    let registry = Registry::new(Schemas::in_memory(), now);
    let twice = submission(&[("a", CATALOGUE), ("a", PRICING)]);
    let both = Submission { remove: ["a".to_owned()].into(), ..submission(&[("a", CATALOGUE)]) };
    let huge = " ".repeat(registry::registry::MAX_SDL_BYTES + 1);
    let large = submission(&[("a", huge.as_str())]);
    let wordy = Submission { message: "x".repeat(2_001), ..submission(&[("a", CATALOGUE)]) };
    for bad in [twice, both, large, wordy, Submission::default()] {
        let error = registry.publish(&production(), &bad, "team").await.unwrap_err();
        assert!(matches!(error, RegistryError::Request(_)), "{error:?}");
    }
    let bad_name = submission(&[("a b", CATALOGUE)]);
    assert!(matches!(
        registry.publish(&production(), &bad_name, "team").await,
        Err(RegistryError::Refused(_))
    ));
    assert!(registry.list().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_registry_over_a_folder_goes_on_where_another_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let open = |path: &Path| Registry::new(Schemas::in_folder(path).unwrap(), now);
    publish(&open(folder.path()), 0).await.unwrap();
    publish(&open(folder.path()), 1).await.unwrap();
    assert_eq!(sound(&open(folder.path())).await, ["team0", "team1"]);
}
