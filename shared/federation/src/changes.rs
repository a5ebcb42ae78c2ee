//! What changes, heard within a process: who waits for a row is woken when it changed, and reads it then.

use freshness::Tag;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// Who waits for what. Cheap to clone: clones share everything.
///
/// It keeps nothing of a change but that there was one: however many there were since somebody looked, they are one.
#[derive(Clone, Debug, Default)]
pub struct Changes(Arc<Mutex<BTreeMap<Tag, Waiting>>>);

/// Those who wait for one row.
#[derive(Debug, Default)]
struct Waiting {
    woken: watch::Sender<()>,
    /// How many they are. A channel counts its receivers too, but those that are being dropped still, once the map's lock is
    /// released.
    listeners: usize,
}

/// One who waits for changes; dropped, it is forgotten.
#[derive(Debug)]
pub struct Listener {
    changes: Changes,
    tag: Tag,
    woken: watch::Receiver<()>,
}

impl Changes {
    /// Wakes who waits for rows under these tags: once what changed can be read.
    pub fn tell<'a>(&self, tags: impl IntoIterator<Item = &'a Tag>) {
        let waiting = self.waiting();
        for row in tags.into_iter().filter_map(|tag| waiting.get(tag)) {
            row.woken.send_replace(());
        }
    }

    /// Waits for changes of rows under a tag, from now on.
    pub fn listen(&self, tag: Tag) -> Listener {
        let mut waiting = self.waiting();
        let row = waiting.entry(tag.clone()).or_default();
        row.listeners += 1;
        Listener { changes: self.clone(), tag, woken: row.woken.subscribe() }
    }

    /// How many wait.
    pub fn listeners(&self) -> usize {
        self.waiting().values().map(|row| row.listeners).sum()
    }

    fn waiting(&self) -> MutexGuard<'_, BTreeMap<Tag, Waiting>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listener {
    /// Waits for a change since the last time, or since it listens.
    pub async fn changed(&mut self) {
        // The sender is there for as long as somebody listens.
        let _ = self.woken.changed().await;
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut waiting = self.changes.waiting();
        if let Some(row) = waiting.get_mut(&self.tag) {
            row.listeners -= 1;
            if row.listeners == 0 {
                waiting.remove(&self.tag);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use std::sync::atomic::{AtomicUsize, Ordering};

    const ROUNDS: usize = 60_000;
    /// How often a thread looks for the other one before it gives up.
    const MOST_LOOKS: usize = 100_000_000;

    #[test]
    fn changes_that_nobody_looked_at_are_one_and_who_goes_is_forgotten() {
        let changes = Changes::default();
        let (one, other) = (Tag::partition("shop-orders", "1"), Tag::partition("shop-orders", "2"));
        let mut first = changes.listen(one.clone());
        let mut second = changes.listen(one.clone());
        assert_eq!(changes.listeners(), 2);
        changes.tell([&other]);
        assert!(first.changed().now_or_never().is_none());
        changes.tell([&one]);
        changes.tell([&one, &other]);
        assert!(first.changed().now_or_never().is_some() && second.changed().now_or_never().is_some());
        assert!(first.changed().now_or_never().is_none());
        drop(first);
        changes.tell([&one]);
        assert!(second.changed().now_or_never().is_some());
        drop(second);
        assert_eq!(changes.listeners(), 0);
        assert!(changes.waiting().is_empty());
    }

    /// Two threads meet before and after each time that both stop listening.
    #[test]
    fn who_goes_at_the_same_moment_as_another_is_forgotten_too() {
        let (changes, row) = (Changes::default(), Tag::partition("shop-orders", "1"));
        let (met, left) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let together = |at: usize| {
            met.fetch_add(1, Ordering::AcqRel);
            let both = (0..MOST_LOOKS).any(|_| {
                std::thread::yield_now();
                met.load(Ordering::Acquire) >= 2 * at
            });
            assert!(both, "the other thread is gone");
        };
        let come_and_go = || {
            for round in 0..ROUNDS {
                let listener = changes.listen(row.clone());
                together(3 * round + 1);
                drop(listener);
                together(3 * round + 2);
                left.fetch_add(changes.waiting().len(), Ordering::Relaxed);
                together(3 * round + 3);
            }
        };
        std::thread::scope(|threads| {
            threads.spawn(come_and_go);
            threads.spawn(come_and_go);
        });
        assert_eq!(left.into_inner(), 0);
    }
}
