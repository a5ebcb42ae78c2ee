//! Pricing as its neighbours see it: commands and events in, events and a graph out.

use contracts::Event;
use contracts::Money;
use contracts::catalogue::{ProductDelisted, ProductListed};
use contracts::pricing::RepriceProduct;
use serde_json::{Value, json};
use testkit::Fixture;

const MONDAY: &str = "2011-01-03T10:00:00Z";
const TUESDAY: &str = "2011-01-04T10:00:00Z";
const WEDNESDAY: &str = "2011-01-05T10:00:00Z";

fn reprice(market: &str, amount: &str) -> RepriceProduct {
    let currency = if market == "GB" { "GBP" } else { "EUR" };
    let price = Money::new(amount.parse().expect("a decimal"), currency);
    RepriceProduct { sku: "22423".into(), market: market.into(), price }
}

async fn with_cakestand() -> anyhow::Result<Fixture> {
    let fixture = Fixture::new(pricing::micrograph()).await?;
    fixture.publish(&[testkit::event(&ProductListed::example(), 1)]).await?;
    fixture.command("c1", MONDAY, reprice("GB", "12.75")).await?;
    fixture.command("c2", MONDAY, reprice("DE", "14.9")).await?;
    fixture.command("c3", TUESDAY, reprice("GB", "10.95")).await?;
    Ok(fixture)
}

async fn product(fixture: &Fixture, selection: &str) -> anyhow::Result<Value> {
    let representations = json!([{ "__typename": "Product", "sku": "22423" }]);
    let mut entities =
        fixture.entities(representations, &format!("{{ ... on Product {selection} }}")).await?;
    Ok(entities[0].take())
}

#[tokio::test]
async fn every_function_does_its_work_on_lambda() -> anyhow::Result<()> {
    testkit::roles::work(env!("CARGO_BIN_EXE_pricing"), pricing::micrograph).await
}

#[tokio::test]
async fn the_committed_schema_is_served() -> anyhow::Result<()> {
    testkit::fixture::schema_is_committed(pricing::micrograph(), env!("CARGO_MANIFEST_DIR")).await
}

#[tokio::test]
async fn a_product_is_shown_with_its_prices_now_and_before() -> anyhow::Result<()> {
    let fixture = with_cakestand().await?;
    let selection = r#"{
        forSale price { amount currency } german: price(market: " de ") { amount } french: price(market: "FR") { amount }
        prices { nodes { market price { amount currency } since } }
        priceHistory { nodes { price { amount } since } }
    }"#;
    assert_eq!(
        product(&fixture, selection).await?,
        json!({
            "forSale": true,
            "price": { "amount": "10.95", "currency": "GBP" },
            "german": { "amount": "14.90" },
            "french": null,
            "prices": { "nodes": [
                { "market": "DE", "price": { "amount": "14.90", "currency": "EUR" }, "since": MONDAY },
                { "market": "GB", "price": { "amount": "10.95", "currency": "GBP" }, "since": TUESDAY },
            ] },
            "priceHistory": { "nodes": [
                { "price": { "amount": "10.95" }, "since": TUESDAY },
                { "price": { "amount": "12.75" }, "since": MONDAY },
            ] },
        })
    );
    Ok(())
}

#[tokio::test]
async fn a_product_is_for_sale_while_it_is_listed_and_priced() -> anyhow::Result<()> {
    let selection = "{ forSale price { amount } prices { nodes { market } } }";
    let fixture = Fixture::new(pricing::micrograph()).await?;
    let shown = |for_sale: bool, price: Value, markets: Value| json!({ "forSale": for_sale, "price": price, "prices": { "nodes": markets } });
    assert_eq!(product(&fixture, selection).await?, shown(false, Value::Null, json!([])));

    fixture.publish(&[testkit::event(&ProductListed::example(), 1)]).await?;
    assert_eq!(product(&fixture, selection).await?, shown(false, Value::Null, json!([])));

    fixture.command("c1", MONDAY, reprice("GB", "12.75")).await?;
    let (price, markets) = (json!({ "amount": "12.75" }), json!([{ "market": "GB" }]));
    assert_eq!(product(&fixture, selection).await?, shown(true, price.clone(), markets.clone()));

    fixture.publish(&[testkit::event(&ProductDelisted::example(), 2)]).await?;
    // What the catalogue said before comes again, late.
    fixture.publish(&[testkit::event(&ProductListed::example(), 1)]).await?;
    assert_eq!(product(&fixture, selection).await?, shown(false, price.clone(), markets.clone()));

    fixture.publish(&[testkit::event(&ProductListed::example(), 3)]).await?;
    assert_eq!(product(&fixture, selection).await?, shown(true, price, markets));
    Ok(())
}

