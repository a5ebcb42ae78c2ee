//! Relational projections on a real PostgreSQL: the conformance suite of stores, the law of every projection, and the
//! reporting micrograph in the sample shop, rebuilt and audited.
//!
//! `cargo run -p suite-tests --example postgres -- postgres://user@host/database [BINARY]`, of which it takes tables that begin
//! with `conformance`, `law-`, `test-` and `reporting-`, and the user `check_reader`. `tests/postgres/run` starts a PostgreSQL for
//! it. Where reporting's binary is named, it is run in each of its roles. `LAW_CASES` says how many trials of each projection
//! are run, `LAW_SEED` from which number they follow.

mod shop;

use anyhow::{Context as _, ensure};
use embedded::queue::Chaos;
use futures::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use local::generations::{self, Answer, Ask, Audited, Named};
use local::suite::{Settings, Suite};
use micrograph::App;
use micrograph::manifest::Manifest;
use projection::join::{Body, Put};
use projection::store::{Outcome, Question, Relational, Store};
use projection::{Key, Table};
use relational::{Connection, PostgresStore};
use reporting::report::{Cut, Report, Row};
use serde_json::{Value, json};
use shop::Shop;
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, Executor as _};
use std::collections::BTreeSet;
use std::sync::Arc;
use testkit::conformance::{self, Races};
use testkit::law::{self, Law};
use testkit::roles::{self, Beside};

fn main() -> anyhow::Result<()> {
    let url = std::env::args().nth(1).context("name the database: postgres://user@host/database")?;
    timed("conformance", || block_on(conforms(&url)))?;
    timed("sweep", || block_on(sweeps(&url)))?;
    timed("law", || abides(&url))?;
    timed("a reader", || block_on(reads(&url)))?;
    if let Some(binary) = std::env::args().nth(2) {
        timed("functions", || block_on(works(&binary, &url)))?;
    }
    timed("reporting", || block_on(reports(&url)))
}

fn timed(what: &str, run: impl FnOnce() -> anyhow::Result<String>) -> anyhow::Result<()> {
    let begun = tokio::time::Instant::now();
    let told = run().with_context(|| format!("{what} failed"))?;
    println!("ok  {what}, {:.1} s: {told}", begun.elapsed().as_secs_f64());
    Ok(())
}

fn block_on<T>(run: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(run)
}

fn store(url: &str, clock: fn() -> Timestamp) -> anyhow::Result<Arc<PostgresStore>> {
    let connection = Connection { connections: 8, ..Connection::new(url) };
    Ok(Arc::new(PostgresStore::new(&connection, clock)?))
}

async fn conforms(url: &str) -> anyhow::Result<String> {
    const NAME: &str = "conformance";
    let store = store(url, testkit::clock)?;
    store.delete_table(NAME).await?;
    store.create_table(NAME, &conformance::table(NAME)).await?;
    // Created again, at once, it is left as it is.
    let table = conformance::table(NAME);
    tokio::try_join!(store.create_table(NAME, &table), store.create_table(NAME, &table))?;
    let report = conformance::store_conformance(Arc::clone(&store) as Arc<dyn Store>, NAME, Races::Run).await;
    ensure!(report.failed.is_empty(), "{report}");
    store.delete_table(NAME).await?;
    store.delete_table(NAME).await?;
    Ok(format!("{} cases", report.passed.len()))
}

/// A tombstone goes once its time is over, and nothing else does.
async fn sweeps(url: &str) -> anyhow::Result<String> {
    const NAME: &str = "conformance-sweep";
    let put = |key: &str, body| Put {
        key: Key::alone(key),
        source: None,
        version: contracts::Version::first_epoch(1),
        hash: "h".to_owned(),
        body,
    };
    let now = store(url, testkit::clock)?;
    let later = store(url, || testkit::clock() + SignedDuration::from_hours(24 * 43))?;
    now.delete_table(NAME).await?;
    now.create_table(NAME, &Table::new(NAME)).await?;
    let view = Body::View(serde_dynamo::to_item(json!({ "title": "stays" }))?);
    for (key, body) in [("gone", Body::Tombstone), ("stays", view)] {
        ensure!(now.put(NAME, &put(key, body)).await?.outcomes == [Outcome::Applied]);
    }
    ensure!(now.sweep(NAME).await? == 0, "a tombstone went before its time");
    ensure!(later.sweep(NAME).await? == 1, "a tombstone stays after its time");
    let (left, _) = now.scan(NAME, None).await?;
    ensure!(left.len() == 1 && left[0].0 == Key::alone("stays"), "{left:?}");
    now.delete_table(NAME).await?;
    Ok("a tombstone".to_owned())
}

