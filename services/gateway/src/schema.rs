//! The schema that clients see, indexed for validation of values, shaping of answers and introspection.

use std::collections::{HashMap, HashSet};

use graphql_tools::parser::{
    query::{Directive, Value as AstValue},
    schema::{Definition, DirectiveDefinition, Document, EnumValue, Field, InputValue, Type, TypeDefinition},
};

/// A literal of the schema or of a client's document.
pub(crate) type Literal = AstValue<'static, String>;

/// A type's name with its wrappers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TypeRef {
    Named(String),
    List(Box<TypeRef>),
    NonNull(Box<TypeRef>),
}

/// What a type is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Scalar,
    Object,
    Interface,
    Union,
    Enum,
    InputObject,
}

/// A named type.
#[derive(Debug, Clone)]
pub(crate) struct TypeDef {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) description: Option<String>,
    pub(crate) fields: Vec<FieldDef>,
    pub(crate) interfaces: Vec<String>,
    /// The object types that a value of this type can be; an object type holds itself.
    pub(crate) possible: Vec<String>,
    pub(crate) values: Vec<ValueDef>,
    pub(crate) inputs: Vec<InputDef>,
    pub(crate) specified_by: Option<String>,
    pub(crate) one_of: bool,
}

/// A field of an object or interface.
#[derive(Debug, Clone)]
pub(crate) struct FieldDef {
    pub(crate) name: String,
    pub(crate) description: Option<String>,
    pub(crate) arguments: Vec<InputDef>,
    pub(crate) ty: TypeRef,
    pub(crate) deprecated: Option<String>,
}

/// An argument, or a field of an input object.
#[derive(Debug, Clone)]
pub(crate) struct InputDef {
    pub(crate) name: String,
    pub(crate) description: Option<String>,
    pub(crate) ty: TypeRef,
    pub(crate) default: Option<Literal>,
    pub(crate) deprecated: Option<String>,
}

/// A value of an enum.
#[derive(Debug, Clone)]
pub(crate) struct ValueDef {
    pub(crate) name: String,
    pub(crate) description: Option<String>,
    pub(crate) deprecated: Option<String>,
}

/// A directive that clients or the schema may use.
#[derive(Debug, Clone)]
pub(crate) struct DirectiveDef {
    pub(crate) name: String,
    pub(crate) description: Option<String>,
    pub(crate) arguments: Vec<InputDef>,
    pub(crate) locations: Vec<String>,
    pub(crate) repeatable: bool,
}

/// The schema that clients see.
#[derive(Debug)]
pub(crate) struct Schema {
    types: Vec<TypeDef>,
    by_name: HashMap<String, usize>,
    field_names: HashSet<String>,
    pub(crate) query: String,
    pub(crate) mutation: Option<String>,
    pub(crate) subscription: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) directives: Vec<DirectiveDef>,
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

impl From<&Type<'static, String>> for TypeRef {
    fn from(ty: &Type<'static, String>) -> Self {
        match ty {
            Type::NamedType(name) => Self::Named(name.clone()),
            Type::ListType(inner) => Self::List(Box::new((&**inner).into())),
            Type::NonNullType(inner) => Self::NonNull(Box::new((&**inner).into())),
        }
    }
}

impl TypeDef {
    pub(crate) fn field(&self, name: &str) -> Option<&FieldDef> {
        self.fields.iter().find(|field| field.name == name)
    }

    pub(crate) fn is_abstract(&self) -> bool {
        matches!(self.kind, Kind::Interface | Kind::Union)
    }

    pub(crate) fn is_composite(&self) -> bool {
        matches!(self.kind, Kind::Object | Kind::Interface | Kind::Union)
    }
}

/// What the planner leaves of a supergraph's own machinery in the schema that clients see.
const POLICY: &str = "policy";
const POLICY_SCALAR: &str = "policy__Policy";

