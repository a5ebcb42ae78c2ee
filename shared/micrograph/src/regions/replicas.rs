//! The replicas role: what other regions tell of aggregates, kept for the day that one of them is at home here.

use super::{Book, Home, Replica, Told};
use crate::declaration::Micrograph;
use crate::environment::Environment;
use aws_sdk_dynamodb::error::ProvideErrorMetadata as _;
use aws_sdk_dynamodb::types::AttributeValue;
use contracts::Version;
use futures::StreamExt;
use projection::Key;
use projection::consumer::{ConsumeError, DEADLINE_MARGIN};
use projection::delivery::{self, Message};
use projection::dynamodb::failure;
use projection::quarantine::{Quarantine, Quarantined, Reason};
use projection::store::StoreError;
use projection::{decode, json};
use serde_json::{Value, json};
use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use tokio::time::Instant;

/// The name of the role, under which what can't be applied stands in the quarantine.
pub const REPLICAS: &str = "replicas";

/// How many items are written at once.
const CONCURRENT_WRITES: usize = 16;

type Attributes = HashMap<String, AttributeValue>;

/// Keeps replicas.
pub(crate) struct Replicas {
    environment: Environment,
    tables: Vec<String>,
    book: Arc<Book>,
    quarantine: Arc<dyn Quarantine>,
}

/// Why something from another region was not applied.
enum Refusal {
    Never(Reason, String),
    Later(StoreError),
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Refused { reason, .. } => Self::Never(Reason::HandlerRejected, reason),
            error @ StoreError::Transient { .. } => Self::Later(error),
        }
    }
}

impl Replicas {
    pub fn new(
        micrograph: &Micrograph,
        environment: &Environment,
        book: Arc<Book>,
        quarantine: Arc<dyn Quarantine>,
    ) -> Self {
        let tables = micrograph.owns.iter().map(|it| micrograph.aggregate_table(it).name).collect();
        Self { environment: environment.clone(), tables, book, quarantine }
    }

    /// Handles a batch from the micrograph's queue of replicas, in any order.
    pub async fn handle(&self, payload: &[u8], deadline: Option<Instant>) -> Result<Value, ConsumeError> {
        let delivery = delivery::take_apart(payload)?;
        let cutoff = deadline.map(|deadline| deadline.checked_sub(DEADLINE_MARGIN).unwrap_or(deadline));
        // Collected first: a closure over borrowed messages inside the stream would not be Send for every lifetime.
        let work: Vec<_> = delivery.messages.iter().map(|message| self.deliver(message, cutoff)).collect();
        let failed: BTreeSet<String> = futures::stream::iter(work)
            .buffer_unordered(CONCURRENT_WRITES)
            .filter_map(futures::future::ready)
            .collect()
            .await;
        if !delivery.partial && !failed.is_empty() {
            return Err(ConsumeError::Unfinished);
        }
        let failures: Vec<Value> = failed.into_iter().map(|id| json!({ "itemIdentifier": id })).collect();
        Ok(json!({ "batchItemFailures": failures }))
    }

    /// Gives the message's id if it is to come again.
    async fn deliver(&self, message: &Message<'_>, cutoff: Option<Instant>) -> Option<String> {
        let again = || Some(message.id.to_string());
        if cutoff.is_some_and(|cutoff| Instant::now() >= cutoff) {
            return again();
        }
        match self.apply(message).await {
            Ok(()) => None,
            Err(Refusal::Later(error)) => {
                let error = telemetry::error_chain(&error);
                tracing::warn!(error, message_id = %message.id, "a replica was not stored for now; it comes again");
                again()
            }
            Err(Refusal::Never(reason, why)) => {
                let envelope = decode::unwrap(&message.body).unwrap_or(Cow::Borrowed(&message.body));
                let (detail, redrive) = (json::bounded(why), message.redrive.as_deref());
                tracing::warn!(?reason, detail, message_id = %message.id, "a replica is quarantined");
                let raw = &message.body;
                let kept =
                    Quarantined { consumer: REPLICAS, reason, detail, raw, envelope: &envelope, redrive };
                match self.quarantine.keep(&kept).await {
                    Ok(()) => None,
                    Err(error) => {
                        let error = telemetry::error_chain(&error);
                        tracing::error!(error, message_id = %message.id, "the quarantine failed; the message comes again");
                        again()
                    }
                }
            }
        }
    }

    async fn apply(&self, message: &Message<'_>) -> Result<(), Refusal> {
        let never = |why: String| Refusal::Never(Reason::Malformed, why);
        if let Some(why) = &message.malformed {
            return Err(never(why.clone()));
        }
        let detail = decode::unwrap(&message.body).map_err(|error| never(error.to_string()))?;
        let told: Told = serde_json::from_str(&detail).map_err(|error| never(json::describe(&error)))?;
        if told.region == self.environment.region {
            return Ok(());
        }
        if let Some(homes) = &told.homes {
            self.book.change(|known| known.join(homes)).await?;
        }
        match told.replica {
            Some(replica) => self.keep(&told.region, replica).await,
            None => Ok(()),
        }
    }

    async fn keep(&self, region: &str, replica: Replica) -> Result<(), Refusal> {
        let Replica { table, image } = replica;
        if !self.tables.contains(&table) {
            return Err(Refusal::Never(
                Reason::HandlerRejected,
                format!("there is no aggregate in `{table}`"),
            ));
        }
        let item: Attributes = image.into();
        let text = |name: &str| item.get(name).and_then(|it| it.as_s().ok());
        let version = item.get("v").and_then(|it| it.as_n().ok()?.parse().ok());
        let (Some(subject), Some(sort), Some(version)) = (text("pk"), text("sk"), version) else {
            let why = "the image has no key, or no version".to_owned();
            return Err(Refusal::Never(Reason::Malformed, why));
        };
        let home = Home { epoch: Version::unpacked(version).epoch, region: region.to_owned() };
        // Only where the news of the move got lost: an aggregate tells by its version where it is at home.
        if *self.book.homes().await?.of(subject) < home {
            self.book.change(|homes| homes.learn(subject, &home)).await?;
        }
        let put = self.environment.dynamodb.put_item().table_name(self.environment.table(&table));
        let put = if sort == Key::ALONE {
            put.condition_expression("attribute_not_exists(pk) OR v < :v")
                .expression_attribute_values(":v", AttributeValue::N(version.to_string()))
        } else {
            // An outbox item is written once.
            put.condition_expression("attribute_not_exists(pk)")
        };
        match put.set_item(Some(item)).send().await {
            Ok(_) => Ok(()),
            // What is stored is as new.
            Err(error) if error.code() == Some("ConditionalCheckFailedException") => Ok(()),
            Err(error) => Err(failure("PutItem", &table, error).into()),
        }
    }
}
