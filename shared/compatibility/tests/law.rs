//! What the verdict promises, tried on generated schemas and messages, by a JSON Schema validator that isn't ours.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use compatibility::{Category, Contracts, Direction, Finding, Form, Rule, Severity, Shape, check};
use jsonschema::Validator;
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// How many messages of each version are tried.
const MESSAGES: u64 = 60;

/// What the fields are called.
const NAMES: [&str; 5] = ["amount", "sku", "status", "at", "lines"];

fn leaf() -> impl Strategy<Value = Value> {
    let choice = |open: bool, count: usize| {
        let mut values: Vec<Value> = ["red", "green", "blue"][..count]
            .iter()
            .map(|it| json!({ "type": "string", "const": it }))
            .collect();
        if open {
            values.push(json!({ "type": "string" }));
        }
        json!({ "anyOf": values })
    };
    prop_oneof![
        Just(json!({ "type": "string" })),
        (1..9_u64).prop_map(|most| json!({ "type": "string", "maxLength": most })),
        Just(json!({ "type": "string", "format": "date-time" })),
        Just(json!({ "type": "string", "format": "date" })),
        Just(json!({ "type": "boolean" })),
        Just(json!({ "type": "number" })),
        prop::sample::select(vec!["uint8", "uint16", "int32", "uint64"])
            .prop_map(|format| json!({ "type": "integer", "format": format })),
        (0..100_i64, 100..300_i64).prop_map(
            |(least, most)| json!({ "type": "integer", "format": "int64", "minimum": least, "maximum": most })
        ),
        (any::<bool>(), 1..=3_usize).prop_map(move |(open, count)| choice(open, count)),
    ]
}

/// An object whose fields are leaves, lists of leaves, or objects.
fn object(depth: u32) -> BoxedStrategy<Value> {
    let field = if depth == 0 {
        leaf().boxed()
    } else {
        let list = (leaf(), 0..3_u64)
            .prop_map(|(items, least)| json!({ "type": "array", "items": items, "minItems": least }));
        prop_oneof![4 => leaf(), 1 => list, 2 => object(depth - 1)].boxed()
    };
    let field = (field, any::<bool>(), prop::bool::weighted(0.2));
    prop::collection::btree_map(prop::sample::select(NAMES.to_vec()), field, 1..=4)
        .prop_map(|fields| {
            let mut object = json!({ "type": "object", "properties": {}, "required": [] });
            for (name, (mut schema, required, nullable)) in fields {
                if let Some(kind) =
                    schema.get("type").and_then(Value::as_str).filter(|_| nullable).map(str::to_owned)
                {
                    schema["type"] = json!([kind, "null"]);
                }
                object["properties"][name] = schema;
                if required {
                    object["required"].as_array_mut().unwrap().push(name.into());
                }
            }
            object
        })
        .boxed()
}

#[derive(Clone, Debug)]
enum Change {
    Remove(prop::sample::Index),
    Put(&'static str, Value, bool),
    Require(prop::sample::Index),
    Release(prop::sample::Index),
    Null(prop::sample::Index),
}

fn change() -> impl Strategy<Value = Change> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        index().prop_map(Change::Remove),
        (prop::sample::select(NAMES.to_vec()), leaf(), any::<bool>())
            .prop_map(|(name, leaf, required)| Change::Put(name, leaf, required)),
        index().prop_map(Change::Require),
        index().prop_map(Change::Release),
        index().prop_map(Change::Null),
    ]
}

