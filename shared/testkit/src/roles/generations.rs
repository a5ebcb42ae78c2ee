//! The function `generations`, over queues, tables and a bucket of its account: what is not deployed it says how to
//! deploy; a rebuild goes on where the time of an invocation ended.

use super::{Account, Beside, PREFIX, ends, examples};
use crate::delivery;
use crate::lambda::Function;
use anyhow::{Context as _, ensure};
use archive::Archivist;
use embedded::EventSourceMapping;
use embedded::mapping::{Handler, MappingConfig};
use embedded::queue::QueueConfig;
use micrograph::environment::now;
use micrograph::rebuild::{Answer, Rebuilt};
use projection::Generation;
use projection::generation::Alias;
use serde_json::{Value, json};
use std::sync::{Arc, PoisonError};

/// What is left to a function for noting its place; see `rebuild::role`.
const SPARED: i64 = 20_000;
/// So often a rebuild of so little is asked to go on at most, with twice the time each time.
const ASKED: u32 = 16;

pub(super) async fn work(account: &Account, binary: &str) -> anyhow::Result<()> {
    let manifest = account.app.manifest();
    let projection = manifest.projections.first().context("it consumes")?;
    let (micrograph, name) = (manifest.micrograph, projection.name);
    let of = json!({ "micrograph": micrograph, "projection": name });
    let read = account.app.aliases().get(name).await?.context("it was adopted")?.active;
    // A tombstone that is gone after its horizon is no drift, and examples are old.
    let mut events = examples(&projection.folds.iter().map(|it| it.event.clone()).collect::<Vec<_>>());
    events.retain(|event| event["kind"] != "Deleted");
    let batch = delivery::sqs(events.iter().map(Value::to_string));
    account.app.invoke(&read.handler(name), batch.as_bytes(), None).await?;
    let archivist = Archivist::new(account.archive.clone(), Arc::new(account.app.quarantine()), crate::clock);
    archivist.handle(batch.as_bytes(), None).await?;
    for queue in manifest.projections.iter().map(|it| it.deployed.as_str()).chain([archive::QUEUE]) {
        account.queues.create(QueueConfig::new(format!("{PREFIX}{queue}")))?;
    }
    let mut function = account.start(binary, "generations").await?;

    let listed = asked(&mut function, r#""list""#).await?;
    let Answer::Listed(listed) = listed else { anyhow::bail!("{listed:?}") };
    ensure!(listed.len() == account.app.projections().count(), "{listed:?}");
    for (payload, kind, why) in [
        ("7".to_owned(), "Payload", "can't be read"),
        (r#"{"rebuild": {"of": {"micrograph": "x"}}}"#.to_owned(), "Payload", "projection"),
        (
            json!({ "swap": { "micrograph": "x", "projection": name } }).to_string(),
            "Elsewhere",
            "`x-generations`",
        ),
        (json!({ "swap": of }).to_string(), "Refused", "rebuild first"),
        (json!({ "swap": { "micrograph": micrograph, "projection": "x" } }).to_string(), "Refused", name),
    ] {
        refused(&mut function, &payload, kind, why).await?;
    }

    let rebuild = json!({ "rebuild": { "of": of, "swap": true } }).to_string();
    let candidate = Generation { version: read.version, build: 1 };
    let parts = account.app.parts(name, candidate).context("it has folds")?;
    let setting = format!(r#""generations": {{"{micrograph}":{{"{name}":["{candidate}"]}}}}"#);
    refused(&mut function, &rebuild, "Site", &setting).await?;
    // A relational table it makes itself.
    if !parts.table.relational {
        refused(&mut function, &rebuild, "Site", "no table").await?;
        account.app.create_table(&parts.table).await?;
    }
    refused(&mut function, &rebuild, "Site", "no queue").await?;
    account.queues.create(QueueConfig::new(format!("{PREFIX}{}", parts.queue.name)))?;
    refused(&mut function, &rebuild, "Site", "no consumer").await?;
    let fed = [account.map(name, read)?, account.map(name, candidate)?];

    // It takes some invocations that have next to no time, and loses nothing between them.
    *account.around.refusals.lock().unwrap_or_else(PoisonError::into_inner) = 3;
    let mut went_on = 0;
    let Rebuilt { generation, events: filled, audit, alias } = loop {
        ensure!(went_on < ASKED, "it never ends");
        let deadline = now().as_millisecond() + SPARED + if went_on == 0 { 0 } else { 4 << went_on };
        match answered(function.invoke_until(rebuild.as_str(), u64::try_from(deadline)?).await?)? {
            Answer::Continue(unfinished) => {
                ensure!(unfinished.place.generation == candidate, "{unfinished:?}");
                went_on += 1;
            }
            Answer::Rebuilt(done) => break *done,
            other => anyhow::bail!("{other:?}"),
        }
        if went_on == 2 {
            // Another process knows where the one before was.
            function = account.start(binary, "generations").await?;
        }
    };
    ensure!(went_on > 0, "it had no time, and did not ask for more");
    ensure!(
        generation == candidate && filled >= events.len() as u64 && audit.is_clean(),
        "{filled} {audit:?}"
    );
    ensure!((alias.active, alias.previous) == (candidate, Some(read)), "{alias:?}");
    let (before, after) = (account.app.digest(name, read).await?, account.app.digest(name, candidate).await?);
    ensure!(before.differing(&after).is_empty(), "the candidate holds something else");

    // Both are fed: one goes back, and what is removed then is said to be the deployment's to remove.
    let alias = changed(&mut function, json!({ "rollback": of })).await?.0;
    ensure!((alias.active, alias.previous) == (read, Some(candidate)), "{alias:?}");
    let (alias, left) = changed(&mut function, json!({ "retire": of })).await?;
    ensure!((alias.active, alias.previous, alias.retiring) == (read, None, None), "{alias:?}");
    ensure!(left.contains(&format!("\"{candidate}\"")) && left.contains("cdk deploy"), "{left}");

    // What vanished is found on demand, and by the clock.
    account.lose_one(&read.name(micrograph, name)).await?;
    let audited = asked(&mut function, &json!({ "audit": { "of": of } }).to_string()).await?;
    let Answer::Audited(audited) = audited else { anyhow::bail!("{audited:?}") };
    ensure!(audited.len() == 1 && !audited[0].audit.is_clean(), "{audited:?}");
    let audited = asked(&mut function, &delivery::scheduled()).await?;
    let Answer::Audited(audited) = audited else { anyhow::bail!("{audited:?}") };
    ensure!(audited.len() == listed.len(), "{audited:?}");
    let found = audited.iter().find(|it| it.of.projection == name);
    ensure!(found.is_some_and(|it| it.audit.drifted > 0), "{audited:?}");
    for mapping in fed {
        mapping.stop().await;
    }
    if account.beside_with(&read.name(micrograph, name)).is_some() {
        left_over(account, &mut function, name, (read, candidate)).await?;
    }
    ends(function).await
}

/// A relational table stays as long as its generation is fed, and goes once its consumer is gone.
async fn left_over(
    account: &Account,
    function: &mut Function,
    projection: &str,
    (read, given_up): (Generation, Generation),
) -> anyhow::Result<()> {
    let name = given_up.name(account.app.name(), projection);
    let table = format!("{PREFIX}{name}");
    let Some(Beside { store, .. }) = account.relational.as_ref() else { return Ok(()) };
    let is_there = async || anyhow::Ok(store.tables(&table).await?.iter().any(|(it, _)| *it == table));
    ensure!(is_there().await?, "a generation that is still fed lost its table");
    account.around.mapped.lock().unwrap_or_else(PoisonError::into_inner).remove(&table);
    asked(function, &delivery::scheduled()).await?;
    ensure!(!is_there().await?, "the table of a generation that is gone stays");
    let read = read.name(account.app.name(), projection);
    ensure!(!account.items(&read).await?.is_empty(), "what is read is gone");
    Ok(())
}

impl Account {
    /// Feeds a generation in this process, as the account would by a function of its own.
    fn map(&self, projection: &str, generation: Generation) -> anyhow::Result<EventSourceMapping> {
        let queue = format!("{PREFIX}{}", generation.name(self.app.name(), projection));
        self.around.mapped.lock().unwrap_or_else(PoisonError::into_inner).insert(queue.clone());
        let (app, handler) = (Arc::clone(&self.app), generation.handler(projection));
        let handler: Handler = Arc::new(move |payload, _| {
            let (app, handler) = (Arc::clone(&app), handler.clone());
            Box::pin(async move { Ok(app.invoke(&handler, &payload, None).await?) })
        });
        let config = MappingConfig { window: std::time::Duration::ZERO, ..MappingConfig::new(queue) };
        Ok(EventSourceMapping::start(self.queues.clone(), config, handler)?)
    }

    /// Deletes an item of a table, as no event does.
    async fn lose_one(&self, table: &str) -> anyhow::Result<()> {
        if let Some(Beside { url, lose, .. }) = self.beside_with(table) {
            return lose(url.clone(), format!("{PREFIX}{table}")).await;
        }
        let (client, table) = (self.dynamodb.client(), format!("{PREFIX}{table}"));
        let scan = client.scan().table_name(&table).limit(1).send().await?;
        let item = scan.items().first().context("it holds something")?;
        let delete = client.delete_item().table_name(&table);
        delete.key("pk", item["pk"].clone()).key("sk", item["sk"].clone()).send().await?;
        Ok(())
    }
}

fn answered(answer: crate::lambda::Answer) -> anyhow::Result<Answer> {
    let answer = answer.map_err(|error| anyhow::anyhow!("the invocation failed: {error}"))?;
    Ok(serde_json::from_value(answer)?)
}

async fn asked(function: &mut Function, payload: &str) -> anyhow::Result<Answer> {
    answered(function.invoke(payload).await?)
}

/// How the alias is after a change, and what is left to do.
async fn changed(function: &mut Function, ask: Value) -> anyhow::Result<(Alias, String)> {
    let answer = function.invoke(ask.to_string()).await?;
    let answer = answer.map_err(|error| anyhow::anyhow!("{ask} failed: {error}"))?;
    let left = answer["left"].as_str().unwrap_or_default().to_owned();
    Ok((serde_json::from_value(answer["alias"].clone())?, left))
}

async fn refused(function: &mut Function, payload: &str, kind: &str, why: &str) -> anyhow::Result<()> {
    let error =
        function.invoke(payload).await?.err().with_context(|| format!("{payload} was not refused"))?;
    let said = error["errorMessage"].as_str().unwrap_or_default();
    ensure!(error["errorType"] == kind && said.contains(why), "{payload}: {error}, not {kind} with {why}");
    Ok(())
}
