//! Where the supergraph comes from while the gateway runs, and how a better one is taken into service.
//!
//! A schema that can't be had, composed or planned costs nothing: what is served goes on, and the next look may find a
//! better one. What was served last is kept where it survives the process, so that a cold start needs nobody.

mod registry;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ::composition::Subgraph;
use async_trait::async_trait;
use bytes::Bytes;
use futures::future::join_all;
use http::HeaderMap;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::composition::compose;
use crate::gateway::{Gateway, GatewayError};
use crate::supergraph::Supergraph;
use crate::transport::{SubgraphRequest, Transport};

pub use registry::FromRegistry;

/// How long a subgraph has to tell its schema, and a store to give one.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where supergraphs come from.
#[async_trait]
pub trait Source: Send + Sync {
    /// The supergraph as it is now; none where it is the same as the last time.
    ///
    /// # Errors
    /// Where there is none to be had for now.
    async fn look(&self) -> Result<Option<Found>, SourceError>;
}

/// A supergraph that a source gave.
#[derive(Debug, Clone)]
pub struct Found {
    /// It.
    pub supergraph: Supergraph,
    /// Subgraphs that should be in it and are not: it does not replace one that has them.
    pub missing: Vec<String>,
}

/// Why there is no supergraph.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// None of the subgraphs tells its schema.
    #[error("no subgraph tells its schema: {0}")]
    Nobody(String),
    /// What there is does not compose.
    #[error("the subgraphs' schemas don't compose: {0}")]
    Composition(String),
    /// The store of schemas failed.
    #[error("the store of schemas failed: {0}")]
    Store(String),
    /// What there is can't be served.
    #[error("the supergraph can't be served: {0}")]
    Supergraph(String),
}

/// The subgraphs' own schemas, asked by `{ _service { sdl } }` and composed here.
pub struct FromSubgraphs {
    transport: Arc<dyn Transport>,
    subgraphs: Vec<(String, String)>,
    life: Duration,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    schemas: HashMap<String, (String, Instant)>,
    composed: Option<Vec<(String, String)>>,
}

impl FromSubgraphs {
    /// Subgraphs by name and address; a schema is asked for again when it is as old as `life`, one that could not be
    /// had each time.
    pub fn new(
        transport: Arc<dyn Transport>,
        subgraphs: impl IntoIterator<Item = (String, String)>,
        life: Duration,
    ) -> Self {
        Self { transport, subgraphs: subgraphs.into_iter().collect(), life, known: Mutex::default() }
    }

