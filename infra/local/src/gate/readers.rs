//! Who reads what: each projection's fields of each event, found by folding examples with a field changed, and the fields of
//! the graph that change with them.

use super::touched;
use anyhow::Context as _;
use compatibility::probe::inside;
use micrograph::{Micrograph, reads};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The file, in the folder `events`.
pub const FILE: &str = "readers.json";

/// What a micrograph reads of an event, through all of its projections.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reader {
    /// The micrograph.
    pub micrograph: String,
    /// The event, as `<domain>.<Name>`.
    pub event: String,
    /// The newest major version that it folds.
    pub major: u16,
    /// By projection, the fields that make a difference to what it stores, each with the attributes that differ; `key` is
    /// which items there are.
    pub projections: BTreeMap<String, BTreeMap<String, BTreeSet<String>>>,
    /// The fields without which the event is not decoded.
    pub needed: BTreeSet<String>,
    /// By field, the fields of the graph whose answer is another one.
    #[serde(default)]
    pub graph: BTreeMap<String, BTreeSet<String>>,
}

/// What the projections of all micrographs read, without the graph: that takes milliseconds.
pub fn projected(micrographs: &[Micrograph]) -> Result<Vec<Reader>, reads::Unknown> {
    let mut readers: Vec<Reader> = Vec::new();
    for micrograph in micrographs {
        for reads in reads::of(micrograph)? {
            let same = |it: &Reader| it.micrograph == micrograph.name() && it.event == reads.event;
            let at = readers.iter().position(same).unwrap_or_else(|| {
                let (micrograph, event) = (micrograph.name().to_owned(), reads.event.clone());
                readers.push(Reader { micrograph, event, major: reads.major, ..Reader::default() });
                readers.len() - 1
            });
            readers[at].projections.insert(reads.projection.to_owned(), reads.fields);
            readers[at].needed.extend(reads.needed);
        }
    }
    Ok(readers)
}

/// The same, with the fields of the graph: each event is applied to a micrograph of its own, with a field changed, and
/// everything is asked of its subgraph.
pub async fn all(micrographs: &[Micrograph]) -> anyhow::Result<Vec<Reader>> {
    let mut readers = projected(micrographs)?;
    shown(micrographs, &mut readers).await?;
    Ok(readers)
}

/// Who reads one event, with the fields of the graph.
pub async fn of_event(micrographs: &[Micrograph], event: &str) -> anyhow::Result<Vec<Reader>> {
    let mut readers = projected(micrographs)?;
    readers.retain(|it| it.event == event);
    shown(micrographs, &mut readers).await?;
    Ok(readers)
}

async fn shown(micrographs: &[Micrograph], readers: &mut [Reader]) -> anyhow::Result<()> {
    for reader in readers {
        let micrograph = micrographs.iter().find(|it| it.name() == reader.micrograph);
        let micrograph = micrograph.context("a reader is a micrograph")?;
        reader.graph = touched::fields(micrograph, reader)
            .await
            .with_context(|| format!("asking {} about {}", reader.micrograph, reader.event))?;
    }
    Ok(())
}

/// The readers as a file has them.
pub fn parse(text: &str) -> serde_json::Result<Vec<Reader>> {
    serde_json::from_str(text)
}

/// The file of readers.
pub fn file(readers: &[Reader]) -> serde_json::Result<String> {
    Ok(serde_json::to_string_pretty(readers)? + "\n")
}

impl Reader {
    /// What it makes of a field, and of those inside it: by projection, the attributes.
    pub fn stores(&self, field: &str) -> BTreeMap<&str, BTreeSet<&str>> {
        let mut stored: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (projection, fields) in &self.projections {
            for (_, into) in fields.iter().filter(|(path, _)| inside(path, field)) {
                stored.entry(projection).or_default().extend(into.iter().map(String::as_str));
            }
        }
        stored
    }

    /// The fields of the graph that change with a field, or with those inside it.
    pub fn shows(&self, field: &str) -> BTreeSet<&str> {
        let touched = self.graph.iter().filter(|(path, _)| inside(path, field));
        touched.flat_map(|(_, fields)| fields.iter().map(String::as_str)).collect()
    }

    /// Whether it can't decode the event without a field, whatever it makes of it.
    pub fn needs(&self, field: &str) -> bool {
        self.needed.contains(field)
    }
}
