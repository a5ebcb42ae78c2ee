//! What a fold says of an event: joins, each commutative, associative and idempotent.

use crate::fold::FoldError;
use crate::key::Key;
use contracts::Version;
use rust_decimal::Decimal;
use serde::Serialize;
use serde_dynamo::Item;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Attributes that belong to the joins; a view can't use these names, nor one of them followed by `_`.
pub const RESERVED: [&str; 10] = ["pk", "sk", "v", "h", "d", "ttl", "applied", "upto", "from", "waits"];

/// Whether an attribute belongs to the joins.
pub fn is_reserved(attribute: &str) -> bool {
    let rests = RESERVED.iter().filter_map(|it| attribute.strip_prefix(it));
    rests.into_iter().any(|rest| rest.is_empty() || rest.starts_with('_'))
}

/// An item as a State event says it is.
#[derive(Clone, Debug)]
pub struct Row {
    pub(crate) key: Key,
    pub(crate) source: Option<&'static str>,
    pub(crate) view: Result<Item, String>,
}

impl Row {
    /// An item with the view's fields as attributes.
    pub fn new<V: Serialize>(key: Key, view: &V) -> Self {
        Self { key, source: None, view: attributes(view) }
    }

    /// An item that several domains tell of: this source's fields are kept in a map attribute named after it,
    /// with a version of their own.
    pub fn of_source<V: Serialize>(source: &'static str, key: Key, view: &V) -> Self {
        Self { key, source: Some(source), view: attributes(view) }
    }
}

pub(crate) fn attributes<V: Serialize>(view: &V) -> Result<Item, String> {
    let item: Item = serde_dynamo::to_item(view).map_err(|error| error.to_string())?;
    match item.inner().keys().find(|name| is_reserved(name)) {
        Some(name) => Err(format!("the attribute name `{name}` is reserved: rename the field")),
        None => Ok(item),
    }
}

/// What becomes of an item, or of one source's part of it.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// It is this.
    View(Item),
    /// It is gone; a tombstone keeps its version so that late events can't bring it back.
    Tombstone,
}

/// A State join: the greatest version of each (key, source) wins.
#[derive(Clone, Debug, PartialEq)]
pub struct Put {
    /// The item.
    pub key: Key,
    /// The part of the item, where several domains tell of it.
    pub source: Option<&'static str>,
    /// The aggregate's version.
    pub version: Version,
    /// A digest of the event's content: the same version with another digest is a fork.
    pub hash: String,
    /// What it is at that version.
    pub body: Body,
}

/// What is added to a total, by attribute name.
pub type Sums = BTreeMap<&'static str, Decimal>;

/// A Delta join: adds once for each sequence number of its source (a dotted set).
///
/// For totals with few sources. The sequence numbers of one source must have no gaps within an epoch, or the set that
/// remembers them can't be compacted. Each epoch has a set of its own: what two regions did under one number, while
/// each took itself for the home, counts twice, since it happened twice.
#[derive(Clone, Debug, PartialEq)]
pub struct Dot {
    /// The item that holds the totals.
    pub key: Key,
    /// Who counts, where more than one source adds to the item.
    pub source: Option<&'static str>,
    /// The number of the change at its source; set from the event's version.
    pub seq: u64,
    /// The epoch of its source's home; set from the event's version.
    pub epoch: u16,
    /// The last number before the epoch began; set from the event.
    pub base: u64,
    /// What is added.
    pub add: Sums,
}

impl Dot {
    /// What is added to the totals of an item; the event's version says which change it is.
    pub fn new(key: Key, add: impl IntoIterator<Item = (&'static str, Decimal)>) -> Self {
        Self { key, source: None, seq: 0, epoch: 0, base: 0, add: add.into_iter().collect() }
    }

    /// Counts the changes of this source apart from those of the item's other sources.
    #[must_use]
    pub fn of_source(mut self, source: &'static str) -> Self {
        self.source = Some(source);
        self
    }

    /// Which set remembers it, one for each source and epoch: what follows `applied` and `upto` in the names of the
    /// set's attributes.
    pub fn set(&self) -> String {
        let source = self.source.map_or_else(String::new, |source| format!("_{source}"));
        if self.epoch == 0 { source } else { format!("{source}__{}", self.epoch) }
    }
}

/// What one aggregate contributes to the totals of a ledger, at its present version; what it contributed before
/// is replaced.
///
/// A later State of an aggregate must name every ledger that an earlier one named, with zero amounts if need be:
/// a ledger that is no longer named isn't told.
#[derive(Clone, Debug, PartialEq)]
pub struct Contribution {
    /// The partition that holds the totals, and a child item for each contributor.
    pub ledger: String,
    /// Who contributes; set from the event's subject.
    pub subject: String,
    /// The contributor's version; set from the event.
    pub version: Version,
    /// A digest of the event's content.
    pub hash: String,
    /// What it contributes, by total.
    pub amounts: Vec<Amount>,
}

/// A part of a contribution: what goes into one total.
#[derive(Clone, Debug, PartialEq)]
pub struct Amount {
    /// The sort key of the total in the ledger's partition; not [`Contribution::CHILD`] something.
    pub total: String,
    /// What is added.
    pub add: Sums,
    /// Attributes that follow from the total's key alone, such as an index's partition.
    pub set: BTreeMap<&'static str, String>,
}

impl Contribution {
    /// The prefix of the sort key of a contributor's child item.
    pub const CHILD: &str = "from#";

