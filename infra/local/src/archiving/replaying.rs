//! `tributary archive replay`: to one projection's queue, or to the bus.

use crate::suite::Suite;
use anyhow::{Context as _, bail};
use archive::replay::NoCursor;
use archive::{Cursor, Damaged, Filter, ReplayError, Replayed, Sink, SinkError};
use async_trait::async_trait;
use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use contracts::{Header, digest, event};
use embedded::Queues;
use embedded::queue::Outgoing;
use serde::{Deserialize, Serialize};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The target that means the bus.
pub const BUS: &str = "bus";

/// Messages that may wait in a projection's queue before more are sent.
const WAITING: usize = 5_000;

/// How often a full queue is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// The entries that one call of PutEvents takes.
const ENTRIES: usize = 10;

/// What is to be replayed, and where to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Request {
    /// `<micrograph>.<projection>`, or [`BUS`].
    pub to: String,
    /// Which events.
    pub filter: Filter,
    /// Events a second at most.
    pub rate: Option<NonZeroU32>,
    /// Whether to go on where the same replay stopped.
    pub resume: bool,
}

/// How a replay ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Outcome {
    /// What was replayed.
    pub replayed: Replayed,
    /// Whether it went on where one stopped.
    pub resumed: bool,
    /// Whether it was stopped before the end.
    pub stopped: bool,
    /// Objects that could not be read.
    pub damaged: Vec<Damaged>,
}

/// What a replay says on its way, to another process.
#[derive(Debug, Serialize, Deserialize)]
pub enum Update {
    /// So far.
    SoFar(Replayed),
    /// At the end.
    Done(Outcome),
    /// Where it failed.
    Failed(String),
}

/// A replay that was found to make sense.
#[derive(Debug)]
pub struct Plan {
    target: Target,
    filter: Filter,
    rate: Option<NonZeroU32>,
    resume: bool,
    /// Where its cursor is kept: the same replay has the same.
    key: String,
}

#[derive(Debug)]
enum Target {
    Bus,
    /// A projection, by the names of its micrograph and its own: every generation of it that is fed.
    Projection(String, String),
}

/// Finds the target, and narrows the filter to what it folds; refuses what doesn't exist, and says what does.
pub fn plan(request: Request) -> anyhow::Result<Plan> {
    let Request { to, filter, rate, resume } = request;
    super::check(&filter)?;
    let key = digest::short(&[to.as_bytes(), &serde_json::to_vec(&filter)?]);
    let plan = |target, filter| Plan { target, filter, rate, resume, key: format!("replay:{key}") };
    if to == BUS {
        return Ok(plan(Target::Bus, filter));
    }
    let micrographs = crate::shop::micrographs();
    let projections = micrographs.iter().flat_map(|it| {
        it.projections().map(move |projection| (format!("{}.{}", it.name(), projection.name()), projection))
    });
    let projections: Vec<_> = projections.collect();
    let Some((_, projection)) = projections.iter().find(|(name, _)| *name == to) else {
        let known: Vec<&str> = projections.iter().map(|(name, _)| name.as_str()).collect();
        bail!("there is no projection `{to}`: there are {}; or `{BUS}` for every consumer", known.join(", "));
    };
    let folded = Filter::of(projection);
    let list = |set: &std::collections::BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>().join(", ");
    if let Some(other) = filter.types.difference(&folded.types).next() {
        bail!("{to} doesn't fold `{other}`: it folds {}", list(&folded.types));
    }
    if let Some(other) = filter.domains.difference(&folded.domains).next() {
        bail!("{to} folds nothing of `{other}`: it folds events of {}", list(&folded.domains));
    }
    let or = |chosen: &std::collections::BTreeSet<String>, all| {
        if chosen.is_empty() { all } else { chosen.clone() }
    };
    let narrowed = Filter {
        domains: or(&filter.domains, folded.domains),
        types: or(&filter.types, folded.types),
        ..filter
    };
    let (micrograph, projection) = to.split_once('.').context("a projection is named with its micrograph")?;
    Ok(plan(Target::Projection(micrograph.to_owned(), projection.to_owned()), narrowed))
}

/// Replays until the end, or until `stop` says so. The cursor is kept with the queues.
pub async fn run(
    suite: &Suite,
    plan: &Plan,
    stop: &(dyn Fn() -> bool + Send + Sync),
    told: &(dyn Fn(&Replayed) + Send + Sync),
) -> anyhow::Result<Outcome> {
    let kept = if plan.resume { suite.queues.get_meta(&plan.key)? } else { None };
    let cursor = kept.filter(|it| !it.is_empty()).map(|it| read(&it)).transpose()?;
    let resumed = cursor.is_some();
    let last = Mutex::new(cursor.clone());
    let progress = |so_far: &Replayed| {
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        if *last != so_far.cursor {
            last.clone_from(&so_far.cursor);
            keep(&suite.queues, &plan.key, so_far.cursor.as_ref());
        }
        told(so_far);
    };
    let sink: Box<dyn Sink + '_> = match &plan.target {
        Target::Bus => Box::new(ToBus { client: suite.bus.client(), bus: suite.bus.name().to_owned(), stop }),
        Target::Projection(micrograph, projection) => {
            let fed = suite.apps[micrograph.as_str()].fed(projection).await?;
            let names = fed.into_iter().map(|parts| parts.queue.name).collect();
            Box::new(ToQueues { queues: &suite.queues, names, stop })
        }
    };
    let replayed = suite.archive.replay(&plan.filter, cursor.as_ref(), plan.rate, &*sink, &progress).await;
    let outcome = match replayed {
        Ok(replayed) => Outcome { replayed, resumed, stopped: false, damaged: Vec::new() },
        Err(ReplayError::Damaged { so_far, objects }) => {
            Outcome { replayed: *so_far, resumed, stopped: false, damaged: objects }
        }
        Err(ReplayError::Sink { so_far, .. }) if stop() => {
            Outcome { replayed: *so_far, resumed, stopped: true, damaged: Vec::new() }
        }
        Err(error) => {
            return Err(error).context("the same command with --resume goes on where this one stopped");
        }
    };
    if !outcome.stopped {
        keep(&suite.queues, &plan.key, None);
    }
    Ok(outcome)
}

