//! From JSON Schema to a shape, or to what is outside the subset.

use super::{Field, Form, Outside, Range, Shape, Text, join};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

type Keywords = Map<String, Value>;

/// Keywords that say something about a schema and nothing about its values.
const ABOUT: [&str; 9] =
    ["$schema", "$id", "$defs", "$comment", "title", "description", "examples", "default", "deprecated"];

/// The schema, and what its references refer to.
struct Reader<'a> {
    root: &'a Value,
    /// The references that are being followed, to find those that lead into themselves.
    following: Vec<&'a str>,
}

pub(super) fn shape(schema: &Value) -> Result<Shape, Outside> {
    Reader { root: schema, following: Vec::new() }.shape(schema, "")
}

fn outside(path: &str, what: impl Into<String>, advice: &'static str) -> Outside {
    let place = if path.is_empty() { "." } else { path };
    Outside { place: place.to_owned(), what: what.into(), advice }
}

/// Refuses keywords that aren't named; those that say nothing about values may always be there.
fn only(keywords: &Keywords, known: &[&str], path: &str) -> Result<(), Outside> {
    let unknown = keywords.keys().find(|it| !known.contains(&it.as_str()) && !ABOUT.contains(&it.as_str()));
    match unknown.map(String::as_str) {
        None => Ok(()),
        Some(keyword @ ("not" | "if" | "then" | "else" | "dependentRequired" | "dependentSchemas")) => {
            let advice =
                "let a rule of the aggregate say what one field can't; the contract says what each field is";
            Err(outside(path, format!("the keyword `{keyword}` is not compared"), advice))
        }
        Some(keyword) => {
            let advice = "use a type that the published language has (see the crate `compatibility`)";
            Err(outside(path, format!("the keyword `{keyword}` is not compared here"), advice))
        }
    }
}

impl<'a> Reader<'a> {
    fn shape(&mut self, schema: &'a Value, path: &str) -> Result<Shape, Outside> {
        let keywords = match schema {
            Value::Bool(true) => return Ok(Shape { form: Form::Any, nullable: true, doc: String::new() }),
            Value::Object(keywords) => keywords,
            other => {
                return Err(outside(
                    path,
                    format!("`{other}` is no schema that takes anything"),
                    "remove the field",
                ));
            }
        };
        let mut shape = if let Some(reference) = keywords.get("$ref") {
            only(keywords, &["$ref"], path)?;
            self.follow(reference, path)?
        } else if let Some(any) = keywords.get("anyOf") {
            only(keywords, &["anyOf"], path)?;
            self.any_of(any, path)?
        } else if let Some(one) = keywords.get("oneOf") {
            only(keywords, &["oneOf"], path)?;
            choice(one, path)?
        } else if let Some(values) = keywords.get("enum") {
            only(keywords, &["enum", "type"], path)?;
            enumeration(values, path)?
        } else {
            self.typed(keywords, path)?
        };
        if let Some(doc) = keywords.get("description").and_then(Value::as_str) {
            doc.clone_into(&mut shape.doc);
        }
        Ok(shape)
    }

    fn follow(&mut self, reference: &'a Value, path: &str) -> Result<Shape, Outside> {
        let advice = "refer to a definition of the same file, as `#/$defs/<Name>`";
        let text = reference.as_str().unwrap_or_default();
        let target = text.strip_prefix('#').and_then(|pointer| self.root.pointer(pointer));
        let target = target
            .ok_or_else(|| outside(path, format!("`$ref` to {reference}, which isn't here"), advice))?;
        if self.following.contains(&text) {
            let advice = "give the contract a depth: a type that holds itself has none";
            return Err(outside(path, format!("`{text}` refers to itself"), advice));
        }
        self.following.push(text);
        let shape = self.shape(target, path);
        self.following.pop();
        shape
    }

    /// Something or null, or texts of which a reader needn't know all.
    fn any_of(&mut self, any: &'a Value, path: &str) -> Result<Shape, Outside> {
        let parts = any.as_array().map(Vec::as_slice).unwrap_or_default();
        let null = |part: &&Value| part["type"] == "null";
        if let [part] = parts.iter().filter(|part| !null(part)).collect::<Vec<_>>()[..]
            && parts.len() == 2
        {
            return Ok(Shape { nullable: true, ..self.shape(part, path)? });
        }
        choice(any, path)
    }

