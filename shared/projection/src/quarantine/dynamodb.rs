//! The quarantine in a DynamoDB table.
//!
//! A message is an item `entry`, its bytes in it as far as they fit, else in parts that are written in the same
//! transaction; its last edit is an item `edit` beside it.

use super::{About, Cursor, Entry, Filter, Held, Page, Quarantine, Quarantined, Redrive, Standing};
use crate::dynamodb::failure;
use crate::store::StoreError;
use crate::table::{Index, Table};
use async_trait::async_trait;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::BuildError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{AttributeValue, Delete, Put, Select, TransactWriteItem, Update};
use jiff::Timestamp;
use std::collections::HashMap;
use std::fmt::Write as _;
use telemetry::metrics;

/// The bytes of a message that one item holds; DynamoDB's limit is 400 KB an item.
const PART: usize = 350 * 1024;

/// The largest message that is kept, in bytes: what one transaction takes. Queues and topics carry a third of it.
pub const LARGEST: usize = 3_500_000;

/// How many entries one read looks at.
const READ: i32 = 500;

/// How far the edits of edits are followed back.
const DEEPEST: usize = 32;

const ENTRY: &str = "entry";
const EDIT: &str = "edit";
const BY_TIME: &str = "by_time";

type Item = HashMap<String, AttributeValue>;

/// A quarantine in a DynamoDB table.
#[derive(Clone, Debug)]
pub struct DynamoQuarantine {
    client: Client,
    table: String,
    build: String,
    clock: fn() -> Timestamp,
}

/// The table of a quarantine. Nothing in it expires.
pub fn table(name: impl Into<String>) -> Table {
    // Only entries have the attribute that it sorts by: it holds them without their bytes.
    let by_time = Index::new(BY_TIME, "sk", "first_seen").including(&[
        "consumer",
        "reason",
        "detail",
        "build",
        "size_bytes",
        "last_seen",
        "times",
        "event_domain",
        "event_type",
        "event_subject",
        "event_id",
        "edits",
        "edited_at",
        "edit_of",
        "redriven_at",
    ]);
    Table { ttl: None, indexes: vec![by_time], ..Table::new(name) }
}

impl DynamoQuarantine {
    /// A quarantine in a table made after [`table`], written by a build.
    pub fn new(
        client: Client,
        table: impl Into<String>,
        build: impl Into<String>,
        clock: fn() -> Timestamp,
    ) -> Self {
        Self { client, table: table.into(), build: build.into(), clock }
    }

