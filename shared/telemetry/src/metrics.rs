//! What is measured, and the functions that measure it.
//!
//! Metrics are lines of CloudWatch's embedded metric format. [`batch`] writes its line at once; [`counter`] and
//! [`histogram`] add up in memory until [`Guard::flush`](crate::Guard::flush). With metrics off each of them is one
//! load of a pointer.

mod emf;

use crate::config::{Config, Metrics};
use emf::{Emf, Measured};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// The unit CloudWatch shows a metric in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A number of things.
    Count,
    /// Thousandths of a second.
    Milliseconds,
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
    /// No unit.
    None,
}

/// A metric: what it is called, its unit, what it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Its name in CloudWatch: 1 to 255 ASCII characters, no leading colon.
    pub name: &'static str,
    /// Its unit.
    pub unit: Unit,
    /// What it means, for people.
    pub meaning: &'static str,
}

macro_rules! metrics {
    ($($constant:ident = $name:literal, $unit:ident, $meaning:literal;)*) => {
        $(
            #[doc = $meaning]
            #[doc = ""]
            #[doc = concat!("`", $name, "`, unit ", stringify!($unit), ".")]
            pub const $constant: Metric = Metric { name: $name, unit: Unit::$unit, meaning: $meaning };
        )*

        /// Every metric of the suite, for dashboards and their tests.
        pub const ALL: &[Metric] = &[$($constant),*];
    };
}

metrics! {
    BATCH_SIZE = "BatchSize", Count, "Messages delivered in a batch.";
    APPLIED = "Applied", Count, "Events whose effect is in the projection, those folded into a newer one too.";
    STALE = "Stale", Count, "Events older than what the projection held; acknowledged.";
    DUPLICATE = "Duplicate", Count, "Events the projection had already applied; acknowledged.";
    QUARANTINED = "Quarantined", Count, "Messages that can never be applied, kept with their reason; acknowledged.";
    QUARANTINE_DISCARDED = "QuarantineDiscarded", Count, "Quarantined messages that somebody discarded.";
    QUARANTINE_ENTRIES = "QuarantineEntries", Count, "Messages that stand in a quarantine.";
    QUARANTINE_AGE = "QuarantineAge", Seconds, "How long the oldest message has stood in a quarantine.";
    EVENTS_READ = "EventsRead", Count, "Events that a projection folded, by event and major version.";
    IGNORED = "Ignored", Count, "Events no handler subscribes to; acknowledged.";
    WAITING = "Waiting", Count, "Messages kept until it is their turn; the messages before them haven't come, or are quarantined.";
    FAILED = "Failed", Count, "Messages given back to be delivered again.";
    WRITE_UNITS = "WriteUnits", Count, "DynamoDB write capacity units a batch consumed.";
    EVENT_AGE = "EventAge", Milliseconds, "From the event's own time to its apply, one value an event.";
    COLD_START = "ColdStart", Count, "First invocations of a process.";
    COMMANDS_ACCEPTED = "CommandsAccepted", Count, "Commands decided and stored.";
    COMMANDS_REFUSED = "CommandsRefused", Count, "Commands the domain's rules refused.";
    COMMANDS_REPEATED = "CommandsRepeated", Count, "Commands whose id was already handled.";
    EVENTS_PUBLISHED = "EventsPublished", Count, "Events the bus acknowledged.";
    EVENTS_UNPUBLISHED = "EventsUnpublished", Count, "Events the bus refused in a call; they are sent again.";
    PARTS_COMPARED = "PartsCompared", Count, "Parts of a projection that an audit compared with its sources.";
    PARTS_DRIFTED = "PartsDrifted", Count, "Parts among them that differ: lost, stale, forked, unknown or miscounted.";
    REQUESTS = "Requests", Count, "GraphQL requests answered.";
    REQUEST_ERRORS = "RequestErrors", Count, "GraphQL answers with an error that is ours, not the client's.";
    REQUEST_DURATION = "RequestDuration", Milliseconds, "From a GraphQL request to its answer.";
    ITEMS_READ = "ItemsRead", Count, "Items asked of DynamoDB by entity resolvers.";
}

