//! Queues by a clock that stands still.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use embedded::queue::{Chaos, Outgoing, QueueConfig, QueueError, QueueSettings, Queues, Received};
use embedded::{Durability, ManualClock};
use proptest::prelude::*;

pub fn queues(clock: &ManualClock) -> Queues {
    Queues::in_memory(QueueSettings { clock: Arc::new(clock.clone()), ..QueueSettings::default() })
        .expect("open")
}

fn bodies(received: &[Received]) -> Vec<&str> {
    received.iter().map(|message| &*message.body).collect()
}

fn send(queues: &Queues, queue: &str, bodies: &[&str]) {
    queues.send(queue, bodies.iter().map(|body| Outgoing::new(*body)).collect()).expect("send");
}

#[test]
fn a_received_message_is_hidden_until_its_visibility_ends_and_gone_once_deleted() {
    let clock = ManualClock::at(1_000_000);
    let queues = queues(&clock);
    queues.create(QueueConfig::new("q")).expect("create");
    send(&queues, "q", &["a", "b"]);
    let first = queues.receive("q", 10, None).expect("receive");
    assert_eq!(bodies(&first), ["a", "b"]);
    assert!(queues.receive("q", 10, None).expect("receive").is_empty());
    assert_eq!(queues.depth("q").expect("depth").in_flight, 2);
    assert_eq!(queues.delete("q", &[first[0].receipt]).expect("delete"), 1);

    clock.advance_ms(29_999);
    assert!(queues.receive("q", 10, None).expect("receive").is_empty());
    clock.advance_ms(1);
    let second = queues.receive("q", 10, None).expect("receive");
    assert_eq!(bodies(&second), ["b"]);
    assert_eq!((second[0].receive_count, second[0].first_received_ms), (2, 1_000_000));
    assert_eq!(second[0].message_id, first[1].message_id);
    assert_eq!(queues.delete("q", &[first[1].receipt]).expect("delete"), 0, "an old receipt does nothing");
    assert_eq!(queues.delete("q", &[second[0].receipt]).expect("delete"), 1);
    assert!(queues.is_idle());
}

#[test]
fn visibility_can_be_changed_and_a_message_delayed() {
    let clock = ManualClock::at(0);
    let queues = queues(&clock);
    queues.create(QueueConfig::new("q")).expect("create");
    send(&queues, "q", &["a"]);
    let held = queues.receive("q", 1, None).expect("receive");
    queues.change_visibility("q", &[held[0].receipt], Duration::ZERO).expect("give back");
    let held = queues.receive("q", 1, None).expect("receive");
    assert_eq!(held[0].receive_count, 2);
    queues.delete("q", &[held[0].receipt]).expect("delete");

    let later = Outgoing { delay: Some(Duration::from_secs(5)), ..Outgoing::new("later") };
    queues.send("q", vec![later]).expect("send");
    assert!(queues.receive("q", 1, None).expect("receive").is_empty());
    assert_eq!(queues.depth("q").expect("depth").delayed, 1);
    assert_eq!(queues.next_due("q").expect("due"), Some(Duration::from_secs(5)));
    clock.advance_ms(5_000);
    assert_eq!(bodies(&queues.receive("q", 1, None).expect("receive")), ["later"]);
}

#[test]
fn a_message_received_too_often_goes_to_the_dead_letter_queue_and_can_come_back() {
    let clock = ManualClock::at(0);
    let queues = queues(&clock);
    queues.create(QueueConfig::new("dead")).expect("create");
    queues.create(QueueConfig::new("q").redrive_to("dead", 2)).expect("create");
    send(&queues, "q", &["poison"]);
    let id = queues.receive("q", 1, None).expect("receive")[0].message_id.clone();
    clock.advance_ms(30_000);
    assert_eq!(queues.receive("q", 1, None).expect("receive").len(), 1);
    clock.advance_ms(30_000);
    assert!(queues.receive("q", 1, None).expect("receive").is_empty());
    assert!(queues.is_idle(), "what is given up on is no work");
    let dead = queues.receive("dead", 1, Some(Duration::from_secs(1))).expect("receive");
    assert_eq!((bodies(&dead), &dead[0].message_id), (vec!["poison"], &id));
    clock.advance_ms(1_000);
    assert_eq!(queues.redrive("dead", "q").expect("redrive"), 1);
    assert_eq!(queues.depth("dead").expect("depth").total(), 0);
    let again = queues.receive("q", 1, None).expect("receive");
    assert_eq!((again[0].receive_count, &again[0].message_id), (1, &id));
}