    async fn ask(&self, name: &str, url: &str) -> Result<String, String> {
        let request = SubgraphRequest {
            subgraph: name.to_owned(),
            url: url.to_owned(),
            body: Bytes::from_static(br#"{"query":"{ _service { sdl } }"}"#),
            headers: HeaderMap::new(),
            timeout: PATIENCE,
            is_mutation: false,
            document: None,
        };
        let answer = tokio::time::timeout(PATIENCE, self.transport.send(request)).await;
        let answer = answer.map_err(|_| format!("no answer within {PATIENCE:?}"))?;
        let answer = answer.map_err(|error| error.to_string())?;
        let json: serde_json::Value = serde_json::from_slice(&answer.body)
            .map_err(|error| format!("its answer is not JSON: {error}"))?;
        let sdl = json.pointer("/data/_service/sdl").and_then(serde_json::Value::as_str);
        sdl.map(str::to_owned).ok_or_else(|| format!("it answered {} without a schema", answer.status))
    }
}

#[async_trait]
impl Source for FromSubgraphs {
    async fn look(&self) -> Result<Option<Found>, SourceError> {
        let mut known = self.known.lock().await;
        let due = |name: &str| known.schemas.get(name).is_none_or(|(_, at)| at.elapsed() >= self.life);
        let due: Vec<_> = self.subgraphs.iter().filter(|(name, _)| due(name)).collect();
        let asked = join_all(due.iter().map(|(name, url)| self.ask(name, url))).await;
        let mut failures = Vec::new();
        for ((name, _), answer) in due.into_iter().zip(asked) {
            match answer {
                Ok(sdl) => _ = known.schemas.insert(name.clone(), (sdl, Instant::now())),
                Err(reason) => {
                    tracing::warn!(
                        subgraph = name,
                        reason,
                        "a subgraph does not tell its schema; it is asked again"
                    );
                    failures.push(format!("{name}: {reason}"));
                }
            }
        }
        let present = self.subgraphs.iter().filter_map(|(name, url)| {
            let (sdl, _) = known.schemas.get(name)?;
            Some(Subgraph { name: name.clone(), url: url.clone(), sdl: sdl.clone() })
        });
        let present: Vec<Subgraph> = present.collect();
        if present.is_empty() {
            return Err(SourceError::Nobody(failures.join("; ")));
        }
        let schemas: Vec<(String, String)> =
            present.iter().map(|it| (it.name.clone(), it.sdl.clone())).collect();
        if known.composed.as_ref() == Some(&schemas) {
            return Ok(None);
        }
        let supergraph = compose(&present).map_err(|error| SourceError::Composition(error.to_string()))?;
        known.composed = Some(schemas);
        let missing = self.subgraphs.iter().filter(|(name, _)| !known.schemas.contains_key(name));
        Ok(Some(Found { supergraph, missing: missing.map(|(name, _)| name.clone()).collect() }))
    }
}

/// Keeps the supergraph that was served last where it survives the process. Clones share what they know of it.
#[derive(Debug, Clone)]
pub struct LastGood {
    objects: Arc<dyn ObjectStore>,
    path: Path,
    /// The hash of what is kept, as far as this process knows.
    kept: Arc<Mutex<Option<String>>>,
}

impl LastGood {
    /// An object of a store: a folder's, or a bucket's.
    pub fn new(objects: Arc<dyn ObjectStore>, path: impl Into<Path>) -> Self {
        Self { objects, path: path.into(), kept: Arc::default() }
    }

    /// What was served last; none where there was nothing, or it can't be read any more.
    pub async fn read(&self) -> Option<Supergraph> {
        let read = async {
            let text = self.objects.get(&self.path).await.ok()?.bytes().await.ok()?;
            Supergraph::parse(std::str::from_utf8(&text).ok()?).ok()
        };
        let supergraph = tokio::time::timeout(PATIENCE, read).await.ok().flatten()?;
        *self.kept.lock().await = Some(supergraph.hash().to_owned());
        Some(supergraph)
    }

    /// Writes it, unless it is what was read or written last: of two processes, the one that starts late with what the
    /// other has replaced since must not bring it back.
    async fn write(&self, supergraph: &Supergraph) {
        let mut kept = self.kept.lock().await;
        if kept.as_deref() == Some(supergraph.hash()) {
            return;
        }
        match self.objects.put(&self.path, supergraph.sdl().to_owned().into()).await {
            Ok(_) => *kept = Some(supergraph.hash().to_owned()),
            Err(error) => tracing::warn!(%error, "the supergraph could not be kept for the next start"),
        }
    }
}

/// Looks for a newer supergraph from time to time, and takes it into service.
pub struct Keeper {
    gateway: Gateway,
    source: Arc<dyn Source>,
    last_good: Option<LastGood>,
    every: Duration,
    looking: AtomicBool,
    looked: std::sync::Mutex<Instant>,
    kept: AtomicBool,
}

impl Keeper {
    /// A gateway over the source's supergraph, and what keeps it new: a look every so often. Where the source gives none,
    /// one that lacks subgraphs or one that can't be served, the gateway serves what was served last.
    ///
    /// # Errors
    /// Where there is neither.
    pub async fn start(
        source: Arc<dyn Source>,
        last_good: Option<LastGood>,
        every: Duration,
        serve: impl Fn(Supergraph) -> Result<Gateway, GatewayError>,
    ) -> Result<Self, SourceError> {
        let supergraph = first(&*source, last_good.as_ref()).await?;
        let hash = supergraph.hash().to_owned();
        let gateway = match serve(supergraph) {
            Ok(gateway) => gateway,
            Err(error) => {
                let kept = match &last_good {
                    Some(last_good) => last_good.read().await.filter(|kept| kept.hash() != hash),
                    None => None,
                };
                let kept = kept.ok_or_else(|| refused(&error))?;
                tracing::error!(supergraph = hash, %error, "served is what was served last");
                serve(kept).map_err(|error| refused(&error))?
            }
        };
        let (looking, kept) = (AtomicBool::default(), AtomicBool::default());
        let looked = std::sync::Mutex::new(Instant::now());
        Ok(Self { gateway, source, last_good, every, looking, looked, kept })
    }

