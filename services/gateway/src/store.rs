//! Where the answers of one request's subgraphs are kept, each body parsed once.
//!
//! A value is a small copyable [`Node`]; strings and numbers point into the bodies, so they reach the
//! client's answer exactly as the subgraph wrote them, without being decoded on the way.

use bytes::Bytes;

use crate::json::{self, JsonError};

/// A stretch of one of the store's documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) document: u32,
    pub(crate) start: u32,
    pub(crate) end: u32,
}

/// A run of list items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Items {
    start: u32,
    len: u32,
}

/// The handle of an object; it stays good while fields are merged into the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ObjectId(u32);

/// One JSON value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Node {
    Null,
    Bool(bool),
    /// The digits, as the subgraph wrote them.
    Number(Span),
    /// The text with its quotes and escapes, as the subgraph wrote it.
    String(Span),
    List(Items),
    Object(ObjectId),
}

/// A field of an object: its key without quotes, and its value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) key: Span,
    pub(crate) value: Node,
}

/// A run of an object's fields. Fields merged in later form a further run.
#[derive(Debug, Clone, Copy)]
struct Run {
    start: u32,
    len: u32,
    next: Option<u32>,
}

/// All values of one request.
#[derive(Debug, Default)]
pub(crate) struct Store {
    documents: Vec<Bytes>,
    items: Vec<Node>,
    entries: Vec<Entry>,
    runs: Vec<Run>,
}

impl Store {
    /// Parses a body and keeps it.
    pub(crate) fn parse(&mut self, body: Bytes) -> Result<Node, JsonError> {
        json::parse(self, body)
    }

    /// Keeps `document` and gives its number.
    pub(crate) fn keep(&mut self, document: Bytes) -> u32 {
        self.documents.push(document);
        as_u32(self.documents.len() - 1)
    }

    pub(crate) fn document(&self, number: u32) -> Bytes {
        self.documents[number as usize].clone()
    }

    pub(crate) fn push_list(&mut self, items: impl IntoIterator<Item = Node>) -> Node {
        let start = self.items.len();
        self.items.extend(items);
        Node::List(Items { start: as_u32(start), len: as_u32(self.items.len() - start) })
    }

    pub(crate) fn push_object(&mut self, entries: impl IntoIterator<Item = Entry>) -> ObjectId {
        let start = self.entries.len();
        self.entries.extend(entries);
        let len = self.entries.len() - start;
        self.runs.push(Run { start: as_u32(start), len: as_u32(len), next: None });
        ObjectId(as_u32(self.runs.len() - 1))
    }

    /// The text of a span.
    pub(crate) fn text(&self, span: Span) -> &[u8] {
        &self.documents[span.document as usize][span.start as usize..span.end as usize]
    }

    /// The items of a list.
    pub(crate) fn list(&self, items: Items) -> &[Node] {
        &self.items[items.start as usize..(items.start + items.len) as usize]
    }

    /// The value of a field.
    pub(crate) fn get(&self, object: ObjectId, key: &str) -> Option<Node> {
        self.position(object, key.as_bytes()).map(|at| self.entries[at].value)
    }

    fn position(&self, object: ObjectId, key: &[u8]) -> Option<usize> {
        let mut next = Some(object.0);
        while let Some(number) = next {
            let run = self.runs[number as usize];
            for at in run.start..run.start + run.len {
                if self.text(self.entries[at as usize].key) == key {
                    return Some(at as usize);
                }
            }
            next = run.next;
        }
        None
    }

