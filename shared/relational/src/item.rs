//! Items as `jsonb`, and back, without loss.
//!
//! Texts, truth values, null, lists and maps are JSON's own; a number is a JSON number, which PostgreSQL keeps as an exact
//! `numeric`. Sets and bytes, which JSON lacks, are an object with one of the names `$ss`, `$ns`, `$bs` and `$b`; of a map's
//! own names, those that begin with `$` get another one. PostgreSQL's texts can't hold the character NUL: it stands as
//! U+0001 and `0`, and U+0001 itself as U+0001 and `1`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use projection::join::is_reserved;
use serde::de::IgnoredAny;
use serde_dynamo::{AttributeValue, Item};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::HashMap;

/// The largest item, in bytes of its JSON: that of DynamoDB, so that a projection fits either.
pub(crate) const ITEM_BYTES: usize = 400 * 1024;

/// Why an item can't be stored, or one that is stored can't be read.
#[derive(Debug, thiserror::Error)]
pub enum NoItem {
    /// A number that isn't one.
    #[error("a number is no decimal")]
    Number,
    /// It is larger than an item may be.
    #[error("an item has {0} bytes; {ITEM_BYTES} is the most")]
    TooLarge(usize),
    /// What is stored is no JSON that this build wrote.
    #[error("what is stored is no item")]
    Stored(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// An item as the columns of a row, without its key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Columns {
    /// The version of the whole item, packed.
    pub v: Option<String>,
    /// The digest of the event that it came from.
    pub h: Option<String>,
    /// Whether it is a tombstone.
    pub d: bool,
    /// When it may go, in seconds since 1970.
    pub ttl: Option<i64>,
    /// The view's attributes, as JSON.
    pub item: String,
    /// What else the joins keep, as JSON.
    pub joins: String,
}

impl Columns {
    /// The columns of an item, if it may be that large.
    pub fn of(attributes: &HashMap<String, AttributeValue>) -> Result<Self, NoItem> {
        let mut columns = Self::default();
        let (mut item, mut joins) = (Vec::new(), Vec::new());
        for (name, value) in attributes {
            match (name.as_str(), value) {
                ("pk" | "sk", _) => {}
                ("v", AttributeValue::N(version)) => columns.v = Some(version.clone()),
                ("h", AttributeValue::S(hash)) => columns.h = Some(text(hash).into_owned()),
                ("d", AttributeValue::Bool(gone)) => columns.d = *gone,
                ("ttl", AttributeValue::N(at)) => columns.ttl = at.parse().ok(),
                _ if is_reserved(name) => joins.push((name, value)),
                _ => item.push((name, value)),
            }
        }
        columns.item = object(item)?;
        columns.joins = object(joins)?;
        let bytes = columns.item.len() + columns.joins.len();
        if bytes > ITEM_BYTES { Err(NoItem::TooLarge(bytes)) } else { Ok(columns) }
    }

    /// The inverse of [`Columns::of`].
    pub fn item(self) -> Result<HashMap<String, AttributeValue>, NoItem> {
        let mut attributes = read(&self.item)?;
        attributes.extend(read(&self.joins)?);
        // A set that nothing is in is no attribute.
        attributes.retain(|_, value| !matches!(value, AttributeValue::Ns(numbers) if numbers.is_empty()));
        attributes.extend(self.v.map(|version| ("v".to_owned(), AttributeValue::N(version))));
        attributes.extend(self.h.map(|hash| ("h".to_owned(), AttributeValue::S(plain(&hash)))));
        attributes.extend(self.d.then(|| ("d".to_owned(), AttributeValue::Bool(true))));
        attributes.extend(self.ttl.map(|at| ("ttl".to_owned(), AttributeValue::N(at.to_string()))));
        Ok(attributes)
    }
}

/// An item's attributes from JSON.
pub(crate) fn read(json: &str) -> Result<HashMap<String, AttributeValue>, NoItem> {
    let unreadable = |error: serde_json::Error| NoItem::Stored(Box::new(error));
    match decode(serde_json::from_str(json).map_err(unreadable)?)? {
        AttributeValue::M(attributes) => Ok(attributes),
        _ => Err(NoItem::Stored("it is no object".into())),
    }
}

/// The row of an answer.
pub(crate) fn answer(json: &str) -> Result<Item, NoItem> {
    read(json).map(Item::from)
}

/// A map as JSON.
pub(crate) fn object<'a, N: AsRef<str> + 'a>(
    fields: impl IntoIterator<Item = (N, &'a AttributeValue)>,
) -> Result<String, NoItem> {
    let mut json = "{".to_owned();
    for (name, value) in fields {
        if json.len() > 1 {
            json.push(',');
        }
        json.push_str(&quoted(&name_of(name.as_ref())));
        json.push(':');
        encode(value, &mut json)?;
    }
    json.push('}');
    Ok(json)
}

/// The name of a map's field, as it stands in JSON.
pub(crate) fn name_of(name: &str) -> Cow<'_, str> {
    match text(name) {
        name if name.starts_with('$') => Cow::Owned(format!("${name}")),
        name => name,
    }
}

/// A text as PostgreSQL can hold it.
pub(crate) fn text(plain: &str) -> Cow<'_, str> {
    if plain.contains(['\0', '\u{1}']) {
        Cow::Owned(plain.replace('\u{1}', "\u{1}1").replace('\0', "\u{1}0"))
    } else {
        Cow::Borrowed(plain)
    }
}