    fn typed(&mut self, keywords: &'a Keywords, path: &str) -> Result<Shape, Outside> {
        let Some(kind) = keywords.get("type") else {
            if keywords.keys().all(|keyword| ABOUT.contains(&keyword.as_str())) {
                return Ok(Shape { form: Form::Any, nullable: true, doc: String::new() });
            }
            only(keywords, &["const"], path)?;
            return match keywords.get("const") {
                Some(value) => constant(value, path),
                None => Err(outside(path, "a schema without a type", "say what it is")),
            };
        };
        let (kind, nullable) = match kind {
            Value::String(kind) => (kind.as_str(), false),
            Value::Array(kinds) => match kinds.iter().filter_map(Value::as_str).collect::<Vec<_>>()[..] {
                [kind, "null"] | ["null", kind] => (kind, true),
                _ => {
                    return Err(outside(
                        path,
                        format!("it is one of several types, {}", Value::from(kinds.clone())),
                        "give each case a field of its own",
                    ));
                }
            },
            other => {
                return Err(outside(path, format!("the type {other}"), "use one type, or one type and null"));
            }
        };
        if let Some(value) = keywords.get("const") {
            return Ok(Shape { nullable, ..constant(value, path)? });
        }
        let form = match kind {
            "boolean" => {
                only(keywords, &["type"], path)?;
                Form::Boolean
            }
            "integer" => {
                only(keywords, &["type", "format", "minimum", "maximum"], path)?;
                let width = width(text(keywords, "format").as_deref(), path)?;
                let limits = Range {
                    least: whole(keywords, "minimum", path)?,
                    most: whole(keywords, "maximum", path)?,
                };
                Form::Integer { width, limits: limits.and(width) }
            }
            "number" => {
                only(keywords, &["type", "format", "minimum", "maximum"], path)?;
                let limit = |name: &str| keywords.get(name).and_then(Value::as_f64);
                Form::Number { least: limit("minimum"), most: limit("maximum") }
            }
            "string" => {
                only(keywords, &["type", "format", "minLength", "maxLength", "pattern"], path)?;
                let length = Range {
                    least: whole(keywords, "minLength", path)?,
                    most: whole(keywords, "maxLength", path)?,
                };
                Form::Text(Text {
                    format: text(keywords, "format"),
                    length,
                    pattern: text(keywords, "pattern"),
                })
            }
            "array" => {
                only(keywords, &["type", "items", "minItems", "maxItems"], path)?;
                let items = keywords.get("items").unwrap_or(&Value::Bool(true));
                let count = Range {
                    least: whole(keywords, "minItems", path)?,
                    most: whole(keywords, "maxItems", path)?,
                };
                Form::List { items: Box::new(self.shape(items, &format!("{path}[]"))?), count }
            }
            "object" => {
                only(keywords, &["type", "properties", "required", "additionalProperties"], path)?;
                self.object(keywords, path)?
            }
            other => {
                return Err(outside(
                    path,
                    format!("the type `{other}`"),
                    "use a type that can hold something",
                ));
            }
        };
        Ok(Shape { form, nullable, doc: String::new() })
    }

    fn object(&mut self, keywords: &'a Keywords, path: &str) -> Result<Form, Outside> {
        let properties = keywords.get("properties").and_then(Value::as_object);
        let more = keywords.get("additionalProperties").unwrap_or(&Value::Bool(true));
        if *more == Value::Bool(false) {
            let what = "an object that refuses fields that it doesn't know";
            let advice = "take `deny_unknown_fields` off: no field could ever be added";
            return Err(outside(path, what, advice));
        }
        let Some(properties) = properties.filter(|it| !it.is_empty()) else {
            return match more {
                Value::Bool(_) => Ok(Form::Object(BTreeMap::new())),
                values => Ok(Form::Map(Box::new(self.shape(values, &join(path, "*"))?))),
            };
        };
        if !more.is_boolean() {
            let advice = "put the map into a field of its own";
            return Err(outside(path, "an object with fields that is a map too", advice));
        }
        let required =
            keywords.get("required").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let mut fields = BTreeMap::new();
        for (name, schema) in properties {
            let shape = self.shape(schema, &join(path, name))?;
            let required = required.iter().any(|it| it == name);
            fields.insert(name.clone(), Field { shape, required, default: schema.get("default").cloned() });
        }
        match required.iter().find(|it| !fields.contains_key(it.as_str().unwrap_or_default())) {
            Some(missing) => {
                Err(outside(path, format!("{missing} is required and not described"), "describe it"))
            }
            None => Ok(Form::Object(fields)),
        }
    }
}

