//! The quarantine in DynamoDB.

use crate::fixture::{Bench, TABLE, listed, projection};
use aws_sdk_dynamodb::config::retry::RetryConfig;
use jiff::Timestamp;
use projection::consumer::Consumer;
use projection::dynamodb::create_table;
use projection::quarantine::{
    DynamoQuarantine, Entry, Filter, LARGEST, Quarantine, Quarantined, Reason, Redrive, table,
};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::sync::Arc;
use testkit::delivery;

async fn quarantine(bench: &Bench) -> DynamoQuarantine {
    let client = bench.dynamodb.client();
    create_table(&client, "quarantine", &table("quarantine")).await.unwrap();
    DynamoQuarantine::new(client, "quarantine", "build-7", testkit::clock)
}

async fn listed_in(quarantine: &DynamoQuarantine) -> Vec<Entry> {
    quarantine.list(&Filter::default(), None, 100).await.unwrap().entries
}

fn consumer(bench: &Bench, quarantine: &DynamoQuarantine) -> Consumer {
    let (store, quarantine) = (Arc::clone(&bench.store) as _, Arc::new(quarantine.clone()));
    Consumer::new("test", projection(), TABLE, store, quarantine, testkit::clock)
}

#[tokio::test]
async fn a_large_body_comes_back_byte_for_byte() {
    let bench = Bench::new().await;
    let quarantine = quarantine(&bench).await;
    let filling: String =
        ('a'..='z').chain(['✓', '\u{1f382}', '"', '\\', '\n']).cycle().take(450_000).collect();
    let body = format!("{{\"no\": \"envelope\", \"filling\": {}}}\n", serde_json::Value::from(filling));
    assert!(body.len() > 500 * 1024, "{}", body.len());
    let payload = delivery::sqs([body.as_str()]);
    let answer = consumer(&bench, &quarantine).handle(payload.as_bytes(), None).await.unwrap();
    assert_eq!(answer, serde_json::json!({ "batchItemFailures": [] }));
    let entries = listed_in(&quarantine).await;
    assert_eq!(entries.len(), 1);
    let held = quarantine.show(&entries[0].id).await.unwrap().unwrap();
    let (entry, raw) = (held.entry, held.raw);
    assert_eq!(
        (entry.bytes, entry.reason.as_str(), entry.build.as_str()),
        (body.len(), "Malformed", "build-7")
    );
    assert!(raw == body.as_bytes(), "{} bytes came back", raw.len());
    assert!(quarantine.discard(&entry.id).await.unwrap());
    let left = bench.dynamodb.client().scan().table_name("quarantine").send().await.unwrap();
    assert_eq!(left.count, 0, "a discarded message leaves nothing behind");
    assert_eq!(listed_in(&quarantine).await, []);
    assert!(quarantine.show(&entry.id).await.unwrap().is_none());
}

#[tokio::test]
async fn a_message_that_comes_again_is_counted_however_it_travels() {
    let bench = Bench::new().await;
    let quarantine = quarantine(&bench).await;
    let consumer = consumer(&bench, &quarantine);
    let mut poison = listed("A", "one", 1);
    poison["major"] = 9.into();
    for body in
        [poison.to_string(), delivery::eventbridge(&poison), delivery::sns_wrapped(&poison.to_string())]
    {
        consumer.handle(delivery::sqs([body]).as_bytes(), None).await.unwrap();
    }
    let entries = listed_in(&quarantine).await;
    assert_eq!(entries.len(), 1, "{entries:?}");
    assert_eq!((entries[0].count, entries[0].consumer.as_str()), (3, "products"));
    assert_eq!(entries[0].reason, "UnknownMajor");
}

