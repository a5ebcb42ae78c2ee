//! Trace identity across processes: W3C `traceparent`, X-Ray's header, links.

use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use opentelemetry_aws::trace::{XrayIdGenerator, xray_propagator};
use opentelemetry_sdk::trace::IdGenerator;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::fmt;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// The most links a span gets; OpenTelemetry's own default.
pub const MAX_LINKS: usize = 128;

/// The name of the header and of the envelope's field that carry a [`TraceParent`].
pub const TRACEPARENT: &str = "traceparent";

/// The header of requests and messages on AWS that carries X-Ray's form.
pub const X_AMZN_TRACE_ID: &str = "x-amzn-trace-id";

/// The environment variable (and Lambda context field) with X-Ray's form for the invocation.
pub const LAMBDA_TRACE_ID: &str = "_X_AMZN_TRACE_ID";

/// A valid W3C `traceparent` (<https://www.w3.org/TR/trace-context/>): a trace id, the id of the span that was
/// current where it was written, and whether the trace is sampled. Neither id is zero.
///
/// ```
/// use telemetry::TraceParent;
/// let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// let parent = TraceParent::parse(text).unwrap();
/// assert_eq!(parent.to_string(), text);
/// assert_eq!(parent.to_xray(), "Root=1-4bf92f35-77b34da6a3ce929d0e0e4736;Parent=00f067aa0ba902b7;Sampled=1");
/// assert!(TraceParent::parse("garbage").is_none());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TraceParent {
    trace_id: u128,
    span_id: u64,
    sampled: bool,
}

/// A text that is no [`TraceParent`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidTraceParent;

impl TraceParent {
    /// `None` when an id is zero, which the specification forbids.
    pub const fn new(trace_id: u128, span_id: u64, sampled: bool) -> Option<Self> {
        if trace_id == 0 || span_id == 0 { None } else { Some(Self { trace_id, span_id, sampled }) }
    }

    /// Reads the header's text. Anything that is not valid gives `None`; a version later than 00 is read as far as
    /// version 00 goes, as the specification asks.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.trim().as_bytes();
        let version = hex(bytes.get(..2)?)?;
        if version == 0xff || (version == 0 && bytes.len() != 55) || (bytes.len() > 55 && bytes[55] != b'-') {
            return None;
        }
        if [2, 35, 52].iter().any(|&dash| bytes.get(dash) != Some(&b'-')) {
            return None;
        }
        let trace_id = hex(bytes.get(3..35)?)?;
        let span_id = u64::try_from(hex(bytes.get(36..52)?)?).ok()?;
        let flags = hex(bytes.get(53..55)?)?;
        Self::new(trace_id, span_id, flags & 1 == 1)
    }

    /// Reads X-Ray's `Root=1-…;Parent=…;Sampled=…`. `None` when it is not valid or names no parent.
    ///
    /// A decision that X-Ray left open (`Sampled=?` or none) counts as sampled: it is then ours to make.
    pub fn from_xray(text: &str) -> Option<Self> {
        let context = xray_propagator::span_context_from_str(text.trim())?;
        let undecided = context.trace_flags() & TraceFlags::new(2) == TraceFlags::new(2);
        Self::from_context(&context).map(|parent| Self { sampled: parent.sampled || undecided, ..parent })
    }

    /// X-Ray's form of it.
    pub fn to_xray(self) -> String {
        xray_propagator::span_context_to_string(&self.into()).expect("neither id of a TraceParent is zero")
    }

    /// A fresh trace with ids X-Ray accepts (their first four bytes are the time). The span it names is nobody's.
    pub fn random() -> Self {
        let ids = XrayIdGenerator::default();
        loop {
            let trace_id = u128::from_be_bytes(ids.new_trace_id().to_bytes());
            let span_id = u64::from_be_bytes(ids.new_span_id().to_bytes());
            if let Some(parent) = Self::new(trace_id, span_id, true) {
                return parent;
            }
        }
    }

    /// The trace's id; shown as 32 lowercase hex digits by [`TraceParent::trace_id_hex`].
    pub const fn trace_id(self) -> u128 {
        self.trace_id
    }

    /// The id of the span that was current where this was written.
    pub const fn span_id(self) -> u64 {
        self.span_id
    }

    /// Whether the trace is recorded.
    pub const fn sampled(self) -> bool {
        self.sampled
    }

    /// The trace id as 32 lowercase hex digits.
    pub fn trace_id_hex(self) -> String {
        format!("{:032x}", self.trace_id)
    }

    pub(crate) fn from_context(context: &SpanContext) -> Option<Self> {
        Self::new(
            u128::from_be_bytes(context.trace_id().to_bytes()),
            u64::from_be_bytes(context.span_id().to_bytes()),
            context.is_sampled(),
        )
    }
}

