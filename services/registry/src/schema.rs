//! A schema, as far as it matters to who reads or writes one: types by name, with what they are made of.

mod api;
mod parse;
mod print;

use graphql_tools::parser::Pos;
use graphql_tools::parser::query::{Directive, Value};
use std::collections::{BTreeMap, BTreeSet};

pub(crate) use api::SCALARS;
pub use parse::SyntaxError;
pub(crate) use parse::type_ref;

/// A literal.
pub(crate) type Literal = Value<'static, String>;

/// A schema: a subgraph's, a supergraph's, or what clients see.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Schema {
    pub(crate) types: BTreeMap<String, Type>,
    pub(crate) directives: BTreeMap<String, DirectiveType>,
    pub(crate) roots: BTreeMap<Root, String>,
}

/// What an operation starts at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Root {
    Query,
    Mutation,
    Subscription,
}

impl Root {
    pub const ALL: [Self; 3] = [Self::Query, Self::Mutation, Self::Subscription];

    pub fn word(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Mutation => "mutation",
            Self::Subscription => "subscription",
        }
    }

    /// The name of its type where the schema doesn't say.
    pub fn default_name(self) -> &'static str {
        match self {
            Self::Query => "Query",
            Self::Mutation => "Mutation",
            Self::Subscription => "Subscription",
        }
    }
}

/// A type's name with its wrappers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TypeRef {
    Named(String),
    List(Box<TypeRef>),
    NonNull(Box<TypeRef>),
}

impl TypeRef {
    /// The name inside the wrappers.
    pub fn name(&self) -> &str {
        match self {
            Self::Named(name) => name,
            Self::List(inner) | Self::NonNull(inner) => inner.name(),
        }
    }

    pub fn is_non_null(&self) -> bool {
        matches!(self, Self::NonNull(_))
    }
}

impl std::fmt::Display for TypeRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Named(name) => f.write_str(name),
            Self::List(inner) => write!(f, "[{inner}]"),
            Self::NonNull(inner) => write!(f, "{inner}!"),
        }
    }
}

/// What a type is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Scalar,
    Object,
    Interface,
    Union,
    Enum,
    Input,
}

impl Kind {
    pub fn words(self) -> &'static str {
        match self {
            Self::Scalar => "a scalar",
            Self::Object => "an object type",
            Self::Interface => "an interface",
            Self::Union => "a union",
            Self::Enum => "an enum",
            Self::Input => "an input type",
        }
    }
}

/// A named type.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Type {
    pub kind: Kind,
    pub about: About,
    /// Of an object or interface.
    pub fields: BTreeMap<String, Field>,
    /// Of an input type.
    pub inputs: BTreeMap<String, Input>,
    /// Of an enum.
    pub values: BTreeMap<String, About>,
    /// Of a union.
    pub members: BTreeSet<String>,
    /// That an object or interface implements.
    pub interfaces: BTreeSet<String>,
}

/// What anything in a schema has.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct About {
    pub description: Option<String>,
    pub directives: Vec<Directive<'static, String>>,
    pub position: Pos,
}

/// A field of an object or interface.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Field {
    pub about: About,
    pub ty: TypeRef,
    pub arguments: BTreeMap<String, Input>,
}

/// An argument, or a field of an input type.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Input {
    pub about: About,
    pub ty: TypeRef,
    pub default: Option<Literal>,
}

impl Input {
    /// Whether who doesn't give it is refused.
    pub fn is_required(&self) -> bool {
        self.ty.is_non_null() && self.default.is_none()
    }
}

/// A directive's definition.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct DirectiveType {
    pub arguments: BTreeMap<String, Input>,
    pub locations: BTreeSet<&'static str>,
    pub repeatable: bool,
}

impl About {
    /// The directives of a name.
    pub fn directives(&self, name: &str) -> impl Iterator<Item = &Directive<'static, String>> {
        self.directives.iter().filter(move |directive| directive.name == name)
    }

    pub fn has(&self, directive: &str) -> bool {
        self.directives(directive).next().is_some()
    }

    /// Why it is deprecated, if it is.
    pub fn deprecation(&self) -> Option<&str> {
        let deprecated = self.directives("deprecated").next()?;
        Some(text(deprecated, "reason").unwrap_or_default())
    }

    /// Its tags.
    pub fn tags(&self) -> impl Iterator<Item = &str> {
        self.directives("tag").filter_map(|tag| text(tag, "name"))
    }
}

/// A directive's argument that is a text.
pub(crate) fn text<'a>(directive: &'a Directive<'static, String>, argument: &str) -> Option<&'a str> {
    match argument_of(directive, argument)? {
        Value::String(text) => Some(text),
        _ => None,
    }
}

/// A directive's argument.
pub(crate) fn argument_of<'a>(
    directive: &'a Directive<'static, String>,
    argument: &str,
) -> Option<&'a Literal> {
    directive.arguments.iter().find(|(name, _)| name == argument).map(|(_, value)| value)
}

impl Schema {
    /// The type that an operation starts at.
    pub(crate) fn root(&self, root: Root) -> Option<&str> {
        self.roots.get(&root).map(String::as_str)
    }

    pub(crate) fn field(&self, ty: &str, field: &str) -> Option<&Field> {
        self.types.get(ty)?.fields.get(field)
    }

    /// Where a coordinate is, as `Product`, `Product.title` or `Query.products(first:)`.
    pub(crate) fn position(&self, path: &str) -> Option<Pos> {
        let (path, argument) = path.split_once('(').map_or((path, None), |(path, rest)| (path, Some(rest)));
        let Some((ty, part)) = path.split_once('.') else {
            return self.types.get(path).map(|ty| ty.about.position);
        };
        let ty = self.types.get(ty)?;
        if let Some(argument) = argument {
            let argument = argument.trim_end_matches([':', ')']);
            return Some(ty.fields.get(part)?.arguments.get(argument)?.about.position);
        }
        let field = ty.fields.get(part).map(|it| &it.about);
        let input = ty.inputs.get(part).map(|it| &it.about);
        field.or(input).or(ty.values.get(part)).map(|about| about.position)
    }

    /// Types that can be sent: all that arguments reach.
    pub(crate) fn sendable(&self) -> BTreeSet<&str> {
        let mut sendable = BTreeSet::new();
        let arguments =
            self.types.values().flat_map(|ty| ty.fields.values()).flat_map(|field| field.arguments.values());
        let of_directives = self.directives.values().flat_map(|directive| directive.arguments.values());
        for input in arguments.chain(of_directives) {
            self.reach(input.ty.name(), &mut sendable);
        }
        sendable
    }

    /// Types that can be answered: all that fields have.
    pub(crate) fn answerable(&self) -> BTreeSet<&str> {
        self.types.values().flat_map(|ty| ty.fields.values()).map(|field| field.ty.name()).collect()
    }

    /// What a value of a type may hold: itself, and its fields' types.
    pub(crate) fn reach<'a>(&'a self, name: &'a str, reached: &mut BTreeSet<&'a str>) {
        if !reached.insert(name) {
            return;
        }
        let inputs = self.types.get(name).into_iter().flat_map(|ty| ty.inputs.values());
        for input in inputs {
            self.reach(input.ty.name(), reached);
        }
    }
}
