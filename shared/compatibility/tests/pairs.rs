//! Each rule with a change that breaks it, and a near twin that doesn't.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use compatibility::{Contracts, Direction, Finding, Rule, Severity, check, rules};
use contracts::published;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const EVENT: &str = "OrderPlaced";
const COMMAND: &str = "RepriceProduct";

type Files = BTreeMap<String, String>;

/// Some of today's contracts of the suite, with a schema changed.
fn files(name: &str, change: impl FnOnce(&mut Value)) -> Files {
    const SOME: [&str; 3] = [EVENT, "OrderCancelled", COMMAND];
    let some = published::all().into_iter().filter(|it| SOME.contains(&it.name));
    written(some.collect(), name, change)
}

fn written(contracts: Vec<published::Contract>, name: &str, change: impl FnOnce(&mut Value)) -> Files {
    let mut change = Some(change);
    let mut files = Files::new();
    for contract in contracts {
        let mut schema = (contract.schema)();
        if contract.name == name
            && let Some(change) = change.take()
        {
            change(&mut schema);
        }
        let path = format!("{}/{}/v{}", contract.domain, contract.name, contract.major);
        files.insert(format!("{path}.schema.json"), schema.to_string());
        files.insert(format!("{path}.example.json"), (contract.example)().to_string());
    }
    files
}

fn compared(before: Files, after: Files) -> Vec<Finding> {
    let read = |files| Contracts::read(files).unwrap();
    check(&read(after), &[("before".to_owned(), read(before))])
}

/// What is found when a contract of the suite changes.
fn changed(name: &str, change: impl FnOnce(&mut Value)) -> Vec<Finding> {
    compared(files(name, |_| {}), files(name, change))
}

/// What is found between two forms of a definition of one contract.
fn between(name: &str, before: impl FnOnce(&mut Value), after: impl FnOnce(&mut Value)) -> Vec<Finding> {
    compared(files(name, before), files(name, after))
}

fn order(schema: &mut Value) -> &mut Value {
    &mut schema["$defs"]["Order"]
}

fn line(schema: &mut Value) -> &mut Value {
    &mut schema["$defs"]["Line"]
}

fn require(object: &mut Value, name: &str) {
    object["required"].as_array_mut().unwrap().push(name.into());
}

fn release(object: &mut Value, name: &str) {
    object["required"].as_array_mut().unwrap().retain(|it| it != name);
}

fn remove(object: &mut Value, name: &str) {
    object["properties"].as_object_mut().unwrap().remove(name).unwrap();
    release(object, name);
}

fn text(doc: &str) -> Value {
    json!({ "type": "string", "description": doc })
}

struct Pair {
    rule: Rule,
    path: &'static str,
    severity: Severity,
    breaks: Vec<Finding>,
    twin: Vec<Finding>,
}

fn pair(
    rule: Rule,
    path: &'static str,
    severity: Severity,
    breaks: Vec<Finding>,
    twin: Vec<Finding>,
) -> Pair {
    Pair { rule, path, severity, breaks, twin }
}

use Severity::{Error, Note, Warning};

