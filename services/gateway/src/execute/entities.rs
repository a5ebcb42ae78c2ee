//! Finds the objects that a fetch is for, and writes down what a subgraph must know of them.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::ops::Range;

use foldhash::fast::RandomState;

use crate::alias;
use crate::error::PathSegment;
use crate::plan::{EntityGroup, Need, PathStep, TypeNameRewrite};
use crate::store::{Node, ObjectId, Store};

/// The objects at a path.
pub(super) fn find(store: &Store, root: ObjectId, path: &[PathStep]) -> Vec<ObjectId> {
    let mut found = Vec::new();
    walk(store, Node::Object(root), path, &mut |object| found.push(object));
    found
}

fn walk(store: &Store, node: Node, path: &[PathStep], found: &mut impl FnMut(ObjectId)) {
    match (node, path.first()) {
        (Node::List(items), step) => {
            // Lists that the path does not spell out are gone through all the same.
            let rest = if step == Some(&PathStep::Each) { &path[1..] } else { path };
            for item in store.list(items) {
                walk(store, *item, rest, found);
            }
        }
        (Node::Object(object), None) => found(object),
        (Node::Object(object), Some(PathStep::Field(key))) => {
            if let Some(value) = store.get(object, key) {
                walk(store, value, &path[1..], found);
            }
        }
        (Node::Object(object), Some(PathStep::OfType(types)))
            if store.type_name(object).is_some_and(|name| types.contains(name)) =>
        {
            walk(store, node, &path[1..], found);
        }
        _ => {}
    }
}

/// The objects at a path, each with its own way from the root. Only errors need it, so it is worked out when
/// there is one.
pub(super) fn find_with_paths(
    store: &Store,
    root: ObjectId,
    path: &[PathStep],
) -> Vec<(ObjectId, Vec<PathSegment>)> {
    let mut found = Vec::new();
    walk_with_path(store, Node::Object(root), path, &mut Vec::new(), &mut found);
    found
}

fn walk_with_path(
    store: &Store,
    node: Node,
    path: &[PathStep],
    way: &mut Vec<PathSegment>,
    found: &mut Vec<(ObjectId, Vec<PathSegment>)>,
) {
    match (node, path.first()) {
        (Node::List(items), step) => {
            let rest = if step == Some(&PathStep::Each) { &path[1..] } else { path };
            for (index, item) in store.list(items).iter().enumerate() {
                way.push(PathSegment::Index(index));
                walk_with_path(store, *item, rest, way, found);
                way.pop();
            }
        }
        (Node::Object(object), None) => found.push((object, way.clone())),
        (Node::Object(object), Some(PathStep::Field(key))) => {
            if let Some(value) = store.get(object, key) {
                way.push(PathSegment::Key(alias::towards_client(key).to_owned()));
                walk_with_path(store, value, &path[1..], way, found);
                way.pop();
            }
        }
        (Node::Object(object), Some(PathStep::OfType(types)))
            if store.type_name(object).is_some_and(|name| types.contains(name)) =>
        {
            walk_with_path(store, node, &path[1..], way, found);
        }
        _ => {}
    }
}

/// The distinct representations of some objects, and which object has which.
#[derive(Debug, Default)]
pub(super) struct Representations {
    text: Vec<u8>,
    distinct: Vec<Range<usize>>,
    /// Each object with the index of its representation.
    pub(super) objects: Vec<(ObjectId, usize)>,
}

impl Representations {
    pub(super) fn is_empty(&self) -> bool {
        self.distinct.is_empty()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.distinct.len()
    }

    /// Writes them as a JSON list.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.reserve(self.text.len() + self.distinct.len() + 2);
        out.push(b'[');
        for (index, range) in self.distinct.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            out.extend_from_slice(&self.text[range.clone()]);
        }
        out.push(b']');
    }
}

