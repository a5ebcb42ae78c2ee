//! `tributary quarantine`: what could not be applied, seen, edited, delivered again or discarded.

use crate::suite::Suite;
use anyhow::{Context as _, bail, ensure};
use embedded::queue::Outgoing;
use micrograph::manifest::Queue;
use projection::delivery::REDRIVE;
use projection::quarantine::edit::{self, EditError};
use projection::quarantine::{About, Cursor, DynamoQuarantine, Entry, Filter, Held};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// The consumer under which the importer keeps rows that it can't read.
pub const IMPORT: &str = "import";

/// How many ids are named where a beginning of an id fits several.
const NAMED: usize = 5;

/// An entry with the micrograph whose quarantine holds it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Listed {
    /// The micrograph.
    pub micrograph: String,
    /// The entry.
    #[serde(flatten)]
    pub entry: Entry,
}

/// Which entries are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selection {
    /// The micrograph, or all.
    pub micrograph: Option<String>,
    /// What the entries are like.
    pub filter: Filter,
}

/// A place in a list of entries.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Place {
    micrograph: String,
    cursor: Option<Cursor>,
}

/// A part of a list of entries.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Listing {
    /// The entries: one micrograph after the other, each by time.
    pub entries: Vec<Listed>,
    /// Where the next part begins, if there may be one.
    pub next: Option<Place>,
}

/// An entry with its message.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Shown {
    /// The entry.
    #[serde(flatten)]
    pub listed: Listed,
    /// The message as it was delivered.
    pub raw: String,
    /// The message as it was edited last.
    pub edited: Option<String>,
}

impl Shown {
    /// What an edit begins with: the last edit, or the message laid out to be read.
    pub fn editable(&self) -> String {
        self.edited.clone().unwrap_or_else(|| edit::readable(&self.raw))
    }
}

/// What an edit makes of a message.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Change {
    /// This, where it was edited so often until now.
    Text {
        /// The edited message.
        text: String,
        /// How often the entry was edited when the editor began; unknown where the text comes from elsewhere.
        edits: Option<u64>,
    },
    /// The same with these fields, by JSON pointer.
    Set(Vec<(String, String)>),
}

/// What became of a message that was delivered again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// It was applied; its entry is gone.
    Applied,
    /// It is in the quarantine again.
    CameBack,
    /// It is under way.
    UnderWay,
}

fn quarantines<'a>(
    suite: &'a Suite,
    micrograph: Option<&'a str>,
) -> anyhow::Result<Vec<(&'static str, DynamoQuarantine)>> {
    let all = suite.apps.iter().filter(|(name, _)| micrograph.is_none_or(|it| it == **name));
    let all: Vec<_> = all.map(|(name, app)| (*name, app.quarantine())).collect();
    if let (Some(name), true) = (micrograph, all.is_empty()) {
        let known: Vec<&str> = suite.apps.keys().copied().collect();
        bail!("there is no micrograph `{name}`: there are {}", known.join(", "));
    }
    Ok(all)
}

/// At most `limit` entries of a selection, after a place.
pub async fn list(
    suite: &Suite,
    selection: &Selection,
    after: Option<Place>,
    limit: usize,
) -> anyhow::Result<Listing> {
    let mut listing = Listing::default();
    let mut after = after;
    for (micrograph, quarantine) in quarantines(suite, selection.micrograph.as_deref())? {
        let cursor = match &after {
            Some(place) if place.micrograph.as_str() > micrograph => continue,
            Some(place) if place.micrograph == micrograph => after.take().and_then(|place| place.cursor),
            _ => None,
        };
        let room = limit - listing.entries.len();
        if room == 0 {
            listing.next = Some(Place { micrograph: micrograph.to_owned(), cursor: None });
            break;
        }
        let page = quarantine.list(&selection.filter, cursor, room).await?;
        let entries = page.entries.into_iter();
        listing.entries.extend(entries.map(|entry| Listed { micrograph: micrograph.to_owned(), entry }));
        if page.next.is_some() {
            listing.next = Some(Place { micrograph: micrograph.to_owned(), cursor: page.next });
            break;
        }
    }
    Ok(listing)
}

impl Listed {
    /// Names it among the entries of all micrographs: one message can be in several quarantines under one id.
    pub fn name(&self) -> String {
        format!("{}.{}", self.micrograph, self.entry.id)
    }
}

