//! What belongs to one request: one table behind each alias, the tags of what was read, and a token to wait for.

use super::ReadError;
use freshness::{Generations, Tag, Tags, Token, Write};
use futures::future::BoxFuture;
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::OnceCell;
use tokio::time::Instant;

/// The first pause before a projection is asked again how far it is; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(80);

/// A name behind which a table stands that may be another one tomorrow.
pub trait Alias: fmt::Debug + Send + Sync {
    /// The name: the same for every table that stands behind it. Cursors are bound to it.
    fn name(&self) -> &str;

    /// The table that is read now.
    fn table(&self) -> BoxFuture<'_, Result<Arc<str>, ReadError>>;

    /// Whether a table that is not the one that is read now is kept up, so that a request that belongs to an operation
    /// that began with it may read it still.
    fn is_kept<'a>(&'a self, table: &'a str) -> BoxFuture<'a, Result<bool, ReadError>> {
        let _ = table;
        Box::pin(std::future::ready(Ok(false)))
    }

    /// Whether what is read from `table` shows all of these writes that it ever will.
    ///
    /// An alias that can't tell shows whatever there is.
    fn reached<'a>(&'a self, table: &'a str, writes: &'a [Write]) -> BoxFuture<'a, Result<bool, ReadError>> {
        let _ = (table, writes);
        Box::pin(std::future::ready(Ok(true)))
    }
}

/// What a request brings.
#[derive(Clone, Debug, Default)]
pub struct Brought {
    /// What it wants to see.
    pub token: Token,
    /// For how long it may be waited until that is there.
    pub patience: Duration,
    /// The tables that others of its operation were read from.
    pub generations: Generations,
}

/// What a request brought, and what was learnt while it ran.
#[derive(Debug)]
struct Scope {
    brought: Brought,
    /// When the patience with this request ends: set by the first projection that has to be waited for.
    until: OnceCell<Instant>,
    pins: Mutex<HashMap<String, Arc<str>>>,
    /// What the request itself wrote so far.
    own: Mutex<Vec<Write>>,
    waits: Mutex<HashMap<Awaited, Arc<OnceCell<()>>>>,
    seen: Mutex<Seen>,
}

/// An alias, and how much the request had written itself when it was read.
type Awaited = (String, usize);

/// What was learnt of a request while it ran.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// What its answer shows.
    pub tags: Tags,
    /// The projections that had not reached its token, or what it wrote itself, when the patience ended.
    pub behind: BTreeSet<String>,
    /// The tables that it was read from.
    pub generations: Generations,
    /// The tables that stand behind those aliases now, where they are others.
    pub next: Generations,
}

tokio::task_local! {
    static SCOPE: Arc<Scope>;
}