#[tokio::test]
async fn a_shorter_delivery_of_a_message_leaves_nothing_of_a_longer_one() {
    let bench = Bench::new().await;
    let quarantine = quarantine(&bench).await;
    let (long, short) = ("x".repeat(400 * 1024), "y".repeat(10));
    for raw in [&long, &short] {
        let (detail, reason) = ("why".to_owned(), Reason::Malformed);
        let message =
            Quarantined { consumer: "products", reason, detail, raw, envelope: "the same", redrive: None };
        quarantine.keep(&message).await.unwrap();
    }
    let id = listed_in(&quarantine).await[0].id.clone();
    let held = quarantine.show(&id).await.unwrap().unwrap();
    let (entry, raw) = (held.entry, held.raw);
    assert_eq!((entry.bytes, entry.count), (10, 2));
    assert!(raw == short.as_bytes(), "{} bytes came back", raw.len());
}

#[tokio::test]
async fn entries_are_listed_by_the_time_that_they_came_first() {
    let bench = Bench::new().await;
    let early = quarantine(&bench).await;
    let late: fn() -> Timestamp = || Timestamp::constant(1_500_000_000, 0);
    let late = DynamoQuarantine::new(bench.dynamodb.client(), "quarantine", "build-8", late);
    let message = |raw| {
        let (detail, reason) = ("why".to_owned(), Reason::Malformed);
        Quarantined { consumer: "products", reason, detail, raw, envelope: raw, redrive: None }
    };
    late.keep(&message("second")).await.unwrap();
    early.keep(&message("first")).await.unwrap();
    late.keep(&message("first")).await.unwrap();
    let entries = listed_in(&late).await;
    let seen: Vec<_> = entries.iter().map(|it| (it.first_seen.as_str(), it.last_seen.as_str())).collect();
    assert_eq!(
        seen,
        [
            ("2012-01-01T00:00:00.000000Z", "2017-07-14T02:40:00.000000Z"),
            ("2017-07-14T02:40:00.000000Z", "2017-07-14T02:40:00.000000Z"),
        ]
    );
    assert_eq!(entries[0].build, "build-8", "the build that saw it last");
}

fn message(raw: &str) -> Quarantined<'_> {
    let (reason, detail) = (Reason::Malformed, "why".to_owned());
    Quarantined { consumer: "products", reason, detail, raw, envelope: raw, redrive: None }
}

