//! The committed contracts are those of the code.

use contracts::published::{self, Contract};
use contracts::{Command as _, Version, envelope};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::path::PathBuf;

fn folder(contract: &Contract) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../events").join(contract.domain).join(contract.name)
}

fn files(contract: &Contract) -> [(PathBuf, Value); 2] {
    let file = |what: &str| folder(contract).join(format!("v{}.{what}.json", contract.major));
    [(file("schema"), (contract.schema)()), (file("example"), (contract.example)())]
}

#[test]
fn committed_files_are_what_the_code_says() {
    let update = std::env::var_os("UPDATE_CONTRACTS").is_some();
    let mut stale = Vec::new();
    for (path, value) in published::all().iter().flat_map(files) {
        let text = serde_json::to_string_pretty(&value).unwrap() + "\n";
        if std::fs::read_to_string(&path).ok().as_deref() == Some(text.as_str()) {
            continue;
        }
        if update {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, text).unwrap();
        } else {
            stale.push(path);
        }
    }
    assert!(
        stale.is_empty(),
        "not what the code says, run `UPDATE_CONTRACTS=1 cargo test -p contracts` and review: {stale:#?}"
    );
}

#[test]
fn every_committed_file_belongs_to_a_contract() {
    let known: Vec<PathBuf> = published::all().iter().flat_map(files).map(|(path, _)| path).collect();
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../events");
    for domain in
        std::fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir())
    {
        for name in std::fs::read_dir(domain).unwrap() {
            for file in std::fs::read_dir(name.unwrap().path()).unwrap() {
                let file = file.unwrap().path();
                // What was released stays when the code changes; what is retired says so.
                let lasting = file.ends_with("released") || file.to_string_lossy().ends_with(".retired.json");
                assert!(lasting || known.contains(&file), "{} belongs to no contract", file.display());
            }
        }
    }
}

#[test]
fn every_example_is_valid_under_its_schema_and_survives_a_round_trip() {
    for contract in published::all() {
        let schema = jsonschema::validator_for(&(contract.schema)()).unwrap();
        let example = (contract.example)();
        let errors: Vec<String> = schema.iter_errors(&example).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{}: {errors:?}", contract.name);
        assert_eq!((contract.round_trip)(&example.to_string()).unwrap(), example, "{}", contract.name);
    }
}

#[test]
fn schemas_reject_what_is_not_the_contract() {
    for contract in published::all() {
        let schema = jsonschema::validator_for(&(contract.schema)()).unwrap();
        for field in ["id", "data", "version", "subject", "major"] {
            let mut message = (contract.example)();
            message.as_object_mut().unwrap().remove(field);
            if contract.kind.is_none() && field == "version" {
                continue;
            }
            assert!(!schema.is_valid(&message), "{} without {field}", contract.name);
        }
        let mut message = (contract.example)();
        message["type"] = "SomethingElse".into();
        assert!(!schema.is_valid(&message), "{} under another name", contract.name);
    }
}

#[test]
fn what_a_later_build_adds_survives_a_round_trip() {
    for contract in published::all() {
        let mut message = (contract.example)();
        message["shard"] = json!({ "added": ["later", 1] });
        if contract.kind.is_some() {
            message["data"]["addedLater"] = json!([null, 1.5, "x"]);
        }
        assert_eq!((contract.round_trip)(&message.to_string()).unwrap(), message, "{}", contract.name);
    }
    let orders = published::all().into_iter().find(|contract| contract.name == "OrderPlaced").unwrap();
    let mut message = (orders.example)();
    message["data"]["status"] = "held".into();
    message["data"]["lines"][0]["kind"] = "voucher".into();
    message["data"]["lines"][0]["engraving"] = "To Ann".into();
    assert_eq!((orders.round_trip)(&message.to_string()).unwrap(), message);
}

/// The schemas of an object's fields, with the path of each; references are followed.
fn fields<'a>(root: &'a Value, schema: &'a Value, path: &str, found: &mut Vec<(String, &'a Value)>) {
    let schema = match schema["$ref"].as_str() {
        Some(reference) => root.pointer(reference.trim_start_matches('#')).expect("what is referred to"),
        None => schema,
    };
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}/{name}");
        fields(root, field, &path, found);
        fields(root, &field["items"], &format!("{path}/0"), found);
        found.push((path, field));
    }
}