/// Writes a representation of every object of a group, equal ones once.
pub(super) fn represent(store: &Store, root: ObjectId, group: &EntityGroup) -> Representations {
    let mut made = Representations::default();
    // Keyed by a hash of the text; a hash that is taken by another text is counted up.
    let mut known: HashMap<u64, usize, RandomState> = HashMap::default();
    let hasher = RandomState::default();
    for path in &group.paths {
        walk(store, Node::Object(root), path, &mut |object| {
            let start = made.text.len();
            if !write_object(store, object, &group.representation, &group.type_names, &mut made.text) {
                made.text.truncate(start);
                return;
            }
            let mut hash = hasher.hash_one(&made.text[start..]);
            let index = loop {
                match known.get(&hash) {
                    None => {
                        known.insert(hash, made.distinct.len());
                        made.distinct.push(start..made.text.len());
                        break made.distinct.len() - 1;
                    }
                    Some(index) if made.text[made.distinct[*index].clone()] == made.text[start..] => {
                        let index = *index;
                        made.text.truncate(start);
                        break index;
                    }
                    Some(_) => hash = hash.wrapping_add(1),
                }
            };
            made.objects.push((object, index));
        });
    }
    made
}

/// Writes a representation. False if the object lacks something that it must hold: whoever should have given
/// that failed, and its error is known already.
fn write_object<'a>(
    store: &'a Store,
    object: ObjectId,
    needs: &'a [Need],
    rewrites: &'a [TypeNameRewrite],
    out: &mut Vec<u8>,
) -> bool {
    out.push(b'{');
    let mut writer = Writer { store, rewrites, written: Vec::new(), identifies: false };
    if !writer.fields(object, needs, out) {
        return false;
    }
    out.push(b'}');
    // A representation without a type name, or with nothing but nulls beside it, names no entity.
    writer.written.contains(&"__typename") && writer.identifies
}

struct Writer<'a> {
    store: &'a Store,
    rewrites: &'a [TypeNameRewrite],
    /// The keys so far: fragments of several types may name one twice.
    written: Vec<&'a str>,
    /// Whether there is anything but a type name and nulls.
    identifies: bool,
}

impl<'a> Writer<'a> {
    fn fields(&mut self, object: ObjectId, needs: &'a [Need], out: &mut Vec<u8>) -> bool {
        for need in needs {
            match need {
                Need::Field { from, key, prefix, is_type_name, fields } => {
                    let value = self.store.get(object, from).or_else(|| self.store.get(object, key));
                    let Some(value) = value else { return false };
                    if self.written.contains(&key.as_str()) {
                        continue;
                    }
                    if !self.written.is_empty() {
                        out.push(b',');
                    }
                    self.written.push(key);
                    self.identifies |= !is_type_name && value != Node::Null;
                    out.extend_from_slice(prefix);
                    let rewritten = is_type_name.then(|| self.rewritten(value)).flatten();
                    if let Some(name) = rewritten {
                        out.push(b'"');
                        out.extend_from_slice(name.as_bytes());
                        out.push(b'"');
                    } else if !write_value(self.store, value, fields, out) {
                        return false;
                    }
                }
                Need::OfType { types, fields } => {
                    let applies = self.store.type_name(object).is_none_or(|name| types.contains(name));
                    if applies && !self.fields(object, fields, out) {
                        return false;
                    }
                }
            }
        }
        true
    }

    fn rewritten(&self, type_name: Node) -> Option<&str> {
        let name = self.store.name(type_name)?;
        let applies =
            |rewrite: &&TypeNameRewrite| rewrite.types.as_ref().is_none_or(|types| types.contains(name));
        self.rewrites.iter().find(applies).map(|rewrite| rewrite.name.as_str())
    }
}

fn write_value(store: &Store, value: Node, needs: &[Need], out: &mut Vec<u8>) -> bool {
    if needs.is_empty() {
        store.write(value, out);
        return true;
    }
    match value {
        Node::List(items) => {
            out.push(b'[');
            for (index, item) in store.list(items).iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                if !write_value(store, *item, needs, out) {
                    return false;
                }
            }
            out.push(b']');
            true
        }
        Node::Object(object) => {
            out.push(b'{');
            let mut writer = Writer { store, rewrites: &[], written: Vec::new(), identifies: false };
            // The subgraph can't tell the members of a union or interface apart without it.
            let is_abstract = needs.iter().any(|need| matches!(need, Need::OfType { .. }));
            if let Some(name) = store.get(object, "__typename").filter(|_| is_abstract) {
                out.extend_from_slice(b"\"__typename\":");
                store.write(name, out);
                writer.written.push("__typename");
            }
            let complete = writer.fields(object, needs, out);
            out.push(b'}');
            complete
        }
        scalar => {
            store.write(scalar, out);
            true
        }
    }
}