#[tokio::test]
async fn entries_are_listed_in_pages_by_what_they_are_like() {
    let bench = Bench::new().await;
    let quarantine = quarantine(&bench).await;
    for sku in ["A", "B", "C", "D", "E"] {
        let event = listed(sku, "one", 1).to_string();
        let stale = Quarantined { reason: Reason::VersionFork, consumer: "other", ..message(&event) };
        quarantine.keep(&message(&event)).await.unwrap();
        quarantine.keep(&stale).await.unwrap();
    }
    quarantine.keep(&message("no envelope")).await.unwrap();
    assert_eq!(quarantine.standing().await.unwrap().entries, 11);
    for limit in [1, 2, 3, 5, 100] {
        let (mut seen, mut after) = (BTreeSet::new(), None);
        loop {
            let page = quarantine.list(&Filter::default(), after, limit).await.unwrap();
            assert!(page.entries.len() <= limit);
            let fresh = page.entries.into_iter().all(|entry| seen.insert(entry.id));
            assert!(fresh, "an entry is listed once");
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(seen.len(), 11, "with pages of {limit}");
    }
    let text = |text: &str| Some(text.to_owned());
    let count = async |filter: Filter| quarantine.list(&filter, None, 100).await.unwrap().entries.len();
    assert_eq!(count(Filter { consumer: text("other"), ..Filter::default() }).await, 5);
    assert_eq!(count(Filter { reason: Some(Reason::Malformed), ..Filter::default() }).await, 6);
    assert_eq!(count(Filter { name: text("ProductListed"), ..Filter::default() }).await, 10);
    let both = Filter { subject: text("C"), consumer: text("products"), ..Filter::default() };
    assert_eq!(count(both).await, 1);
    assert_eq!(count(Filter { subject: text("Z"), ..Filter::default() }).await, 0);
}

#[tokio::test]
async fn a_table_of_an_earlier_build_gets_its_index_and_keeps_its_entries() {
    let bench = Bench::new().await;
    let client = bench.dynamodb.client();
    let old = projection::Table { ttl: None, ..projection::Table::new("quarantine") };
    create_table(&client, "quarantine", &old).await.unwrap();
    let earlier = DynamoQuarantine::new(client, "quarantine", "build-1", testkit::clock);
    earlier.keep(&message("kept")).await.unwrap();
    earlier.list(&Filter::default(), None, 9).await.unwrap_err();
    assert_eq!(listed_in(&quarantine(&bench).await).await.len(), 1);
}

#[tokio::test]
async fn what_is_too_large_for_a_transaction_is_not_acknowledged() {
    let bench = Bench::new().await;
    let quarantine = quarantine(&bench).await;
    quarantine.keep(&message(&"x".repeat(LARGEST))).await.unwrap();
    quarantine.keep(&message(&"x".repeat(LARGEST + 1))).await.unwrap_err();
    assert_eq!(listed_in(&quarantine).await.len(), 1);
}

/// A delivery of a message that was redriven.
fn redriven(body: &str, redrive: &Redrive) -> String {
    let mut record = delivery::sqs_record(0, body);
    record["messageAttributes"] =
        serde_json::json!({ "redrive": { "stringValue": redrive.to_string(), "dataType": "String" } });
    delivery::payload(&[record])
}

#[tokio::test]
async fn an_edit_that_comes_back_leads_to_its_original_and_both_go_when_it_is_applied() {
    let bench = Bench::new().await;
    let quarantine = quarantine(&bench).await;
    let consumer = consumer(&bench, &quarantine);
    let first = delivery::sqs([delivery::eventbridge(&listed("A", "unsellable", 1))]);
    consumer.handle(first.as_bytes(), None).await.unwrap();
    let original = listed_in(&quarantine).await.remove(0);

    let mut still_bad = listed("A", "unsellable", 1);
    still_bad["data"]["category"] = "Vintage".into();
    assert!(quarantine.edit(&original, &still_bad.to_string()).await.unwrap());
    assert!(!quarantine.edit(&original, "{}").await.unwrap(), "it was edited since");
    let held = quarantine.show(&original.id).await.unwrap().unwrap();
    assert_eq!((held.entry.edits, held.body()), (1, still_bad.to_string()));
    assert_eq!(held.raw, delivery::eventbridge(&listed("A", "unsellable", 1)).as_bytes());

    assert!(quarantine.redriving(&original.id).await.unwrap());
    let payload = redriven(&held.body(), &held.entry.redrive());
    assert_eq!(consumer.consume(payload.as_bytes(), None).await.unwrap().quarantined, 1);
    let entries = listed_in(&quarantine).await;
    let back = entries.iter().find(|entry| entry.id != original.id).unwrap();
    assert_eq!(back.edit_of, Some(format!("{}.1", original.id)));
    let original = quarantine.entry(&original.id).await.unwrap().unwrap();
    assert_eq!(original.redriven_at, None, "it is known that it came back");

    assert!(quarantine.edit(back, &listed("A", "one", 1).to_string()).await.unwrap());
    let held = quarantine.show(&back.id).await.unwrap().unwrap();
    let payload = redriven(&held.body(), &held.entry.redrive());
    assert_eq!(consumer.consume(payload.as_bytes(), None).await.unwrap().applied, 1);
    assert_eq!(listed_in(&quarantine).await, []);
    let left = bench.dynamodb.client().scan().table_name("quarantine").send().await.unwrap();
    assert_eq!(left.count, 0);
}

#[tokio::test]
async fn a_redrive_that_is_applied_leaves_an_edit_that_came_after_it() {
    let bench = Bench::new().await;
    let quarantine = quarantine(&bench).await;
    let good = listed("A", "one", 1).to_string();
    quarantine.keep(&message(&good)).await.unwrap();
    let entry = listed_in(&quarantine).await.remove(0);
    let payload = redriven(&good, &entry.redrive());
    assert!(quarantine.edit(&entry, &listed("A", "two", 1).to_string()).await.unwrap());
    let report = consumer(&bench, &quarantine).consume(payload.as_bytes(), None).await.unwrap();
    assert_eq!((report.applied, report.failed.len()), (1, 0));
    assert_eq!(listed_in(&quarantine).await.len(), 1);
}

#[tokio::test]
async fn a_dead_letter_is_kept_under_the_name_that_any_delivery_of_it_has() {
    let bench = Bench::new().await;
    let quarantine = quarantine(&bench).await;
    let poison = listed("A", "unsellable", 1);
    let bodies = [poison.to_string(), delivery::eventbridge(&poison), "no JSON".to_owned()];
    let drain = async |consumer: &'static str| {
        let payload = delivery::sqs(bodies.clone());
        let of = |queue: &str| (format!("{consumer}{}", &queue[..0]), Some(5));
        projection::quarantine::dead_letters::drain(&quarantine, payload.as_bytes(), of).await.unwrap()
    };
    assert_eq!(drain("products").await, serde_json::json!({ "batchItemFailures": [] }));
    let entries = listed_in(&quarantine).await;
    assert_eq!(entries.len(), 2, "{entries:?}");
    assert!(entries.iter().all(|entry| entry.reason == "Exhausted" && entry.detail.contains("5 times")));
    let payload = delivery::sqs([poison.to_string()]);
    consumer(&bench, &quarantine).consume(payload.as_bytes(), None).await.unwrap();
    let entry = listed_in(&quarantine).await.into_iter().find(|it| it.about.subject.is_some()).unwrap();
    assert_eq!((entry.count, entry.reason.as_str()), (3, "HandlerRejected"));

    let table = bench.dynamodb.client().delete_table().table_name("quarantine");
    table.send().await.unwrap();
    let answer = drain("products").await;
    assert_eq!(answer["batchItemFailures"].as_array().map(Vec::len), Some(3), "acknowledged only when kept");
}