#[expect(clippy::too_many_lines, reason = "a table")]
fn pairs() -> Vec<Pair> {
    let open = |schema: &mut Value| schema["$defs"]["Status"]["anyOf"].as_array_mut().unwrap().truncate(2);
    vec![
        pair(
            Rule::FieldRemoved,
            "data.lines",
            Error,
            changed(EVENT, |it| remove(order(it), "lines")),
            // A command's new senders go without a field that its decider no longer asks for.
            changed(EVENT, |it| {
                order(it)["properties"]["lines"]["items"] = json!({ "$ref": "#/$defs/Line" });
            }),
        ),
        pair(
            Rule::OptionalFieldRemoved,
            "data.customerId",
            Warning,
            changed(EVENT, |it| remove(order(it), "customerId")),
            changed(EVENT, |it| order(it)["properties"]["giftNote"] = text("What to write on the card.")),
        ),
        pair(
            Rule::FieldRequired,
            "data.channel",
            Error,
            changed(EVENT, |it| {
                order(it)["properties"]["channel"] = text("Where it was placed.");
                require(order(it), "channel");
            }),
            changed(EVENT, |it| order(it)["properties"]["channel"] = text("Where it was placed.")),
        ),
        pair(
            Rule::FieldOptional,
            "data.country",
            Error,
            changed(EVENT, |it| release(order(it), "country")),
            changed(EVENT, |it| order(it)["properties"]["country"]["title"] = "Country".into()),
        ),
        pair(
            Rule::TypeChanged,
            "data.lines[].quantity",
            Error,
            changed(EVENT, |it| line(it)["properties"]["quantity"]["type"] = "string".into())
                .into_iter()
                .chain(changed(EVENT, |it| {
                    line(it)["properties"]["quantity"] =
                        text("How many pieces, at least 1; of a credit note, how many came back.");
                }))
                .collect(),
            changed(EVENT, |it| {
                let inlined = it["$defs"]["LineKind"].clone();
                line(it)["properties"]["kind"] = inlined;
            }),
        ),
        pair(
            Rule::FormatChanged,
            "data.placedAt",
            Error,
            changed(EVENT, |it| order(it)["properties"]["placedAt"]["format"] = "date".into()),
            changed(EVENT, |it| {
                order(it)["properties"]["paidAt"] =
                    json!({ "type": "string", "format": "date-time", "description": "When it was paid." });
            }),
        ),
        pair(
            Rule::NullAllowed,
            "data.country",
            Error,
            changed(EVENT, |it| order(it)["properties"]["country"]["type"] = json!(["string", "null"])),
            changed(EVENT, |it| {
                order(it)["properties"]["note"] =
                    json!({ "type": ["string", "null"], "description": "A note." });
            }),
        ),
        pair(
            Rule::NullForbidden,
            "data.customerId",
            Error,
            changed(EVENT, |it| order(it)["properties"]["customerId"]["type"] = "string".into()),
            changed(EVENT, |it| order(it)["properties"]["customerId"]["type"] = json!(["null", "string"])),
        ),
        pair(
            Rule::WidthChanged,
            "data.lines[].position",
            Error,
            changed(EVENT, |it| line(it)["properties"]["position"]["format"] = "uint16".into()),
            // A wider type whose values stay within what the earlier one holds.
            changed(EVENT, |it| line(it)["properties"]["position"]["format"] = "uint64".into()),
        ),
        pair(
            Rule::ConstantChanged,
            "major",
            Error,
            changed(EVENT, |it| it["properties"]["major"]["const"] = 2.into()),
            changed(EVENT, |it| it["properties"]["major"]["format"] = "uint32".into()),
        ),
        pair(
            Rule::PatternChanged,
            "data.currency",
            Error,
            changed(EVENT, |it| order(it)["properties"]["currency"]["pattern"] = "^[a-z]{3}$".into()),
            changed(EVENT, |it| {
                order(it)["properties"]["code"] =
                    json!({ "type": "string", "pattern": "^[a-z]{3}$", "description": "A code." });
            }),
        ),
        pair(
            Rule::EnumValueRemoved,
            "data.status",
            Error,
            changed(EVENT, |it| _ = it["$defs"]["Status"]["anyOf"].as_array_mut().unwrap().remove(1)),
            changed(EVENT, |it| it["$defs"]["Status"]["anyOf"].as_array_mut().unwrap().swap(0, 1)),
        ),
        pair(
            Rule::EnumValueAdded,
            "data.status",
            Error,
            between(EVENT, open, |it| {
                open(it);
                it["$defs"]["Status"]["anyOf"]
                    .as_array_mut()
                    .unwrap()
                    .push(json!({ "type": "string", "const": "held" }));
            }),
            changed(EVENT, |it| {
                it["$defs"]["Status"]["anyOf"]
                    .as_array_mut()
                    .unwrap()
                    .push(json!({ "type": "string", "const": "held" }));
            }),
        ),
        pair(Rule::EnumClosed, "data.status", Error, changed(EVENT, open), between(EVENT, open, |_| {})),
        pair(
            Rule::ChoiceLoosened,
            "data.status",
            Warning,
            changed(EVENT, |it| it["$defs"]["Status"] = text("How it stands.")),
            changed(EVENT, |it| it["$defs"]["Status"]["title"] = "Status".into()),
        ),
        pair(
            Rule::LimitWidened,
            "data.lines[].title",
            Warning,
            changed(EVENT, |it| line(it)["properties"]["title"]["maxLength"] = 300.into()),
            changed(EVENT, |it| {
                line(it)["properties"]["subtitle"] =
                    json!({ "type": "string", "maxLength": 300, "description": "Below the title." });
            }),
        ),
        pair(
            Rule::LimitNarrowed,
            "data.lines[].title",
            Warning,
            changed(EVENT, |it| line(it)["properties"]["title"]["maxLength"] = 100.into()),
            changed(EVENT, |it| line(it)["properties"]["title"]["maxLength"] = json!(200.0)),
        ),
        pair(
            Rule::DefaultChanged,
            "index",
            Warning,
            changed(EVENT, |it| it["properties"]["index"]["default"] = 1.into()),
            changed(EVENT, |it| {
                order(it)["properties"]["parcels"] =
                    json!({ "type": "integer", "format": "uint8", "default": 1, "description": "Parcels." });
            }),
        ),
        pair(
            Rule::UnitChanged,
            "data.lines[].unitPrice",
            Warning,
            between(
                EVENT,
                |it| {
                    line(it)["properties"]["unitPrice"]["description"] =
                        "The exact price of one, in pounds.".into();
                },
                |it| {
                    line(it)["properties"]["unitPrice"]["description"] =
                        "The exact price of one, in pence.".into();
                },
            ),
            changed(EVENT, |it| {
                line(it)["properties"]["unitPrice"]["description"] =
                    "The price of one in the order's currency: exact, a decimal string.".into();
            }),
        ),
        pair(
            Rule::DescriptionRemoved,
            "data.country",
            Warning,
            changed(EVENT, |it| {
                _ = order(it)["properties"]["country"].as_object_mut().unwrap().remove("description");
            }),
            changed(EVENT, |it| {
                order(it)["properties"]["country"]["description"] =
                    "The name in English of the\ncountry that it goes to.".into();
            }),
        ),
        pair(
            Rule::DescriptionMissing,
            "data.note",
            Warning,
            changed(EVENT, |it| order(it)["properties"]["note"] = json!({ "type": "string" })),
            changed(EVENT, |it| order(it)["properties"]["note"] = text("A note.")),
        ),
        pair(
            Rule::DescriptionChanged,
            "data.country",
            Note,
            changed(EVENT, |it| order(it)["properties"]["country"]["description"] = "Where it goes.".into()),
            changed(EVENT, |it| it["title"] = "An order was placed".into()),
        ),
        pair(
            Rule::KindChanged,
            "",
            Error,
            {
                let mut after = files(EVENT, |_| {});
                let example = after.get_mut("orders/OrderPlaced/v1.example.json").unwrap();
                *example = example.replace("\"State\"", "\"Delta\"");
                compared(files(EVENT, |_| {}), after)
            },
            {
                let mut after = files(EVENT, |_| {});
                let example = after.get_mut("orders/OrderPlaced/v1.example.json").unwrap();
                *example = example.replace("United Kingdom", "France");
                compared(files(EVENT, |_| {}), after)
            },
        ),
        pair(
            Rule::ContractRemoved,
            "",
            Error,
            {
                let mut after = files(EVENT, |_| {});
                after.retain(|path, _| !path.starts_with("orders/OrderPlaced/"));
                compared(files(EVENT, |_| {}), after)
            },
            {
                // Retired: whoever did it said why.
                let mut after = files(EVENT, |_| {});
                after.retain(|path, _| !path.starts_with("orders/OrderPlaced/"));
                after.insert(
                    "orders/OrderPlaced/v1.retired.json".into(),
                    json!({ "why": "v2 is read by all" }).to_string(),
                );
                compared(files(EVENT, |_| {}), after)
            },
        ),
        pair(
            Rule::RetiredInUse,
            "",
            Error,
            {
                let mut after = files(EVENT, |_| {});
                after.insert(
                    "orders/OrderPlaced/v1.retired.json".into(),
                    json!({ "why": "too early" }).to_string(),
                );
                compared(files(EVENT, |_| {}), after)
            },
            {
                // A second major version beside the first.
                let mut after = files(EVENT, |_| {});
                for what in ["schema", "example"] {
                    let first = after[&format!("orders/OrderPlaced/v1.{what}.json")]
                        .replace("\"const\":1", "\"const\":2");
                    after.insert(format!("orders/OrderPlaced/v2.{what}.json"), first);
                }
                compared(files(EVENT, |_| {}), after)
            },
        ),
        pair(
            Rule::ReleaseChanged,
            "",
            Error,
            {
                let mut before = files(EVENT, |_| {});
                before.extend(Contracts::read(before.clone()).unwrap().release());
                let mut after = before.clone();
                let example = after.get_mut("orders/OrderPlaced/released/v1.0.example.json").unwrap();
                *example = example.replace("United Kingdom", "France");
                compared(before, after)
            },
            {
                let before = files(EVENT, |_| {});
                let mut after = before.clone();
                after.extend(Contracts::read(before.clone()).unwrap().release());
                compared(before, after)
            },
        ),
        pair(
            Rule::OutsideSubset,
            "data",
            Error,
            changed(EVENT, |it| order(it)["additionalProperties"] = false.into()),
            changed(EVENT, |it| _ = order(it).as_object_mut().unwrap().remove("additionalProperties")),
        ),
    ]
}

