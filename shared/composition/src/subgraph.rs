//! One subgraph's schema: extensions merged into what they extend, federation's directives understood.

mod build;
mod fields;
mod link;
mod validate;

use indexmap::IndexMap;

pub(crate) use build::read;
pub(crate) use fields::targets;
pub(crate) use link::{Linked, Links};

use crate::syntax::{
    Directive, DirectiveDefinition, EnumValue, Input, Kind, Name, Pos, Root, Selection, TypeRef, Value,
};

/// What federation's directives are called once they are understood: this, and their name.
pub(crate) const FEDERATION: &str = "federation__";

/// A subgraph's schema.
#[derive(Debug)]
pub(crate) struct Schema {
    pub(crate) name: String,
    pub(crate) url: String,
    /// Its value of `join__Graph`.
    pub(crate) graph: String,
    pub(crate) links: Links,
    /// Root types are here under the names that they have in the supergraph.
    pub(crate) types: IndexMap<String, Type>,
    pub(crate) roots: Vec<Root>,
    /// Definitions of the schema's own directives.
    pub(crate) directives: IndexMap<String, DirectiveDefinition>,
    /// Directives named by `@composeDirective`.
    pub(crate) composed: Vec<Name>,
}

impl Schema {
    /// The object types that an object, interface or union stands for.
    pub(crate) fn possible<'a>(&'a self, name: &'a str) -> Vec<&'a str> {
        match self.types.get(name).map(|ty| ty.kind) {
            Some(Kind::Object) => vec![name],
            Some(Kind::Interface) => self
                .types
                .values()
                .filter(|ty| ty.kind == Kind::Object && ty.interfaces.contains_key(name))
                .map(|ty| ty.name.text.as_str())
                .collect(),
            Some(Kind::Union) => self.types[name].members.keys().map(String::as_str).collect(),
            _ => Vec::new(),
        }
    }

    pub(crate) fn is_root(&self, name: &str) -> bool {
        self.roots.iter().any(|root| root.type_name() == name)
    }
}

/// A type with all its extensions.
#[derive(Debug)]
pub(crate) struct Type {
    pub(crate) name: Name,
    pub(crate) kind: Kind,
    pub(crate) description: Option<String>,
    /// It is only extended here, or says `@extends`.
    pub(crate) is_extension: bool,
    pub(crate) directives: Vec<Directive>,
    pub(crate) interfaces: IndexMap<String, Pos>,
    pub(crate) fields: IndexMap<String, Field>,
    pub(crate) members: IndexMap<String, Pos>,
    pub(crate) values: IndexMap<String, EnumValue>,
    pub(crate) inputs: IndexMap<String, Input>,
    pub(crate) keys: Vec<Key>,
    pub(crate) is_interface_object: bool,
}

/// A `@key`.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) fields: FieldSet,
    pub(crate) is_resolvable: bool,
    /// It stands on an extension.
    pub(crate) is_of_extension: bool,
}

/// A field set that has been read.
#[derive(Debug, Clone)]
pub(crate) struct FieldSet {
    /// In its shortest form.
    pub(crate) text: String,
    pub(crate) selections: Vec<Selection>,
    pub(crate) pos: Pos,
}

/// Whether a field is resolved here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum External {
    No,
    /// It says `@external`, but is part of the key of an extension, which federation 1 wanted marked so.
    InName,
    Yes,
}

/// A field of an object or interface.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) name: Name,
    pub(crate) description: Option<String>,
    pub(crate) arguments: IndexMap<String, Input>,
    pub(crate) ty: TypeRef,
    pub(crate) directives: Vec<Directive>,
    pub(crate) external: External,
    pub(crate) is_shareable: bool,
    pub(crate) requires: Option<FieldSet>,
    pub(crate) provides: Option<FieldSet>,
    pub(crate) overrides: Option<Override>,
    /// Some key, `@requires`, `@provides` or interface of this subgraph counts on the field.
    pub(crate) is_used: bool,
}

impl Field {
    pub(crate) fn is_external(&self) -> bool {
        self.external == External::Yes
    }
}

/// An `@override`.
#[derive(Debug, Clone)]
pub(crate) struct Override {
    pub(crate) from: String,
    pub(crate) label: Option<String>,
    pub(crate) pos: Pos,
}

/// The first of federation's directives of that name.
pub(crate) fn applied<'a>(directives: &'a [Directive], name: &str) -> Option<&'a Directive> {
    all_applied(directives, name).next()
}

/// Federation's directives of that name.
pub(crate) fn all_applied<'a>(
    directives: &'a [Directive],
    name: &str,
) -> impl Iterator<Item = &'a Directive> {
    directives.iter().filter(move |directive| directive.name.strip_prefix(FEDERATION) == Some(name))
}

/// GraphQL's built-in scalars.
pub(crate) fn is_built_in_scalar(name: &str) -> bool {
    matches!(name, "Int" | "Float" | "String" | "Boolean" | "ID")
}

/// A boolean argument.
pub(crate) fn flag(directive: &Directive, name: &str, default: bool) -> bool {
    directive.argument(name).and_then(Value::as_boolean).unwrap_or(default)
}
