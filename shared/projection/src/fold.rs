//! A projection: pure folds from events to joins, told apart by the kind of event at compile time.

use crate::generation::Generation;
use crate::join::{self, Amount, Body, Contribution, Dot, Join, Put, Row, Step};
use crate::json;
use crate::key::Key;
use crate::snapshot::Pulled;
use crate::table::{Index, Table};
use contracts::{
    Deleted, Delta, Envelope, Event, EventKind, Extra, Header, Kind, State, Upcast, Version, digest,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_dynamo::Item;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A read model: what it is called, which events it folds, and how.
///
/// Folds are plain functions: no IO, no clock, no randomness. The keys that a fold of State names must follow
/// from what never changes of the aggregate, since a key that a later version no longer names isn't told.
#[derive(Clone)]
pub struct Projection {
    name: &'static str,
    version: u32,
    indexes: Vec<Index>,
    relational: bool,
    folds: BTreeMap<(&'static str, &'static str), Vec<Fold>>,
    snapshots: BTreeMap<&'static str, Pulled>,
}

#[derive(Clone)]
struct Fold {
    major: u16,
    /// The earlier major versions that it reads as its own.
    earlier: Vec<u16>,
    kind: Kind,
    join: JoinKind,
    run: Arc<Run>,
}

/// The kind of a join: what applying it takes follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum JoinKind {
    /// An item is written where its version is smaller.
    Put,
    /// The same, with a tombstone.
    Tombstone,
    /// A change is added to a total that remembers it.
    Dot,
    /// A contributor's item and the totals that it changes are written in one transaction.
    Contribution,
    /// The next view is made from the present one, in the order of the aggregate.
    Step,
}

type Run = dyn Fn(&Header<'_>) -> Result<Vec<Join>, FoldError> + Send + Sync;

/// Why an event could not be folded; each is for the quarantine.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FoldError {
    /// No fold is registered for this major version, though there is one for another.
    #[error("major version {major} of {domain}.{name} is not known here: known are {known:?}")]
    UnknownMajor {
        /// The domain of the event.
        domain: String,
        /// The name of the event.
        name: String,
        /// Its major version.
        major: u16,
        /// The major versions that this build folds.
        known: Vec<u16>,
    },
    /// The data isn't what its type says.
    #[error("{0}")]
    SchemaViolation(String),
    /// The fold refused it.
    #[error("{0}")]
    Rejected(String),
}

/// A fold's refusal: why the event can't be part of the view.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Rejected(pub String);

/// What a fold gives: any number of rows, changes or contributions, or a refusal.
#[derive(Clone, Debug)]
pub struct Folded<T>(Result<Vec<T>, Rejected>);

impl<T> From<T> for Folded<T> {
    fn from(one: T) -> Self {
        Self(Ok(vec![one]))
    }
}

impl<T> From<Vec<T>> for Folded<T> {
    fn from(all: Vec<T>) -> Self {
        Self(Ok(all))
    }
}

impl<T> From<Result<Vec<T>, Rejected>> for Folded<T> {
    fn from(result: Result<Vec<T>, Rejected>) -> Self {
        Self(result)
    }
}

impl Projection {
    /// A projection without folds. Raise `version` when a fold changes what it gives for an event.
    pub fn new(name: &'static str, version: u32) -> Self {
        Self {
            name,
            version,
            indexes: Vec::new(),
            relational: false,
            folds: BTreeMap::new(),
            snapshots: BTreeMap::new(),
        }
    }

    /// Adds a secondary index to its table.
    #[must_use]
    pub fn index(mut self, index: Index) -> Self {
        self.indexes.push(index);
        self
    }

    /// Keeps it in the relational store, for questions in SQL. The folds are the same.
    #[must_use]
    pub fn relational(mut self) -> Self {
        self.relational = true;
        self
    }

    /// Folds an event that carries state: the greatest version of each row wins.
    #[must_use]
    pub fn state<E, R>(self, fold: fn(&Envelope<E>) -> R) -> Self
    where
        E: Event<Kind = State>,
        R: Into<Folded<Row>> + 'static,
    {
        self.on::<E>(JoinKind::Put, move |envelope, hash| {
            let rows = fold(envelope).into().0?;
            rows.into_iter().map(|row| put(row, envelope.version, hash)).collect()
        })
    }