    /// All fields of an object.
    pub(crate) fn entries(&self, object: ObjectId) -> impl Iterator<Item = Entry> + '_ {
        let mut next = Some(object.0);
        std::iter::from_fn(move || {
            let run = self.runs[next? as usize];
            next = run.next;
            Some(run)
        })
        .flat_map(|run| self.entries[run.start as usize..(run.start + run.len) as usize].iter().copied())
    }

    /// The content of a string that holds no escapes, as names never do.
    pub(crate) fn name(&self, node: Node) -> Option<&str> {
        let Node::String(span) = node else { return None };
        let text = self.text(span);
        let text = std::str::from_utf8(&text[1..text.len() - 1]).ok()?;
        (!text.contains('\\')).then_some(text)
    }

    /// The object's `__typename`.
    pub(crate) fn type_name(&self, object: ObjectId) -> Option<&str> {
        self.name(self.get(object, "__typename")?)
    }

    /// Gives a field another name.
    pub(crate) fn rename(&mut self, object: ObjectId, from: &str, to: &str) {
        let Some(at) = self.position(object, from.as_bytes()) else { return };
        let value = self.entries[at].value;
        let document = self.keep(Bytes::copy_from_slice(to.as_bytes()));
        let key = Span { document, start: 0, end: as_u32(to.len()) };
        self.entries[at].key = key;
        if let Some(other) = self.position_other_than(object, to.as_bytes(), at) {
            let merged = self.merged(self.entries[other].value, value, &|_| true);
            self.entries[other].value = merged;
            self.entries[at].value = merged;
        }
    }

    fn position_other_than(&self, object: ObjectId, key: &[u8], not: usize) -> Option<usize> {
        let first = self.position(object, key)?;
        if first != not {
            return Some(first);
        }
        let mut next = Some(object.0);
        while let Some(number) = next {
            let run = self.runs[number as usize];
            for at in run.start as usize..(run.start + run.len) as usize {
                if at != not && self.text(self.entries[at].key) == key {
                    return Some(at);
                }
            }
            next = run.next;
        }
        None
    }

    /// Merges the fields of `source` into `target`.
    ///
    /// `is_object_type` tells whether a name is that of an object type: an object's `__typename` is never
    /// replaced by that of an interface, which an `@interfaceObject` subgraph answers with.
    pub(crate) fn merge(
        &mut self,
        target: ObjectId,
        source: ObjectId,
        is_object_type: &dyn Fn(&str) -> bool,
    ) {
        if target == source {
            return;
        }
        let incoming: Vec<Entry> = self.entries(source).collect();
        let mut fresh = Vec::new();
        for entry in incoming {
            let key = self.text(entry.key);
            let Some(at) = self.position(target, key) else {
                fresh.push(entry);
                continue;
            };
            let keeps_type = key == b"__typename" && !self.name(entry.value).is_some_and(is_object_type);
            if !keeps_type {
                let merged = self.merged(self.entries[at].value, entry.value, is_object_type);
                self.entries[at].value = merged;
            }
        }
        if !fresh.is_empty() {
            let run = self.push_object(fresh);
            let mut last = target.0 as usize;
            while let Some(next) = self.runs[last].next {
                last = next as usize;
            }
            self.runs[last].next = Some(run.0);
        }
    }

    fn merged(&mut self, target: Node, source: Node, is_object_type: &dyn Fn(&str) -> bool) -> Node {
        match (target, source) {
            (Node::Object(into), Node::Object(from)) => {
                self.merge(into, from, is_object_type);
                target
            }
            (Node::List(into), Node::List(from)) => {
                for offset in 0..into.len.min(from.len) {
                    let at = (into.start + offset) as usize;
                    let merged = self.merged(
                        self.items[at],
                        self.items[(from.start + offset) as usize],
                        is_object_type,
                    );
                    self.items[at] = merged;
                }
                target
            }
            (_, Node::Null) => target,
            _ => source,
        }
    }

    /// A copy that shares no object with the original.
    pub(crate) fn copied(&mut self, node: Node) -> Node {
        match node {
            Node::List(items) => {
                let copies: Vec<Node> = (items.start..items.start + items.len)
                    .map(|at| self.copied(self.items[at as usize]))
                    .collect();
                self.push_list(copies)
            }
            Node::Object(object) => {
                let entries: Vec<Entry> = self.entries(object).collect();
                let copies: Vec<Entry> = entries
                    .into_iter()
                    .map(|entry| Entry { key: entry.key, value: self.copied(entry.value) })
                    .collect();
                Node::Object(self.push_object(copies))
            }
            scalar => scalar,
        }
    }

    /// Writes a value as JSON.
    pub(crate) fn write(&self, node: Node, out: &mut Vec<u8>) {
        match node {
            Node::Null => out.extend_from_slice(b"null"),
            Node::Bool(true) => out.extend_from_slice(b"true"),
            Node::Bool(false) => out.extend_from_slice(b"false"),
            Node::Number(span) | Node::String(span) => out.extend_from_slice(self.text(span)),
            Node::List(items) => {
                out.push(b'[');
                for (index, item) in self.list(items).iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    self.write(*item, out);
                }
                out.push(b']');
            }
            Node::Object(object) => {
                out.push(b'{');
                for (index, entry) in self.entries(object).enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    out.push(b'"');
                    write_escaped(self.text(entry.key), out);
                    out.extend_from_slice(b"\":");
                    self.write(entry.value, out);
                }
                out.push(b'}');
            }
        }
    }
}

