//! The archive of the local suite: fed by a rule on the whole bus, as on AWS.

pub mod replaying;

use crate::folder::Folder;
use crate::suite::Suite;
use crate::wiring;
use anyhow::Context as _;
use archive::{Archive, Archivist, Compacted, Erased, Filter, HourSummary};
use bytes::Bytes;
use embedded::events::Target as BusTarget;
use embedded::mapping::{Deadline, Handler, MappingConfig};
use embedded::{Durability, EventSourceMapping};
use micrograph::manifest::{Target, Trigger};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// The folder of the archive's objects, in the state's folder.
const FOLDER: &str = "archive";

/// How long a batch is gathered locally: on AWS it is longer, because there a call costs.
const WINDOW: Duration = Duration::from_secs(2);

/// What the archive is asked by another process.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Ask {
    /// What there is.
    List(Filter),
    /// Merges the objects of each hour.
    Compact(Filter),
    /// Takes an aggregate out.
    Erase {
        /// Its domain.
        domain: String,
        /// Its identity.
        subject: String,
    },
}

/// What there is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Listed {
    /// By domain and hour.
    pub hours: Vec<HourSummary>,
    /// Events that wait to be archived.
    pub waiting: usize,
}

/// Opens the archive of a folder of state, or one that is gone at the end.
pub fn open(folder: Option<&Folder>, durability: Durability) -> anyhow::Result<Archive> {
    let Some(folder) = folder else { return Ok(Archive::in_memory()) };
    Ok(Archive::in_folder(&folder.file(FOLDER), durability == Durability::Power)?)
}

/// Creates the queue, and puts the rule that feeds it.
pub fn declare(suite: &Suite) -> anyhow::Result<()> {
    let manifest = archivist::manifest().manifest;
    for queue in &manifest.queues {
        wiring::create(suite, queue)?;
    }
    for rule in &manifest.rules {
        let Target::Queue(queue) = &rule.target else { continue };
        suite.bus.put_rule(&rule.name, &rule.pattern, vec![BusTarget::queue(queue)])?;
    }
    Ok(())
}

/// Maps the queue to the archivist.
pub fn start(suite: &Suite) -> anyhow::Result<()> {
    let app = &suite.apps[archivist::micrograph().name()];
    let manifest = archivist::manifest().manifest;
    let function = manifest.functions.into_iter().find(|it| it.handler == archivist::ARCHIVIST);
    let function = function.context("the archive's manifest has the archivist")?;
    let Trigger::Queue { queue, batch_size, .. } = function.trigger else {
        anyhow::bail!("the archivist is invoked by a queue")
    };
    let timeout = Duration::from_secs(function.timeout_seconds.into());
    let config = MappingConfig {
        batch_size: batch_size as usize,
        window: WINDOW,
        timeout,
        ..MappingConfig::new(queue)
    };
    let clock = app.environment().clock;
    let archivist = Arc::new(Archivist::new(suite.archive.clone(), Arc::new(app.quarantine()), clock));
    let name = format!("{}.{}", app.name(), archivist::ARCHIVIST);
    let tally = Arc::clone(&suite.tally);
    let handler: Handler = Arc::new(move |payload: Bytes, _: Deadline| {
        let (archivist, tally, name) = (Arc::clone(&archivist), Arc::clone(&tally), name.clone());
        Box::pin(async move {
            let started = Instant::now();
            let report = archivist.archive(&payload, Some(started + timeout)).await?;
            tally.invoked(&name, report.messages, started.elapsed());
            Ok(report.answer())
        })
    });
    let mapping = EventSourceMapping::start(suite.queues.clone(), config, handler)?;
    let mut mappings = suite.mappings.lock().unwrap_or_else(PoisonError::into_inner);
    mappings.insert(archivist::QUEUE.to_owned(), mapping);
    drop(mappings);
    let functions = archivist::manifest().manifest.functions.into_iter();
    for function in functions.filter(|function| matches!(function.trigger, Trigger::Queues { .. })) {
        wiring::map(suite, app, &function)?;
    }
    Ok(())
}

/// Answers, in this process.
pub async fn answer(suite: &Suite, ask: Ask) -> anyhow::Result<Value> {
    Ok(match ask {
        Ask::List(filter) => {
            check(&filter)?;
            let hours = suite.archive.summary(&filter).await?;
            let waiting = suite.queues.depth(archivist::QUEUE)?.total();
            serde_json::to_value(Listed { hours, waiting })?
        }
        Ask::Compact(filter) => {
            check(&filter)?;
            let compacted: Compacted = suite.archive.compact(&filter).await?;
            serde_json::to_value(compacted)?
        }
        Ask::Erase { domain, subject } => {
            check(&Filter { domains: [domain.clone()].into(), ..Filter::default() })?;
            let erased: Erased = suite.archive.erase(&domain, &subject).await?;
            serde_json::to_value(erased)?
        }
    })
}

/// Refuses a filter that names what doesn't exist, and says what does.
pub fn check(filter: &Filter) -> anyhow::Result<()> {
    let events = || contracts::published::all().into_iter().filter(|it| it.kind.is_some());
    let mut domains: Vec<&str> = events().map(|it| it.domain).collect();
    domains.dedup();
    if let Some(unknown) = filter.domains.iter().find(|it| !domains.contains(&it.as_str())) {
        anyhow::bail!("there is no domain `{unknown}`: there are {}", domains.join(", "));
    }
    let wanted = |domain: &str| filter.domains.is_empty() || filter.domains.contains(domain);
    let types: Vec<&str> = events().filter(|it| wanted(it.domain)).map(|it| it.name).collect();
    if let Some(unknown) = filter.types.iter().find(|it| !types.contains(&it.as_str())) {
        anyhow::bail!("there is no event `{unknown}` there: there are {}", types.join(", "));
    }
    if let (Some(from), Some(to)) = (filter.from, filter.to)
        && from >= to
    {
        anyhow::bail!("nothing is from {from} on and before {to}: the end is exclusive, and after the start");
    }
    Ok(())
}
