//! What stands in a table, in a form that two stores can be compared by.

use aws_sdk_dynamodb::types::AttributeValue;
use projection::join::RESERVED;
use projection::store::{Store, StoreError};
use projection::{Contribution, Key};
use rust_decimal::Decimal;
use serde_dynamo::Item;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

/// The value of an attribute. Numbers are exact decimals, so that `1.50` is `1.5`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Field {
    /// No value.
    Null,
    /// A truth value.
    Bool(bool),
    /// A number in plain notation, without trailing zeros.
    Number(String),
    /// A text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A list.
    List(Vec<Field>),
    /// A map.
    Map(BTreeMap<String, Field>),
    /// A set of numbers, texts or bytes.
    Set(BTreeSet<Field>),
}

/// The attributes of an item, without its key.
pub type Fields = BTreeMap<String, Field>;

/// All items of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content(pub BTreeMap<Key, Fields>);

impl Content {
    /// Reads a whole table and brings it into canonical form: without time to live, without digests, without
    /// changes that are kept beside an item, without the sets by which a total remembers what it has counted, and without
    /// totals of zero, since whether a total was touched by changes that cancel out depends on their order.
    pub async fn of(store: &dyn Store, table: &str) -> Result<Self, StoreError> {
        let mut content = Self::default();
        let mut after = None;
        loop {
            let (items, next) = store.scan(table, after).await?;
            for (key, item) in items {
                // What waits is no part of an item yet; a crash may leave it where it is one already.
                if item.inner().contains_key("waits") {
                    continue;
                }
                if let Some(fields) = canonical(&item) {
                    content.0.insert(key, fields);
                }
            }
            if next.is_none() {
                return Ok(content);
            }
            after = next;
        }
    }

    /// Where two contents differ, item by item, as text; empty where they are the same.
    pub fn difference(&self, expected: &Self) -> String {
        use fmt::Write as _;
        let keys: BTreeSet<&Key> = self.0.keys().chain(expected.0.keys()).collect();
        let mut text = String::new();
        for key in keys {
            let (is, should_be) = (self.0.get(key), expected.0.get(key));
            if is != should_be {
                let _ = writeln!(text, "  {key}\n    stored:    {}", Shown(is));
                let _ = writeln!(text, "    canonical: {}", Shown(should_be));
            }
        }
        text
    }
}

pub(crate) fn canonical(item: &Item) -> Option<Fields> {
    let attributes: HashMap<String, AttributeValue> = item.clone().into();
    let mut fields: Fields = attributes
        .iter()
        .filter(|(name, _)| !is_bookkeeping(name))
        .map(|(name, value)| (name.clone(), Field::from(value)))
        .collect();
    settle(&mut fields);
    (!fields.is_empty()).then_some(fields)
}

/// Takes off what depends on the order in which an item's totals were touched.
pub(crate) fn settle(fields: &mut Fields) {
    if fields.contains_key("v") {
        return;
    }
    let zero = Field::Number("0".to_owned());
    fields.retain(|name, value| *value != zero || name.starts_with("v_"));
    let holds =
        |(name, value): (&String, &Field)| matches!(value, Field::Number(_)) || name.starts_with("v_");
    if !fields.iter().any(holds) {
        fields.clear();
    }
}

fn is_bookkeeping(name: &str) -> bool {
    let is = |reserved: &str| {
        name.strip_prefix(reserved).is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
    };
    ["pk", "sk", "h", "ttl", "applied", "upto"].iter().any(|it| is(it))
}

/// What a reader sees of an item: its attributes without those of the joins. Nothing where it is a tombstone.
pub fn view(fields: &Fields) -> Option<Fields> {
    if fields.contains_key("d") {
        return None;
    }
    let is_system = |name: &str| {
        RESERVED
            .iter()
            .any(|it| name.strip_prefix(it).is_some_and(|rest| rest.is_empty() || rest.starts_with('_')))
    };
    let view: Fields = fields
        .iter()
        .filter(|(name, _)| !is_system(name))
        .map(|(name, it)| (name.clone(), it.clone()))
        .collect();
    (!view.is_empty() || fields.contains_key("v")).then_some(view)
}

/// Whether an item is what a ledger remembers of one contributor.
pub(crate) fn is_child(key: &Key) -> bool {
    key.sk.starts_with(Contribution::CHILD)
}

/// A number in plain notation without trailing zeros.
pub(crate) fn number(text: &str) -> String {
    match text.parse::<Decimal>().or_else(|_| Decimal::from_scientific(text)) {
        Ok(value) if value.is_zero() => "0".to_owned(),
        Ok(value) => value.normalize().to_string(),
        Err(_) => text.to_owned(),
    }
}

impl From<Decimal> for Field {
    fn from(value: Decimal) -> Self {
        Self::Number(number(&value.to_string()))
    }
}

impl From<&AttributeValue> for Field {
    fn from(value: &AttributeValue) -> Self {
        match value {
            AttributeValue::Bool(value) => Self::Bool(*value),
            AttributeValue::N(text) => Self::Number(number(text)),
            AttributeValue::S(text) => Self::Text(text.clone()),
            AttributeValue::B(bytes) => Self::Bytes(bytes.as_ref().to_vec()),
            AttributeValue::L(items) => Self::List(items.iter().map(Self::from).collect()),
            AttributeValue::M(fields) => {
                Self::Map(fields.iter().map(|(name, value)| (name.clone(), value.into())).collect())
            }
            AttributeValue::Ns(numbers) => {
                Self::Set(numbers.iter().map(|it| Self::Number(number(it))).collect())
            }
            AttributeValue::Ss(texts) => Self::Set(texts.iter().cloned().map(Self::Text).collect()),
            AttributeValue::Bs(all) => {
                Self::Set(all.iter().map(|it| Self::Bytes(it.as_ref().to_vec())).collect())
            }
            _ => Self::Null,
        }
    }
}

impl From<&Value> for Field {
    fn from(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(*value),
            Value::Number(value) => Self::Number(number(&value.to_string())),
            Value::String(text) => Self::Text(text.clone()),
            Value::Array(items) => Self::List(items.iter().map(Self::from).collect()),
            Value::Object(fields) => {
                Self::Map(fields.iter().map(|(name, value)| (name.clone(), value.into())).collect())
            }
        }
    }
}

impl fmt::Debug for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => value.fmt(f),
            Self::Number(text) => f.write_str(text),
            Self::Text(text) => text.fmt(f),
            Self::Bytes(bytes) => write!(f, "{} bytes", bytes.len()),
            Self::List(items) => f.debug_list().entries(items).finish(),
            Self::Map(fields) => f.debug_map().entries(fields).finish(),
            Self::Set(items) => f.debug_set().entries(items).finish(),
        }
    }
}

/// An item on one line.
pub(crate) struct Shown<'a>(pub(crate) Option<&'a Fields>);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str("nothing"),
            Some(fields) => write!(f, "{fields:?}"),
        }
    }
}