/// What happened to one batch of messages of one projection.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BatchMetrics<'a> {
    /// The micrograph that consumed it; a dimension.
    pub micrograph: &'a str,
    /// The projection, or the role where there is none; a dimension.
    pub projection: &'a str,
    /// See [`BATCH_SIZE`].
    pub size: u64,
    /// See [`APPLIED`].
    pub applied: u64,
    /// See [`STALE`].
    pub stale: u64,
    /// See [`DUPLICATE`].
    pub duplicate: u64,
    /// See [`QUARANTINED`].
    pub quarantined: u64,
    /// See [`IGNORED`].
    pub ignored: u64,
    /// See [`WAITING`].
    pub waiting: u64,
    /// See [`FAILED`].
    pub failed: u64,
    /// See [`WRITE_UNITS`].
    pub write_units: f64,
    /// See [`EVENT_AGE`]; a negative age (a clock ahead of ours) counts as 0.
    pub event_ages_ms: &'a [i64],
    /// See [`COLD_START`], [`cold_start`].
    pub cold_start: bool,
}

static EMF: OnceLock<Emf> = OnceLock::new();

pub(crate) fn install(config: &Config) {
    if let Metrics::Emf { namespace, dimensions } = &config.metrics {
        let mut dimensions = dimensions.clone();
        dimensions.insert(0, ("Region".to_owned(), config.region.clone()));
        // Installed once for the process: the first configuration stays.
        let _ = EMF.set(Emf::new(namespace, dimensions, emf::now_ms, crate::sink::Sink::Stdout));
    }
}

pub(crate) fn flush() {
    if let Some(emf) = EMF.get() {
        emf.flush();
    }
}

/// Whether metrics are on; ask it before work that only a metric needs.
pub fn enabled() -> bool {
    EMF.get().is_some()
}

/// True the first time it is called in a process: the invocation of a cold start.
pub fn cold_start() -> bool {
    static WARM: AtomicBool = AtomicBool::new(false);
    !WARM.swap(true, Ordering::Relaxed)
}

/// Writes what happened to a batch, with the dimensions `Micrograph`, `Projection` and `Region`.
///
/// ```
/// use telemetry::metrics::{BatchMetrics, batch};
/// batch(&BatchMetrics { micrograph: "orders", projection: "order", size: 10, applied: 10, ..BatchMetrics::default() });
/// ```
pub fn batch(metrics: &BatchMetrics<'_>) {
    if let Some(emf) = EMF.get() {
        write_batch(emf, metrics);
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts and ages stay far below 2^53")]
fn write_batch(emf: &Emf, metrics: &BatchMetrics<'_>) {
    let ages: Vec<f64> = metrics.event_ages_ms.iter().map(|&age| age.max(0) as f64).collect();
    let mut measured: Vec<(Metric, Measured)> = [
        (BATCH_SIZE, metrics.size),
        (APPLIED, metrics.applied),
        (STALE, metrics.stale),
        (DUPLICATE, metrics.duplicate),
        (QUARANTINED, metrics.quarantined),
        (IGNORED, metrics.ignored),
        (WAITING, metrics.waiting),
        (FAILED, metrics.failed),
        (COLD_START, u64::from(metrics.cold_start)),
    ]
    .into_iter()
    .map(|(metric, count)| (metric, Measured::Sum(count as f64)))
    .collect();
    measured.push((WRITE_UNITS, Measured::Sum(metrics.write_units)));
    if !ages.is_empty() {
        measured.push((EVENT_AGE, Measured::values(ages)));
    }
    emf.write(&[("Micrograph", metrics.micrograph), ("Projection", metrics.projection)], &measured);
}

/// Adds `by` to a metric, under the given dimensions (names first; few distinct values, never an id).
///
/// ```
/// use telemetry::metrics;
/// metrics::counter(metrics::EVENTS_PUBLISHED, 3, &[("Micrograph", "orders")]);
/// ```
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
pub fn counter(metric: Metric, by: u64, dimensions: &[(&str, &str)]) {
    if let Some(emf) = EMF.get() {
        emf.add(metric, by as f64, dimensions);
    }
}

/// Records one value of a distribution, under the given dimensions. Values that are not finite are left out.
pub fn histogram(metric: Metric, value: f64, dimensions: &[(&str, &str)]) {
    if let Some(emf) = EMF.get() {
        emf.record(metric, value, dimensions);
    }
}

#[cfg(test)]
mod tests;
