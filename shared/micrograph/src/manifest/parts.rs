//! What a generation of a projection needs of its surroundings.

use super::{Function, Queue, Relation, Rule, Target, TopicSubscription, Trigger, WINDOW};
use crate::declaration::{Micrograph, Subscription};
use contracts::event;
use projection::{Generation, Projection, Table};
use serde_json::json;
use std::collections::BTreeSet;

/// What a generation of a projection needs of its surroundings.
#[derive(Clone, Debug, PartialEq)]
pub struct Parts {
    /// Where it is stored.
    pub table: Table,
    /// From which it is fed.
    pub queue: Queue,
    /// What reaches the queue.
    pub feed: Feed,
    /// Its consumer.
    pub function: Function,
}

/// What reaches the queue of a projection.
#[derive(Clone, Debug, PartialEq)]
pub enum Feed {
    /// Events of the bus.
    Rule(Rule),
    /// Events of SNS topics.
    Topics(Vec<TopicSubscription>),
}

impl Parts {
    pub(crate) fn of(
        micrograph: &Micrograph,
        subscription: &Subscription,
        folds: &Projection,
        generation: Generation,
    ) -> Self {
        let table = folds.table(micrograph.name, generation);
        let queue = Queue::new(&table.name, folds.name(), false);
        let sources: BTreeSet<String> = folds.consumes().map(|(domain, _)| event::source(domain)).collect();
        let names: BTreeSet<&str> = folds.consumes().map(|(_, name)| name).collect();
        let pattern = json!({ "source": sources, "detail-type": names });
        let feed = if subscription.topics.is_empty() {
            let (name, target) = (queue.name.clone(), Target::Queue(queue.name.clone()));
            Feed::Rule(Rule { name, pattern, target })
        } else {
            let subscribed = |topic: &&'static str| TopicSubscription {
                topic,
                queue: queue.name.clone(),
                raw_delivery: false,
                filter_policy: pattern.clone(),
            };
            Feed::Topics(subscription.topics.iter().map(subscribed).collect())
        };
        let own = (!table.relational).then(|| table.name.clone());
        let beside = [micrograph.quarantine_table().name, micrograph.generations_table().name];
        let tables: Vec<String> = own.into_iter().chain(beside).collect();
        let function = Function {
            name: table.name.clone(),
            handler: generation.handler(folds.name()),
            trigger: Trigger::Queue {
                queue: queue.name.clone(),
                batch_size: 1_000,
                window_seconds: WINDOW,
                maximum_concurrency: 2,
            },
            reads: tables.iter().cloned().chain(pulled(micrograph, folds)).collect(),
            writes: tables,
            // What changed, for caches.
            puts_events: true,
            relational: table.relational.then_some(Relation::Owns),
            ..Function::of(micrograph, "")
        };
        Self { table, queue, feed, function }
    }
}

/// The tables of aggregates of its own whose state a projection goes on from, where changes never come.
fn pulled(micrograph: &Micrograph, folds: &Projection) -> impl Iterator<Item = String> {
    let own = folds
        .pulls()
        .filter(|(domain, aggregate)| *domain == micrograph.name && micrograph.owns.contains(aggregate));
    own.map(|(_, aggregate)| micrograph.aggregate_table(aggregate).name)
}