/// The law of every projection of the shop, whichever store it is kept in.
fn abides(url: &str) -> anyhow::Result<String> {
    let mut all = law::Checked::default();
    for micrograph in local::shop::all() {
        for projection in micrograph.projections() {
            let url = url.to_owned();
            let make = move || {
                store(&url, testkit::clock).expect("the address is one of PostgreSQL's")
                    as Arc<dyn Relational>
            };
            let logs = law::logs(projection)?;
            let checked = Law::new(projection.clone()).relational(make).check(&logs);
            all = all.and(checked.with_context(|| format!("{}.{}", micrograph.name(), projection.name()))?);
        }
    }
    ensure!(
        all.faults > 0 && all.swaps > 0 && all.crashes > 0,
        "nothing went wrong, nothing was rebuilt: {all:?}"
    );
    Ok(format!(
        "{} trials, {} messages, {} faults, {} crashes, {} tables rebuilt",
        all.trials, all.messages, all.faults, all.crashes, all.swaps
    ))
}

/// A reader may read what was made, and nothing else.
async fn reads(url: &str) -> anyhow::Result<String> {
    const READER: &str = "check_reader";
    let names = ["conformance-read", "conformance-unread"];
    let open = |connection: Connection| anyhow::Ok(PostgresStore::new(&connection, testkit::clock)?);
    let (owner, as_owner) = (open(Connection::new(url))?, Connection::new(url));
    let granting = open(Connection { reader: Some(READER.to_owned()), ..as_owner })?;
    for (store, name) in [(&granting, names[0]), (&owner, names[1])] {
        store.delete_table(name).await?;
        store.create_table(name, &Table::new(name)).await?;
    }
    // A second time, by another process, it is there already.
    granting.create_table(names[0], &Table::new(names[0])).await?;
    let view = Body::View(serde_dynamo::to_item(json!({ "title": "read" }))?);
    let put = Put {
        key: Key::alone("one"),
        source: None,
        version: contracts::Version::first_epoch(1),
        hash: "h".to_owned(),
        body: view,
    };
    owner.put(names[0], &put).await?;
    let (scheme, place) = url.split_once("://").context("a URL")?;
    let place = place.split_once('@').map_or(place, |(_, place)| place);
    let reader = open(Connection::new(format!("{scheme}://{READER}@{place}")))?;
    let question =
        Question { sql: "SELECT item ->> 'title' AS title FROM {t}".to_owned(), bound: Vec::new() };
    let rows = reader.ask(names[0], &question).await?;
    ensure!(rows.len() == 1, "{rows:?}");
    ensure!(reader.ask(names[1], &question).await.is_err(), "it reads what nobody let it read");
    let later = Put { version: contracts::Version::first_epoch(2), ..put };
    ensure!(reader.put(names[0], &later).await.is_err(), "it writes");
    ensure!(reader.delete_table(names[0]).await.is_err(), "it removes");
    for name in names {
        owner.delete_table(name).await?;
    }
    Ok("what is granted, and no more".to_owned())
}

/// Reporting's binary, in each of its roles.
async fn works(binary: &str, url: &str) -> anyhow::Result<String> {
    let store = store(url, testkit::clock)? as Arc<dyn Relational>;
    let lose: fn(String, String) -> BoxFuture<'static, anyhow::Result<()>> = |url, table| {
        Box::pin(async move {
            let pool = PgPoolOptions::new().max_connections(1).connect(&url).await?;
            let lost =
                format!("DELETE FROM \"{table}\" WHERE (pk, sk) = (SELECT pk, sk FROM \"{table}\" LIMIT 1)");
            ensure!(pool.execute(AssertSqlSafe(lost)).await?.rows_affected() == 1, "an item is lost");
            Ok(())
        })
    };
    let beside = Beside { store, url: url.to_owned(), lose };
    roles::work_beside(binary, reporting::micrograph, Some(&beside)).await?;
    Ok(format!("{} roles", Manifest::of(&reporting::micrograph()).functions.len()))
}

