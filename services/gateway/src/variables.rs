//! Values of variables, checked and completed by their declared types (GraphQL specification, section 6.1.2).

use std::collections::HashMap;

use graphql_tools::parser::query::Value as AstValue;
use serde_json::{Map, Value};

use crate::error::{GraphQlError, codes};
use crate::operation::{Conditions, Operation};
use crate::schema::{InputDef, Kind, Literal, Schema, TypeDef, TypeRef};

/// The variables of a request as the operation declares them, each as the JSON text sent to subgraphs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Variables {
    values: HashMap<String, Value>,
    texts: HashMap<String, String>,
}

impl Variables {
    /// Checks what a client sent. Variables that the operation does not declare are left out.
    pub(crate) fn coerce(
        operation: &Operation,
        sent: &Map<String, Value>,
        schema: &Schema,
    ) -> Result<Self, Vec<GraphQlError>> {
        let mut values = HashMap::new();
        let mut errors = Vec::new();
        for variable in &operation.variables {
            let place = format!("${}", variable.name);
            let value = match (sent.get(&variable.name), &variable.default) {
                (Some(value), _) => coerce(value, &variable.ty, schema, &place).map(Some),
                (None, Some(default)) => literal(default, &variable.ty, schema, &place).map(Some),
                (None, None) if variable.ty.is_non_null() => {
                    Err(format!("{place} is required: it is declared as {}", variable.ty))
                }
                (None, None) => Ok(None),
            };
            match value {
                Ok(Some(value)) => {
                    values.insert(variable.name.clone(), value);
                }
                Ok(None) => {}
                Err(message) => errors.push(
                    GraphQlError::new(codes::BAD_USER_INPUT, message)
                        .with("variable", variable.name.as_str()),
                ),
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let texts = values.iter().map(|(name, value)| (name.clone(), value.to_string())).collect();
        Ok(Self { values, texts })
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.values.get(name)
    }

    /// The value's JSON text.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.texts.get(name).map(String::as_str)
    }

    /// What `@skip` and `@include` ask for.
    pub(crate) fn conditions(&self, operation: &Operation) -> Conditions {
        let value =
            |name: &String| (name.clone(), self.get(name).and_then(Value::as_bool).unwrap_or_default());
        Conditions(operation.condition_variables.iter().map(value).collect())
    }
}

/// Checks a JSON value against a type. The error names the place in the value.
fn coerce(value: &Value, ty: &TypeRef, schema: &Schema, place: &str) -> Result<Value, String> {
    match (ty, value) {
        (TypeRef::NonNull(_), Value::Null) => Err(format!("{place} is null, but its type is {ty}")),
        (TypeRef::NonNull(inner), value) => coerce(value, inner, schema, place),
        (_, Value::Null) => Ok(Value::Null),
        (TypeRef::List(inner), Value::Array(items)) => items
            .iter()
            .enumerate()
            .map(|(index, item)| coerce(item, inner, schema, &format!("{place}[{index}]")))
            .collect::<Result<Vec<_>, _>>()
            .map(Value::Array),
        (TypeRef::List(inner), single) => Ok(Value::Array(vec![coerce(single, inner, schema, place)?])),
        (TypeRef::Named(name), value) => {
            let Some(def) = schema.get(name) else {
                return Err(format!("{place} has the unknown type {name}"));
            };
            named(value, def, schema, place)
        }
    }
}

fn named(value: &Value, def: &TypeDef, schema: &Schema, place: &str) -> Result<Value, String> {
    let wrong = || Err(format!("{place} is {}, but its type is {}", shown(value), def.name));
    match def.kind {
        Kind::Scalar => match (def.name.as_str(), value) {
            ("Int", Value::Number(number)) => match whole(number).and_then(|whole| i32::try_from(whole).ok())
            {
                Some(whole) => Ok(Value::from(whole)),
                None => Err(format!("{place} is {number}, but an Int is a whole number of 32 bits")),
            },
            ("ID", Value::Number(number)) => match whole(number) {
                Some(whole) => Ok(Value::from(whole.to_string())),
                None => wrong(),
            },
            ("Float", Value::Number(_))
            | ("String" | "ID", Value::String(_))
            | ("Boolean", Value::Bool(_)) => Ok(value.clone()),
            ("Int" | "Float" | "String" | "ID" | "Boolean", _) => wrong(),
            _ => Ok(value.clone()),
        },
        Kind::Enum => match value {
            Value::String(text) if def.values.iter().any(|value| value.name == *text) => Ok(value.clone()),
            _ => {
                let values: Vec<&str> = def.values.iter().map(|value| value.name.as_str()).collect();
                Err(format!("{place} is {}, but {} is one of {}", shown(value), def.name, values.join(", ")))
            }
        },
        Kind::InputObject => {
            let Value::Object(fields) = value else { return wrong() };
            let fields: Vec<(&str, &Value)> =
                fields.iter().map(|(name, value)| (name.as_str(), value)).collect();
            object(&fields, def, place, |field, value, place| coerce(value, &field.ty, schema, place), schema)
        }
        Kind::Object | Kind::Interface | Kind::Union => wrong(),
    }
}

/// Checks the fields of an input object, whether they stand in JSON or in the document.
fn object<V>(
    fields: &[(&str, &V)],
    def: &TypeDef,
    place: &str,
    coerce_field: impl Fn(&InputDef, &V, &str) -> Result<Value, String>,
    schema: &Schema,
) -> Result<Value, String> {
    if let Some((unknown, _)) =
        fields.iter().find(|(name, _)| !def.inputs.iter().any(|input| input.name == *name))
    {
        return Err(format!("{place} has the field {unknown}, which {} does not have", def.name));
    }
    let mut out = Map::new();
    for input in &def.inputs {
        let place = format!("{place}.{}", input.name);
        let given = fields.iter().find(|(name, _)| *name == input.name);
        match (given, &input.default) {
            (Some((_, value)), _) => {
                out.insert(input.name.clone(), coerce_field(input, value, &place)?);
            }
            (None, Some(default)) => {
                out.insert(input.name.clone(), literal(default, &input.ty, schema, &place)?);
            }
            (None, None) if input.ty.is_non_null() => {
                return Err(format!("{place} is required: its type is {}", input.ty));
            }
            (None, None) => {}
        }
    }
    if def.one_of && (out.len() != 1 || out.values().any(Value::is_null)) {
        return Err(format!("{place} must have exactly one field that is not null: {} is a oneOf", def.name));
    }
    Ok(Value::Object(out))
}

/// Turns a literal without variables into JSON by its type.
pub(crate) fn literal(value: &Literal, ty: &TypeRef, schema: &Schema, place: &str) -> Result<Value, String> {
    match (ty, value) {
        (TypeRef::NonNull(_), AstValue::Null) => Err(format!("{place} is null, but its type is {ty}")),
        (TypeRef::NonNull(inner), value) => literal(value, inner, schema, place),
        (_, AstValue::Null) => Ok(Value::Null),
        (TypeRef::List(inner), AstValue::List(items)) => items
            .iter()
            .map(|item| literal(item, inner, schema, place))
            .collect::<Result<Vec<_>, _>>()
            .map(Value::Array),
        (TypeRef::List(inner), single) => Ok(Value::Array(vec![literal(single, inner, schema, place)?])),
        (TypeRef::Named(name), value) => match schema.get(name) {
            Some(def) if def.kind == Kind::InputObject => {
                let AstValue::Object(fields) = value else {
                    return Err(format!("{place} must be an object: its type is {name}"));
                };
                let fields: Vec<(&str, &Literal)> =
                    fields.iter().map(|(name, value)| (name.as_str(), value)).collect();
                object(
                    &fields,
                    def,
                    place,
                    |field, value, place| literal(value, &field.ty, schema, place),
                    schema,
                )
            }
            _ => Ok(plain(value)),
        },
    }
}

/// The JSON that looks most like a literal.
pub(crate) fn plain(value: &Literal) -> Value {
    match value {
        AstValue::Int(number) => number.as_i64().map_or(Value::Null, Value::from),
        AstValue::Float(number) => Value::from(*number),
        AstValue::String(text) | AstValue::Enum(text) => Value::from(text.as_str()),
        AstValue::Boolean(value) => Value::from(*value),
        AstValue::List(items) => items.iter().map(plain).collect(),
        AstValue::Object(fields) => {
            Value::Object(fields.iter().map(|(name, value)| (name.clone(), plain(value))).collect())
        }
        AstValue::Null | AstValue::Variable(_) => Value::Null,
    }
}

/// The number, if it is whole; `1.0` counts as whole.
#[expect(clippy::cast_possible_truncation, reason = "the value is checked to be whole and within 53 bits")]
fn whole(number: &serde_json::Number) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    number.as_i64().or_else(|| {
        let float = number.as_f64()?;
        (float.fract() == 0.0 && float.abs() <= EXACT).then_some(float as i64)
    })
}

/// What a value is, without showing text that may be personal.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(_) => "a string".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}