impl Schema {
    /// Indexes a schema document that has the introspection types in it.
    pub(crate) fn new(document: &Document<'static, String>) -> Self {
        let mut types = Vec::new();
        let mut directives = Vec::new();
        let mut roots = (None, None, None);
        for definition in &document.definitions {
            match definition {
                Definition::TypeDefinition(TypeDefinition::Scalar(scalar))
                    if scalar.name == POLICY_SCALAR => {}
                Definition::TypeDefinition(definition) => types.push(type_def(definition)),
                Definition::DirectiveDefinition(directive) if directive.name == POLICY => {}
                Definition::DirectiveDefinition(directive) => directives.push(DirectiveDef {
                    name: directive.name.clone(),
                    description: directive.description.clone(),
                    arguments: directive.arguments.iter().map(input_def).collect(),
                    locations: locations(directive),
                    repeatable: directive.repeatable,
                }),
                Definition::SchemaDefinition(schema) => {
                    roots = (schema.query.clone(), schema.mutation.clone(), schema.subscription.clone());
                }
                Definition::TypeExtension(_) => {}
            }
        }
        types.sort_by(|a: &TypeDef, b| a.name.cmp(&b.name));
        directives.sort_by(|a: &DirectiveDef, b| a.name.cmp(&b.name));
        let by_name: HashMap<String, usize> =
            types.iter().enumerate().map(|(index, def)| (def.name.clone(), index)).collect();
        let mut implementations: HashMap<String, Vec<String>> = HashMap::new();
        for def in types.iter().filter(|def| def.kind == Kind::Object) {
            for interface in &def.interfaces {
                implementations.entry(interface.clone()).or_default().push(def.name.clone());
            }
        }
        for def in &mut types {
            match def.kind {
                Kind::Object => def.possible = vec![def.name.clone()],
                Kind::Interface => def.possible = implementations.remove(&def.name).unwrap_or_default(),
                _ => {}
            }
        }
        let named = |name: &str| by_name.contains_key(name).then(|| name.to_owned());
        Self {
            query: roots.0.unwrap_or_else(|| "Query".to_owned()),
            mutation: roots.1.or_else(|| named("Mutation")),
            subscription: roots.2.or_else(|| named("Subscription")),
            field_names: types.iter().flat_map(|def| &def.fields).map(|field| field.name.clone()).collect(),
            types,
            by_name,
            description: None,
            directives,
        }
    }

    pub(crate) fn types(&self) -> &[TypeDef] {
        &self.types
    }

    pub(crate) fn get(&self, name: &str) -> Option<&TypeDef> {
        self.by_name.get(name).map(|index| &self.types[*index])
    }

    /// Whether some type has a field of that name.
    pub(crate) fn is_field_name(&self, name: &str) -> bool {
        self.field_names.contains(name)
    }

    /// Whether an object type, or an interface standing for one, counts as `condition`.
    pub(crate) fn is_a(&self, name: &str, condition: &str) -> bool {
        name == condition
            || self.get(name).is_some_and(|def| def.interfaces.iter().any(|interface| interface == condition))
            || self.get(condition).is_some_and(|def| def.possible.iter().any(|possible| possible == name))
    }
}

/// The object types that each abstract type can be, hidden types among them.
pub(crate) fn possible_types(document: &Document<'static, String>) -> HashMap<String, HashSet<String>> {
    let mut possible: HashMap<String, HashSet<String>> = HashMap::new();
    for definition in &document.definitions {
        match definition {
            Definition::TypeDefinition(TypeDefinition::Object(object)) => {
                possible.entry(object.name.clone()).or_default().insert(object.name.clone());
                for interface in &object.implements_interfaces {
                    possible.entry(interface.clone()).or_default().insert(object.name.clone());
                }
            }
            Definition::TypeDefinition(TypeDefinition::Union(union)) => {
                possible.entry(union.name.clone()).or_default().extend(union.types.iter().cloned());
            }
            _ => {}
        }
    }
    possible
}