#[test]
fn each_rule_finds_its_break_and_lets_the_near_twin_pass() {
    for Pair { rule, path, severity, breaks, twin } in pairs() {
        let found = breaks.iter().find(|it| it.rule == rule);
        let found = found.unwrap_or_else(|| panic!("{rule} was not found among {breaks:#?}"));
        assert_eq!((found.path.as_str(), found.severity), (path, severity), "{found}");
        assert_eq!(found.contract.to_string(), "orders.OrderPlaced v1");
        assert!(!found.what.is_empty() && !found.why.is_empty() && !found.advice.is_empty(), "{found}");
        let graver: Vec<&Finding> = twin.iter().filter(|it| it.severity != Severity::Note).collect();
        assert!(graver.is_empty(), "the twin of {rule}: {graver:#?}");
        assert!(twin.iter().all(|it| it.rule != rule), "the twin of {rule}: {twin:#?}");
    }
}

#[test]
fn every_rule_has_its_pair() {
    let paired: BTreeSet<Rule> = pairs().into_iter().map(|pair| pair.rule).collect();
    let without: Vec<&Rule> = rules::ALL.iter().filter(|rule| !paired.contains(rule)).collect();
    assert!(without.is_empty(), "no pair for {without:?}");
    let ids: BTreeSet<&str> = rules::ALL.iter().map(|rule| rule.id()).collect();
    assert_eq!(ids.len(), rules::ALL.len());
    assert!(rules::ALL.iter().all(|rule| Rule::named(rule.id()) == Some(*rule)));
}

