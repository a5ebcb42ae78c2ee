//! Log lines as JSON: one object a line, with the fields of the enclosing spans at its top level.

use crate::sink::Sink;
use serde_json::{Map, Value};
use std::fmt;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

/// The longest text of a field, in bytes; what is longer is cut and ends in `…`. CloudWatch refuses events of more
/// than 1 MB, and a line that big is no help.
const MAX_TEXT: usize = 16 * 1024;

/// Names a line has of its own; a field of the same name gets an underscore in front.
const RESERVED: [&str; 4] = ["timestamp", "level", "target", "service"];

/// Writes each event as a line of JSON.
pub(crate) struct JsonLines {
    service: String,
    sink: Sink,
}

impl JsonLines {
    pub(crate) fn new(service: &str, sink: Sink) -> Self {
        Self { service: service.to_owned(), sink }
    }
}

/// The fields of a span, kept with it.
struct SpanFields(Map<String, Value>);

impl<S> Layer<S> for JsonLines
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            let mut fields = Map::new();
            attributes.record(&mut Fields(&mut fields));
            span.extensions_mut().insert(SpanFields(fields));
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(SpanFields(fields)) = span.extensions_mut().get_mut()
        {
            values.record(&mut Fields(fields));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut line = Map::new();
        let mut timestamp = String::new();
        // The time of writing; it can only fail if the string does.
        let _ = SystemTime.format_time(&mut Writer::new(&mut timestamp));
        line.insert("timestamp".to_owned(), timestamp.into());
        line.insert("level".to_owned(), event.metadata().level().as_str().into());
        line.insert("message".to_owned(), Value::String(String::new()));
        line.insert("service".to_owned(), self.service.as_str().into());
        line.insert("target".to_owned(), event.metadata().target().into());
        for span in
            context.event_scope(event).into_iter().flat_map(tracing_subscriber::registry::Scope::from_root)
        {
            if let Some(SpanFields(fields)) = span.extensions().get() {
                line.extend(fields.iter().map(|(name, value)| (name.clone(), value.clone())));
            }
        }
        event.record(&mut Fields(&mut line));
        if let Ok(mut bytes) = serde_json::to_vec(&line) {
            bytes.push(b'\n');
            self.sink.write(&bytes);
        }
    }
}

/// Collects fields as JSON values.
struct Fields<'a>(&'a mut Map<String, Value>);

impl Fields<'_> {
    fn insert(&mut self, field: &Field, value: Value) {
        let name = field.name();
        // Instructions for the span exporter, not facts for a reader.
        if name.starts_with("otel.") {
            return;
        }
        let name = if RESERVED.contains(&name) { format!("_{name}") } else { name.to_owned() };
        self.0.insert(name, value);
    }
}

/// Cuts a text that is too long, at a character.
fn bounded(text: &str) -> String {
    if text.len() <= MAX_TEXT {
        return text.to_owned();
    }
    let mut end = MAX_TEXT;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &text[..end])
}

impl Visit for Fields<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        let number = serde_json::Number::from_f64(value);
        self.insert(field, number.map_or_else(|| value.to_string().into(), Value::Number));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.insert(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.insert(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.insert(field, value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.insert(field, bounded(value).into());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.insert(field, bounded(&crate::error_chain(value)).into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.insert(field, bounded(&format!("{value:?}")).into());
    }
}

#[cfg(test)]
mod tests;
