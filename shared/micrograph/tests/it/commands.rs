//! Commands of an aggregate whose events carry its state.

use crate::catalogue::{Product, catalogue};
use crate::wire::{Bus, Network, Reply, through};
use crate::world::{AT, World, list, retitle};
use contracts::catalogue::{Category, DelistProduct};
use contracts::{CommandEnvelope, Version};
use embedded::DynamoDb;
use micrograph::{CommandError, Micrograph, Outcome, Rejection};
use projection::store::StoreError;
use proptest::prelude::*;
use std::sync::atomic::{AtomicUsize, Ordering};

const TABLE: &str = "test-catalogue-product";

fn delist(id: &str, sku: &str) -> CommandEnvelope<DelistProduct> {
    CommandEnvelope::new(id, AT, DelistProduct { sku: sku.to_owned() })
}

fn seq(seq: u64) -> Version {
    Version::first_epoch(seq)
}

fn rejected<T: std::fmt::Debug>(result: Result<T, CommandError>) -> Rejection {
    match result {
        Err(CommandError::Rejected(rejection)) => rejection,
        other => panic!("not rejected: {other:?}"),
    }
}

#[tokio::test]
async fn a_command_sent_twice_is_carried_out_once_and_has_the_same_outcome() {
    let world = World::of(catalogue()).await;
    let first = world.app.commands().execute::<Product, _>(&list("c1", "A", "Apron")).await.expect("listed");
    let again = world.app.commands().execute::<Product, _>(&list("c1", "A", "Apron")).await.expect("listed");
    assert_eq!(first, again);
    assert_eq!((first.version, first.changed), (seq(1), true));
    assert_eq!(first.state.expect("it is there").title, "Apron");
    let events = world.events(TABLE);
    assert_eq!(events.len(), 1);
    let event = &events[0];
    assert_eq!((&event["type"], &event["subject"]), (&"ProductListed".into(), &"A".into()));
    assert_eq!((&event["causationId"], &event["correlationId"]), (&"c1".into(), &"c1".into()));
    assert_eq!((&event["region"], &event["time"]), (&"eu-west-1".into(), &AT.to_string().into()));
}

#[tokio::test]
async fn what_is_so_already_changes_nothing() {
    let world = World::of(catalogue()).await;
    world.app.commands().execute::<Product, _>(&list("c1", "A", "Apron")).await.expect("listed");
    let outcome = world.app.commands().execute::<Product, _>(&retitle("c2", "A", "Apron")).await;
    let outcome = outcome.expect("it is called so already");
    assert_eq!((outcome.version, outcome.changed), (seq(1), false));
    assert_eq!(world.records(TABLE).len(), 1);
}

#[tokio::test]
async fn a_refusal_has_a_code_and_writes_nothing() {
    let world = World::of(catalogue()).await;
    let commands = world.app.commands();
    let refused = rejected(commands.execute::<Product, _>(&retitle("c1", "A", "Apron")).await);
    assert_eq!(refused.code, "NOT_LISTED");
    let (none, long) = (String::new(), "i".repeat(257));
    for id in [&none, &long] {
        let refused = rejected(commands.execute::<Product, _>(&list(id, "A", "Apron")).await);
        assert_eq!(refused.code, "COMMAND_ID_INVALID");
    }
    let refused = rejected(commands.execute::<Product, _>(&list("c2", "", "Apron")).await);
    assert_eq!(refused.code, "SUBJECT_INVALID");
    let refused = rejected(commands.execute::<Product, _>(&list("c2", "A", &"é".repeat(201))).await);
    assert_eq!(refused.code, "INVALID_TITLE");
    assert_eq!(refused.message, "`title` must not be blank, and have at most 200 characters");
    assert!(world.records(TABLE).is_empty());
}

#[tokio::test]
async fn a_command_is_known_by_what_it_changed() {
    let world = World::of(catalogue()).await;
    let commands = world.app.commands();
    let listed = commands.execute::<Product, _>(&list("c1", "A", "Apron")).await.expect("listed");
    let known =
        async |subject: &str, id: &str| commands.repeated::<Product>(subject, id).await.expect("read");
    assert_eq!(known("A", "c1").await, Some(listed));
    assert_eq!(known("A", "c2").await, None);
    assert_eq!(known("B", "c1").await, None);
    assert_eq!(rejected(commands.repeated::<Product>("", "c1").await).code, "SUBJECT_INVALID");
}

