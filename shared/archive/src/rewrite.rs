//! Hours written anew: many small objects as few, and without an aggregate that must be forgotten.
//!
//! What replaces is stored before what it replaces is removed. A crash in between leaves duplicates only, and the
//! next compaction folds them.

use crate::filter::Filter;
use crate::name::{Hour, ObjectName};
use crate::object::{self, Damaged, Line, OBJECT_BYTES};
use crate::replay::fingerprint;
use crate::store::{Archive, Content, Listed, StorageError};
use contracts::{Header, Kind};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// What a compaction did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Compacted {
    /// Hours that were looked at.
    pub hours: u64,
    /// Hours that were written anew.
    pub rewritten: u64,
    /// Objects of those hours before.
    pub objects_before: u64,
    /// Objects of those hours after.
    pub objects_after: u64,
    /// Events that were there more than once.
    pub folded: u64,
    /// Objects that can't be read. Their hours stay as they are.
    pub damaged: Vec<Damaged>,
}

/// What an erasure did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Erased {
    /// Objects that were read.
    pub objects: u64,
    /// Hours that were written anew.
    pub rewritten: u64,
    /// Events that are gone, duplicates of them counted.
    pub events: u64,
    /// Objects that can't be read, and so may hold events of the aggregate. They stay as they are.
    pub damaged: Vec<Damaged>,
}

/// Why hours can't be written anew. Nothing is lost: the same call goes on.
#[derive(Debug, thiserror::Error)]
pub enum RewriteError {
    /// The object store failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// An object can't be compressed.
    #[error("the events of {domain} of {hour} can't be packed")]
    Pack {
        /// The domain.
        domain: String,
        /// The hour.
        hour: Hour,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The hour was written anew too often.
    #[error(
        "{domain} of {hour} was written anew {} times, the most that an object's name can say",
        ObjectName::LAST_GENERATION
    )]
    TooOften {
        /// The domain.
        domain: String,
        /// The hour.
        hour: Hour,
    },
}

/// What came of one hour.
#[derive(Default)]
struct Rewritten {
    done: bool,
    objects: u64,
    folded: u64,
    dropped: u64,
    damaged: Vec<Damaged>,
}

impl Archive {
    /// Merges the objects of each hour into as few as their size allows, every event once. Types and subjects of the
    /// filter don't count. Let one process at a time do it.
    pub async fn compact(&self, filter: &Filter) -> Result<Compacted, RewriteError> {
        let mut compacted = Compacted::default();
        let span = filter.span();
        for day in self.days(&span).await? {
            for objects in by_hour(&self.day(&day, &span).await?) {
                compacted.hours += 1;
                if is_compact(objects) {
                    continue;
                }
                let rewritten = self.rewrite(objects, None).await?;
                compacted.damaged.extend(rewritten.damaged);
                if rewritten.done {
                    compacted.rewritten += 1;
                    compacted.objects_before += objects.len() as u64;
                    compacted.objects_after += rewritten.objects;
                    compacted.folded += rewritten.folded;
                }
            }
        }
        Ok(compacted)
    }

    /// Writes every hour that holds an event of the aggregate anew, without it. Its [`Kind::Deleted`] events stay:
    /// they carry its identity only, and erase it elsewhere when they are replayed.
    ///
    /// Every object of the domain is read. Events that come again afterwards are archived again: erase again after
    /// the time in which queues deliver again.
    pub async fn erase(&self, domain: &str, subject: &str) -> Result<Erased, RewriteError> {
        let mut erased = Erased::default();
        let filter = Filter { domains: BTreeSet::from([domain.to_owned()]), ..Filter::default() };
        let span = filter.span();
        for day in self.days(&span).await? {
            for objects in by_hour(&self.day(&day, &span).await?) {
                let mut found = false;
                for object in objects {
                    erased.objects += 1;
                    found |= match self.read(object).await? {
                        Content::Lines(lines) => holds(object, &lines, subject),
                        // It is told when the hour is written anew, else here.
                        Content::Damaged(damaged) => {
                            erased.damaged.push(damaged);
                            false
                        }
                        // What replaced it may hold the aggregate's events: the hour is looked at as it is then.
                        Content::Gone => true,
                    };
                }
                if found {
                    let (domain, hour) = (&objects[0].name.domain, objects[0].name.hour);
                    let now = self.hour(domain, hour).await?;
                    let rewritten = self.rewrite(&now, Some(subject)).await?;
                    erased.rewritten += u64::from(rewritten.done);
                    erased.events += rewritten.dropped;
                }
            }
        }
        Ok(erased)
    }

