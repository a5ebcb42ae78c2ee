//! `tributary rebuild`, `generation` and `audit`: generations of projections on this machine.

use crate::suite::Suite;
use crate::wiring;
use anyhow::{Context as _, bail};
use async_trait::async_trait;
use embedded::queue::Outgoing;
use micrograph::App;
use micrograph::manifest::Parts;
pub use micrograph::rebuild::{Answer, Ask, Audited, Listed, Named, Rebuilt};
use micrograph::rebuild::{Rebuild, Site, SiteError, Step};
use projection::Generation;
use projection::audit::{Sink, Source, SourceError};
use projection::delivery::REPAIR;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

/// A slice of a comparison holds so many parts of a projection in memory at most, about.
const PASSES: u32 = 1;

/// Answers, in this process. `tell` hears how far it is, in words.
pub async fn answer(
    suite: &Arc<Suite>,
    ask: Ask,
    tell: &(dyn Fn(String) + Send + Sync),
) -> anyhow::Result<Answer> {
    let here = Local(Arc::clone(suite));
    let steps = |step: Step| tell(words(step));
    let source = Sources(suite);
    let rebuild = |app| Rebuild { app, site: &here, source: &source, tell: &steps, passes: PASSES };
    Ok(match ask {
        Ask::List => Answer::Listed(list(suite).await?),
        Ask::Rebuild { of, swap } => {
            let built = rebuild(app(suite, &of)?).rebuild(&of.projection, swap).await?;
            Answer::Rebuilt(Box::new(built))
        }
        Ask::Swap(of) => Answer::Alias(rebuild(app(suite, &of)?).swap(&of.projection).await?),
        Ask::Rollback(of) => Answer::Alias(rebuild(app(suite, &of)?).rollback(&of.projection).await?),
        Ask::Retire(of) => Answer::Alias(rebuild(app(suite, &of)?).retire(&of.projection).await?),
        Ask::Discard(of) => Answer::Alias(rebuild(app(suite, &of)?).discard(&of.projection).await?),
        Ask::Audit { of, repair } => {
            let mut audited = Vec::new();
            for (app, projection) in chosen(suite, of.as_ref())? {
                tell(format!("{}.{projection}: comparing", app.name()));
                audited.push(rebuild(app).audit(projection, repair).await?);
            }
            Answer::Audited(audited)
        }
    })
}

/// Rebuilds the projections whose folds changed since the generation that is read was built; tells in words.
pub async fn catch_up(suite: &Arc<Suite>, tell: &(dyn Fn(String) + Send + Sync)) -> anyhow::Result<()> {
    for Listed { of, version, alias } in list(suite).await? {
        let Some(active) = alias.map(|alias| alias.active).filter(|active| active.version < version) else {
            continue;
        };
        let name = format!("{}.{}", of.micrograph, of.projection);
        tell(format!("{name}: version {} is read, this build has {version}; rebuilding it", active.version));
        let heard = |words: String| tell(format!("{name}: {words}"));
        let why = match answer(suite, Ask::Rebuild { of, swap: true }, &heard).await {
            Ok(Answer::Rebuilt(rebuilt)) if !rebuilt.audit.is_clean() => {
                format!("{} parts differ from their sources", rebuilt.audit.drifted)
            }
            Ok(_) => continue,
            Err(error) => format!("{error:#}"),
        };
        tell(format!("{name}: {why}; version {} stays", active.version));
    }
    Ok(())
}

/// Compares one projection after the other with its sources, one each time that this long has passed; never ends.
pub async fn keep_auditing(suite: &Arc<Suite>, every: Duration) {
    let turn = all(suite);
    let mut turn = turn.into_iter().cycle();
    loop {
        tokio::time::sleep(every).await;
        let Some(of) = turn.next() else { return };
        let name = format!("{}.{}", of.micrograph, of.projection);
        match answer(suite, Ask::Audit { of: Some(of), repair: false }, &|_| {}).await {
            Ok(Answer::Audited(audited)) => {
                for finding in audited.iter().flat_map(|it| &it.audit.findings) {
                    tracing::warn!(projection = name, item = finding.item, drift = %finding.drift, "drift");
                }
            }
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(projection = name, error = format!("{error:#}"), "an audit was not finished");
            }
        }
    }
}

fn all(suite: &Suite) -> Vec<Named> {
    let of = |app: &Arc<App>| app.projections().map(|(name, _)| Named::of(app, name)).collect::<Vec<_>>();
    suite.apps.values().flat_map(of).collect()
}

async fn list(suite: &Suite) -> anyhow::Result<Vec<Listed>> {
    let mut listed = Vec::new();
    for app in suite.apps.values() {
        listed.extend(micrograph::rebuild::ask::list(app).await?);
    }
    Ok(listed)
}