/// Ends the process after so many calls of DynamoDB, as it were: those after them don't reach it.
#[derive(Clone, Debug, Default)]
struct Crash(Arc<std::sync::atomic::AtomicUsize>);

impl aws_sdk_dynamodb::config::Intercept for Crash {
    fn name(&self) -> &'static str {
        "crash"
    }

    fn read_before_transmit(
        &self,
        _: &aws_sdk_dynamodb::config::interceptors::BeforeTransmitInterceptorContextRef<'_>,
        _: &aws_sdk_dynamodb::config::RuntimeComponents,
        _: &mut aws_sdk_dynamodb::config::ConfigBag,
    ) -> Result<(), aws_sdk_dynamodb::error::BoxError> {
        use std::sync::atomic::Ordering::Relaxed;
        let left = self.0.load(Relaxed).checked_sub(1).ok_or("the process is gone")?;
        self.0.store(left, Relaxed);
        Ok(())
    }
}

/// What happens to messages, each until the process ends after so many calls.
#[derive(Clone, Copy, Debug)]
enum Step {
    Deliver(usize),
    DeliverAgainLater(usize),
    Edit(usize, u8),
    Redrive(usize),
    Discard(usize),
}

fn step() -> impl Strategy<Value = (Step, usize)> {
    let step = prop_oneof![
        6 => (0..8_usize).prop_map(Step::Deliver),
        1 => (0..8_usize).prop_map(Step::DeliverAgainLater),
        3 => ((0..8_usize), 0..4_u8).prop_map(|(entry, edit)| Step::Edit(entry, edit)),
        4 => (0..8_usize).prop_map(Step::Redrive),
        1 => (0..8_usize).prop_map(Step::Discard),
    ];
    (step, prop_oneof![2 => 0..6_usize, 3 => Just(100)])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_no_message_is_lost(steps in proptest::collection::vec(step(), 1..16)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(nothing_is_lost(&steps));
    }
}