fn apply(object: &mut Value, change: &Change) {
    let names: Vec<String> = object["properties"].as_object().unwrap().keys().cloned().collect();
    let pick = |index: &prop::sample::Index| index.get(&names).clone();
    let free =
        |object: &mut Value, name: &str| object["required"].as_array_mut().unwrap().retain(|it| it != name);
    match change {
        Change::Remove(index) if names.len() > 1 => {
            let name = pick(index);
            object["properties"].as_object_mut().unwrap().remove(&name);
            free(object, &name);
        }
        Change::Remove(_) => {}
        Change::Put(name, schema, required) => {
            object["properties"][*name] = schema.clone();
            free(object, name);
            if *required {
                object["required"].as_array_mut().unwrap().push((*name).into());
            }
        }
        Change::Require(index) => {
            let name = pick(index);
            free(object, &name);
            object["required"].as_array_mut().unwrap().push(name.into());
        }
        Change::Release(index) => free(object, &pick(index)),
        Change::Null(index) => {
            let field = object["properties"][pick(index)].get_mut("type");
            let Some(field) = field else { return };
            match field.clone() {
                Value::String(kind) => *field = json!([kind, "null"]),
                Value::Array(kinds) => *field = kinds[0].clone(),
                _ => {}
            }
        }
    }
}

fn event(data: &Value) -> Value {
    json!({ "type": "object", "properties": { "kind": { "const": "State" }, "data": data }, "required": ["kind", "data"] })
}

fn findings(before: &Value, after: &Value) -> Vec<Finding> {
    let read = |data: &Value| {
        let files = [("schema", event(data)), ("example", json!({ "kind": "State" }))];
        let files = files.map(|(what, value)| (format!("shop/Changed/v1.{what}.json"), value.to_string()));
        Contracts::read(BTreeMap::from(files)).unwrap()
    };
    check(&read(after), &[("before".to_owned(), read(before))])
}

/// Numbers that follow from a seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % sides
    }
}

/// A message as who has this schema writes it: known fields, known values, within the limits.
fn written(shape: &Shape, dice: &mut Dice) -> Value {
    if shape.nullable && dice.below(3) == 0 {
        return Value::Null;
    }
    match &shape.form {
        Form::Boolean => (dice.below(2) == 0).into(),
        Form::Integer { limits, .. } => {
            let (least, most) = (limits.least.unwrap(), limits.most.unwrap());
            let value = match dice.below(3) {
                0 => least,
                1 => most,
                _ => least + i128::try_from(dice.below(1_000)).unwrap() % (most - least + 1),
            };
            i64::try_from(value).map_or_else(|_| json!(u64::try_from(value).unwrap()), |value| json!(value))
        }
        Form::Number { .. } => json!([0.5, 7.25, -3.0][dice.below(3)]),
        Form::Text(text) => match text.format.as_deref() {
            Some("date-time") => {
                ["2011-01-04T10:30:00Z", "2026-12-31T23:59:59.5+01:00"][dice.below(2)].into()
            }
            Some("date") => "2011-01-04".into(),
            _ => "x".repeat(dice.below(1 + usize::try_from(text.length.most.unwrap_or(12)).unwrap())).into(),
        },
        Form::Choice { values, .. } => values.keys().nth(dice.below(values.len())).unwrap().as_str().into(),
        Form::List { items, count } => {
            let least = usize::try_from(count.least.unwrap_or(0)).unwrap();
            (0..least + 1 + dice.below(2)).map(|_| written(items, dice)).collect()
        }
        Form::Object(fields) => {
            let mut object = Map::new();
            for (name, field) in fields {
                if field.required || dice.below(3) > 0 {
                    object.insert(name.clone(), written(&field.shape, dice));
                }
            }
            object.into()
        }
        Form::Constant(value) => value.clone(),
        Form::Any | Form::Map(_) => panic!("not generated"),
    }
}