    /// At most `limit` entries after a place, by the time that they came first. One that was kept a moment ago may
    /// not be listed yet.
    pub async fn list(
        &self,
        filter: &Filter,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Page, StoreError> {
        let mut page = Page { entries: Vec::new(), next: after };
        loop {
            let request = self.by_time(filter).limit(READ);
            let request = request.set_exclusive_start_key(page.next.as_ref().map(start));
            let read = request.send().await.map_err(|error| failure("Query", &self.table, error))?;
            for item in read.items() {
                page.entries.push(entry(item));
                if page.entries.len() >= limit {
                    page.next = page
                        .entries
                        .last()
                        .map(|last| Cursor { id: last.id.clone(), first_seen: last.first_seen.clone() });
                    return Ok(page);
                }
            }
            page.next = read
                .last_evaluated_key
                .as_ref()
                .map(|key| Cursor { id: text(key, "pk"), first_seen: text(key, "first_seen") });
            if page.next.is_none() {
                return Ok(page);
            }
        }
    }

    /// How many entries there are, and since when.
    pub async fn standing(&self) -> Result<Standing, StoreError> {
        let oldest = self.list(&Filter::default(), None, 1).await?.entries.pop();
        let Some(oldest) = oldest else { return Ok(Standing::default()) };
        let mut standing = Standing { entries: 0, oldest: Some(oldest.first_seen) };
        let mut after = None;
        loop {
            let request = self.by_time(&Filter::default()).select(Select::Count);
            let request = request.set_exclusive_start_key(after);
            let read = request.send().await.map_err(|error| failure("Query", &self.table, error))?;
            standing.entries += u64::try_from(read.count).unwrap_or(0);
            after = read.last_evaluated_key;
            if after.is_none() {
                return Ok(standing);
            }
        }
    }

    fn by_time(&self, filter: &Filter) -> aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder {
        let mut request = self
            .client
            .query()
            .table_name(&self.table)
            .index_name(BY_TIME)
            .key_condition_expression("sk = :entry")
            .expression_attribute_values(":entry", AttributeValue::S(ENTRY.to_owned()));
        let wanted = [
            ("consumer", filter.consumer.clone()),
            ("reason", filter.reason.map(|reason| format!("{reason:?}"))),
            ("event_subject", filter.subject.clone()),
            ("event_type", filter.name.clone()),
        ];
        let mut conditions = Vec::new();
        for (name, value) in wanted {
            let Some(value) = value else { continue };
            conditions.push(format!("{name} = :{name}"));
            request = request.expression_attribute_values(format!(":{name}"), AttributeValue::S(value));
        }
        let filter = (!conditions.is_empty()).then(|| conditions.join(" AND "));
        request.set_filter_expression(filter)
    }

    /// An entry, or none of that id.
    pub async fn entry(&self, id: &str) -> Result<Option<Entry>, StoreError> {
        let read = self.client.get_item().table_name(&self.table).consistent_read(true);
        let read = read.set_key(Some(key(id, ENTRY))).send().await;
        let item = read.map_err(|error| failure("GetItem", &self.table, error))?.item;
        Ok(item.as_ref().map(entry))
    }

    /// An entry with its message, as it was delivered and as it was edited; none of that id.
    pub async fn show(&self, id: &str) -> Result<Option<Held>, StoreError> {
        let mut held = None;
        let mut parts = Vec::new();
        let mut edited = None;
        for item in self.items(id, None).await? {
            let raw = item.get("raw").and_then(|it| it.as_b().ok()).map(|it| it.as_ref().to_vec());
            match text(&item, "sk").as_str() {
                ENTRY => held = Some((entry(&item), raw)),
                EDIT => edited = item.get("text").and_then(|it| it.as_s().ok()).cloned(),
                part => parts.push((part.to_owned(), raw.unwrap_or_default())),
            }
        }
        let Some((entry, inline)) = held else { return Ok(None) };
        parts.sort();
        let raw = inline.unwrap_or_else(|| {
            // A delivery with more around the envelope may have left parts beyond the end of the last one.
            parts.into_iter().flat_map(|(_, bytes)| bytes).take(entry.bytes).collect()
        });
        Ok(Some(Held { entry, raw, edited }))
    }

    /// Keeps an edit of an entry beside its original, in place of an earlier one. Tells whether it did: not where the
    /// entry is gone, or was edited since it was read.
    pub async fn edit(&self, read: &Entry, edited: &str) -> Result<bool, StoreError> {
        let now = AttributeValue::S(self.now());
        let mut item = key(&read.id, EDIT);
        item.insert("text".to_owned(), AttributeValue::S(edited.to_owned()));
        item.insert("at".to_owned(), now.clone());
        let update = Update::builder()
            .table_name(&self.table)
            .set_key(Some(key(&read.id, ENTRY)))
            .update_expression("SET edits = :next, edited_at = :now REMOVE redriven_at")
            .condition_expression(format!("attribute_exists(first_seen) AND {}", edits_are(read.edits)))
            .set_expression_attribute_values(edits(read.edits))
            .expression_attribute_values(":next", number(read.edits + 1))
            .expression_attribute_values(":now", now)
            .build();
        let put = Put::builder().table_name(&self.table).set_item(Some(item)).build();
        let items = [
            update.map(|update| TransactWriteItem::builder().update(update).build()),
            put.map(|put| TransactWriteItem::builder().put(put).build()),
        ];
        self.transact(items.into_iter().collect()).await
    }

    /// Notes that an entry is under way again: before it is sent, so that a note that stays behind is never wrong for
    /// long. Tells whether there is such an entry.
    pub async fn redriving(&self, id: &str) -> Result<bool, StoreError> {
        let now = AttributeValue::S(self.now());
        self.note(id, "SET redriven_at = :now", Some((":now", now))).await
    }

    /// Removes an entry whatever becomes of its message, edits and all, and counts it. Tells whether there was one.
    pub async fn discard(&self, id: &str) -> Result<bool, StoreError> {
        for _ in 0..4 {
            let Some(entry) = self.entry(id).await? else { return Ok(false) };
            if self.remove(&entry.redrive()).await? {
                metrics::counter(metrics::QUARANTINE_DISCARDED, 1, &[("Consumer", &entry.consumer)]);
                tracing::warn!(entry = id, consumer = entry.consumer, "a quarantined message is discarded");
                return Ok(true);
            }
        }
        let source = "somebody kept editing the entry".into();
        Err(StoreError::Transient { operation: "TransactWriteItems", table: self.table.clone(), source })
    }

    /// Removes an entry unless it was edited since.
    async fn remove(&self, redrive: &Redrive) -> Result<bool, StoreError> {
        let entry = Delete::builder()
            .table_name(&self.table)
            .set_key(Some(key(&redrive.id, ENTRY)))
            .condition_expression(edits_are(redrive.edit))
            .set_expression_attribute_values(edits(redrive.edit))
            .build();
        let mut items = vec![entry.map(|delete| TransactWriteItem::builder().delete(delete).build())];
        for item in self.items(&redrive.id, Some("pk, sk")).await? {
            let sort = text(&item, "sk");
            if sort != ENTRY {
                let delete = Delete::builder().table_name(&self.table).set_key(Some(key(&redrive.id, &sort)));
                items.push(delete.build().map(|delete| TransactWriteItem::builder().delete(delete).build()));
            }
        }
        self.transact(items.into_iter().collect()).await
    }

    /// Writes all or nothing; tells which.
    async fn transact(&self, items: Result<Vec<TransactWriteItem>, BuildError>) -> Result<bool, StoreError> {
        let operation = "TransactWriteItems";
        let refused = |reason: String| StoreError::Refused { operation, table: self.table.clone(), reason };
        let items = items.map_err(|error| refused(error.to_string()))?;
        let Err(error) = self.client.transact_write_items().set_transact_items(Some(items)).send().await
        else {
            return Ok(true);
        };
        if let Some(TransactWriteItemsError::TransactionCanceledException(canceled)) =
            error.as_service_error()
        {
            let reasons = canceled.cancellation_reasons();
            if reasons.iter().any(|reason| reason.code() == Some("ConditionalCheckFailed")) {
                return Ok(false);
            }
            if let Some(invalid) = reasons.iter().find(|reason| reason.code() == Some("ValidationError")) {
                return Err(refused(invalid.message().unwrap_or("the item is not valid").to_owned()));
            }
        }
        Err(failure(operation, &self.table, error))
    }

    /// Changes a note on an entry; tells whether there is such an entry.
    async fn note(
        &self,
        id: &str,
        expression: &str,
        value: Option<(&str, AttributeValue)>,
    ) -> Result<bool, StoreError> {
        let request = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(key(id, ENTRY)))
            .update_expression(expression)
            .condition_expression("attribute_exists(first_seen)")
            .set_expression_attribute_values(
                value.map(|(name, value)| HashMap::from([(name.to_owned(), value)])),
            );
        match request.send().await {
            Ok(_) => Ok(true),
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(UpdateItemError::is_conditional_check_failed_exception) =>
            {
                Ok(false)
            }
            Err(error) => Err(failure("UpdateItem", &self.table, error)),
        }
    }

