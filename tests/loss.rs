//! What the loss of a region costs: what it had accepted and the other one has not heard (the recovery point), and how long
//! its aggregates take no change (the recovery time). Two regions in one process, under load; the one is cut off, the other
//! one takes over, they meet again, and the next time it is the other way round.
//!
//! `cargo run --release -p suite-tests --example loss [-- LOSSES]`. Nothing is on its way between these regions for longer
//! than this machine takes: what AWS adds is in infra/aws/README.md.

mod shop;

use anyhow::{Context as _, ensure};
use embedded::queue::Chaos;
use local::regions::{self, Ask, Regions, Standing};
use local::suite::Settings;
use serde_json::Value;
use shop::Shop;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use testkit::dice::Dice;
use tokio::time::{Instant, sleep};

/// How often a region is lost, unless the first argument says otherwise.
const LOSSES: usize = 20;
/// Clients that change stock, each that of a product of its own, one change after another.
const CLIENTS: usize = 4;
/// A region is lost within so long of the beginning of its load.
const LOADED: Duration = Duration::from_millis(1_500);
/// What nobody hears within this time isn't on its way any more.
const QUIET: Duration = Duration::from_millis(500);
/// The longest time that anything is waited for.
const PATIENCE: Duration = Duration::from_mins(1);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let losses = std::env::args().nth(1).map_or(Ok(LOSSES), |it| it.parse()).context("how many losses")?;
    ensure!(losses > 0, "one loss at least");
    // Messages that are held back to come in another order would count as unheard.
    let chaos = Chaos { duplicate: true, reorder: false, seed: 5 };
    let regions = Regions::start(&[None, None], &Settings { chaos, ..Settings::default() }).await?;
    let mut shops = Vec::new();
    for (region, suite) in regions::NAMES.iter().zip(&regions.suites) {
        let gateway = Arc::new(suite.gateway(gateway::Config::default())?);
        shops.push((*region, Shop { suite: Arc::clone(suite), gateway }));
    }
    shops[0].1.fill().await?;
    regions.drained().await?;
    let mut dice = Dice::new(1);
    let mut all = Vec::new();
    for number in 0..losses {
        let (gone, here) = (&shops[number % 2], &shops[(number + 1) % 2]);
        let after = LOADED.mul_f64(0.2 + 0.8 * f64::from(u32::try_from(dice.below(1_000))?) / 1_000.0);
        let lost = lose(&regions, gone, here, after).await.with_context(|| format!("loss {number}"))?;
        println!("{lost:?}");
        all.push(lost);
    }
    tell(&all);
    drop(shops);
    regions.stop().await;
    Ok(())
}

/// What one loss came to.
#[derive(Debug)]
struct Lost {
    /// Changes that the region had accepted.
    accepted: usize,
    /// Of these, those that the other one didn't hear before the two met again.
    unheard: usize,
    /// How long before the loss the first of those was accepted.
    point: Duration,
    /// From the decision to the first change that the other region accepts.
    time: Duration,
    /// Reads of the other region meanwhile, none of which failed.
    reads: usize,
}

