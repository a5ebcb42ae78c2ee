//! Runs a plan: asks the subgraphs and merges what they answer.

mod answer;
mod entities;
mod reported;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt, join_all};
use http::HeaderMap;
use tokio::time::{Instant, timeout};
use tracing::Instrument;

use crate::alias;
use crate::cache_control::CachePolicy;
use crate::carried::Carried;
use crate::engine::Engine;
use crate::error::{GraphQlError, PathSegment, codes};
use crate::generations::Pinned;
use crate::plan::{Fetch, Path, PathStep, Plan, Step, Target};
use crate::store::{ObjectId, Store};
use crate::transport::{
    InFlight, SubgraphEvents, SubgraphRequest, SubgraphResponse, Transport, TransportError,
};
use crate::variables::Variables;

use entities::Representations;

/// What the execution of one request needs.
pub(crate) struct Execution<'a> {
    pub(crate) transport: &'a std::sync::Arc<dyn Transport>,
    /// `None` sends every request on its own.
    pub(crate) in_flight: Option<&'a InFlight>,
    pub(crate) engine: &'a Engine,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) variables: &'a Variables,
    pub(crate) deadline: Instant,
    pub(crate) subgraph_timeout: Duration,
    /// Whether clients are shown why a subgraph failed.
    pub(crate) error_detail: bool,
    /// Whether each fetch is to show what those before it wrote: so it is within a mutation.
    pub(crate) shows_own_writes: bool,
    pub(crate) generations: Mutex<Pinned<'a>>,
}

/// What the subgraphs gave.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) store: Store,
    pub(crate) root: ObjectId,
    pub(crate) errors: Vec<GraphQlError>,
    pub(crate) cache: CachePolicy,
    pub(crate) carried: Carried,
}

/// Runs a plan to its end: failures become errors of the outcome.
pub(crate) async fn execute(execution: &Execution<'_>, plan: &Plan) -> Outcome {
    execution.finish(plan, Outcome::new()).await
}

/// Runs the rest of a subscription's plan for one event, an answer to what it listens to.
pub(crate) async fn execute_event(
    execution: &Execution<'_>,
    plan: &Plan,
    events: &Fetch,
    event: &SubgraphResponse,
) -> Outcome {
    let mut outcome = Outcome::new();
    lock(&execution.generations).note(&events.subgraph, &event.headers);
    let targets = Targets::Objects(vec![outcome.root]);
    answer::apply(&mut outcome, execution, events, targets, event);
    execution.finish(plan, outcome).await
}

/// Opens a subscription: what is told is the subgraph's answer to each event.
///
/// # Errors
/// Where it can't be opened.
pub(crate) async fn open(execution: &Execution<'_>, events: &Fetch) -> Result<SubgraphEvents, GraphQlError> {
    let failed = |error: &TransportError| {
        tracing::warn!(subgraph = events.subgraph, %error, "a subgraph can't be subscribed to");
        transport_failure(&events.subgraph, error)
    };
    let Some((body, _)) = execution.question(events, &Outcome::new()) else {
        return Err(GraphQlError::new(codes::INTERNAL, "the subscription listens to nothing"));
    };
    let request = execution.request(events, body, &Carried::default());
    let patience = request.timeout;
    let opened = timeout(patience, execution.transport.subscribe(request)).await;
    opened.unwrap_or(Err(TransportError::TimedOut(patience))).map_err(|error| failed(&error))
}

impl Outcome {
    fn new() -> Self {
        let mut store = Store::default();
        let root = store.push_empty();
        Self { store, root, errors: Vec::new(), cache: CachePolicy::UNLIMITED, carried: Carried::default() }
    }
}