    async fn items(&self, id: &str, only: Option<&str>) -> Result<Vec<Item>, StoreError> {
        let mut items = Vec::new();
        let mut after = None;
        loop {
            let request = self
                .client
                .query()
                .table_name(&self.table)
                .consistent_read(true)
                .key_condition_expression("pk = :id")
                .expression_attribute_values(":id", AttributeValue::S(id.to_owned()))
                .set_projection_expression(only.map(str::to_owned))
                .set_exclusive_start_key(after);
            let page = request.send().await.map_err(|error| failure("Query", &self.table, error))?;
            items.extend(page.items.unwrap_or_default());
            after = page.last_evaluated_key;
            if after.is_none() {
                return Ok(items);
            }
        }
    }

    /// Of one length, so that texts sort as times do.
    fn now(&self) -> String {
        format!("{:.6}", (self.clock)())
    }

    fn update(&self, message: &Quarantined<'_>, id: &str) -> Result<Update, BuildError> {
        let mut set = "SET consumer = :consumer, reason = :reason, detail = :detail, build = :build, \
                       size_bytes = :bytes, first_seen = if_not_exists(first_seen, :now), last_seen = :now"
            .to_owned();
        let mut values: HashMap<String, AttributeValue> = HashMap::new();
        let about = About::of(message.envelope);
        let redrive = message.redrive.and_then(|text| text.parse::<Redrive>().ok());
        let edit_of = redrive.as_ref().filter(|redrive| redrive.id != id).map(Redrive::to_string);
        let texts = [
            ("event_domain", about.domain),
            ("event_type", about.name),
            ("event_subject", about.subject),
            ("event_id", about.event_id),
            ("edit_of", edit_of),
        ];
        for (name, value) in texts {
            let Some(value) = value else { continue };
            let _ = write!(set, ", {name} = :{name}");
            values.insert(format!(":{name}"), AttributeValue::S(value));
        }
        let mut gone = Vec::new();
        if message.raw.len() <= PART {
            set.push_str(", #raw = :raw");
            values.insert(":raw".to_owned(), AttributeValue::B(Blob::new(message.raw)));
        } else {
            gone.push("#raw");
        }
        if redrive.is_some_and(|redrive| redrive.id == id) {
            gone.push("redriven_at");
        }
        if !gone.is_empty() {
            set.push_str(" REMOVE ");
            set.push_str(&gone.join(", "));
        }
        set.push_str(" ADD times :one");
        let always = [
            (":consumer", AttributeValue::S(message.consumer.to_owned())),
            (":reason", AttributeValue::S(format!("{:?}", message.reason))),
            (":detail", AttributeValue::S(message.detail.clone())),
            (":build", AttributeValue::S(self.build.clone())),
            (":bytes", number(message.raw.len() as u64)),
            (":now", AttributeValue::S(self.now())),
            (":one", number(1)),
        ];
        values.extend(always.map(|(name, value)| (name.to_owned(), value)));
        Update::builder()
            .table_name(&self.table)
            .set_key(Some(key(id, ENTRY)))
            .update_expression(set)
            .expression_attribute_names("#raw", "raw")
            .set_expression_attribute_values(Some(values))
            .build()
    }
}

