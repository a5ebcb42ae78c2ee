//! Digests that don't depend on how JSON was written.

use serde_json::Value;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;

/// 128 bits of SHA-256 over length-prefixed parts, in hexadecimal.
pub fn short(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hex(&hash.finalize()[..16])
}

/// 128 bits of SHA-256 over a JSON value, in hexadecimal; the order of an object's fields and white space don't
/// count, nor does a field that is null.
pub fn of_json(value: &Value) -> String {
    let mut hash = Sha256::new();
    absorb(&mut hash, value);
    hex(&hash.finalize()[..16])
}

fn absorb(hash: &mut Sha256, value: &Value) {
    match value {
        Value::Null => hash.update(b"n"),
        Value::Bool(value) => hash.update(if *value { b"t" } else { b"f" }),
        Value::Number(number) => {
            hash.update(b"#");
            sized(hash, number.to_string().as_bytes());
        }
        Value::String(text) => {
            hash.update(b"s");
            sized(hash, text.as_bytes());
        }
        Value::Array(items) => {
            hash.update(b"[");
            hash.update((items.len() as u64).to_be_bytes());
            for item in items {
                absorb(hash, item);
            }
        }
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().filter(|(_, value)| !value.is_null()).collect();
            fields.sort_unstable_by_key(|(name, _)| *name);
            hash.update(b"{");
            hash.update((fields.len() as u64).to_be_bytes());
            for (name, value) in fields {
                sized(hash, name.as_bytes());
                absorb(hash, value);
            }
        }
    }
}

fn sized(hash: &mut Sha256, bytes: &[u8]) {
    hash.update((bytes.len() as u64).to_be_bytes());
    hash.update(bytes);
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_order_of_fields_and_nulls_do_not_count() {
        let one = of_json(&json!({"a": 1, "b": {"x": [1, "2"], "y": null}}));
        let other = of_json(&json!({"b": {"x": [1, "2"]}, "a": 1}));
        assert_eq!(one, other);
    }

    #[test]
    fn content_counts_and_parts_do_not_run_together() {
        assert_ne!(of_json(&json!({"a": 1})), of_json(&json!({"a": "1"})));
        assert_ne!(of_json(&json!(["ab", "c"])), of_json(&json!(["a", "bc"])));
        assert_ne!(short(&[b"ab", b"c"]), short(&[b"a", b"bc"]));
    }
}