#[tokio::test]
async fn versions_go_on_after_an_aggregate_is_deleted_and_made_again() {
    let world = World::of(catalogue()).await;
    let commands = world.app.commands();
    commands.execute::<Product, _>(&list("c1", "A", "Apron")).await.expect("listed");
    let gone = commands.execute::<Product, _>(&delist("c2", "A")).await.expect("delisted");
    assert_eq!(gone, Outcome { version: seq(2), changed: true, state: None, told_by: gone.told_by.clone() });
    let refused = rejected(commands.execute::<Product, _>(&retitle("c3", "A", "Apron")).await);
    assert_eq!(refused.code, "NOT_LISTED");
    let back = commands.execute::<Product, _>(&list("c4", "A", "Apron again")).await.expect("listed");
    assert_eq!(back.version, seq(3));
    let told = world.events(TABLE);
    let told: Vec<_> = told.iter().map(|it| (it["kind"].as_str(), it["version"]["seq"].as_u64())).collect();
    assert_eq!(told, [(Some("State"), Some(1)), (Some("Deleted"), Some(2)), (Some("State"), Some(3))]);
}

#[tokio::test(start_paused = true)]
async fn commands_that_meet_on_an_aggregate_are_carried_out_one_after_the_other() {
    let db = DynamoDb::in_memory().expect("a database");
    let client = through(&db, |_, _| Network::Works);
    let bus = Bus::new(|_, _| Reply::Taken);
    let world = World::on(db, bus, catalogue(), |it| it.dynamodb = client).await;
    world.app.commands().execute::<Product, _>(&list("c", "A", "Apron")).await.expect("listed");
    let running: Vec<_> = (1..=20)
        .map(|n| {
            let app = world.app.clone();
            tokio::spawn(async move {
                let command = retitle(&format!("c{n}"), "A", &format!("Title {n}"));
                app.commands().execute::<Product, _>(&command).await.expect("carried out").version.seq
            })
        })
        .collect();
    let mut versions = Vec::new();
    for one in running {
        versions.push(one.await.expect("no panic"));
    }
    versions.sort_unstable();
    assert_eq!(versions, (2..=21).collect::<Vec<u64>>());
    let told: Vec<_> = world.events(TABLE).iter().map(|it| it["version"]["seq"].as_u64()).collect();
    assert_eq!(told, (1..=21).map(Some).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_aggregate_of_states_remembers_its_last_sixteen_commands() {
    let world = World::of(catalogue()).await;
    let commands = world.app.commands();
    commands.execute::<Product, _>(&list("c0", "A", "T0")).await.expect("listed");
    for n in 1..=16 {
        let command = retitle(&format!("c{n}"), "A", &format!("T{n}"));
        commands.execute::<Product, _>(&command).await.expect("retitled");
    }
    let known = commands.execute::<Product, _>(&retitle("c1", "A", "T1")).await.expect("known");
    assert_eq!((known.version, known.state.expect("there").title.as_str()), (seq(17), "T16"));
    // `c0` is forgotten: it is decided again, as a new command would be.
    let forgotten = commands.execute::<Product, _>(&list("c0", "A", "T0")).await.expect("listed already");
    assert_eq!((forgotten.version, forgotten.changed), (seq(17), false));
}

#[tokio::test]
async fn an_event_that_is_too_large_is_refused_and_nothing_changes() {
    let world = World::of(catalogue()).await;
    let mut long = list("c1", "A", "Apron");
    long.data.category = Category::Unknown("x".repeat(contracts::envelope::MAX_EVENT_BYTES));
    let refused = rejected(world.app.commands().execute::<Product, _>(&long).await);
    assert_eq!(refused.code, "EVENT_TOO_LARGE");
    assert!(world.records(TABLE).is_empty());
}

#[tokio::test]
async fn an_aggregate_that_is_too_large_with_its_event_is_refused_and_nothing_changes() {
    let world = World::of(catalogue()).await;
    let mut long = list("c1", "A", "Apron");
    long.data.category = Category::Unknown("x".repeat(210_000));
    let refused = rejected(world.app.commands().execute::<Product, _>(&long).await);
    assert_eq!(refused.code, "AGGREGATE_TOO_LARGE");
    assert!(world.records(TABLE).is_empty());
}

#[tokio::test]
async fn an_event_that_is_not_declared_is_a_mistake_of_ours_and_writes_nothing() {
    let undeclared = Micrograph::new("catalogue")
        .owns::<Product>()
        .decides::<Product, contracts::catalogue::ListProduct>();
    let world = World::of(undeclared).await;
    let result = world.app.commands().execute::<Product, _>(&list("c1", "A", "Apron")).await;
    assert!(
        matches!(&result, Err(CommandError::Internal(why)) if why.contains("ProductListed")),
        "{result:?}"
    );
    assert!(world.records(TABLE).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_write_whose_answer_was_lost_is_recognised() {
    let db = DynamoDb::in_memory().expect("a database");
    let writes = AtomicUsize::new(0);
    let client = through(&db, move |operation, _| {
        let first = operation == "PutItem" && writes.fetch_add(1, Ordering::SeqCst) == 0;
        if first { Network::LosesTheAnswer } else { Network::Works }
    });
    let bus = Bus::new(|_, _| Reply::Taken);
    let world = World::on(db, bus, catalogue(), |it| it.dynamodb = client).await;
    let outcome =
        world.app.commands().execute::<Product, _>(&list("c1", "A", "Apron")).await.expect("listed");
    assert_eq!((outcome.version, outcome.changed), (seq(1), true));
    assert_eq!(world.events(TABLE).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn while_the_store_is_away_a_command_fails_for_now() {
    let db = DynamoDb::in_memory().expect("a database");
    let client = through(&db, |_, _| Network::Fails);
    let bus = Bus::new(|_, _| Reply::Taken);
    let world = World::on(db, bus, catalogue(), |it| it.dynamodb = client).await;
    let result = world.app.commands().execute::<Product, _>(&list("c1", "A", "Apron")).await;
    assert!(matches!(result, Err(CommandError::Store(StoreError::Transient { .. }))), "{result:?}");
}

#[derive(Clone, Debug)]
enum Given {
    List(u8),
    Retitle(u8),
    Delist,
}

async fn give(world: &World, number: usize, given: &Given) -> bool {
    let (commands, id) = (world.app.commands(), format!("c{number}"));
    let outcome = match given {
        Given::List(title) => commands.execute::<Product, _>(&list(&id, "A", &format!("T{title}"))).await,
        Given::Retitle(title) => {
            commands.execute::<Product, _>(&retitle(&id, "A", &format!("T{title}"))).await
        }
        Given::Delist => commands.execute::<Product, _>(&delist(&id, "A")).await,
    };
    match outcome {
        Ok(outcome) => outcome.changed,
        Err(CommandError::Rejected(_)) => false,
        Err(error) => panic!("{error:?}"),
    }
}

/// Each command, how often it comes again at once, and how often it comes again at the end.
fn history() -> impl Strategy<Value = Vec<(Given, usize, usize)>> {
    let given = prop_oneof![
        (0..3_u8).prop_map(Given::List),
        (0..3_u8).prop_map(Given::Retitle),
        Just(Given::Delist),
    ];
    prop::collection::vec((given, 0..3_usize, 0..2_usize), 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn commands_that_come_again_make_no_difference(history in history()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let (once, again) = (World::of(catalogue()).await, World::of(catalogue()).await);
            let mut late = Vec::new();
            for (number, (given, repeats, later)) in history.iter().enumerate() {
                let changed = give(&once, number, given).await;
                for _ in 0..=*repeats {
                    assert_eq!(give(&again, number, given).await, changed);
                }
                // What changed nothing is not remembered: it would be decided anew.
                late.extend(changed.then_some((number, given)).into_iter().cycle().take(*later));
            }
            for (number, given) in late {
                assert!(give(&again, number, given).await);
            }
            assert_eq!(once.events(TABLE), again.events(TABLE));
        });
    }
}