#[async_trait]
impl Quarantine for DynamoQuarantine {
    async fn keep(&self, message: &Quarantined<'_>) -> Result<(), StoreError> {
        let id = message.id();
        let refused = |reason: String| StoreError::Refused {
            operation: "UpdateItem",
            table: self.table.clone(),
            reason,
        };
        let bytes = message.raw.len();
        if bytes > LARGEST {
            return Err(refused(format!("{bytes} bytes; a message that is kept has at most {LARGEST}")));
        }
        let update = self.update(message, &id).map_err(|error| refused(error.to_string()))?;
        if bytes <= PART {
            let request = self
                .client
                .update_item()
                .table_name(&self.table)
                .set_key(Some(update.key))
                .update_expression(update.update_expression)
                .set_expression_attribute_names(update.expression_attribute_names)
                .set_expression_attribute_values(update.expression_attribute_values);
            request.send().await.map_err(|error| failure("UpdateItem", &self.table, error))?;
        } else {
            let mut items = vec![Ok(TransactWriteItem::builder().update(update).build())];
            for (number, part) in message.raw.as_bytes().chunks(PART).enumerate() {
                let mut item = key(&id, &format!("raw#{number:04}"));
                item.insert("raw".to_owned(), AttributeValue::B(Blob::new(part)));
                let put = Put::builder().table_name(&self.table).set_item(Some(item)).build();
                items.push(put.map(|put| TransactWriteItem::builder().put(put).build()));
            }
            self.transact(items.into_iter().collect()).await?;
        }
        // The entry whose edit this is: it came back, by another name.
        if let Some(redrive) = message.redrive.and_then(|text| text.parse::<Redrive>().ok())
            && redrive.id != id
        {
            self.note(&redrive.id, "REMOVE redriven_at", None).await?;
        }
        Ok(())
    }

