//! The text of schemas and field sets, with the place of everything that an error could be about.
//!
//! Written here because no parser at hand fits: one knows no `extend schema`, one refuses valid types such as
//! `[ Int ]`, one panics on lists nested 16 deep; and none has the place of each name.

mod lexer;
mod parser;
mod selection;

use std::fmt::Write as _;

pub(crate) use parser::parse_schema;
pub(crate) use selection::{Selection, parse_selection, printed};

/// A place in a text, line and column from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Pos {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

/// Why a text does not parse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SyntaxError {
    pub(crate) message: String,
    pub(crate) pos: Pos,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Name {
    pub(crate) text: String,
    pub(crate) pos: Pos,
}

#[derive(Debug, Clone)]
pub(crate) enum Definition {
    Schema(SchemaDefinition),
    Type(TypeDefinition),
    Directive(DirectiveDefinition),
}

#[derive(Debug, Clone)]
pub(crate) struct SchemaDefinition {
    pub(crate) directives: Vec<Directive>,
    pub(crate) roots: Vec<(Root, Name)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Root {
    Query,
    Mutation,
    Subscription,
}

impl Root {
    pub(crate) const ALL: [Self; 3] = [Self::Query, Self::Mutation, Self::Subscription];

    /// The name that the type has in a supergraph.
    pub(crate) fn type_name(self) -> &'static str {
        match self {
            Self::Query => "Query",
            Self::Mutation => "Mutation",
            Self::Subscription => "Subscription",
        }
    }

    /// The word of an operation.
    pub(crate) fn keyword(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Mutation => "mutation",
            Self::Subscription => "subscription",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Scalar,
    Object,
    Interface,
    Union,
    Enum,
    Input,
}

impl Kind {
    pub(crate) fn keyword(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Object => "type",
            Self::Interface => "interface",
            Self::Union => "union",
            Self::Enum => "enum",
            Self::Input => "input",
        }
    }

    /// As it is called in a sentence.
    pub(crate) fn described(self) -> &'static str {
        match self {
            Self::Scalar => "a scalar",
            Self::Object => "an object type",
            Self::Interface => "an interface",
            Self::Union => "a union",
            Self::Enum => "an enum",
            Self::Input => "an input type",
        }
    }

    pub(crate) fn is_input(self) -> bool {
        matches!(self, Self::Scalar | Self::Enum | Self::Input)
    }

    pub(crate) fn is_composite(self) -> bool {
        matches!(self, Self::Object | Self::Interface | Self::Union)
    }
}

#[derive(Debug, Clone)]
pub(crate) struct TypeDefinition {
    pub(crate) is_extension: bool,
    pub(crate) description: Option<String>,
    pub(crate) name: Name,
    pub(crate) kind: Kind,
    pub(crate) directives: Vec<Directive>,
    pub(crate) interfaces: Vec<Name>,
    pub(crate) fields: Vec<Field>,
    pub(crate) members: Vec<Name>,
    pub(crate) values: Vec<EnumValue>,
    pub(crate) inputs: Vec<Input>,
}

#[derive(Debug, Clone)]
pub(crate) struct Field {
    pub(crate) description: Option<String>,
    pub(crate) name: Name,
    pub(crate) arguments: Vec<Input>,
    pub(crate) ty: TypeRef,
    pub(crate) directives: Vec<Directive>,
}

/// An argument, or a field of an input type.
#[derive(Debug, Clone)]
pub(crate) struct Input {
    pub(crate) description: Option<String>,
    pub(crate) name: Name,
    pub(crate) ty: TypeRef,
    pub(crate) default: Option<Value>,
    pub(crate) directives: Vec<Directive>,
}

impl Input {
    pub(crate) fn is_required(&self) -> bool {
        self.ty.is_non_null() && self.default.is_none()
    }
}

#[derive(Debug, Clone)]
pub(crate) struct EnumValue {
    pub(crate) description: Option<String>,
    pub(crate) name: Name,
    pub(crate) directives: Vec<Directive>,
}

