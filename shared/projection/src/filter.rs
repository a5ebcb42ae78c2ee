//! What a warm container remembers of what it wrote: key → version, nothing else.

use crate::key::Key;
use crate::store::Outcome;
use contracts::Version;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// How many keys are remembered; past that the filter starts afresh.
const CAPACITY: usize = 65_536;

/// An item, or one source's part of it.
type Slot = (Key, Option<&'static str>);

/// A sound negative filter: what it knows to be older or the same as what is stored needs no write. What it
/// doesn't know is written, so that forgetting is never wrong, only dearer.
#[derive(Debug, Default)]
pub struct Filter {
    known: Mutex<HashMap<Slot, (Version, String)>>,
}

impl Filter {
    /// What would come of a write, where that is known.
    pub fn outcome(
        &self,
        key: &Key,
        source: Option<&'static str>,
        version: Version,
        hash: &str,
    ) -> Option<Outcome> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (stored, stored_hash) = known.get(&(key.clone(), source))?;
        match stored.cmp(&version) {
            std::cmp::Ordering::Greater => Some(Outcome::Stale(Some(*stored))),
            std::cmp::Ordering::Equal if stored_hash == hash => Some(Outcome::Duplicate),
            _ => None,
        }
    }

    /// Forgets a key.
    pub fn forget(&self, key: &Key, source: Option<&'static str>) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(&(key.clone(), source));
    }

    /// Remembers what is stored now. Call it only after the store has said so.
    pub fn learn(&self, key: &Key, source: Option<&'static str>, version: Version, hash: &str) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= CAPACITY {
            known.clear();
        }
        let entry = known.entry((key.clone(), source)).or_insert_with(|| (version, hash.to_owned()));
        if entry.0 < version {
            *entry = (version, hash.to_owned());
        }
    }
}
