//! Dead letters: messages that failed for now so often that their queue gave them up.

use super::{Quarantine, Quarantined, Reason};
use crate::consumer::ConsumeError;
use crate::decode;
use crate::delivery;
use futures::StreamExt;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::collections::BTreeSet;

/// How many messages are kept at once.
const CONCURRENT: usize = 16;

/// Puts a batch of a dead-letter queue into the quarantine. `consumer_of` tells by a queue's name who gave its
/// messages up, and how often each was delivered before. A message is acknowledged only once it is kept.
///
/// # Errors
/// Where the payload can't be taken apart, and where a message that was handed over alone could not be kept.
pub async fn drain(
    quarantine: &dyn Quarantine,
    payload: &[u8],
    consumer_of: impl Fn(&str) -> (String, Option<u32>),
) -> Result<Value, ConsumeError> {
    let delivery = delivery::take_apart(payload)?;
    let letters: Vec<_> = delivery
        .messages
        .iter()
        .map(|message| {
            let (consumer, deliveries) = consumer_of(message.queue.as_deref().unwrap_or_default());
            async move {
                let often = deliveries.map_or_else(|| "too often".to_owned(), |it| format!("{it} times"));
                let detail = match &message.malformed {
                    None => format!("delivered {often}, and each time it failed for now; the log of {consumer} says why"),
                    Some(why) => format!("delivered {often}; {why}"),
                };
                let envelope = match consumer.as_str() {
                    // Names the entry as the commands role would.
                    super::COMMANDS => Cow::Borrowed(message.body.as_ref()),
                    _ => decode::unwrap(&message.body).unwrap_or(Cow::Borrowed(&message.body)),
                };
                let kept = Quarantined {
                    consumer: &consumer,
                    reason: Reason::Exhausted,
                    detail,
                    raw: &message.body,
                    envelope: &envelope,
                    redrive: message.redrive.as_deref(),
                };
                tracing::warn!(consumer, message_id = %message.id, "a dead letter is quarantined");
                let done = quarantine.keep(&kept).await;
                done.inspect_err(|error| {
                    let error = telemetry::error_chain(error);
                    tracing::error!(error, message_id = %message.id, "a dead letter stays in its queue for now");
                })
                .is_err()
                .then(|| message.id.to_string())
            }
        })
        .collect();
    let failed: BTreeSet<String> = futures::stream::iter(letters)
        .buffer_unordered(CONCURRENT)
        .filter_map(std::future::ready)
        .collect()
        .await;
    if !delivery.partial && !failed.is_empty() {
        return Err(ConsumeError::Unfinished);
    }
    let failures: Vec<Value> = failed.into_iter().map(|id| json!({ "itemIdentifier": id })).collect();
    Ok(json!({ "batchItemFailures": failures }))
}