fn sales() -> Named {
    Named { micrograph: "reporting".to_owned(), projection: "sales".to_owned() }
}

async fn audit(suite: &Arc<Suite>, repair: bool) -> anyhow::Result<Audited> {
    match generations::answer(suite, Ask::Audit { of: Some(sales()), repair }, &|_| {}).await? {
        Answer::Audited(mut audited) => audited.pop().context("one was audited"),
        other => anyhow::bail!("{other:?}"),
    }
}

async fn reports(url: &str) -> anyhow::Result<String> {
    let chaos = Chaos { duplicate: true, reorder: true, seed: 5 };
    let relational = store(url, micrograph::environment::now)?;
    for generation in ["1", "1-1"] {
        relational.delete_table(&format!("reporting-sales-{generation}")).await?;
    }
    let settings = Settings { chaos, relational: Some(relational), ..Settings::default() };
    let shop = Shop::with(settings).await?;
    agrees(&shop).await?;
    refuses(&shop).await?;
    let before = everything(&shop.suite).await?;

    let asked_for = Ask::Rebuild { of: sales(), swap: true };
    let Answer::Rebuilt(rebuilt) = generations::answer(&shop.suite, asked_for, &|_| {}).await? else {
        anyhow::bail!("no answer to a rebuild");
    };
    ensure!(rebuilt.audit.is_clean() && rebuilt.alias.active == rebuilt.generation, "{rebuilt:?}");
    ensure!(
        everything(&shop.suite).await? == before,
        "the generation that was built anew shows something else"
    );

    let table = rebuilt.generation.name("reporting", "sales");
    let pool = PgPoolOptions::new().max_connections(1).connect(url).await?;
    let lost = format!(
        "DELETE FROM \"{table}\" WHERE pk = (SELECT min(pk) FROM \"{table}\" WHERE pk LIKE 'order#%')"
    );
    ensure!(pool.execute(AssertSqlSafe(lost)).await?.rows_affected() == 1, "a row is lost");
    let audited = audit(&shop.suite, false).await?;
    let kinds: Vec<&str> = audited.audit.findings.iter().map(|it| it.drift.kind()).collect();
    ensure!(kinds == ["lost"], "{audited:?}");
    let repaired = audit(&shop.suite, true).await?.repaired.context("it was repaired")?;
    ensure!(repaired.is_clean(), "{repaired:?}");
    ensure!(everything(&shop.suite).await? == before, "what was repaired shows something else");

    generations::answer(&shop.suite, Ask::Retire(sales()), &|_| {}).await?;
    let names = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relname LIKE 'reporting-%'";
    let left: Vec<String> = sqlx::query_scalar(names).fetch_all(&pool).await?;
    ensure!(left == [table], "{left:?}");
    ensure!(everything(&shop.suite).await? == before, "what is left shows something else");
    let events = rebuilt.events;
    shop.stop().await;
    Ok(format!("rebuilt from {events} events, a lost row found and repaired"))
}

async fn asked(shop: &Shop, query: &str) -> anyhow::Result<Value> {
    let mut answer = shop.ask(query).await?;
    ensure!(answer.get("errors").is_none(), "{query}: {answer:#}");
    Ok(answer["data"].take())
}

/// What the generation that is read now shows, asked by one who knows of no earlier one.
async fn everything(suite: &Suite) -> anyhow::Result<Vec<Row>> {
    let environment = suite.apps["reporting"].environment().clone();
    let app = App::new(reporting::micrograph(), environment);
    let cuts = vec![Cut::Day, Cut::Country, Cut::Product, Cut::Customer];
    let question = Report { cuts, first: 10_000, ..Report::default() }.question()?;
    let rows: Vec<Row> = app.asks("sales").ask(&question).await?;
    ensure!(rows.len() > 200, "{} rows", rows.len());
    Ok(rows)
}

fn rows(answer: &Value) -> impl Iterator<Item = &Value> {
    answer.as_array().into_iter().flatten()
}

fn units(answer: &Value) -> i64 {
    rows(answer).filter_map(|row| row["units"].as_i64()).sum()
}