#[test]
fn a_fifo_group_has_one_batch_in_flight_and_keeps_its_order() {
    let clock = ManualClock::at(0);
    let queues = queues(&clock);
    queues.create(QueueConfig::new("q.fifo")).expect("create");
    let message = |group: &str, body: &str| Outgoing::new(body).in_group(group);
    queues.send("q.fifo", vec![message("a", "a1"), message("b", "b1"), message("a", "a2")]).expect("send");
    let first = queues.receive("q.fifo", 2, None).expect("receive");
    assert_eq!(bodies(&first), ["a1", "a2"]);
    queues.send("q.fifo", vec![message("a", "a3")]).expect("send");
    assert_eq!(bodies(&queues.receive("q.fifo", 10, None).expect("receive")), ["b1"]);
    queues.delete("q.fifo", &[first[0].receipt]).expect("delete");
    assert!(queues.receive("q.fifo", 10, None).expect("receive").is_empty(), "a2 still holds the group");
    clock.advance_ms(30_000);
    let again = queues.receive("q.fifo", 10, None).expect("receive");
    assert_eq!(
        again.iter().filter(|m| m.group.as_deref() == Some("a")).map(|m| &*m.body).collect::<Vec<_>>(),
        ["a2", "a3"]
    );
    assert!(matches!(queues.send("q.fifo", vec![Outgoing::new("x")]), Err(QueueError::GroupMissing(_))));
}

#[test]
fn a_fifo_queue_takes_a_deduplication_id_once_in_five_minutes() {
    let clock = ManualClock::at(0);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("q.db");
    let settings = QueueSettings { clock: Arc::new(clock.clone()), ..QueueSettings::default() };
    let message = Outgoing { deduplication_id: Some("d".into()), ..Outgoing::new("one").in_group("g") };
    {
        let queues = Queues::open(&path, settings.clone()).expect("open");
        queues.create(QueueConfig::new("q.fifo")).expect("create");
        let ids = queues.send("q.fifo", vec![message.clone(), message.clone()]).expect("send");
        assert_eq!(ids[0], ids[1]);
    }
    let queues = Queues::open(&path, settings).expect("open again");
    queues.create(QueueConfig::new("q.fifo")).expect("create");
    queues.send("q.fifo", vec![message.clone()]).expect("send");
    assert_eq!(queues.depth("q.fifo").expect("depth").visible, 1);
    clock.advance_ms(5 * 60_000);
    queues.send("q.fifo", vec![message]).expect("send");
    assert_eq!(queues.depth("q.fifo").expect("depth").visible, 2);
}

#[test]
fn messages_survive_their_process_and_are_visible_at_once_in_the_next() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("q.db");
    {
        let queues = Queues::open(&path, QueueSettings::default()).expect("open");
        queues.create(QueueConfig::new("q")).expect("create");
        send(&queues, "q", &["done", "in hand", "waiting"]);
        let held = queues.receive("q", 2, None).expect("receive");
        queues.delete("q", &[held[0].receipt]).expect("delete");
        queues.put_meta("checkpoint", b"17").expect("put");
    }
    let settings = QueueSettings { durability: Durability::Power, ..QueueSettings::default() };
    let queues = Queues::open(&path, settings).expect("open again");
    queues.create(QueueConfig::new("q")).expect("create");
    assert_eq!(bodies(&queues.receive("q", 10, None).expect("receive")), ["in hand", "waiting"]);
    assert_eq!(queues.get_meta("checkpoint").expect("get").as_deref(), Some(&b"17"[..]));
}

