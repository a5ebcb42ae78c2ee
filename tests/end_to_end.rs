//! The suite as its users see it: commands in, one graph out.

mod shop;

use embedded::queue::Chaos;
use serde_json::Value;
use shop::{EVERYTHING, Shop};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_query_spans_the_domains_and_disorder_changes_nothing() -> anyhow::Result<()> {
    let calm = Shop::with_sample(Chaos::default()).await?;
    let expected = calm.ask(EVERYTHING).await?;
    assert!(expected.get("errors").is_none(), "{expected:#}");
    assert!(expected["data"]["sales"]["orders"].as_i64().unwrap() > 100, "{expected:#}");
    let top = &expected["data"]["topProducts"][0];
    assert_eq!(top["units"], top["product"]["unitsSold"], "{top:#}");
    assert!(top["product"]["title"].is_string() && top["product"]["price"]["amount"].is_string(), "{top:#}");

    // The same commands again are known; what they brought is not brought twice.
    calm.fill().await?;
    assert_eq!(calm.ask(EVERYTHING).await?, expected);

    let disorder = Shop::with_sample(Chaos { duplicate: true, reorder: true, seed: 7 }).await?;
    assert_eq!(disorder.ask(EVERYTHING).await?, expected);
    calm.stop().await;
    disorder.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_product_a_customer_and_an_order_live_through_mutations() -> anyhow::Result<()> {
    let shop = Shop::with_sample(Chaos::default()).await?;
    let steps = [
        r#"mutation { listProduct(input: { sku: "t-1", title: "Tea cosy", category: GIFT }) { __typename } }"#,
        r#"mutation { repriceProduct(sku: "T-1", price: { amount: "7.505", currency: "GBP" }) { __typename } }"#,
        r#"mutation { registerCustomer(input: { id: "C1", name: "Ann", country: "United Kingdom" }) { __typename } }"#,
        r#"mutation { placeOrder(input: { orderId: "O1", customerId: "C1", country: "United Kingdom", lines: [{ sku: "T-1", quantity: 2 }] }) { __typename } }"#,
    ];
    for step in steps {
        let answer = shop.ask(step).await?;
        let result = answer["data"].as_object().and_then(|data| data.values().next()).cloned();
        let name = result.unwrap_or_default()["__typename"].as_str().unwrap_or_default().to_owned();
        assert!(name.ends_with("Changed"), "{step}: {answer:#}");
        shop.suite.drained().await?;
    }
    let query = r#"{
        customer(id: "C1") { name orders { nodes { id total { amount } lines { title unitPrice { amount } product { title } } } } }
        product(sku: "T-1") { unitsSold revenue { amount } stock { reserved } }
    }"#;
    let answer = shop.ask(query).await?;
    assert_eq!(answer.get("errors"), None, "{answer:#}");
    let order = &answer["data"]["customer"]["orders"]["nodes"][0];
    assert_eq!(order["total"]["amount"], "15.01");
    assert_eq!(order["lines"][0]["product"]["title"], "Tea cosy");
    assert_eq!(answer["data"]["product"]["unitsSold"], 2);
    assert_eq!(answer["data"]["product"]["stock"]["reserved"], 2);

    shop.ask(r#"mutation { retitleProduct(sku: "T-1", title: "Teapot cosy") { __typename } }"#).await?;
    shop.ask(r#"mutation { cancelOrder(id: "O1") { __typename } }"#).await?;
    shop.ask(r#"mutation { eraseCustomer(id: "C1") { __typename } }"#).await?;
    shop.suite.drained().await?;
    let query = r#"{
        customer(id: "C1") { name }
        order(id: "O1") { status lines { title product { title } } }
        product(sku: "T-1") { unitsSold stock { reserved } }
    }"#;
    let answer = shop.ask(query).await?;
    assert_eq!(answer["data"]["customer"], Value::Null, "{answer:#}");
    assert_eq!(answer["data"]["order"]["status"], "CANCELLED", "{answer:#}");
    assert_eq!(answer["data"]["order"]["lines"][0]["title"], "Tea cosy", "as sold");
    assert_eq!(answer["data"]["order"]["lines"][0]["product"]["title"], "Teapot cosy", "as it is now");
    assert_eq!(answer["data"]["product"]["unitsSold"], 0);
    assert_eq!(answer["data"]["product"]["stock"]["reserved"], 0);

    let negative = r#"mutation { repriceProduct(sku: "T-1", price: { amount: "-1", currency: "GBP" }) { __typename ... on Refused { code } } }"#;
    let answer = shop.ask(negative).await?;
    assert_eq!(answer["data"]["repriceProduct"]["__typename"], "Refused", "{answer:#}");
    shop.stop().await;
    Ok(())
}
