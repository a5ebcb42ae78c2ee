//! `__schema` and `__type`, answered from the schema that clients see.

use serde_json::Value;

use crate::schema::{DirectiveDef, FieldDef, InputDef, Kind, Literal, Schema, TypeDef, TypeRef, ValueDef};
use crate::shape::{Shape, ShapeField, ShapeValue};
use crate::variables::{Variables, plain};

/// What introspection needs of a request.
pub(crate) struct Introspection<'a> {
    pub(crate) schema: &'a Schema,
    pub(crate) variables: &'a Variables,
}

/// What an introspection field is about.
#[derive(Clone)]
enum About<'a> {
    Schema,
    Type(TypeView<'a>),
    Field(&'a FieldDef),
    Input(&'a InputDef),
    Value(&'a ValueDef),
    Directive(&'a DirectiveDef),
}

/// A type with its wrappers, as `__Type` shows it.
#[derive(Clone)]
enum TypeView<'a> {
    Named(&'a TypeDef),
    List(&'a TypeRef),
    NonNull(&'a TypeRef),
}

/// What a field of an introspection type comes to.
enum Found<'a> {
    Null,
    Text(&'a str),
    Owned(String),
    Flag(bool),
    One(About<'a>),
    Many(Vec<About<'a>>),
    Names(Vec<&'a str>),
}

impl<'a> Introspection<'a> {
    /// Writes the value of the root field `__schema` or `__type`.
    pub(crate) fn write(&self, field: &ShapeField, out: &mut Vec<u8>) {
        let about = if field.name == "__schema" {
            Some(About::Schema)
        } else {
            let name = self.argument(field, "name");
            let name = name.as_ref().and_then(Value::as_str);
            name.and_then(|name| self.schema.get(name)).map(|def| About::Type(TypeView::Named(def)))
        };
        match (about, &field.value) {
            (Some(about), ShapeValue::Composite(composite)) => {
                if let Some(shape) = composite.shape(None) {
                    return self.object(&about, shape, out);
                }
                out.extend_from_slice(b"null");
            }
            _ => out.extend_from_slice(b"null"),
        }
    }

    fn argument(&self, field: &ShapeField, name: &str) -> Option<Value> {
        let literal: &Literal =
            field.arguments.iter().find(|(key, _)| key == name).map(|(_, value)| value)?;
        match literal {
            Literal::Variable(variable) => self.variables.get(variable).cloned(),
            literal => Some(plain(literal)),
        }
    }

    fn object(&self, about: &About<'a>, shape: &Shape, out: &mut Vec<u8>) {
        out.push(b'{');
        for (index, field) in shape.fields.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            out.extend_from_slice(&field.prefix);
            let ShapeValue::TypeName = field.value else {
                self.found(self.field(about, field), field, out);
                continue;
            };
            write_text(&shape.type_name, out);
        }
        out.push(b'}');
    }

    fn found(&self, found: Found<'a>, field: &ShapeField, out: &mut Vec<u8>) {
        match found {
            Found::Null => out.extend_from_slice(b"null"),
            Found::Text(text) => write_text(text, out),
            Found::Owned(text) => write_text(&text, out),
            Found::Flag(flag) => out.extend_from_slice(if flag { b"true" } else { b"false" }),
            Found::One(about) => self.composite(&about, field, out),
            Found::Many(all) => write_list(all, out, |about, out| self.composite(&about, field, out)),
            Found::Names(names) => write_list(names, out, write_text),
        }
    }

    fn composite(&self, about: &About<'a>, field: &ShapeField, out: &mut Vec<u8>) {
        let ShapeValue::Composite(composite) = &field.value else { return out.extend_from_slice(b"null") };
        match composite.shape(None) {
            Some(shape) => self.object(about, shape, out),
            None => out.extend_from_slice(b"null"),
        }
    }

    fn field(&self, about: &About<'a>, field: &ShapeField) -> Found<'a> {
        let name = field.name.as_str();
        match about {
            About::Schema => self.of_schema(name),
            About::Type(TypeView::Named(def)) => self.of_type(def, field),
            About::Type(TypeView::List(inner)) => self.of_wrapper("LIST", inner, name),
            About::Type(TypeView::NonNull(inner)) => self.of_wrapper("NON_NULL", inner, name),
            About::Field(def) => match name {
                "name" => Found::Text(&def.name),
                "description" => optional(def.description.as_deref()),
                "args" => Found::Many(self.inputs(&def.arguments, field)),
                "type" => self.type_ref(&def.ty),
                "isDeprecated" => Found::Flag(def.deprecated.is_some()),
                "deprecationReason" => optional(def.deprecated.as_deref()),
                _ => Found::Null,
            },
            About::Input(def) => match name {
                "name" => Found::Text(&def.name),
                "description" => optional(def.description.as_deref()),
                "type" => self.type_ref(&def.ty),
                "defaultValue" => {
                    def.default.as_ref().map_or(Found::Null, |value| Found::Owned(value.to_string()))
                }
                "isDeprecated" => Found::Flag(def.deprecated.is_some()),
                "deprecationReason" => optional(def.deprecated.as_deref()),
                _ => Found::Null,
            },
            About::Value(def) => match name {
                "name" => Found::Text(&def.name),
                "description" => optional(def.description.as_deref()),
                "isDeprecated" => Found::Flag(def.deprecated.is_some()),
                "deprecationReason" => optional(def.deprecated.as_deref()),
                _ => Found::Null,
            },
            About::Directive(def) => match name {
                "name" => Found::Text(&def.name),
                "description" => optional(def.description.as_deref()),
                "locations" => Found::Names(def.locations.iter().map(String::as_str).collect()),
                "args" => Found::Many(self.inputs(&def.arguments, field)),
                "isRepeatable" => Found::Flag(def.repeatable),
                _ => Found::Null,
            },
        }
    }

    fn of_schema(&self, name: &str) -> Found<'a> {
        let root = |name: Option<&str>| {
            let def = name.and_then(|name| self.schema.get(name));
            def.map_or(Found::Null, |def| Found::One(About::Type(TypeView::Named(def))))
        };
        match name {
            "description" => optional(self.schema.description.as_deref()),
            "types" => {
                Found::Many(self.schema.types().iter().map(|def| About::Type(TypeView::Named(def))).collect())
            }
            "queryType" => root(Some(&self.schema.query)),
            "mutationType" => root(self.schema.mutation.as_deref()),
            "subscriptionType" => root(self.schema.subscription.as_deref()),
            "directives" => Found::Many(self.schema.directives.iter().map(About::Directive).collect()),
            _ => Found::Null,
        }
    }

    fn of_type(&self, def: &'a TypeDef, field: &ShapeField) -> Found<'a> {
        let deprecated =
            self.argument(field, "includeDeprecated").and_then(|value| value.as_bool()).unwrap_or(false);
        let named = |names: &'a [String]| {
            let types = names.iter().filter_map(|name| self.schema.get(name));
            Found::Many(types.map(|def| About::Type(TypeView::Named(def))).collect())
        };
        let has_fields = matches!(def.kind, Kind::Object | Kind::Interface);
        match field.name.as_str() {
            "kind" => Found::Text(kind(def.kind)),
            "name" => Found::Text(&def.name),
            "description" => optional(def.description.as_deref()),
            "specifiedByURL" => optional(def.specified_by.as_deref()),
            "fields" if has_fields => Found::Many(
                def.fields
                    .iter()
                    .filter(|field| {
                        !field.name.starts_with("__") && (deprecated || field.deprecated.is_none())
                    })
                    .map(About::Field)
                    .collect(),
            ),
            "interfaces" if has_fields => named(&def.interfaces),
            "possibleTypes" if def.is_abstract() => named(&def.possible),
            "enumValues" if def.kind == Kind::Enum => Found::Many(
                def.values
                    .iter()
                    .filter(|value| deprecated || value.deprecated.is_none())
                    .map(About::Value)
                    .collect(),
            ),
            "inputFields" if def.kind == Kind::InputObject => Found::Many(self.inputs(&def.inputs, field)),
            "isOneOf" if def.kind == Kind::InputObject => Found::Flag(def.one_of),
            _ => Found::Null,
        }
    }

    fn inputs(&self, inputs: &'a [InputDef], field: &ShapeField) -> Vec<About<'a>> {
        let deprecated =
            self.argument(field, "includeDeprecated").and_then(|value| value.as_bool()).unwrap_or(false);
        inputs.iter().filter(|input| deprecated || input.deprecated.is_none()).map(About::Input).collect()
    }

    fn of_wrapper(&self, kind: &'a str, inner: &'a TypeRef, name: &str) -> Found<'a> {
        match name {
            "kind" => Found::Text(kind),
            "ofType" => self.type_ref(inner),
            _ => Found::Null,
        }
    }

    fn type_ref(&self, ty: &'a TypeRef) -> Found<'a> {
        let view = match ty {
            TypeRef::Named(name) => match self.schema.get(name) {
                Some(def) => TypeView::Named(def),
                None => return Found::Null,
            },
            TypeRef::List(inner) => TypeView::List(inner),
            TypeRef::NonNull(inner) => TypeView::NonNull(inner),
        };
        Found::One(About::Type(view))
    }
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Scalar => "SCALAR",
        Kind::Object => "OBJECT",
        Kind::Interface => "INTERFACE",
        Kind::Union => "UNION",
        Kind::Enum => "ENUM",
        Kind::InputObject => "INPUT_OBJECT",
    }
}

fn optional(text: Option<&str>) -> Found<'_> {
    text.map_or(Found::Null, Found::Text)
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    serde_json::to_writer(out, text).expect("a string is always JSON");
}

fn write_list<T>(items: Vec<T>, out: &mut Vec<u8>, mut write: impl FnMut(T, &mut Vec<u8>)) {
    out.push(b'[');
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(item, out);
    }
    out.push(b']');
}
