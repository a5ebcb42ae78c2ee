//! How far the rebuild of a projection is, kept beside its alias: whoever is asked next goes on from there.

use archive::Cursor;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use projection::Generation;
use projection::dynamodb::failure;
use projection::store::StoreError;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// The sort key of a place; the alias itself stands at [`projection::Key::ALONE`].
const REBUILD: &str = "rebuild";
/// The attribute that holds it.
const PLACE: &str = "place";

/// How far a rebuild is. All that it says was done is done; what comes after may have been begun, and is done again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The candidate.
    pub generation: Generation,
    /// How many events were put on its queue, those among them that were put there twice counted twice.
    pub events: u64,
    /// What is done next.
    #[serde(flatten)]
    pub next: Next,
}

/// What a rebuild does next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "next", rename_all = "camelCase")]
pub enum Next {
    /// The owner's latest State is read.
    Owned(Reached),
    /// What is on its way into the archive arrives there.
    Arrive,
    /// The archive is read.
    Archive {
        /// The last object whose events are all on the queue.
        after: Option<Cursor>,
    },
    /// What is on the candidate's queue is handled.
    Settle,
    /// The candidate is compared with its sources.
    Compare {
        /// How many invocations had no time left for it.
        given_up: u32,
    },
}

/// From where the tables of a micrograph's aggregates are read on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reached {
    /// How many tables were read to their end.
    pub tables: usize,
    /// The last item that was read of the next one, by its keys.
    pub after: Option<(String, String)>,
}

impl Place {
    /// Where a rebuild begins.
    pub fn first(generation: Generation) -> Self {
        Self { generation, events: 0, next: Next::Owned(Reached::default()) }
    }
}

/// The places of a micrograph's rebuilds, in the table of its generations.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    pub client: Client,
    pub table: String,
}

impl Places {
    /// How far the rebuild of a generation is; its beginning where nothing was noted of this generation.
    pub async fn of(&self, projection: &str, generation: Generation) -> Result<Place, StoreError> {
        let read = self.client.get_item().table_name(&self.table).consistent_read(true);
        let read = read.set_key(Some(key(projection))).send().await;
        let item = read.map_err(|error| failure("GetItem", &self.table, error))?.item.unwrap_or_default();
        // What another build wrote, and this one can't read, is begun again: that costs time, and nothing else.
        let place = item.get(PLACE).and_then(|it| serde_json::from_str::<Place>(it.as_s().ok()?).ok());
        let place = place.filter(|place| place.generation == generation);
        Ok(place.unwrap_or_else(|| Place::first(generation)))
    }

    /// Notes how far it is. Two that are at work at once may note the one's place over the other's: all that either says
    /// was done is done.
    pub async fn note(&self, projection: &str, place: &Place) -> Result<(), StoreError> {
        let text = serde_json::to_string(place).unwrap_or_default();
        let put = self.client.put_item().table_name(&self.table).set_item(Some(key(projection)));
        let put = put.item(PLACE, AttributeValue::S(text)).send().await;
        put.map(|_| ()).map_err(|error| failure("PutItem", &self.table, error))
    }

    /// It is over.
    pub async fn forget(&self, projection: &str) -> Result<(), StoreError> {
        let delete = self.client.delete_item().table_name(&self.table).set_key(Some(key(projection)));
        delete.send().await.map(|_| ()).map_err(|error| failure("DeleteItem", &self.table, error))
    }
}

fn key(projection: &str) -> HashMap<String, AttributeValue> {
    let text = |text: &str| AttributeValue::S(text.to_owned());
    HashMap::from([("pk".to_owned(), text(projection)), ("sk".to_owned(), text(REBUILD))])
}
