//! The spans every micrograph opens.
//!
//! They are of level ERROR, so that no log level filters them out: their fields are on every line logged inside.

use crate::trace::{self, TraceParent};
use opentelemetry::Context;
use opentelemetry::trace::TraceContextExt;
use tracing::{Span, error_span, field::Empty};
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// The span of one invocation: a request, a batch, a command. Every line logged inside it carries `role`,
/// `request_id`, `correlation_id` and `trace_id`.
///
/// The trace id is the caller's where `parent` names one, else the one this span starts; without either (tracing is
/// off) it is left out.
///
/// ```
/// let span = telemetry::span::invocation("subgraph", "8f5-1", "order-17", None);
/// span.in_scope(|| tracing::info!("answered"));
/// ```
pub fn invocation(role: &str, request_id: &str, correlation_id: &str, parent: Option<TraceParent>) -> Span {
    let span = error_span!(
        "invocation",
        otel.name = role,
        otel.kind = "server",
        role,
        request_id,
        correlation_id,
        trace_id = Empty,
    );
    adopt(&span, parent);
    span
}

/// The span of one batch of messages, linked to the trace of each (see [`trace::link`]).
pub fn consumer(
    micrograph: &str,
    projection: &str,
    size: usize,
    messages: impl IntoIterator<Item = TraceParent>,
) -> Span {
    let span = error_span!(
        "consume",
        otel.name = format_args!("consume {projection}"),
        otel.kind = "consumer",
        micrograph,
        projection,
        batch_size = size,
    );
    trace::link(&span, messages);
    span
}

/// Makes `parent` the span's parent and records the trace id.
fn adopt(span: &Span, parent: Option<TraceParent>) {
    if let Some(parent) = parent {
        // It fails where tracing is off or the span is filtered out; then there is nothing to connect.
        let _ = span.set_parent(Context::new().with_remote_span_context(parent.into()));
    }
    if let Some(known) = trace::of(span).or(parent) {
        span.record("trace_id", known.trace_id_hex());
    }
}