/// Never held over an await: all of a request runs on one task.
fn lock<T>(of_request: &Mutex<T>) -> MutexGuard<'_, T> {
    of_request.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Execution<'_> {
    async fn finish(&self, plan: &Plan, outcome: Outcome) -> Outcome {
        let outcome = Mutex::new(outcome);
        if let Some(step) = &plan.root {
            self.step(step, &outcome).await;
        }
        outcome.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn step<'s>(&'s self, step: &'s Step, outcome: &'s Mutex<Outcome>) -> BoxFuture<'s, ()> {
        match step {
            Step::Fetch(fetch) => self.fetch(fetch, outcome).boxed(),
            Step::Sequence(steps) => async move {
                for step in steps {
                    self.step(step, outcome).await;
                }
            }
            .boxed(),
            Step::Parallel(steps) => {
                let all = steps.iter().map(|step| self.step(step, outcome));
                join_all(all).map(|_| ()).boxed()
            }
            Step::Condition { variable, then, otherwise } => {
                let holds =
                    self.variables.get(variable).and_then(serde_json::Value::as_bool).unwrap_or_default();
                match if holds { then } else { otherwise } {
                    Some(step) => self.step(step, outcome),
                    None => futures::future::ready(()).boxed(),
                }
            }
        }
    }

    async fn fetch(&self, fetch: &Fetch, outcome: &Mutex<Outcome>) {
        let Some((body, targets)) = self.question(fetch, &lock(outcome)) else { return };
        let span = tracing::info_span!(
            "subgraph",
            otel.kind = "client",
            subgraph = fetch.subgraph,
            request.bytes = body.len(),
            status = tracing::field::Empty,
            response.bytes = tracing::field::Empty,
            error = tracing::field::Empty,
        );
        let answer = self.send(fetch, body, outcome).instrument(span.clone()).await;
        let mut outcome = lock(outcome);
        match answer {
            Ok(response) => {
                span.record("status", response.status.as_u16());
                span.record("response.bytes", response.body.len());
                lock(&self.generations).note(&fetch.subgraph, &response.headers);
                answer::apply(&mut outcome, self, fetch, targets, &response);
            }
            Err(error) => {
                span.record("error", error.to_string());
                tracing::warn!(parent: &span, subgraph = fetch.subgraph, %error, "a subgraph gave no answer");
                outcome.cache = CachePolicy::NO_STORE;
                let failure = transport_failure(&fetch.subgraph, &error);
                report_failure(&mut outcome, fetch, &failure);
            }
        }
    }

    /// The request's body, and where its answer goes; `None` if there is nothing to ask for.
    fn question(&self, fetch: &Fetch, outcome: &Outcome) -> Option<(Bytes, Targets)> {
        let mut body = Vec::with_capacity(fetch.body_prefix.len() + 256);
        body.extend_from_slice(&fetch.body_prefix);
        let mut first = true;
        let mut name_variable = |name: &str, body: &mut Vec<u8>| {
            body.extend_from_slice(if first { b",\"variables\":{\"" } else { b",\"" });
            first = false;
            body.extend_from_slice(name.as_bytes());
            body.extend_from_slice(b"\":");
        };
        let targets = match &fetch.target {
            Target::Objects { path, .. } => {
                let objects = entities::find(&outcome.store, outcome.root, path);
                if objects.is_empty() {
                    return None;
                }
                Targets::Objects(objects)
            }
            Target::Entities(groups) => {
                let mut all: Vec<Representations> = Vec::new();
                let mut of_group = Vec::with_capacity(groups.len());
                let mut named: Vec<&str> = Vec::new();
                for group in groups {
                    let known = named.iter().position(|name| *name == group.variable);
                    of_group.push(known.unwrap_or_else(|| {
                        named.push(&group.variable);
                        all.push(entities::represent(&outcome.store, outcome.root, group));
                        all.len() - 1
                    }));
                }
                if all.iter().all(Representations::is_empty) {
                    return None;
                }
                for (name, representations) in named.iter().zip(&all) {
                    name_variable(name, &mut body);
                    representations.write(&mut body);
                }
                Targets::Entities { representations: all, of_group }
            }
        };
        for name in &fetch.variables {
            if let Some(text) = self.variables.text(name) {
                name_variable(name, &mut body);
                body.extend_from_slice(text.as_bytes());
            }
        }
        body.extend_from_slice(if first { b"}" } else { b"}}" });
        Some((Bytes::from(body), targets))
    }

    fn request(&self, fetch: &Fetch, body: Bytes, so_far: &Carried) -> SubgraphRequest {
        let left = self.deadline.saturating_duration_since(Instant::now());
        let mut headers = self.headers.clone();
        lock(&self.generations).ask(&fetch.subgraph, &mut headers);
        if self.shows_own_writes {
            so_far.ask(&mut headers);
        }
        SubgraphRequest {
            subgraph: fetch.subgraph.clone(),
            url: self.engine.address(&fetch.subgraph),
            body,
            headers,
            timeout: left.min(self.subgraph_timeout),
            is_mutation: fetch.is_mutation,
            document: fetch.document.clone(),
        }
    }

    async fn send(
        &self,
        fetch: &Fetch,
        body: Bytes,
        outcome: &Mutex<Outcome>,
    ) -> Result<SubgraphResponse, TransportError> {
        let request = self.request(fetch, body, &lock(outcome).carried);
        let patience = request.timeout;
        let answer = match self.in_flight.filter(|_| !fetch.is_mutation) {
            None => timeout(patience, self.transport.send(request)).await,
            Some(in_flight) => {
                let transport = std::sync::Arc::clone(self.transport);
                let shared = in_flight.share(&request, || {
                    let request = request.clone();
                    async move { transport.send(request).await }.boxed()
                });
                timeout(patience, shared).await
            }
        };
        answer.unwrap_or(Err(TransportError::TimedOut(patience)))
    }
}

