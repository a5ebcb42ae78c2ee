//! Where aggregates are at home.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::ProvideErrorMetadata as _;
use aws_sdk_dynamodb::types::AttributeValue;
use contracts::digest;
use projection::Key;
use projection::dynamodb::failure;
use projection::store::StoreError;
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Into how many parts the aggregates of a micrograph are divided, each with a home of its own.
pub const SHARDS: usize = 64;

/// How long a region goes by what it knows of homes. Going by what is old is safe: the epoch fences it off.
const TTL: Duration = Duration::from_secs(1);

/// How often a change of the homes is tried again because another one came first.
const TRIES: u32 = 20;

/// The home of a shard.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Home {
    /// Grows with each move: versions of a later epoch are greater.
    pub epoch: u16,
    /// The region.
    pub region: String,
}

/// The homes of all shards, in their order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Home>")]
pub struct Homes(Vec<Home>);

/// Not a list of all shards' homes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there are {SHARDS} shards, not {0}")]
pub struct NotHomes(usize);

impl TryFrom<Vec<Home>> for Homes {
    type Error = NotHomes;

    fn try_from(homes: Vec<Home>) -> Result<Self, NotHomes> {
        if homes.len() == SHARDS { Ok(Self(homes)) } else { Err(NotHomes(homes.len())) }
    }
}

impl Homes {
    /// The homes before any was moved: each region in turn.
    ///
    /// # Panics
    /// Where there are no regions.
    pub fn first(regions: &[String]) -> Self {
        let homes = regions.iter().cycle().map(|region| Home { epoch: 0, region: region.clone() });
        let homes: Vec<Home> = homes.take(SHARDS).collect();
        Self::try_from(homes).expect("a deployment has a region")
    }

    /// The home of an aggregate.
    pub fn of(&self, subject: &str) -> &Home {
        &self.0[shard(subject)]
    }

    /// How many shards are at home in a region, and their latest epoch.
    pub fn at(&self, region: &str) -> (usize, u16) {
        let here = self.0.iter().filter(|home| home.region == region);
        (here.clone().count(), here.map(|home| home.epoch).max().unwrap_or(0))
    }

    /// All that is at home in one region moves to another, in a new epoch.
    #[must_use]
    pub fn moved(&self, from: &str, to: &str) -> Self {
        let mut moved = self.clone();
        for home in moved.0.iter_mut().filter(|home| home.region == from) {
            *home = Home { epoch: home.epoch.saturating_add(1), region: to.to_owned() };
        }
        moved
    }

    /// The later epoch of each shard wins: a join.
    pub fn join(&mut self, other: &Self) {
        for (home, other) in self.0.iter_mut().zip(&other.0) {
            if *home < *other {
                home.clone_from(other);
            }
        }
    }

    /// The same, where an aggregate was seen at home in an epoch.
    pub(super) fn learn(&mut self, subject: &str, home: &Home) {
        let known = &mut self.0[shard(subject)];
        if *known < *home {
            known.clone_from(home);
        }
    }
}

fn shard(subject: &str) -> usize {
    let digest = digest::short(&[b"home", subject.as_bytes()]);
    usize::from_str_radix(&digest[..4], 16).expect("a digest is hexadecimal") % SHARDS
}

/// The homes as a region keeps them, in one item.
#[derive(Debug)]
pub struct Book {
    client: Client,
    table: String,
    regions: Vec<String>,
    known: Mutex<Option<(Instant, Arc<Homes>)>>,
}

impl Book {
    /// The homes in a table, or the first ones where none is noted.
    pub(crate) fn new(client: Client, table: String, regions: Vec<String>) -> Self {
        Self { client, table, regions, known: Mutex::new(None) }
    }

