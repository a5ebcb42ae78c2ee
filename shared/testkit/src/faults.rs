//! What goes wrong between a consumer and its store, put in front of any store.
//!
//! A fault happens at a call that is counted: the same faults at the same calls replay exactly.

use async_trait::async_trait;
use contracts::Version;
use projection::Key;
use projection::join::{Contribution, Dot, Put};
use projection::store::{Head, Ordered, Store, StoreError, Stored, Waiting, Written};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::future::{pending, poll_fn};
use std::ops::RangeInclusive;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

/// What happens to one call. A scan that nothing is written by has no difference between before and after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is turned away: nothing is written, the caller is told to try later.
    Throttled,
    /// It meets another write: nothing is written, the caller is told to try later.
    Conflict,
    /// It is written, but the answer is lost: the caller is told to try later.
    AnswerLost,
    /// The caller is told to try later, then it is written: when [`Late::arrive`] is called.
    WrittenLater,
    /// Its first half is written, where it holds several joins, and the caller is told to try later.
    HalfWritten,
    /// A scan gives what the one before it gave; a write is done as it should be.
    ReadStale,
    /// The caller's process ends before it is written.
    CrashBefore,
    /// The caller's process ends after it is written.
    CrashAfter,
}

impl Fault {
    /// Those after which the caller goes on.
    pub const SURVIVED: [Self; 6] = [
        Self::Throttled,
        Self::Conflict,
        Self::AnswerLost,
        Self::WrittenLater,
        Self::HalfWritten,
        Self::ReadStale,
    ];

    /// Those after which the caller is gone.
    pub const CRASHES: [Self; 2] = [Self::CrashBefore, Self::CrashAfter];
}

/// A write, as the port takes it. A new kind of join is one more here.
#[derive(Clone, Debug)]
pub enum Write {
    /// [`Store::put`].
    Put(Put),
    /// [`Store::add`].
    Add(Vec<Dot>),
    /// [`Store::contribute`].
    Contribute(Vec<Contribution>),
    /// [`Ordered::advance`].
    Advance(Box<Advance>),
    /// [`Ordered::wait`].
    Wait(Key, Waiting),
    /// [`Ordered::forget`].
    Forget(Key, Vec<Version>),
}

/// An item that goes on: how far it had come, what it is now, and its base, where that is written with it.
#[derive(Clone, Debug)]
pub struct Advance {
    key: Key,
    before: Option<Head>,
    next: Head,
    base: Option<Head>,
}

impl Write {
    async fn run(&self, store: &dyn Store, table: &str) -> Result<Written, StoreError> {
        match self {
            Self::Put(put) => store.put(table, put).await,
            Self::Add(dots) => store.add(table, dots).await,
            Self::Contribute(contributions) => store.contribute(table, contributions).await,
            Self::Advance(it) => {
                let Advance { key, before, next, base } = it.as_ref();
                store.ordered().advance(table, key, before.as_ref(), next, base.as_ref()).await
            }
            Self::Wait(key, waiting) => store.ordered().wait(table, key, waiting).await,
            Self::Forget(key, versions) => {
                let units = store.ordered().forget(table, key, versions).await?;
                Ok(Written { outcomes: Vec::new(), units })
            }
        }
    }

    /// The first half of it, where it holds several joins.
    fn half(&self) -> Option<Self> {
        match self {
            Self::Add(dots) if dots.len() > 1 => Some(Self::Add(dots[..dots.len() / 2].to_vec())),
            Self::Contribute(all) if all.len() > 1 => Some(Self::Contribute(all[..all.len() / 2].to_vec())),
            Self::Forget(key, versions) if versions.len() > 1 => {
                Some(Self::Forget(key.clone(), versions[..versions.len() / 2].to_vec()))
            }
            _ => None,
        }
    }

    fn operation(&self) -> &'static str {
        match self {
            Self::Put(_) | Self::Advance(_) | Self::Wait(..) => "PutItem",
            Self::Add(_) => "UpdateItem",
            Self::Contribute(_) => "TransactWriteItems",
            Self::Forget(..) => "BatchWriteItem",
        }
    }
}

impl fmt::Display for Write {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Put(put) => write!(f, "version {} of {}", put.version, put.key),
            Self::Add(dots) => {
                let seqs: Vec<String> = dots.iter().map(|dot| dot.seq.to_string()).collect();
                let key = dots.first().map(|dot| dot.key.to_string()).unwrap_or_default();
                write!(f, "change {} of {key}", seqs.join(", "))
            }
            Self::Contribute(all) => {
                let who: Vec<String> =
                    all.iter().map(|it| format!("{} at {}", it.subject, it.version)).collect();
                let ledger = all.first().map(|it| it.ledger.as_str()).unwrap_or_default();
                write!(f, "what {} contributes to {ledger}", who.join(", "))
            }
            Self::Advance(it) => {
                let Advance { key, before, next, base } = it.as_ref();
                let before = before.as_ref().map_or_else(|| "nothing".to_owned(), |it| it.reach.to_string());
                let with = if base.is_some() { ", with its base" } else { "" };
                write!(f, "{key} from {before} to {}{with}", next.reach)
            }
            Self::Wait(key, waiting) => write!(f, "change {} is kept at {key}", waiting.version),
            Self::Forget(key, versions) => {
                let versions: Vec<String> = versions.iter().map(Version::to_string).collect();
                write!(f, "changes {} are kept no longer at {key}", versions.join(", "))
            }
        }
    }
}

