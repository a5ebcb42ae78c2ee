//! The form of an answer, worked out once for an operation: which fields, in which order, for each type that
//! an object may turn out to have.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use graphql_tools::parser::query::{Field, FragmentDefinition, Selection, SelectionSet, TypeCondition};

use crate::alias;
use crate::limits;
use crate::operation::{Conditions, Operation};
use crate::schema::{Kind, Literal, Schema, TypeDef, TypeRef};

/// The fields of an object of one type.
#[derive(Debug)]
pub(crate) struct Shape {
    pub(crate) type_name: String,
    pub(crate) is_abstract: bool,
    pub(crate) fields: Vec<ShapeField>,
}

/// One field of an answer.
#[derive(Debug)]
pub(crate) struct ShapeField {
    /// The response key.
    pub(crate) key: String,
    /// The key in the subgraphs' answers.
    pub(crate) source: String,
    /// `"key":`, as written.
    pub(crate) prefix: Vec<u8>,
    /// The field's name in the schema.
    pub(crate) name: String,
    /// Literals of the arguments; only introspection, which the gateway answers itself, reads them.
    pub(crate) arguments: Vec<(String, Literal)>,
    pub(crate) wrap: Wrap,
    pub(crate) value: ShapeValue,
}

/// Whether a value may be null, and how lists nest around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wrap {
    pub(crate) nullable: bool,
    /// The items' wrapping, if the value is a list.
    pub(crate) items: Option<Box<Wrap>>,
}

/// What a field's value is inside its lists.
#[derive(Debug)]
pub(crate) enum ShapeValue {
    /// `__typename`.
    TypeName,
    Leaf(Leaf),
    Composite(Arc<Composite>),
}

/// A value without fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Leaf {
    Int,
    Float,
    String,
    Boolean,
    Id,
    Enum(Arc<HashSet<String>>),
    /// A custom scalar: anything.
    Any,
}

/// A value with fields.
#[derive(Debug)]
pub(crate) struct Composite {
    pub(crate) type_name: String,
    pub(crate) is_abstract: bool,
    /// The fields for each object type. An interface is in its own list too: a subgraph that has it as an
    /// `@interfaceObject` answers with the interface's name.
    pub(crate) shapes: HashMap<String, Arc<Shape>>,
}

impl Composite {
    /// The fields of an object that says it is of type `type_name`.
    pub(crate) fn shape(&self, type_name: Option<&str>) -> Option<&Arc<Shape>> {
        if self.is_abstract {
            self.shapes.get(type_name.unwrap_or(&self.type_name))
        } else {
            self.shapes.get(&self.type_name)
        }
    }
}

impl From<&TypeRef> for Wrap {
    fn from(ty: &TypeRef) -> Self {
        match ty {
            TypeRef::Named(_) => Self { nullable: true, items: None },
            TypeRef::List(inner) => Self { nullable: true, items: Some(Box::new((&**inner).into())) },
            TypeRef::NonNull(inner) => Self { nullable: false, ..(&**inner).into() },
        }
    }
}

/// Works out the form of an operation's answer.
pub(crate) fn shape(
    operation: &Operation,
    conditions: &Conditions,
    schema: &Schema,
    root: &str,
) -> Arc<Shape> {
    let mut shaper = Shaper {
        schema,
        conditions,
        fragments: limits::fragments(&operation.document),
        known: HashMap::new(),
        enums: HashMap::new(),
    };
    shaper.shape(root, vec![&operation.selection_set])
}

type Set = SelectionSet<'static, String>;

struct Shaper<'a> {
    schema: &'a Schema,
    conditions: &'a Conditions,
    fragments: HashMap<&'a str, &'a FragmentDefinition<'static, String>>,
    /// Shapes by type and by the selection sets that are merged in them, so that what is the same for many
    /// types or places is worked out once.
    known: HashMap<(String, Vec<*const Set>), Arc<Shape>>,
    enums: HashMap<String, Arc<HashSet<String>>>,
}

/// All selections of one response key.
struct Group<'a> {
    field: &'a Field<'static, String>,
    sets: Vec<&'a Set>,
}