fn text(keywords: &Keywords, name: &str) -> Option<String> {
    keywords.get(name).and_then(Value::as_str).map(str::to_owned)
}

fn whole(keywords: &Keywords, name: &str, path: &str) -> Result<Option<i128>, Outside> {
    let Some(value) = keywords.get(name) else { return Ok(None) };
    let number = value.as_i64().map(i128::from).or_else(|| value.as_u64().map(i128::from));
    // Whole numbers are also written with a fraction of zero.
    #[expect(clippy::cast_possible_truncation, reason = "only what is whole and small comes here")]
    let number = number
        .or_else(|| value.as_f64().filter(|it| it.fract() == 0.0 && it.abs() < 1e15).map(|it| it as i128));
    number
        .map(Some)
        .ok_or_else(|| outside(path, format!("`{name}` is {value}"), "limit it by a whole number"))
}

/// What an integer of a format can hold, as Rust and `OpenAPI` name them.
fn width(format: Option<&str>, path: &str) -> Result<Range, Outside> {
    let Some(format) = format else { return Ok(Range::default()) };
    let (signed, bits) = match format.strip_prefix("uint") {
        Some(bits) => (false, bits),
        None => (true, format.strip_prefix("int").unwrap_or_default()),
    };
    let bits: u32 = match bits {
        "" => 64,
        "8" | "16" | "32" | "64" => bits.parse().unwrap_or(64),
        _ => {
            return Err(outside(
                path,
                format!("the integer format `{format}`"),
                "use an integer of at most 64 bits",
            ));
        }
    };
    let all = 1_i128 << bits;
    let (least, most) = if signed { (-all / 2, all / 2 - 1) } else { (0, all - 1) };
    Ok(Range { least: Some(least), most: Some(most) })
}

fn constant(value: &Value, path: &str) -> Result<Shape, Outside> {
    if value.is_string() || value.is_number() || value.is_boolean() {
        return Ok(Shape { form: Form::Constant(value.clone()), nullable: false, doc: String::new() });
    }
    Err(outside(path, format!("the constant {value}"), "use a text, a number or a truth value"))
}

fn enumeration(values: &Value, path: &str) -> Result<Shape, Outside> {
    let mut texts = BTreeMap::new();
    let mut nullable = false;
    for value in values.as_array().map(Vec::as_slice).unwrap_or_default() {
        if value.is_null() {
            nullable = true;
            continue;
        }
        let advice = "use an enum whose values are texts";
        let text = value.as_str().ok_or_else(|| outside(path, format!("`enum` with {value}"), advice))?;
        texts.insert(text.to_owned(), String::new());
    }
    Ok(Shape { form: Form::Choice { values: texts, open: false }, nullable, doc: String::new() })
}

/// Texts, each with what it means; the last may stand for those that a build doesn't know.
fn choice(parts: &Value, path: &str) -> Result<Shape, Outside> {
    let mut values = BTreeMap::new();
    let mut open = false;
    for part in parts.as_array().map(Vec::as_slice).unwrap_or_default() {
        let doc = part["description"].as_str().unwrap_or_default();
        let keywords = part.as_object().cloned().unwrap_or_default();
        match (part.get("const").and_then(Value::as_str), part.get("enum"), &part["type"]) {
            (Some(value), _, _) => {
                only(&keywords, &["const", "type"], path)?;
                values.insert(value.to_owned(), doc.to_owned());
            }
            (None, Some(several), _) => {
                only(&keywords, &["enum", "type"], path)?;
                if let Form::Choice { values: several, .. } = enumeration(several, path)?.form {
                    values.extend(several);
                }
            }
            (None, None, kind) if kind == "string" => {
                only(&keywords, &["type"], path)?;
                open = true;
            }
            _ => {
                let advice = "publish an event for each case, or give each case a field that may be absent";
                return Err(outside(path, "a choice between more than texts", advice));
            }
        }
    }
    if values.is_empty() {
        return Err(outside(path, "a choice of nothing", "use a text"));
    }
    Ok(Shape { form: Form::Choice { values, open }, nullable: false, doc: String::new() })
}
