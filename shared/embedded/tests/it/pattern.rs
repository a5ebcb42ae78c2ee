//! Event patterns against one event, group by group.

use embedded::events::{Pattern, PatternError};
use serde_json::{Value, json};

fn event() -> Value {
    json!({
        "version": "0",
        "id": "7f4a",
        "detail-type": "PriceChanged",
        "source": "tributary.pricing",
        "account": "000000000000",
        "time": "2026-11-21T10:00:00Z",
        "region": "local",
        "resources": ["arn:one", "arn:two"],
        "detail": {
            "sku": "85123A",
            "market": "Åland",
            "amount": 2.55,
            "whole": 4.0,
            "debt": -3,
            "large": 98_765_432_101_u64,
            "onSale": false,
            "note": null,
            "blank": "",
            "image": "gifts/hearts/white.JPG",
            "from": "192.168.7.9",
            "from6": "fe80::17",
            "tags": ["heart", "light", "Öl"],
            "steps": [1, 20, 300],
            "matrix": [["a"], ["b", ["c"]]],
            "none": [],
            "empty": {},
            "nested": {"inner": {"leaf": "green"}},
            "lines": [{"sku": "A", "count": 1}, {"sku": "B", "count": 12}]
        }
    })
}

/// A condition on `detail`, and whether the event meets it.
const CASES: &[(&str, &str, bool)] = &[
    ("exact", r#"{"sku": ["85123A"]}"#, true),
    ("exact", r#"{"sku": ["85123a"]}"#, false),
    ("exact", r#"{"sku": ["x", "85123A"]}"#, true),
    ("exact", r#"{"amount": [2.55]}"#, true),
    ("exact", r#"{"amount": ["2.55"]}"#, false),
    ("exact", r#"{"whole": [4]}"#, true),
    ("exact", r#"{"debt": [-3.0]}"#, true),
    ("exact", r#"{"onSale": [false]}"#, true),
    ("exact", r#"{"onSale": ["false"]}"#, false),
    ("exact", r#"{"note": [null]}"#, true),
    ("exact", r#"{"blank": [null]}"#, false),
    ("exact", r#"{"absent": [null]}"#, false),
    ("array", r#"{"tags": ["light"]}"#, true),
    ("array", r#"{"tags": ["dark"]}"#, false),
    ("array", r#"{"matrix": ["c"]}"#, true),
    ("array", r#"{"lines": {"sku": ["B"], "count": [12]}}"#, true),
    ("array", r#"{"lines": {"sku": ["A"], "count": [12]}}"#, false),
    ("exists", r#"{"sku": [{"exists": true}]}"#, true),
    ("exists", r#"{"sku": [{"exists": false}]}"#, false),
    ("exists", r#"{"note": [{"exists": true}]}"#, true),
    ("exists", r#"{"none": [{"exists": true}]}"#, false),
    ("exists", r#"{"nested": [{"exists": false}]}"#, true),
    ("exists", r#"{"absent": {"deeper": [{"exists": false}]}}"#, true),
    ("exists", r#"{"absent": {"deeper": [{"exists": true}]}}"#, false),
    ("prefix", r#"{"sku": [{"prefix": "851"}]}"#, true),
    ("prefix", r#"{"sku": [{"prefix": "951"}]}"#, false),
    ("prefix", r#"{"large": [{"prefix": "9"}]}"#, false),
    ("prefix", r#"{"market": [{"prefix": {"equals-ignore-case": "åL"}}]}"#, true),
    ("suffix", r#"{"image": [{"suffix": ".JPG"}]}"#, true),
    ("suffix", r#"{"image": [{"suffix": ".jpg"}]}"#, false),
    ("suffix", r#"{"image": [{"suffix": {"equals-ignore-case": ".jpg"}}]}"#, true),
    ("anything-but", r#"{"sku": [{"anything-but": "22423"}]}"#, true),
    ("anything-but", r#"{"sku": [{"anything-but": ["22423", "85123A"]}]}"#, false),
    ("anything-but", r#"{"whole": [{"anything-but": [4]}]}"#, false),
    ("anything-but", r#"{"absent": [{"anything-but": "x"}]}"#, false),
    ("anything-but", r#"{"tags": [{"anything-but": "heart"}]}"#, true),
    ("anything-but", r#"{"tags": [{"anything-but": ["heart", "light", "Öl"]}]}"#, false),
    ("anything-but", r#"{"sku": [{"anything-but": {"prefix": ["7", "85"]}}]}"#, false),
    ("anything-but", r#"{"image": [{"anything-but": {"suffix": ".png"}}]}"#, true),
    ("anything-but", r#"{"sku": [{"anything-but": {"equals-ignore-case": "85123a"}}]}"#, false),
    ("anything-but", r#"{"image": [{"anything-but": {"wildcard": ["x*", "*/hearts/*"]}}]}"#, false),
    ("numeric", r#"{"amount": [{"numeric": [">", 2, "<=", 2.55]}]}"#, true),
    ("numeric", r#"{"amount": [{"numeric": ["<", 2.55]}]}"#, false),
    ("numeric", r#"{"debt": [{"numeric": ["=", -3]}]}"#, true),
    ("numeric", r#"{"large": [{"numeric": [">=", 98765432101]}]}"#, true),
    ("numeric", r#"{"steps": [{"numeric": [">", 299]}]}"#, true),
    ("numeric", r#"{"sku": [{"numeric": [">", 0]}]}"#, false),
    ("numeric", r#"{"note": [{"numeric": ["<", 1]}]}"#, false),
    ("cidr", r#"{"from": [{"cidr": "192.168.0.0/16"}]}"#, true),
    ("cidr", r#"{"from": [{"cidr": "192.168.8.0/24"}]}"#, false),
    ("cidr", r#"{"from": [{"cidr": "0.0.0.0/0"}]}"#, true),
    ("cidr", r#"{"from6": [{"cidr": "fe80::/10"}]}"#, true),
    ("cidr", r#"{"from6": [{"cidr": "0.0.0.0/0"}]}"#, false),
    ("cidr", r#"{"sku": [{"cidr": "10.0.0.0/8"}]}"#, false),
    ("equals-ignore-case", r#"{"market": [{"equals-ignore-case": "ÅLAND"}]}"#, true),
    ("equals-ignore-case", r#"{"market": [{"equals-ignore-case": "ÅLAN"}]}"#, false),
    ("wildcard", r#"{"image": [{"wildcard": "gifts/*/*.JPG"}]}"#, true),
    ("wildcard", r#"{"image": [{"wildcard": "*.jpg"}]}"#, false),
    ("wildcard", r#"{"blank": [{"wildcard": "*"}]}"#, true),
    ("wildcard", r#"{"image": [{"wildcard": "gifts\\*"}]}"#, false),
    ("wildcard", r#"{"sku": [{"wildcard": "85123A"}]}"#, true),
    ("$or", r#"{"$or": [{"sku": ["x"]}, {"debt": [-3]}]}"#, true),
    ("$or", r#"{"$or": [{"sku": ["x"]}, {"debt": [3]}]}"#, false),
    ("$or", r#"{"onSale": [true], "$or": [{"sku": ["85123A"]}, {"debt": [-3]}]}"#, false),
    ("$or", r#"{"$or": [{"sku": ["x"]}, {"$or": [{"sku": ["y"]}, {"whole": [4]}]}]}"#, true),
    ("$or", r#"{"nested": {"$or": [{"inner": {"leaf": ["green"]}}, {"q": ["z"]}]}}"#, true),
    (
        "several",
        r#"{"sku": [{"suffix": "A"}], "tags": ["Öl"], "nested": {"inner": {"leaf": [{"prefix": "g"}]}}}"#,
        true,
    ),
    ("several", r#"{"sku": [{"suffix": "A"}], "tags": ["dark"]}"#, false),
    ("several", r#"{"sku": [{"prefix": "x"}, {"exists": true}]}"#, true),
];

#[test]
fn conditions_on_the_detail() {
    let event = event();
    for (group, detail, wanted) in CASES {
        let pattern = Pattern::parse(&format!(r#"{{"detail": {detail}}}"#)).expect(detail);
        assert_eq!(pattern.matches(&event), *wanted, "{group}: {detail}");
    }
}

#[test]
fn conditions_on_the_envelope() {
    for (pattern, wanted) in [
        (json!({"source": ["tributary.pricing"], "detail-type": ["PriceChanged", "Other"]}), true),
        (json!({"source": [{"prefix": "tributary."}], "region": [{"anything-but": "eu-west-1"}]}), true),
        (json!({"resources": ["arn:two"]}), true),
        (json!({"time": [{"prefix": "2026-11"}]}), true),
        (json!({"source": ["tributary.pricing"], "detail": {"absent": ["x"]}}), false),
    ] {
        assert_eq!(Pattern::compile(&pattern).expect("valid").matches(&event()), wanted, "{pattern}");
    }
}

#[test]
fn what_is_no_pattern_is_refused_with_its_place() {
    for invalid in [
        r#"{"a": "text"}"#,
        r#"{"a": []}"#,
        r"{}",
        r#"{"a": {}}"#,
        r#"{"a": [["x"]]}"#,
        r#"{"a": [{"bogus": 1}]}"#,
        r#"{"a": [{}]}"#,
        r#"{"a": [{"prefix": "a", "suffix": "b"}]}"#,
        r#"{"a": [{"prefix": 5}]}"#,
        r#"{"a": [{"exists": "yes"}]}"#,
        r#"{"a": [{"numeric": []}]}"#,
        r#"{"a": [{"numeric": ["~", 1]}]}"#,
        r#"{"a": [{"numeric": [">", 9, "<", 2]}]}"#,
        r#"{"a": [{"numeric": [">", "9"]}]}"#,
        r#"{"a": [{"cidr": "10.0.0.0/32"}]}"#,
        r#"{"a": [{"cidr": "10.0.0/8"}]}"#,
        r#"{"a": [{"wildcard": "a**b"}]}"#,
        r#"{"a": [{"wildcard": "a\\b"}]}"#,
        r#"{"a": [{"anything-but": []}]}"#,
        r#"{"a": [{"anything-but": ["x", 5]}]}"#,
        r#"{"a": [{"anything-but": true}]}"#,
        r#"{"a": [{"anything-but": {"numeric": [">", 1]}}]}"#,
        r#"{"$or": []}"#,
        r#"{"$or": [{"a": ["x"]}]}"#,
        r#"{"a": [1}"#,
        r"[]",
    ] {
        Pattern::parse(invalid).expect_err(invalid);
    }
    assert_eq!(
        Pattern::parse(r#"{"detail": {"state": [{"bogus": 1}]}}"#),
        Err(PatternError::UnknownOperator { path: "detail.state".into(), operator: "bogus".into() })
    );
}

/// Runs a file of cases in the form `{"group", "pattern", "event", "want": "match" | "no" | "err: …"}` a line.
#[test]
fn the_cases_of_a_file_by_hand() {
    let Some(path) = std::env::var_os("TRIBUTARY_EVENT_PATTERN_CASES") else {
        println!("skipped: set TRIBUTARY_EVENT_PATTERN_CASES to a file of cases");
        return;
    };
    let cases = std::fs::read_to_string(path).expect("the file of cases");
    let mut wrong = Vec::new();
    for case in cases.lines() {
        let case: Value = serde_json::from_str(case).expect("a case is JSON");
        let pattern = match &case["pattern"] {
            Value::String(text) => Pattern::parse(text),
            pattern => Pattern::compile(pattern),
        };
        let found = pattern.map(|pattern| pattern.matches(&case["event"]));
        let right = match case["want"].as_str().expect("text") {
            "match" => found == Ok(true),
            "no" => found == Ok(false),
            _ => found.is_err(),
        };
        if !right {
            wrong.push(format!("{case}: {found:?}"));
        }
    }
    println!("{} cases, {} wrong", cases.lines().count(), wrong.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
