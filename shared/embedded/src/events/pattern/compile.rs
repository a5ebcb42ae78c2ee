//! From JSON to a pattern, or to the reason why not.

use std::net::IpAddr;

use serde_json::{Map, Value};

use super::matcher::{Bound, Matcher, TextMatcher, address_bits};
use super::{Fields, Node, PatternError};

type Result<T> = std::result::Result<T, PatternError>;

/// Keys of `$or`'s alternatives that make it a plain field of that name: see [`is_or`].
const OPERATORS: [&str; 8] =
    ["exists", "equals-ignore-case", "prefix", "suffix", "anything-but", "numeric", "cidr", "wildcard"];

pub(super) fn pattern(value: &Value) -> Result<Fields> {
    let Value::Object(object) = value else { return Err(PatternError::NotAnObject) };
    fields(object, "")
}

fn fields(object: &Map<String, Value>, path: &str) -> Result<Fields> {
    if object.is_empty() {
        return Err(PatternError::EmptyObject { path: path.to_owned() });
    }
    let mut fields = Fields::default();
    for (name, value) in object {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        match value {
            Value::Array(groups) if name == "$or" && is_or(groups) => {
                let group = groups.iter().filter_map(Value::as_object);
                let group =
                    group.map(|alternative| self::fields(alternative, &path)).collect::<Result<_>>()?;
                fields.alternatives.push(group);
            }
            Value::Object(inner) => {
                fields.required.push((name.clone(), Node::Fields(self::fields(inner, &path)?)));
            }
            Value::Array(values) => fields.required.push((name.clone(), self::values(values, &path)?)),
            _ => return Err(PatternError::NotAnObjectOrArray { path }),
        }
    }
    Ok(fields)
}

/// `$or` is an operator where it holds two or more objects of fields; elsewhere it is a field's name.
fn is_or(groups: &[Value]) -> bool {
    groups.len() >= 2
        && groups.iter().all(|group| {
            group.as_object().is_some_and(|group| {
                !group.is_empty() && group.keys().all(|key| !OPERATORS.contains(&key.as_str()))
            })
        })
}

fn values(values: &[Value], path: &str) -> Result<Node> {
    if values.is_empty() {
        return Err(PatternError::EmptyArray { path: path.to_owned() });
    }
    values.iter().map(|value| matcher(value, path)).collect::<Result<_>>().map(Node::Values)
}

fn matcher(value: &Value, path: &str) -> Result<Matcher> {
    match value {
        Value::Object(expression) => {
            let mut entries = expression.iter();
            match (entries.next(), entries.next()) {
                (Some((operator, operand)), None) => self::expression(operator, operand, path),
                _ => Err(PatternError::OneKey { path: path.to_owned() }),
            }
        }
        Value::Array(_) => Err(PatternError::NotAValue { path: path.to_owned() }),
        literal => Ok(self::literal(literal)),
    }
}

fn literal(value: &Value) -> Matcher {
    match value {
        Value::Bool(value) => Matcher::Boolean(*value),
        Value::Number(value) => Matcher::Number(value.as_f64().unwrap_or(f64::NAN)),
        Value::String(value) => Matcher::Text(TextMatcher::Is(value.clone())),
        _ => Matcher::Null,
    }
}

fn expression(operator: &str, operand: &Value, path: &str) -> Result<Matcher> {
    match operator {
        "exists" => match operand {
            Value::Bool(wanted) => Ok(Matcher::Exists(*wanted)),
            _ => Err(wrong(path, "exists", "must be true or false")),
        },
        "numeric" => numeric(operand, path),
        "cidr" => cidr(operand, path),
        "anything-but" => anything_but(operand, path),
        "prefix" | "suffix" => affix(operator == "prefix", operand, path).map(Matcher::Text),
        "equals-ignore-case" => ignoring_case(operand, path).map(Matcher::Text),
        "wildcard" => wildcard(operand, path).map(Matcher::Text),
        unknown => Err(PatternError::UnknownOperator { path: path.to_owned(), operator: unknown.to_owned() }),
    }
}

fn wrong(path: &str, operator: &'static str, expected: &'static str) -> PatternError {
    PatternError::Operand { path: path.to_owned(), operator, expected }
}

fn affix(prefix: bool, operand: &Value, path: &str) -> Result<TextMatcher> {
    let operator = if prefix { "prefix" } else { "suffix" };
    match operand {
        Value::String(text) if prefix => Ok(TextMatcher::Prefix(text.clone())),
        Value::String(text) => Ok(TextMatcher::Suffix(text.clone())),
        Value::Object(nested) if nested.len() == 1 => match nested.get("equals-ignore-case") {
            Some(Value::String(text)) if prefix => Ok(TextMatcher::PrefixIgnoringCase(text.to_lowercase())),
            Some(Value::String(text)) => Ok(TextMatcher::SuffixIgnoringCase(text.to_lowercase())),
            _ => Err(wrong(path, operator, "must be a string or {\"equals-ignore-case\": a string}")),
        },
        _ => Err(wrong(path, operator, "must be a string or {\"equals-ignore-case\": a string}")),
    }
}

