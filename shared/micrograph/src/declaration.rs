//! The declaration of a micrograph: what it owns, consumes, decides, publishes and serves, said once.

use crate::aggregate::{Aggregate, Decide};
use crate::app::App;
use crate::commands::{Decider, decider};
use crate::subgraph::Subgraph;
use contracts::{Command, Event, EventKind, Kind};
use projection::{Generation, Projection, Table};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A bounded context, declared.
#[derive(Clone)]
pub struct Micrograph {
    pub(crate) name: &'static str,
    pub(crate) owns: Vec<&'static str>,
    pub(crate) consumes: Vec<Subscription>,
    pub(crate) decides: BTreeMap<&'static str, BTreeMap<u16, Arc<Decider>>>,
    pub(crate) publishes: Vec<Published>,
    pub(crate) topic: Option<&'static str>,
    pub(crate) serves: Option<fn(&Arc<App>) -> Subgraph>,
}

/// A projection, and the way by which events come to it.
#[derive(Clone, Debug)]
pub(crate) struct Subscription {
    pub projection: Projection,
    /// The same projection with the folds of earlier versions, newest first.
    pub earlier: Vec<Projection>,
    /// The SNS topics that bring its events; none where the bus does.
    pub topics: Vec<&'static str>,
}

impl Subscription {
    fn new(projection: Projection, topics: Vec<&'static str>) -> Self {
        Self { projection, earlier: Vec::new(), topics }
    }

    /// The folds of all versions that this build has, the newest first.
    pub fn versions(&self) -> impl Iterator<Item = &Projection> {
        std::iter::once(&self.projection).chain(&self.earlier)
    }
}

/// An event that a micrograph publishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Published {
    pub name: &'static str,
    pub major: u16,
    pub kind: Kind,
}

impl Micrograph {
    /// A micrograph of this name, in lower case; the name is its domain too.
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            owns: Vec::new(),
            consumes: Vec::new(),
            decides: BTreeMap::new(),
            publishes: Vec::new(),
            topic: None,
            serves: None,
        }
    }

    /// Owns an aggregate: a table with a stream, from which its events are published.
    #[must_use]
    pub fn owns<A: Aggregate>(mut self) -> Self {
        self.owns.push(A::NAME);
        self
    }

    /// Hydrates a projection with the events of the bus that it folds, by a queue of its own.
    #[must_use]
    pub fn consumes(mut self, projection: Projection) -> Self {
        self.consumes.push(Subscription::new(projection, Vec::new()));
        self
    }

    /// Hydrates a projection with the events of SNS topics, by a queue that is subscribed to each of them.
    #[must_use]
    pub fn consumes_topics(mut self, topics: &[&'static str], projection: Projection) -> Self {
        self.consumes.push(Subscription::new(projection, topics.to_vec()));
        self
    }

    /// Keeps the folds of an earlier version of a projection that it consumes, so that its generation stays fed until
    /// the new one has proved itself.
    ///
    /// # Panics
    /// Where no later version of a projection of that name is consumed: a mistake in its code.
    #[must_use]
    pub fn keeps(mut self, earlier: Projection) -> Self {
        let later = |it: &&mut Subscription| {
            it.projection.name() == earlier.name() && it.projection.version() > earlier.version()
        };
        let subscription = self.consumes.iter_mut().find(later);
        subscription
            .expect("an earlier version is kept of a projection that is consumed")
            .earlier
            .push(earlier);
        self
    }

    /// Decides a command, in one major version, by an aggregate that it owns.
    #[must_use]
    pub fn decides<A: Decide<C>, C: Command>(mut self) -> Self {
        self.decides.entry(C::NAME).or_default().insert(C::MAJOR, Arc::new(decider::<A, C>()));
        self
    }

    /// Publishes an event.
    #[must_use]
    pub fn publishes<E: Event>(mut self) -> Self {
        self.publishes.push(Published { name: E::NAME, major: E::MAJOR, kind: <E::Kind as EventKind>::KIND });
        self
    }

    /// Fans its events out by an SNS topic too.
    #[must_use]
    pub fn fans_out(mut self, topic: &'static str) -> Self {
        self.topic = Some(topic);
        self
    }

    /// Serves a subgraph.
    #[must_use]
    pub fn serves(mut self, subgraph: fn(&Arc<App>) -> Subgraph) -> Self {
        self.serves = Some(subgraph);
        self
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The projections that it hydrates.
    pub fn projections(&self) -> impl Iterator<Item = &Projection> {
        self.consumes.iter().map(|it| &it.projection)
    }

    /// The subscription of a projection.
    pub(crate) fn subscription(&self, projection: &str) -> Option<&Subscription> {
        self.consumes.iter().find(|it| it.projection.name() == projection)
    }

    /// The folds by which a generation is fed; none where this build has no folds of its version.
    pub(crate) fn folds(&self, projection: &str, generation: Generation) -> Option<&Projection> {
        self.subscription(projection)?.versions().find(|it| it.version() == generation.version)
    }

    /// The folds and the generation behind a handler's name, `consumer.<projection>-<generation>`; later builds of a
    /// generation than the deployed one too.
    pub(crate) fn consumer(&self, handler: &str) -> Option<(&Projection, Generation)> {
        let named = handler.strip_prefix("consumer.")?;
        self.projections().find_map(|it| {
            let generation = named.strip_prefix(it.name())?.strip_prefix('-')?.parse().ok()?;
            Some((self.folds(it.name(), generation)?, generation))
        })
    }

    /// The table that says which generation of each projection is read, and how far each is with what somebody waits
    /// for, before any prefix of the deployment.
    pub(crate) fn generations_table(&self) -> Table {
        Table::new(format!("{}-generations", self.name))
    }

    /// The table that says where its aggregates are at home, before any prefix of the deployment.
    pub(crate) fn homes_table(&self) -> Table {
        Table { ttl: None, ..Table::new(format!("{}-homes", self.name)) }
    }

    /// The table of an aggregate that it owns, before any prefix of the deployment.
    pub(crate) fn aggregate_table(&self, aggregate: &str) -> Table {
        Table::new(format!("{}-{aggregate}", self.name)).streamed()
    }

    /// The table of its quarantine, before any prefix of the deployment.
    pub(crate) fn quarantine_table(&self) -> Table {
        projection::quarantine::table(format!("{}-quarantine", self.name))
    }
}
