//! What a consumer tells of its work besides what it stores: what changed, for caches, and how far it is, for who waits.

use crate::batch::Work;
use crate::fold::Projection;
use crate::join::{Body, Contribution, Put};
use crate::store::StoreError;
use async_trait::async_trait;
use freshness::{Tag, Write};
use serde_dynamo::AttributeValue;
use std::collections::BTreeSet;

/// Hears what changed, so that caches drop it.
#[async_trait]
pub trait Announce: Send + Sync {
    /// Rows under these tags changed in the generation that stands in `table`. What can't be announced is logged: caches
    /// then keep it for as long as they may.
    async fn changed(&self, table: &str, tags: BTreeSet<Tag>);
}

/// Remembers how far a projection is with the aggregates that somebody waits for.
#[async_trait]
pub trait Progress: Send + Sync {
    /// The generation that stands in `table` shows these versions.
    ///
    /// # Errors
    /// Where it can't be noted: who waits is told so when the patience ends.
    async fn reached(&self, table: &str, marks: &[Mark]) -> Result<(), StoreError>;
}

/// An aggregate at a version; its identity is hashed as in a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mark {
    /// The aggregate, see [`Write::subject`].
    pub subject: u64,
    /// The version, packed.
    pub version: u64,
}

impl Mark {
    /// The mark that a token's write waits for.
    pub fn of(write: &Write) -> Self {
        Self { subject: write.subject, version: write.version }
    }
}

/// The tags of what a piece of work may change.
pub(crate) fn tags(work: &Work, name: &str, projection: &Projection) -> BTreeSet<Tag> {
    let indexed = |attribute: &dyn Fn(&str) -> Option<String>| -> Vec<Tag> {
        let indexes = projection.indexes().iter();
        indexes.filter_map(|it| Some(Tag::index(name, it.name, &attribute(it.partition)?))).collect()
    };
    let mut tags = BTreeSet::new();
    match work {
        Work::Put { put, .. } => {
            tags.insert(Tag::partition(name, &put.key.pk));
            tags.extend(indexed(&|attribute| text(put, attribute)));
        }
        Work::Add { dots } => tags.extend(dots.iter().map(|(dot, _)| Tag::partition(name, &dot.key.pk))),
        Work::Step { key, .. } => _ = tags.insert(Tag::partition(name, &key.pk)),
        Work::Contribute { contributions } => {
            for (Contribution { ledger, amounts, .. }, _, _) in contributions {
                tags.insert(Tag::partition(name, ledger));
                for amount in amounts {
                    tags.extend(indexed(&|attribute| amount.set.get(attribute).cloned()));
                }
            }
        }
    }
    tags
}

/// An attribute of a view that is a text. What it was before is not known here, but an answer that showed the row has
/// the tag of the row's own partition too.
fn text(put: &Put, attribute: &str) -> Option<String> {
    match &put.body {
        Body::View(view) if put.source.is_none() => match view.inner().get(attribute) {
            Some(AttributeValue::S(text)) => Some(text.clone()),
            _ => None,
        },
        Body::View(_) | Body::Tombstone => None,
    }
}
