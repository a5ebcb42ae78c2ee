use super::emf::Emf;
use super::{ALL, BatchMetrics, EVENT_AGE, EVENTS_PUBLISHED, Metric, REQUEST_DURATION, Unit, write_batch};
use crate::sink::Sink;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::HashSet;

fn emf() -> (Emf, Sink) {
    let sink = Sink::memory();
    let region = vec![("Region".to_owned(), "eu-west-1".to_owned())];
    (Emf::new("Tributary", region, || 1_700_000_000_000, sink.clone()), sink)
}

/// Checks a document against the limits and shapes of the specification; returns (metric, value) of it.
fn check(document: &Value) -> Vec<(String, Value)> {
    let head = document["_aws"].as_object().unwrap();
    assert!(head["Timestamp"].is_u64());
    let [directive] = &head["CloudWatchMetrics"].as_array().unwrap()[..] else { panic!("one directive") };
    let namespace = directive["Namespace"].as_str().unwrap();
    assert!((1..=255).contains(&namespace.len()));
    for set in directive["Dimensions"].as_array().unwrap() {
        let names: Vec<&str> = set.as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
        assert!(names.len() <= 30);
        assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len(), "a dimension twice: {names:?}");
        for name in names {
            let value = document[name].as_str().unwrap();
            assert!((1..=1024).contains(&value.chars().count()), "{name} is {value:?}");
        }
    }
    let metrics = directive["Metrics"].as_array().unwrap();
    assert!((1..=100).contains(&metrics.len()), "{} metrics", metrics.len());
    metrics
        .iter()
        .map(|metric| {
            let name = metric["Name"].as_str().unwrap();
            assert!(
                ["Count", "Milliseconds", "Seconds", "Bytes", "None"]
                    .contains(&metric["Unit"].as_str().unwrap())
            );
            let value = &document[name];
            match value.as_array() {
                Some(values) => {
                    assert!((1..=100).contains(&values.len()), "{} values", values.len());
                    assert!(values.iter().all(Value::is_number));
                }
                None => assert!(value.is_number(), "{name} is {value}"),
            }
            (name.to_owned(), value.clone())
        })
        .collect()
}

fn values_of(documents: &[Value], name: &str) -> Vec<f64> {
    let metrics = documents.iter().flat_map(check).filter(|(metric, _)| metric == name);
    metrics
        .flat_map(|(_, value)| value.as_array().cloned().unwrap_or_else(|| vec![value]))
        .map(|value| value.as_f64().unwrap())
        .collect()
}

#[test]
fn a_batch_is_one_document() {
    let (emf, sink) = emf();
    let metrics = BatchMetrics {
        micrograph: "orders",
        projection: "order",
        size: 10,
        applied: 5,
        stale: 1,
        duplicate: 1,
        quarantined: 1,
        ignored: 1,
        waiting: 1,
        failed: 1,
        write_units: 7.5,
        event_ages_ms: &[120, -5],
        cold_start: true,
    };
    write_batch(&emf, &metrics);
    let lines = sink.lines();
    let [document] = &lines[..] else { panic!("one document, not {}", lines.len()) };
    check(document);
    let mut document = document.clone();
    let head = document.as_object_mut().unwrap().remove("_aws").unwrap();
    assert_eq!(
        document,
        json!({
            "Micrograph": "orders", "Projection": "order", "Region": "eu-west-1",
            "BatchSize": 10.0, "Applied": 5.0, "Stale": 1.0, "Duplicate": 1.0, "Quarantined": 1.0, "Ignored": 1.0,
            "Waiting": 1.0, "Failed": 1.0, "ColdStart": 1.0, "WriteUnits": 7.5, "EventAge": [120.0, 0.0],
        })
    );
    assert_eq!(head["Timestamp"], 1_700_000_000_000_u64);
    assert_eq!(head["CloudWatchMetrics"][0]["Dimensions"], json!([["Micrograph", "Projection", "Region"]]));
}

