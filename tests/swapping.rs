//! An operation of the gateway while a projection that it reads is swapped.

mod shop;

use async_trait::async_trait;
use aws_sdk_dynamodb::types::AttributeValue;
use embedded::queue::Chaos;
use freshness::GENERATIONS;
use gateway::Gateway;
use gateway::transport::{InProcess, SubgraphRequest, SubgraphResponse, Transport, TransportError};
use local::generations::{self, Answer, Ask, Named};
use local::suite::Suite;
use micrograph::App;
use serde_json::Value;
use shop::Shop;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;

/// Subgraphs as Lambda runs them: each request meets a process that knows nothing of those before. Between the first
/// request to the catalogue and the next one, which has to wait for popularity's answer, the catalogue swaps.
struct Swapping {
    suite: Arc<Suite>,
    of: Named,
    swapped: AtomicBool,
    answered: Notify,
    /// What the catalogue was asked to read, request by request.
    wanted: Mutex<Vec<Option<String>>>,
}

#[async_trait]
impl Transport for Swapping {
    async fn send(&self, request: SubgraphRequest) -> Result<SubgraphResponse, TransportError> {
        let name = request.subgraph.clone();
        if name == "popularity" && !self.swapped.swap(true, Ordering::SeqCst) {
            let first = tokio::time::timeout(Duration::from_mins(1), self.answered.notified()).await;
            first.expect("the catalogue answers without popularity");
            let swap = Ask::Swap(self.of.clone());
            generations::answer(&self.suite, swap, &|_| {}).await.expect("swapped");
        }
        if name == "catalogue" {
            let wanted = request.headers.get(GENERATIONS).map(|it| it.to_str().expect("a text").to_owned());
            self.wanted.lock().expect("no panic").push(wanted);
        }
        let micrograph = local::shop::micrographs().into_iter().find(|it| it.name() == name);
        let environment = self.suite.apps[name.as_str()].environment().clone();
        let app = App::new(micrograph.expect("a service"), environment);
        let serve = Arc::clone(&app.subgraph().expect("it serves").serve);
        let answer = InProcess::new().with(name.clone(), serve).send(request).await;
        if name == "catalogue" {
            self.answered.notify_one();
        }
        answer
    }
}

/// Titles by SKU, as a list of products says.
fn titles<'a>(products: impl IntoIterator<Item = &'a Value>) -> BTreeMap<String, String> {
    let text = |it: &Value| it.as_str().expect("a text").to_owned();
    products.into_iter().map(|it| (text(&it["sku"]), text(&it["title"]))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operation_reads_one_generation_although_it_is_swapped_between_its_requests() -> anyhow::Result<()>
{
    let shop = Shop::with_sample(Chaos::default()).await?;
    let (suite, of) = (
        Arc::clone(&shop.suite),
        Named { micrograph: "catalogue".to_owned(), projection: "products".to_owned() },
    );
    let built = Ask::Rebuild { of: of.clone(), swap: false };
    let Answer::Rebuilt(built) = generations::answer(&suite, built, &|_| {}).await? else {
        panic!("an answer of another kind")
    };
    let before = built.alias.active.name("catalogue", "products");
    let table = built.generation.name("catalogue", "products");
    // What is read shows in the titles.
    let client = &suite.apps["catalogue"].environment().dynamodb;
    for item in client.scan().table_name(&table).send().await?.items.unwrap_or_default() {
        let mut item = item;
        let Some(Ok(title)) = item.get("title").map(|it| it.as_s().cloned()) else { continue };
        let title = AttributeValue::S(format!("Retold: {title}"));
        item.insert("title".to_owned(), title);
        client.put_item().table_name(&table).set_item(Some(item)).send().await?;
    }

    let transport = Arc::new(Swapping {
        suite: Arc::clone(&suite),
        of: of.clone(),
        swapped: AtomicBool::default(),
        answered: Notify::new(),
        wanted: Mutex::default(),
    });
    let gateway = Gateway::new(shop.gateway.supergraph(), transport.clone(), gateway::Config::default())?;
    let shop = Shop { gateway: Arc::new(gateway), ..shop };
    let query =
        "{ products(first: 50) { nodes { sku title } } topProducts(first: 20) { product { sku title } } }";
    for (operation, is_new) in [("the one under way", false), ("the next one", true)] {
        let answer = shop.ask(query).await?;
        assert_eq!(answer.get("errors"), None, "{answer:#}");
        let listed = titles(answer["data"]["products"]["nodes"].as_array().expect("a list"));
        let best = answer["data"]["topProducts"].as_array().expect("a list");
        let best = titles(best.iter().map(|it| &it["product"]));
        assert!(!best.is_empty() && listed.len() > 30, "{operation}: {answer:#}");
        let all = listed.iter().chain(&best);
        let read: BTreeSet<bool> = all.map(|(_, title)| title.starts_with("Retold: ")).collect();
        assert_eq!(read, BTreeSet::from([is_new]), "{operation} read {listed:?} and {best:?}");
    }
    let active = suite.apps["catalogue"].aliases().get("products").await?.expect("it is fed").active;
    assert_eq!(active, built.generation, "it was swapped between the two requests");
    let wanted = transport.wanted.lock().expect("no panic").clone();
    let second = wanted[1].as_deref().expect("the second request says what the first one read");
    assert!(wanted[0].is_none() && second.ends_with(&format!("={before}")), "{wanted:?}");
    drop((transport, suite));
    shop.stop().await;
    Ok(())
}