/// Lowercase hex digits as a number; at most 32 of them.
fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0_u128, |number, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some((number << 4) | u128::from(value))
    })
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace_id, self.span_id, u8::from(self.sampled))
    }
}

impl fmt::Display for InvalidTraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no W3C traceparent; it looks like 00-<32 hex digits>-<16 hex digits>-<2 hex digits>")
    }
}

impl std::error::Error for InvalidTraceParent {}

impl std::str::FromStr for TraceParent {
    type Err = InvalidTraceParent;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text).ok_or(InvalidTraceParent)
    }
}

impl TryFrom<String> for TraceParent {
    type Error = InvalidTraceParent;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<TraceParent> for String {
    fn from(parent: TraceParent) -> Self {
        parent.to_string()
    }
}

impl From<TraceParent> for SpanContext {
    fn from(parent: TraceParent) -> Self {
        let flags = if parent.sampled { TraceFlags::SAMPLED } else { TraceFlags::default() };
        Self::new(
            TraceId::from_bytes(parent.trace_id.to_be_bytes()),
            SpanId::from_bytes(parent.span_id.to_be_bytes()),
            flags,
            true,
            TraceState::default(),
        )
    }
}

/// The trace context of a request: `traceparent` if it is valid, else X-Ray's header. Names are in lower case.
pub fn from_headers<'a>(header: impl Fn(&str) -> Option<&'a str>) -> Option<TraceParent> {
    header(TRACEPARENT)
        .and_then(TraceParent::parse)
        .or_else(|| header(X_AMZN_TRACE_ID).and_then(TraceParent::from_xray))
}

/// The current span's context, to go with outgoing events and requests; `None` when no span is recorded.
pub fn current() -> Option<TraceParent> {
    of(&Span::current())
}

/// As [`current`], of a given span.
pub fn of(span: &Span) -> Option<TraceParent> {
    TraceParent::from_context(span.context().span().span_context())
}

/// What outgoing events and requests carry: the current span's context; with tracing off the incoming one, passed
/// through; with none there, what `fresh` makes ([`TraceParent::random`], or a fixed one in a test).
pub fn outgoing(incoming: Option<TraceParent>, fresh: impl FnOnce() -> TraceParent) -> TraceParent {
    current().or(incoming).unwrap_or_else(fresh)
}

/// Links `span` to the traces its messages came from, each once, [`MAX_LINKS`] at most. Returns how many distinct
/// ones there were, linked or not; above the limit the span's `links.dropped` says how many are missing.
///
/// A batch has many parents; OpenTelemetry's conventions for messaging ask for links.
pub fn link(span: &Span, messages: impl IntoIterator<Item = TraceParent>) -> usize {
    if span.is_disabled() {
        return 0;
    }
    let mut seen = HashSet::new();
    for message in messages {
        if seen.insert(message) && seen.len() <= MAX_LINKS {
            span.add_link(message.into());
        }
    }
    if seen.len() > MAX_LINKS {
        span.set_attribute("links.dropped", i64::try_from(seen.len() - MAX_LINKS).unwrap_or(i64::MAX));
    }
    seen.len()
}

#[cfg(test)]
mod tests;
