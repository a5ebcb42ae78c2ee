use crate::{production, release};
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use proptest::prelude::*;
use schemas::{CommitError, Release, Schemas};
use std::path::Path;
use std::sync::Arc;
use testkit::objects::{FaultyObjects, ObjectFault};

/// Publishes until it is in the history, as the registry does.
async fn publish(schemas: &Schemas, by: &str) -> Result<u64, CommitError> {
    loop {
        let version = schemas.head(&production()).await?.map_or(1, |head| head.version + 1);
        let release = release(schemas, version, by).await?;
        match schemas.commit(&production(), &release).await {
            Ok(_) => return Ok(version),
            Err(CommitError::Overtaken { .. }) => {}
            Err(error) => return Err(error),
        }
    }
}

/// The whole history, which must be without gaps, its schemas in place, its last entry what the pointer shows.
async fn history(schemas: &Schemas) -> Vec<Release> {
    let head = schemas.head(&production()).await.unwrap();
    let mut history = Vec::new();
    for version in 1..=head.as_ref().map_or(0, |head| head.version) {
        let release = schemas.release(&production(), version).await.unwrap().unwrap();
        schemas.schema(&release.supergraph).await.unwrap();
        history.push(release);
    }
    let shown = schemas.current(&production()).await.unwrap().map(|current| current.release);
    assert_eq!(shown, head);
    assert_eq!(shown, history.last().cloned());
    history
}

async fn many_at_once(open: impl Fn(u64) -> Schemas) {
    let publishers = 12_u64;
    let mut tasks = tokio::task::JoinSet::new();
    for by in 0..publishers {
        let schemas = open(by);
        tasks.spawn(async move { publish(&schemas, &format!("team{by}")).await.unwrap() });
    }
    let mut versions = tasks.join_all().await;
    versions.sort_unstable();
    assert_eq!(versions, (1..=publishers).collect::<Vec<_>>(), "each has a version of its own");
    let mut by: Vec<String> = history(&open(99)).await.into_iter().map(|release| release.by).collect();
    by.sort_unstable();
    by.dedup();
    assert_eq!(by.len(), 12, "nobody's release is lost");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_publishes_at_once_to_one_bucket_has_a_version_each() {
    let objects: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    many_at_once(|by| Schemas::new(Arc::new(FaultyObjects::over(Arc::clone(&objects)).taking_turns(by))))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_publishes_at_once_to_one_folder_has_a_version_each() {
    let folder = tempfile::tempdir().unwrap();
    // Each has a store of its own, as processes do.
    many_at_once(|_| Schemas::in_folder(folder.path()).unwrap()).await;
}

fn faulty(
    folder: Option<&Path>,
    objects: &Arc<dyn ObjectStore>,
    write: usize,
    fault: ObjectFault,
) -> Schemas {
    let faulty = Arc::new(FaultyObjects::over(Arc::clone(objects)).failing(write, fault));
    match folder {
        Some(folder) => Schemas::in_folder_over(folder, faulty),
        None => Schemas::new(faulty),
    }
}

/// A publisher fails at each of its writes in each way; whatever it was told, nothing is half done, and the next one
/// goes on.
async fn fails_anywhere(fresh: impl Fn() -> (Option<tempfile::TempDir>, Arc<dyn ObjectStore>)) {
    for fault in ObjectFault::ALL {
        for write in 0.. {
            let (folder, objects) = fresh();
            let folder = folder.as_ref().map(tempfile::TempDir::path);
            let sound = faulty(folder, &objects, usize::MAX, fault);
            publish(&sound, "before").await.unwrap();

            let faulty = Arc::new(FaultyObjects::over(Arc::clone(&objects)).failing(write, fault));
            let view: Arc<dyn ObjectStore> = Arc::clone(&faulty) as _;
            let told = publish(
                &folder.map_or_else(
                    || Schemas::new(Arc::clone(&view)),
                    |folder| Schemas::in_folder_over(folder, Arc::clone(&view)),
                ),
                "failing",
            )
            .await;
            let reached = faulty.writes() > write;

            // A reader of the pointer sees one release or the other, whole.
            let shown = sound.current(&production()).await.unwrap().unwrap().release;
            sound.schema(&shown.supergraph).await.unwrap();

            let by: Vec<String> = history(&sound).await.into_iter().map(|release| release.by).collect();
            match &told {
                Ok(_) => assert_eq!(by, ["before", "failing"], "{fault:?} at {write}"),
                Err(_) => {
                    assert!(by == ["before"] || by == ["before", "failing"], "{fault:?} at {write}: {by:?}");
                }
            }
            publish(&sound, "after").await.unwrap();
            assert_eq!(history(&sound).await.last().unwrap().by, "after", "{fault:?} at {write}");
            if !reached {
                assert!(told.is_ok());
                assert!(write >= 3, "a publish writes a schema, an entry and the pointer");
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_publisher_of_a_bucket_that_ends_anywhere_leaves_nothing_half_done() {
    fails_anywhere(|| (None, Arc::new(InMemory::new()))).await;
}

#[tokio::test]
async fn a_publisher_of_a_folder_that_ends_anywhere_leaves_nothing_half_done() {
    fails_anywhere(|| {
        let folder = tempfile::tempdir().unwrap();
        let objects = LocalFileSystem::new_with_prefix(folder.path()).unwrap();
        (Some(folder), Arc::new(objects))
    })
    .await;
}

#[tokio::test]
async fn a_release_that_stands_already_is_committed_and_another_in_its_place_is_not() {
    let schemas = Schemas::in_memory();
    let one = release(&schemas, 1, "one").await.unwrap();
    schemas.commit(&production(), &one).await.unwrap();
    schemas.commit(&production(), &one).await.unwrap();
    let other = release(&schemas, 1, "other").await.unwrap();
    let error = schemas.commit(&production(), &other).await.unwrap_err();
    assert!(matches!(error, CommitError::Overtaken { version: 1, .. }), "{error}");
    assert_eq!(schemas.head(&production()).await.unwrap(), Some(one));
}

#[tokio::test]
async fn the_pointer_never_goes_back() {
    let schemas = Schemas::in_memory();
    let one = release(&schemas, 1, "one").await.unwrap();
    let two = release(&schemas, 2, "two").await.unwrap();
    schemas.commit(&production(), &one).await.unwrap();
    schemas.commit(&production(), &two).await.unwrap();
    schemas.commit(&production(), &one).await.unwrap();
    assert_eq!(schemas.current(&production()).await.unwrap().unwrap().release, two);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Two publishers in any interleaving, one of which ends anywhere.
    #[test]
    fn of_two_publishers_one_may_end_anywhere(
        seeds in any::<(u64, u64)>(),
        write in 0_usize..6,
        fault in prop::sample::select(ObjectFault::ALL.to_vec()),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let objects: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
            let failing = FaultyObjects::over(Arc::clone(&objects)).failing(write, fault).taking_turns(seeds.0);
            let failing = Schemas::new(Arc::new(failing));
            let sound = Schemas::new(Arc::new(FaultyObjects::over(Arc::clone(&objects)).taking_turns(seeds.1)));
            let (told, other) = tokio::join!(publish(&failing, "failing"), publish(&sound, "sound"));
            other.unwrap();
            let by: Vec<String> = history(&sound).await.into_iter().map(|release| release.by).collect();
            assert!(by.contains(&"sound".to_owned()), "{by:?}");
            if told.is_ok() {
                assert_eq!(by.len(), 2, "{by:?}");
            }
        });
    }
}