    async fn applied(&self, redrive: &str) -> Result<(), StoreError> {
        let mut origins = Vec::new();
        let mut next = redrive.parse::<Redrive>().ok();
        while let Some(redrive) = next.take_if(|_| origins.len() < DEEPEST) {
            let Some(entry) = self.entry(&redrive.id).await? else { break };
            if entry.edits != redrive.edit || origins.contains(&redrive) {
                break;
            }
            next = entry.edit_of.and_then(|of| of.parse().ok());
            origins.push(redrive);
        }
        // The first of them first: what is left after a failure still leads to those before it.
        for redrive in origins.iter().rev() {
            self.remove(redrive).await?;
        }
        Ok(())
    }
}

fn key(id: &str, sort: &str) -> Item {
    let text = |text: &str| AttributeValue::S(text.to_owned());
    HashMap::from([("pk".to_owned(), text(id)), ("sk".to_owned(), text(sort))])
}

fn start(cursor: &Cursor) -> Item {
    let mut start = key(&cursor.id, ENTRY);
    start.insert("first_seen".to_owned(), AttributeValue::S(cursor.first_seen.clone()));
    start
}

fn number(value: u64) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

fn edits_are(edits: u64) -> &'static str {
    if edits == 0 { "attribute_not_exists(edits)" } else { "edits = :edits" }
}

fn edits(edits: u64) -> Option<HashMap<String, AttributeValue>> {
    (edits > 0).then(|| HashMap::from([(":edits".to_owned(), number(edits))]))
}

fn entry(item: &Item) -> Entry {
    let count = |name: &str| item.get(name).and_then(|it| it.as_n().ok()?.parse::<u64>().ok()).unwrap_or(0);
    let some = |name: &str| item.get(name).and_then(|it| it.as_s().ok()).cloned();
    Entry {
        id: text(item, "pk"),
        consumer: text(item, "consumer"),
        reason: text(item, "reason"),
        detail: text(item, "detail"),
        count: count("times"),
        first_seen: text(item, "first_seen"),
        last_seen: text(item, "last_seen"),
        build: text(item, "build"),
        bytes: usize::try_from(count("size_bytes")).unwrap_or(usize::MAX),
        about: About {
            domain: some("event_domain"),
            name: some("event_type"),
            subject: some("event_subject"),
            event_id: some("event_id"),
        },
        edits: count("edits"),
        edited_at: some("edited_at"),
        edit_of: some("edit_of"),
        redriven_at: some("redriven_at"),
    }
}

fn text(item: &Item, name: &str) -> String {
    item.get(name).and_then(|it| it.as_s().ok()).cloned().unwrap_or_default()
}