/// Runs a request: what it reads by one alias is read from one table, whatever becomes of the alias meanwhile, and,
/// where the request brings a token or wrote something itself, once the projection has reached that, or once the
/// patience with the whole request is at its end.
pub async fn scoped<F: Future>(brought: Brought, request: F) -> (F::Output, Seen) {
    let scope = Arc::new(Scope {
        brought,
        until: OnceCell::new(),
        pins: Mutex::default(),
        own: Mutex::default(),
        waits: Mutex::default(),
        seen: Mutex::default(),
    });
    let output = SCOPE.scope(Arc::clone(&scope), request).await;
    let seen = std::mem::take(&mut *lock(&scope.seen));
    (output, seen)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Notes that the answer to this request shows something.
pub(crate) fn shows(tag: impl FnOnce() -> Tag) {
    let _ = SCOPE.try_with(|scope| lock(&scope.seen).tags.insert(tag()));
}

/// Notes that this request wrote something: what it reads from now on shows that.
pub(crate) fn wrote(write: Write) {
    let _ = SCOPE.try_with(|scope| lock(&scope.own).push(write));
}

/// The table that stands behind an alias for this request.
pub async fn resolve(alias: &dyn Alias) -> Result<Arc<str>, ReadError> {
    let Ok(scope) = SCOPE.try_with(Arc::clone) else { return alias.table().await };
    let known = lock(&scope.pins).get(alias.name()).map(Arc::clone);
    let table = if let Some(table) = known {
        table
    } else {
        let (table, next) = scope.choose(alias).await?;
        // Of several resolvers that asked at once, the first one's answer counts for all.
        let table = Arc::clone(lock(&scope.pins).entry(alias.name().to_owned()).or_insert(table));
        let mut seen = lock(&scope.seen);
        seen.generations.insert(alias.name(), &table);
        if next != table {
            seen.next.insert(alias.name(), &next);
        }
        table
    };
    let own = lock(&scope.own).clone();
    if !own.is_empty() || !scope.brought.token.is_empty() {
        // Each projection is waited for once, by all that read it after the same writes.
        let wait = Arc::clone(lock(&scope.waits).entry((alias.name().to_owned(), own.len())).or_default());
        wait.get_or_init(|| scope.wait(alias, &table, &own)).await;
    }
    Ok(table)
}

impl Scope {
    /// The table that is read for this request, and the one that is read now.
    async fn choose(&self, alias: &dyn Alias) -> Result<(Arc<str>, Arc<str>), ReadError> {
        let now = alias.table().await?;
        match self.brought.generations.get(alias.name()) {
            Some(wanted) if *wanted != *now && alias.is_kept(wanted).await? => Ok((wanted.into(), now)),
            _ => Ok((Arc::clone(&now), now)),
        }
    }

    async fn wait(&self, alias: &dyn Alias, table: &str, own: &[Write]) {
        let wanted = Token::of(own.iter().chain(self.brought.token.writes()).copied());
        let mut pause = FIRST_PAUSE;
        loop {
            match alias.reached(table, wanted.writes()).await {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => {
                    let error = telemetry::error_chain(&error);
                    tracing::warn!(error, alias = alias.name(), "how far a projection is can't be read");
                    break;
                }
            }
            let until = *self.until.get_or_init(|| async { Instant::now() + self.brought.patience }).await;
            if Instant::now() >= until {
                break;
            }
            tokio::time::sleep_until(until.min(Instant::now() + pause)).await;
            pause = LONGEST_PAUSE.min(pause * 2);
        }
        lock(&self.seen).behind.insert(alias.name().to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Reaches a token when it was asked so often.
    #[derive(Debug)]
    struct Slow {
        after: usize,
        asked: AtomicUsize,
    }

    impl Alias for Slow {
        fn name(&self) -> &'static str {
            "slow"
        }

        fn table(&self) -> BoxFuture<'_, Result<Arc<str>, ReadError>> {
            Box::pin(async { Ok(Arc::from("slow-1")) })
        }

        fn reached<'a>(
            &'a self,
            table: &'a str,
            writes: &'a [Write],
        ) -> BoxFuture<'a, Result<bool, ReadError>> {
            assert_eq!((table, writes.len()), ("slow-1", 1));
            let asked = self.asked.fetch_add(1, Ordering::Relaxed);
            Box::pin(async move { Ok(asked >= self.after) })
        }
    }

    async fn read(after: usize, token: Token) -> (Duration, usize, Seen) {
        let alias = Slow { after, asked: AtomicUsize::new(0) };
        let begun = Instant::now();
        let all = async {
            let (first, second) = futures::join!(resolve(&alias), resolve(&alias));
            assert_eq!(first.unwrap(), second.unwrap());
        };
        let patience = Duration::from_millis(100);
        let ((), seen) = scoped(Brought { token, patience, ..Brought::default() }, all).await;
        (begun.elapsed(), alias.asked.into_inner(), seen)
    }

    /// What is seen of one table and no more.
    fn one() -> Seen {
        Seen { generations: Generations::of(["slow=slow-1"]), ..Seen::default() }
    }

    /// An alias that was swapped from `shop-1` to `shop-2`; `shop-0` is gone.
    #[derive(Debug)]
    struct Swapped;

    impl Alias for Swapped {
        fn name(&self) -> &'static str {
            "shop"
        }

        fn table(&self) -> BoxFuture<'_, Result<Arc<str>, ReadError>> {
            Box::pin(async { Ok(Arc::from("shop-2")) })
        }

        fn is_kept<'a>(&'a self, table: &'a str) -> BoxFuture<'a, Result<bool, ReadError>> {
            Box::pin(async move { Ok(table == "shop-1") })
        }
    }

    #[tokio::test]
    async fn an_operation_reads_what_it_began_with_for_as_long_as_that_is_kept() {
        let cases = [(None, "shop-2"), (Some("shop=shop-1"), "shop-1"), (Some("shop=shop-0"), "shop-2")];
        for (brought, read) in cases {
            let brought = Brought { generations: Generations::of(brought), ..Brought::default() };
            let (table, seen) = scoped(brought, resolve(&Swapped)).await;
            assert_eq!(&*table.unwrap(), read);
            assert_eq!(seen.generations.get("shop"), Some(read));
            assert_eq!(seen.next.get("shop"), (read != "shop-2").then_some("shop-2"));
        }
    }

    fn token() -> Token {
        Token::of([Write::new("shop", "Opened", "1", 1)])
    }

    #[tokio::test(start_paused = true)]
    async fn a_projection_is_waited_for_once_and_not_for_longer_than_the_patience() {
        assert_eq!(read(0, token()).await, (Duration::ZERO, 1, one()));
        assert_eq!(read(2, token()).await, (Duration::from_millis(15), 3, one()));
        let (took, _, seen) = read(usize::MAX, token()).await;
        assert_eq!(took, Duration::from_millis(100));
        assert_eq!(seen.behind, BTreeSet::from(["slow".to_owned()]));
    }

    /// Tells which writes it was asked for.
    #[derive(Debug, Default)]
    struct Asked(Mutex<Vec<Vec<Write>>>);

    impl Alias for Asked {
        fn name(&self) -> &'static str {
            "asked"
        }

        fn table(&self) -> BoxFuture<'_, Result<Arc<str>, ReadError>> {
            Box::pin(async { Ok(Arc::from("asked-1")) })
        }

        fn reached<'a>(&'a self, _: &'a str, writes: &'a [Write]) -> BoxFuture<'a, Result<bool, ReadError>> {
            lock(&self.0).push(writes.to_vec());
            Box::pin(async { Ok(true) })
        }
    }

    #[tokio::test]
    async fn what_a_request_wrote_itself_is_waited_for_by_what_it_reads_after() {
        let alias = Asked::default();
        let [brought, first, second] = [1, 2, 3].map(|it| Write::new("shop", "Opened", &it.to_string(), it));
        let request = async {
            wrote(first);
            resolve(&alias).await.unwrap();
            resolve(&alias).await.unwrap();
            wrote(second);
            resolve(&alias).await.unwrap();
        };
        let ((), _) = scoped(Brought { token: Token::of([brought]), ..Brought::default() }, request).await;
        assert_eq!(alias.0.into_inner().unwrap(), [vec![first, brought], vec![first, second, brought]]);

        let alias = Asked::default();
        let request = async {
            resolve(&alias).await.unwrap();
            wrote(first);
            resolve(&alias).await.unwrap();
        };
        let ((), _) = scoped(Brought::default(), request).await;
        assert_eq!(alias.0.into_inner().unwrap(), [vec![first]]);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_token_nothing_is_asked() {
        assert_eq!(read(usize::MAX, Token::default()).await, (Duration::ZERO, 0, one()));
    }
}
