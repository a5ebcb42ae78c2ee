//! Where the answers of one request's subgraphs are kept, each body parsed once.
//!
//! A value is a small copyable [`Node`]; strings and numbers point into the bodies, so they reach the
//! client's answer exactly as the subgraph wrote them, without being decoded on the way. The keys of an object are
//! kept once for all objects that have the same ([`Layouts`]).

mod layouts;

use bytes::Bytes;

use crate::json::{self, JsonError};

pub(crate) use layouts::{Layout, Layouts, Name};

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

/// An object: its keys, and where its values are. There may be room for more behind them.
#[derive(Debug, Clone, Copy)]
struct Object {
    layout: Layout,
    start: u32,
    room: u32,
}

/// All values of one request.
#[derive(Debug, Default)]
pub(crate) struct Store {
    documents: Vec<Bytes>,
    items: Vec<Node>,
    /// The values of objects' fields.
    values: Vec<Node>,
    objects: Vec<Object>,
    pub(crate) layouts: Layouts,
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

    /// `values` are as many as the layout has keys.
    pub(crate) fn push_object(&mut self, layout: Layout, values: impl IntoIterator<Item = Node>) -> ObjectId {
        let start = self.values.len();
        self.values.extend(values);
        let room = as_u32(self.values.len() - start);
        self.objects.push(Object { layout, start: as_u32(start), room });
        ObjectId(as_u32(self.objects.len() - 1))
    }

    /// An object without fields.
    pub(crate) fn push_empty(&mut self) -> ObjectId {
        let layout = self.layouts.layout(&[]);
        self.push_object(layout, [])
    }

    /// The text of a span.
    pub(crate) fn text(&self, span: Span) -> &[u8] {
        &self.documents[span.document as usize][span.start as usize..span.end as usize]
    }

    /// The items of a list.
    pub(crate) fn list(&self, items: Items) -> &[Node] {
        &self.items[items.start as usize..(items.start + items.len) as usize]
    }

    /// The keys of an object.
    pub(crate) fn layout(&self, object: ObjectId) -> Layout {
        self.objects[object.0 as usize].layout
    }

    /// The values of an object, in the order of its layout.
    pub(crate) fn values(&self, object: ObjectId) -> &[Node] {
        let Object { layout, start, .. } = self.objects[object.0 as usize];
        &self.values[start as usize..][..self.layouts.names(layout).len()]
    }

    /// The value of a field.
    pub(crate) fn get(&self, object: ObjectId, key: &str) -> Option<Node> {
        self.value(object, self.layouts.known_name(key.as_bytes())?)
    }

    fn value(&self, object: ObjectId, name: Name) -> Option<Node> {
        let at = self.layouts.position(self.layout(object), name)?;
        Some(self.values(object)[at])
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
        self.name(self.value(object, Name::TYPE_NAME)?)
    }

    /// Gives a field another name.
    pub(crate) fn rename(&mut self, object: ObjectId, from: &str, to: &str) {
        let Some(from) = self.layouts.known_name(from.as_bytes()) else { return };
        let Object { layout, start, .. } = self.objects[object.0 as usize];
        let Some(at) = self.layouts.position(layout, from) else { return };
        let to = self.layouts.name(to.as_bytes());
        let mut names = self.layouts.names(layout).to_vec();
        let other = names.iter().position(|name| *name == to);
        names[at] = to;
        self.objects[object.0 as usize].layout = self.layouts.layout(&names);
        if let Some(other) = other.filter(|other| *other != at) {
            let (at, other) = (start as usize + at, start as usize + other);
            let merged = self.merged(self.values[other], self.values[at], &|_| true);
            self.values[other] = merged;
            self.values[at] = merged;
        }
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
        let (into, from) = (self.objects[target.0 as usize], self.objects[source.0 as usize]);
        let join = self.layouts.join(into.layout, from.layout);
        let layout = self.layouts.joined(join).layout;
        let fields = self.layouts.names(into.layout).len();
        let start = self.make_room(target, fields, self.layouts.names(layout).len());
        self.objects[target.0 as usize].layout = layout;
        for field in 0..self.layouts.names(from.layout).len() {
            let position = self.layouts.joined(join).positions[field] as usize;
            let (old, new) = (self.values[start + position], self.values[from.start as usize + field]);
            let is_type_name = self.layouts.names(from.layout)[field] == Name::TYPE_NAME;
            if is_type_name && position < fields && !self.renames_type(old, new, is_object_type) {
                continue;
            }
            // Where the field is new, the old value is null, which anything replaces.
            let merged = self.merged(old, new, is_object_type);
            self.values[start + position] = merged;
        }
    }

    /// Whether one type name is to be replaced by another.
    fn renames_type(&self, old: Node, new: Node, is_object_type: &dyn Fn(&str) -> bool) -> bool {
        let new = self.name(new);
        new != self.name(old) && new.is_some_and(is_object_type)
    }