    /// Folds the end of an aggregate: tombstones for these keys.
    #[must_use]
    pub fn deleted<E, R>(self, fold: fn(&Envelope<E>) -> R) -> Self
    where
        E: Event<Kind = Deleted>,
        R: Into<Folded<Key>> + 'static,
    {
        self.gone(None, fold)
    }

    /// Folds the end of an aggregate that is one of several sources of these keys.
    #[must_use]
    pub fn deleted_source<E, R>(self, source: &'static str, fold: fn(&Envelope<E>) -> R) -> Self
    where
        E: Event<Kind = Deleted>,
        R: Into<Folded<Key>> + 'static,
    {
        self.gone(Some(source), fold)
    }

    fn gone<E, R>(self, source: Option<&'static str>, fold: fn(&Envelope<E>) -> R) -> Self
    where
        E: Event<Kind = Deleted>,
        R: Into<Folded<Key>> + 'static,
    {
        self.on::<E>(JoinKind::Tombstone, move |envelope, hash| {
            let tombstone = |key| {
                let hash = hash.to_owned();
                Join::Put(Put { key, source, version: envelope.version, hash, body: Body::Tombstone })
            };
            Ok(fold(envelope).into().0?.into_iter().map(tombstone).collect())
        })
    }

    /// Folds a change: each sequence number of the aggregate counts once (a dotted set).
    #[must_use]
    pub fn delta<E, R>(self, fold: fn(&Envelope<E>) -> R) -> Self
    where
        E: Event<Kind = Delta>,
        R: Into<Folded<Dot>> + 'static,
    {
        self.on::<E>(JoinKind::Dot, move |envelope, _| {
            let Version { epoch, seq } = envelope.version;
            let counted = |dot| Join::Dot(Dot { seq, epoch, base: envelope.epoch_base, ..dot });
            Ok(fold(envelope).into().0?.into_iter().map(counted).collect())
        })
    }

    /// Folds state into totals over many aggregates: what an aggregate contributes replaces what it contributed
    /// before (a contribution ledger with materialised totals).
    #[must_use]
    pub fn contribution<E, R>(self, fold: fn(&Envelope<E>) -> R) -> Self
    where
        E: Event<Kind = State>,
        R: Into<Folded<Contribution>> + 'static,
    {
        self.on::<E>(JoinKind::Contribution, move |envelope, hash| {
            let signed = |(ledger, amounts)| {
                Join::Contribution(Contribution {
                    ledger,
                    subject: envelope.subject.clone(),
                    version: envelope.version,
                    hash: hash.to_owned(),
                    amounts,
                })
            };
            Ok(by_ledger(fold(envelope).into().0?).into_iter().map(signed).collect())
        })
    }

    /// Folds changes that don't commute, in the order of their aggregate's versions: `step` makes the next view out of the
    /// present one, none before the first change. A change that comes too early waits for those before it. Where two regions
    /// each took themselves for the aggregate's home, what the earlier one accepted comes before what the later one did.
    ///
    /// The key follows from what never changes of the aggregate, and no other aggregate has the same. Every change that
    /// the aggregate publishes must be folded by a step of the same item.
    #[must_use]
    pub fn ordered<E, V>(
        self,
        key: fn(&Envelope<E>) -> Key,
        step: fn(Option<V>, &Envelope<E>) -> Result<V, Rejected>,
    ) -> Self
    where
        E: Event<Kind = Delta>,
        V: Serialize + DeserializeOwned + 'static,
    {
        self.on_owned::<E>(JoinKind::Step, move |envelope, hash| {
            let (key, version, subject) = (key(&envelope), envelope.version, envelope.subject.clone());
            let base = envelope.epoch_base;
            let next = move |view: Option<&Item>| {
                let unreadable = |error: serde_dynamo::Error| {
                    let why = json::without_values(&error.to_string());
                    FoldError::Rejected(format!(
                        "the view as it is stored can't be read by this build: {why}"
                    ))
                };
                let view =
                    view.map(|it| serde_dynamo::from_item(it.clone())).transpose().map_err(unreadable)?;
                join::attributes(&step(view, &envelope)?).map_err(FoldError::Rejected)
            };
            Ok(vec![Join::Step(Step {
                key,
                domain: E::DOMAIN,
                subject,
                version,
                base,
                hash,
                next: Arc::new(next),
            })])
        })
    }

    /// How the view of an ordered fold follows from what its source keeps of an aggregate: where changes of a domain
    /// don't come within the limit, the item goes on from there. Without it, it waits until they come.
    ///
    /// `aggregate` is the name by which the source keeps it. What can't be known from its state, such as what led to it,
    /// the view must say that it doesn't know.
    #[must_use]
    pub fn snapshot<E, S, V>(mut self, aggregate: &'static str, view: fn(&S) -> V) -> Self
    where
        E: Event<Kind = Delta>,
        S: DeserializeOwned + 'static,
        V: Serialize + 'static,
    {
        self.snapshots.insert(E::DOMAIN, Pulled::new(aggregate, view));
        self
    }

    fn on<E: Event>(
        self,
        join: JoinKind,
        joins: impl Fn(&Envelope<E>, &str) -> Result<Vec<Join>, FoldError> + Send + Sync + 'static,
    ) -> Self {
        self.on_owned::<E>(join, move |envelope, hash| joins(&envelope, &hash))
    }

    fn on_owned<E: Event>(
        mut self,
        join: JoinKind,
        joins: impl Fn(Envelope<E>, String) -> Result<Vec<Join>, FoldError> + Send + Sync + 'static,
    ) -> Self {
        let upcasts = E::upcasts();
        let earlier = upcasts.majors().collect();
        let run = move |header: &Header<'_>| {
            let (envelope, hash) = decode::<E>(header, &upcasts)?;
            joins(envelope, hash)
        };
        let kind = <E::Kind as EventKind>::KIND;
        let fold = Fold { major: E::MAJOR, earlier, kind, join, run: Arc::new(run) };
        self.folds.entry((E::DOMAIN, E::NAME)).or_default().push(fold);
        self
    }

    /// Its name, unique within its micrograph.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The version of its folds; another one is another generation of its table.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The generation that is deployed with these folds.
    pub fn generation(&self) -> Generation {
        Generation::deployed(self.version)
    }

    /// The table of a generation with these folds.
    pub fn table(&self, micrograph: &str, generation: Generation) -> Table {
        let table = Table::new(generation.name(micrograph, self.name));
        Table { indexes: self.indexes.clone(), relational: self.relational, ..table }
    }

    /// Whether it is kept in the relational store.
    pub fn is_relational(&self) -> bool {
        self.relational
    }

    /// The indexes of its table.
    pub fn indexes(&self) -> &[Index] {
        &self.indexes
    }

    /// The events that it folds, as (domain, name), in order.
    pub fn consumes(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.folds.keys().copied()
    }

    /// What it pulls from its sources where changes don't come: domains, each with the name of the aggregate.
    pub fn pulls(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.snapshots.iter().map(|(domain, pulled)| (*domain, pulled.aggregate))
    }

    pub(crate) fn pulled(&self, domain: &str) -> Option<&Pulled> {
        self.snapshots.get(domain)
    }

    /// The major versions of an event that it folds: its own, and those that its upcasters read.
    pub fn majors(&self, domain: &str, name: &str) -> BTreeSet<u16> {
        let folds =
            self.folds.iter().filter(|(event, _)| **event == (domain, name)).flat_map(|(_, folds)| folds);
        folds.flat_map(|fold| fold.earlier.iter().copied().chain([fold.major])).collect()
    }

    /// The kinds of join that an event of this domain and name brings.
    pub fn joins(&self, domain: &str, name: &str) -> BTreeSet<JoinKind> {
        self.folds.get(&(domain, name)).into_iter().flatten().map(|fold| fold.join).collect()
    }

    /// The joins that an event brings; none where the projection doesn't fold this type of event, or folds another of
    /// the major versions in which it was published.
    pub fn fold(&self, header: &Header<'_>) -> Result<Option<Vec<Join>>, FoldError> {
        let Some(folds) = self.folds.get(&(header.domain.as_ref(), header.name.as_ref())) else {
            return Ok(None);
        };
        let published = || header.also_majors.iter().chain([&header.major]).copied();
        let own = |major: u16| folds.iter().any(|fold| fold.major == major);
        let earlier = |major: u16| folds.iter().any(|fold| fold.earlier.contains(&major));
        let taken =
            published().filter(|it| own(*it)).max().or_else(|| published().filter(|it| earlier(*it)).max());
        if taken.is_some_and(|taken| taken != header.major) {
            return Ok(None);
        }
        let by_itself = own(header.major);
        let reads = |fold: &&Fold| {
            if by_itself { fold.major == header.major } else { fold.earlier.contains(&header.major) }
        };
        let matching: Vec<&Fold> = folds.iter().filter(reads).collect();
        if matching.is_empty() {
            return Err(FoldError::UnknownMajor {
                domain: header.domain.to_string(),
                name: header.name.to_string(),
                major: header.major,
                known: self.majors(&header.domain, &header.name).into_iter().collect(),
            });
        }
        let mut joins = Vec::new();
        for fold in matching {
            if fold.kind != header.kind {
                let (is, says) = (fold.kind, header.kind);
                return Err(FoldError::SchemaViolation(format!(
                    "the event is a {is:?}, its envelope says {says:?}"
                )));
            }
            joins.extend((fold.run)(header)?);
        }
        Ok(Some(joins))
    }
}

impl std::fmt::Debug for Projection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let folds: Vec<_> = self.folds.keys().collect();
        f.debug_struct("Projection").field("name", &self.name).field("folds", &folds).finish_non_exhaustive()
    }
}