/// Writes that are on their way while their callers believe that they failed.
#[derive(Debug, Default)]
pub struct Late(Mutex<Vec<(String, Write)>>);

impl Late {
    /// Lets them arrive. What the store refuses is lost: the caller was told to try again.
    pub async fn arrive(&self, store: &dyn Store) {
        let late = std::mem::take(&mut *locked(&self.0));
        for (table, write) in late {
            drop(write.run(store, &table).await);
        }
    }
}

/// A store with faults in front of it: one for each process that writes to it.
pub struct Faulty {
    inner: Arc<dyn Store>,
    late: Arc<Late>,
    script: Mutex<Script>,
    crashed: AtomicBool,
    seen: Mutex<BTreeMap<String, Vec<Stored>>>,
}

/// What a read gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reads {
    /// What is stored.
    Fresh,
    /// What the one before it gave.
    Stale,
}

/// The faults of one invocation, and what came of them.
#[derive(Debug, Default)]
struct Script {
    faults: Vec<(usize, Fault)>,
    pace: u64,
    calls: usize,
    told: Vec<String>,
}

impl Faulty {
    /// A store without faults as yet. Writes that come later than their callers believe are kept in `late`.
    pub fn new(inner: Arc<dyn Store>, late: Arc<Late>) -> Self {
        Self {
            inner,
            late,
            script: Mutex::default(),
            crashed: AtomicBool::new(false),
            seen: Mutex::default(),
        }
    }

    /// What goes wrong from now on: faults, each at a call that is counted from 0. `pace` says how calls that are
    /// under way at once get ahead of each other; with 0 none waits.
    pub fn expect(&self, faults: Vec<(usize, Fault)>, pace: u64) {
        *locked(&self.script) = Script { faults, pace, ..Script::default() };
    }

    /// What went wrong since [`Faulty::expect`], as text.
    pub fn told(&self) -> Vec<String> {
        locked(&self.script).told.clone()
    }

    /// Runs a process that uses the store; nothing comes of it where it crashes. It is dropped then, wherever it was.
    pub async fn until_crash<F: Future>(&self, process: F) -> Option<F::Output> {
        let mut process = pin!(process);
        poll_fn(|context| match process.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if self.crashed.load(Ordering::Relaxed) => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        })
        .await
    }

    /// Counts a call; gives the fault that happens to it.
    async fn call(&self) -> (usize, Option<Fault>) {
        let (call, fault, turns) = {
            let mut script = locked(&self.script);
            let call = script.calls;
            script.calls += 1;
            let fault = script.faults.iter().find(|(at, _)| *at == call).map(|(_, fault)| *fault);
            let turns = script.pace.rotate_right(u32::try_from(call % 32).unwrap_or(0) * 2) & 3;
            (call, fault, turns)
        };
        for _ in 0..turns {
            let mut waited = false;
            poll_fn(|context| {
                if std::mem::replace(&mut waited, true) {
                    return Poll::Ready(());
                }
                context.waker().wake_by_ref();
                Poll::Pending
            })
            .await;
        }
        (call, fault)
    }

    fn tell(&self, call: usize, what: &dyn fmt::Display, became: &str) {
        locked(&self.script).told.push(format!("call {call}, {what}: {became}"));
    }

    async fn fail(
        &self,
        call: usize,
        fault: Fault,
        table: &str,
        write: Write,
    ) -> Result<Written, StoreError> {
        let operation = write.operation();
        let transient = |why: &str| {
            let source = why.to_owned().into();
            Err(StoreError::Transient { operation, table: table.to_owned(), source })
        };
        match fault {
            Fault::Throttled => {
                self.tell(call, &write, "throttled");
                transient("throttled")
            }
            Fault::Conflict => {
                self.tell(call, &write, "conflicts with another write");
                transient("others kept writing the same item")
            }
            Fault::AnswerLost => {
                write.run(self.inner.as_ref(), table).await?;
                self.tell(call, &write, "times out, after it was written");
                transient("timed out")
            }
            Fault::WrittenLater => {
                self.tell(call, &write, "times out, and is written later");
                locked(&self.late.0).push((table.to_owned(), write));
                transient("timed out")
            }
            Fault::HalfWritten => {
                if let Some(half) = write.half() {
                    half.run(self.inner.as_ref(), table).await?;
                    self.tell(call, &write, "fails, after its first half was written");
                } else {
                    self.tell(call, &write, "fails, nothing of it was written");
                }
                transient("failed halfway")
            }
            Fault::ReadStale => write.run(self.inner.as_ref(), table).await,
            Fault::CrashBefore | Fault::CrashAfter => {
                let became = match fault {
                    Fault::CrashAfter => {
                        drop(write.run(self.inner.as_ref(), table).await);
                        "the process ends after it was written"
                    }
                    _ => "the process ends before it is written",
                };
                self.tell(call, &write, became);
                self.crash().await
            }
        }
    }

    async fn write(&self, table: &str, write: impl FnOnce() -> Write + Send) -> Result<Written, StoreError> {
        match (self.call().await, write()) {
            ((_, None), write) => write.run(self.inner.as_ref(), table).await,
            ((call, Some(fault)), write) => self.fail(call, fault, table, write).await,
        }
    }

    /// What becomes of a read.
    async fn read(&self, operation: &'static str, table: &str) -> Result<Reads, StoreError> {
        let (call, fault) = self.call().await;
        let what = format!("a {operation}");
        match fault {
            None | Some(Fault::WrittenLater | Fault::HalfWritten) => Ok(Reads::Fresh),
            Some(Fault::ReadStale) => {
                if operation == "Scan" {
                    self.tell(call, &what, "gives what the last one gave");
                }
                Ok(Reads::Stale)
            }
            Some(Fault::CrashBefore | Fault::CrashAfter) => {
                self.tell(call, &what, "the process ends");
                self.crash().await
            }
            Some(Fault::Throttled | Fault::Conflict | Fault::AnswerLost) => {
                self.tell(call, &what, "throttled");
                let source = "throttled".into();
                Err(StoreError::Transient { operation, table: table.to_owned(), source })
            }
        }
    }

    async fn crash(&self) -> ! {
        self.crashed.store(true, Ordering::Relaxed);
        match pending::<Infallible>().await {}
    }
}