    /// Sees to it that an object of `fields` values has room for `wanted`; gives where they start.
    fn make_room(&mut self, object: ObjectId, fields: usize, wanted: usize) -> usize {
        let Object { start, room, .. } = &mut self.objects[object.0 as usize];
        let first = *start as usize;
        if wanted <= *room as usize {
            return first;
        }
        if first + *room as usize == self.values.len() {
            *room = as_u32(wanted);
            self.values.resize(first + wanted, Node::Null);
            return first;
        }
        let moved = self.values.len();
        // An object that one subgraph adds to is often added to by the next.
        *room = as_u32(wanted.max(2 * fields));
        *start = as_u32(moved);
        let end = moved + *room as usize;
        self.values.extend_from_within(first..first + fields);
        self.values.resize(end, Node::Null);
        moved
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
                let start = self.items.len();
                self.items.extend_from_within(items.start as usize..(items.start + items.len) as usize);
                for at in start..start + items.len as usize {
                    let copy = self.copied(self.items[at]);
                    self.items[at] = copy;
                }
                Node::List(Items { start: as_u32(start), len: items.len })
            }
            Node::Object(object) => {
                let Object { layout, start: first, .. } = self.objects[object.0 as usize];
                let (first, start) = (first as usize, self.values.len());
                let fields = self.layouts.names(layout).len();
                self.values.extend_from_within(first..first + fields);
                self.objects.push(Object { layout, start: as_u32(start), room: as_u32(fields) });
                let copy = ObjectId(as_u32(self.objects.len() - 1));
                for at in start..start + fields {
                    let value = self.copied(self.values[at]);
                    self.values[at] = value;
                }
                Node::Object(copy)
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
                let names = self.layouts.names(self.layout(object));
                for (index, (name, value)) in names.iter().zip(self.values(object)).enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    out.push(b'"');
                    write_escaped(self.layouts.text(*name), out);
                    out.extend_from_slice(b"\":");
                    self.write(*value, out);
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
    use proptest::prelude::*;
    use serde_json::Value;

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

    /// Objects with few keys, so that they share some.
    fn any_object() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![Just(Value::Null), any::<u8>().prop_map(Value::from)];
        let value = leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-e]", inner, 0..4).prop_map(|map| map.into_iter().collect()),
            ]
        });
        prop::collection::btree_map("[a-e]", value, 0..5).prop_map(|map| map.into_iter().collect())
    }

    /// What [`Store::merge`] is to do, on values.
    fn model(target: &mut Value, source: Value) {
        match (target, source) {
            (Value::Object(target), Value::Object(source)) => {
                for (key, value) in source {
                    model(target.entry(key).or_insert(Value::Null), value);
                }
            }
            (Value::Array(target), Value::Array(source)) => {
                for (target, source) in target.iter_mut().zip(source) {
                    model(target, source);
                }
            }
            (_, Value::Null) => {}
            (target, source) => *target = source,
        }
    }

    proptest! {
        #[test]
        fn entities_of_a_list_are_merged_one_by_one(
            rounds in prop::collection::vec(prop::collection::vec(any_object(), 3), 1..5),
        ) {
            let mut store = Store::default();
            let read = |values: &[Value], store: &mut Store| {
                let text = serde_json::to_vec(values).unwrap();
                let Node::List(items) = store.parse(text.into()).unwrap() else { unreachable!() };
                let items = store.list(items).to_vec();
                items.into_iter().map(|item| match item {
                    Node::Object(object) => object,
                    other => unreachable!("{other:?}"),
                }).collect::<Vec<_>>()
            };
            let mut expected = rounds[0].clone();
            let targets = read(&rounds[0], &mut store);
            for round in &rounds[1..] {
                for ((target, source), at) in targets.iter().zip(read(round, &mut store)).zip(0..) {
                    // A copy must not show what becomes of the original.
                    let Node::Object(copy) = store.copied(Node::Object(source)) else { unreachable!() };
                    store.merge(*target, source, &|_| true);
                    let copied: Value = serde_json::from_str(&written(&store, copy)).unwrap();
                    prop_assert_eq!(&copied, &round[at]);
                    model(&mut expected[at], round[at].clone());
                }
            }
            for (target, expected) in targets.iter().zip(&expected) {
                let merged: Value = serde_json::from_str(&written(&store, *target)).unwrap();
                prop_assert_eq!(&merged, expected);
                for (key, value) in expected.as_object().unwrap() {
                    let mut found = Vec::new();
                    store.write(store.get(*target, key).unwrap(), &mut found);
                    let found: Value = serde_json::from_slice(&found).unwrap();
                    prop_assert_eq!(&found, value);
                }
            }
        }
    }
}
