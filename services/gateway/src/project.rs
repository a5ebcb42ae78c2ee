//! Writes the answer: what the subgraphs gave, in the form and order of the client's query.
//!
//! Values are completed as the GraphQL specification says (section 6.4.3): a null where none may be makes the
//! nearest field around it null that may be, and a value of the wrong kind counts as null with an error.

use std::collections::HashMap;
use std::rc::Rc;

use foldhash::fast::RandomState;

use crate::error::{GraphQlError, PathSegment, codes};
use crate::introspection::Introspection;
use crate::shape::{Composite, Leaf, Shape, ShapeField, ShapeValue, Wrap};
use crate::store::{Layout, Node, ObjectId, Store};

/// Writes the value of `data`, and gives the errors that completing it added.
pub(crate) fn project(
    shape: &Shape,
    store: &Store,
    root: ObjectId,
    introspection: &Introspection<'_>,
    known: &[GraphQlError],
    out: &mut Vec<u8>,
) -> Vec<GraphQlError> {
    let mut projector = Projector {
        store,
        introspection,
        known,
        out,
        positions: HashMap::default(),
        path: Vec::with_capacity(16),
        errors: Vec::new(),
    };
    let start = projector.out.len();
    if projector.object(shape, root, true).is_err() {
        projector.out.truncate(start);
        projector.out.extend_from_slice(b"null");
    }
    projector.errors
}

/// A step of the path, cheap to keep while it may never be needed.
#[derive(Clone, Copy)]
enum Step<'a> {
    Key(&'a str),
    Index(usize),
}

/// Where an object has the fields of a shape, in their order; not all are there.
type Positions = Rc<[Option<usize>]>;

/// The value is null where none may be: what is around it must be null.
struct Nulled;

struct Projector<'a> {
    store: &'a Store,
    introspection: &'a Introspection<'a>,
    /// Errors that subgraphs reported: a null that one of them explains needs no second one.
    known: &'a [GraphQlError],
    out: &'a mut Vec<u8>,
    /// Where the objects of a layout have the fields of a shape, by the shape's address.
    positions: HashMap<(*const Shape, Layout), Positions, RandomState>,
    path: Vec<Step<'a>>,
    errors: Vec<GraphQlError>,
}

impl<'a> Projector<'a> {
    fn object(&mut self, shape: &'a Shape, object: ObjectId, is_root: bool) -> Result<(), Nulled> {
        self.out.push(b'{');
        let positions = self.positions(shape, self.store.layout(object));
        let values = self.store.values(object);
        for (index, (field, position)) in shape.fields.iter().zip(&*positions).enumerate() {
            if index > 0 {
                self.out.push(b',');
            }
            self.out.extend_from_slice(&field.prefix);
            if let ShapeValue::TypeName = field.value {
                self.type_name(shape, object);
                continue;
            }
            if is_root && matches!(field.name.as_str(), "__schema" | "__type") {
                self.introspection.write(field, self.out);
                continue;
            }
            self.path.push(Step::Key(&field.key));
            let node = position.map_or(Node::Null, |at| values[at]);
            let written = self.value(shape, field, &field.wrap, node);
            self.path.pop();
            written?;
        }
        self.out.push(b'}');
        Ok(())
    }

    fn positions(&mut self, shape: &Shape, layout: Layout) -> Positions {
        let layouts = &self.store.layouts;
        let find =
            |field: &ShapeField| layouts.position(layout, layouts.known_name(field.source.as_bytes())?);
        let made = || shape.fields.iter().map(find).collect();
        Rc::clone(self.positions.entry((std::ptr::from_ref(shape), layout)).or_insert_with(made))
    }

    fn type_name(&mut self, shape: &Shape, object: ObjectId) {
        // The shape of an interface stands for objects whose type is not known; what they say must do.
        let said = if shape.is_abstract { self.store.type_name(object) } else { None };
        let name = said.unwrap_or(&shape.type_name);
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.push(b'"');
    }

    fn value(
        &mut self,
        shape: &'a Shape,
        field: &'a ShapeField,
        wrap: &'a Wrap,
        node: Node,
    ) -> Result<(), Nulled> {
        let start = self.out.len();
        let written = match (&wrap.items, node) {
            (_, Node::Null) => {
                if !wrap.nullable {
                    self.report_null(shape, field);
                }
                Err(Nulled)
            }
            (Some(items), Node::List(nodes)) => self.list(shape, field, items, nodes),
            (Some(_), _) => {
                self.report_wrong(shape, field, "a list");
                Err(Nulled)
            }
            (None, node) => match &field.value {
                ShapeValue::Composite(composite) => self.composite(shape, field, composite, node),
                ShapeValue::Leaf(leaf) => self.leaf(shape, field, leaf, node),
                ShapeValue::TypeName => Ok(()),
            },
        };
        if written.is_err() {
            self.out.truncate(start);
            if !wrap.nullable {
                return Err(Nulled);
            }
            self.out.extend_from_slice(b"null");
        }
        Ok(())
    }

