//! Logs, deliveries, a sink that remembers and a store that fails when told.

use archive::object_store::memory::InMemory;
use archive::object_store::path::Path;
use archive::object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use archive::{Archive, Archivist, Filter, Replayed, Sink, SinkError};
use async_trait::async_trait;
use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use projection::quarantine::{Quarantine, Quarantined, Reason};
use projection::store::StoreError;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

/// The first moment of every log: eight minutes before the end of a day, so that hours, days and months change.
pub const START: i64 = 1_296_517_920;

const TYPES: [(&str, &str, &str); 4] = [
    ("orders", "OrderPlaced", "State"),
    ("orders", "OrderCancelled", "Deleted"),
    ("catalogue", "ProductListed", "State"),
    ("inventory", "StockAdjusted", "Delta"),
];

/// An event as the bus carries it.
pub fn event(number: usize, kind: usize, subject: usize, after_seconds: i64, region: &str) -> String {
    let (domain, name, kind) = TYPES[kind % TYPES.len()];
    let time = Timestamp::from_second(START + after_seconds).unwrap();
    json!({
        "id": format!("{number:032x}"), "domain": domain, "type": name, "major": 1, "subject": format!("s{subject}"),
        "version": { "epoch": 0, "seq": number + 1 }, "index": 0, "region": region, "time": time, "kind": kind,
        "correlationId": format!("c{number}"), "data": { "text": "a \"quoted\" line\nbreak", "number": number },
    })
    .to_string()
}

/// Different events of some days, domains, aggregates and regions.
pub fn log(most: usize) -> impl Strategy<Value = Vec<String>> {
    let region = prop_oneof![Just("eu-west-1"), Just("us-east-1")];
    let one = (0..TYPES.len(), 0..5_usize, 0..60_i64 * 3600, region);
    prop::collection::vec(one, 1..most).prop_map(|events| {
        let numbered = events.into_iter().enumerate();
        numbered
            .map(|(number, (kind, subject, after, region))| event(number, kind, subject, after, region))
            .collect()
    })
}

/// Deliveries of a log: every event once to three times, shuffled, in batches.
pub fn deliveries(log: Vec<String>) -> impl Strategy<Value = (Vec<String>, Vec<Vec<String>>)> {
    let times = prop::collection::vec(1..=3_usize, log.len());
    (Just(log), times, 1..12_usize).prop_flat_map(|(log, times, size)| {
        let copies = log.iter().zip(times).flat_map(|(event, times)| vec![event.clone(); times]);
        let shuffled = Just(copies.collect::<Vec<_>>()).prop_shuffle();
        (Just(log), shuffled).prop_map(move |(log, all)| (log, all.chunks(size).map(<[_]>::to_vec).collect()))
    })
}

