//! What is seen from outside: metrics by operation and by subgraph, and the log of slow operations.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use telemetry::metrics::{self, Metric, Unit};

const fn metric(name: &'static str, unit: Unit, meaning: &'static str) -> Metric {
    Metric { name, unit, meaning }
}

/// Operations answered.
pub const OPERATIONS: Metric = metric("GatewayOperations", Unit::Count, "Operations answered.");
/// Operations answered with an error.
pub const ERRORS: Metric = metric("GatewayErrors", Unit::Count, "Operations answered with an error.");
/// From a request to its answer.
pub const DURATION: Metric = metric("GatewayDuration", Unit::Milliseconds, "From a request to its answer.");
/// Planning an operation, where its plan was not kept.
pub const PLANNING: Metric =
    metric("GatewayPlanning", Unit::Milliseconds, "Planning an operation, where its plan was not kept.");
/// Bytes of answers, before they are compressed.
pub const BYTES: Metric =
    metric("GatewayResponseBytes", Unit::Bytes, "Bytes of answers, before they are compressed.");
/// Requests to subgraphs.
pub const SUBGRAPH_REQUESTS: Metric = metric("SubgraphRequests", Unit::Count, "Requests to subgraphs.");
/// Requests to subgraphs that were not answered, or with a status that is no success.
pub const SUBGRAPH_ERRORS: Metric = metric(
    "SubgraphErrors",
    Unit::Count,
    "Requests to subgraphs without an answer, or with a failing status.",
);
/// From a request to a subgraph to its answer.
pub const SUBGRAPH_DURATION: Metric =
    metric("SubgraphDuration", Unit::Milliseconds, "From a request to a subgraph to its answer.");

/// The most names of operations that metrics tell apart: clients choose them.
const MOST_NAMES: usize = 200;

/// How an answer came from the gateway's own cache.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum CacheState {
    /// It was not looked up: no cache, or no question for it.
    #[default]
    Off,
    Miss,
    Hit,
    Stale,
}

impl CacheState {
    fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Miss => "miss",
            Self::Hit => "hit",
            Self::Stale => "stale",
        }
    }
}

/// The names of operations that metrics tell apart.
#[derive(Debug, Default)]
pub(crate) struct Names(Mutex<HashSet<String>>);

impl Names {
    /// The name for metrics: of the first so many names each its own, the rest together.
    fn of<'a>(&self, name: &'a str) -> &'a str {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.contains(name) {
            return name;
        }
        if known.len() >= MOST_NAMES || name.len() > 100 {
            return "other";
        }
        known.insert(name.to_owned());
        name
    }
}

/// What is measured of an operation.
pub(crate) struct Measured<'a> {
    pub(crate) name: &'a str,
    pub(crate) took: Duration,
    pub(crate) failed: bool,
    pub(crate) bytes: usize,
    pub(crate) cache: CacheState,
}

pub(crate) fn operation(names: &Names, measured: &Measured<'_>) {
    if !metrics::enabled() {
        return;
    }
    let name = names.of(measured.name);
    let dimensions = [("Operation", name)];
    metrics::counter(OPERATIONS, 1, &[("Operation", name), ("Cache", measured.cache.as_str())]);
    metrics::counter(ERRORS, u64::from(measured.failed), &dimensions);
    metrics::histogram(DURATION, milliseconds(measured.took), &dimensions);
    #[expect(clippy::cast_precision_loss, reason = "an answer has less than 2^53 bytes")]
    metrics::histogram(BYTES, measured.bytes as f64, &dimensions);
}

pub(crate) fn planned(took: Duration) {
    metrics::histogram(PLANNING, milliseconds(took), &[]);
}

pub(crate) fn subgraph(name: &str, took: Duration, failed: bool) {
    if !metrics::enabled() {
        return;
    }
    let dimensions = [("Subgraph", name)];
    metrics::counter(SUBGRAPH_REQUESTS, 1, &dimensions);
    metrics::counter(SUBGRAPH_ERRORS, u64::from(failed), &dimensions);
    metrics::histogram(SUBGRAPH_DURATION, milliseconds(took), &dimensions);
}

fn milliseconds(took: Duration) -> f64 {
    took.as_secs_f64() * 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_clients_choose_do_not_multiply_metrics() {
        let names = Names::default();
        let all: Vec<String> = (0..300).map(|it| format!("Operation{it}")).collect();
        let told: HashSet<&str> = all.iter().map(|name| names.of(name)).collect();
        assert_eq!(told.len(), MOST_NAMES + 1);
        assert_eq!(names.of("Operation0"), "Operation0");
        assert_eq!(names.of("New"), "other");
    }
}