#[tokio::test]
async fn the_history_comes_page_by_page() -> anyhow::Result<()> {
    let fixture = with_cakestand().await?;
    let first = product(
        &fixture,
        "{ priceHistory(first: 1) { nodes { price { amount } } pageInfo { hasNextPage endCursor } } }",
    )
    .await?;
    assert_eq!(first["priceHistory"]["nodes"], json!([{ "price": { "amount": "10.95" } }]));
    assert_eq!(first["priceHistory"]["pageInfo"]["hasNextPage"], json!(true));
    let after = &first["priceHistory"]["pageInfo"]["endCursor"];
    let selection = format!(
        "{{ priceHistory(first: 1, after: {after}) {{ nodes {{ price {{ amount }} }} pageInfo {{ hasNextPage }} }} }}"
    );
    let second = product(&fixture, &selection).await?;
    let page = json!({ "nodes": [{ "price": { "amount": "12.75" } }], "pageInfo": { "hasNextPage": false } });
    assert_eq!(second["priceHistory"], page);
    Ok(())
}

#[tokio::test]
async fn a_mutation_reprices_or_says_why_not() -> anyhow::Result<()> {
    let fixture = with_cakestand().await?;
    let query = r#"mutation ($sku: ID!, $price: MoneyInput!) {
        repriceProduct(sku: $sku, price: $price, commandId: "mine") {
            __typename
            ... on PriceChanged { version product { sku } price { market price { amount currency } since } }
            ... on Refused { code message }
        }
    }"#;
    let price = |amount: &str| json!({ "sku": " 22423", "price": { "amount": amount, "currency": "gbp" } });
    for amount in ["-0.01", "1000000.01", "1.00001"] {
        let refused = fixture.query(query, price(amount)).await?;
        let message = "`price.amount` must be 0 to 1000000, with at most 4 decimals";
        assert_eq!(
            refused["data"]["repriceProduct"],
            json!({ "__typename": "Refused", "code": "INVALID_AMOUNT", "message": message })
        );
    }
    let changed = json!({
        "__typename": "PriceChanged",
        "version": "0.3",
        "product": { "sku": "22423" },
        "price": {
            "market": "GB", "price": { "amount": "9.99", "currency": "GBP" }, "since": "2011-03-13T07:06:40Z",
        },
    });
    for _ in 0..2 {
        assert_eq!(fixture.query(query, price("9.99")).await?["data"]["repriceProduct"], changed);
    }
    let shown = product(&fixture, "{ price { amount } }").await?;
    assert_eq!(shown, json!({ "price": { "amount": "9.99" } }));
    Ok(())
}

#[tokio::test]
async fn a_price_that_is_older_or_the_same_changes_nothing() -> anyhow::Result<()> {
    let fixture = with_cakestand().await?;
    assert_eq!(fixture.settle().await?.len(), 3);
    fixture.command("c4", MONDAY, reprice("GB", "1")).await?;
    fixture.command("c5", TUESDAY, reprice("GB", "2")).await?;
    fixture.command("c6", WEDNESDAY, reprice("GB", "10.950")).await?;
    assert_eq!(fixture.settle().await?, Vec::<Value>::new());
    fixture.command("c7", WEDNESDAY, reprice("GB", "10.96")).await?;
    let events = fixture.settle().await?;
    assert_eq!(events[0]["type"], "ProductPriced");
    assert_eq!(events[0]["subject"], "22423/GB");
    assert_eq!(events[0]["version"], json!({ "epoch": 0, "seq": 3 }));
    Ok(())
}

#[tokio::test]
async fn bad_commands_are_kept_with_their_reason() -> anyhow::Result<()> {
    let fixture = Fixture::new(pricing::micrograph()).await?;
    let good = || reprice("GB", "1");
    let bad = [
        RepriceProduct { sku: " 1".into(), ..good() },
        RepriceProduct { sku: String::new(), ..good() },
        reprice("gb", "1"),
        reprice("GBR", "1"),
        reprice("GB", "-1"),
        RepriceProduct { price: Money::new(1.into(), "£"), ..good() },
    ];
    for (number, command) in bad.into_iter().enumerate() {
        fixture.command(&format!("c{number}"), MONDAY, command).await?;
    }
    assert_eq!(fixture.settle().await?, Vec::<Value>::new());
    let kept = fixture.quarantined().await?.into_iter();
    let mut codes: Vec<String> =
        kept.map(|it| it.detail.split(':').next().unwrap_or_default().to_owned()).collect();
    codes.sort();
    let (market, sku) = ("INVALID_MARKET", "INVALID_SKU");
    assert_eq!(codes, ["INVALID_AMOUNT", "INVALID_CURRENCY", market, market, sku, sku]);
    Ok(())
}

#[tokio::test]
async fn a_market_that_is_none_is_the_clients_mistake() -> anyhow::Result<()> {
    let fixture = with_cakestand().await?;
    let query = r#"{ _entities(representations: [{ __typename: "Product", sku: "22423" }]) {
        ... on Product { forSale price(market: "") { amount } }
    } }"#;
    let answer = fixture.query(query, json!({})).await?;
    let product = &answer["data"]["_entities"][0];
    assert_eq!((&product["forSale"], &product["price"]), (&json!(true), &Value::Null));
    assert_eq!(answer["errors"][0]["extensions"]["code"], "BAD_USER_INPUT");
    Ok(())
}