type Region = (&'static str, Shop);

async fn lose(regions: &Regions, gone: &Region, here: &Region, after: Duration) -> anyhow::Result<Lost> {
    let skus = at_home_in(gone).await?;
    let mut before = Vec::new();
    for sku in &skus {
        before.push(on_hand(&here.1, sku).await?);
    }
    let over = Arc::new(AtomicBool::new(false));
    let clients = skus.iter().map(|sku| client(gone.1.clone(), sku.clone(), Arc::clone(&over)));
    let clients: Vec<_> = clients.map(tokio::spawn).collect();
    let reads = Arc::new(AtomicUsize::new(0));
    let read_over = Arc::new(AtomicBool::new(false));
    let reader = {
        let (shop, sku, reads, over) =
            (here.1.clone(), skus[0].clone(), Arc::clone(&reads), Arc::clone(&read_over));
        tokio::spawn(async move {
            while !over.load(Ordering::Relaxed) {
                on_hand(&shop, &sku).await?;
                reads.fetch_add(1, Ordering::Relaxed);
                sleep(Duration::from_millis(5)).await;
            }
            anyhow::Ok(())
        })
    };

    sleep(after).await;
    tell_regions(here, Ask::Cut(gone.0.to_owned())).await?;
    let cut = Instant::now();
    over.store(true, Ordering::Relaxed);
    // What was answered after the cut is beyond the loss: no client would have heard it.
    let mut accepted: Vec<Vec<Instant>> = Vec::new();
    let mut later = Vec::new();
    for client in clients {
        let (heard, unheard) = client.await??.into_iter().partition::<Vec<_>, _>(|it| *it <= cut);
        accepted.push(heard);
        later.push(unheard.len());
    }

    let decided = Instant::now();
    tell_regions(here, Ask::FailOver { from: gone.0.to_owned(), to: here.0.to_owned() }).await?;
    let taken_over = async {
        while !adjust(&here.1, &skus[0]).await? {
            sleep(Duration::from_millis(1)).await;
        }
        anyhow::Ok(decided.elapsed())
    };
    let time = tokio::time::timeout(PATIENCE, taken_over).await.context("nobody took over")??;

    // The first product has one more, by the region that took over.
    let (mut unheard, mut point) = (0, Duration::ZERO);
    for (number, sku) in skus.iter().enumerate() {
        let own = i64::from(number == 0);
        let seen = usize::try_from(settled(here, sku).await? - before[number] - own)?;
        let missing = accepted[number].len().saturating_sub(seen);
        if missing > 0 {
            unheard += missing;
            point = point.max(cut - accepted[number][accepted[number].len() - missing]);
        }
    }
    tell_regions(here, Ask::Heal(gone.0.to_owned())).await?;
    regions.drained().await?;
    read_over.store(true, Ordering::Relaxed);
    reader.await??;
    for (number, sku) in skus.iter().enumerate() {
        let all = before[number] + i64::try_from(accepted[number].len() + later[number])?;
        let own = i64::from(number == 0);
        for (region, shop) in [gone, here] {
            let seen = on_hand(shop, sku).await?;
            ensure!(seen == all + own, "{region} has {seen} of {sku}, not {}: something was lost", all + own);
        }
    }
    let reads = reads.load(Ordering::Relaxed);
    Ok(Lost { accepted: accepted.iter().map(Vec::len).sum(), unheard, point, time, reads })
}

/// Changes a product's stock by one, again and again; when each change was accepted.
async fn client(shop: Shop, sku: String, over: Arc<AtomicBool>) -> anyhow::Result<Vec<Instant>> {
    let mut accepted = Vec::new();
    while !over.load(Ordering::Relaxed) {
        ensure!(adjust(&shop, &sku).await?, "a region refuses a change of its own");
        accepted.push(Instant::now());
    }
    Ok(accepted)
}

/// Changes a product's stock by one; whether that was accepted.
async fn adjust(shop: &Shop, sku: &str) -> anyhow::Result<bool> {
    let change = format!(
        r#"mutation {{ adjustStock(sku: "{sku}", quantity: 1, reason: FOUND) {{ ... on StockChanged {{ onHand }} }} }}"#
    );
    let answer = shop.ask(&change).await?;
    if answer["data"]["adjustStock"]["onHand"].is_i64() {
        return Ok(true);
    }
    let code = answer.pointer("/errors/0/extensions/code").and_then(Value::as_str);
    ensure!(code == Some("HOME_UNREACHABLE"), "{answer:#}");
    Ok(false)
}

async fn on_hand(shop: &Shop, sku: &str) -> anyhow::Result<i64> {
    let answer = shop.ask(&format!(r#"{{ product(sku: "{sku}") {{ stock {{ onHand }} }} }}"#)).await?;
    answer["data"]["product"]["stock"]["onHand"].as_i64().with_context(|| format!("{answer:#}"))
}

/// The stock that a region shows once it has worked off what it heard.
async fn settled(region @ (name, shop): &Region, sku: &str) -> anyhow::Result<i64> {
    let (mut seen, mut since) = (on_hand(shop, sku).await?, Instant::now());
    while since.elapsed() < QUIET {
        sleep(Duration::from_millis(20)).await;
        let standings = tell_regions(region, Ask::List).await?;
        let standing = standings.iter().find(|it| it.region == *name).context("it is listed")?;
        // What the lost one is to hear waits.
        let is_busy = shop.suite.waiting() > standing.waiting.values().sum();
        let now = on_hand(shop, sku).await?;
        if now != seen || is_busy {
            (seen, since) = (now, Instant::now());
        }
    }
    Ok(seen)
}

/// Products whose stock is at home in a region, one for each client.
async fn at_home_in((region, shop): &Region) -> anyhow::Result<Vec<String>> {
    let products = shop.ask("{ products(first: 50) { nodes { sku } } }").await?;
    let homes = shop.suite.apps["inventory"].homes().context("there are regions")?.fresh().await?;
    let nodes = products["data"]["products"]["nodes"].as_array().context("products")?;
    let skus = nodes.iter().filter_map(|node| node["sku"].as_str()).map(str::to_owned);
    let skus: Vec<String> = skus.filter(|sku| homes.of(sku).region == *region).take(CLIENTS).collect();
    ensure!(!skus.is_empty(), "nothing is at home in {region}");
    Ok(skus)
}

async fn tell_regions((_, shop): &Region, ask: Ask) -> anyhow::Result<Vec<Standing>> {
    regions::answer(&shop.suite, ask).await
}

fn tell(all: &[Lost]) {
    let of = |figure: fn(&Lost) -> f64| {
        let mut figures: Vec<f64> = all.iter().map(figure).collect();
        figures.sort_by(f64::total_cmp);
        (figures[figures.len() / 2], figures[figures.len() - 1])
    };
    let sum = |figure: fn(&Lost) -> usize| all.iter().map(figure).sum::<usize>();
    println!("| of {} losses | median | at most |\n|---|---:|---:|", all.len());
    for (name, (median, most)) in [
        ("recovery point, ms", of(|it| it.point.as_secs_f64() * 1e3)),
        ("recovery time from the decision on, ms", of(|it| it.time.as_secs_f64() * 1e3)),
    ] {
        println!("| {name} | {median:.1} | {most:.1} |");
    }
    println!(
        "{} of {} accepted changes were not heard before the regions met again; afterwards none is missing. {} reads, none failed.",
        sum(|it| it.unheard),
        sum(|it| it.accepted),
        sum(|it| it.reads)
    );
}
