#![doc = include_str!("../README.md")]

use micrograph::Micrograph;
use micrograph::manifest::{Function, Manifest, Queue, Rule, Target, Trigger};
use serde::Serialize;
use serde_json::json;

/// The queue that hears every event.
pub const QUEUE: &str = archive::QUEUE;

/// The handler that archives.
pub const ARCHIVIST: &str = "archivist";
/// The handler that puts what it gave up into its quarantine.
pub const DEAD_LETTERS: &str = "dead-letters";
/// The handler that measures its quarantine.
pub const WATCH: &str = "watch";
/// The handler that merges the objects of hours that are over.
pub const COMPACTOR: &str = "compactor";
/// The handler that takes an aggregate out, when it is called with `{"domain", "subject"}`.
pub const ERASER: &str = "eraser";

/// Messages in a batch: as many as Lambda takes, because a batch makes an object for each domain and hour in it.
const BATCH: u32 = 10_000;
/// How long a batch is gathered, in seconds.
const WINDOW: u32 = 60;
const TIMEOUT: u32 = 60;
/// The most that Lambda gives: a large archive takes several calls to go through.
const LONG_TIMEOUT: u32 = 900;
const FOURTEEN_DAYS: u32 = 14 * 24 * 3600;

/// What keeping the archive needs.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ArchiveManifest {
    /// As for a micrograph: its quarantine, its queue, the rule that feeds it, the function that empties it.
    #[serde(flatten)]
    pub manifest: Manifest,
    /// Its buckets.
    pub buckets: Vec<Bucket>,
    /// Its other functions.
    pub tasks: Vec<Task>,
}

/// An S3 bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Bucket {
    /// Its name, before any prefix of the deployment.
    pub name: &'static str,
    /// The variable of the functions' environment that holds its name.
    pub variable: &'static str,
    /// Whether it keeps what was removed. It must not, or nothing could be erased.
    pub versioned: bool,
    /// The functions that read its objects and make new ones.
    pub writers: Vec<String>,
    /// Those among them that remove objects too.
    pub removers: Vec<String>,
}

/// A function that no queue invokes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Task {
    /// Its name.
    pub name: String,
    /// The handler's name.
    pub handler: &'static str,
    /// How often it is invoked, in hours; never but by hand where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub every_hours: Option<u32>,
    /// Timeout in seconds.
    pub timeout_seconds: u32,
    /// Memory in MB.
    pub memory_mb: u32,
    /// How many may run at once: hours are written anew by one at a time.
    pub concurrency: u32,
}

/// The archive as a bounded context: it owns a quarantine, and folds nothing.
pub fn micrograph() -> Micrograph {
    Micrograph::new("archive")
}

/// The name of the function with this handler.
fn named(handler: &str) -> String {
    format!("archive-{handler}")
}

/// What keeping the archive needs.
pub fn manifest() -> ArchiveManifest {
    let mut manifest = Manifest::of(&micrograph());
    let quarantine: Vec<String> = manifest.tables.iter().map(|table| table.name.clone()).collect();
    manifest.queues.push(Queue {
        name: QUEUE.to_owned(),
        consumer: ARCHIVIST.to_owned(),
        fifo: false,
        visibility_timeout_seconds: 6 * TIMEOUT + WINDOW,
        retention_seconds: FOURTEEN_DAYS,
        max_receive_count: 5,
        dead_letter_queue: format!("{QUEUE}-dead-letters"),
    });
    manifest.rules.push(Rule {
        name: QUEUE.to_owned(),
        // Domain events carry a type and a version; what regions tell each other of aggregates is no history.
        pattern: json!({
            "source": [{ "prefix": "tributary." }],
            "detail-type": [{ "anything-but": [micrograph::regions::REPLICA, micrograph::regions::HOMES] }],
        }),
        target: Target::Queue(QUEUE.to_owned()),
    });
    manifest.functions.push(Function {
        name: named(DEAD_LETTERS),
        handler: DEAD_LETTERS.to_owned(),
        trigger: Trigger::Queues { queues: vec![format!("{QUEUE}-dead-letters")], batch_size: 10 },
        timeout_seconds: TIMEOUT,
        memory_mb: 256,
        reads: quarantine.clone(),
        writes: quarantine.clone(),
        puts_events: false,
        scans: Vec::new(),
        sends: Vec::new(),
        archives: Vec::new(),
        relational: None,
    });
    manifest.functions.push(Function {
        name: named(ARCHIVIST),
        handler: ARCHIVIST.to_owned(),
        trigger: Trigger::Queue {
            queue: QUEUE.to_owned(),
            batch_size: BATCH,
            window_seconds: WINDOW,
            maximum_concurrency: 2,
        },
        timeout_seconds: TIMEOUT,
        memory_mb: 512,
        reads: Vec::new(),
        writes: quarantine,
        puts_events: false,
        scans: Vec::new(),
        sends: Vec::new(),
        archives: Vec::new(),
        relational: None,
    });
    let task = |handler, every_hours| Task {
        name: named(handler),
        handler,
        every_hours,
        timeout_seconds: LONG_TIMEOUT,
        memory_mb: 512,
        concurrency: 1,
    };
    ArchiveManifest {
        manifest,
        buckets: vec![Bucket {
            name: "archive",
            variable: "ARCHIVE_BUCKET",
            versioned: false,
            writers: [ARCHIVIST, COMPACTOR, ERASER].map(named).into(),
            removers: [COMPACTOR, ERASER].map(named).into(),
        }],
        tasks: vec![task(COMPACTOR, Some(24)), task(ERASER, None)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifest_says_what_aws_needs() {
        let json = serde_json::to_value(manifest()).unwrap();
        assert_eq!(json["micrograph"], "archive");
        assert_eq!(json["tables"][0]["name"], "archive-quarantine");
        assert_eq!(json["rules"][0]["pattern"]["source"][0]["prefix"], contracts_source_prefix());
        let functions = json["functions"].as_array().unwrap();
        let trigger =
            |handler: &str| &functions.iter().find(|it| it["handler"] == handler).unwrap()["trigger"];
        assert_eq!(trigger(ARCHIVIST)["queue"], json["queues"][0]["name"]);
        assert_eq!(trigger(DEAD_LETTERS)["queues"][0], json["queues"][0]["deadLetterQueue"]);
        assert_eq!(json["buckets"][0]["versioned"], false);
        assert_eq!(json["tasks"].as_array().unwrap().len(), 2);
    }

    /// What every source on the bus begins with.
    fn contracts_source_prefix() -> String {
        contracts::event::source("")
    }
}