impl From<Rejected> for FoldError {
    fn from(rejected: Rejected) -> Self {
        Self::Rejected(rejected.0)
    }
}

fn put(row: Row, version: Version, hash: &str) -> Result<Join, FoldError> {
    let view = row.view.map_err(FoldError::Rejected)?;
    let Row { key, source, .. } = row;
    Ok(Join::Put(Put { key, source, version, hash: hash.to_owned(), body: Body::View(view) }))
}

/// An aggregate has one child item in a ledger: what a fold says of one ledger in several parts is one contribution.
fn by_ledger(contributions: Vec<Contribution>) -> BTreeMap<String, Vec<Amount>> {
    let mut ledgers: BTreeMap<String, Vec<Amount>> = BTreeMap::new();
    for Contribution { ledger, amounts, .. } in contributions {
        let present = ledgers.entry(ledger).or_default();
        for amount in amounts {
            match present.iter_mut().find(|it| it.total == amount.total) {
                None => present.push(amount),
                Some(it) => {
                    it.set.extend(amount.set);
                    amount
                        .add
                        .into_iter()
                        .for_each(|(name, value)| *it.add.entry(name).or_default() += value);
                }
            }
        }
    }
    ledgers
}

fn decode<E: Event>(header: &Header<'_>, upcasts: &Upcast<E>) -> Result<(Envelope<E>, String), FoldError> {
    let violation = |error: serde_json::Error| FoldError::SchemaViolation(json::describe(&error));
    let value: Value = serde_json::from_str(header.data.get()).map_err(violation)?;
    let data = upcasts.read(header.major, &value).unwrap_or_else(|| E::deserialize(&value));
    let data = data.map_err(violation)?;
    if data.subject() != header.subject {
        let (says, is) = (&header.subject, data.subject());
        return Err(FoldError::SchemaViolation(format!(
            "the envelope's subject is `{says}`, the data's `{is}`"
        )));
    }
    if header.version.seq == 0 || header.version.seq > Version::MAX_SEQ {
        return Err(FoldError::SchemaViolation(format!("a sequence number can't be {}", header.version.seq)));
    }
    let envelope = Envelope {
        id: header.id.to_string(),
        domain: header.domain.to_string(),
        name: header.name.to_string(),
        major: header.major,
        also_majors: header.also_majors.clone(),
        subject: header.subject.to_string(),
        version: header.version,
        index: 0,
        epoch_base: header.epoch_base,
        region: header.region.to_string(),
        time: header.time,
        kind: header.kind,
        correlation_id: header.correlation_id.to_string(),
        causation_id: None,
        traceparent: header.traceparent.as_ref().map(ToString::to_string),
        data,
        extra: Extra::default(),
    };
    Ok((envelope, digest::of_json(&value)))
}