#[test]
fn what_does_not_fit_into_memory_waits_in_the_file_in_order() {
    let queues = queues(&ManualClock::at(0));
    queues.create(QueueConfig::new("q")).expect("create");
    for chunk in 0..25 {
        queues
            .send("q", (0..1_000).map(|n| Outgoing::new((chunk * 1_000 + n).to_string())).collect())
            .expect("send");
    }
    let mut next = 0;
    while next < 25_000 {
        let got = queues.receive("q", 700, None).expect("receive");
        assert!(!got.is_empty(), "stuck at {next}");
        for message in &got {
            assert_eq!(*message.body, *next.to_string());
            next += 1;
        }
        let receipts: Vec<_> = got.iter().map(|message| message.receipt).collect();
        queues.delete("q", &receipts).expect("delete");
    }
    assert!(queues.is_idle());
}

#[test]
fn chaos_doubles_and_shuffles_standard_queues_and_leaves_fifo_queues_alone() {
    let clock = ManualClock::at(0);
    let chaos = Chaos { duplicate: true, reorder: true, seed: 7 };
    let settings = QueueSettings { chaos, clock: Arc::new(clock.clone()), ..QueueSettings::default() };
    let queues = Queues::in_memory(settings).expect("open");
    queues.create(QueueConfig::new("q")).expect("create");
    queues.create(QueueConfig::new("q.fifo")).expect("create");
    let numbers: Vec<String> = (0..100).map(|n| n.to_string()).collect();
    queues.send("q", numbers.iter().map(|n| Outgoing::new(n.as_str())).collect()).expect("send");
    let grouped = numbers.iter().map(|n| Outgoing::new(n.as_str()).in_group("g"));
    queues.send("q.fifo", grouped.collect()).expect("send");
    clock.advance_ms(1_000);
    let got = queues.receive("q", 1_000, None).expect("receive");
    let mut sorted: Vec<_> = bodies(&got);
    assert_ne!(sorted[..100], numbers[..], "not in the order in which they were sent");
    sorted.sort_unstable();
    let mut twice: Vec<&str> = numbers.iter().chain(&numbers).map(String::as_str).collect();
    twice.sort_unstable();
    assert_eq!(sorted, twice);
    let got = queues.receive("q.fifo", 1_000, None).expect("receive");
    assert_eq!(bodies(&got), numbers);
}

#[derive(Debug, Clone)]
enum Step {
    Send { group: u8 },
    Receive { max: usize },
    DeleteOldest,
    GiveBackOldest,
    Wait { ms: i64 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0..3_u8).prop_map(|group| Step::Send { group }),
        (1..5_usize).prop_map(|max| Step::Receive { max }),
        Just(Step::DeleteOldest),
        Just(Step::GiveBackOldest),
        (1..20_000_i64).prop_map(|ms| Step::Wait { ms }),
    ];
    prop::collection::vec(step, 1..120)
}

/// A message's group and number.
type Told = (u8, u32);