/// A batch of SQS messages named `0`, `1`, …, every other one with EventBridge's event around the envelope.
pub fn sqs(envelopes: &[String]) -> Vec<u8> {
    let records = envelopes.iter().enumerate().map(|(number, envelope)| {
        let body = match number % 2 {
            0 => envelope.clone(),
            _ => format!(r#"{{"version":"0","detail-type":"X","source":"tributary.x","detail":{envelope}}}"#),
        };
        json!({ "messageId": number.to_string(), "body": body, "eventSource": "aws:sqs" })
    });
    json!({ "Records": records.collect::<Vec<Value>>() }).to_string().into_bytes()
}

/// A quarantine that remembers reasons and messages.
#[derive(Default)]
pub struct Shelf(pub Mutex<Vec<(Reason, String)>>);

#[async_trait]
impl Quarantine for Shelf {
    async fn keep(&self, message: &Quarantined<'_>) -> Result<(), StoreError> {
        self.0.lock().unwrap().push((message.reason, message.raw.to_owned()));
        Ok(())
    }
}

pub fn archivist(archive: &Archive) -> (Archivist, Arc<Shelf>) {
    let shelf = Arc::new(Shelf::default());
    let clock = || Timestamp::from_second(START).unwrap();
    (Archivist::new(archive.clone(), Arc::clone(&shelf) as Arc<dyn Quarantine>, clock), shelf)
}

/// Archives batches that must all succeed.
pub async fn fill(archive: &Archive, batches: &[Vec<String>]) {
    let (archivist, shelf) = archivist(archive);
    for batch in batches {
        let report = archivist.archive(&sqs(batch), None).await.unwrap();
        assert_eq!((report.archived, report.failed.len()), (batch.len(), 0), "{report:?}");
    }
    assert_eq!(*shelf.0.lock().unwrap(), []);
}

/// A sink that remembers, and takes so many events at most.
pub struct Collected {
    pub events: Mutex<Vec<String>>,
    room: usize,
}

impl Collected {
    pub fn new() -> Self {
        Self::with_room(usize::MAX)
    }

    pub fn with_room(room: usize) -> Self {
        Self { events: Mutex::default(), room }
    }

    pub fn sorted(&self) -> Vec<String> {
        let mut events = self.events.lock().unwrap().clone();
        events.sort();
        events
    }

    pub fn distinct(&self) -> BTreeSet<String> {
        self.sorted().into_iter().collect()
    }
}

#[async_trait]
impl Sink for Collected {
    async fn send(&self, envelopes: Vec<Arc<str>>) -> Result<(), SinkError> {
        let mut events = self.events.lock().unwrap();
        if events.len() + envelopes.len() > self.room {
            return Err("it is full".into());
        }
        events.extend(envelopes.iter().map(ToString::to_string));
        Ok(())
    }
}

/// Everything that a filter wants, sorted.
pub async fn replayed(archive: &Archive, filter: &Filter) -> (Vec<String>, Replayed) {
    let sink = Collected::new();
    let replayed = archive.replay(filter, None, None, &sink, &|_| {}).await.unwrap();
    assert_eq!(replayed.sent, sink.events.lock().unwrap().len() as u64);
    (sink.sorted(), replayed)
}

pub fn sorted(mut log: Vec<String>) -> Vec<String> {
    log.sort();
    log
}

/// The paths of a store, in order.
pub async fn paths(store: &dyn ObjectStore) -> Vec<Path> {
    let mut all: Vec<Path> = store.list(None).map_ok(|it| it.location).try_collect().await.unwrap();
    all.sort();
    all
}

/// Runs a future, as proptest's cases need it.
pub fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

/// A store in memory that breaks after so many writes, and so many removals; a broken call may have had its effect.
#[derive(Debug)]
pub struct Flaky {
    pub inner: InMemory,
    pub writes_left: AtomicI64,
    pub removals_left: Arc<AtomicI64>,
    pub after_the_effect: bool,
}

impl Flaky {
    pub fn new(inner: InMemory) -> Self {
        let unlimited = || AtomicI64::new(i64::MAX);
        Self {
            inner,
            writes_left: unlimited(),
            removals_left: Arc::new(unlimited()),
            after_the_effect: false,
        }
    }
}

impl std::fmt::Display for Flaky {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("flaky")
    }
}

fn broken() -> Error {
    Error::Generic { store: "flaky", source: "broken as asked".into() }
}

#[async_trait]
impl ObjectStore for Flaky {
    async fn put_opts(&self, at: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let breaks = self.writes_left.fetch_sub(1, Ordering::SeqCst) <= 0;
        if breaks && !self.after_the_effect {
            return Err(broken());
        }
        let written = self.inner.put_opts(at, payload, options).await;
        if breaks { Err(broken()) } else { written }
    }

    async fn put_multipart_opts(
        &self,
        at: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(at, options).await
    }

    async fn get_opts(&self, at: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(at, options).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let left = Arc::clone(&self.removals_left);
        let allowed = paths.map(move |path| match left.fetch_sub(1, Ordering::SeqCst) {
            ..=0 => Err(broken()),
            _ => path,
        });
        self.inner.delete_stream(Box::pin(allowed))
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
