//! CloudWatch's embedded metric format, as its specification has it:
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>.
//!
//! Written here because the published collector for the `metrics` facade drops what a histogram gets beyond 100
//! values between two flushes, and a batch of messages may have 10,000.

use super::{Metric, Unit};
use crate::sink::Sink;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Metrics in one document, and values of one metric in one document.
const MAX_PER_DOCUMENT: usize = 100;

/// Dimensions of a metric.
const MAX_DIMENSIONS: usize = 30;

/// Values kept of one distribution between two flushes; of more, an even share is kept, and the largest.
const MAX_VALUES: usize = 1_000;

/// Distinct combinations of metric and dimensions between two flushes; what comes beyond is left out and counted.
const MAX_SERIES: usize = 1_000;

/// The longest dimension value CloudWatch takes, in characters.
const MAX_DIMENSION_VALUE: usize = 1_024;

/// What a metric got.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Measured {
    /// Added up.
    Sum(f64),
    /// A distribution.
    Values(Samples),
}

impl Measured {
    pub(super) fn values(values: impl IntoIterator<Item = f64>) -> Self {
        let mut samples = Samples::default();
        values.into_iter().for_each(|value| samples.push(value));
        Self::Values(samples)
    }
}

/// A bounded sample of a distribution: each `stride`-th value, and the largest. Deterministic.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Samples {
    kept: Vec<f64>,
    stride: usize,
    skipped: usize,
    largest: Option<f64>,
}

impl Samples {
    fn push(&mut self, value: f64) {
        if !value.is_finite() {
            return;
        }
        self.largest = Some(self.largest.map_or(value, |largest| largest.max(value)));
        if self.skipped + 1 < self.stride {
            self.skipped += 1;
            return;
        }
        self.skipped = 0;
        if self.kept.len() == MAX_VALUES {
            let mut keep = false;
            self.kept.retain(|_| {
                keep = !keep;
                keep
            });
            self.stride = self.stride.max(1) * 2;
        }
        self.kept.push(value);
    }

    fn into_values(mut self) -> Vec<f64> {
        if let Some(largest) = self.largest
            && !self.kept.contains(&largest)
        {
            self.kept.push(largest);
        }
        self.kept
    }
}

type Dimensions = Vec<(String, String)>;

/// Adds metrics up and writes them as documents.
#[derive(Debug)]
pub(super) struct Emf {
    namespace: String,
    /// On every document, behind the document's own.
    dimensions: Dimensions,
    now_ms: fn() -> u64,
    sink: Sink,
    series: Mutex<Series>,
}

#[derive(Debug, Default)]
struct Series {
    by_dimensions: BTreeMap<Dimensions, BTreeMap<&'static str, (Metric, Measured)>>,
    len: usize,
    left_out: u64,
}

/// Milliseconds since 1970.
#[expect(clippy::disallowed_methods, reason = "a metric is stamped with the time of its writing")]
pub(super) fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

impl Emf {
    pub(super) fn new(namespace: &str, dimensions: Dimensions, now_ms: fn() -> u64, sink: Sink) -> Self {
        Self { namespace: namespace.to_owned(), dimensions, now_ms, sink, series: Mutex::default() }
    }

    pub(super) fn add(&self, metric: Metric, by: f64, dimensions: &[(&str, &str)]) {
        self.update(
            metric,
            dimensions,
            || Measured::Sum(0.0),
            |measured| match measured {
                Measured::Sum(sum) => *sum += by,
                Measured::Values(samples) => samples.push(by),
            },
        );
    }

    pub(super) fn record(&self, metric: Metric, value: f64, dimensions: &[(&str, &str)]) {
        self.update(
            metric,
            dimensions,
            || Measured::Values(Samples::default()),
            |measured| match measured {
                Measured::Values(samples) => samples.push(value),
                Measured::Sum(sum) => *sum += if value.is_finite() { value } else { 0.0 },
            },
        );
    }

