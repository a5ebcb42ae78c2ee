//! What changes, heard within a process: who waits for a row is woken when it changed, and reads it then.

use freshness::Tag;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// Who waits for what. Cheap to clone: clones share everything.
///
/// It keeps nothing of a change but that there was one: however many there were since somebody looked, they are one.
#[derive(Clone, Debug, Default)]
pub struct Changes(Arc<Mutex<BTreeMap<Tag, watch::Sender<()>>>>);

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
        for woken in tags.into_iter().filter_map(|tag| waiting.get(tag)) {
            woken.send_replace(());
        }
    }

    /// Waits for changes of rows under a tag, from now on.
    pub fn listen(&self, tag: Tag) -> Listener {
        let woken = self.waiting().entry(tag.clone()).or_insert_with(|| watch::channel(()).0).subscribe();
        Listener { changes: self.clone(), tag, woken }
    }

    /// How many wait.
    pub fn listeners(&self) -> usize {
        self.waiting().values().map(watch::Sender::receiver_count).sum()
    }

    fn waiting(&self) -> MutexGuard<'_, BTreeMap<Tag, watch::Sender<()>>> {
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
        if waiting.get(&self.tag).is_some_and(|woken| woken.receiver_count() <= 1) {
            waiting.remove(&self.tag);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

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
}
