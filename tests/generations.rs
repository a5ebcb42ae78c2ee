//! Generations of projections: rebuilt while they are read and written, swapped, rolled back, retired, audited.

mod shop;

use embedded::queue::Chaos;
use local::generations::{self, Answer, Ask, Audited, Named, Rebuilt};
use local::suite::Suite;
use micrograph::App;
use projection::Generation;
use projection::audit::Drift;
use projection::generation::Alias;
use shop::{EVERYTHING, Shop};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::Semaphore;

async fn ask(suite: &Arc<Suite>, ask: Ask) -> anyhow::Result<Answer> {
    generations::answer(suite, ask, &|_| {}).await
}

async fn rebuild(suite: &Arc<Suite>, of: &Named, swap: bool) -> anyhow::Result<Rebuilt> {
    rebuild_telling(suite, of, swap, &|_| {}).await
}

async fn rebuild_telling(
    suite: &Arc<Suite>,
    of: &Named,
    swap: bool,
    tell: &(dyn Fn(String) + Send + Sync),
) -> anyhow::Result<Rebuilt> {
    match generations::answer(suite, Ask::Rebuild { of: of.clone(), swap }, tell).await? {
        Answer::Rebuilt(rebuilt) => Ok(*rebuilt),
        other => panic!("{other:?}"),
    }
}

async fn change(suite: &Arc<Suite>, what: Ask) -> anyhow::Result<Alias> {
    match ask(suite, what).await? {
        Answer::Alias(alias) => Ok(alias),
        other => panic!("{other:?}"),
    }
}

async fn audit(suite: &Arc<Suite>, of: Option<Named>, repair: bool) -> anyhow::Result<Vec<Audited>> {
    match ask(suite, Ask::Audit { of, repair }).await? {
        Answer::Audited(audited) => Ok(audited),
        other => panic!("{other:?}"),
    }
}

fn named(micrograph: &str, projection: &str) -> Named {
    Named { micrograph: micrograph.to_owned(), projection: projection.to_owned() }
}

fn all(suite: &Suite) -> Vec<Named> {
    let of = |app: &Arc<App>| app.projections().map(|(name, _)| named(app.name(), name)).collect::<Vec<_>>();
    suite.apps.values().flat_map(of).collect()
}

async fn delete(app: &App, table: &str, key: [&str; 2]) {
    let client = &app.environment().dynamodb;
    let text = |text: &str| aws_sdk_dynamodb::types::AttributeValue::S(text.to_owned());
    let delete = client.delete_item().table_name(table).key("pk", text(key[0])).key("sk", text(key[1]));
    delete.send().await.expect("deleted");
}

