use crate::config::{Config, LogFormat};
use crate::guard::subscriber;
use crate::sink::Sink;
use crate::{Redacted, TraceParent, span};
use serde_json::{Value, json};

/// The lines `run` logs at `level`.
fn logged(level: &str, run: impl FnOnce()) -> Vec<Value> {
    let sink = Sink::memory();
    let config = Config { log: LogFormat::Json, level: level.to_owned(), ..Config::quiet("orders-consumer") };
    let dispatch = subscriber(&config, &sink, None, &mut Vec::new());
    tracing::dispatcher::with_default(&dispatch, run);
    sink.lines()
}

#[test]
fn every_line_of_an_invocation_says_whose_it_is() {
    let parent = TraceParent::parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    let lines = logged("warn", || {
        let _outer = span::invocation("consumer", "r-1", "c-1", parent).entered();
        let _inner = tracing::info_span!("inner", hidden = true).entered();
        tracing::info!("filtered out");
        tracing::warn!(count = 3, ratio = 0.5, name = %Redacted::new("Ada"), "stale");
    });
    let [line] = &lines[..] else { panic!("one line, not {lines:?}") };
    let mut line = line.clone();
    let timestamp = line.as_object_mut().unwrap().remove("timestamp").unwrap();
    assert!(timestamp.as_str().unwrap().ends_with('Z'), "{timestamp}");
    assert_eq!(
        line,
        json!({
            "level": "WARN", "message": "stale", "service": "orders-consumer", "target": "telemetry::log::tests",
            "role": "consumer", "request_id": "r-1", "correlation_id": "c-1",
            "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
            "count": 3, "ratio": 0.5, "name": "[redacted]",
        })
    );
}

#[test]
fn without_a_trace_there_is_no_trace_id() {
    let lines =
        logged("info", || span::invocation("commands", "r", "c", None).in_scope(|| tracing::info!("done")));
    assert_eq!(lines[0].get("trace_id"), None);
    assert_eq!(lines[0]["correlation_id"], "c");
}

#[test]
fn a_field_can_not_forge_the_line() {
    let lines = logged("info", || {
        tracing::info!(level = "DEBUG", service = "other", text = "two\nlines \"quoted\"", "said");
    });
    assert_eq!((&lines[0]["level"], &lines[0]["_level"]), (&json!("INFO"), &json!("DEBUG")));
    assert_eq!(lines[0]["service"], "orders-consumer");
    assert_eq!(lines[0]["text"], "two\nlines \"quoted\"");
}

#[test]
fn a_long_text_is_cut_at_a_character() {
    let lines = logged("info", || tracing::info!(text = "é".repeat(20_000), nan = f64::NAN, "long"));
    let text = lines[0]["text"].as_str().unwrap();
    assert!(text.len() < 16 * 1024 + 8 && text.ends_with("é…"), "{}", text.len());
    assert_eq!(lines[0]["nan"], "NaN");
}

#[test]
fn fields_recorded_later_are_on_later_lines() {
    let lines = logged("info", || {
        let span = tracing::info_span!("work", found = tracing::field::Empty);
        span.in_scope(|| tracing::info!("before"));
        span.record("found", 7);
        span.in_scope(|| tracing::info!("after"));
    });
    assert_eq!((lines[0].get("found"), &lines[1]["found"]), (None, &json!(7)));
}

#[test]
fn off_is_off() {
    assert_eq!(logged("off", || tracing::error!("nobody hears")), Vec::<Value>::new());
}

#[test]
fn a_level_that_can_not_be_read_is_info_and_a_warning() {
    let mut warnings = Vec::new();
    let config = Config { log: LogFormat::Json, level: "=,=".to_owned(), ..Config::quiet("x") };
    let sink = Sink::memory();
    let dispatch = subscriber(&config, &sink, None, &mut warnings);
    tracing::dispatcher::with_default(&dispatch, || {
        tracing::info!("seen");
        tracing::debug!("not seen");
    });
    assert_eq!((warnings.len(), sink.lines().len()), (1, 1), "{warnings:?}");
}
