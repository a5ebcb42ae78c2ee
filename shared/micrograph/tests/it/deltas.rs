//! Commands of an aggregate whose events carry changes.

use crate::inventory::{Stock, inventory};
use crate::wire::{Bus, Network, Reply, through};
use crate::world::{World, adjust};
use contracts::Version;
use embedded::DynamoDb;
use micrograph::CommandError;
use std::sync::atomic::{AtomicUsize, Ordering};

const TABLE: &str = "test-inventory-stock";

async fn after(quantities: &[i64]) -> World {
    let world = World::of(inventory()).await;
    for (number, quantity) in quantities.iter().enumerate() {
        let command = adjust(&format!("c{number}"), "A", *quantity);
        world.app.commands().execute::<Stock, _>(&command).await.expect("adjusted");
    }
    world
}

#[tokio::test]
async fn each_change_is_told_once_from_an_item_of_its_own() {
    let world = after(&[5, -2]).await;
    world.app.commands().execute::<Stock, _>(&adjust("c1", "A", -2)).await.expect("known");
    let told: Vec<_> = world
        .events(TABLE)
        .iter()
        .map(|it| (it["data"]["quantity"].as_i64(), it["version"]["seq"].as_u64()))
        .collect();
    assert_eq!(told, [(Some(5), Some(1)), (Some(-2), Some(2))]);
    let of_items: Vec<_> = world
        .records(TABLE)
        .iter()
        .filter(|it| it.pointer("/dynamodb/NewImage/events/L/0").is_some())
        .map(|it| it["dynamodb"]["Keys"]["sk"]["S"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(of_items, [Some("command#c0".to_owned()), Some("command#c1".to_owned())]);
}

#[tokio::test]
async fn a_command_is_known_after_more_others_than_the_ring_holds() {
    let world = after(&[1; 21]).await;
    let again = world.app.commands().execute::<Stock, _>(&adjust("c0", "A", 1)).await.expect("known");
    assert_eq!((again.version, again.changed), (Version::first_epoch(21), true));
    assert_eq!(again.state.expect("there").on_hand, 21);
    assert_eq!(world.events(TABLE).len(), 21);
}

#[tokio::test]
async fn a_command_that_the_rules_would_refuse_by_now_is_known_all_the_same() {
    // `c1` took 20; by now there is one piece, and the rules would refuse it.
    let mut quantities = vec![20, -20];
    quantities.extend([1; 17].iter().enumerate().map(|(n, one)| if n % 2 == 0 { *one } else { -one }));
    let world = after(&quantities).await;
    let again = world.app.commands().execute::<Stock, _>(&adjust("c1", "A", -20)).await.expect("known");
    assert_eq!((again.changed, again.state.expect("there").on_hand), (true, 1));
    let new = world.app.commands().execute::<Stock, _>(&adjust("new", "A", -20)).await;
    assert!(matches!(&new, Err(CommandError::Rejected(it)) if it.code == "STOCK_SHORT"), "{new:?}");
}

#[tokio::test(start_paused = true)]
async fn the_same_command_at_once_and_with_a_lost_answer_counts_once() {
    let db = DynamoDb::in_memory().expect("a database");
    let writes = AtomicUsize::new(0);
    let client = through(&db, move |operation, _| {
        let first = operation == "TransactWriteItems" && writes.fetch_add(1, Ordering::SeqCst) == 0;
        if first { Network::LosesTheAnswer } else { Network::Works }
    });
    let world = World::on(db, Bus::new(|_, _| Reply::Taken), inventory(), |it| it.dynamodb = client).await;
    let running: Vec<_> = (0..4)
        .map(|_| {
            let app = world.app.clone();
            tokio::spawn(async move { app.commands().execute::<Stock, _>(&adjust("c0", "A", 3)).await })
        })
        .collect();
    for one in running {
        let outcome = one.await.expect("no panic").expect("carried out");
        // Each is told how the aggregate is after the write, not before.
        assert_eq!((outcome.version, outcome.changed), (Version::first_epoch(1), true));
        assert_eq!(outcome.state.expect("there").on_hand, 3);
    }
    assert_eq!(world.events(TABLE).len(), 1);
}
