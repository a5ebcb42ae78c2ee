//! Who wrote reads what they wrote, in every domain; and what changed leaves the caches, all else stays.

mod shop;

use bytes::Bytes;
use embedded::queue::Chaos;
use gateway::{CacheSizes, Config};
use http::Response;
use local::purging::{self, OwnCache};
use local::suite::{Settings, Suite};
use micrograph::Edge;
use micrograph::environment::consistency;
use purger::{Cache, Purger};
use serde_json::{Value, json};
use shop::Shop;
use std::sync::Arc;

/// A shop that does everything for who reads; `--chaos` is off: a purge and a token are about time, not about order.
async fn shop(cached: bool) -> anyhow::Result<Shop> {
    let edge = Edge { consistency: Some(consistency("secret")), announces: cached };
    let settings = Settings { edge, chaos: Chaos::default(), ..Settings::default() };
    let suite = Arc::new(Suite::start(None, settings).await?);
    let cache = CacheSizes { answers: cached.then_some(1 << 20), subgraphs: None };
    let gateway = suite.gateway(Config { cache, ..Config::default() })?;
    if cached {
        purging::start(&suite, Purger::new([Arc::new(OwnCache(gateway.clone())) as Arc<dyn Cache>]), false)?;
    }
    let shop = Shop { suite, gateway: Arc::new(gateway) };
    shop.fill().await?;
    Ok(shop)
}

async fn send(shop: &Shop, query: &str, token: Option<&str>) -> anyhow::Result<Response<Bytes>> {
    let mut request = http::Request::post("/graphql").header("content-type", "application/json");
    if let Some(token) = token {
        request = request.header("x-consistency-token", token);
    }
    let body = Bytes::from(json!({ "query": query }).to_string());
    Ok(shop.gateway.handle(request.body(body)?).await)
}

fn json_of(response: &Response<Bytes>) -> anyhow::Result<Value> {
    Ok(serde_json::from_slice(response.body())?)
}

fn header(response: &Response<Bytes>, name: &str) -> String {
    response.headers().get(name).and_then(|it| it.to_str().ok()).unwrap_or_default().to_owned()
}

