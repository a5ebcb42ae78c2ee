//! What is wrong with JSON, in words that are safe to log.

use serde_json::error::Category;

/// The longest text about a message that is logged or kept beside it, in bytes.
pub const MAX_DETAIL_BYTES: usize = 1_000;

/// What is wrong, and where, without the values in the text: they may be personal.
pub fn describe(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let what = text.rfind(" at line ").map_or(text.as_str(), |end| &text[..end]);
    let what = match error.classify() {
        Category::Data => without_values(what),
        // These texts of serde_json's quote nothing.
        Category::Syntax | Category::Eof | Category::Io => what.to_owned(),
    };
    match (error.line(), error.column()) {
        (0, _) => what,
        (line, column) => format!("{what} at line {line} column {column}"),
    }
}

/// What of the text of a deserializer's error is about the type, not about the value.
pub fn without_values(text: &str) -> String {
    let of_the_type = ["missing field `", "duplicate field `", "Expected "];
    if of_the_type.iter().any(|start| text.starts_with(start)) {
        return text.to_owned();
    }
    match text.rfind(", expected ") {
        Some(expected) => format!("another value than {}", &text[expected + 2..]),
        None => "a value that its type doesn't allow".to_owned(),
    }
}

/// A text cut to [`MAX_DETAIL_BYTES`].
pub fn bounded(mut text: String) -> String {
    if text.len() > MAX_DETAIL_BYTES {
        let end = text.floor_char_boundary(MAX_DETAIL_BYTES);
        text.truncate(end);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use contracts::catalogue::RetitleProduct;

    fn told(text: &str) -> String {
        describe(&serde_json::from_str::<RetitleProduct>(text).expect_err("it is wrong"))
    }

    #[test]
    fn it_says_what_is_wrong_and_where_and_quotes_no_value() {
        assert_eq!(told(r#"{"title":"t"}"#), "missing field `sku` at line 1 column 13");
        assert_eq!(told(r#"{"sku":"s","sku":"s"}"#), "duplicate field `sku` at line 1 column 16");
        assert_eq!(told(r#"{"sku":7}"#), "another value than expected a string at line 1 column 8");
        assert_eq!(
            told(r#""ada@example.org""#),
            "another value than expected struct RetitleProduct at line 1 column 17"
        );
        assert_eq!(told("{"), "EOF while parsing an object at line 1 column 1");
        assert_eq!(told("hello"), "expected value at line 1 column 1");
        let time = serde_json::from_str::<jiff::Timestamp>(r#""ada@example.org""#).expect_err("it is wrong");
        assert!(!describe(&time).contains("ada"), "{}", describe(&time));
    }

    #[test]
    fn what_is_too_long_is_cut_between_characters() {
        assert_eq!(bounded("short".to_owned()), "short");
        let cut = bounded("é".repeat(1_000));
        assert!(cut.len() <= MAX_DETAIL_BYTES + '…'.len_utf8() && cut.ends_with("é…"), "{cut}");
    }
}