/// A schema as a consumer's decoder has it: a type, and whether the field must be there; no limits but what a type holds.
fn decoder(schema: &Value) -> Value {
    match schema {
        Value::Object(keywords) => {
            let mut kept = Map::new();
            for (keyword, value) in keywords {
                if keyword == "properties" {
                    let fields = value.as_object().unwrap();
                    kept.insert(
                        keyword.clone(),
                        fields.iter().map(|(name, it)| (name.clone(), decoder(it))).collect(),
                    );
                } else if !["minimum", "maximum", "minItems", "maxItems", "maxLength"]
                    .contains(&keyword.as_str())
                {
                    kept.insert(keyword.clone(), decoder(value));
                }
            }
            let held = match keywords.get("format").and_then(Value::as_str) {
                Some("uint8") => Some((0, i128::from(u8::MAX))),
                Some("uint16") => Some((0, i128::from(u16::MAX))),
                Some("int32") => Some((i128::from(i32::MIN), i128::from(i32::MAX))),
                Some("int64") => Some((i128::from(i64::MIN), i128::from(i64::MAX))),
                Some("uint64") => Some((0, i128::from(u64::MAX))),
                _ => None,
            };
            if let Some((least, most)) = held {
                kept.insert("minimum".into(), json!(i64::try_from(least).unwrap()));
                kept.insert(
                    "maximum".into(),
                    u64::try_from(most).map_or_else(|_| json!(most), |most| json!(most)),
                );
            }
            kept.into()
        }
        Value::Array(parts) => parts.iter().map(decoder).collect(),
        other => other.clone(),
    }
}

fn reads(schema: &Value) -> Validator {
    jsonschema::options().should_validate_formats(true).build(&decoder(schema)).unwrap()
}

/// Messages of one schema that a decoder of another can't read.
fn unreadable(writer: &Value, reader: &Value, seed: u64) -> Vec<Value> {
    let (shape, reader) = (Shape::read(writer).unwrap(), reads(reader));
    let mut dice = Dice(seed);
    (0..MESSAGES).map(|_| written(&shape, &mut dice)).filter(|message| !reader.is_valid(message)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn what_is_called_compatible_is_read_both_ways(
        before in object(2), changes in prop::collection::vec(change(), 0..=2), seed in any::<u64>(),
    ) {
        let mut after = before.clone();
        for change in &changes {
            apply(&mut after, change);
        }
        let found = findings(&before, &after);
        let wire = |direction: Direction| {
            found.iter().any(|it| {
                it.severity == Severity::Error
                    && it.category == Category::Wire
                    && (it.direction == Some(direction) || it.direction == Some(Direction::Neither))
            })
        };
        if !wire(Direction::OldReadsNew) {
            let lost = unreadable(&after, &before, seed);
            prop_assert!(lost.is_empty(), "old consumers can't read {lost:?}\n{before}\n{after}\n{found:#?}");
        }
        if !wire(Direction::NewReadsOld) {
            let lost = unreadable(&before, &after, seed);
            prop_assert!(lost.is_empty(), "new code can't read {lost:?}\n{before}\n{after}\n{found:#?}");
        }
    }

    /// No alarm without a message that shows it.
    #[test]
    fn what_is_called_a_break_of_the_wire_has_a_message_that_breaks(
        before in object(0), change in change(), seed in any::<u64>(),
    ) {
        let mut after = before.clone();
        apply(&mut after, &change);
        let found = findings(&before, &after);
        let errors: Vec<&Finding> = found.iter().filter(|it| it.severity == Severity::Error && it.category == Category::Wire).collect();
        // Closing an enum breaks what other builds pass through, which nobody writes here.
        if errors.is_empty() || errors.iter().all(|it| it.rule == Rule::EnumClosed) {
            return Ok(());
        }
        let lost = unreadable(&after, &before, seed).len() + unreadable(&before, &after, seed).len();
        prop_assert!(lost > 0, "every message is read both ways: {errors:#?}\n{before}\n{after}");
    }

    #[test]
    fn nothing_differs_from_itself(data in object(2)) {
        prop_assert_eq!(findings(&data, &data), Vec::new());
    }

    #[test]
    fn a_schema_takes_what_is_written_by_it(data in object(2), seed in any::<u64>()) {
        let validator = jsonschema::options().should_validate_formats(true).build(&data).unwrap();
        let shape = Shape::read(&data).unwrap();
        let mut dice = Dice(seed);
        for _ in 0..MESSAGES {
            let message = written(&shape, &mut dice);
            prop_assert!(validator.is_valid(&message), "{message} under {data}");
        }
    }
}
