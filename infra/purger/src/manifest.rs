//! What the purger needs of its surroundings.

use micrograph::Micrograph;
use micrograph::edge::{CACHE_SOURCE, TAGS_CHANGED};
use micrograph::manifest::{Alarm, AlarmMetric, Function, Manifest, Queue, Rule, Target, Trigger};
use serde_json::json;

/// The queue that hears every announcement.
pub const QUEUE: &str = "cache-purger";

/// The handler that purges.
pub const PURGER: &str = "purger";

/// Messages in a batch: the more there are, the fewer invalidations of the same tags.
const BATCH: u32 = 1_000;
/// How long a batch is gathered, in seconds: for so long a change is not seen through a cache.
const WINDOW: u32 = 1;
const TIMEOUT: u32 = 60;
/// An announcement that was not heard for so long is of no use: what it was about has ended its life.
const RETENTION: u32 = 24 * 3600;

/// What the purger needs, as for a micrograph: its queue, the rule that feeds it, its function.
pub fn manifest() -> Manifest {
    let mut manifest = Manifest::of(&Micrograph::new("cache"));
    manifest.tables.clear();
    manifest.functions.clear();
    manifest.alarms.clear();
    manifest.queues.push(Queue {
        name: QUEUE.to_owned(),
        consumer: PURGER.to_owned(),
        fifo: false,
        visibility_timeout_seconds: 6 * TIMEOUT + WINDOW,
        retention_seconds: RETENTION,
        max_receive_count: 20,
        dead_letter_queue: format!("{QUEUE}-dead-letters"),
    });
    // A purge that no cache took: what it was about is seen until its life ends.
    let letters = format!("{QUEUE}-dead-letters");
    let depth = AlarmMetric::QueueDepth { queue: letters.clone() };
    manifest.alarms.push(Alarm { name: format!("{letters}-depth"), metric: depth, above: 0 });
    manifest.rules.push(Rule {
        name: QUEUE.to_owned(),
        pattern: json!({ "source": [{ "prefix": CACHE_SOURCE }], "detail-type": [TAGS_CHANGED] }),
        target: Target::Queue(QUEUE.to_owned()),
    });
    manifest.functions.push(Function {
        name: QUEUE.to_owned(),
        handler: PURGER.to_owned(),
        trigger: Trigger::Queue {
            queue: QUEUE.to_owned(),
            batch_size: BATCH,
            window_seconds: WINDOW,
            maximum_concurrency: 2,
        },
        timeout_seconds: TIMEOUT,
        memory_mb: 256,
        reads: Vec::new(),
        writes: Vec::new(),
        puts_events: false,
        scans: Vec::new(),
        sends: Vec::new(),
        archives: Vec::new(),
        relational: None,
    });
    manifest
}