async fn nothing_is_lost(steps: &[(Step, usize)]) {
    use std::sync::atomic::Ordering::Relaxed;
    let bench = Bench::new().await;
    let sound = quarantine(&bench).await;
    let crash = Crash::default();
    let config = bench.dynamodb.client().config().to_builder();
    let config = config.retry_config(RetryConfig::disabled()).interceptor(crash.clone());
    let client = aws_sdk_dynamodb::Client::from_conf(config.build());
    let mortal = DynamoQuarantine::new(client, "quarantine", "build", testkit::clock);
    let consumer = consumer(&bench, &mortal);
    // The fold refuses these; the last is too large for one item.
    let messages: Vec<String> = ["A", "B", "C"]
        .iter()
        .map(|sku| {
            let padding = if *sku == "C" { " ".repeat(400 * 1024) } else { String::new() };
            format!("{}{padding}", listed(sku, "unsellable", 1))
        })
        .collect();
    let mut queue: Vec<(String, Option<Redrive>)> = messages.iter().map(|it| (it.clone(), None)).collect();
    let mut discarded: BTreeSet<String> = BTreeSet::new();
    for (number, (step, calls)) in steps.iter().enumerate() {
        let entries = listed_in(&sound).await;
        let pick = |at: usize| entries.get(at % entries.len().max(1)).cloned();
        crash.0.store(*calls, Relaxed);
        match *step {
            Step::Deliver(at) if !queue.is_empty() => {
                let at = at % queue.len();
                let (body, redrive) = &queue[at];
                let payload = match redrive {
                    Some(redrive) => redriven(body, redrive),
                    None => delivery::sqs([body.as_str()]),
                };
                if consumer.consume(payload.as_bytes(), None).await.unwrap().failed.is_empty() {
                    queue.remove(at);
                }
            }
            Step::DeliverAgainLater(at) if !queue.is_empty() => queue.push(queue[at % queue.len()].clone()),
            Step::Edit(at, edit) => {
                let Some(entry) = pick(at) else { continue };
                let sku = entry.about.subject.clone().unwrap();
                let title = if edit == 0 { "unsellable".to_owned() } else { format!("title {edit}") };
                let mut edited = listed(&sku, &title, 1);
                edited["correlationId"] = format!("edit {number}").into();
                let _ = mortal.edit(&entry, &edited.to_string()).await;
            }
            Step::Redrive(at) => {
                let Some(entry) = pick(at) else { continue };
                let Ok(Some(held)) = mortal.show(&entry.id).await else { continue };
                if mortal.redriving(&entry.id).await.is_ok_and(|there| there) {
                    queue.push((held.body(), Some(held.entry.redrive())));
                }
            }
            Step::Discard(at) => {
                let Some(entry) = pick(at) else { continue };
                let _ = mortal.discard(&entry.id).await;
                if sound.entry(&entry.id).await.unwrap().is_none() {
                    discarded.insert(entry.about.subject.unwrap());
                }
            }
            Step::Deliver(_) | Step::DeliverAgainLater(_) => {}
        }
        // Each message is on the queue, in the quarantine byte for byte, applied, or was discarded by hand.
        for (sku, message) in ["A", "B", "C"].iter().zip(&messages) {
            let id = Quarantined {
                envelope: &projection::decode::unwrap(message).unwrap(),
                ..self::message(message)
            }
            .id();
            let held = sound.show(&id).await.unwrap();
            let kept = held.is_some_and(|held| held.raw == message.as_bytes());
            let waits = queue.iter().any(|(body, redrive)| body == message && redrive.is_none());
            let applied = bench.item(sku).await.is_some();
            assert!(
                kept || waits || applied || discarded.contains(*sku),
                "{sku} is lost after step {number}: {step:?}"
            );
        }
    }
}
