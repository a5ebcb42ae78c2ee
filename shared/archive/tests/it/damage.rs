//! Objects that are not as they were written.

use crate::world::{Collected, event, fill, paths};
use archive::object_store::memory::InMemory;
use archive::object_store::{ObjectStoreExt as _, path::Path};
use archive::{Archive, Filter, ReplayError};
use std::sync::Arc;

/// Two objects; the first of them, and what is in the second.
async fn two_objects() -> (Arc<InMemory>, Archive, Path, Vec<u8>, String) {
    let store = Arc::new(InMemory::new());
    let archive = Archive::new(Arc::clone(&store) as _);
    let (victim, other) = (event(1, 0, 0, 0, "local"), event(2, 0, 0, 7200, "local"));
    fill(&archive, &[vec![victim], vec![other.clone()]]).await;
    let path = paths(&*store).await.remove(0);
    let bytes = store.get(&path).await.unwrap().bytes().await.unwrap().to_vec();
    (store, archive, path, bytes, other)
}

/// Whether a replay names the object; what else there is comes through in any case.
async fn is_named(archive: &Archive, path: &Path, other: &str) -> bool {
    let sink = Collected::new();
    let outcome = archive.replay(&Filter::default(), None, None, &sink, &|_| {}).await;
    match outcome {
        Ok(_) => {
            assert_eq!(sink.sorted().len(), 2);
            false
        }
        Err(ReplayError::Damaged { so_far, objects }) => {
            assert_eq!(sink.sorted(), [other], "the damaged object gives nothing, the rest comes");
            assert_eq!((so_far.damaged, so_far.objects_done), (1, 2));
            assert_eq!(objects.len(), 1);
            assert_eq!(objects[0].object, path.as_ref());
            true
        }
        Err(error) => panic!("{error:?}"),
    }
}

#[tokio::test]
async fn a_flipped_bit_is_named_wherever_it_changes_what_is_read() {
    let (store, archive, path, bytes, other) = two_objects().await;
    let whole = Collected::new();
    archive.replay(&Filter::default(), None, None, &whole, &|_| {}).await.unwrap();
    let mut unnoticed = Vec::new();
    for at in 0..bytes.len() {
        for bit in [0, 3, 7] {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            store.put(&path, flipped.into()).await.unwrap();
            if !is_named(&archive, &path, &other).await {
                let sink = Collected::new();
                archive.replay(&Filter::default(), None, None, &sink, &|_| {}).await.unwrap();
                assert_eq!(sink.sorted(), whole.sorted(), "byte {at}");
                unnoticed.push(at);
            }
        }
    }
    // A few bits of zstd's headers don't bear on what is read.
    assert!(unnoticed.len() * 20 < bytes.len(), "{unnoticed:?} of {}", bytes.len());
}

#[tokio::test]
async fn a_truncated_object_is_named_wherever_it_ends() {
    let (store, archive, path, bytes, other) = two_objects().await;
    for length in 0..bytes.len() {
        store.put(&path, bytes[..length].to_vec().into()).await.unwrap();
        assert!(is_named(&archive, &path, &other).await, "{length} bytes");
    }
}

#[tokio::test]
async fn an_object_under_anothers_name_is_named() {
    let (store, archive, path, _, other) = two_objects().await;
    let second = paths(&*store).await.remove(1);
    let bytes = store.get(&second).await.unwrap().bytes().await.unwrap();
    store.put(&path, bytes.into()).await.unwrap();
    assert!(is_named(&archive, &path, &other).await);
}

#[tokio::test]
async fn what_is_no_object_of_the_archive_is_passed_over() {
    let (store, archive, _, _, _) = two_objects().await;
    for path in
        ["events/orders/2011/02/01/00/notes.txt", "events/orders/README", "other/file", "events/orders/x/y"]
    {
        store.put(&Path::from(path), b"{}".to_vec().into()).await.unwrap();
    }
    let sink = Collected::new();
    archive.replay(&Filter::default(), None, None, &sink, &|_| {}).await.unwrap();
    assert_eq!(sink.sorted().len(), 2);
}