    fn list(
        &mut self,
        shape: &'a Shape,
        field: &'a ShapeField,
        wrap: &'a Wrap,
        items: crate::store::Items,
    ) -> Result<(), Nulled> {
        self.out.push(b'[');
        let store = self.store;
        for (index, item) in store.list(items).iter().enumerate() {
            if index > 0 {
                self.out.push(b',');
            }
            self.path.push(Step::Index(index));
            let written = self.value(shape, field, wrap, *item);
            self.path.pop();
            written?;
        }
        self.out.push(b']');
        Ok(())
    }

    fn composite(
        &mut self,
        shape: &'a Shape,
        field: &'a ShapeField,
        composite: &'a Composite,
        node: Node,
    ) -> Result<(), Nulled> {
        let Node::Object(object) = node else {
            self.report_wrong(shape, field, "an object");
            return Err(Nulled);
        };
        let said = if composite.is_abstract { self.store.type_name(object) } else { None };
        let Some(inner) = composite.shape(said) else {
            self.report_wrong(shape, field, &format!("one of the types of {}", composite.type_name));
            return Err(Nulled);
        };
        self.object(inner, object, false)
    }

    fn leaf(
        &mut self,
        shape: &'a Shape,
        field: &'a ShapeField,
        leaf: &Leaf,
        node: Node,
    ) -> Result<(), Nulled> {
        let (fits, wanted) = match leaf {
            Leaf::Any => (true, ""),
            Leaf::Int => (self.is_int(node), "an Int"),
            Leaf::Float => (matches!(node, Node::Number(_)), "a Float"),
            Leaf::String => (matches!(node, Node::String(_)), "a String"),
            Leaf::Boolean => (matches!(node, Node::Bool(_)), "a Boolean"),
            Leaf::Id => (matches!(node, Node::String(_) | Node::Number(_)), "an ID"),
            Leaf::Enum(values) => {
                (self.store.name(node).is_some_and(|name| values.contains(name)), "a value of its enum")
            }
        };
        if !fits {
            self.report_wrong(shape, field, wanted);
            return Err(Nulled);
        }
        if let (Leaf::Id, Node::Number(span)) = (leaf, node) {
            // An ID is a string on the wire, whatever the subgraph makes of it.
            self.out.push(b'"');
            self.out.extend_from_slice(self.store.text(span));
            self.out.push(b'"');
        } else {
            self.store.write(node, self.out);
        }
        Ok(())
    }

    fn is_int(&self, node: Node) -> bool {
        let Node::Number(span) = node else { return false };
        let text = std::str::from_utf8(self.store.text(span)).unwrap_or_default();
        text.parse::<i32>().is_ok()
            || text.parse::<f64>().is_ok_and(|n| n.fract() == 0.0 && n.abs() < 2_147_483_648.0)
    }

    fn report_null(&mut self, shape: &Shape, field: &ShapeField) {
        if self.is_explained() {
            return;
        }
        let message =
            format!("no subgraph gave a value for {}.{}, which is never null", shape.type_name, field.name);
        self.report(codes::NULL_VALUE, message);
    }

    fn report_wrong(&mut self, shape: &Shape, field: &ShapeField, wanted: &str) {
        let message = format!("the value of {}.{} is not {wanted}", shape.type_name, field.name);
        self.report(codes::INVALID_VALUE, message);
    }

    fn report(&mut self, code: &str, message: String) {
        let path = self
            .path
            .iter()
            .map(|step| match step {
                Step::Key(key) => PathSegment::Key((*key).to_owned()),
                Step::Index(index) => PathSegment::Index(*index),
            })
            .collect();
        self.errors.push(GraphQlError::new(code, message).at_path(path));
    }

    /// Whether a known error is about this place, about something around it or about something in it.
    fn is_explained(&self) -> bool {
        self.known.iter().any(|error| {
            error.path.as_ref().is_none_or(|path| {
                path.iter().zip(&self.path).all(|(segment, step)| match (segment, step) {
                    (PathSegment::Key(key), Step::Key(here)) => key == here,
                    (PathSegment::Index(index), Step::Index(here)) => index == here,
                    _ => false,
                })
            })
        })
    }
}