/// Everything is rebuilt and swapped in while clients read and write: no read fails, and both generations come out the
/// same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_projection_is_rebuilt_under_traffic_and_no_read_fails() -> anyhow::Result<()> {
    let shop = Shop::with_sample(Chaos { duplicate: true, reorder: true, seed: 11 }).await?;
    let over = Arc::new(AtomicBool::new(false));
    // A round of writes for each step of a rebuild: what a rebuild reads doesn't grow with how long it takes.
    let rounds = Arc::new(Semaphore::new(0));
    let reader = {
        let (shop, over) = (shop.clone(), Arc::clone(&over));
        tokio::spawn(async move {
            let mut reads = 0;
            while !over.load(Ordering::Relaxed) {
                let answer = shop.ask(EVERYTHING).await.expect("an answer");
                assert_eq!(answer.get("errors"), None, "{answer:#}");
                let products = answer["data"]["products"]["nodes"].as_array().map(Vec::len);
                assert!(products > Some(30), "a generation that is not full was read: {answer:#}");
                reads += 1;
            }
            reads
        })
    };
    let writer = {
        let (shop, rounds) = (shop.clone(), Arc::clone(&rounds));
        tokio::spawn(async move {
            let mut writes = 0;
            while let Ok(round) = rounds.acquire().await {
                round.forget();
                let product = writes % 5;
                let steps = [
                    format!(
                        r#"mutation {{ listProduct(input: {{ sku: "NEW-{writes}", title: "New {writes}", category: GIFT }}) {{ __typename }} }}"#
                    ),
                    format!(
                        r#"mutation {{ repriceProduct(sku: "NEW-{product}", price: {{ amount: "{writes}.5", currency: "GBP" }}) {{ __typename }} }}"#
                    ),
                    format!(
                        r#"mutation {{ placeOrder(input: {{ country: "France", lines: [{{ sku: "NEW-{product}", quantity: 2 }}] }}) {{ __typename }} }}"#
                    ),
                    format!(
                        r#"mutation {{ retitleProduct(sku: "NEW-{product}", title: "Newer {writes}") {{ __typename }} }}"#
                    ),
                ];
                for step in steps {
                    let answer = shop.ask(&step).await.expect("an answer");
                    assert_eq!(answer.get("errors"), None, "{answer:#}");
                }
                writes += 1;
            }
            writes
        })
    };
    for of in all(&shop.suite) {
        let step = |_| rounds.add_permits(1);
        let rebuilt = rebuild_telling(&shop.suite, &of, true, &step).await?;
        assert!(rebuilt.audit.is_clean(), "{of:?}: {:#?}", rebuilt.audit);
        assert_eq!(rebuilt.alias.active, rebuilt.generation, "{of:?}");
    }
    rounds.close();
    over.store(true, Ordering::Relaxed);
    let (read, written) = (reader.await?, writer.await?);
    assert!(read > 0 && written > 0, "{read} reads, {written} writes");
    shop.suite.drained().await?;

    // Both generations were fed all along: they hold the same, and going back shows the same.
    for of in all(&shop.suite) {
        let app = &shop.suite.apps[of.micrograph.as_str()];
        let alias = app.aliases().get(&of.projection).await?.expect("it is fed");
        let previous = alias.previous.expect("it is kept");
        let now = app.digest(&of.projection, alias.active).await?;
        let before = app.digest(&of.projection, previous).await?;
        assert_eq!(now.differing(&before), Vec::<usize>::new(), "{of:?}");
    }
    let before = shop.ask(EVERYTHING).await?;
    for of in all(&shop.suite) {
        let alias = change(&shop.suite, Ask::Rollback(of.clone())).await?;
        assert_eq!(alias.active.build, 0, "{of:?}");
    }
    assert_eq!(shop.ask(EVERYTHING).await?, before);
    for audited in audit(&shop.suite, None, false).await? {
        assert!(audited.audit.is_clean() && audited.audit.compared > 0, "{audited:#?}");
    }
    shop.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn generations_come_and_go_by_the_rules() -> anyhow::Result<()> {
    let shop = Shop::with_sample(Chaos::default()).await?;
    let (suite, of) = (&shop.suite, named("catalogue", "products"));
    let app = &suite.apps["catalogue"];
    let queue_of = |generation: Generation| generation.name("catalogue", "products");
    let exists = |generation: Generation| suite.queues.config(&queue_of(generation)).is_ok();
    let refusal = |result: anyhow::Result<Alias>| format!("{:#}", result.expect_err("it is refused"));

    for (what, why) in [
        (Ask::Swap(of.clone()), "rebuild first"),
        (Ask::Rollback(of.clone()), "no earlier generation"),
        (Ask::Retire(of.clone()), "no earlier generation"),
        (Ask::Discard(of.clone()), "rebuild first"),
        (Ask::Swap(named("catalogue", "nothing")), "titles"),
        (Ask::Swap(named("nothing", "products")), "popularity"),
    ] {
        let refused = refusal(change(suite, what.clone()).await);
        assert!(refused.contains(why), "{what:?}: {refused}");
    }

    let built = rebuild(suite, &of, false).await?;
    let first = built.generation;
    assert_eq!((built.alias.active.build, first.build), (0, 1));
    // The same candidate is gone on with, not another one begun.
    assert_eq!(rebuild(suite, &of, false).await?.generation, first);
    let alias = change(suite, Ask::Discard(of.clone())).await?;
    assert_eq!((alias.candidate, alias.retiring, exists(first)), (None, None, false));

    let second = rebuild(suite, &of, true).await?;
    assert_eq!((second.generation.build, second.alias.previous.map(|it| it.build)), (2, Some(0)));
    let refused = format!("{:#}", rebuild(suite, &of, true).await.expect_err("one is kept"));
    assert!(refused.contains("retire it first"), "{refused}");
    let back = change(suite, Ask::Rollback(of.clone())).await?;
    assert_eq!((back.active.build, back.previous), (0, Some(second.generation)));
    let gone = change(suite, Ask::Retire(of.clone())).await?;
    assert_eq!((gone.active.build, gone.previous, exists(second.generation)), (0, None, false));
    assert!(exists(gone.active));
    assert!(app.digest("products", second.generation).await.is_err(), "its table is gone");
    shop.stop().await;
    Ok(())
}

