//! What a micrograph does for who reads through caches and who reads what they wrote: it announces what changed, and
//! notes how far its projections are.

use crate::generations::Read;
use async_trait::async_trait;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes};
use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use federation::read::Alias;
use federation::{Changes, Consistency};
use freshness::{Tag, Write};
use futures::StreamExt;
use projection::store::StoreError;
use projection::told::{Announce, Mark, Progress};
use serde_json::json;
use std::collections::{BTreeSet, HashMap};

/// What the source of an event that announces changes begins with; the micrograph's name follows.
pub const CACHE_SOURCE: &str = "cache.";

/// The type of an event that announces changes: its detail has `tags`, a list of texts.
pub const TAGS_CHANGED: &str = "CacheTagsChanged";

/// The most tags in one event: they take about 150 KB.
const TAGS: usize = 5_000;

/// For how long it is remembered that a projection reached a version, in seconds: twice as long as a token is good.
const REMEMBERED: i64 = 1_200;

/// Keys in one `BatchGetItem`.
const KEYS: usize = 100;

/// Writes under way at once.
const CONCURRENT: usize = 16;

/// What a deployment does beyond serving what it knows.
#[derive(Clone, Debug, Default)]
pub struct Edge {
    /// Mutations give tokens, and queries wait for them; none does neither.
    pub consistency: Option<Consistency>,
    /// Consumers announce what changed, so that caches drop it.
    pub announces: bool,
}

/// Announces what changed on the bus, for the generation that is read: nobody caches another.
pub(crate) struct Announcer {
    pub client: aws_sdk_eventbridge::Client,
    pub bus: String,
    pub micrograph: &'static str,
    pub read: Read,
}

/// Tells of what changed whoever wants to know: first who subscribed in this process, then the bus.
pub(crate) struct Told {
    pub here: Option<Changes>,
    pub bus: Option<Announcer>,
}

#[async_trait]
impl Announce for Told {
    async fn changed(&self, table: &str, tags: BTreeSet<Tag>) {
        if let Some(changes) = &self.here {
            changes.tell(&tags);
        }
        if let Some(announcer) = &self.bus {
            announcer.changed(table, tags).await;
        }
    }
}

#[async_trait]
impl Announce for Announcer {
    async fn changed(&self, table: &str, tags: BTreeSet<Tag>) {
        // Where it can't be told which generation is read, one announcement too many does no harm.
        if self.read.table().await.is_ok_and(|read| *read != *table) {
            return;
        }
        let tags: Vec<&str> = tags.iter().map(Tag::as_str).collect();
        for tags in tags.chunks(TAGS) {
            let entry = PutEventsRequestEntry::builder()
                .event_bus_name(&self.bus)
                .source(format!("{CACHE_SOURCE}{}", self.micrograph))
                .detail_type(TAGS_CHANGED)
                .detail(json!({ "tags": tags }).to_string())
                .build();
            let put = self.client.put_events().entries(entry).send().await;
            let error = match put {
                Ok(answer) if answer.failed_entry_count == 0 => continue,
                Ok(answer) => {
                    let entry = answer.entries.unwrap_or_default().into_iter().next();
                    entry.and_then(|it| it.error_code).unwrap_or_default()
                }
                Err(error) => telemetry::error_chain(&error),
            };
            let (micrograph, tags) = (self.micrograph, tags.len());
            tracing::warn!(
                micrograph,
                tags,
                error,
                "what changed can't be announced; caches keep it for as long as they may"
            );
        }
    }
}

/// How far the projections of a micrograph are, in the table of its generations.
#[derive(Clone, Debug)]
pub(crate) struct Marks {
    pub client: aws_sdk_dynamodb::Client,
    pub table: String,
    pub clock: fn() -> jiff::Timestamp,
}

type Item = HashMap<String, AttributeValue>;

impl Marks {
    /// Whether the generation that stands in `table` has reached all these writes.
    pub async fn reached(&self, table: &str, writes: &[Write]) -> Result<bool, StoreError> {
        let mut wanted: HashMap<String, u64> = HashMap::new();
        for write in writes {
            let version = wanted.entry(name(table, write.subject)).or_default();
            *version = (*version).max(write.version);
        }
        let keys: Vec<Item> = wanted.keys().map(|name| key(name)).collect();
        let mut reached = 0;
        for keys in keys.chunks(KEYS) {
            let asked = KeysAndAttributes::builder().set_keys(Some(keys.to_vec())).consistent_read(true);
            let asked = asked.build().expect("keys are set");
            let answer = self.client.batch_get_item().request_items(&self.table, asked).send().await;
            let answer =
                answer.map_err(|it| projection::dynamodb::failure("BatchGetItem", &self.table, it))?;
            let items =
                answer.responses.and_then(|mut tables| tables.remove(&self.table)).unwrap_or_default();
            let is_reached = |item: &&Item| {
                let version = item.get("v").and_then(|it| it.as_n().ok()?.parse::<u64>().ok());
                let wanted = item.get("pk").and_then(|it| wanted.get(it.as_s().ok()?));
                version.zip(wanted).is_some_and(|(version, wanted)| version >= *wanted)
            };
            reached += items.iter().filter(is_reached).count();
        }
        Ok(reached == wanted.len())
    }

    async fn mark(&self, table: &str, mark: Mark) -> Result<(), StoreError> {
        let ttl = (self.clock)().as_second() + REMEMBERED;
        let number = |number: String| AttributeValue::N(number);
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(key(&name(table, mark.subject))))
            .item("v", number(mark.version.to_string()))
            .item("ttl", number(ttl.to_string()))
            .condition_expression("attribute_not_exists(pk) OR v < :v")
            .expression_attribute_values(":v", number(mark.version.to_string()));
        match put.send().await {
            Ok(_) => Ok(()),
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(PutItemError::is_conditional_check_failed_exception) =>
            {
                Ok(())
            }
            Err(error) => Err(projection::dynamodb::failure("PutItem", &self.table, error)),
        }
    }
}

#[async_trait]
impl Progress for Marks {
    async fn reached(&self, table: &str, marks: &[Mark]) -> Result<(), StoreError> {
        let mut newest: HashMap<u64, Mark> = HashMap::new();
        for mark in marks {
            let known = newest.entry(mark.subject).or_insert(*mark);
            known.version = known.version.max(mark.version);
        }
        let writes: Vec<_> = newest.into_values().map(|mark| self.mark(table, mark)).collect();
        let mut writes = futures::stream::iter(writes).buffer_unordered(CONCURRENT);
        while let Some(written) = writes.next().await {
            written?;
        }
        Ok(())
    }
}

/// The partition key of a mark. Projections' names, which are keys of the same table, have no `#`.
fn name(table: &str, subject: u64) -> String {
    format!("reached#{table}#{subject:016x}")
}

fn key(name: &str) -> Item {
    let text = |text: &str| AttributeValue::S(text.to_owned());
    HashMap::from([("pk".to_owned(), text(name)), ("sk".to_owned(), text(projection::Key::ALONE))])
}