#[async_trait]
impl Store for Faulty {
    async fn put(&self, table: &str, put: &Put) -> Result<Written, StoreError> {
        match self.call().await {
            (_, None) => self.inner.put(table, put).await,
            (call, Some(fault)) => self.fail(call, fault, table, Write::Put(put.clone())).await,
        }
    }

    async fn add(&self, table: &str, dots: &[Dot]) -> Result<Written, StoreError> {
        match self.call().await {
            (_, None) => self.inner.add(table, dots).await,
            (call, Some(fault)) => self.fail(call, fault, table, Write::Add(dots.to_vec())).await,
        }
    }

    async fn contribute(&self, table: &str, contributions: &[Contribution]) -> Result<Written, StoreError> {
        match self.call().await {
            (_, None) => self.inner.contribute(table, contributions).await,
            (call, Some(fault)) => {
                let write = Write::Contribute(contributions.to_vec());
                self.fail(call, fault, table, write).await
            }
        }
    }

    async fn scan(&self, table: &str, after: Option<Key>) -> Result<(Vec<Stored>, Option<Key>), StoreError> {
        if self.read("Scan", table).await? == Reads::Stale {
            let stale = locked(&self.seen).get(table).cloned().unwrap_or_default();
            return Ok((stale, None));
        }
        let is_first = after.is_none();
        let (items, next) = self.inner.scan(table, after).await?;
        let mut seen = locked(&self.seen);
        let known = seen.entry(table.to_owned()).or_default();
        if is_first {
            known.clear();
        }
        known.extend(items.iter().cloned());
        Ok((items, next))
    }

    fn ordered(&self) -> &dyn Ordered {
        self
    }
}

/// A consistent read of an item is never stale.
#[async_trait]
impl Ordered for Faulty {
    async fn head(&self, table: &str, key: &Key) -> Result<Option<Head>, StoreError> {
        self.read("GetItem", table).await?;
        self.inner.ordered().head(table, key).await
    }

    async fn base(&self, table: &str, key: &Key) -> Result<Option<Head>, StoreError> {
        self.read("GetItem", table).await?;
        self.inner.ordered().base(table, key).await
    }

    async fn advance(
        &self,
        table: &str,
        key: &Key,
        before: Option<&Head>,
        next: &Head,
        base: Option<&Head>,
    ) -> Result<Written, StoreError> {
        let (key, before, next, base) = (key.clone(), before.cloned(), next.clone(), base.cloned());
        self.write(table, || Write::Advance(Box::new(Advance { key, before, next, base }))).await
    }

    async fn waiting(
        &self,
        table: &str,
        key: &Key,
        within: RangeInclusive<Version>,
    ) -> Result<Vec<Waiting>, StoreError> {
        self.read("Query", table).await?;
        self.inner.ordered().waiting(table, key, within).await
    }

    async fn wait(&self, table: &str, key: &Key, waiting: &Waiting) -> Result<Written, StoreError> {
        self.write(table, || Write::Wait(key.clone(), waiting.clone())).await
    }

    async fn forget(&self, table: &str, key: &Key, versions: &[Version]) -> Result<f64, StoreError> {
        Ok(self.write(table, || Write::Forget(key.clone(), versions.to_vec())).await?.units)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