    /// Writes an hour anew. Without a subject to drop, an hour with a damaged object is left alone; with one, the
    /// damaged object is.
    async fn rewrite(&self, objects: &[Listed], drop: Option<&str>) -> Result<Rewritten, RewriteError> {
        let mut rewritten = Rewritten::default();
        let Some(first) = objects.first() else { return Ok(rewritten) };
        let (domain, hour) = (first.name.domain.clone(), first.name.hour);
        let generation = 1 + objects.iter().map(|object| object.name.generation).max().unwrap_or_default();
        if generation > ObjectName::LAST_GENERATION {
            return Err(RewriteError::TooOften { domain, hour });
        }
        let mut output =
            Output { archive: self, domain, hour, generation, regions: BTreeMap::new(), objects: 0 };
        let mut seen = HashSet::new();
        let mut replaced = Vec::with_capacity(objects.len());
        for object in objects {
            let lines = match self.read(object).await? {
                Content::Lines(lines) => lines,
                Content::Damaged(damaged) => {
                    rewritten.damaged.push(damaged);
                    if drop.is_none() {
                        return Ok(rewritten);
                    }
                    continue;
                }
                // Another process writes this hour anew; what it wrote is for the next time.
                Content::Gone => continue,
            };
            for line in lines.lines() {
                let header = match object::header(&object.path, line) {
                    Ok(header) => header,
                    Err(damaged) => {
                        rewritten.damaged.push(damaged);
                        return Ok(rewritten);
                    }
                };
                if drop.is_some_and(|subject| forgets(&header, subject)) {
                    rewritten.dropped += 1;
                } else if seen.insert(fingerprint(line)) {
                    output.add(&object.name.region, Line::new(&header, line)).await?;
                } else {
                    rewritten.folded += 1;
                }
            }
            replaced.push(object.clone());
        }
        rewritten.objects = output.finish().await?;
        self.remove(&replaced).await?;
        rewritten.done = true;
        Ok(rewritten)
    }
}

/// The objects that an hour is written into, each as soon as it is full.
struct Output<'a> {
    archive: &'a Archive,
    domain: String,
    hour: Hour,
    generation: u32,
    regions: BTreeMap<String, (usize, Vec<Line>)>,
    objects: u64,
}

impl Output<'_> {
    async fn add(&mut self, region: &str, line: Line) -> Result<(), RewriteError> {
        let full = self.regions.get(region).is_some_and(|(size, _)| size + line.len() > OBJECT_BYTES);
        if full {
            self.write(region).await?;
        }
        let (size, lines) = self.regions.entry(region.to_owned()).or_default();
        *size += line.len();
        lines.push(line);
        Ok(())
    }

    async fn finish(mut self) -> Result<u64, RewriteError> {
        let regions: Vec<String> = self.regions.keys().cloned().collect();
        for region in regions {
            self.write(&region).await?;
        }
        Ok(self.objects)
    }

    async fn write(&mut self, region: &str) -> Result<(), RewriteError> {
        let Some((_, lines)) = self.regions.remove(region) else { return Ok(()) };
        let (domain, hour, generation) = (self.domain.clone(), self.hour, self.generation);
        let name = region.to_owned();
        let pack = move || object::pack(&domain, hour, &name, generation, lines);
        let failed = |source| RewriteError::Pack { domain: self.domain.clone(), hour, source };
        let packed = match tokio::task::spawn_blocking(pack).await {
            Ok(packed) => packed.map_err(failed)?,
            Err(panic) => return Err(failed(std::io::Error::other(panic))),
        };
        for object in packed {
            self.archive.store(object).await?;
            self.objects += 1;
        }
        Ok(())
    }
}

/// Whether an hour is what one rewrite left: all of one generation, and not as the events came.
fn is_compact(objects: &[Listed]) -> bool {
    let generation = |object: &Listed| object.name.generation;
    let first = objects.first().map_or(0, generation);
    objects.len() < 2 || first > 0 && objects.iter().all(|object| generation(object) == first)
}

fn by_hour(objects: &[Listed]) -> impl Iterator<Item = &[Listed]> {
    objects.chunk_by(|a, b| a.name.hour == b.name.hour)
}

fn holds(object: &Listed, lines: &str, subject: &str) -> bool {
    let forgotten = |line| object::header(&object.path, line).is_ok_and(|header| forgets(&header, subject));
    lines.lines().any(forgotten)
}

fn forgets(header: &Header<'_>, subject: &str) -> bool {
    header.subject == subject && header.kind != Kind::Deleted
}
