//! `tributary quarantine`: what could not be applied, seen and delivered again.

use crate::suite::Suite;
use crate::wiring;
use anyhow::{Context as _, bail};
use embedded::queue::Outgoing;
use projection::quarantine::Entry;
use serde::{Deserialize, Serialize};

/// The consumer under which the importer keeps rows that it can't read.
pub const IMPORT: &str = "import";

/// An entry with the micrograph whose quarantine holds it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Listed {
    /// The micrograph.
    pub micrograph: String,
    /// The entry.
    #[serde(flatten)]
    pub entry: Entry,
}

/// An entry with its message.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Shown {
    /// The entry.
    #[serde(flatten)]
    pub listed: Listed,
    /// The message as it was delivered.
    pub raw: String,
}

/// All entries of all micrographs.
pub async fn list(suite: &Suite) -> anyhow::Result<Vec<Listed>> {
    let mut all = Vec::new();
    for (name, app) in &suite.apps {
        let entries = app.quarantine().list().await?;
        all.extend(entries.into_iter().map(|entry| Listed { micrograph: (*name).to_owned(), entry }));
    }
    Ok(all)
}

/// The entry with this id, or whose id starts so and no other's.
pub async fn show(suite: &Suite, id: &str) -> anyhow::Result<Shown> {
    let mut found: Vec<Listed> =
        list(suite).await?.into_iter().filter(|listed| listed.entry.id.starts_with(id)).collect();
    let (Some(listed), true) = (found.pop(), found.is_empty()) else {
        bail!(
            "{} entries have an id that starts with `{id}`: `tributary quarantine list` shows the ids",
            found.len() + usize::from(!found.is_empty())
        );
    };
    let quarantine = suite.apps[listed.micrograph.as_str()].quarantine();
    let (_, raw) = quarantine.show(&listed.entry.id).await?.context("the entry was removed meanwhile")?;
    Ok(Shown { listed, raw: String::from_utf8_lossy(&raw).into_owned() })
}

/// Delivers a message again, by the queue that it came from, and takes it out of the quarantine. One that still
/// can't be applied comes back.
pub async fn redrive(suite: &Suite, id: &str) -> anyhow::Result<Listed> {
    let Shown { listed, raw } = show(suite, id).await?;
    let (micrograph, consumer) = (listed.micrograph.as_str(), listed.entry.consumer.as_str());
    let (queue, message) = match consumer {
        IMPORT => bail!("this is a row of a file: correct it in the file and import that again"),
        "commands" => {
            let subject = serde_json::from_str::<serde_json::Value>(&raw).ok();
            let subject = subject.and_then(|it| it["subject"].as_str().map(str::to_owned));
            // The queue would take an equal body within five minutes for a duplicate.
            let again = Some(format!("{}-{}", listed.entry.id, listed.entry.count));
            let message = Outgoing { deduplication_id: again, ..Outgoing::new(raw) };
            (
                wiring::command_queue(micrograph),
                message.in_group(subject.unwrap_or_else(|| "redrive".to_owned())),
            )
        }
        projection => (format!("{micrograph}-{projection}"), Outgoing::new(raw)),
    };
    suite.queues.send(&queue, vec![message])?;
    suite.apps[micrograph].quarantine().remove(&listed.entry.id).await?;
    Ok(listed)
}
