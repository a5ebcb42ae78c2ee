//! Several regions: what one does shows in all, one that is cut off goes on and comes back, another one takes over.

mod shop;

use embedded::queue::Chaos;
use local::generations::{self, Answer, Named};
use local::regions::{self, Ask, Regions, Standing};
use local::suite::Settings;
use micrograph::Edge;
use micrograph::environment::consistency;
use serde_json::Value;
use shop::{EVERYTHING, Shop};
use std::sync::Arc;
use std::time::Duration;

const EU: &str = "eu-west-1";
const US: &str = "us-east-1";

/// Two regions with the sample shop in them.
struct World {
    regions: Regions,
    eu: Shop,
    us: Shop,
}

impl World {
    async fn with_sample() -> anyhow::Result<Self> {
        let chaos = Chaos { duplicate: true, reorder: true, seed: 5 };
        Self::of(Settings { chaos, ..Settings::default() }).await
    }

    async fn of(settings: Settings) -> anyhow::Result<Self> {
        let regions = Regions::start(&[None, None], &settings).await?;
        let shop = |number: usize| {
            let suite = Arc::clone(&regions.suites[number]);
            let gateway = Arc::new(suite.gateway(gateway::Config::default())?);
            anyhow::Ok(Shop { suite, gateway })
        };
        let (eu, us) = (shop(0)?, shop(1)?);
        eu.fill().await?;
        regions.drained().await?;
        Ok(Self { regions, eu, us })
    }

    async fn tell(&self, ask: Ask) -> anyhow::Result<Vec<Standing>> {
        regions::answer(&self.eu.suite, ask).await
    }

    /// Both regions show the same, hold the same, and find nothing wrong with it.
    async fn agree(&self) -> anyhow::Result<()> {
        self.regions.drained().await?;
        let (eu, us) = (self.eu.ask(EVERYTHING).await?, self.us.ask(EVERYTHING).await?);
        assert_eq!(eu.get("errors"), None, "{eu:#}");
        assert_eq!(eu, us);
        for (name, app) in &self.eu.suite.apps {
            let other = &self.us.suite.apps[name];
            for (projection, version) in app.projections() {
                let generation = projection::Generation::deployed(version);
                let (one, two) =
                    (app.digest(projection, generation).await?, other.digest(projection, generation).await?);
                assert_eq!(one.differing(&two), Vec::<usize>::new(), "{name}.{projection}");
            }
        }
        for suite in &self.regions.suites {
            let audit = generations::Ask::Audit { of: None, repair: false };
            let Answer::Audited(all) = generations::answer(suite, audit, &|_| {}).await? else {
                panic!("no audit")
            };
            for audited in all {
                assert!(audited.audit.is_clean(), "{audited:#?}");
            }
        }
        Ok(())
    }

    async fn stop(self) {
        drop((self.eu, self.us));
        self.regions.stop().await;
    }
}

/// The stock of a product by its aggregate, as the mutation of one region leaves it; or the code of its error.
async fn adjust(shop: &Shop, sku: &str, quantity: i64) -> anyhow::Result<Result<i64, String>> {
    let answer = shop
        .ask(&format!(
            r#"mutation {{ adjustStock(sku: "{sku}", quantity: {quantity}, reason: FOUND) {{ ... on StockChanged {{ onHand }} }} }}"#
        ))
        .await?;
    if let Some(code) = answer.pointer("/errors/0/extensions/code").and_then(Value::as_str) {
        return Ok(Err(code.to_owned()));
    }
    Ok(Ok(answer["data"]["adjustStock"]["onHand"].as_i64().unwrap_or_else(|| panic!("{answer:#}"))))
}

