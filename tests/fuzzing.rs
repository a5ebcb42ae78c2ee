//! Every decoder that meets what others send: it never panics, and nothing that comes in vanishes.
//!
//! Each case follows from one number: `FUZZ_SEED=7 FUZZ_CASES=100000 cargo test --release -p suite-tests --test fuzzing`

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use contracts::{Header, published};
use projection::consumer::{Consumer, Report};
use projection::delivery::take_apart;
use projection::{Projection, decode};
use serde_json::{Value, json};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use testkit::dice::Dice;
use testkit::memory::MemoryStore;
use testkit::quarantine::Shelf;
use testkit::{Fixture, delivery, mangle};

/// How many cases of each kind are tried, unless `FUZZ_CASES` says otherwise.
const CASES: u64 = 1_500;

/// Tries cases; one that panics is told with its number.
fn cases(share: u64, mut case: impl FnMut(&mut Dice)) {
    let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    let first = number("FUZZ_SEED").unwrap_or(1);
    let count = number("FUZZ_CASES").unwrap_or(CASES).div_ceil(share);
    for number in 0..count {
        let seed = Dice::seed_of_case(first, number);
        let tried = catch_unwind(AssertUnwindSafe(|| case(&mut Dice::new(seed))));
        tried.unwrap_or_else(|_| panic!("to see it again: FUZZ_SEED={seed} FUZZ_CASES=1"));
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn examples(events: bool) -> Vec<Value> {
    let of_kind = |it: &published::Contract| it.kind.is_some() == events;
    published::all().iter().filter(|it| of_kind(it)).map(|it| (it.example)()).collect()
}

fn pick<'a, T>(dice: &mut Dice, things: &'a [T]) -> &'a T {
    &things[dice.below(things.len())]
}

/// An envelope that is wrong, or at times right.
fn envelope(dice: &mut Dice, examples: &[Value]) -> String {
    let example = pick(dice, examples);
    match dice.below(8) {
        0 => example.to_string(),
        1..=5 => mangle::json(dice, example),
        _ => String::from_utf8_lossy(&mangle::bytes(dice, example.to_string().as_bytes())).into_owned(),
    }
}

/// The body of a message: an envelope with something around it, either of which may be wrong.
fn body(dice: &mut Dice, examples: &[Value]) -> String {
    let inside = envelope(dice, examples);
    let example = pick(dice, examples);
    match dice.below(6) {
        0 => delivery::sns_wrapped(&inside),
        1 => delivery::eventbridge(&serde_json::from_str(&inside).unwrap_or(Value::Null)),
        2 => mangle::json(dice, &serde_json::from_str(&delivery::eventbridge(example)).unwrap()),
        3 => {
            let wrapped = delivery::sns_wrapped(&delivery::eventbridge(example));
            mangle::json(dice, &serde_json::from_str(&wrapped).unwrap())
        }
        _ => inside,
    }
}

/// A payload of any source, as it should be but for its messages.
fn payload(dice: &mut Dice, examples: &[Value]) -> String {
    let bodies: Vec<String> = (0..=dice.below(4)).map(|_| body(dice, examples)).collect();
    match dice.below(5) {
        0 => delivery::sns(&bodies[0]),
        1 => bodies.into_iter().next().unwrap_or_default(),
        2 => {
            let events: Vec<Value> = bodies.iter().map(|body| json!(body)).collect();
            delivery::stream([events.as_slice()])
        }
        _ => delivery::sqs(bodies),
    }
}

fn suite() -> Vec<Projection> {
    let micrographs = local::shop::all();
    micrographs.iter().flat_map(|micrograph| micrograph.projections().cloned().collect::<Vec<_>>()).collect()
}

fn consumer(projection: &Projection, shelf: &Arc<Shelf>) -> Consumer {
    let store = Arc::new(MemoryStore::default());
    Consumer::new("fuzz", projection.clone(), "fuzz", store, Arc::clone(shelf) as _, testkit::clock)
}

/// How many messages came to an end that a store has which works.
fn fates(report: &Report) -> usize {
    let Report { applied, stale, duplicate, ignored, quarantined, waiting, .. } = report;
    applied + stale + duplicate + ignored + quarantined + waiting
}

#[test]
fn each_message_of_a_batch_is_applied_ignored_kept_or_quarantined() {
    let (runtime, examples, projections) = (runtime(), examples(true), suite());
    let mut quarantined = 0;
    cases(1, |dice| {
        let bodies: Vec<String> = (0..=dice.below(5)).map(|_| body(dice, &examples)).collect();
        let shelf = Arc::new(Shelf::default());
        let consumer = consumer(pick(dice, &projections), &shelf);
        let payload = delivery::sqs(bodies.iter().map(String::as_str));
        let report = runtime.block_on(consumer.consume(payload.as_bytes(), None)).unwrap();
        assert_eq!(
            (report.messages, fates(&report)),
            (bodies.len(), bodies.len()),
            "{report:?} of {payload}"
        );
        let failed = report.failed.len();
        assert!(failed <= report.waiting, "a store that works fails nothing: {report:?} of {payload}");
        let kept = shelf.kept();
        assert_eq!(kept.len(), report.quarantined, "{report:?} of {payload}");
        assert!(
            kept.iter().all(|kept| bodies.contains(&kept.raw)),
            "the quarantine keeps what came: {kept:?}"
        );
        quarantined += kept.len();
    });
    assert!(quarantined > 0, "nothing was wrong");
}