fn ignoring_case(operand: &Value, path: &str) -> Result<TextMatcher> {
    let text = operand.as_str().ok_or_else(|| wrong(path, "equals-ignore-case", "must be a string"))?;
    Ok(TextMatcher::IsIgnoringCase(text.to_lowercase()))
}

/// A star stands for any characters; `\*` and `\\` for themselves.
fn wildcard(operand: &Value, path: &str) -> Result<TextMatcher> {
    let text = operand.as_str().ok_or_else(|| wrong(path, "wildcard", "must be a string"))?;
    let mut parts = vec![String::new()];
    let mut after_star = false;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character == '*' {
            if after_star {
                return Err(wrong(path, "wildcard", "must not have two stars in a row"));
            }
            parts.push(String::new());
            after_star = true;
            continue;
        }
        after_star = false;
        let literal = match character {
            '\\' => match characters.next() {
                Some(escaped @ ('*' | '\\')) => escaped,
                _ => return Err(wrong(path, "wildcard", "may escape only * and \\ with \\")),
            },
            literal => literal,
        };
        parts.last_mut().expect("starts with one part").push(literal);
    }
    Ok(TextMatcher::Wildcard(parts))
}

fn anything_but(operand: &Value, path: &str) -> Result<Matcher> {
    let one_kind = "must be a string, a number, a list of strings or a list of numbers";
    let excluded = match operand {
        Value::String(_) | Value::Number(_) => vec![literal(operand)],
        Value::Array(values)
            if !values.is_empty()
                && (values.iter().all(Value::is_string) || values.iter().all(Value::is_number)) =>
        {
            values.iter().map(literal).collect()
        }
        Value::Object(nested) => {
            let mut entries = nested.iter();
            let (Some((operator, operand)), None) = (entries.next(), entries.next()) else {
                return Err(PatternError::OneKey { path: path.to_owned() });
            };
            let operands = match operand {
                Value::Array(operands) if operands.is_empty() => {
                    return Err(PatternError::EmptyArray { path: path.to_owned() });
                }
                Value::Array(operands) => operands.as_slice(),
                operand => std::slice::from_ref(operand),
            };
            let compile = |operand: &Value| match operator.as_str() {
                "prefix" | "suffix" => affix(operator == "prefix", operand, path),
                "equals-ignore-case" => ignoring_case(operand, path),
                "wildcard" => wildcard(operand, path),
                unknown => Err(PatternError::UnknownOperator {
                    path: path.to_owned(),
                    operator: format!("anything-but {unknown}"),
                }),
            };
            operands.iter().map(|operand| compile(operand).map(Matcher::Text)).collect::<Result<_>>()?
        }
        _ => return Err(wrong(path, "anything-but", one_kind)),
    };
    Ok(Matcher::AnythingBut(excluded))
}

fn numeric(operand: &Value, path: &str) -> Result<Matcher> {
    let shape = "must be like [\"=\", 5], [\">\", 5] or [\">=\", 5, \"<\", 10]";
    let parts = operand.as_array().map(Vec::as_slice).unwrap_or_default();
    let mut bounds = parts.chunks_exact(2).map(|pair| match pair {
        [Value::String(operator), Value::Number(at)] => {
            at.as_f64().filter(|at| at.is_finite()).map(|at| (operator.as_str(), at))
        }
        _ => None,
    });
    let well_formed = matches!(parts.len(), 2 | 4);
    let (Some(Some(first)), second, true) = (bounds.next(), bounds.next(), well_formed) else {
        return Err(wrong(path, "numeric", shape));
    };
    let bound = |at, included| Some(Bound { at, included });
    match (first, second) {
        (("=", at), None) => Ok(Matcher::Number(at)),
        ((">" | ">=", at), None) => Ok(Matcher::Range { above: bound(at, first.0 == ">="), below: None }),
        (("<" | "<=", at), None) => Ok(Matcher::Range { above: None, below: bound(at, first.0 == "<=") }),
        ((">" | ">=", bottom), Some(Some((operator @ ("<" | "<="), top)))) => {
            if bottom >= top {
                return Err(wrong(path, "numeric", "must have a bottom that is less than its top"));
            }
            Ok(Matcher::Range { above: bound(bottom, first.0 == ">="), below: bound(top, operator == "<=") })
        }
        _ => Err(wrong(path, "numeric", shape)),
    }
}

fn cidr(operand: &Value, path: &str) -> Result<Matcher> {
    let malformed = || wrong(path, "cidr", "must be like \"10.0.0.0/24\" or \"2001:db8::/32\"");
    let (address, mask) = operand.as_str().and_then(|text| text.split_once('/')).ok_or_else(malformed)?;
    let address: IpAddr = address.parse().map_err(|_| malformed())?;
    let bits: u32 = mask.parse().map_err(|_| malformed())?;
    let (address, v4) = address_bits(address);
    let width = if v4 { 32 } else { 128 };
    if bits >= width {
        let expected = if v4 { "must have a mask under 32 bits" } else { "must have a mask under 128 bits" };
        return Err(wrong(path, "cidr", expected));
    }
    let mask = (u128::MAX >> (128 - width)) & u128::MAX.checked_shl(width - bits).unwrap_or(0);
    Ok(Matcher::Cidr { network: address & mask, mask, v4 })
}
