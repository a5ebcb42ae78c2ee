//! Valid messages made wrong, in the ways that a decoder must survive: by their structure and by their bytes.

use crate::dice::Dice;
use serde_json::{Value, json};
use std::iter::repeat_n;

/// How deep what is nested deeply is.
const DEPTH: usize = 3_000;

/// Stands for raw text that no [`Value`] can hold, until the text is written.
const MARK: &str = "\u{1}raw text\u{1}";

/// JSON text that is this value, wrong in one to three places: values of other types, numbers that fit no type, deep
/// nesting, keys that are gone, come twice or are called something else, texts that are empty, long or no text at all.
pub fn json(dice: &mut Dice, value: &Value) -> String {
    let mut value = value.clone();
    for _ in 0..dice.below(3) {
        let number = dice.below(nodes(&value));
        if let Some(node) = nth(&mut value, &mut { number }) {
            *node = other(dice, node);
        }
    }
    let number = dice.below(nodes(&value));
    let Some(node) = nth(&mut value, &mut { number }) else { return value.to_string() };
    let raw = match dice.below(8) {
        0 => twice(dice, node),
        1 => nested(dice),
        2 => without_or_renamed(dice, node),
        3 => text(dice),
        4 => node.to_string().replace('"', "'"),
        _ => number_text(dice),
    };
    *node = MARK.into();
    value.to_string().replacen(&json!(MARK).to_string(), &raw, 1)
}

/// Bytes that are these, wrong in one to four places: bits that are flipped, parts that are gone, come twice or are
/// cut off, bytes that are no UTF-8.
pub fn bytes(dice: &mut Dice, bytes: &[u8]) -> Vec<u8> {
    let mut wrong = bytes.to_vec();
    for _ in 0..=dice.below(4) {
        let at = dice.below(wrong.len());
        let end = (at + 1 + dice.below(40)).min(wrong.len());
        match dice.below(6) {
            0 => wrong.truncate(at),
            1 if at < end => drop(wrong.drain(at..end)),
            2 if at < end => {
                let part = wrong[at..end].to_vec();
                let to = dice.below(wrong.len());
                wrong.splice(to..to, part);
            }
            3 => {
                let not_utf8 = [[0xFF, 0xFE, 0xC0].as_slice(), &[0xED, 0xA0, 0x80], &[0], &[0xF5]];
                wrong.splice(at..at, not_utf8[dice.below(4)].iter().copied());
            }
            _ => {
                if let Some(byte) = wrong.get_mut(at) {
                    *byte ^= 1 << dice.below(8);
                }
            }
        }
    }
    wrong
}

fn nodes(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(nodes).sum(),
        Value::Object(fields) => fields.values().map(nodes).sum(),
        _ => 0,
    }
}

fn nth<'a>(value: &'a mut Value, number: &mut usize) -> Option<&'a mut Value> {
    if *number == 0 {
        return Some(value);
    }
    *number -= 1;
    match value {
        Value::Array(items) => items.iter_mut().find_map(|item| nth(item, number)),
        Value::Object(fields) => fields.values_mut().find_map(|field| nth(field, number)),
        _ => None,
    }
}

/// A value of any type.
fn other(dice: &mut Dice, value: &Value) -> Value {
    match dice.below(10) {
        0 => Value::Null,
        1 => json!(dice.percent(50)),
        2 => json!(i64::MIN),
        3 => json!(u64::MAX),
        4 => json!(0.1),
        5 => json!(""),
        6 => json!("x".repeat(dice.below(5_000))),
        7 => json!([value, value]),
        8 => json!({ "value": value, "": {} }),
        _ => json!("\u{0}\u{FFFD}\u{202E}🎂"),
    }
}

/// An object in which a key comes twice.
fn twice(dice: &mut Dice, value: &Value) -> String {
    let Some(fields) = value.as_object().filter(|fields| !fields.is_empty()) else {
        return format!("{{\"a\":{value},\"a\":{value}}}");
    };
    let (name, field) = fields.iter().nth(dice.below(fields.len())).expect("it is below their number");
    let again = if dice.percent(50) { field.clone() } else { other(dice, field) };
    let mut all: Vec<String> =
        fields.iter().map(|(name, field)| format!("{}:{field}", json!(name))).collect();
    all.push(format!("{}:{again}", json!(name)));
    format!("{{{}}}", all.join(","))
}

fn nested(dice: &mut Dice) -> String {
    let (open, close) = [("[", "]"), ("{\"a\":", "}"), ("[{\"detail\":", "}]")][dice.below(3)];
    let depth = 1 + dice.below(DEPTH);
    let inside = if dice.percent(50) { "0" } else { "\"\"" };
    let text: String = repeat_n(open, depth).chain([inside]).chain(repeat_n(close, depth)).collect();
    // At times it never ends.
    if dice.percent(20) { text[..text.len() / 2].to_owned() } else { text }
}

fn without_or_renamed(dice: &mut Dice, value: &Value) -> String {
    let Some(fields) = value.as_object().filter(|fields| !fields.is_empty()) else { return "{}".to_owned() };
    let mut fields = fields.clone();
    let name = fields.keys().nth(dice.below(fields.len())).cloned().unwrap_or_default();
    let field = fields.remove(&name).unwrap_or_default();
    if dice.percent(50) {
        fields.insert(name.to_uppercase(), field);
    }
    Value::Object(fields).to_string()
}

/// What looks like a string, and mostly is none.
fn text(dice: &mut Dice) -> String {
    let texts = [
        r#""\ud800""#,
        r#""\udc00\ud800""#,
        r#""\u12"#,
        r#""\x""#,
        "\"\u{7}\"",
        "\"a\nb\"",
        "\"",
        r#""\u0000""#,
    ];
    texts[dice.below(texts.len())].to_owned()
}

fn number_text(dice: &mut Dice) -> String {
    let numbers = [
        "1e400",
        "-1e400",
        "1e-400",
        "-0",
        "-0.0",
        "00",
        "1.",
        ".5",
        "+1",
        "NaN",
        "Infinity",
        "0x10",
        "18446744073709551616",
        "-9223372036854775809",
        "65536",
        "281474976710656",
        "1.0",
        "79228162514264337593543950336",
        "1E+2147483648",
    ];
    match dice.below(numbers.len() + 1) {
        all if all == numbers.len() => "9".repeat(1 + dice.below(2_000)),
        number => numbers[number].to_owned(),
    }
}
