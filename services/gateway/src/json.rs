//! A strict JSON parser into the [`Store`], keeping strings and numbers where they are in the body.

use bytes::Bytes;

use crate::store::{Layout, Name, Node, Span, Store, as_u32};

/// How deep the values of a subgraph's answer may nest.
const MAX_NESTING: usize = 256;

/// Why a body is not JSON.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum JsonError {
    #[error("byte {0} is not UTF-8")]
    NotUtf8(usize),
    #[error("unexpected {found} at byte {at}")]
    Unexpected { found: String, at: usize },
    #[error("values nest deeper than {MAX_NESTING}")]
    TooDeep,
    #[error("the body has {0} bytes, more than can be addressed")]
    TooLong(usize),
}

pub(crate) fn parse(store: &mut Store, body: Bytes) -> Result<Node, JsonError> {
    if u32::try_from(body.len()).is_err() {
        return Err(JsonError::TooLong(body.len()));
    }
    if let Err(error) = std::str::from_utf8(&body) {
        return Err(JsonError::NotUtf8(error.valid_up_to()));
    }
    let document = store.keep(body);
    // A second handle to the same memory, so that the store can be written to while the text is read.
    let text = store.document(document);
    let mut parser = Parser {
        store,
        text: &text,
        at: 0,
        document,
        depth: 0,
        items: Vec::new(),
        names: Vec::new(),
        values: Vec::new(),
        within: Name::TYPE_NAME,
        expected: Expected::default(),
    };
    let node = parser.value()?;
    parser.whitespace();
    if parser.at < parser.text.len() {
        return Err(parser.unexpected());
    }
    Ok(node)
}

struct Parser<'a> {
    store: &'a mut Store,
    text: &'a [u8],
    at: usize,
    document: u32,
    depth: usize,
    /// Items and fields of values still open, moved to the store as each closes.
    items: Vec<Node>,
    names: Vec<Name>,
    values: Vec<Node>,
    /// The field whose value is being read.
    within: Name,
    expected: Expected,
}

/// What came last time. The objects of a list mostly have the same keys in the same order, so a key is compared with one
/// before it is looked for among all.
#[derive(Default)]
struct Expected {
    /// The first key within each field.
    first: Vec<Option<Name>>,
    /// The key after each key.
    after: Vec<Option<Name>>,
    /// The layout that ends with each key.
    ending: Vec<Option<Layout>>,
}

impl Expected {
    fn of<T: Copy>(table: &[Option<T>], name: Name) -> Option<T> {
        table.get(name.index()).copied().flatten()
    }

    fn note<T: Copy>(table: &mut Vec<Option<T>>, name: Name, value: T) {
        if table.len() <= name.index() {
            table.resize(name.index() + 1, None);
        }
        table[name.index()] = Some(value);
    }
}