    /// The homes, as they were a second ago at most.
    pub async fn homes(&self) -> Result<Arc<Homes>, StoreError> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match known {
            Some((asked, homes)) if asked.elapsed() < TTL => Ok(homes),
            _ => self.fresh().await,
        }
    }

    /// The homes as they are now.
    pub async fn fresh(&self) -> Result<Arc<Homes>, StoreError> {
        let asked = Instant::now();
        let homes = Arc::new(self.read().await?.1);
        self.remember(asked, &homes);
        Ok(homes)
    }

    /// Changes the homes; gives what they are now. The change is made again where another one came first.
    pub async fn change(&self, change: impl Fn(&mut Homes) + Send) -> Result<Arc<Homes>, StoreError> {
        for _ in 0..TRIES {
            let (version, before) = self.read().await?;
            let mut homes = before.clone();
            change(&mut homes);
            if homes == before && version.is_some() {
                return Ok(Arc::new(before));
            }
            if self.write(version, &homes).await? {
                let homes = Arc::new(homes);
                self.remember(Instant::now(), &homes);
                return Ok(homes);
            }
        }
        let (table, source) = (self.table.clone(), "others kept changing the homes".into());
        Err(StoreError::Transient { operation: "PutItem", table, source })
    }

    fn remember(&self, asked: Instant, homes: &Arc<Homes>) {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some((asked, Arc::clone(homes)));
    }

    async fn read(&self) -> Result<(Option<u64>, Homes), StoreError> {
        let key = Some(key());
        let read = self.client.get_item().table_name(&self.table).set_key(key).consistent_read(true);
        let read = read.send().await.map_err(|error| failure("GetItem", &self.table, error))?;
        let Some(item) = read.item else { return Ok((None, Homes::first(&self.regions))) };
        let version = item.get("v").and_then(|it| it.as_n().ok()?.parse().ok());
        let homes = item.get("homes").and_then(|it| serde_json::from_str(it.as_s().ok()?).ok());
        let (Some(version), Some(homes)) = (version, homes) else {
            let (table, reason) = (self.table.clone(), "the homes can't be read by this build".to_owned());
            return Err(StoreError::Refused { operation: "GetItem", table, reason });
        };
        Ok((Some(version), homes))
    }

    async fn write(&self, before: Option<u64>, homes: &Homes) -> Result<bool, StoreError> {
        let homes = serde_json::to_string(homes).expect("homes are plain");
        let mut item = key();
        item.insert("v".to_owned(), AttributeValue::N((before.unwrap_or(0) + 1).to_string()));
        item.insert("homes".to_owned(), AttributeValue::S(homes));
        let put = self.client.put_item().table_name(&self.table).set_item(Some(item));
        let put = match before {
            None => put.condition_expression("attribute_not_exists(pk)"),
            Some(before) => put
                .condition_expression("v = :before")
                .expression_attribute_values(":before", AttributeValue::N(before.to_string())),
        };
        match put.send().await {
            Ok(_) => Ok(true),
            Err(error) if error.code() == Some("ConditionalCheckFailedException") => Ok(false),
            Err(error) => Err(failure("PutItem", &self.table, error)),
        }
    }
}

fn key() -> std::collections::HashMap<String, AttributeValue> {
    let text = |text: &str| AttributeValue::S(text.to_owned());
    [("pk".to_owned(), text("homes")), ("sk".to_owned(), text(Key::ALONE))].into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const REGIONS: [&str; 3] = ["eu-west-1", "us-east-1", "ap-southeast-2"];

    fn homes() -> impl Strategy<Value = Homes> {
        let home = (0..4_u16, 0..REGIONS.len());
        let home = home.prop_map(|(epoch, region)| Home { epoch, region: REGIONS[region].to_owned() });
        proptest::collection::vec(home, SHARDS).prop_map(|homes| Homes::try_from(homes).unwrap())
    }

    fn joined(mut a: Homes, b: &Homes) -> Homes {
        a.join(b);
        a
    }

    proptest! {
        #[test]
        fn homes_join_the_same_in_any_order(a in homes(), b in homes(), c in homes()) {
            prop_assert_eq!(joined(a.clone(), &b), joined(b.clone(), &a));
            prop_assert_eq!(joined(joined(a.clone(), &b), &c), joined(a.clone(), &joined(b.clone(), &c)));
            prop_assert_eq!(joined(a.clone(), &a), a);
        }

        #[test]
        fn a_move_supersedes_what_it_moves_and_nothing_else(before in homes(), subject in ".*") {
            let after = before.moved(REGIONS[0], REGIONS[1]);
            prop_assert_eq!(after.at(REGIONS[0]).0, 0);
            let (home, was) = (after.of(&subject), before.of(&subject));
            if was.region == REGIONS[0] {
                prop_assert_eq!((home.region.as_str(), home.epoch), (REGIONS[1], was.epoch + 1));
            } else {
                prop_assert_eq!(home, was);
            }
            prop_assert_eq!(&joined(after.clone(), &before), &after);
        }
    }

    #[test]
    fn every_region_is_a_home_at_first() {
        let homes = Homes::first(&REGIONS.map(str::to_owned));
        for region in REGIONS {
            assert!(homes.at(region).0 >= SHARDS / REGIONS.len(), "{region}");
        }
    }
}
