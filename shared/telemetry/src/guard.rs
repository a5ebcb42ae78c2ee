//! Turning telemetry on, and getting it out in time.

use crate::config::{Config, LogFormat, Traces};
use crate::log::JsonLines;
use crate::sink::Sink;
use crate::{error_chain, metrics};
use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::trace::SdkTracerProvider;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;
use tracing::Dispatch;
use tracing_subscriber::filter::{EnvFilter, LevelFilter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{Layer, Registry};

/// How long dropping a [`Guard`] may take.
const DROP_DEADLINE: Duration = Duration::from_secs(2);

/// Keeps telemetry running; flushes it when dropped, for two seconds at most.
#[must_use = "telemetry is flushed when the guard is dropped"]
#[derive(Debug)]
pub struct Guard {
    provider: Option<SdkTracerProvider>,
    sink: Sink,
    flushing: Arc<AtomicBool>,
}

/// Turns on what `config` asks for, for the whole process.
///
/// It never fails: where something can't be had (a bad filter, an exporter that can't be built, a subscriber that is
/// already installed) the rest is turned on and a warning is logged. Called twice, the second call changes nothing.
pub fn init(mut config: Config) -> Guard {
    let mut warnings = std::mem::take(&mut config.warnings);
    let provider = provider(&config, &mut warnings);
    let sink = match config.log {
        LogFormat::Json => Sink::Stdout,
        LogFormat::Pretty => Sink::Stderr,
    };
    let dispatch = subscriber(&config, &sink, provider.as_ref(), &mut warnings);
    if tracing::dispatcher::set_global_default(dispatch).is_err() {
        warnings.push("telemetry is already on in this process; the first configuration stays".to_owned());
    }
    metrics::install(&config);
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    Guard { provider, sink, flushing: Arc::default() }
}

/// Builds the subscriber: one layer of log lines, one of spans, each with a filter of its own.
pub(crate) fn subscriber(
    config: &Config,
    sink: &Sink,
    provider: Option<&SdkTracerProvider>,
    warnings: &mut Vec<String>,
) -> Dispatch {
    let filter = EnvFilter::try_new(&config.level).unwrap_or_else(|error| {
        warnings.push(format!("the log level {:?} can't be read, `info` is used: {error}", config.level));
        EnvFilter::new("info")
    });
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match config.log {
        LogFormat::Json => JsonLines::new(&config.service, sink.clone()).with_filter(filter).boxed(),
        LogFormat::Pretty => {
            let stderr = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
            stderr.with_ansi(false).compact().with_filter(filter).boxed()
        }
    };
    let spans = provider.map(|provider| {
        tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("tributary"))
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_filter(LevelFilter::INFO)
    });
    Dispatch::new(Registry::default().with(lines).with(spans))
}

/// A provider whose spans carry the service's name and ids X-Ray accepts; the exporter is still to be added.
#[cfg(any(feature = "otlp", test))]
pub(crate) fn spans_of(config: &Config) -> opentelemetry_sdk::trace::TracerProviderBuilder {
    use opentelemetry_aws::trace::XrayIdGenerator;

    let resource = opentelemetry_sdk::Resource::builder()
        .with_service_name(config.service.clone())
        .with_attribute(opentelemetry::KeyValue::new("cloud.region", config.region.clone()))
        .build();
    SdkTracerProvider::builder().with_id_generator(XrayIdGenerator::default()).with_resource(resource)
}

#[cfg(feature = "otlp")]
fn provider(config: &Config, warnings: &mut Vec<String>) -> Option<SdkTracerProvider> {
    use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig};

    /// The longest an export may take before its spans are dropped.
    const EXPORT_TIMEOUT: Duration = Duration::from_secs(3);

    let Traces::Otlp { endpoint } = &config.traces else { return None };
    let exporter = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
        .with_timeout(EXPORT_TIMEOUT)
        .build();
    match exporter {
        Ok(exporter) => Some(spans_of(config).with_batch_exporter(exporter).build()),
        Err(error) => {
            warnings.push(format!("spans can't be exported to {endpoint}: {}", error_chain(&error)));
            None
        }
    }
}

#[cfg(not(feature = "otlp"))]
fn provider(config: &Config, warnings: &mut Vec<String>) -> Option<SdkTracerProvider> {
    if let Traces::Otlp { endpoint } = &config.traces {
        warnings.push(format!(
            "spans can't be exported to {endpoint}: this build lacks telemetry's cargo feature `otlp`"
        ));
    }
    None
}

impl Guard {
    /// Writes what is held back: counters and histograms as metrics, recorded spans to their exporter. Call it at
    /// the end of each Lambda invocation, before the answer: the process is frozen after it.
    ///
    /// Returns within `deadline`, and whether everything got out. What did not is sent by a later flush; while an
    /// exporter hangs, later calls don't wait for it again.
    pub fn flush(&self, deadline: Duration) -> bool {
        metrics::flush();
        self.sink.flush();
        let Some(provider) = self.provider.clone() else { return true };
        if self.flushing.swap(true, Ordering::AcqRel) {
            return false;
        }
        let flushing = Arc::clone(&self.flushing);
        let (done, wait) = mpsc::sync_channel(1);
        let exporting = std::thread::Builder::new().name("telemetry-flush".to_owned()).spawn(move || {
            let result = provider.force_flush();
            flushing.store(false, Ordering::Release);
            let _ = done.send(result);
        });
        if exporting.is_err() {
            self.flushing.store(false, Ordering::Release);
            return false;
        }
        match wait.recv_timeout(deadline) {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                tracing::debug!(error = error_chain(&error), "spans were not exported");
                false
            }
            Err(_) => false,
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.flush(DROP_DEADLINE);
    }
}

#[cfg(test)]
mod tests {
    use super::{Guard, spans_of, subscriber};
    use crate::config::Config;
    use crate::sink::Sink;
    use opentelemetry_sdk::error::OTelSdkResult;
    use opentelemetry_sdk::trace::{SpanData, SpanExporter};
    use std::sync::{Arc, Mutex, mpsc};
    use std::time::Duration;

    /// Hangs in each export until its sender is dropped.
    #[derive(Debug)]
    struct Hangs(Mutex<mpsc::Receiver<()>>);

    impl SpanExporter for Hangs {
        async fn export(&self, _: Vec<SpanData>) -> OTelSdkResult {
            let _ = self.0.lock().unwrap().recv();
            Ok(())
        }
    }

    #[test]
    fn an_exporter_that_hangs_delays_nobody() {
        let (release, hang) = mpsc::channel();
        let config = Config::quiet("test");
        let provider = spans_of(&config).with_batch_exporter(Hangs(Mutex::new(hang))).build();
        let sink = Sink::memory();
        let dispatch = subscriber(&config, &sink, Some(&provider), &mut Vec::new());
        let guard = Guard { provider: Some(provider), sink, flushing: Arc::default() };
        tracing::dispatcher::with_default(&dispatch, || {
            drop(crate::span::invocation("role", "r", "c", None));
        });
        // Were it to wait for the exporter, this would never end.
        assert!(!guard.flush(Duration::from_millis(1)));
        assert!(!guard.flush(Duration::MAX), "the first flush is still under way");
        drop(release);
    }

    #[test]
    fn with_traces_off_there_is_nothing_to_wait_for() {
        let guard = Guard { provider: None, sink: Sink::memory(), flushing: Arc::default() };
        assert!(guard.flush(Duration::ZERO));
    }
}
