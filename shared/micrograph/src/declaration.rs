//! The declaration of a micrograph: what it owns, consumes, decides, publishes and serves, said once.

use crate::aggregate::{Aggregate, Decide};
use crate::app::App;
use crate::commands::{Decider, decider};
use crate::subgraph::Subgraph;
use contracts::{Command, Event, EventKind, Kind};
use projection::{Projection, Table};
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
    pub topic: Option<&'static str>,
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
        self.consumes.push(Subscription { projection, topic: None });
        self
    }

    /// Hydrates a projection with the events of an SNS topic, by a queue that is subscribed to it.
    #[must_use]
    pub fn consumes_topic(mut self, topic: &'static str, projection: Projection) -> Self {
        self.consumes.push(Subscription { projection, topic: Some(topic) });
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

    /// The table of an aggregate that it owns, before any prefix of the deployment.
    pub(crate) fn aggregate_table(&self, aggregate: &str) -> Table {
        Table::new(format!("{}-{aggregate}", self.name)).streamed()
    }

    /// The table of its quarantine, before any prefix of the deployment.
    pub(crate) fn quarantine_table(&self) -> Table {
        projection::quarantine::table(format!("{}-quarantine", self.name))
    }
}
