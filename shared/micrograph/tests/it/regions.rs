//! Aggregates with a home among several regions.

use crate::catalogue::{Product, catalogue};
use crate::wire::{Bus, Reply};
use crate::world::{World, failed, list, retitle};
use async_trait::async_trait;
use contracts::Version;
use embedded::DynamoDb;
use futures::future::join_all;
use micrograph::regions::{Homes, Relay, RelayError};
use micrograph::{App, CommandError, Regions};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, Weak};

const EU: &str = "eu-west-1";
const US: &str = "us-east-1";
const TABLE: &str = "test-catalogue-product";

/// Calls the other region's function, if there is a way.
#[derive(Debug, Default)]
struct Way(Mutex<BTreeMap<String, Weak<App>>>);

#[async_trait]
impl Relay for Way {
    async fn decide(&self, region: &str, _: &str, command: &str) -> Result<Value, RelayError> {
        let app = self.0.lock().expect("lock").get(region).and_then(Weak::upgrade);
        let Some(app) = app else {
            return Err(RelayError { region: region.to_owned(), source: "no way".into() });
        };
        Ok(app.commands().decide(command).await)
    }
}

fn all() -> Vec<String> {
    [EU, US].map(str::to_owned).to_vec()
}

async fn region(own: &str, way: Option<Arc<Way>>) -> World {
    let db = DynamoDb::in_memory().expect("a database");
    let world = World::on(db, Bus::new(|_, _| Reply::Taken), catalogue(), |it| {
        own.clone_into(&mut it.region);
        let relay = way.map(|way| way as Arc<dyn Relay>);
        it.regions = Some(Regions { all: all(), first: all(), relay });
    });
    let world = world.await;
    world.app.create_tables().await.expect("tables");
    world
}

/// Two regions, with a way from each to the other.
async fn pair() -> (World, World, Arc<Way>) {
    let way = Arc::new(Way::default());
    let (eu, us) = (region(EU, Some(Arc::clone(&way))).await, region(US, Some(Arc::clone(&way))).await);
    let apps = [(EU, &eu), (US, &us)].map(|(name, world)| (name.to_owned(), Arc::downgrade(&world.app)));
    way.0.lock().expect("lock").extend(apps);
    (eu, us, way)
}

/// A product that is at home in a region.
fn at_home_in(region: &str) -> String {
    let homes = Homes::first(&all());
    let mut skus = (0..1_000).map(|number| format!("SKU-{number}"));
    skus.find(|sku| homes.of(sku).region == region).expect("each region is a home")
}

/// Another one.
fn at_home_in_too(region: &str, but: &str) -> String {
    let homes = Homes::first(&all());
    let mut skus = (0..1_000).map(|number| format!("SKU-{number}"));
    skus.find(|sku| sku != but && homes.of(sku).region == region).expect("each region is a home")
}

/// What a region puts on its bus for all that it stored since the start.
async fn published(world: &World) -> Vec<Value> {
    let before = world.bus.calls().len();
    let payload = json!({ "Records": world.records(TABLE) }).to_string();
    world.app.invoke("outbox", payload.as_bytes(), None).await.expect("published");
    world.bus.calls().split_off(before).concat()
}

/// The bodies of the messages that another region gets of it.
fn forwarded(entries: &[Value]) -> Vec<String> {
    let wanted = ["AggregateReplica", "HomesMoved"];
    let entries = entries.iter().filter(|it| wanted.contains(&it["DetailType"].as_str().unwrap_or_default()));
    let body = |entry: &Value| {
        let detail: Value = serde_json::from_str(entry["Detail"].as_str().expect("text")).expect("JSON");
        json!({ "source": entry["Source"], "detail-type": entry["DetailType"], "detail": detail }).to_string()
    };
    entries.map(body).collect()
}

async fn hear(world: &World, bodies: &[String]) {
    let answer = world.app.invoke("replicas", &crate::world::batch(bodies), None).await.expect("heard");
    assert_eq!(failed(&answer), Vec::<&str>::new());
}

/// The item of an aggregate, as it is stored.
async fn stored(world: &World, sku: &str) -> Option<Value> {
    let client = &world.app.environment().dynamodb;
    let text = |text: &str| aws_sdk_dynamodb::types::AttributeValue::S(text.to_owned());
    let key = [("pk".to_owned(), text(sku)), ("sk".to_owned(), text(projection::Key::ALONE))];
    let read = client.get_item().table_name(TABLE).set_key(Some(key.into())).send().await.expect("read");
    let item: serde_dynamo::Item = read.item?.into();
    Some(serde_json::to_value(item).expect("JSON"))
}

#[tokio::test]
async fn a_command_is_decided_where_its_aggregate_is_at_home() {
    let (eu, us, way) = pair().await;
    let sku = at_home_in(US);
    let sent = list("c1", &sku, "Apron");
    let outcome = eu.app.commands().execute::<Product, _>(&sent).await.expect("handed on");
    assert_eq!(outcome.state.as_ref().expect("it is there").title, "Apron");
    assert_eq!((eu.records(TABLE).len(), us.records(TABLE).len()), (0, 1));
    // Sent again, wherever, it is known.
    assert_eq!(us.app.commands().execute::<Product, _>(&sent).await.expect("known"), outcome);
    // A refusal comes back as one.
    let unlisted = retitle("c2", &at_home_in_too(US, &sku), "Bib");
    let refused = eu.app.commands().execute::<Product, _>(&unlisted).await;
    assert!(matches!(refused, Err(CommandError::Rejected(_))), "{refused:?}");
    // Without a way it can be sent again.
    way.0.lock().expect("lock").clear();
    let unreachable = eu.app.commands().execute::<Product, _>(&retitle("c3", &sku, "Cap")).await;
    assert!(matches!(unreachable, Err(CommandError::Unreachable(_))), "{unreachable:?}");
    assert_eq!(us.records(TABLE).len(), 1);

    let alone = region(EU, None).await;
    let elsewhere = alone.app.commands().execute::<Product, _>(&sent).await;
    assert!(matches!(&elsewhere, Err(CommandError::Elsewhere(home)) if home == US), "{elsewhere:?}");
}