    /// A contribution to the totals of a ledger; who contributes is known from the event.
    pub fn new(ledger: impl Into<String>, amounts: Vec<Amount>) -> Self {
        Self {
            ledger: ledger.into(),
            subject: String::new(),
            version: Version::NONE,
            hash: String::new(),
            amounts,
        }
    }

    /// The key of the contributor's child item.
    pub fn child(&self) -> Key {
        Key::new(&self.ledger, format!("{}{}", Self::CHILD, self.subject))
    }
}

impl Amount {
    /// What is added to the total with this sort key.
    pub fn new(total: impl Into<String>, add: impl IntoIterator<Item = (&'static str, Decimal)>) -> Self {
        Self { total: total.into(), add: add.into_iter().collect(), set: BTreeMap::new() }
    }

    /// Sets an attribute that follows from the total's key.
    #[must_use]
    pub fn with(mut self, attribute: &'static str, value: impl Into<String>) -> Self {
        self.set.insert(attribute, value.into());
        self
    }
}

/// A join of changes that don't commute: the next change of its aggregate makes the next view of an item out of the
/// present one. A later change waits for it. The order is that of versions: by epoch, then by sequence number.
///
/// The item belongs to one aggregate, and every change of that aggregate is a step of it: one that the projection
/// doesn't fold would be a gap for good.
#[derive(Clone)]
pub struct Step {
    /// The item.
    pub key: Key,
    /// The domain of the aggregate.
    pub domain: &'static str,
    /// The aggregate.
    pub subject: String,
    /// Its version, which says when the step's turn is.
    pub version: Version,
    /// The last number before the version's epoch began.
    pub base: u64,
    /// A digest of the event's content: the same version with another digest is a fork.
    pub hash: String,
    pub(crate) next: Arc<Next>,
}

/// The next view, given the present one; none before the first change.
pub(crate) type Next = dyn Fn(Option<&Item>) -> Result<Item, FoldError> + Send + Sync;

impl Step {
    /// What stands between the sort key of an item and the version of a change that is kept beside it.
    pub const GAP: &str = "#gap#";

    /// The next view, given the present one; none before the first change. Pure.
    ///
    /// # Errors
    /// Where the fold refuses the change, or can't read the view.
    pub fn next(&self, view: Option<&Item>) -> Result<Item, FoldError> {
        (self.next)(view)
    }

    /// The key under which a change is kept beside an item; with [`Version::NONE`], the item's base.
    pub fn beside(item: &Key, version: Version) -> Key {
        Key::new(&item.pk, format!("{}{}{:020}", item.sk, Self::GAP, version.packed()))
    }
}

impl PartialEq for Step {
    /// The same change of the same item; two folds can't be compared.
    fn eq(&self, other: &Self) -> bool {
        let of = |it: &Self| (it.key.clone(), it.domain, it.subject.clone(), it.version, it.hash.clone());
        of(self) == of(other)
    }
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, domain, subject, version, base, hash, next: _ } = self;
        f.debug_struct("Step")
            .field("key", key)
            .field("domain", domain)
            .field("subject", subject)
            .field("version", version)
            .field("base", base)
            .field("hash", hash)
            .finish_non_exhaustive()
    }
}

/// Any of the joins.
#[derive(Clone, Debug, PartialEq)]
pub enum Join {
    /// See [`Put`].
    Put(Put),
    /// See [`Dot`].
    Dot(Dot),
    /// See [`Contribution`].
    Contribution(Contribution),
    /// See [`Step`].
    Step(Step),
}