/// The same as what popularity counts from the same events, and as each cut adds up to.
async fn agrees(shop: &Shop) -> anyhow::Result<()> {
    const SUMS: &str = "orders units gross { amount currency } returnedUnits refunds { amount currency }";
    let all = asked(shop, &format!("{{ salesBy(cuts: []) {{ {SUMS} }} }}")).await?["salesBy"].take();
    ensure!(rows(&all).filter_map(|row| row["orders"].as_i64()).sum::<i64>() > 100, "{all:#}");
    for (cut, name) in [("", ""), ("COUNTRY", "country"), ("MONTH", "month")] {
        let report = format!("{{ salesBy(cuts: [{cut}], first: 100) {{ {name} {SUMS} }} }}");
        let report = asked(shop, &report).await?["salesBy"].take();
        ensure!(units(&report) == units(&all), "{name}: {report:#}");
        for row in rows(&report) {
            let mut row = row.clone();
            let value = row.as_object_mut().and_then(|row| row.remove(name));
            let only = value.map_or_else(String::new, |value| format!("{name}: {value}, "));
            let currency = &row["gross"]["currency"];
            let counted = format!("{{ sales({only}currency: {currency}) {{ {SUMS} }} }}");
            ensure!(asked(shop, &counted).await?["sales"] == row, "{counted}: {row:#}");
        }
    }
    let products = asked(
        shop,
        "{ salesBy(cuts: [PRODUCT], first: 100) { product { sku title unitsSold } units gross { currency } } }",
    )
    .await?["salesBy"]
        .take();
    let mut compared = 0;
    for row in rows(&products).filter(|row| row["gross"]["currency"] == "GBP" && !row["product"].is_null()) {
        ensure!(row["product"]["unitsSold"] == row["units"], "{row:#}");
        compared += 1;
    }
    ensure!(compared > 20, "{compared} products sold: {products:#}");

    // Joined with the customer and with the product, and cut at a time, it is still all of it.
    let parts = asked(
        shop,
        "{ customers: salesBy(cuts: [CUSTOMER_COUNTRY], first: 100) { customerCountry units }
           categories: salesBy(cuts: [CATEGORY], first: 100) { category units }
           before: salesBy(cuts: [], to: \"2026-02-26T00:00:00Z\") { units }
           after: salesBy(cuts: [], from: \"2026-02-26T00:00:00Z\") { units }
           gifts: salesBy(cuts: [CATEGORY], category: GIFT) { category units } }",
    )
    .await?;
    let (before, after) = (units(&parts["before"]), units(&parts["after"]));
    ensure!(before > 0 && after > 0 && before + after == units(&all), "{parts:#}");
    ensure!(units(&parts["customers"]) == units(&all), "{parts:#}");
    ensure!(units(&parts["categories"]) == units(&all), "{parts:#}");
    let of = |name: &str| -> BTreeSet<String> {
        rows(&parts[name])
            .flat_map(|row| row.as_object().into_iter().flatten())
            .map(|(_, it)| it.to_string())
            .collect()
    };
    ensure!(of("customers").len() > 3, "customers are of several countries: {parts:#}");
    let gifts: i64 = rows(&parts["categories"])
        .filter(|row| row["category"] == "GIFT")
        .filter_map(|row| row["units"].as_i64())
        .sum();
    ensure!(gifts > 0 && units(&parts["gifts"]) == gifts, "{parts:#}");
    ensure!(rows(&parts["gifts"]).all(|row| row["category"] == "GIFT"), "{parts:#}");
    Ok(())
}

async fn refuses(shop: &Shop) -> anyhow::Result<()> {
    for arguments in [
        "cuts: [DAY, DAY]",
        "cuts: [], first: 101",
        "cuts: [], first: 0",
        "cuts: [YEAR, MONTH, DAY, COUNTRY, CATEGORY]",
        "cuts: [], from: \"2026-01-02T00:00:00Z\", to: \"2026-01-01T00:00:00Z\"",
    ] {
        let answer = shop.ask(&format!("{{ salesBy({arguments}) {{ units }} }}")).await?;
        let code = &answer["errors"][0]["extensions"]["code"];
        ensure!(code == "BAD_USER_INPUT", "{arguments}: {answer:#}");
    }
    let injected = "{ salesBy(cuts: [], country: \"' OR true --\") { units } }";
    ensure!(
        asked(shop, injected).await?["salesBy"] == json!([]),
        "a text of a client's became a part of the question"
    );
    Ok(())
}
