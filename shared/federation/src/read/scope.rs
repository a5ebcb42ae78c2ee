//! What belongs to one request: one table behind each alias, the tags of what was read, and a token to wait for.

use super::ReadError;
use freshness::{Tag, Tags, Token, Write};
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

    /// Whether what is read from `table` shows all of these writes that it ever will.
    ///
    /// An alias that can't tell shows whatever there is.
    fn reached<'a>(&'a self, table: &'a str, writes: &'a [Write]) -> BoxFuture<'a, Result<bool, ReadError>> {
        let _ = (table, writes);
        Box::pin(std::future::ready(Ok(true)))
    }
}

/// What a request brought, and what was learnt while it ran.
#[derive(Debug)]
struct Scope {
    token: Token,
    patience: Duration,
    /// When the patience with this request ends: set by the first projection that has to be waited for.
    until: OnceCell<Instant>,
    pins: Mutex<HashMap<String, Arc<str>>>,
    waits: Mutex<HashMap<String, Arc<OnceCell<()>>>>,
    seen: Mutex<Seen>,
}

/// What was learnt of a request while it ran.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// What its answer shows.
    pub tags: Tags,
    /// The projections that had not reached its token when the patience ended.
    pub behind: BTreeSet<String>,
}

tokio::task_local! {
    static SCOPE: Arc<Scope>;
}

/// Runs a request: what it reads by one alias is read from one table, whatever becomes of the alias meanwhile, and,
/// where the request brings a token, once the projection has reached it, or once the patience with the whole request
/// is at its end.
pub async fn scoped<F: Future>(token: Token, patience: Duration, request: F) -> (F::Output, Seen) {
    let scope = Arc::new(Scope {
        token,
        patience,
        until: OnceCell::new(),
        pins: Mutex::default(),
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

/// The table that stands behind an alias for this request.
pub(crate) async fn resolve(alias: &dyn Alias) -> Result<Arc<str>, ReadError> {
    let Ok(scope) = SCOPE.try_with(Arc::clone) else { return alias.table().await };
    let known = lock(&scope.pins).get(alias.name()).map(Arc::clone);
    let table = if let Some(table) = known {
        table
    } else {
        let table = alias.table().await?;
        // Of several resolvers that asked at once, the first one's answer counts for all.
        Arc::clone(lock(&scope.pins).entry(alias.name().to_owned()).or_insert(table))
    };
    if !scope.token.is_empty() {
        // Each projection is waited for once, by all that read it.
        let wait = Arc::clone(lock(&scope.waits).entry(alias.name().to_owned()).or_default());
        wait.get_or_init(|| scope.wait(alias, &table)).await;
    }
    Ok(table)
}

impl Scope {
    async fn wait(&self, alias: &dyn Alias, table: &str) {
        let mut pause = FIRST_PAUSE;
        loop {
            match alias.reached(table, self.token.writes()).await {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => {
                    let error = telemetry::error_chain(&error);
                    tracing::warn!(error, alias = alias.name(), "how far a projection is can't be read");
                    break;
                }
            }
            let until = *self.until.get_or_init(|| async { Instant::now() + self.patience }).await;
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
        let ((), seen) = scoped(token, Duration::from_millis(100), all).await;
        (begun.elapsed(), alias.asked.into_inner(), seen)
    }

    fn token() -> Token {
        Token::of([Write::new("shop", "Opened", "1", 1)])
    }

    #[tokio::test(start_paused = true)]
    async fn a_projection_is_waited_for_once_and_not_for_longer_than_the_patience() {
        assert_eq!(read(0, token()).await, (Duration::ZERO, 1, Seen::default()));
        assert_eq!(read(2, token()).await, (Duration::from_millis(15), 3, Seen::default()));
        let (took, _, seen) = read(usize::MAX, token()).await;
        assert_eq!(took, Duration::from_millis(100));
        assert_eq!(seen.behind, BTreeSet::from(["slow".to_owned()]));
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_token_nothing_is_asked() {
        assert_eq!(read(usize::MAX, Token::default()).await, (Duration::ZERO, 0, Seen::default()));
    }
}