/// Values on both sides of every limit, and some that are nowhere near.
fn probes() -> Vec<Value> {
    let texts = [
        "",
        " ",
        "A",
        "a",
        "ß",
        "AB",
        "ABC",
        "A B",
        " A",
        "A ",
        "A\nB",
        "C",
        "C1",
        "É",
        "\u{2003}A",
        "1",
        "gb",
        "ab@c",
        "a@b@c",
        "@",
        "a b@c",
        "0",
        "-0",
        "-1",
        "0.0001",
        "0.00010",
        "0.00001",
        "1000000",
        "1000000.0",
        "1000000.01",
        "-1000000",
        "-1000000.01",
        "999999.9999",
        "00001000000.000",
        "12345678",
    ];
    let lengths = [2, 3, 64, 65, 200, 201].map(|length| "É".repeat(length));
    let numbers = [i64::MIN, -1_000_001, -1_000_000, -1, 0, 1, 1_000_000, 1_000_001, 4_294_967_295];
    let texts = texts.map(Value::from).into_iter().chain(lengths.map(Value::from));
    texts.chain(numbers.map(Value::from)).collect()
}

#[test]
fn a_command_is_checked_as_its_schema_has_it() {
    for contract in published::all() {
        let Some(check) = contract.check else { continue };
        let schema = (contract.schema)();
        let validator = jsonschema::validator_for(&schema).unwrap();
        let mut example = (contract.example)();
        assert_eq!(check(&example.to_string()).unwrap(), Ok(()), "{}", contract.name);
        if let Some(lines) = example.pointer_mut("/data/lines").and_then(Value::as_array_mut) {
            // One line of a fee may have any position and price that its schema admits.
            lines.truncate(1);
            lines[0]["kind"] = "fee".into();
        }
        let mut found = Vec::new();
        fields(&schema, &schema["properties"]["data"], "/data", &mut found);
        assert!(!found.is_empty(), "{} has no fields", contract.name);
        for (path, field) in found {
            let mut changed: Vec<Value> = probes();
            if let Some(items) = example.pointer(&path).and_then(Value::as_array) {
                let item = |position: u32| {
                    let mut item = items[0].clone();
                    item["position"] = position.into();
                    item
                };
                changed = [0, 1, 1_000, 1_001].map(|count| (1..=count).map(item).collect()).into();
            } else if field.get("$ref").is_none() {
                let limits = ["maxLength", "pattern", "maximum"];
                assert!(limits.iter().any(|limit| field.get(limit).is_some()), "{}{path}", contract.name);
            }
            for value in changed {
                let mut message = example.clone();
                let (parent, name) = path.rsplit_once('/').unwrap();
                message.pointer_mut(parent).unwrap()[name] = value.clone();
                // What isn't of the field's type isn't the command at all, and gets no further.
                let Ok(checked) = check(&message.to_string()) else { continue };
                // An event may have lines of a kind that is new; a command doesn't.
                let valid = validator.is_valid(&message) && !path.ends_with("/lines/0/kind");
                assert_eq!(checked.is_ok(), valid, "{}{path}: {value}", contract.name);
                if let Err(violation) = checked {
                    let field = path.trim_start_matches("/data/").replace("/0/", "[0].").replace('/', ".");
                    assert!(
                        field.starts_with(&violation.path) || violation.path.starts_with(&field),
                        "{violation}"
                    );
                    assert!(violation.code().starts_with("INVALID_"), "{violation}");
                }
            }
        }
    }
}

#[test]
fn a_violation_names_the_field_and_the_limit_and_quotes_nothing() {
    let mut order = contracts::orders::PlaceOrder::example();
    order.lines[1].unit_price = "1000000.5".parse().unwrap();
    let violation = order.check().unwrap_err();
    assert_eq!(violation.code(), "INVALID_UNIT_PRICE");
    assert_eq!(
        violation.to_string(),
        "`lines[1].unitPrice` must be -1000000 to 1000000, with at most 4 decimals"
    );
    order.lines.clear();
    assert_eq!(order.check().unwrap_err().to_string(), "`lines` must have 1 to 1000 items");
}

fn refusal(command: &impl contracts::Command) -> Option<String> {
    command.check().err().map(|violation| violation.to_string())
}

