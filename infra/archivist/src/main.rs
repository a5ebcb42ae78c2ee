//! The archive's functions on Lambda, one binary for all: `_HANDLER` says which. `archivist manifest` prints what they
//! need.

use anyhow::{Context as _, bail};
use archive::{Archive, Archivist, Filter};
use jiff::{SignedDuration, Timestamp};
use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use micrograph::{App, Environment};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long the end of an invocation may wait for telemetry to be sent.
const FLUSH: Duration = Duration::from_millis(200);

/// An hour is compacted when it ended so long ago: most of its late events have come.
const SETTLED: SignedDuration = SignedDuration::from_hours(2);
/// Hours that began longer ago are left alone by the daily compaction.
const LOOKED_BACK: SignedDuration = SignedDuration::from_hours(24 * 7);

/// What the eraser is called with.
#[derive(Deserialize)]
struct Erase {
    domain: String,
    subject: String,
}

struct Keeper {
    archive: Archive,
    archivist: Archivist,
    app: Arc<App>,
    clock: fn() -> Timestamp,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    if std::env::args().nth(1).as_deref() == Some("manifest") {
        println!("{}", serde_json::to_string_pretty(&archivist::manifest())?);
        return Ok(());
    }
    if std::env::var_os("AWS_LAMBDA_RUNTIME_API").is_none() {
        bail!("it runs on Lambda; here it takes `manifest`. Locally `cargo run` keeps the archive");
    }
    let telemetry = telemetry::init(telemetry::Config::from_env());
    let handler =
        std::env::var("_HANDLER").context("_HANDLER must name the role: set the function's handler")?;
    let known = [
        archivist::ARCHIVIST,
        archivist::DEAD_LETTERS,
        archivist::WATCH,
        archivist::COMPACTOR,
        archivist::ERASER,
    ];
    if !known.contains(&handler.as_str()) {
        bail!("there is no handler `{handler}`: there are {known:?}");
    }
    let bucket = std::env::var("ARCHIVE_BUCKET").context("ARCHIVE_BUCKET must name the archive's bucket")?;
    let archive = Archive::in_bucket(&bucket)?;
    let app = App::new(archivist::micrograph(), Environment::from_env().await?);
    let clock = app.environment().clock;
    let archivist = Archivist::new(archive.clone(), Arc::new(app.quarantine()), clock);
    let keeper = Keeper { archive, archivist, app, clock };
    let (keeper, handler, telemetry_guard) = (&keeper, handler.as_str(), &telemetry);
    let invoke = |event: LambdaEvent<Box<RawValue>>| async move {
        let context = event.context;
        let left = Duration::from_millis(context.deadline.saturating_sub(milliseconds((keeper.clock)())));
        let deadline = Some(Instant::now() + left);
        let answer = keeper.answer(handler, event.payload.get().as_bytes(), deadline).await;
        let answer = answer.map_err(|error| {
            let error_message = format!("{error:#}");
            tracing::error!(error = error_message, handler, "the invocation failed");
            Diagnostic { error_type: handler.to_owned(), error_message }
        });
        telemetry_guard.flush(FLUSH);
        answer
    };
    let serving = async {
        let served: Result<(), _> = lambda_runtime::run(service_fn(invoke)).await;
        served.map_err(|error| anyhow::anyhow!(error))
    };
    let served = micrograph::lambda::until_asked_to_end(serving).await;
    telemetry.flush(FLUSH);
    served
}

fn milliseconds(time: Timestamp) -> u64 {
    u64::try_from(time.as_millisecond()).unwrap_or_default()
}

impl Keeper {
    async fn answer(
        &self,
        handler: &str,
        payload: &[u8],
        deadline: Option<Instant>,
    ) -> anyhow::Result<Value> {
        match handler {
            archivist::COMPACTOR => {
                let now = (self.clock)();
                let filter =
                    Filter { from: Some(now - LOOKED_BACK), to: Some(now - SETTLED), ..Filter::default() };
                let compacted = self.archive.compact(&filter).await?;
                for damaged in &compacted.damaged {
                    tracing::error!(
                        object = damaged.object,
                        why = damaged.why,
                        "an object of the archive is damaged"
                    );
                }
                Ok(serde_json::to_value(compacted)?)
            }
            archivist::ERASER => {
                let wanted = serde_json::from_slice(payload);
                let Erase { domain, subject } =
                    wanted.context("the eraser is called with {\"domain\": …, \"subject\": …}")?;
                let erased = self.archive.erase(&domain, &subject).await?;
                Ok(serde_json::to_value(erased)?)
            }
            archivist::DEAD_LETTERS | archivist::WATCH => {
                Ok(Box::pin(self.app.invoke(handler, payload, deadline)).await?)
            }
            _ => Ok(self.archivist.handle(payload, deadline).await?),
        }
    }
}