#[test]
fn no_record_of_a_payload_vanishes() {
    let examples = examples(true);
    cases(1, |dice| {
        let whole: Value =
            serde_json::from_str(&delivery::sqs(examples.iter().map(Value::to_string))).unwrap();
        let mut records = whole["Records"].as_array().unwrap().clone();
        records.truncate(1 + dice.below(4));
        let broken = dice.below(records.len());
        let record = mangle::json(dice, &records[broken]);
        let texts: Vec<String> = records
            .iter()
            .enumerate()
            .map(|(number, it)| if number == broken { record.clone() } else { it.to_string() })
            .collect();
        let payload = format!("{{\"Records\":[{}]}}", texts.join(","));
        let Ok(delivery) = take_apart(payload.as_bytes()) else { return };
        assert!(delivery.messages.len() >= records.len() - 1, "{payload}");
        for (number, it) in records.iter().enumerate().filter(|(number, _)| *number != broken) {
            let body = it["body"].as_str().unwrap();
            let found = delivery
                .messages
                .iter()
                .any(|message| message.id == it["messageId"].as_str().unwrap() && message.body == body);
            assert!(found, "record {number} is gone: {payload}");
        }
        let is_stream = record.contains("\"dynamodb\"");
        assert!(is_stream || delivery.messages.len() == records.len(), "{payload}");
    });
}

#[test]
fn payloads_of_any_bytes_are_taken_apart_or_refused() {
    let (runtime, examples, projections) = (runtime(), examples(true), suite());
    cases(1, |dice| {
        let payload = payload(dice, &examples);
        let payload = match dice.below(3) {
            0 => payload.into_bytes(),
            1 => mangle::bytes(dice, payload.as_bytes()),
            _ => match serde_json::from_str::<Value>(&payload) {
                Ok(value) => mangle::json(dice, &value).into_bytes(),
                Err(_) => payload.into_bytes(),
            },
        };
        let shelf = Arc::new(Shelf::default());
        let consumer = consumer(pick(dice, &projections), &shelf);
        let text = String::from_utf8_lossy(&payload);
        if let Ok(report) = runtime.block_on(consumer.consume(&payload, None)) {
            assert_eq!(report.messages, fates(&report), "{report:?} of {text}");
            assert!(report.failed.len() <= report.waiting, "{report:?} of {text}");
            assert_eq!(shelf.kept().len(), report.quarantined, "{report:?} of {text}");
        }
    });
}

#[test]
fn envelopes_and_data_are_decoded_or_refused() {
    let contracts = published::all();
    let projections = suite();
    let examples: Vec<Value> = contracts.iter().map(|it| (it.example)()).collect();
    cases(1, |dice| {
        let text = envelope(dice, &examples);
        // A contract that takes what another wrote says what it took: encoded and decoded again it is the same.
        if let Ok(taken) = (pick(dice, &contracts).round_trip)(&text) {
            let same =
                contracts.iter().any(|it| (it.round_trip)(&taken.to_string()).is_ok_and(|it| it == taken));
            assert!(same, "{text} became {taken}");
        }
        let Ok(unwrapped) = decode::unwrap(&text) else { return };
        let Ok(header) = decode::header(&unwrapped) else { return };
        let _: &Header<'_> = &header;
        for projection in &projections {
            drop(projection.fold(&header));
        }
    });
}

#[test]
fn each_command_of_a_batch_is_carried_out_or_quarantined() {
    let (runtime, examples) = (runtime(), examples(false));
    for micrograph in local::shop::all() {
        let name = micrograph.name();
        let fixture = runtime.block_on(Fixture::new(micrograph)).unwrap();
        let own: Vec<Value> = examples.iter().filter(|it| it["domain"] == name).cloned().collect();
        if own.is_empty() {
            continue;
        }
        cases(30, |dice| {
            let bodies: Vec<String> = (0..=dice.below(4)).map(|_| envelope(dice, &own)).collect();
            let payload = delivery::sqs(bodies.iter().map(String::as_str));
            let before = runtime.block_on(fixture.quarantined()).unwrap().len();
            let answer =
                runtime.block_on(fixture.app().invoke("commands", payload.as_bytes(), None)).unwrap();
            assert_eq!(answer, json!({ "batchItemFailures": [] }), "{payload}");
            let unreadable: std::collections::BTreeSet<&String> =
                bodies.iter().filter(|body| serde_json::from_str::<Value>(body).is_err()).collect();
            let after = runtime.block_on(fixture.quarantined()).unwrap().len();
            assert!(after <= before + bodies.len() && after >= unreadable.len(), "{payload}");
        });
    }
}