#[test]
fn a_command_is_read_by_its_decider_who_is_deployed_first() {
    let data = |it: &mut Value| it["$defs"]["RepriceProduct"].take();
    let with = |change: fn(&mut Value)| {
        changed(COMMAND, move |it| {
            let mut own = data(it);
            change(&mut own);
            it["$defs"]["RepriceProduct"] = own;
        })
    };
    let narrower = with(|it| it["properties"]["sku"]["maxLength"] = 32.into());
    assert_eq!((narrower[0].rule, narrower[0].severity), (Rule::LimitNarrowed, Error), "{}", narrower[0]);
    assert!(narrower[0].why.contains("refused"), "{}", narrower[0]);
    let wider = with(|it| it["properties"]["sku"]["maxLength"] = 128.into());
    assert_eq!((wider[0].rule, wider[0].severity), (Rule::LimitWidened, Warning), "{}", wider[0]);
    assert!(wider[0].advice.contains("deploy `pricing`"), "{}", wider[0]);
    let gone = with(|it| remove(it, "market"));
    assert_eq!((gone[0].rule, gone[0].severity), (Rule::FieldRemoved, Warning), "{}", gone[0]);
    let asked = with(|it| {
        it["properties"]["reason"] = text("Why.");
        require(it, "reason");
    });
    assert_eq!((asked[0].rule, asked[0].severity), (Rule::FieldRequired, Error), "{}", asked[0]);
    let retyped = with(|it| {
        it["properties"]["market"] =
            json!({ "type": "boolean", "description": "ISO 3166 code of the market's country." });
    });
    assert_eq!((retyped[0].rule, retyped[0].severity), (Rule::TypeChanged, Error), "{}", retyped[0]);
}