fn read(kept: &[u8]) -> anyhow::Result<Cursor> {
    let text = String::from_utf8_lossy(kept);
    let cursor = text.parse().map_err(|error: NoCursor| anyhow::Error::new(error));
    cursor.context("the place where the replay stopped can't be read: replay without --resume")
}

/// A place that can't be kept makes the next replay send more again, and harms nothing.
fn keep(queues: &Queues, key: &str, cursor: Option<&Cursor>) {
    let text = cursor.map(Cursor::to_string).unwrap_or_default();
    if let Err(error) = queues.put_meta(key, text.as_bytes()) {
        tracing::warn!(error = telemetry::error_chain(&error), "a replay's place can't be kept");
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the replay was stopped")]
struct Stopped;

/// Sends to the queues of one projection, as fast as they are emptied.
struct ToQueues<'a> {
    queues: &'a Queues,
    names: Vec<String>,
    stop: &'a (dyn Fn() -> bool + Send + Sync),
}

#[async_trait]
impl Sink for ToQueues<'_> {
    async fn send(&self, envelopes: Vec<Arc<str>>) -> Result<(), SinkError> {
        loop {
            if (self.stop)() {
                return Err(Stopped.into());
            }
            let mut waiting = 0;
            for name in &self.names {
                waiting = waiting.max(self.queues.depth(name)?.total());
            }
            if waiting < WAITING {
                break;
            }
            tokio::time::sleep(LOOK).await;
        }
        let to = |name: &String| {
            let name = name.clone();
            envelopes.iter().map(move |it| (name.clone(), Outgoing::new(Arc::clone(it))))
        };
        self.queues.send_all(&self.names.iter().flat_map(to).collect::<Vec<_>>())?;
        Ok(())
    }
}

/// Publishes again: every consumer hears it, the archive too.
struct ToBus<'a> {
    client: aws_sdk_eventbridge::Client,
    bus: String,
    stop: &'a (dyn Fn() -> bool + Send + Sync),
}

#[async_trait]
impl Sink for ToBus<'_> {
    async fn send(&self, envelopes: Vec<Arc<str>>) -> Result<(), SinkError> {
        for some in envelopes.chunks(ENTRIES) {
            if (self.stop)() {
                return Err(Stopped.into());
            }
            let mut call = self.client.put_events();
            for envelope in some {
                let header: Header<'_> = serde_json::from_str(envelope)?;
                let entry = PutEventsRequestEntry::builder()
                    .event_bus_name(&self.bus)
                    .source(event::source(&header.domain))
                    .detail_type(header.name)
                    .detail(envelope.to_string());
                call = call.entries(entry.build());
            }
            let answer = call.send().await?;
            if let Some(refused) = answer.entries().iter().find(|entry| entry.error_code().is_some()) {
                let why = refused.error_message().unwrap_or("no reason given");
                return Err(format!("the bus refused an event: {why}").into());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(to: &str) -> Request {
        Request { to: to.to_owned(), filter: Filter::default(), rate: None, resume: false }
    }

    fn refusal(request: Request) -> String {
        plan(request).unwrap_err().to_string()
    }

    #[test]
    fn a_replay_is_narrowed_to_what_its_projection_folds() {
        let plan = plan(request("popularity.sales")).unwrap();
        assert!(
            matches!(plan.target, Target::Projection(micrograph, projection) if micrograph == "popularity" && projection == "sales")
        );
        assert!(plan.filter.types.contains("OrderPlaced"), "{:?}", plan.filter);
        assert!(!plan.filter.types.contains("ProductPriced"), "{:?}", plan.filter);
    }

    #[test]
    fn what_does_not_exist_is_refused_with_what_does() {
        let text = refusal(request("popularity.clicks"));
        assert!(text.contains("popularity.sales") && text.contains("bus"), "{text}");
        let with = |filter| refusal(Request { filter, ..request("popularity.sales") });
        let text = with(Filter { domains: ["shipping".to_owned()].into(), ..Filter::default() });
        assert!(text.contains("there are catalogue, customers"), "{text}");
        let text = with(Filter { types: ["OrderShipped".to_owned()].into(), ..Filter::default() });
        assert!(text.contains("OrderPlaced"), "{text}");
        let text = with(Filter { types: ["ProductPriced".to_owned()].into(), ..Filter::default() });
        assert!(text.contains("popularity.sales doesn't fold `ProductPriced`: it folds"), "{text}");
        let text = with(Filter { domains: ["customers".to_owned()].into(), ..Filter::default() });
        assert!(text.contains("folds nothing of `customers`"), "{text}");
        let at = |second| Some(jiff::Timestamp::from_second(second).unwrap());
        let text = with(Filter { from: at(2), to: at(2), ..Filter::default() });
        assert!(text.contains("the end is exclusive"), "{text}");
    }
}