    fn update(
        &self,
        metric: Metric,
        dimensions: &[(&str, &str)],
        start: impl FnOnce() -> Measured,
        change: impl FnOnce(&mut Measured),
    ) {
        let key: Dimensions =
            dimensions.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut series = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        let full = series.len >= MAX_SERIES;
        let metrics = series.by_dimensions.get(&key);
        if !metrics.is_some_and(|metrics| metrics.contains_key(metric.name)) {
            if full {
                series.left_out += 1;
                return;
            }
            series.len += 1;
        }
        let metrics = series.by_dimensions.entry(key).or_default();
        change(&mut metrics.entry(metric.name).or_insert_with(|| (metric, start())).1);
    }

    /// Writes what was added up, and starts anew.
    pub(super) fn flush(&self) {
        let series = std::mem::take(&mut *self.series.lock().unwrap_or_else(PoisonError::into_inner));
        for (dimensions, metrics) in series.by_dimensions {
            let dimensions: Vec<(&str, &str)> =
                dimensions.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            let measured: Vec<_> = metrics.into_values().collect();
            self.write(&dimensions, &measured);
        }
        if series.left_out > 0 {
            tracing::warn!(left_out = series.left_out, "too many combinations of metric and dimensions");
        }
        self.sink.flush();
    }

    /// Writes metrics under one set of dimensions: as one document, or several where a limit asks for it.
    pub(super) fn write(&self, dimensions: &[(&str, &str)], measured: &[(Metric, Measured)]) {
        let mut sums = Vec::new();
        let mut pieces: Vec<Vec<(Metric, Value)>> = Vec::new();
        for (metric, measured) in measured {
            match measured {
                Measured::Sum(sum) => sums.push((*metric, json!(sum))),
                Measured::Values(samples) => {
                    for (n, values) in samples.clone().into_values().chunks(MAX_PER_DOCUMENT).enumerate() {
                        if pieces.len() == n {
                            pieces.push(Vec::new());
                        }
                        pieces[n].push((*metric, json!(values)));
                    }
                }
            }
        }
        if pieces.is_empty() {
            pieces.push(Vec::new());
        }
        pieces[0].splice(0..0, sums);
        for document in pieces.iter().flat_map(|piece| piece.chunks(MAX_PER_DOCUMENT)) {
            self.write_document(dimensions, document);
        }
    }

    fn write_document(&self, dimensions: &[(&str, &str)], metrics: &[(Metric, Value)]) {
        let mut document = Map::new();
        let mut names: Vec<&str> = Vec::new();
        let common = self.dimensions.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in dimensions.iter().copied().chain(common) {
            // CloudWatch drops a document with an empty value or with a name twice.
            if names.len() < MAX_DIMENSIONS && !value.is_empty() && !names.contains(&name) {
                names.push(name);
                document.insert(
                    name.to_owned(),
                    value.chars().take(MAX_DIMENSION_VALUE).collect::<String>().into(),
                );
            }
        }
        let definitions: Vec<Value> = metrics.iter().map(|(metric, _)| definition(*metric)).collect();
        for (metric, value) in metrics {
            document.insert(metric.name.to_owned(), value.clone());
        }
        let head = json!({
            "Timestamp": (self.now_ms)(),
            "CloudWatchMetrics": [{ "Namespace": self.namespace, "Dimensions": [names], "Metrics": definitions }],
        });
        document.insert("_aws".to_owned(), head);
        if let Ok(mut line) = serde_json::to_vec(&document) {
            line.push(b'\n');
            self.sink.write(&line);
        }
    }
}

fn definition(metric: Metric) -> Value {
    let unit = match metric.unit {
        Unit::Count => "Count",
        Unit::Milliseconds => "Milliseconds",
        Unit::Seconds => "Seconds",
        Unit::Bytes => "Bytes",
        Unit::None => "None",
    };
    json!({ "Name": metric.name, "Unit": unit })
}