/// Writes a key, escaping what JSON asks to be escaped.
fn write_escaped(text: &[u8], out: &mut Vec<u8>) {
    if text.iter().all(|byte| *byte >= 0x20 && *byte != b'"' && *byte != b'\\') {
        out.extend_from_slice(text);
        return;
    }
    let quoted = serde_json::to_vec(&String::from_utf8_lossy(text)).expect("a string is always JSON");
    out.extend_from_slice(&quoted[1..quoted.len() - 1]);
}

/// Bodies are bounded far below 4 GiB by the transport, so counts and offsets fit.
pub(crate) fn as_u32(count: usize) -> u32 {
    u32::try_from(count).expect("subgraph bodies are bounded to less than 4 GiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(store: &mut Store, text: &'static str) -> ObjectId {
        match store.parse(Bytes::from_static(text.as_bytes())).unwrap() {
            Node::Object(object) => object,
            other => panic!("not an object: {other:?}"),
        }
    }

    fn written(store: &Store, object: ObjectId) -> String {
        let mut out = Vec::new();
        store.write(Node::Object(object), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn objects_and_lists_merge_in_depth() {
        let mut store = Store::default();
        let target = parsed(&mut store, r#"{"a":{"x":1},"list":[{"i":1},{"i":2}],"kept":3}"#);
        let source = parsed(&mut store, r#"{"a":{"y":2},"list":[{"j":1},{"j":2}],"kept":null,"new":"é\n"}"#);
        store.merge(target, source, &|_| true);
        assert_eq!(
            written(&store, target),
            r#"{"a":{"x":1,"y":2},"list":[{"i":1,"j":1},{"i":2,"j":2}],"kept":3,"new":"é\n"}"#
        );
    }

    #[test]
    fn an_interface_name_never_replaces_an_object_name() {
        let mut store = Store::default();
        let target = parsed(&mut store, r#"{"__typename":"Book"}"#);
        let source = parsed(&mut store, r#"{"__typename":"Media","title":"t"}"#);
        store.merge(target, source, &|name| name == "Book");
        assert_eq!(written(&store, target), r#"{"__typename":"Book","title":"t"}"#);
        let concrete = parsed(&mut store, r#"{"__typename":"Book"}"#);
        let media = parsed(&mut store, r#"{"__typename":"Media"}"#);
        store.merge(media, concrete, &|name| name == "Book");
        assert_eq!(written(&store, media), r#"{"__typename":"Book"}"#);
    }

    #[test]
    fn a_copy_is_independent() {
        let mut store = Store::default();
        let original = parsed(&mut store, r#"{"a":{"x":1}}"#);
        let Node::Object(copy) = store.copied(Node::Object(original)) else { unreachable!() };
        let more = parsed(&mut store, r#"{"a":{"y":2}}"#);
        store.merge(copy, more, &|_| true);
        assert_eq!(written(&store, original), r#"{"a":{"x":1}}"#);
        assert_eq!(written(&store, copy), r#"{"a":{"x":1,"y":2}}"#);
    }

    #[test]
    fn a_renamed_field_is_found_under_its_new_name() {
        let mut store = Store::default();
        let object = parsed(&mut store, r#"{"_alias":{"x":1}}"#);
        store.rename(object, "_alias", "plain");
        assert_eq!(written(&store, object), r#"{"plain":{"x":1}}"#);
    }
}
