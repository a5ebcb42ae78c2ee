//! What the sources say a projection should hold.

use super::{Drift, Finding, MAX_FINDINGS, MAX_REPAIRS, Part, Parts, Sink, SourceError, content};
use crate::decode;
use crate::fold::Projection;
use crate::join::{Body, Dot, Join, Step};
use crate::key::Key;
use crate::reach::Reach;
use async_trait::async_trait;
use contracts::{Header, Version};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// How far items go that are folded in order: the last sequence number of each epoch, by the item's name.
pub(super) type Ends = BTreeMap<(u128, u16), u64>;

/// The changes of an item, by the set that remembers them (see [`Dot::set`]) and their sequence number.
pub(super) type Dots = BTreeMap<(Key, String), BTreeMap<u64, Dot>>;

/// Folds what a source hands over to the newest version of each part.
pub(super) struct Expected<'a> {
    projection: &'a Projection,
    within: &'a (dyn Fn(u128) -> bool + Send + Sync),
    pub events: u64,
    pub unfoldable: u64,
    pub parts: Parts,
    pub dots: Dots,
    pub ends: Ends,
}

impl<'a> Expected<'a> {
    pub fn new(projection: &'a Projection, within: &'a (dyn Fn(u128) -> bool + Send + Sync)) -> Self {
        let (parts, dots, ends) = (HashMap::new(), BTreeMap::new(), Ends::new());
        Self { projection, within, events: 0, unfoldable: 0, parts, dots, ends }
    }

    fn fold(&mut self, event: &str) {
        self.events += 1;
        let Ok(header) = decode::header(event) else {
            self.unfoldable += 1;
            return;
        };
        let Ok(joins) = self.projection.fold(&header) else {
            self.unfoldable += 1;
            return;
        };
        for join in joins.unwrap_or_default() {
            if let Some((name, part)) = part_of(&join, &header) {
                if (self.within)(name) {
                    if let Join::Step(Step { version, .. }) = join {
                        let end = self.ends.entry((name, version.epoch)).or_default();
                        *end = version.seq.max(*end);
                    }
                    let known = self.parts.entry(name).or_insert(part);
                    if known.version < part.version {
                        *known = part;
                    }
                }
            } else if let Join::Dot(dot) = join {
                self.dots.entry((dot.key.clone(), dot.set())).or_default().insert(dot.seq, dot);
            }
        }
    }
}

#[async_trait]
impl Sink for Expected<'_> {
    async fn take(&mut self, events: Vec<Arc<str>>) -> Result<(), SourceError> {
        for event in &events {
            self.fold(event);
        }
        Ok(())
    }
}

/// The part that a join writes as a whole, and what it writes.
fn part_of(join: &Join, header: &Header<'_>) -> Option<(u128, Part)> {
    match join {
        Join::Put(put) => {
            let ended = matches!(put.body, Body::Tombstone).then(|| header.time.as_second());
            let part =
                Part { version: put.version.packed(), digest: content::of_put(put), event: None, ended };
            Some((content::name(&put.key, put.source), part))
        }
        Join::Contribution(it) => {
            let digest = content::of_contribution(it);
            let part = Part { version: it.version.packed(), digest, event: None, ended: None };
            Some((content::name(&it.child(), None), part))
        }
        Join::Step(step) => {
            let event = Some(content::of_event(&step.hash));
            let part = Part { version: step.version.packed(), digest: 0, event, ended: None };
            Some((content::name(&step.key, None), part))
        }
        Join::Dot(_) => None,
    }
}

/// The item that a join writes as a whole, and the source's part of it.
fn item_of(join: &Join) -> (Key, Option<&'static str>) {
    match join {
        Join::Put(put) => (put.key.clone(), put.source),
        Join::Dot(dot) => (dot.key.clone(), dot.source),
        Join::Contribution(it) => (it.child(), None),
        Join::Step(step) => (step.key.clone(), None),
    }
}