/// The entry with this id, or whose id starts so and no other's; before the id may stand its micrograph and a dot.
async fn find(suite: &Suite, name: &str) -> anyhow::Result<(DynamoQuarantine, Listed)> {
    let (micrograph, id) = match name.split_once('.') {
        Some((micrograph, id)) => (Some(micrograph), id),
        None => (None, name),
    };
    ensure!(
        !id.is_empty(),
        "an entry's id is wanted, or how it starts: `tributary quarantine list` shows the ids"
    );
    let mut found = Vec::new();
    for (micrograph, quarantine) in quarantines(suite, micrograph)? {
        if let Some(entry) = quarantine.entry(id).await? {
            found.push((quarantine, Listed { micrograph: micrograph.to_owned(), entry }));
            continue;
        }
        let mut after = None;
        loop {
            let page = quarantine.list(&Filter::default(), after, 1_000).await?;
            for entry in page.entries.into_iter().filter(|entry| entry.id.starts_with(id)) {
                found.push((quarantine.clone(), Listed { micrograph: micrograph.to_owned(), entry }));
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
    }
    match found.len() {
        0 => bail!("no entry has an id that starts with `{id}`: `tributary quarantine list` shows the ids"),
        1 => found.pop().context("there is one"),
        count => {
            let ids: Vec<String> = found.iter().take(NAMED).map(|(_, it)| it.name()).collect();
            let more = if count > NAMED { " and more" } else { "" };
            bail!("{count} entries have an id that starts with `{id}`: {}{more}", ids.join(", "))
        }
    }
}

/// An entry with its message.
pub async fn show(suite: &Suite, id: &str) -> anyhow::Result<Shown> {
    let (quarantine, listed) = find(suite, id).await?;
    let held = quarantine.show(&listed.entry.id).await?;
    Ok(shown(listed.micrograph, held.context("the entry was removed meanwhile")?))
}

fn shown(micrograph: String, Held { entry, raw, edited }: Held) -> Shown {
    let raw = String::from_utf8_lossy(&raw).into_owned();
    Shown { listed: Listed { micrograph, entry }, raw, edited }
}

/// Keeps an edited message beside its original; a redrive delivers it.
pub async fn amend(suite: &Suite, id: &str, change: &Change, identity: bool) -> anyhow::Result<Shown> {
    let (quarantine, _) = find(suite, id).await?;
    let before = show(suite, id).await?;
    refuse_import(&before.listed.entry)?;
    let current = before.editable();
    let edited = match change {
        Change::Text { text, edits } => {
            let read = edits.is_none_or(|edits| edits == before.listed.entry.edits);
            ensure!(read, "the entry was edited by somebody else meanwhile: look at it and edit it again");
            text.trim().to_owned()
        }
        Change::Set(fields) => edit::set(&current, fields)?,
    };
    edit::check(&edit::readable(&before.raw), &edited, identity)?;
    if edited == current {
        return Err(EditError::Unchanged.into());
    }
    let kept = quarantine.edit(&before.listed.entry, &edited).await?;
    ensure!(kept, "the entry was edited or removed by somebody else meanwhile: look at it and edit it again");
    show(suite, &before.listed.name()).await
}

fn refuse_import(entry: &Entry) -> anyhow::Result<()> {
    let row = entry.consumer == IMPORT;
    ensure!(!row, "{} is a row of a file: correct it in the file and import that again", entry.id);
    Ok(())
}

/// Delivers a message again, edited if it was, by the queue that it came from. Its entry stays until it is applied; one
/// that still can't be applied comes back.
pub async fn redrive(suite: &Suite, id: &str) -> anyhow::Result<Listed> {
    let (quarantine, Listed { micrograph, entry }) = find(suite, id).await?;
    refuse_import(&entry)?;
    let held = quarantine.show(&entry.id).await?.context("the entry was removed meanwhile")?;
    let (entry, body) = (&held.entry, held.body());
    let app = &suite.apps[micrograph.as_str()];
    // Whichever generation it was that could not apply it, all that are fed get it: to the others it is a duplicate.
    let fed = app.fed(&entry.consumer).await?.into_iter().map(|parts| parts.queue);
    let lasting = app.lasting().queues.into_iter().filter(|queue| queue.consumer == entry.consumer);
    let queues: Vec<Queue> = fed.chain(lasting).collect();
    if queues.is_empty() {
        bail!(
            "{micrograph} has no consumer `{}` any more: discard {}, or bring the consumer back",
            entry.consumer,
            entry.id
        );
    }
    let attribute = json!({
        "stringValue": entry.redrive().to_string(), "stringListValues": [], "binaryListValues": [], "dataType": "String",
    });
    let message = |queue: Queue| {
        let mut message =
            Outgoing { attributes: Some(json!({ REDRIVE: attribute })), ..Outgoing::new(body.as_str()) };
        if queue.fifo {
            // The queue would take an equal body within five minutes for a duplicate.
            message.deduplication_id = Some(format!("{}-{}-{}", entry.id, entry.count, entry.edits));
            message = message.in_group(About::of(&body).subject.unwrap_or_else(|| "redrive".to_owned()));
        }
        (queue.name, message)
    };
    let messages: Vec<(String, Outgoing)> = queues.into_iter().map(message).collect();
    ensure!(quarantine.redriving(&entry.id).await?, "the entry was removed meanwhile");
    suite.queues.send_all(&messages)?;
    Ok(Listed { micrograph, entry: held.entry })
}

/// What became of entries that were delivered again.
pub async fn outcomes(suite: &Suite, driven: &[(String, String)]) -> anyhow::Result<Vec<Outcome>> {
    let mut outcomes = Vec::with_capacity(driven.len());
    for (micrograph, id) in driven {
        let app = suite.apps.get(micrograph.as_str()).context("an entry of a micrograph")?;
        outcomes.push(match app.quarantine().entry(id).await? {
            None => Outcome::Applied,
            Some(entry) if entry.redriven_at.is_some() => Outcome::UnderWay,
            Some(_) => Outcome::CameBack,
        });
    }
    Ok(outcomes)
}

/// Removes an entry for good, whatever becomes of its message.
pub async fn discard(suite: &Suite, id: &str) -> anyhow::Result<Listed> {
    let (quarantine, listed) = find(suite, id).await?;
    ensure!(quarantine.discard(&listed.entry.id).await?, "the entry was removed meanwhile");
    Ok(listed)
}