#[derive(Debug, Clone)]
pub(crate) struct DirectiveDefinition {
    pub(crate) description: Option<String>,
    pub(crate) name: Name,
    pub(crate) arguments: Vec<Input>,
    pub(crate) is_repeatable: bool,
    pub(crate) locations: Vec<Name>,
}

/// A directive in use.
#[derive(Debug, Clone)]
pub(crate) struct Directive {
    pub(crate) name: String,
    pub(crate) pos: Pos,
    pub(crate) arguments: Vec<(Name, Value)>,
}

impl Directive {
    pub(crate) fn argument(&self, name: &str) -> Option<&Value> {
        self.arguments.iter().find(|(key, _)| key.text == name).map(|(_, value)| value)
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.argument(name).and_then(Value::as_text)
    }
}

/// A literal.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Null,
    /// As written.
    Number(String),
    Text(String),
    Boolean(bool),
    Enum(String),
    List(Vec<Value>),
    Object(Vec<(String, Value)>),
}

impl Value {
    pub(crate) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn as_boolean(&self) -> Option<bool> {
        match self {
            Self::Boolean(value) => Some(*value),
            _ => None,
        }
    }

    /// The texts of a list; one text counts as a list of it, as GraphQL's input coercion has it.
    pub(crate) fn texts(&self) -> Vec<&str> {
        match self {
            Self::List(items) => items.iter().filter_map(Self::as_text).collect(),
            Self::Text(text) => vec![text],
            _ => Vec::new(),
        }
    }
}

impl PartialEq for Value {
    /// The order of an object's fields makes no difference.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Number(a), Self::Number(b))
            | (Self::Text(a), Self::Text(b))
            | (Self::Enum(a), Self::Enum(b)) => a == b,
            (Self::Boolean(a), Self::Boolean(b)) => a == b,
            (Self::List(a), Self::List(b)) => a == b,
            (Self::Object(a), Self::Object(b)) => {
                a.len() == b.len()
                    && a.iter().all(|(key, value)| {
                        b.iter().find(|(other, _)| other == key).is_some_and(|(_, other)| other == value)
                    })
            }
            _ => false,
        }
    }
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Number(text) | Self::Enum(text) => f.write_str(text),
            Self::Text(text) => f.write_str(&quoted(text)),
            Self::Boolean(value) => write!(f, "{value}"),
            Self::List(items) => {
                f.write_str("[")?;
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        f.write_str(", ")?;
                    }
                    write!(f, "{item}")?;
                }
                f.write_str("]")
            }
            Self::Object(fields) => {
                f.write_str("{")?;
                for (index, (key, value)) in fields.iter().enumerate() {
                    if index > 0 {
                        f.write_str(", ")?;
                    }
                    write!(f, "{key}: {value}")?;
                }
                f.write_str("}")
            }
        }
    }
}

/// A text as a literal of one line.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for char in text.chars() {
        match char {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            char if char.is_control() => {
                let _ = write!(out, "\\u{:04X}", u32::from(char));
            }
            char => out.push(char),
        }
    }
    out.push('"');
    out
}

/// A type's name with its wrappers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TypeRef {
    Named(String),
    List(Box<TypeRef>),
    NonNull(Box<TypeRef>),
}

impl TypeRef {
    /// The name inside the wrappers.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Named(name) => name,
            Self::List(inner) | Self::NonNull(inner) => inner.name(),
        }
    }

    pub(crate) fn is_non_null(&self) -> bool {
        matches!(self, Self::NonNull(_))
    }

    pub(crate) fn is_list(&self) -> bool {
        match self {
            Self::Named(_) => false,
            Self::List(_) => true,
            Self::NonNull(inner) => inner.is_list(),
        }
    }

    pub(crate) fn nullable(&self) -> &Self {
        match self {
            Self::NonNull(inner) => inner,
            other => other,
        }
    }

    /// The same wrappers around another name.
    pub(crate) fn renamed(&self, name: &str) -> Self {
        match self {
            Self::Named(_) => Self::Named(name.to_owned()),
            Self::List(inner) => Self::List(Box::new(inner.renamed(name))),
            Self::NonNull(inner) => Self::NonNull(Box::new(inner.renamed(name))),
        }
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