impl<'a> Shaper<'a> {
    fn shape(&mut self, type_name: &str, sets: Vec<&'a Set>) -> Arc<Shape> {
        let id = (type_name.to_owned(), sets.iter().map(|set| std::ptr::from_ref(*set)).collect());
        if let Some(known) = self.known.get(&id) {
            return Arc::clone(known);
        }
        let mut groups = Vec::new();
        let mut index = HashMap::new();
        let mut visited = HashSet::new();
        for set in sets {
            self.collect(type_name, set, &mut groups, &mut index, &mut visited);
        }
        let schema = self.schema;
        let def = schema.get(type_name);
        let fields = groups.into_iter().filter_map(|group| self.field(def, group)).collect();
        let is_abstract = def.is_some_and(TypeDef::is_abstract);
        let shape = Arc::new(Shape { type_name: type_name.to_owned(), is_abstract, fields });
        self.known.insert(id, Arc::clone(&shape));
        shape
    }

    fn field(&mut self, parent: Option<&TypeDef>, group: Group<'a>) -> Option<ShapeField> {
        let Group { field, sets } = group;
        let key = field.alias.as_ref().unwrap_or(&field.name).clone();
        let source = alias::towards_subgraphs(field, self.schema).unwrap_or_else(|| field.name.clone());
        let prefix = format!("\"{key}\":").into_bytes();
        let new = |wrap: Wrap, value: ShapeValue, arguments: Vec<(String, Literal)>| ShapeField {
            key: key.clone(),
            source: source.clone(),
            prefix: prefix.clone(),
            name: field.name.clone(),
            arguments,
            wrap,
            value,
        };
        if field.name == "__typename" {
            return Some(new(Wrap { nullable: false, items: None }, ShapeValue::TypeName, Vec::new()));
        }
        let schema = self.schema;
        // Validation has seen to it that the field is there.
        let def = parent?.field(&field.name)?;
        let of = schema.get(def.ty.name())?;
        let arguments = if of.name.starts_with("__") || parent?.name.starts_with("__") {
            field.arguments.clone()
        } else {
            Vec::new()
        };
        let value = if of.is_composite() {
            let mut names: Vec<&str> = of.possible.iter().map(String::as_str).collect();
            if of.kind == Kind::Interface {
                names.push(&of.name);
            }
            let shapes =
                names.into_iter().map(|name| (name.to_owned(), self.shape(name, sets.clone()))).collect();
            ShapeValue::Composite(Arc::new(Composite {
                type_name: of.name.clone(),
                is_abstract: of.is_abstract(),
                shapes,
            }))
        } else {
            ShapeValue::Leaf(self.leaf(of))
        };
        Some(new((&def.ty).into(), value, arguments))
    }

    fn leaf(&mut self, def: &TypeDef) -> Leaf {
        if def.kind == Kind::Enum {
            let values = self
                .enums
                .entry(def.name.clone())
                .or_insert_with(|| Arc::new(def.values.iter().map(|value| value.name.clone()).collect()));
            return Leaf::Enum(Arc::clone(values));
        }
        match def.name.as_str() {
            "Int" => Leaf::Int,
            "Float" => Leaf::Float,
            "String" => Leaf::String,
            "Boolean" => Leaf::Boolean,
            "ID" => Leaf::Id,
            _ => Leaf::Any,
        }
    }

    fn collect(
        &self,
        type_name: &str,
        set: &'a Set,
        groups: &mut Vec<Group<'a>>,
        index: &mut HashMap<&'a str, usize>,
        visited: &mut HashSet<&'a str>,
    ) {
        for selection in &set.items {
            match selection {
                Selection::Field(field) => {
                    if !self.conditions.include(&field.directives) {
                        continue;
                    }
                    let key = field.alias.as_deref().unwrap_or(&field.name);
                    let at = *index.entry(key).or_insert_with(|| {
                        groups.push(Group { field, sets: Vec::new() });
                        groups.len() - 1
                    });
                    groups[at].sets.push(&field.selection_set);
                }
                Selection::InlineFragment(fragment) => {
                    let applies = match &fragment.type_condition {
                        Some(TypeCondition::On(on)) => self.schema.is_a(type_name, on),
                        None => true,
                    };
                    if applies && self.conditions.include(&fragment.directives) {
                        self.collect(type_name, &fragment.selection_set, groups, index, visited);
                    }
                }
                Selection::FragmentSpread(spread) => {
                    let Some(fragment) = self.fragments.get(spread.fragment_name.as_str()).copied() else {
                        continue;
                    };
                    let TypeCondition::On(on) = &fragment.type_condition;
                    if self.conditions.include(&spread.directives)
                        && self.schema.is_a(type_name, on)
                        && visited.insert(&spread.fragment_name)
                    {
                        self.collect(type_name, &fragment.selection_set, groups, index, visited);
                    }
                }
            }
        }
    }
}