/// Reads the sources once more, to name what is missing and to keep the events that would make it right.
pub(super) struct Naming<'a> {
    pub projection: &'a Projection,
    /// Parts that are stored in an older version, or not at all.
    pub parts: Parts,
    /// Changes that were never counted.
    pub missing: BTreeSet<(Key, String, u64)>,
    pub stored: &'a HashMap<u128, Behind>,
    pub findings: Vec<Finding>,
    pub drifted: u64,
    /// The items among the parts that are folded in order.
    lacking: HashMap<u128, Lacking>,
    repairs: usize,
}

/// The events that an item lacks, by version, and which finding tells of it.
type Lacking = (BTreeMap<Version, Arc<str>>, Option<usize>);

/// What is stored of a part, and isn't what it should be as yet.
#[derive(Clone, Debug)]
pub(super) struct Behind {
    /// Its version; of an item that lacks changes of an earlier epoch, the last that it has of that.
    pub version: Version,
    /// How far it has come, where it is folded in order.
    pub reach: Reach,
}

impl<'a> Naming<'a> {
    pub fn new(
        projection: &'a Projection,
        parts: Parts,
        missing: BTreeSet<(Key, String, u64)>,
        stored: &'a HashMap<u128, Behind>,
    ) -> Self {
        let ordered = parts.iter().filter(|(_, part)| part.event.is_some());
        let lacking = ordered.map(|(name, _)| (*name, (BTreeMap::new(), None))).collect();
        Self { projection, parts, missing, stored, findings: Vec::new(), drifted: 0, lacking, repairs: 0 }
    }

    /// An item that is folded in order is made right by all events that it lacks, not by the last alone.
    pub fn finish(&mut self) {
        for (events, finding) in std::mem::take(&mut self.lacking).into_values() {
            if let Some(finding) = finding.and_then(|at| self.findings.get_mut(at)) {
                finding.envelopes = events.into_values().collect();
            }
        }
    }

    fn lacks(&mut self, join: &Join, event: &Arc<str>) {
        let Join::Step(step) = join else { return };
        let name = content::name(&step.key, None);
        let is_stored = self.stored.get(&name).is_some_and(|it| it.reach.contains(step.version));
        let Some((events, _)) = self.lacking.get_mut(&name) else { return };
        if !is_stored
            && self.repairs < MAX_REPAIRS
            && events.insert(step.version, Arc::clone(event)).is_none()
        {
            self.repairs += 1;
        }
    }

    fn name(&mut self, event: &Arc<str>) {
        let Ok(header) = decode::header(event) else { return };
        let Ok(Some(joins)) = self.projection.fold(&header) else { return };
        for join in joins {
            self.lacks(&join, event);
            let drift = match (part_of(&join, &header), &join) {
                (Some((name, part)), _) => {
                    // A duplicate in the source finds nothing left to name.
                    if self.parts.get(&name).is_none_or(|it| it.version != part.version) {
                        continue;
                    }
                    self.parts.remove(&name);
                    let expected = Version::unpacked(part.version);
                    match self.stored.get(&name) {
                        None => Drift::Lost { expected },
                        Some(stored) => Drift::Stale { stored: stored.version, expected },
                    }
                }
                (None, Join::Dot(dot)) if self.missing.remove(&(dot.key.clone(), dot.set(), dot.seq)) => {
                    Drift::Lost { expected: header.version }
                }
                _ => continue,
            };
            self.drifted += 1;
            if self.findings.len() < MAX_FINDINGS {
                let (key, part) = item_of(&join);
                if let Join::Step(_) = &join
                    && let Some((_, finding)) = self.lacking.get_mut(&content::name(&key, None))
                {
                    *finding = Some(self.findings.len());
                }
                self.findings.push(Finding {
                    drift,
                    item: key.to_string(),
                    part: part.map(str::to_owned),
                    event: Some(format!("{}.{} {}", header.domain, header.name, header.id)),
                    envelopes: vec![Arc::clone(event)],
                });
            }
        }
    }
}

#[async_trait]
impl Sink for Naming<'_> {
    async fn take(&mut self, events: Vec<Arc<str>>) -> Result<(), SourceError> {
        for event in &events {
            self.name(event);
        }
        Ok(())
    }
}