/// Faults that no queue remembers: items that vanished, that were changed, that were never there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_audit_names_what_drifted_and_repairs_what_a_delivery_can() -> anyhow::Result<()> {
    let shop = Shop::with_sample(Chaos::default()).await?;
    let suite = &shop.suite;
    let catalogue = &suite.apps["catalogue"];
    let active = catalogue.aliases().get("products").await?.expect("it is fed").active;
    let table = active.name("catalogue", "products");
    let before = catalogue.digest("products", active).await?;
    let scan = catalogue.environment().dynamodb.scan().table_name(&table).send().await?;
    let sku = scan.items()[0]["pk"].as_s().expect("a text").clone();
    delete(catalogue, &table, [&sku, "-"]).await;

    let of = Some(named("catalogue", "products"));
    let audited = audit(suite, of.clone(), false).await?.remove(0);
    assert_eq!(audited.audit.drifted, 1, "{audited:#?}");
    let finding = &audited.audit.findings[0];
    assert!(matches!(finding.drift, Drift::Lost { .. }), "{finding:?}");
    assert_eq!(finding.item, format!("{sku}/-"));
    assert!(
        finding.event.as_deref().is_some_and(|event| event.starts_with("catalogue.Product")),
        "{finding:?}"
    );

    let audited = audit(suite, of.clone(), true).await?.remove(0);
    assert!(audited.repaired.expect("it was repaired").is_clean());
    let after = catalogue.digest("products", active).await?;
    assert_eq!(after.differing(&before), Vec::<usize>::new());

    // Content that was changed by hand, and an item that nobody made.
    let text = |text: &str| aws_sdk_dynamodb::types::AttributeValue::S(text.to_owned());
    let mut forged = scan.items()[0].clone();
    forged.insert("title".to_owned(), text("Forged"));
    let client = &catalogue.environment().dynamodb;
    client.put_item().table_name(&table).set_item(Some(forged.clone())).send().await?;
    forged.insert("pk".to_owned(), text("PHANTOM"));
    client.put_item().table_name(&table).set_item(Some(forged)).send().await?;
    let audited = audit(suite, of, true).await?.remove(0);
    let mut kinds: Vec<&str> = audited.audit.findings.iter().map(|finding| finding.drift.kind()).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["forked", "unknown"], "{audited:#?}");

    // A total that was changed by hand.
    let popularity = &suite.apps["popularity"];
    let sales = popularity.aliases().get("sales").await?.expect("it is fed").active;
    let sales = sales.name("popularity", "sales");
    let update = popularity.environment().dynamodb.update_item().table_name(&sales);
    let update = update.key("pk", text("GBP#all")).key("sk", text("total"));
    let one = aws_sdk_dynamodb::types::AttributeValue::N("1".to_owned());
    update.update_expression("ADD units :one").expression_attribute_values(":one", one).send().await?;
    let audited = audit(suite, Some(named("popularity", "sales")), false).await?.remove(0);
    let drift = &audited.audit.findings[0].drift;
    assert!(matches!(drift, Drift::Miscounted { attribute, .. } if attribute == "units"), "{audited:#?}");

    // What was wrong beyond repair, a rebuild makes right.
    for of in [named("catalogue", "products"), named("popularity", "sales")] {
        assert!(rebuild(suite, &of, true).await?.audit.is_clean(), "{of:?}");
        assert!(audit(suite, Some(of.clone()), false).await?.remove(0).audit.is_clean(), "{of:?}");
    }
    shop.stop().await;
    Ok(())
}