#[tokio::test]
async fn a_region_that_takes_over_goes_on_from_the_replica_and_fences_the_old_home_off() {
    let (eu, us, _way) = pair().await;
    let sku = at_home_in(EU);
    eu.app.commands().execute::<Product, _>(&list("c1", &sku, "Apron")).await.expect("listed");
    eu.app.commands().execute::<Product, _>(&retitle("c2", &sku, "Bib")).await.expect("retitled");
    hear(&us, &forwarded(&published(&eu).await)).await;
    assert_eq!(stored(&us, &sku).await, stored(&eu, &sku).await);
    // A replica is published where it was written, and nowhere else.
    assert_eq!(published(&us).await, Vec::<Value>::new());

    let before = us.bus.calls().len();
    us.app.move_homes(EU, US).await.expect("moved");
    let told = us.bus.calls().split_off(before).concat();
    let outcome =
        us.app.commands().execute::<Product, _>(&retitle("c3", &sku, "Cap")).await.expect("taken over");
    assert_eq!(outcome.version, Version { epoch: 1, seq: 3 });
    let entries = published(&us).await;
    let event: Value = serde_json::from_str(entries[0]["Detail"].as_str().expect("text")).expect("JSON");
    assert_eq!((&event["epochBase"], &event["region"]), (&json!(2), &json!(US)));
    // What was carried out before is known to who took over.
    let again = us.app.commands().execute::<Product, _>(&retitle("c2", &sku, "Bib")).await.expect("known");
    assert_eq!(again.version, outcome.version);

    // The old home hasn't heard, and goes on; what it writes is older than what stands.
    let late =
        eu.app.commands().execute::<Product, _>(&retitle("c4", &sku, "Dress")).await.expect("it goes on");
    assert_eq!(late.version, Version { epoch: 0, seq: 3 });
    hear(&us, &forwarded(&published(&eu).await)).await;
    hear(&eu, &forwarded(&entries)).await;
    assert_eq!(stored(&us, &sku).await, stored(&eu, &sku).await);
    assert_eq!(stored(&eu, &sku).await.expect("it is there")["state"]["M"]["title"]["S"], "Cap");

    // The replica alone has told it where the aggregate is at home; the news tells it of all others.
    let handed =
        eu.app.commands().execute::<Product, _>(&retitle("c5", &sku, "Dress")).await.expect("handed on");
    assert_eq!(handed.version, Version { epoch: 1, seq: 4 });
    hear(&eu, &forwarded(&told)).await;
    let homes = eu.app.homes().expect("there are regions").fresh().await.expect("read");
    assert_eq!((homes.at(EU).0, homes.at(US).1), (0, 1));
}

#[tokio::test]
async fn what_is_no_replica_is_quarantined_and_its_neighbours_are_kept() {
    let (eu, us, _way) = pair().await;
    let sku = at_home_in(EU);
    eu.app.commands().execute::<Product, _>(&list("c1", &sku, "Apron")).await.expect("listed");
    let good = forwarded(&published(&eu).await);
    let wrap = |detail: Value| {
        json!({ "source": "tributary.catalogue", "detail-type": "AggregateReplica", "detail": detail })
            .to_string()
    };
    let image = json!({ "pk": { "S": "A" }, "sk": { "S": "-" } });
    let bad = [
        "nonsense".to_owned(),
        wrap(json!({ "replica": {} })),
        wrap(json!({ "region": EU, "replica": { "table": "orders-order", "image": image } })),
        wrap(json!({ "region": EU, "replica": { "table": "catalogue-product", "image": image } })),
        wrap(json!({ "region": EU, "homes": [] })),
    ];
    hear(&us, &[good.as_slice(), &bad, &good].concat()).await;
    assert_eq!(stored(&us, &sku).await, stored(&eu, &sku).await);
    let quarantined = us.quarantined().await;
    assert_eq!(quarantined.len(), bad.len(), "{quarantined:#?}");
    assert!(
        quarantined.iter().all(|(entry, raw)| entry.consumer == "catalogue.replicas" || bad.contains(raw))
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// In any order, and however often, the latest version of an aggregate stands.
    #[test]
    fn replicas_come_in_any_order(order in Just((0..5_usize).chain(0..5).collect::<Vec<_>>()).prop_shuffle()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let (eu, us, _way) = pair().await;
            let sku = at_home_in(EU);
            eu.app.commands().execute::<Product, _>(&list("c", &sku, "Apron")).await.expect("listed");
            let titles = (1..5).map(|number| retitle(&format!("c{number}"), &sku, &format!("Title {number}")));
            for command in titles {
                eu.app.commands().execute::<Product, _>(&command).await.expect("retitled");
            }
            let replicas = forwarded(&published(&eu).await);
            prop_assert_eq!(replicas.len(), 5);
            let shuffled: Vec<[String; 1]> = order.iter().map(|number| [replicas[*number].clone()]).collect();
            join_all(shuffled.iter().map(|body| hear(&us, body))).await;
            prop_assert_eq!(stored(&us, &sku).await, stored(&eu, &sku).await);
            Ok(())
        })?;
    }
}