/// The projections that are asked about, each with its micrograph.
fn chosen<'a>(suite: &'a Suite, of: Option<&Named>) -> anyhow::Result<Vec<(&'a Arc<App>, &'static str)>> {
    let all = suite.apps.values().flat_map(|app| app.projections().map(move |(name, _)| (app, name)));
    let Some(of) = of else { return Ok(all.collect()) };
    app(suite, of)?;
    let found: Vec<_> =
        all.filter(|(app, name)| app.name() == of.micrograph && *name == of.projection).collect();
    if found.is_empty() {
        let known: Vec<_> = suite.apps[of.micrograph.as_str()].projections().map(|(name, _)| name).collect();
        bail!("{} has no projection `{}`; it has {}", of.micrograph, of.projection, known.join(", "));
    }
    Ok(found)
}

fn app<'a>(suite: &'a Suite, of: &Named) -> anyhow::Result<&'a Arc<App>> {
    suite.apps.get(of.micrograph.as_str()).with_context(|| {
        let known: Vec<&str> = suite.apps.keys().copied().collect();
        format!("there is no micrograph `{}`: there are {}", of.micrograph, known.join(", "))
    })
}

fn words(step: Step) -> String {
    match step {
        Step::Raised(generation) => format!("generation {generation} is fed; filling in its past"),
        Step::Filled(events) => format!("{events} events on its queue"),
        Step::CaughtUp => "caught up; comparing with the sources".to_owned(),
        Step::Compared(compared, 0) => format!("{compared} parts compared, none differs"),
        Step::Compared(compared, drifted) => format!("{compared} parts compared, {drifted} differ"),
    }
}

/// The local suite as the place where generations live.
struct Local(Arc<Suite>);

#[async_trait]
impl Site for Local {
    async fn raise(&self, app: &App, parts: &Parts) -> Result<(), SiteError> {
        app.create_table(&parts.table).await?;
        let app =
            self.0.apps.get(app.name()).ok_or_else(|| SiteError::new("feeding", "no such micrograph"))?;
        wiring::feed(&self.0, app, parts).map_err(|error| SiteError::new("feeding a generation", error))
    }

    async fn send(&self, queue: &str, events: Vec<Arc<str>>, repair: bool) -> Result<(), SiteError> {
        let attribute = json!({
            "stringValue": "1", "stringListValues": [], "binaryListValues": [], "dataType": "String",
        });
        let attributes = repair.then(|| json!({ REPAIR: attribute }));
        let message = |event| Outgoing { attributes: attributes.clone(), ..Outgoing::new(event) };
        let sent = self.0.queues.send(queue, events.into_iter().map(message).collect());
        sent.map(|_| ()).map_err(|error| SiteError::new(format!("sending to {queue}"), error))
    }

    async fn settled(&self, queue: &str) -> Result<(), SiteError> {
        let settled = self.0.queues.settled(queue).await;
        settled.map_err(|error| SiteError::new(format!("waiting for {queue}"), error))
    }

    async fn retire(&self, app: &App, projection: &str, generation: Generation) -> Result<(), SiteError> {
        let failed = |error: anyhow::Error| SiteError::new("removing a generation", error);
        // Folds that this build lacks feed nothing: what is left of such a generation is its table.
        if let Some(parts) = app.parts(projection, generation) {
            wiring::starve(&self.0, app, &parts).await.map_err(failed)?;
        }
        let deleted = app.delete_table(projection, generation).await;
        deleted.map_err(|error| {
            SiteError::new(format!("deleting the table of {projection} {generation}"), error)
        })
    }
}

/// What the projections of this machine are made from: the archive, which has every event, and the owners' latest State,
/// which has what no queue and no archive remembers.
struct Sources<'a>(&'a Suite);

#[async_trait]
impl Source for Sources<'_> {
    async fn read(&self, types: &[(&str, &str)], sink: &mut dyn Sink) -> Result<(), SourceError> {
        for app in self.0.apps.values() {
            app.read_owned(types, sink).await?;
        }
        // What was published before the candidate was subscribed may be on its way into the archive.
        let archived = self.0.queues.settled(archivist::QUEUE).await;
        archived.map_err(|error| SourceError::new("the archive's queue", error))?;
        let filter = archive::Filter {
            domains: types.iter().map(|(domain, _)| (*domain).to_owned()).collect(),
            types: types.iter().map(|(_, name)| (*name).to_owned()).collect(),
            ..archive::Filter::default()
        };
        let archived = Archived(Mutex::new(sink));
        let replayed = self.0.archive.replay(&filter, None, None, &archived, &|_| {}).await;
        replayed.map(|_| ()).map_err(|error| SourceError::new("the archive", error))
    }
}

/// Hands over what the archive replays.
struct Archived<'a>(Mutex<&'a mut dyn Sink>);

#[async_trait]
impl archive::Sink for Archived<'_> {
    async fn send(&self, envelopes: Vec<Arc<str>>) -> Result<(), archive::SinkError> {
        Ok(self.0.lock().await.take(envelopes).await?)
    }
}