/// A field that was optional, left, and came back as something else: no two versions that follow one another clash.
#[test]
fn all_released_versions_count_not_the_last_alone() {
    let with = |field: Option<Value>| {
        files(EVENT, |it| {
            if let Some(field) = field {
                order(it)["properties"]["weight"] = field;
            }
        })
    };
    let grams = json!({ "type": "integer", "format": "uint32", "description": "In grams." });
    let named = json!({ "type": "string", "description": "Heavy or light." });
    let mut first = with(Some(grams));
    first.extend(Contracts::read(first.clone()).unwrap().release());
    let released: Files = first.into_iter().filter(|(path, _)| path.contains("/released/")).collect();
    let mut second = with(None);
    second.extend(released.clone());
    second.extend(Contracts::read(second.clone()).unwrap().release());
    assert!(second.contains_key("orders/OrderPlaced/released/v1.1.schema.json"));
    assert!(!second.contains_key("orders/OrderCancelled/released/v1.1.schema.json"), "it did not change");
    let released: Files = second
        .iter()
        .filter(|(path, _)| path.contains("/released/"))
        .map(|(path, text)| (path.clone(), text.clone()))
        .collect();
    let mut third = with(Some(named));
    let alone = compared(
        second
            .iter()
            .filter(|(path, _)| !path.contains("/released/"))
            .map(|(path, text)| (path.clone(), text.clone()))
            .collect(),
        third.clone(),
    );
    assert!(alone.is_empty(), "the last version alone: {alone:#?}");
    third.extend(released);
    let all = compared(second, third);
    assert_eq!(all.len(), 1, "{all:#?}");
    assert_eq!((all[0].rule, all[0].against.as_slice()), (Rule::TypeChanged, ["v1.0".to_owned()].as_slice()));
    assert_eq!(all[0].direction, Some(Direction::Neither));
}

#[test]
fn what_reads_like_a_rename_is_told_as_one() {
    let found = changed(EVENT, |it| {
        let was = order(it)["properties"]["country"].clone();
        remove(order(it), "country");
        order(it)["properties"]["destination"] = was;
        require(order(it), "destination");
    });
    let gone = found.iter().find(|it| it.rule == Rule::FieldRemoved).unwrap();
    assert!(gone.what.contains("did it become `destination`?"), "{gone}");
}

#[test]
fn every_contract_of_the_suite_is_in_the_subset_and_fits_itself() {
    let all = || written(published::all(), EVENT, |_| {});
    let found = compared(all(), all());
    assert!(found.is_empty(), "{found:#?}");
    let contracts = Contracts::read(all()).unwrap();
    assert_eq!(contracts.all.len(), published::all().len());
}

#[test]
fn what_is_outside_the_subset_is_refused_with_its_place_and_what_to_do() {
    let cases: [(&str, Value, &str); 7] = [
        ("data.country", json!({ "type": ["string", "integer"] }), "one of several types"),
        ("data.country", json!({ "type": "string", "not": { "const": "x" } }), "`not`"),
        ("data.country", json!({ "oneOf": [{ "type": "object" }, { "type": "string" }] }), "more than texts"),
        ("data.country", json!({ "$ref": "#/$defs/Nowhere" }), "isn't here"),
        (
            "data.lines[]",
            json!({ "type": "array", "items": { "$ref": "#/$defs/Order" } }),
            "refers to itself",
        ),
        ("data.country", json!({ "type": "integer", "format": "uint128" }), "uint128"),
        ("data.country", json!(false), "takes anything"),
    ];
    for (place, schema, what) in cases {
        let field = if place == "data.lines[]" { "lines" } else { "country" };
        let found = changed(EVENT, |it| order(it)["properties"][field] = schema);
        assert_eq!(found.len(), 1, "{found:#?}");
        assert_eq!((found[0].rule, found[0].path.as_str()), (Rule::OutsideSubset, place), "{}", found[0]);
        assert!(found[0].what.contains(what), "{}", found[0]);
    }
}

#[test]
fn a_folder_that_holds_something_else_is_refused_with_the_file() {
    let read = |path: &str, text: &str| {
        let mut files = files(EVENT, |_| {});
        files.insert(path.to_owned(), text.to_owned());
        Contracts::read(files).unwrap_err().to_string()
    };
    assert!(
        read("orders/OrderPlaced/notes.txt", "x")
            .starts_with("orders/OrderPlaced/notes.txt is no contract's")
    );
    assert!(read("orders/OrderPlaced/v2.schema.json", "{}").contains("v2.example.json is missing"));
    assert!(read("orders/OrderPlaced/v1.schema.json", "{").contains("is not JSON"));
    assert_eq!(Contracts::read(Files::new()).unwrap_err().to_string(), "there are no contracts in it");
    // What stands beside the domains is about all of them.
    let mut with_page = files(EVENT, |_| {});
    with_page.insert("README.md".into(), "# Events".into());
    assert!(Contracts::read(with_page).is_ok());
}