    /// The gateway that is kept.
    pub fn gateway(&self) -> &Gateway {
        &self.gateway
    }

    /// Looks now. What is found is planned for before it is served; what can't be served is logged.
    pub async fn look(&self) {
        let found = match self.source.look().await {
            Ok(Some(found)) => found,
            Ok(None) => return,
            Err(error) => {
                tracing::warn!(%error, "there is no newer supergraph to be had; what is served goes on");
                return;
            }
        };
        let served = self.gateway.supergraph();
        if found.supergraph.hash() == served.hash() {
            return;
        }
        if !found.missing.is_empty() && lacks(&found.supergraph, &served) {
            let missing = found.missing.join(", ");
            tracing::warn!(
                missing,
                "a supergraph without these subgraphs is worse than the one that is served"
            );
            return;
        }
        let hash = found.supergraph.hash().to_owned();
        match self.gateway.reload_warm(found.supergraph).await {
            Ok(warmed) => {
                tracing::info!(supergraph = hash, warmed, "another supergraph is served");
                self.keep().await;
            }
            Err(error) => {
                tracing::error!(supergraph = hash, %error, "a supergraph can't be served; the old one stays");
            }
        }
    }

    /// Keeps what is served for the next start.
    async fn keep(&self) {
        if let Some(last_good) = &self.last_good {
            last_good.write(&self.gateway.supergraph()).await;
        }
    }

    /// Does in the background what it is time to: for functions, which run only while they are asked.
    pub fn touch(self: &Arc<Self>) {
        let due = {
            let mut looked = self.looked.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let due = looked.elapsed() >= self.every;
            if due {
                *looked = Instant::now();
            }
            due
        };
        let is_first = !self.kept.swap(true, Ordering::AcqRel);
        let looks = due && !self.looking.swap(true, Ordering::AcqRel);
        if looks || is_first {
            let keeper = Arc::clone(self);
            tokio::spawn(async move {
                if is_first {
                    keeper.keep().await;
                }
                if looks {
                    keeper.look().await;
                    keeper.looking.store(false, Ordering::Release);
                }
            });
        }
    }

    /// Looks every so often, for as long as it is polled.
    pub async fn run(&self) {
        self.keep().await;
        loop {
            tokio::time::sleep(self.every).await;
            self.look().await;
        }
    }
}

/// The first supergraph, for a gateway to start with: the source's; where it gives none, or one that lacks subgraphs,
/// what was served last.
async fn first(source: &dyn Source, last_good: Option<&LastGood>) -> Result<Supergraph, SourceError> {
    let kept = async {
        match last_good {
            Some(last_good) => last_good.read().await,
            None => None,
        }
    };
    match source.look().await {
        Ok(Some(found)) if found.missing.is_empty() => Ok(found.supergraph),
        Ok(Some(found)) => match kept.await.filter(|kept| lacks(&found.supergraph, kept)) {
            Some(kept) => {
                let missing = found.missing.join(", ");
                tracing::warn!(supergraph = kept.hash(), missing, "served is what was served last");
                Ok(kept)
            }
            None => Ok(found.supergraph),
        },
        Ok(None) => kept.await.ok_or_else(|| SourceError::Nobody("there is no supergraph yet".to_owned())),
        Err(error) => {
            let Some(kept) = kept.await else { return Err(error) };
            tracing::warn!(supergraph = kept.hash(), %error, "served is what was served last");
            Ok(kept)
        }
    }
}

fn refused(GatewayError::Planner(reason): &GatewayError) -> SourceError {
    SourceError::Supergraph(reason.clone())
}

/// Whether `found` lacks subgraphs that `served` has.
fn lacks(found: &Supergraph, served: &Supergraph) -> bool {
    served.graphs().iter().any(|graph| !found.graphs().iter().any(|it| it.name == graph.name))
}