#[test]
fn the_lines_of_a_sale_and_of_a_return_are_checked_together() {
    use contracts::orders::{Line, LineKind, PlaceOrder};
    use contracts::returns::IssueCreditNote;

    let lines = PlaceOrder::example().lines;
    let with = |change: fn(&mut [Line])| {
        let mut lines = [lines.clone(), lines.clone()].concat();
        (1..).zip(&mut lines).for_each(|(position, line)| line.position = position);
        change(&mut lines);
        let sold = refusal(&PlaceOrder { lines: lines.clone(), ..PlaceOrder::example() });
        assert_eq!(refusal(&IssueCreditNote { lines, ..IssueCreditNote::example() }), sold);
        sold
    };
    assert_eq!(with(|_| {}), None);
    let descending = "must be above that of the line before";
    assert_eq!(with(|lines| lines[2].position = 2), Some(format!("`lines[2].position` {descending}")));
    assert_eq!(with(|lines| lines[0].position = 9), Some(format!("`lines[1].position` {descending}")));
    assert_eq!(with(|lines| lines[3].position = 9), None);
    assert_eq!((&lines[0].kind, &lines[1].kind), (&LineKind::Product, &LineKind::Fee));
    assert_eq!(with(|lines| lines[3].unit_price = -lines[3].unit_price), None);
    let below = with(|lines| lines[2].unit_price = -lines[2].unit_price);
    let wanted = "must be 0 to 1000000, with at most 4 decimals";
    assert_eq!(below, Some(format!("`lines[2].unitPrice` {wanted}")));
    let ledger = with(|lines| lines[0].kind = LineKind::Unknown("ledger".into()));
    let wanted = "must be product or fee: an adjustment of a ledger is no sale";
    assert_eq!(ledger, Some(format!("`lines[0].kind` {wanted}")));
}

#[test]
fn names_are_unique() {
    let mut names: Vec<_> = published::all().iter().map(|it| (it.domain, it.name, it.major)).collect();
    names.sort_unstable();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count);
}

proptest! {
    #[test]
    fn an_event_id_depends_on_what_identifies_the_event_and_on_nothing_else(
        subject in ".{0,12}", seq in 1..=Version::MAX_SEQ, index in 0..4_u16,
    ) {
        let version = Version::first_epoch(seq);
        let id = envelope::event_id("orders", &subject, version, index);
        prop_assert_eq!(&id, &envelope::event_id("orders", &subject, version, index));
        prop_assert_ne!(&id, &envelope::event_id("orders", &subject, version, index + 1));
        prop_assert_ne!(&id, &envelope::event_id("orders", &subject, Version { epoch: 1, seq }, index));
        prop_assert_ne!(&id, &envelope::event_id("pricing", &subject, version, index));
    }
}

mod parcel {
    //! An event in three major versions.

    use contracts::{Event, Extra, State, Upcast};
    use schemars::JsonSchema;
    use serde::{Deserialize, Serialize};

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    pub struct SentV1 {
        pub id: String,
        pub grams: u32,
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    pub struct SentV2 {
        pub id: String,
        pub kilograms: f64,
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    pub struct Sent {
        pub id: String,
        pub kilograms: f64,
        /// None where it was sent before anybody asked.
        pub carrier: Option<String>,
        #[serde(flatten)]
        pub extra: Extra,
    }

    macro_rules! sent {
        ($type:ty, $major:literal, $example:expr, $upcasts:expr) => {
            impl Event for $type {
                type Kind = State;
                const DOMAIN: &str = "shipping";
                const NAME: &str = "ParcelSent";
                const MAJOR: u16 = $major;

                fn subject(&self) -> String {
                    self.id.clone()
                }

                fn upcasts() -> Upcast<Self> {
                    $upcasts
                }

                fn example() -> Self {
                    $example
                }
            }
        };
    }

    sent!(SentV1, 1, Self { id: "P1".into(), grams: 250 }, Upcast::none());
    sent!(
        SentV2,
        2,
        Self { id: "P1".into(), kilograms: 0.25 },
        Upcast::from(|it: SentV1| Self { id: it.id, kilograms: f64::from(it.grams) / 1_000.0 })
    );
    sent!(
        Sent,
        3,
        Self { id: "P1".into(), kilograms: 0.25, carrier: Some("Post".into()), extra: Extra::default() },
        Upcast::from(|it: SentV2| Self {
            id: it.id,
            kilograms: it.kilograms,
            carrier: None,
            extra: Extra::default()
        })
    );
}

#[test]
fn each_earlier_major_version_is_read_as_the_newest_through_all_between() {
    use contracts::Event as _;
    use parcel::Sent;
    let upcasts = Sent::upcasts();
    assert_eq!(upcasts.majors().collect::<Vec<_>>(), [1, 2]);
    let first = upcasts.read(1, &json!({ "id": "P7", "grams": 1_500 })).unwrap().unwrap();
    assert_eq!((first.id.as_str(), first.kilograms, first.carrier), ("P7", 1.5, None));
    let second = upcasts.read(2, &json!({ "id": "P8", "kilograms": 2.0 })).unwrap().unwrap();
    assert_eq!((second.id.as_str(), second.kilograms), ("P8", 2.0));
    assert!(upcasts.read(3, &json!({})).is_none() && upcasts.read(4, &json!({})).is_none());
    let wrong = upcasts.read(1, &json!({ "id": "P7" })).unwrap().unwrap_err();
    assert_eq!(wrong.to_string(), "missing field `grams`");
}