/// Runs the steps, checks that no message is in two hands, then empties the queue. Returns the bodies in the order in
/// which they were deleted, and those that were sent.
fn run(name: &str, steps: &[Step]) -> (Vec<Told>, Vec<Told>) {
    let clock = ManualClock::at(0);
    let queues = queues(&clock);
    queues.create(QueueConfig::new(name)).expect("create");
    let mut now = 0;
    let (mut sent, mut deleted) = (Vec::new(), Vec::new());
    // What is in hand, and until when.
    let mut hands: Vec<(Received, i64)> = Vec::new();
    let parse = |body: &str| {
        let (group, number) = body.split_once('-').expect("two parts");
        (group.parse().expect("a group"), number.parse().expect("a number"))
    };
    let numbered = u32::try_from(steps.len()).expect("few");
    for (number, step) in (0..numbered).zip(steps) {
        match step {
            Step::Send { group } => {
                let message = Outgoing::new(format!("{group}-{number}")).in_group(group.to_string());
                queues.send(name, vec![message]).expect("send");
                sent.push((*group, number));
            }
            Step::Receive { max } => {
                for message in queues.receive(name, *max, None).expect("receive") {
                    let twice = hands.iter().any(|(held, _)| held.body == message.body);
                    assert!(!twice, "{} is in two hands", message.body);
                    hands.push((message, now + 30_000));
                }
            }
            Step::DeleteOldest if !hands.is_empty() => {
                let (message, _) = hands.remove(0);
                assert_eq!(queues.delete(name, &[message.receipt]).expect("delete"), 1);
                deleted.push(parse(&message.body));
            }
            Step::GiveBackOldest if !hands.is_empty() => {
                let (message, _) = hands.remove(0);
                queues.change_visibility(name, &[message.receipt], Duration::ZERO).expect("give back");
            }
            Step::Wait { ms } => {
                now += ms;
                clock.advance_ms(*ms);
                hands.retain(|(_, until)| *until > now);
            }
            Step::DeleteOldest | Step::GiveBackOldest => {}
        }
        let depth = queues.depth(name).expect("depth");
        assert_eq!(depth.total(), sent.len() - deleted.len());
        assert_eq!(depth.in_flight, hands.len());
    }
    clock.advance_ms(30_000);
    loop {
        let got = queues.receive(name, 1, None).expect("receive");
        let Some(message) = got.first() else { break };
        queues.delete(name, &[message.receipt]).expect("delete");
        deleted.push(parse(&message.body));
    }
    assert!(queues.is_idle());
    (deleted, sent)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_standard_queue_loses_nothing_and_has_no_message_in_two_hands(steps in steps()) {
        let (mut deleted, mut sent) = run("q", &steps);
        deleted.sort_unstable();
        sent.sort_unstable();
        prop_assert_eq!(deleted, sent);
    }

    #[test]
    fn a_fifo_queue_does_neither_and_never_opens_a_group_that_is_in_flight(steps in steps()) {
        let (deleted, sent) = run("q.fifo", &steps);
        prop_assert_eq!(deleted.iter().collect::<HashSet<_>>(), sent.iter().collect::<HashSet<_>>());
    }

    #[test]
    fn a_fifo_group_that_is_dealt_with_in_order_is_received_in_order(
        groups in prop::collection::vec(0..4_u8, 1..80), max in 1..10_usize, returns in prop::collection::vec(any::<bool>(), 1..10),
    ) {
        let queues = queues(&ManualClock::at(0));
        queues.create(QueueConfig::new("q.fifo")).expect("create");
        let messages = (0_u32..).zip(&groups);
        let messages = messages.map(|(n, group)| Outgoing::new(n.to_string()).in_group(group.to_string()));
        queues.send("q.fifo", messages.collect()).expect("send");
        let mut seen: BTreeMap<String, Vec<u32>> = BTreeMap::new();
        let mut returns = returns.iter().chain([&false]).cycle();
        loop {
            let got = queues.receive("q.fifo", max, None).expect("receive");
            if got.is_empty() {
                break;
            }
            let receipts: Vec<_> = got.iter().map(|message| message.receipt).collect();
            if *returns.next().expect("endless") {
                queues.change_visibility("q.fifo", &receipts, Duration::ZERO).expect("give back");
                continue;
            }
            queues.delete("q.fifo", &receipts).expect("delete");
            for message in got {
                let group = message.group.as_deref().expect("a group").to_owned();
                seen.entry(group).or_default().push(message.body.parse().expect("a number"));
            }
        }
        prop_assert!(queues.is_idle());
        for numbers in seen.values() {
            prop_assert!(numbers.is_sorted(), "{:?}", seen);
        }
    }
}