async fn skus(shop: &Shop) -> anyhow::Result<Vec<String>> {
    let answer = shop.ask("{ products(first: 2) { nodes { sku } } }").await?;
    let nodes = answer["data"]["products"]["nodes"].as_array().cloned().unwrap_or_default();
    Ok(nodes.iter().filter_map(|node| node["sku"].as_str().map(str::to_owned)).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_wrote_reads_it_in_every_domain() -> anyhow::Result<()> {
    let shop = shop(false).await?;
    let sku = skus(&shop).await?.remove(0);
    for amount in 101..106 {
        let mutation = format!(
            r#"mutation {{ repriceProduct(sku: "{sku}", price: {{ amount: "{amount}", currency: "GBP" }}) {{
                ... on PriceChanged {{ consistencyToken }} }} }}"#
        );
        let changed = send(&shop, &mutation, None).await?;
        let token = header(&changed, "x-consistency-token");
        assert_eq!(json_of(&changed)?["data"]["repriceProduct"]["consistencyToken"], token.as_str());
        assert!(!token.is_empty());
        // The catalogue answers for the product, pricing for its price, which is a projection of its own.
        let query = format!(r#"{{ product(sku: "{sku}") {{ title price {{ amount }} }} }}"#);
        let read = send(&shop, &query, Some(&token)).await?;
        let answer = json_of(&read)?;
        let price = answer["data"]["product"]["price"]["amount"].as_str().unwrap_or_default();
        assert!(price.starts_with(&amount.to_string()), "{answer}");
        assert_eq!(answer["extensions"], Value::Null);
        assert_eq!(header(&read, "cache-control"), "no-store");
    }

    // Two domains away: an order is inventory's reservation, and popularity's sale.
    let query = format!(r#"{{ product(sku: "{sku}") {{ unitsSold stock {{ reserved }} }} }}"#);
    let before = json_of(&send(&shop, &query, None).await?)?["data"]["product"].clone();
    for number in 1..4_i64 {
        let mutation = format!(
            r#"mutation {{ placeOrder(input: {{ country: "France", lines: [{{ sku: "{sku}", quantity: 2 }}] }}) {{
                ... on OrderChanged {{ consistencyToken }} ... on Refused {{ code message }} }} }}"#
        );
        let placed = send(&shop, &mutation, None).await?;
        let token = header(&placed, "x-consistency-token");
        assert!(!token.is_empty(), "{}", json_of(&placed)?);
        let after = json_of(&send(&shop, &query, Some(&token)).await?)?;
        assert_eq!(after["extensions"], Value::Null);
        let counted = |value: &Value| value.as_i64().unwrap_or_default();
        let (after, more) = (&after["data"]["product"], 2 * number);
        assert_eq!(counted(&after["unitsSold"]), counted(&before["unitsSold"]) + more);
        assert_eq!(counted(&after["stock"]["reserved"]), counted(&before["stock"]["reserved"]) + more);
    }
    shop.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mutation_shows_what_it_wrote_in_every_domain() -> anyhow::Result<()> {
    let shop = shop(false).await?;
    let sku = skus(&shop).await?.remove(0);
    let counted = |product: &Value| {
        let number = |value: &Value| value.as_i64().unwrap_or_default();
        (number(&product["unitsSold"]), number(&product["stock"]["reserved"]))
    };
    let query = format!(r#"{{ product(sku: "{sku}") {{ unitsSold stock {{ reserved }} }} }}"#);
    let (sold, reserved) = counted(&json_of(&send(&shop, &query, None).await?)?["data"]["product"]);
    for number in 1..6_i64 {
        // Orders answers for the order, popularity for what was sold of its product, inventory for what is reserved.
        let mutation = format!(
            r#"mutation {{ placeOrder(input: {{ country: "France", lines: [{{ sku: "{sku}", quantity: 2 }}] }}) {{
                ... on OrderChanged {{ order {{ lines {{ product {{ unitsSold stock {{ reserved }} }} }} }} }} }} }}"#
        );
        let answer = json_of(&send(&shop, &mutation, None).await?)?;
        assert_eq!(answer["extensions"], Value::Null, "{answer}");
        let product = &answer["data"]["placeOrder"]["order"]["lines"][0]["product"];
        assert_eq!(counted(product), (sold + 2 * number, reserved + 2 * number), "{answer}");
    }
    // Nobody but inventory is asked here: the projection that it reads must be up to what it decided a moment ago.
    let mutation = format!(
        r#"mutation {{
            first: adjustStock(sku: "{sku}", quantity: -5, reason: WRITTEN_OFF) {{ ...all }}
            second: adjustStock(sku: "{sku}", quantity: 2, reason: FOUND) {{ ...all }}
        }}
        fragment all on StockChanged {{ onHand product {{ stock {{ onHand }} }} }}"#
    );
    for _ in 0..5 {
        let answer = json_of(&send(&shop, &mutation, None).await?)?;
        for changed in [&answer["data"]["first"], &answer["data"]["second"]] {
            assert!(changed["onHand"].is_i64(), "{answer}");
            assert_eq!(changed["product"]["stock"]["onHand"], changed["onHand"], "{answer}");
        }
    }
    shop.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_not_ours_is_no_reason_to_wait() -> anyhow::Result<()> {
    let shop = shop(false).await?;
    let write = freshness::Write::new("pricing", "ProductPriced", "nothing", 9);
    let now = u64::try_from(micrograph::environment::now().as_second())?;
    let forged = freshness::Token::of([write]).sign(&freshness::Key::new("other"), now);
    let sku = skus(&shop).await?.remove(0);
    let query = format!(r#"{{ product(sku: "{sku}") {{ price {{ amount }} }} }}"#);
    let answer = json_of(&send(&shop, &query, Some(&forged)).await?)?;
    assert_eq!(answer["extensions"], Value::Null);
    // A write that never arrives is waited for, and said to be missing.
    let lost = freshness::Token::of([write]).sign(&freshness::Key::new("secret"), now);
    let answer = json_of(&send(&shop, &query, Some(&lost)).await?)?;
    assert_eq!(answer["extensions"]["consistency"]["behind"], json!(["pricing-offers"]));
    assert!(answer["data"]["product"]["price"]["amount"].is_string());
    shop.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changed_leaves_the_cache_and_all_else_stays() -> anyhow::Result<()> {
    let shop = shop(true).await?;
    let skus = skus(&shop).await?;
    let price = |sku: &str| format!(r#"{{ product(sku: "{sku}") {{ price {{ amount }} }} }}"#);
    let (one, other) = (price(&skus[0]), price(&skus[1]));
    let first = send(&shop, &one, None).await?;
    assert_eq!(header(&first, "cache-tag").split(',').count(), 2, "the product, and its offers");
    for query in [&one, &other] {
        let _ = send(&shop, query, None).await?;
        assert!(!header(&send(&shop, query, None).await?, "age").is_empty(), "it is kept");
    }
    let mutation = format!(
        r#"mutation {{ repriceProduct(sku: "{}", price: {{ amount: "77.77", currency: "GBP" }}) {{ __typename }} }}"#,
        skus[0]
    );
    let _ = send(&shop, &mutation, None).await?;
    // Everything that follows from it is done: the projection, the announcement, the purge.
    shop.suite.drained().await?;
    let answer = send(&shop, &one, None).await?;
    assert_eq!(json_of(&answer)?["data"]["product"]["price"]["amount"], "77.77");
    assert_eq!(header(&answer, "age"), "");
    assert!(!header(&send(&shop, &other, None).await?, "age").is_empty(), "the other one is still kept");
    shop.stop().await;
    Ok(())
}
