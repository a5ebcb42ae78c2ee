//! A batch's joins, folded by key before anything is written: what is coalesced away costs nothing.

use crate::join::{Contribution, Dot, Join, Put, Step};
use crate::key::Key;
use std::collections::BTreeMap;

/// The joins of a batch that one write carries, with the messages that depend on it.
#[derive(Debug)]
pub enum Work {
    /// The greatest version of one item, or of one source's part of it.
    Put {
        /// What is written.
        put: Put,
        /// The messages whose version this is.
        messages: Vec<usize>,
        /// The messages that carried an older version: their fate is the write's.
        older: Vec<usize>,
    },
    /// Changes of one item, one source and one epoch.
    Add {
        /// What is added, with each change's message.
        dots: Vec<(Dot, usize)>,
    },
    /// Contributions to one ledger, at most one of each contributor.
    Contribute {
        /// What is contributed: each with the messages whose version it is, and those with an older one.
        contributions: Vec<(Contribution, Vec<usize>, Vec<usize>)>,
    },
    /// Changes of one item that have an order.
    Step {
        /// The item.
        key: Key,
        /// The changes, as they came, each with its message.
        steps: Vec<(Step, usize)>,
    },
}

/// A message whose version another message of the same batch carries with other content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fork(pub usize);

/// An item, or one source's part of it.
type Slot = (Key, Option<&'static str>);

/// Folds the joins of a batch, each given with the index of its message.
pub fn coalesce(joins: impl IntoIterator<Item = (usize, Join)>) -> (Vec<Work>, Vec<Fork>) {
    let mut puts: BTreeMap<Slot, Newest<Put>> = BTreeMap::new();
    let mut dots: BTreeMap<(Key, String), Vec<(Dot, usize)>> = BTreeMap::new();
    let mut ledgers: BTreeMap<String, BTreeMap<String, Newest<Contribution>>> = BTreeMap::new();
    let mut steps: BTreeMap<Key, Vec<(Step, usize)>> = BTreeMap::new();
    let mut forks = Vec::new();
    for (message, join) in joins {
        match join {
            Join::Put(put) => {
                let slot = puts.entry((put.key.clone(), put.source));
                Newest::join(slot.or_default(), put, message, &mut forks);
            }
            Join::Dot(dot) => dots.entry((dot.key.clone(), dot.set())).or_default().push((dot, message)),
            Join::Contribution(contribution) => {
                let ledger = ledgers.entry(contribution.ledger.clone()).or_default();
                let slot = ledger.entry(contribution.subject.clone()).or_default();
                Newest::join(slot, contribution, message, &mut forks);
            }
            Join::Step(step) => steps.entry(step.key.clone()).or_default().push((step, message)),
        }
    }
    let mut work = Vec::with_capacity(puts.len() + dots.len() + ledgers.len() + steps.len());
    for newest in puts.into_values() {
        let Newest { value: Some(put), messages, older } = newest else { continue };
        work.push(Work::Put { put, messages, older });
    }
    work.extend(dots.into_values().map(|dots| Work::Add { dots }));
    for ledger in ledgers.into_values() {
        let taken = |it: Newest<Contribution>| Some((it.value?, it.messages, it.older));
        work.push(Work::Contribute { contributions: ledger.into_values().filter_map(taken).collect() });
    }
    work.extend(steps.into_iter().map(|(key, steps)| Work::Step { key, steps }));
    (work, forks)
}

struct Newest<T> {
    value: Option<T>,
    messages: Vec<usize>,
    older: Vec<usize>,
}

impl<T> Default for Newest<T> {
    fn default() -> Self {
        Self { value: None, messages: Vec::new(), older: Vec::new() }
    }
}

trait Versioned {
    fn version(&self) -> contracts::Version;
    fn hash(&self) -> &str;
}

impl Versioned for Put {
    fn version(&self) -> contracts::Version {
        self.version
    }
    fn hash(&self) -> &str {
        &self.hash
    }
}

impl Versioned for Contribution {
    fn version(&self) -> contracts::Version {
        self.version
    }
    fn hash(&self) -> &str {
        &self.hash
    }
}

impl<T: Versioned> Newest<T> {
    fn join(&mut self, value: T, message: usize, forks: &mut Vec<Fork>) {
        let Some(present) = &self.value else {
            self.value = Some(value);
            self.messages.push(message);
            return;
        };
        match value.version().cmp(&present.version()) {
            std::cmp::Ordering::Less => self.older.push(message),
            std::cmp::Ordering::Equal if value.hash() == present.hash() => self.messages.push(message),
            std::cmp::Ordering::Equal => forks.push(Fork(message)),
            std::cmp::Ordering::Greater => {
                self.older.append(&mut self.messages);
                self.messages.push(message);
                self.value = Some(value);
            }
        }
    }
}
