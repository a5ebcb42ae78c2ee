//! What the suite did: counted while it runs, told at the end of an import.

use projection::consumer::Report;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// What one function did.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Work {
    /// Invocations.
    pub batches: u64,
    /// Messages or records.
    pub messages: u64,
    /// Messages whose effect was stored.
    pub applied: u64,
    /// Messages that were older than what was stored.
    pub stale: u64,
    /// Messages whose effect was stored already.
    pub duplicate: u64,
    /// Messages that went to the quarantine.
    pub quarantined: u64,
    /// Messages that were given back.
    pub failed: u64,
    /// DynamoDB's write units.
    pub units: f64,
    /// Time spent, all invocations together.
    pub busy: Duration,
}

/// What every function did, by `<micrograph>.<handler>`.
#[derive(Debug, Default)]
pub struct Tally(Mutex<BTreeMap<String, Work>>);

impl Tally {
    /// Adds a consumer's report.
    pub fn consumed(&self, function: &str, report: &Report, busy: Duration) {
        self.add(function, |work| {
            work.messages += report.messages as u64;
            work.applied += report.applied as u64;
            work.stale += report.stale as u64;
            work.duplicate += report.duplicate as u64;
            work.quarantined += report.quarantined as u64;
            work.failed += report.failed.len() as u64;
            work.units += report.units;
            work.busy += busy;
        });
    }

    /// Adds an invocation of another function.
    pub fn invoked(&self, function: &str, messages: usize, busy: Duration) {
        self.add(function, |work| {
            work.messages += messages as u64;
            work.busy += busy;
        });
    }

    fn add(&self, function: &str, change: impl FnOnce(&mut Work)) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let work = match all.get_mut(function) {
            Some(work) => work,
            None => all.entry(function.to_owned()).or_default(),
        };
        work.batches += 1;
        change(work);
    }

    /// A copy of all.
    pub fn all(&self) -> BTreeMap<String, Work> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
