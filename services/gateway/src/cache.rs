//! The gateway's own cache: answers by what was asked, purged by what they show.
//!
//! A purge remembers when a tag was purged; an answer that began before is no longer valid, wherever it was then:
//! kept, or still on its way. So nothing has to be found again, and no purge is lost between a read and a write.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use freshness::{Tag, Tags};
use quick_cache::{Weighter, sync::Cache};
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use crate::cache_control::CachePolicy;

/// The most purged tags that are remembered; past it everything that is kept is dropped.
const MOST_PURGED: usize = 100_000;

/// What was asked, hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Question([u8; 32]);

impl Question {
    /// A question of parts that are told apart by their lengths.
    pub(crate) fn of<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut digest = Sha256::new();
        for part in parts {
            digest.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            digest.update(part);
        }
        Self(digest.finalize().into())
    }
}

/// A moment in the order of purges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(u64);

/// Values that may be served to anyone.
pub(crate) struct TaggedCache<V: Clone + Send + Sync> {
    kept: Cache<Question, Arc<Kept<V>>, Weight>,
    purges: RwLock<Purges>,
    refreshing: Mutex<HashSet<Question>>,
}

struct Kept<V> {
    value: V,
    bytes: usize,
    tags: Tags,
    policy: CachePolicy,
    at: Instant,
    began: Moment,
}

struct Purges {
    now: u64,
    /// What began before this is not valid.
    floor: u64,
    last: HashMap<Tag, u64>,
}

#[derive(Clone)]
struct Weight;

impl<V> Weighter<Question, Arc<Kept<V>>> for Weight {
    fn weight(&self, _: &Question, kept: &Arc<Kept<V>>) -> u64 {
        // What an entry takes besides its value, about.
        const ENTRY: usize = 256;
        (kept.bytes + ENTRY + kept.tags.iter().map(|tag| tag.as_str().len() + 64).sum::<usize>()) as u64
    }
}

/// What is kept of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found<V> {
    /// Nothing that may be served.
    Nothing,
    /// A value, and its age in seconds.
    Fresh(V, u64),
    /// A value past its life.
    Stale {
        value: V,
        age: u64,
        /// It may be served while it is fetched anew.
        while_revalidate: bool,
        /// It may be served where it can't be fetched.
        if_error: bool,
    },
}

impl<V: Clone + Send + Sync> TaggedCache<V> {
    /// A cache of so many bytes.
    pub(crate) fn new(bytes: u64) -> Self {
        let expected = usize::try_from(bytes / 4_096).unwrap_or(usize::MAX).max(16);
        Self {
            kept: Cache::with_weighter(expected, bytes, Weight),
            purges: RwLock::new(Purges { now: 1, floor: 0, last: HashMap::new() }),
            refreshing: Mutex::default(),
        }
    }

    /// The moment at which a value begins to be fetched.
    pub(crate) fn begin(&self) -> Moment {
        Moment(self.purges.read().unwrap_or_else(PoisonError::into_inner).now)
    }

    /// What is kept of a question.
    pub(crate) fn find(&self, question: &Question) -> Found<V> {
        let Some(kept) = self.kept.get(question) else { return Found::Nothing };
        if !self.is_valid(&kept) {
            self.kept.remove(question);
            return Found::Nothing;
        }
        let age = kept.at.elapsed();
        let life = Duration::from_secs(kept.policy.shared_seconds());
        let value = kept.value.clone();
        if age < life {
            return Found::Fresh(value, age.as_secs());
        }
        let within = |seconds: u64| age < life.saturating_add(Duration::from_secs(seconds));
        let while_revalidate = within(kept.policy.stale_while_revalidate());
        let if_error = within(kept.policy.stale_if_error());
        if !while_revalidate && !if_error {
            self.kept.remove(question);
            return Found::Nothing;
        }
        Found::Stale { value, age: age.as_secs(), while_revalidate, if_error }
    }

    /// Keeps a value that began to be fetched at `began`, if its policy lets everyone keep it.
    pub(crate) fn keep(
        &self,
        question: Question,
        value: V,
        bytes: usize,
        policy: CachePolicy,
        tags: Tags,
        began: Moment,
    ) {
        if policy.shared_seconds() == 0 {
            return;
        }
        let kept = Kept { value, bytes, tags, policy, at: Instant::now(), began };
        if self.is_valid(&kept) {
            self.kept.insert(question, Arc::new(kept));
        }
    }

    /// Drops what has any of these tags.
    pub(crate) fn purge<'a>(&self, tags: impl IntoIterator<Item = &'a Tag>) {
        let mut purges = self.purges.write().unwrap_or_else(PoisonError::into_inner);
        purges.now += 1;
        let now = purges.now;
        for tag in tags {
            purges.last.insert(tag.clone(), now);
        }
        if purges.last.len() > MOST_PURGED {
            purges.last.clear();
            purges.floor = now;
        }
    }

    /// Whether this caller is the one that fetches a question anew; the guard's end lets the next one.
    pub(crate) fn refresh(self: &Arc<Self>, question: Question) -> Option<Refreshing<V>>
    where
        V: 'static,
    {
        let first = self.refreshing().insert(question);
        first.then(|| Refreshing { cache: Arc::clone(self), question })
    }

    fn refreshing(&self) -> MutexGuard<'_, HashSet<Question>> {
        self.refreshing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_valid(&self, kept: &Kept<V>) -> bool {
        let purges = self.purges.read().unwrap_or_else(PoisonError::into_inner);
        let later = |tag: &Tag| purges.last.get(tag).is_some_and(|at| *at > kept.began.0);
        kept.began.0 >= purges.floor && !kept.tags.iter().any(later)
    }
}