impl Parser<'_> {
    fn value(&mut self) -> Result<Node, JsonError> {
        self.whitespace();
        match self.text.get(self.at) {
            Some(b'{') => self.nested(Self::object),
            Some(b'[') => self.nested(Self::list),
            Some(b'"') => self.string().map(Node::String),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true", Node::Bool(true)),
            Some(b'f') => self.word("false", Node::Bool(false)),
            Some(b'n') => self.word("null", Node::Null),
            _ => Err(self.unexpected()),
        }
    }

    fn nested(&mut self, parse: fn(&mut Self) -> Result<Node, JsonError>) -> Result<Node, JsonError> {
        self.depth += 1;
        if self.depth > MAX_NESTING {
            return Err(JsonError::TooDeep);
        }
        self.at += 1;
        let node = parse(self)?;
        self.depth -= 1;
        Ok(node)
    }

    fn object(&mut self) -> Result<Node, JsonError> {
        let first = self.values.len();
        let within = self.within;
        self.whitespace();
        if !self.eat(b'}') {
            let mut before = None;
            loop {
                self.whitespace();
                let name = self.key(within, before)?;
                before = Some(name);
                self.whitespace();
                self.expect(b':')?;
                self.within = name;
                let value = self.value()?;
                self.names.push(name);
                self.values.push(value);
                self.whitespace();
                if self.eat(b'}') {
                    break;
                }
                self.expect(b',')?;
            }
        }
        self.within = within;
        let layout = self.layout(first);
        self.names.truncate(first);
        Ok(Node::Object(self.store.push_object(layout, self.values.drain(first..))))
    }

    /// The layout of the names from `first` on.
    fn layout(&mut self, first: usize) -> Layout {
        let names = &self.names[first..];
        let Some(last) = names.last() else { return self.store.layouts.layout(names) };
        let expected = Expected::of(&self.expected.ending, *last);
        if let Some(expected) = expected.filter(|it| self.store.layouts.names(*it) == names) {
            return expected;
        }
        let layout = self.store.layouts.layout(names);
        Expected::note(&mut self.expected.ending, *last, layout);
        layout
    }

    fn list(&mut self) -> Result<Node, JsonError> {
        let first = self.items.len();
        self.whitespace();
        if !self.eat(b']') {
            loop {
                let value = self.value()?;
                self.items.push(value);
                self.whitespace();
                if self.eat(b']') {
                    break;
                }
                self.expect(b',')?;
            }
        }
        Ok(self.store.push_list(self.items.drain(first..)))
    }

    /// A key of the object that is the value of `within`, or an item of it, and the one after `before`.
    fn key(&mut self, within: Name, before: Option<Name>) -> Result<Name, JsonError> {
        let expected = match before {
            Some(before) => Expected::of(&self.expected.after, before),
            None => Expected::of(&self.expected.first, within),
        };
        if let Some(name) = expected.filter(|name| self.is_next(*name)) {
            self.at += self.store.layouts.text(name).len() + 2;
            return Ok(name);
        }
        let quoted = self.string()?;
        let raw = &self.text[quoted.start as usize..quoted.end as usize];
        if raw.contains(&b'\\') {
            let decoded: String = serde_json::from_slice(raw).map_err(|_| JsonError::Unexpected {
                found: "an escape that is no character".to_owned(),
                at: quoted.start as usize,
            })?;
            return Ok(self.store.layouts.name(decoded.as_bytes()));
        }
        // Only a key without escapes is expected again: it is written as it is.
        let name = self.store.layouts.name(&raw[1..raw.len() - 1]);
        match before {
            Some(before) => Expected::note(&mut self.expected.after, before, name),
            None => Expected::note(&mut self.expected.first, within, name),
        }
        Ok(name)
    }

    fn is_next(&self, name: Name) -> bool {
        let rest = self.text[self.at..].strip_prefix(b"\"");
        let rest = rest.and_then(|rest| rest.strip_prefix(self.store.layouts.text(name)));
        rest.is_some_and(|rest| rest.first() == Some(&b'"'))
    }

    fn string(&mut self) -> Result<Span, JsonError> {
        let start = self.at;
        self.expect(b'"')?;
        loop {
            match self.text.get(self.at) {
                Some(b'"') => break,
                Some(b'\\') => {
                    self.at += 1;
                    match self.text.get(self.at) {
                        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
                        Some(b'u') => {
                            self.at += 1;
                            for _ in 0..4 {
                                if !self.text.get(self.at).is_some_and(u8::is_ascii_hexdigit) {
                                    return Err(self.unexpected());
                                }
                                self.at += 1;
                            }
                        }
                        _ => return Err(self.unexpected()),
                    }
                }
                Some(byte) if *byte >= 0x20 => self.at += 1,
                _ => return Err(self.unexpected()),
            }
        }
        self.at += 1;
        Ok(self.span(start))
    }

    fn number(&mut self) -> Result<Node, JsonError> {
        let start = self.at;
        self.eat(b'-');
        if !self.eat(b'0') {
            self.digits()?;
        }
        if self.eat(b'.') {
            self.digits()?;
        }
        if self.eat(b'e') || self.eat(b'E') {
            if !self.eat(b'+') {
                self.eat(b'-');
            }
            self.digits()?;
        }
        Ok(Node::Number(self.span(start)))
    }

    fn digits(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        while self.text.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
        if self.at == start { Err(self.unexpected()) } else { Ok(()) }
    }

    fn word(&mut self, word: &str, node: Node) -> Result<Node, JsonError> {
        if self.text[self.at..].starts_with(word.as_bytes()) {
            self.at += word.len();
            Ok(node)
        } else {
            Err(self.unexpected())
        }
    }

    fn whitespace(&mut self) {
        while matches!(self.text.get(self.at), Some(b' ' | b'\n' | b'\t' | b'\r')) {
            self.at += 1;
        }
    }

    fn eat(&mut self, byte: u8) -> bool {
        let found = self.text.get(self.at) == Some(&byte);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, byte: u8) -> Result<(), JsonError> {
        if self.eat(byte) { Ok(()) } else { Err(self.unexpected()) }
    }

    fn span(&self, start: usize) -> Span {
        Span { document: self.document, start: as_u32(start), end: as_u32(self.at) }
    }

    fn unexpected(&self) -> JsonError {
        let found = match self.text.get(self.at) {
            Some(byte) if byte.is_ascii_graphic() => format!("`{}`", char::from(*byte)),
            Some(byte) => format!("byte {byte:#04x}"),
            None => "end".to_owned(),
        };
        JsonError::Unexpected { found, at: self.at }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn round_trip(text: &str) -> Result<String, JsonError> {
        let mut store = Store::default();
        let node = store.parse(Bytes::copy_from_slice(text.as_bytes()))?;
        let mut out = Vec::new();
        store.write(node, &mut out);
        Ok(String::from_utf8(out).expect("written from UTF-8"))
    }

    fn any_json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(serde_json::Value::from),
            any::<i64>().prop_map(serde_json::Value::from),
            any::<f64>().prop_filter("finite", |number| number.is_finite()).prop_map(serde_json::Value::from),
            any::<String>().prop_map(serde_json::Value::from),
        ];
        leaf.prop_recursive(5, 64, 8, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..8).prop_map(serde_json::Value::from),
                prop::collection::btree_map(any::<String>(), inner, 0..8)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_serde_writes_is_read_and_written_alike(value in any_json()) {
            let text = value.to_string();
            prop_assert_eq!(round_trip(&text).unwrap(), text);
        }

        #[test]
        fn what_serde_refuses_is_refused(text in "[\\[\\]{}:,\"0-9eE+.tru\\\\ -]{0,12}") {
            let ours = round_trip(&text).is_ok();
            let theirs = serde_json::from_str::<Box<serde_json::value::RawValue>>(&text).is_ok();
            prop_assert_eq!(ours, theirs, "{}", text);
        }
    }

    #[test]
    fn nonsense_is_named_with_its_place() {
        assert_eq!(round_trip("<html>").unwrap_err().to_string(), "unexpected `<` at byte 0");
        assert_eq!(round_trip(r#"{"a":1"#).unwrap_err().to_string(), "unexpected end at byte 6");
        assert_eq!(round_trip("1 2").unwrap_err().to_string(), "unexpected `2` at byte 2");
        assert_eq!(round_trip(&"[".repeat(100_000)).unwrap_err(), JsonError::TooDeep);
    }

    proptest! {
        /// Keys that came before are expected again, in this order or another, with escapes or without.
        #[test]
        fn objects_of_a_list_are_read_whatever_came_before(
            objects in prop::collection::vec(prop::collection::vec(("[ab\"\\\\]{0,2}", any_json()), 0..4), 0..6),
        ) {
            let mut text = String::from("[");
            for (at, object) in objects.iter().enumerate() {
                text.push_str(if at == 0 { "{" } else { ",{" });
                for (at, (key, value)) in object.iter().enumerate() {
                    text.push_str(if at == 0 { "" } else { "," });
                    text.push_str(&serde_json::Value::from(key.as_str()).to_string());
                    text.push(':');
                    text.push_str(&value.to_string());
                }
                text.push('}');
            }
            text.push(']');
            prop_assert_eq!(round_trip(&text).unwrap(), text);
        }
    }

    #[test]
    fn a_quote_in_a_key_ends_no_other() {
        // The first key is `a"b`; what follows only looks like it.
        let error = round_trip(r#"[{"a\"b":1},{"a"b":1}]"#).unwrap_err();
        assert_eq!(error.to_string(), "unexpected `b` at byte 16");
    }

    #[test]
    fn keys_are_decoded() {
        let mut store = Store::default();
        let node = store.parse(Bytes::from_static(br#"{"n\u0061me":1}"#)).unwrap();
        let Node::Object(object) = node else { panic!("an object") };
        assert!(store.get(object, "name").is_some());
    }
}
