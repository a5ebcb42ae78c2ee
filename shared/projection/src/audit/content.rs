//! What a part of an item says, as one number: the same for the same content, however DynamoDB wrote it down.

use crate::join::{Body, Contribution, Put, is_reserved};
use aws_sdk_dynamodb::types::AttributeValue;
use contracts::digest;
use rust_decimal::Decimal;
use std::collections::HashMap;

type Attributes = HashMap<String, AttributeValue>;

/// The digest of what a State join writes.
pub fn of_put(put: &Put) -> u64 {
    match &put.body {
        Body::Tombstone => TOMBSTONE,
        Body::View(view) => of_view(&view.clone().into()),
    }
}

/// The digest of a tombstone.
pub const TOMBSTONE: u64 = 0;

/// The digest of a view's attributes; those of the joins don't count.
pub fn of_view(attributes: &Attributes) -> u64 {
    let mut bytes = Vec::with_capacity(256);
    map(&mut bytes, attributes.iter().filter(|(name, _)| !is_reserved(name)));
    number_of(&bytes)
}

/// The digest of one source's part.
pub fn of_part(part: &Attributes) -> u64 {
    let mut bytes = Vec::with_capacity(256);
    map(&mut bytes, part.iter());
    number_of(&bytes)
}

/// The digest of what a contributor's child item remembers.
pub fn of_contribution(contribution: &Contribution) -> u64 {
    let amounts = contribution.amounts.iter().map(|amount| {
        let sums = amount.add.iter().map(|(name, value)| ((*name).to_owned(), number(*value))).collect();
        (amount.total.clone(), AttributeValue::M(sums))
    });
    of_part(&amounts.collect())
}

/// The digest of an event's digest; never 0.
pub fn of_event(hash: &str) -> u64 {
    number_of(hash.as_bytes()).max(1)
}

fn number(value: Decimal) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

/// Names an item's part: the same everywhere.
pub fn name(key: &crate::Key, source: Option<&str>) -> u128 {
    let source = source.unwrap_or_default();
    let text = digest::short(&[key.pk.as_bytes(), key.sk.as_bytes(), source.as_bytes()]);
    u128::from_str_radix(&text, 16).expect("a digest is 128 bits in hexadecimal")
}

fn number_of(bytes: &[u8]) -> u64 {
    let text = digest::short(&[bytes]);
    u64::from_str_radix(&text[..16], 16).expect("a digest is hexadecimal")
}

fn map<'a>(bytes: &mut Vec<u8>, fields: impl Iterator<Item = (&'a String, &'a AttributeValue)>) {
    let mut fields: Vec<_> = fields.collect();
    fields.sort_unstable_by_key(|(name, _)| *name);
    bytes.push(b'{');
    length(bytes, fields.len());
    for (name, value) in fields {
        text(bytes, b's', name);
        absorb(bytes, value);
    }
}

fn absorb(bytes: &mut Vec<u8>, value: &AttributeValue) {
    match value {
        AttributeValue::Bool(value) => bytes.push(if *value { b't' } else { b'f' }),
        AttributeValue::S(value) => text(bytes, b's', value),
        AttributeValue::N(value) => text(bytes, b'#', &plain(value)),
        AttributeValue::B(value) => {
            bytes.push(b'b');
            length(bytes, value.as_ref().len());
            bytes.extend(value.as_ref());
        }
        AttributeValue::L(items) => {
            bytes.push(b'[');
            length(bytes, items.len());
            for item in items {
                absorb(bytes, item);
            }
        }
        AttributeValue::M(fields) => map(bytes, fields.iter()),
        AttributeValue::Ss(all) => set(bytes, all.clone()),
        AttributeValue::Ns(all) => set(bytes, all.iter().map(|it| plain(it)).collect()),
        AttributeValue::Bs(all) => set(bytes, all.iter().map(|it| format!("{:?}", it.as_ref())).collect()),
        _ => bytes.push(b'n'),
    }
}

fn set(bytes: &mut Vec<u8>, mut members: Vec<String>) {
    members.sort_unstable();
    bytes.push(b'(');
    length(bytes, members.len());
    for member in &members {
        text(bytes, b's', member);
    }
}

fn text(bytes: &mut Vec<u8>, tag: u8, value: &str) {
    bytes.push(tag);
    length(bytes, value.len());
    bytes.extend(value.as_bytes());
}

fn length(bytes: &mut Vec<u8>, length: usize) {
    bytes.extend((length as u64).to_be_bytes());
}

/// A number in plain notation without trailing zeros: DynamoDB gives `1.50` back as `1.5`.
fn plain(text: &str) -> String {
    match text.parse::<Decimal>().or_else(|_| Decimal::from_scientific(text)) {
        Ok(value) if value.is_zero() => "0".to_owned(),
        Ok(value) => value.normalize().to_string(),
        Err(_) => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_sets_have_one_digest_however_they_are_written() {
        let item = |n: &str, set: [&str; 2]| {
            HashMap::from([
                ("a".to_owned(), AttributeValue::N(n.to_owned())),
                ("b".to_owned(), AttributeValue::Ss(set.map(str::to_owned).to_vec())),
            ])
        };
        assert_eq!(of_view(&item("1.50", ["x", "y"])), of_view(&item("1.5", ["y", "x"])));
        assert_ne!(of_view(&item("1.50", ["x", "y"])), of_view(&item("1.51", ["y", "x"])));
    }

    #[test]
    fn what_the_joins_keep_in_an_item_is_no_content() {
        let view = HashMap::from([("title".to_owned(), AttributeValue::S("x".to_owned()))]);
        let mut stored = view.clone();
        for name in ["pk", "sk", "v", "h", "ttl", "v_pricing"] {
            stored.insert(name.to_owned(), AttributeValue::N("1".to_owned()));
        }
        assert_eq!(of_view(&view), of_view(&stored));
    }
}
