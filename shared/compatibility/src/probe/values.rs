//! Values of a shape.

use super::object;
use crate::shape::{Form, Range, Shape, Text};
use serde_json::{Value, json};

/// A value of a shape, with all that may be absent.
pub(super) fn sample(shape: &Shape) -> Option<Value> {
    Some(match &shape.form {
        Form::Any => json!("something"),
        Form::Boolean => true.into(),
        Form::Integer { limits, .. } => whole(*limits, 7)?,
        Form::Number { least, most } => json!(7.5_f64.max(least.unwrap_or(7.5)).min(most.unwrap_or(7.5))),
        Form::Text(text) => self::text(text, "something"),
        Form::Choice { values, .. } => values.keys().next()?.as_str().into(),
        Form::Constant(value) => value.clone(),
        Form::List { items, .. } => Value::Array(vec![sample(items)?]),
        Form::Map(values) => object([("something".to_owned(), sample(values)?)]),
        Form::Object(fields) => {
            object(fields.iter().filter_map(|(name, field)| Some((name.clone(), sample(&field.shape)?))))
        }
    })
}

fn whole(limits: Range, near: i128) -> Option<Value> {
    let value = near.max(limits.least.unwrap_or(near)).min(limits.most.unwrap_or(near));
    i64::try_from(value).ok().map(Value::from)
}

fn text(text: &Text, plain: &str) -> Value {
    match (text.format.as_deref(), text.pattern.as_deref()) {
        (Some("date-time"), _) => "2011-03-04T05:06:07Z".into(),
        (Some("date"), _) => "2011-03-04".into(),
        // A pattern says more than can be read from it: these are tried, and what doesn't fit is refused.
        (_, Some(pattern)) if pattern.contains(r"\d") => "7.5".into(),
        (_, Some(_)) => "ABC".into(),
        _ => {
            let most = text.length.most.and_then(|it| usize::try_from(it).ok()).unwrap_or(usize::MAX);
            plain.chars().take(most).collect::<String>().into()
        }
    }
}

/// Values of a shape that are not this one. Some may be refused by who knows more than the shape does.
pub(super) fn others(shape: &Shape, present: &Value) -> Vec<Value> {
    let mut others = match &shape.form {
        Form::Any | Form::Constant(_) | Form::Object(_) => Vec::new(),
        Form::Boolean => vec![(present != &Value::Bool(true)).into()],
        Form::Integer { limits, .. } => {
            let value = i128::from(present.as_i64().unwrap_or(7));
            [value + 1, value - 1, value + 1_000].into_iter().filter_map(|it| whole(*limits, it)).collect()
        }
        Form::Number { .. } => vec![json!(present.as_f64().unwrap_or_default() + 1.25)],
        Form::Text(form) => texts(form, present.as_str().unwrap_or_default()),
        Form::Choice { values, open } => {
            let unknown = open.then(|| "something-else".to_owned());
            values.keys().cloned().chain(unknown).map(Value::from).collect()
        }
        Form::List { .. } => lists(present.as_array().map(Vec::as_slice).unwrap_or_default()),
        Form::Map(values) => {
            sample(values).map(|it| object([("another".to_owned(), it)])).into_iter().collect()
        }
    };
    if shape.nullable {
        others.push(Value::Null);
    }
    others.retain(|other| other != present);
    others
}

fn texts(form: &Text, present: &str) -> Vec<Value> {
    match form.format.as_deref() {
        // Another second, another month, another year.
        Some("date-time") => {
            return ["2012-07-19T13:14:15Z", "2013-08-20T14:15:16Z"].map(Value::from).to_vec();
        }
        Some("date") => return ["2012-07-19", "2013-08-20"].map(Value::from).to_vec(),
        _ => {}
    }
    if present.parse::<f64>().is_ok() {
        return ["7.5", "8", "77"].map(Value::from).to_vec();
    }
    let turned = |letter: char| match letter {
        'A'..='Y' | 'a'..='y' => char::from_u32(u32::from(letter) + 1).unwrap_or(letter),
        'Z' => 'A',
        'z' => 'a',
        other => other,
    };
    vec![
        present.chars().map(turned).collect::<String>().into(),
        format!("{present}7").into(),
        "Something else".into(),
    ]
}

/// Fewer items, and more.
fn lists(present: &[Value]) -> Vec<Value> {
    let mut lists = vec![Value::Array(Vec::new())];
    if let [_, rest @ ..] = present {
        lists.push(rest.to_vec().into());
    }
    if let Some(last) = present.last() {
        lists.push(present.iter().chain([last]).cloned().collect());
    }
    lists
}