/// The inverse of [`text`].
pub(crate) fn plain(text: &str) -> String {
    if text.contains('\u{1}') {
        text.replace("\u{1}0", "\0").replace("\u{1}1", "\u{1}")
    } else {
        text.to_owned()
    }
}

/// Whether a text is a JSON number.
pub(crate) fn is_number(text: &str) -> bool {
    text.starts_with(|it: char| it == '-' || it.is_ascii_digit())
        && text.ends_with(|it: char| it.is_ascii_digit())
        && serde_json::from_str::<IgnoredAny>(text).is_ok()
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn encode(value: &AttributeValue, json: &mut String) -> Result<(), NoItem> {
    match value {
        AttributeValue::Null(_) => json.push_str("null"),
        AttributeValue::Bool(value) => json.push_str(if *value { "true" } else { "false" }),
        AttributeValue::N(number) => digits(number, json)?,
        AttributeValue::S(value) => json.push_str(&quoted(&text(value))),
        AttributeValue::B(bytes) => tagged("$b", json, |json| {
            json.push_str(&quoted(&STANDARD.encode(bytes)));
            Ok(())
        })?,
        AttributeValue::L(items) => list(items, json, encode)?,
        AttributeValue::M(fields) => json.push_str(&object(fields)?),
        AttributeValue::Ss(texts) => tagged("$ss", json, |json| {
            list(texts, json, |it, json| {
                json.push_str(&quoted(&text(it)));
                Ok(())
            })
        })?,
        AttributeValue::Ns(numbers) => {
            tagged("$ns", json, |json| list(numbers, json, |it, json| digits(it, json)))?;
        }
        AttributeValue::Bs(all) => tagged("$bs", json, |json| {
            list(all, json, |it, json| {
                json.push_str(&quoted(&STANDARD.encode(it)));
                Ok(())
            })
        })?,
    }
    Ok(())
}

fn digits(number: &str, json: &mut String) -> Result<(), NoItem> {
    if !is_number(number) {
        return Err(NoItem::Number);
    }
    json.push_str(number);
    Ok(())
}

fn tagged(
    tag: &str,
    json: &mut String,
    content: impl FnOnce(&mut String) -> Result<(), NoItem>,
) -> Result<(), NoItem> {
    json.push_str("{\"");
    json.push_str(tag);
    json.push_str("\":");
    content(json)?;
    json.push('}');
    Ok(())
}

fn list<T>(
    items: &[T],
    json: &mut String,
    one: impl Fn(&T, &mut String) -> Result<(), NoItem>,
) -> Result<(), NoItem> {
    json.push('[');
    for (position, it) in items.iter().enumerate() {
        if position > 0 {
            json.push(',');
        }
        one(it, json)?;
    }
    json.push(']');
    Ok(())
}

fn decode(raw: &RawValue) -> Result<AttributeValue, NoItem> {
    fn parse<'a, T: serde::Deserialize<'a>>(json: &'a str) -> Result<T, NoItem> {
        serde_json::from_str(json).map_err(|error| NoItem::Stored(Box::new(error)))
    }
    let json = raw.get();
    let bytes = |text: String| STANDARD.decode(text).map_err(|error| NoItem::Stored(Box::new(error)));
    Ok(match json.as_bytes().first() {
        Some(b'n') => AttributeValue::Null(true),
        Some(b't') => AttributeValue::Bool(true),
        Some(b'f') => AttributeValue::Bool(false),
        Some(b'"') => AttributeValue::S(plain(&parse::<String>(json)?)),
        Some(b'[') => AttributeValue::L(
            parse::<Vec<&RawValue>>(json)?.into_iter().map(decode).collect::<Result<_, _>>()?,
        ),
        Some(b'{') => {
            let fields: HashMap<String, &RawValue> = parse(json)?;
            let tag = fields.iter().find(|(name, _)| name.starts_with('$') && !name.starts_with("$$"));
            match tag.map(|(name, content)| (name.as_str(), content.get())) {
                None => {
                    let field = |(name, value): (String, &RawValue)| {
                        Ok((plain(name.strip_prefix('$').unwrap_or(&name)), decode(value)?))
                    };
                    AttributeValue::M(fields.into_iter().map(field).collect::<Result<_, NoItem>>()?)
                }
                Some(("$b", content)) => AttributeValue::B(bytes(parse(content)?)?),
                Some(("$ss", content)) => {
                    AttributeValue::Ss(parse::<Vec<String>>(content)?.iter().map(|it| plain(it)).collect())
                }
                Some(("$ns", content)) => {
                    let numbers: Vec<&RawValue> = parse(content)?;
                    AttributeValue::Ns(numbers.into_iter().map(|it| it.get().to_owned()).collect())
                }
                Some(("$bs", content)) => {
                    let all: Vec<String> = parse(content)?;
                    AttributeValue::Bs(all.into_iter().map(bytes).collect::<Result<_, _>>()?)
                }
                Some((tag, _)) => return Err(NoItem::Stored(format!("{tag} means nothing").into())),
            }
        }
        _ => AttributeValue::N(json.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn value() -> impl Strategy<Value = AttributeValue> {
        let text = || "[\\x00-\\x02$a\"\\\\é🎂]{0,4}";
        let number = || {
            any::<i128>().prop_map(|it| rust_decimal::Decimal::from_i128_with_scale(it >> 40, 6).to_string())
        };
        let leaf = prop_oneof![
            any::<bool>().prop_map(AttributeValue::Bool),
            Just(AttributeValue::Null(true)),
            number().prop_map(AttributeValue::N),
            text().prop_map(AttributeValue::S),
            any::<Vec<u8>>().prop_map(AttributeValue::B),
            proptest::collection::vec(text(), 1..3).prop_map(AttributeValue::Ss),
            proptest::collection::vec(number(), 1..3).prop_map(AttributeValue::Ns),
            proptest::collection::vec(any::<Vec<u8>>(), 1..3).prop_map(AttributeValue::Bs),
        ];
        leaf.prop_recursive(3, 12, 4, move |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..3).prop_map(AttributeValue::L),
                proptest::collection::hash_map(text(), inner, 0..3).prop_map(AttributeValue::M),
            ]
        })
    }

    proptest! {
        #[test]
        fn an_item_is_read_as_it_was_written(view in value(), waits in value()) {
            let attributes = HashMap::from([
                ("v".to_owned(), AttributeValue::N("281474976710656".to_owned())),
                ("h".to_owned(), AttributeValue::S("\0h".to_owned())),
                ("view".to_owned(), view),
                ("waits".to_owned(), waits),
            ]);
            let columns = Columns::of(&attributes).unwrap();
            prop_assert!(!columns.item.contains("\\u0000") && !columns.joins.contains("\\u0000"));
            prop_assert_eq!(columns.item().unwrap(), attributes);
        }
    }

    #[test]
    fn what_is_no_decimal_is_refused() {
        for good in ["0", "-1.50", "1e-7", "12345678901234567890.000000000000000001"] {
            assert!(is_number(good), "{good}");
        }
        for bad in ["", "NaN", "Infinity", "+1", ".5", "5.", " 1", "1 ", "0x1", "1,2", "--1"] {
            assert!(!is_number(bad), "{bad}");
        }
    }
}