async fn on_hand(shop: &Shop, sku: &str) -> anyhow::Result<i64> {
    let answer = shop.ask(&format!(r#"{{ product(sku: "{sku}") {{ stock {{ onHand }} }} }}"#)).await?;
    Ok(answer["data"]["product"]["stock"]["onHand"].as_i64().unwrap_or_else(|| panic!("{answer:#}")))
}

/// The last adjustments of a product, the oldest first: by how many pieces, and the balance after it.
async fn ledger(shop: &Shop, sku: &str) -> anyhow::Result<Vec<(i64, i64)>> {
    let answer = shop
        .ask(&format!(
            r#"{{ product(sku: "{sku}") {{ stockLedger {{ entriesMissing entries(first: 20) {{ quantity balance }} }} }} }}"#
        ))
        .await?;
    let ledger = &answer["data"]["product"]["stockLedger"];
    assert_eq!(ledger["entriesMissing"], false, "{answer:#}");
    let entries = ledger["entries"].as_array().unwrap_or_else(|| panic!("{answer:#}"));
    let numbers = entries.iter().map(|it| it["quantity"].as_i64().zip(it["balance"].as_i64()));
    Ok(numbers.rev().flatten().collect())
}

/// A product of the sample shop whose stock is at home in a region.
async fn at_home_in(world: &World, region: &str) -> anyhow::Result<String> {
    let products = world.eu.ask("{ products(first: 50) { nodes { sku } } }").await?;
    let homes = world.eu.suite.apps["inventory"].homes().expect("there are regions").fresh().await?;
    let nodes = products["data"]["products"]["nodes"].as_array().expect("products");
    let mut skus = nodes.iter().filter_map(|node| node["sku"].as_str());
    Ok(skus.find(|sku| homes.of(sku).region == region).expect("each region is a home").to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_region_does_shows_in_both() -> anyhow::Result<()> {
    let world = World::with_sample().await?;
    world.agree().await?;
    let standings = world.tell(Ask::List).await?;
    assert!(standings.iter().all(|it| it.shards > 0 && it.epoch == 0 && !it.cut), "{standings:?}");

    // A mutation is carried out at the aggregate's home, wherever it is sent; sent again elsewhere, it is known.
    for region in [EU, US] {
        let sku = at_home_in(&world, region).await?;
        let before = on_hand(&world.eu, &sku).await?;
        assert_eq!(adjust(&world.eu, &sku, 5).await?, Ok(before + 5));
        assert_eq!(adjust(&world.us, &sku, -2).await?, Ok(before + 3));
        world.agree().await?;
        assert_eq!(on_hand(&world.us, &sku).await?, before + 3);
    }
    world.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mutation_shows_what_it_wrote_wherever_it_was_decided() -> anyhow::Result<()> {
    // It is waited for as long as this machine may take; what never came would be said to be behind.
    let mut consistency = consistency("secret");
    consistency.patience = Duration::from_secs(9);
    let edge = Edge { consistency: Some(consistency), ..Edge::default() };
    let world = World::of(Settings { edge, ..Settings::default() }).await?;
    for region in [EU, US] {
        let sku = at_home_in(&world, region).await?;
        for shop in [&world.eu, &world.us] {
            let mutation = format!(
                r#"mutation {{ adjustStock(sku: "{sku}", quantity: 3, reason: FOUND) {{
                    ... on StockChanged {{ onHand product {{ stock {{ onHand }} }} }} }} }}"#
            );
            let answer = shop.ask(&mutation).await?;
            let changed = &answer["data"]["adjustStock"];
            assert!(changed["onHand"].is_i64(), "{answer}");
            assert_eq!(changed["product"]["stock"]["onHand"], changed["onHand"], "{answer}");
            assert_eq!(answer["extensions"], Value::Null, "{answer}");
        }
    }
    world.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_region_that_is_cut_off_goes_on_and_comes_back() -> anyhow::Result<()> {
    let world = World::with_sample().await?;
    let (in_eu, in_us) = (at_home_in(&world, EU).await?, at_home_in(&world, US).await?);
    let before = (on_hand(&world.eu, &in_eu).await?, on_hand(&world.us, &in_us).await?);
    world.tell(Ask::Cut(US.to_owned())).await?;
    assert_eq!(adjust(&world.eu, &in_eu, 7).await?, Ok(before.0 + 7));
    assert_eq!(adjust(&world.us, &in_us, 9).await?, Ok(before.1 + 9));
    assert_eq!(adjust(&world.eu, &in_us, 1).await?, Err("HOME_UNREACHABLE".to_owned()));
    assert_eq!(adjust(&world.us, &in_eu, 1).await?, Err("HOME_UNREACHABLE".to_owned()));
    world.tell(Ask::Heal(US.to_owned())).await?;
    world.agree().await?;
    assert_eq!(on_hand(&world.us, &in_eu).await?, before.0 + 7);
    assert_eq!(on_hand(&world.eu, &in_us).await?, before.1 + 9);
    world.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_region_takes_over_and_what_both_accepted_counts() -> anyhow::Result<()> {
    let world = World::with_sample().await?;
    let sku = at_home_in(&world, EU).await?;
    let before = on_hand(&world.us, &sku).await?;
    world.tell(Ask::Cut(EU.to_owned())).await?;
    let standings = world.tell(Ask::FailOver { from: EU.to_owned(), to: US.to_owned() }).await?;
    let us = standings.iter().find(|it| it.region == US).expect("it is listed");
    assert_eq!(us.epoch, 1, "{us:?}");

    // The region that was given up is still there, and still takes itself for the home.
    assert_eq!(adjust(&world.eu, &sku, 100).await?, Ok(before + 100));
    assert_eq!(adjust(&world.us, &sku, 10).await?, Ok(before + 10));
    assert_eq!(adjust(&world.us, &sku, 1).await?, Ok(before + 11));
    let retitled =
        r#"mutation { retitleProduct(sku: "SKU", title: "TITLE") { __typename } }"#.replace("SKU", &sku);
    for (shop, title) in [(&world.eu, "What the old home says"), (&world.us, "What the new home says")] {
        let answer = shop.ask(&retitled.replace("TITLE", title)).await?;
        assert_eq!(answer["data"]["retitleProduct"]["__typename"], "ProductChanged", "{answer:#}");
    }

    world.tell(Ask::Heal(EU.to_owned())).await?;
    world.agree().await?;
    // Changes count wherever they were accepted; of a state, the later epoch's stands.
    assert_eq!(on_hand(&world.eu, &sku).await?, before + 111);
    // In their order, those of the old home come before those of the new one, in both regions.
    for shop in [&world.eu, &world.us] {
        let mut entries = ledger(shop, &sku).await?;
        let last = entries.split_off(entries.len() - 3);
        assert_eq!(last, [(100, before + 100), (10, before + 110), (1, before + 111)]);
    }
    let product = world.eu.ask(&format!(r#"{{ product(sku: "{sku}") {{ title }} }}"#)).await?;
    assert_eq!(product["data"]["product"]["title"], "What the new home says");
    let standings = world.tell(Ask::List).await?;
    let eu = standings.iter().find(|it| it.region == EU).expect("it is listed");
    assert_eq!(eu.shards, 0, "{eu:?}");

    // It has learnt that it isn't the home any more: what is sent there is carried out at the new one.
    assert_eq!(adjust(&world.eu, &sku, 1).await?, Ok(before + 12));
    let standings = world.tell(Ask::FailOver { from: US.to_owned(), to: EU.to_owned() }).await?;
    world.regions.drained().await?;
    assert!(standings.iter().any(|it| it.region == EU && it.epoch == 2), "{standings:?}");
    assert_eq!(adjust(&world.us, &sku, 1).await?, Ok(before + 13));
    world.agree().await?;
    for shop in [&world.eu, &world.us] {
        assert_eq!(ledger(shop, &sku).await?.last(), Some(&(1, before + 113)));
        assert_eq!(on_hand(shop, &sku).await?, before + 113);
    }
    world.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_built_anew_after_a_takeover_holds_the_same() -> anyhow::Result<()> {
    let world = World::with_sample().await?;
    let sku = at_home_in(&world, EU).await?;
    world.tell(Ask::Cut(EU.to_owned())).await?;
    world.tell(Ask::FailOver { from: EU.to_owned(), to: US.to_owned() }).await?;
    for (shop, quantity) in [(&world.us, 1), (&world.eu, 20), (&world.us, 3), (&world.eu, 40)] {
        adjust(shop, &sku, quantity).await?.map_err(anyhow::Error::msg)?;
    }
    world.tell(Ask::Heal(EU.to_owned())).await?;
    world.agree().await?;
    let live = ledger(&world.eu, &sku).await?;
    let last: Vec<i64> = live.iter().rev().take(4).rev().map(|it| it.0).collect();
    assert_eq!(last, [20, 40, 1, 3]);
    for suite in &world.regions.suites {
        let of = Named { micrograph: "inventory".to_owned(), projection: "ledger".to_owned() };
        let ask = generations::Ask::Rebuild { of, swap: true };
        let Answer::Rebuilt(anew) = generations::answer(suite, ask, &|_| {}).await? else {
            panic!("no rebuild")
        };
        assert!(anew.audit.is_clean() && anew.alias.active == anew.generation, "{anew:#?}");
    }
    for shop in [&world.eu, &world.us] {
        assert_eq!(ledger(shop, &sku).await?, live);
    }
    world.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_takeover_in_the_middle_of_what_is_on_its_way_ends_the_same_in_both() -> anyhow::Result<()> {
    let world = World::with_sample().await?;
    let sku = at_home_in(&world, EU).await?;
    let before = on_hand(&world.eu, &sku).await?;
    for quantity in 1..=6 {
        adjust(&world.eu, &sku, quantity).await?.map_err(anyhow::Error::msg)?;
    }
    // Some of it is told, some isn't.
    world.tell(Ask::Cut(EU.to_owned())).await?;
    world.tell(Ask::FailOver { from: EU.to_owned(), to: US.to_owned() }).await?;
    for quantity in [10, 20, 30] {
        adjust(&world.eu, &sku, quantity).await?.map_err(anyhow::Error::msg)?;
        adjust(&world.us, &sku, 10 * quantity).await?.map_err(anyhow::Error::msg)?;
    }
    world.tell(Ask::Heal(EU.to_owned())).await?;
    world.agree().await?;
    for shop in [&world.eu, &world.us] {
        let entries = ledger(shop, &sku).await?;
        let last: Vec<i64> = entries.iter().rev().take(12).rev().map(|it| it.0).collect();
        assert_eq!(last, [1, 2, 3, 4, 5, 6, 10, 20, 30, 100, 200, 300]);
        let balance = before + 21 + 60 + 600;
        assert_eq!((entries.last().map(|it| it.1), on_hand(shop, &sku).await?), (Some(balance), balance));
    }
    world.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_can_not_be_done_to_regions_is_said() -> anyhow::Result<()> {
    let world = World::with_sample().await?;
    let fail_over = |from: &str, to: &str| Ask::FailOver { from: from.to_owned(), to: to.to_owned() };
    for (ask, why) in [
        (Ask::Cut("mars-1".to_owned()), "eu-west-1, us-east-1"),
        (Ask::Heal("mars-1".to_owned()), "eu-west-1, us-east-1"),
        (fail_over(EU, "mars-1"), "eu-west-1, us-east-1"),
        (fail_over(EU, EU), "itself"),
    ] {
        let refused = format!("{:#}", world.tell(ask).await.expect_err("it is refused"));
        assert!(refused.contains(why), "{refused}");
    }
    world.stop().await;

    let alone = Shop::with_sample(Chaos::default()).await?;
    let refused = format!("{:#}", regions::answer(&alone.suite, Ask::List).await.expect_err("it is refused"));
    assert!(refused.contains("--regions 2"), "{refused}");
    alone.stop().await;
    Ok(())
}