/// Where an answer goes.
#[derive(Debug)]
enum Targets {
    Objects(Vec<ObjectId>),
    Entities {
        representations: Vec<Representations>,
        /// Which of `representations` each group of the fetch has.
        of_group: Vec<usize>,
    },
}

pub(crate) fn transport_failure(subgraph: &str, error: &TransportError) -> GraphQlError {
    let (code, message) = match error {
        TransportError::TimedOut(_) => {
            (codes::SUBGRAPH_TIMEOUT, format!("{subgraph} did not answer in time"))
        }
        TransportError::TooLarge { .. } => {
            (codes::SUBGRAPH_MALFORMED_RESPONSE, format!("{subgraph} answered with more than can be taken"))
        }
        TransportError::NoEvents => {
            (codes::SUBSCRIPTIONS_NOT_SUPPORTED, format!("{subgraph} can't be subscribed to from here"))
        }
        TransportError::UnknownSubgraph(_) | TransportError::Unreachable(_) | TransportError::Resting(_) => {
            (codes::SUBGRAPH_UNREACHABLE, format!("{subgraph} can't be reached"))
        }
    };
    GraphQlError::new(code, message).with("serviceName", subgraph)
}

/// Reports that a whole fetch failed, once for each place in the answer that it was for, up to the first list.
fn report_failure(outcome: &mut Outcome, fetch: &Fetch, error: &GraphQlError) {
    let mut places: Vec<Vec<PathSegment>> = Vec::new();
    let mut add = |place: Vec<PathSegment>| {
        if !places.contains(&place) {
            places.push(place);
        }
    };
    match &fetch.target {
        Target::Objects { path, keys, output } => {
            let (place, whole) = place(path);
            if !whole || keys.is_empty() {
                add(place);
            } else {
                for key in keys {
                    let renamed = output.iter().find(|rename| rename.path.is_empty() && rename.from == *key);
                    let key = renamed.map_or(key, |rename| &rename.to);
                    let mut place = place.clone();
                    place.push(PathSegment::Key(alias::towards_client(key).to_owned()));
                    add(place);
                }
            }
        }
        Target::Entities(groups) => {
            for path in groups.iter().flat_map(|group| &group.paths) {
                add(place(path).0);
            }
        }
    }
    for place in places {
        let error = error.clone();
        outcome.errors.push(if place.is_empty() { error } else { error.at_path(place) });
    }
}

/// The part of a path before its first list, in the client's words, and whether that is all of it.
fn place(path: &Path) -> (Vec<PathSegment>, bool) {
    let mut place = Vec::new();
    for step in path {
        match step {
            PathStep::Field(key) => place.push(PathSegment::Key(alias::towards_client(key).to_owned())),
            PathStep::OfType(_) => {}
            PathStep::Each => return (place, false),
        }
    }
    (place, true)
}