/// Where a directive may stand. Of the specification's own, the planner's schema has two wrong.
fn locations(directive: &DirectiveDefinition<'static, String>) -> Vec<String> {
    let known: &[&str] = match directive.name.as_str() {
        "deprecated" => &["FIELD_DEFINITION", "ARGUMENT_DEFINITION", "INPUT_FIELD_DEFINITION", "ENUM_VALUE"],
        "oneOf" => &["INPUT_OBJECT"],
        _ => return directive.locations.iter().map(|at| at.as_str().to_owned()).collect(),
    };
    known.iter().map(|&name| name.to_owned()).collect()
}

fn type_def(definition: &TypeDefinition<'static, String>) -> TypeDef {
    let new = |kind: Kind, name: &String, description: &Option<String>| TypeDef {
        name: name.clone(),
        kind,
        description: description.clone(),
        fields: Vec::new(),
        interfaces: Vec::new(),
        possible: Vec::new(),
        values: Vec::new(),
        inputs: Vec::new(),
        specified_by: None,
        one_of: false,
    };
    match definition {
        TypeDefinition::Scalar(scalar) => TypeDef {
            specified_by: directive_text(&scalar.directives, "specifiedBy", "url"),
            ..new(Kind::Scalar, &scalar.name, &scalar.description)
        },
        TypeDefinition::Object(object) => TypeDef {
            fields: object.fields.iter().map(field_def).collect(),
            interfaces: object.implements_interfaces.clone(),
            ..new(Kind::Object, &object.name, &object.description)
        },
        TypeDefinition::Interface(interface) => TypeDef {
            fields: interface.fields.iter().map(field_def).collect(),
            interfaces: interface.implements_interfaces.clone(),
            ..new(Kind::Interface, &interface.name, &interface.description)
        },
        TypeDefinition::Union(union) => {
            TypeDef { possible: union.types.clone(), ..new(Kind::Union, &union.name, &union.description) }
        }
        TypeDefinition::Enum(def) => TypeDef {
            values: def.values.iter().map(value_def).collect(),
            ..new(Kind::Enum, &def.name, &def.description)
        },
        TypeDefinition::InputObject(input) => TypeDef {
            inputs: input.fields.iter().map(input_def).collect(),
            one_of: input.directives.iter().any(|directive| directive.name == "oneOf"),
            ..new(Kind::InputObject, &input.name, &input.description)
        },
    }
}

fn field_def(field: &Field<'static, String>) -> FieldDef {
    FieldDef {
        name: field.name.clone(),
        description: field.description.clone(),
        arguments: field.arguments.iter().map(input_def).collect(),
        ty: (&field.field_type).into(),
        deprecated: deprecation(&field.directives),
    }
}

fn input_def(input: &InputValue<'static, String>) -> InputDef {
    InputDef {
        name: input.name.clone(),
        description: input.description.clone(),
        ty: (&input.value_type).into(),
        default: input.default_value.clone(),
        deprecated: deprecation(&input.directives),
    }
}

fn value_def(value: &EnumValue<'static, String>) -> ValueDef {
    ValueDef {
        name: value.name.clone(),
        description: value.description.clone(),
        deprecated: deprecation(&value.directives),
    }
}

fn deprecation(directives: &[Directive<'static, String>]) -> Option<String> {
    directives.iter().find(|directive| directive.name == "deprecated")?;
    Some(
        directive_text(directives, "deprecated", "reason")
            .unwrap_or_else(|| "No longer supported".to_owned()),
    )
}

fn directive_text(directives: &[Directive<'static, String>], name: &str, argument: &str) -> Option<String> {
    let directive = directives.iter().find(|directive| directive.name == name)?;
    directive.arguments.iter().find_map(|(key, value)| match value {
        AstValue::String(text) if key == argument => Some(text.clone()),
        _ => None,
    })
}