#[test]
fn counters_add_up_until_they_are_flushed() {
    let (emf, sink) = emf();
    emf.add(EVENTS_PUBLISHED, 2.0, &[("Micrograph", "orders")]);
    emf.add(EVENTS_PUBLISHED, 3.0, &[("Micrograph", "orders")]);
    emf.add(EVENTS_PUBLISHED, 1.0, &[("Micrograph", "pricing")]);
    emf.record(REQUEST_DURATION, 12.0, &[("Micrograph", "orders")]);
    emf.record(REQUEST_DURATION, f64::INFINITY, &[("Micrograph", "orders")]);
    assert_eq!(sink.lines().len(), 0);
    emf.flush();
    emf.flush();
    let lines = sink.lines();
    assert_eq!(lines.len(), 2);
    assert_eq!((&lines[0]["EventsPublished"], &lines[0]["RequestDuration"]), (&json!(5.0), &json!([12.0])));
    assert_eq!(lines[1]["EventsPublished"], json!(1.0));
    for line in &lines {
        check(line);
    }
}

#[test]
fn dimensions_keep_the_limits() {
    let (emf, sink) = emf();
    let names: Vec<String> = (0..40).map(|n| format!("D{n}")).collect();
    let mut dimensions: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "x")).collect();
    let long = "é".repeat(2_000);
    dimensions[0].1 = &long;
    dimensions[1].1 = "";
    dimensions.insert(0, ("Region", "elsewhere"));
    emf.add(EVENTS_PUBLISHED, 1.0, &dimensions);
    emf.flush();
    check(&sink.lines()[0]);
    assert_eq!(sink.lines()[0]["Region"], "elsewhere");
}

#[test]
fn combinations_are_bounded() {
    let (emf, sink) = emf();
    for id in 0..1_500 {
        emf.add(EVENTS_PUBLISHED, 1.0, &[("Id", &id.to_string())]);
    }
    emf.flush();
    assert_eq!(sink.lines().len(), 1_000);
}

#[test]
fn a_hundred_metrics_are_a_document_and_one_more_is_two() {
    let (emf, sink) = emf();
    for n in 0..101 {
        let name: &'static str = Box::leak(format!("M{n}").into_boxed_str());
        emf.add(Metric { name, unit: Unit::None, meaning: "a test" }, 1.0, &[]);
    }
    emf.flush();
    let sizes: Vec<usize> = sink.lines().iter().map(|line| check(line).len()).collect();
    assert_eq!(sizes, [100, 1]);
}

#[test]
fn names_are_distinct_and_fit() {
    let names: HashSet<&str> = ALL.iter().map(|metric| metric.name).collect();
    assert_eq!(names.len(), ALL.len());
    assert!(ALL.iter().all(|metric| metric.name.is_ascii() && metric.meaning.ends_with('.')));
}

proptest! {
    #[test]
    fn a_distribution_keeps_its_shape(ages in proptest::collection::vec(0_i64..10_000_000, 1..4_000)) {
        let (emf, sink) = emf();
        write_batch(&emf, &BatchMetrics { event_ages_ms: &ages, size: 1, ..BatchMetrics::default() });
        let documents = sink.lines();
        let kept = values_of(&documents, EVENT_AGE.name);
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let all: Vec<f64> = ages.iter().map(|&age| age as f64).collect();
        if all.len() <= 1_000 {
            prop_assert_eq!(&kept, &all);
        } else {
            prop_assert!((500..=1_001).contains(&kept.len()), "{} values kept", kept.len());
            let largest = |values: &[f64]| values.iter().copied().fold(0.0, f64::max);
            prop_assert!((largest(&kept) - largest(&all)).abs() < f64::EPSILON);
        }
        // What is added up is in one document only, however many the values take.
        prop_assert_eq!(values_of(&documents, "BatchSize"), vec![1.0]);
    }
}
