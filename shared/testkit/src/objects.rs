//! An object store that fails at a write, or at the write of a process that ends there; and one whose calls take turns
//! in an order that follows from a number.

use crate::dice::Dice;
use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// What happens at the chosen write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectFault {
    /// It fails, and writes nothing.
    Refused,
    /// It writes, and its answer is lost.
    AnswerLost,
    /// The process ends before it: nothing is written, and nothing comes after.
    EndsBefore,
    /// The process ends after it: it writes, and nothing comes after.
    EndsAfter,
}

impl ObjectFault {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Refused, Self::AnswerLost, Self::EndsBefore, Self::EndsAfter];
}

/// One process's view of an object store.
#[derive(Debug)]
pub struct FaultyObjects {
    inner: Arc<dyn ObjectStore>,
    fault: Option<(usize, ObjectFault)>,
    turns: Option<Mutex<Dice>>,
    writes: AtomicUsize,
    ended: AtomicBool,
}

impl FaultyObjects {
    /// A view without faults.
    pub fn over(inner: Arc<dyn ObjectStore>) -> Self {
        Self { inner, fault: None, turns: None, writes: AtomicUsize::default(), ended: AtomicBool::default() }
    }

    /// Fails at a write, counted from 0.
    #[must_use]
    pub fn failing(self, write: usize, fault: ObjectFault) -> Self {
        Self { fault: Some((write, fault)), ..self }
    }

    /// Lets other tasks go first, before and after each call, as often as follows from a seed.
    #[must_use]
    pub fn taking_turns(self, seed: u64) -> Self {
        Self { turns: Some(Mutex::new(Dice::new(seed))), ..self }
    }

    /// Writes that were tried.
    pub fn writes(&self) -> usize {
        self.writes.load(Ordering::Relaxed)
    }

    async fn turn(&self) {
        let Some(turns) = &self.turns else { return };
        let times = turns.lock().unwrap_or_else(PoisonError::into_inner).below(4);
        for _ in 0..times {
            tokio::task::yield_now().await;
        }
    }

    fn alive(&self) -> Result<()> {
        if self.ended.load(Ordering::Relaxed) { Err(error("the process ended")) } else { Ok(()) }
    }
}

fn error(why: &'static str) -> object_store::Error {
    object_store::Error::Generic { store: "faulty", source: why.into() }
}

impl std::fmt::Display for FaultyObjects {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FaultyObjects({})", self.inner)
    }
}

#[async_trait]
impl ObjectStore for FaultyObjects {
    async fn put_opts(&self, at: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.alive()?;
        self.turn().await;
        let write = self.writes.fetch_add(1, Ordering::Relaxed);
        let fault = self.fault.filter(|(chosen, _)| *chosen == write).map(|(_, fault)| fault);
        match fault {
            Some(ObjectFault::Refused) => return Err(error("refused")),
            Some(ObjectFault::EndsBefore) => {
                self.ended.store(true, Ordering::Relaxed);
                return Err(error("the process ends here"));
            }
            _ => {}
        }
        let put = self.inner.put_opts(at, payload, options).await;
        self.turn().await;
        match fault {
            Some(ObjectFault::AnswerLost) => Err(error("the answer was lost")),
            Some(ObjectFault::EndsAfter) => {
                self.ended.store(true, Ordering::Relaxed);
                Err(error("the process ends here"))
            }
            _ => put,
        }
    }

    async fn put_multipart_opts(
        &self,
        at: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.alive()?;
        self.inner.put_multipart_opts(at, options).await
    }

    async fn get_opts(&self, at: &Path, options: GetOptions) -> Result<GetResult> {
        self.alive()?;
        self.turn().await;
        let got = self.inner.get_opts(at, options).await;
        self.turn().await;
        got
    }

    fn delete_stream(&self, at: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(at)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.alive()?;
        self.turn().await;
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.alive()?;
        self.inner.copy_opts(from, to, options).await
    }
}
