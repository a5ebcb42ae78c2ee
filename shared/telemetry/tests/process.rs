//! What a whole process writes: the test runs itself again with other settings and reads its output.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::{Command, Output};
use std::time::Duration;
use telemetry::metrics::{self, BatchMetrics};
use telemetry::{Config, span};

const CHILD: &str = "TELEMETRY_TEST_CHILD";

/// What the children do; a test of its own so that the harness can be told to run it alone.
#[test]
fn child() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let first = telemetry::init(Config::from_env());
    let second = telemetry::init(Config::quiet("second"));
    span::invocation("consumer", "r-1", "c-1", None).in_scope(|| {
        tracing::info!("applied");
        metrics::batch(&BatchMetrics {
            micrograph: "orders",
            projection: "order",
            size: 2,
            ..Default::default()
        });
        metrics::counter(metrics::EVENTS_PUBLISHED, 2, &[("Micrograph", "orders")]);
    });
    assert!(second.flush(Duration::from_secs(5)));
    drop(first);
}

fn run(settings: &[(&str, &str)]) -> Output {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture", "--test-threads=1"])
        .env_clear()
        .env(CHILD, "1")
        .envs(settings.iter().copied())
        .output()
        .unwrap()
}

/// The JSON lines of a child's stdout; the harness writes some of its own.
fn lines(output: &Output) -> Vec<serde_json::Value> {
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines().filter_map(|line| serde_json::from_str(&line[line.find('{')?..]).ok()).collect()
}

#[test]
fn off_writes_nothing() {
    let output = run(&[("TRIBUTARY_LOG", "off")]);
    assert_eq!(lines(&output), Vec::<serde_json::Value>::new());
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn a_function_writes_lines_and_metrics() {
    let output = run(&[("AWS_LAMBDA_FUNCTION_NAME", "orders-consumer"), ("AWS_REGION", "eu-west-1")]);
    let lines = lines(&output);
    let messages: Vec<_> = lines.iter().filter_map(|line| line["message"].as_str()).collect();
    assert_eq!(
        messages,
        ["telemetry is already on in this process; the first configuration stays", "applied"]
    );
    let applied = lines.iter().find(|line| line["message"] == "applied").unwrap();
    assert_eq!((&applied["correlation_id"], &applied["service"]), (&"c-1".into(), &"orders-consumer".into()));
    let documents: Vec<_> = lines.iter().filter(|line| line.get("_aws").is_some()).collect();
    assert_eq!(documents.len(), 2, "{documents:?}");
    assert_eq!((&documents[0]["BatchSize"], &documents[0]["Region"]), (&2.0.into(), &"eu-west-1".into()));
    assert_eq!(documents[1]["EventsPublished"], 2.0);
}

#[test]
fn lines_for_people_go_to_stderr() {
    let output = run(&[]);
    assert_eq!(lines(&output), Vec::<serde_json::Value>::new());
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(stderr.contains("applied") && stderr.contains("c-1"), "{stderr}");
}

#[cfg(not(feature = "otlp"))]
#[test]
fn a_build_that_can_not_export_says_so() {
    let output = run(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")]);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(stderr.contains("cargo feature `otlp`"), "{stderr}");
}

#[cfg(feature = "otlp")]
#[test]
fn spans_go_to_the_collector() {
    use std::io::{Read, Write};

    let collector = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", collector.local_addr().unwrap());
    let received = std::thread::spawn(move || {
        let (mut connection, _) = collector.accept().unwrap();
        let mut request = Vec::new();
        let mut chunk = [0; 4096];
        while !request.windows(8).any(|window| window == b"consumer") {
            let read = connection.read(&mut chunk).unwrap();
            assert_ne!(read, 0, "the request ended without the span");
            request.extend_from_slice(&chunk[..read]);
        }
        connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").unwrap();
        String::from_utf8_lossy(&request).into_owned()
    });
    let output = run(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint), ("TRIBUTARY_LOG", "off")]);
    assert!(output.status.success(), "{output:?}");
    let request = received.join().unwrap();
    assert!(request.starts_with("POST /v1/traces HTTP/1.1"), "{request}");
    assert!(request.to_lowercase().contains("content-type: application/x-protobuf"), "{request}");
}

#[cfg(feature = "otlp")]
#[test]
fn a_collector_that_is_not_there_fails_nothing() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let endpoint = format!("http://127.0.0.1:{port}");
    let output = run(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint), ("TRIBUTARY_LOG", "off")]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}
