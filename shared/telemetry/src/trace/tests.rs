use super::{MAX_LINKS, TraceParent, current, from_headers, outgoing};
use crate::config::Config;
use crate::guard::{spans_of, subscriber};
use crate::sink::Sink;
use crate::span;
use opentelemetry_sdk::trace::{
    InMemorySpanExporter, InMemorySpanExporterBuilder, SdkTracerProvider, SpanData,
};
use proptest::prelude::*;
use tracing::Dispatch;

const TEXT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// A subscriber that keeps its spans, with logging off.
fn recording() -> (Dispatch, SdkTracerProvider, InMemorySpanExporter) {
    let config = Config::quiet("test");
    let exporter = InMemorySpanExporterBuilder::new().build();
    let provider = spans_of(&config).with_simple_exporter(exporter.clone()).build();
    let mut warnings = Vec::new();
    let dispatch = subscriber(&config, &Sink::memory(), Some(&provider), &mut warnings);
    assert!(warnings.is_empty(), "{warnings:?}");
    (dispatch, provider, exporter)
}

fn recorded(run: impl FnOnce()) -> Vec<SpanData> {
    let (dispatch, _provider, exporter) = recording();
    tracing::dispatcher::with_default(&dispatch, run);
    exporter.get_finished_spans().unwrap()
}

fn parent(n: u64) -> TraceParent {
    TraceParent::new(u128::from(n) + 1, n + 1, true).unwrap()
}

#[test]
fn what_the_specification_forbids_is_no_traceparent() {
    let bad = [
        "",
        "00",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
        "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01more",
        "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e473é-00f067aa0ba902b7-01",
        "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    ];
    for text in bad {
        assert_eq!(TraceParent::parse(text), None, "{text:?}");
    }
    let later =
        TraceParent::parse("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03-what-comes").unwrap();
    assert_eq!(later.to_string(), TEXT);
}

#[test]
fn it_is_a_string_in_json() {
    let parent: TraceParent = serde_json::from_str(&format!("{TEXT:?}")).unwrap();
    assert_eq!(serde_json::to_string(&parent).unwrap(), format!("{TEXT:?}"));
    assert!(serde_json::from_str::<TraceParent>("\"00-0-0-0\"").is_err());
}

#[test]
fn x_ray_headers_are_read_and_what_is_missing_is_none() {
    let root = "Root=1-58406520-a006649127e371903a2de979";
    let read = |rest: &str| TraceParent::from_xray(&format!("{root}{rest}")).map(|parent| parent.to_string());
    let text = |flags: &str| Some(format!("00-58406520a006649127e371903a2de979-4c721bf33e3caf8f-{flags}"));
    assert_eq!(read(";Parent=4c721bf33e3caf8f;Sampled=1;Lineage=1:a:0"), text("01"));
    assert_eq!(read(";Parent=4c721bf33e3caf8f;Sampled=0"), text("00"));
    assert_eq!(read(";Parent=4c721bf33e3caf8f;Sampled=?"), text("01"));
    assert_eq!(read(";Sampled=1"), None);
    assert_eq!(TraceParent::from_xray("Root=1-bogus-bad;Parent=4c721bf33e3caf8f"), None);
}

#[test]
fn a_valid_traceparent_goes_before_x_ray() {
    let xray = "Root=1-58406520-a006649127e371903a2de979;Parent=4c721bf33e3caf8f;Sampled=1";
    let read = |traceparent: &'static str| {
        from_headers(|name| match name {
            "traceparent" => Some(traceparent),
            "x-amzn-trace-id" => Some(xray),
            _ => None,
        })
    };
    assert_eq!(read(TEXT), TraceParent::parse(TEXT));
    assert_eq!(read("garbage"), TraceParent::from_xray(xray));
    assert_eq!(from_headers(|_| None), None);
}

proptest! {
    #[test]
    fn round_trips(trace_id in 1_u128.., span_id in 1_u64.., sampled: bool) {
        let parent = TraceParent::new(trace_id, span_id, sampled).unwrap();
        prop_assert_eq!(TraceParent::parse(&parent.to_string()), Some(parent));
        prop_assert_eq!(TraceParent::from_xray(&parent.to_xray()), Some(parent));
    }

    #[test]
    fn garbage_never_panics(text in any::<String>(), at in 0_usize..55, with in any::<char>()) {
        let _ = TraceParent::parse(&text);
        let _ = TraceParent::from_xray(&text);
        let _ = TraceParent::from_xray(&format!("Root={text};Parent={text};Sampled={text}"));
        let changed: String = TEXT.chars().enumerate().map(|(n, c)| if n == at { with } else { c }).collect();
        if let Some(parent) = TraceParent::parse(&changed) {
            prop_assert_eq!(parent.to_string().len(), 55);
        }
    }
}

#[test]
fn with_tracing_off_the_incoming_context_is_passed_on() {
    let incoming = parent(1);
    assert_eq!(current(), None);
    assert_eq!(outgoing(Some(incoming), || unreachable!("there is one")), incoming);
    assert_eq!(outgoing(None, || parent(7)), parent(7));
    assert!(TraceParent::random().sampled());
}

#[test]
fn an_invocation_is_a_child_of_its_caller() {
    let caller = TraceParent::parse(TEXT).unwrap();
    let mut sent = None;
    let spans = recorded(|| {
        span::invocation("subgraph", "r-1", "c-1", Some(caller)).in_scope(|| {
            sent = Some(outgoing(Some(caller), || unreachable!("a span is current")));
        });
    });
    let [span] = &spans[..] else { panic!("one span, not {spans:?}") };
    assert_eq!(
        (span.name.as_ref(), span.parent_span_id.to_string().as_str()),
        ("subgraph", "00f067aa0ba902b7")
    );
    assert_eq!(span.span_context.trace_id().to_string(), caller.trace_id_hex());
    let sent = sent.unwrap();
    assert_eq!(sent.trace_id(), caller.trace_id());
    assert_eq!(format!("{:016x}", sent.span_id()), span.span_context.span_id().to_string());
}

#[test]
fn what_is_not_sampled_upstream_is_not_recorded_here() {
    let caller = TraceParent::new(5, 6, false).unwrap();
    assert_eq!(recorded(|| drop(span::invocation("subgraph", "r", "c", Some(caller)))), []);
}

#[test]
fn a_batch_is_linked_to_each_trace_once() {
    let messages = [parent(1), parent(2), parent(1), parent(3)];
    let spans = recorded(|| drop(span::consumer("orders", "order", 4, messages)));
    let links: Vec<_> = spans[0].links.iter().map(|link| link.span_context.trace_id().to_string()).collect();
    let expected: Vec<_> = [1, 2, 3].map(|n| parent(n).trace_id_hex()).into();
    assert_eq!(links, expected);
    assert_eq!(spans[0].name, "consume order");
    assert_eq!(spans[0].span_kind, opentelemetry::trace::SpanKind::Consumer);
}

#[test]
fn links_are_bounded_and_what_is_missing_is_said() {
    let spans = recorded(|| {
        let span = span::consumer("orders", "order", 0, []);
        assert_eq!(super::link(&span, (0..1_000).map(parent)), 1_000);
    });
    assert_eq!(spans[0].links.len(), MAX_LINKS);
    let dropped =
        spans[0].attributes.iter().find(|attribute| attribute.key.as_str() == "links.dropped").unwrap();
    assert_eq!(dropped.value, opentelemetry::Value::I64(1_000 - 128));
}