/// A question that is being fetched anew.
pub(crate) struct Refreshing<V: Clone + Send + Sync> {
    cache: Arc<TaggedCache<V>>,
    question: Question,
}

impl<V: Clone + Send + Sync> Drop for Refreshing<V> {
    fn drop(&mut self) {
        self.cache.refreshing().remove(&self.question);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(text: &str) -> Question {
        Question::of([text.as_bytes()])
    }

    fn tags(texts: &str) -> Tags {
        let mut tags = Tags::default();
        tags.read(texts);
        tags
    }

    fn purge(cache: &TaggedCache<u8>, text: &str) {
        cache.purge(tags(text).iter());
    }

    fn keep(cache: &TaggedCache<u8>, text: &str, tagged: &str, began: Moment) {
        let policy = CachePolicy::new(60, false).stale(30, 90);
        cache.keep(question(text), 1, 1, policy, tags(tagged), began);
    }

    #[tokio::test(start_paused = true)]
    async fn values_live_as_long_as_they_may() {
        let cache = TaggedCache::new(1 << 20);
        keep(&cache, "q", "a", cache.begin());
        assert_eq!(cache.find(&question("q")), Found::Fresh(1, 0));
        tokio::time::advance(Duration::from_secs(59)).await;
        assert_eq!(cache.find(&question("q")), Found::Fresh(1, 59));
        tokio::time::advance(Duration::from_secs(1)).await;
        let stale = |age, while_revalidate| Found::Stale { value: 1, age, while_revalidate, if_error: true };
        assert_eq!(cache.find(&question("q")), stale(60, true));
        tokio::time::advance(Duration::from_secs(30)).await;
        assert_eq!(cache.find(&question("q")), stale(90, false));
        tokio::time::advance(Duration::from_mins(1)).await;
        assert_eq!(cache.find(&question("q")), Found::Nothing);
    }

    #[tokio::test]
    async fn a_purge_hits_what_has_the_tag_and_nothing_else() {
        let cache = TaggedCache::new(1 << 20);
        keep(&cache, "one", "a,b", cache.begin());
        keep(&cache, "two", "b,c", cache.begin());
        purge(&cache, "a,z");
        assert_eq!(cache.find(&question("one")), Found::Nothing);
        assert_eq!(cache.find(&question("two")), Found::Fresh(1, 0));
        keep(&cache, "one", "a,b", cache.begin());
        assert_eq!(cache.find(&question("one")), Found::Fresh(1, 0));
    }

    #[tokio::test]
    async fn a_value_that_was_on_its_way_when_it_was_purged_is_not_kept() {
        let cache = TaggedCache::new(1 << 20);
        let began = cache.begin();
        purge(&cache, "a");
        keep(&cache, "q", "a", began);
        assert_eq!(cache.find(&question("q")), Found::Nothing);
    }

    #[tokio::test]
    async fn purges_that_can_not_be_remembered_drop_everything() {
        let cache = TaggedCache::new(1 << 20);
        keep(&cache, "q", "a", cache.begin());
        let many: Tags = (0..=MOST_PURGED).filter_map(|it| Tag::parse(&it.to_string())).collect();
        cache.purge(many.iter());
        assert_eq!(cache.find(&question("q")), Found::Nothing);
        keep(&cache, "q", "a", cache.begin());
        assert_eq!(cache.find(&question("q")), Found::Fresh(1, 0));
    }

    #[tokio::test]
    async fn what_not_everyone_may_have_is_not_kept() {
        let cache = TaggedCache::new(1 << 20);
        for policy in [CachePolicy::NO_STORE, CachePolicy::new(60, true)] {
            cache.keep(question("q"), 1, 1, policy, Tags::default(), cache.begin());
            assert_eq!(cache.find(&question("q")), Found::Nothing);
        }
    }

    #[tokio::test]
    async fn one_at_a_time_fetches_anew() {
        let cache: Arc<TaggedCache<u8>> = Arc::new(TaggedCache::new(1 << 20));
        let first = cache.refresh(question("q"));
        assert!(first.is_some() && cache.refresh(question("q")).is_none());
        drop(first);
        assert!(cache.refresh(question("q")).is_some());
    }

    #[tokio::test]
    async fn memory_is_bounded() {
        let cache = TaggedCache::new(100_000);
        let policy = CachePolicy::new(60, false);
        for number in 0..1_000 {
            cache.keep(question(&number.to_string()), 1, 1_000, policy, Tags::default(), cache.begin());
        }
        assert!(cache.kept.weight() <= 100_000);
    }
}
