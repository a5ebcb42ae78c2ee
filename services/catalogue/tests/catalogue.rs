//! The catalogue as its neighbours see it: commands in, events and a graph out.

use contracts::catalogue::{Category, DelistProduct, ListProduct, RetitleProduct};
use serde_json::{Value, json};
use testkit::Fixture;

const LISTED: &str = "2011-01-04T10:00:00Z";
const LATER: &str = "2011-02-01T10:00:00Z";

fn list(sku: &str, title: &str) -> ListProduct {
    ListProduct { sku: sku.into(), title: title.into(), category: Category::Gift }
}

fn retitle(sku: &str, title: &str) -> RetitleProduct {
    RetitleProduct { sku: sku.into(), title: title.into() }
}

async fn with_cakestand() -> anyhow::Result<Fixture> {
    let fixture = Fixture::new(catalogue::micrograph()).await?;
    fixture.command("c1", LISTED, list("22423", "Regency cakestand")).await?;
    fixture.command("c2", LATER, retitle("22423", "Regency cake stand, 3 tiers")).await?;
    Ok(fixture)
}

#[tokio::test]
async fn every_function_does_its_work_on_lambda() -> anyhow::Result<()> {
    testkit::roles::work(env!("CARGO_BIN_EXE_catalogue"), catalogue::micrograph).await
}

#[tokio::test]
async fn the_committed_schema_is_served() -> anyhow::Result<()> {
    testkit::fixture::schema_is_committed(catalogue::micrograph(), env!("CARGO_MANIFEST_DIR")).await
}

#[tokio::test]
async fn a_product_is_shown_with_all_its_titles() -> anyhow::Result<()> {
    let fixture = with_cakestand().await?;
    let query =
        r#"{ product(sku: " 22423 ") { sku title category listedAt titles { nodes { title since } } } }"#;
    let answer = fixture.query(query, json!({})).await?;
    assert_eq!(
        answer["data"]["product"],
        json!({
            "sku": "22423",
            "title": "Regency cake stand, 3 tiers",
            "category": "GIFT",
            "listedAt": LISTED,
            "titles": { "nodes": [
                { "title": "Regency cakestand", "since": LISTED },
                { "title": "Regency cake stand, 3 tiers", "since": LATER },
            ] },
        })
    );
    Ok(())
}

#[tokio::test]
async fn entities_are_resolved_in_order_and_a_missing_one_is_null() -> anyhow::Result<()> {
    let fixture = with_cakestand().await?;
    let product = |sku: &str| json!({ "__typename": "Product", "sku": sku });
    let representations = json!([product("no such"), product("22423"), product("22423")]);
    let entities = fixture.entities(representations, "{ ... on Product { title } }").await?;
    let cakestand = json!({ "title": "Regency cake stand, 3 tiers" });
    assert_eq!(entities, json!([null, cakestand, cakestand]));
    Ok(())
}

#[tokio::test]
async fn products_are_found_by_the_start_of_their_title_page_by_page() -> anyhow::Result<()> {
    let fixture = with_cakestand().await?;
    for number in 0..5 {
        let sku = format!("3{number}");
        fixture.command(&sku, LISTED, list(&sku, &format!("Rose candle {number}"))).await?;
    }
    let query = r#"query ($after: String) {
        products(titlePrefix: "rose C", first: 2, after: $after) { nodes { sku } pageInfo { hasNextPage endCursor } }
    }"#;
    let mut after = Value::Null;
    let mut found = Vec::new();
    loop {
        let answer = fixture.query(query, json!({ "after": after })).await?;
        let page = &answer["data"]["products"];
        found.extend(
            page["nodes"].as_array().unwrap().iter().map(|node| node["sku"].as_str().unwrap().to_owned()),
        );
        if page["pageInfo"]["hasNextPage"] == json!(false) {
            break;
        }
        after = page["pageInfo"]["endCursor"].clone();
    }
    assert_eq!(found, ["30", "31", "32", "33", "34"]);
    Ok(())
}

#[tokio::test]
async fn a_mutation_changes_the_product_or_says_why_not() -> anyhow::Result<()> {
    let fixture = with_cakestand().await?;
    let query = r#"mutation ($title: String!) {
        retitleProduct(sku: "22423", title: $title, commandId: "mine") {
            __typename ... on ProductChanged { version product { title } } ... on Refused { code message }
        }
    }"#;
    let refused = fixture.query(query, json!({ "title": "  " })).await?;
    assert_eq!(
        refused["data"]["retitleProduct"],
        json!({
            "__typename": "Refused",
            "code": "INVALID_TITLE",
            "message": "`title` must not be blank, and have at most 200 characters",
        })
    );
    let changed =
        json!({ "__typename": "ProductChanged", "version": "0.3", "product": { "title": "Cake stand" } });
    for _ in 0..2 {
        let answer = fixture.query(query, json!({ "title": "Cake stand" })).await?;
        assert_eq!(answer["data"]["retitleProduct"], changed);
    }
    Ok(())
}

#[tokio::test]
async fn a_delisted_product_is_gone_and_can_come_back() -> anyhow::Result<()> {
    let fixture = with_cakestand().await?;
    fixture.command("c3", LATER, DelistProduct { sku: "22423".into() }).await?;
    let query = r#"{ product(sku: "22423") { title } products { nodes { sku } } }"#;
    let gone = json!({ "product": null, "products": { "nodes": [] } });
    assert_eq!(fixture.query(query, json!({})).await?["data"], gone);
    fixture.command("c4", LATER, list("22423", "Cake stand")).await?;
    let events = fixture.settle().await?;
    assert_eq!(events[0]["version"], json!({ "epoch": 0, "seq": 4 }));
    assert_eq!(fixture.query(query, json!({})).await?["data"]["product"]["title"], "Cake stand");
    Ok(())
}

#[tokio::test]
async fn an_older_title_changes_nothing_and_bad_commands_are_kept() -> anyhow::Result<()> {
    let fixture = with_cakestand().await?;
    fixture.settle().await?;
    fixture.command("c3", LISTED, retitle("22423", "An older title")).await?;
    assert_eq!(fixture.settle().await?, Vec::<Value>::new());
    fixture.command("c4", LATER, list("lower ", "x")).await?;
    fixture.command("c5", LATER, retitle("99", "x")).await?;
    let codes: Vec<String> = fixture.quarantined().await?.into_iter().map(|entry| entry.detail).collect();
    assert_eq!(codes.len(), 2, "{codes:?}");
    assert!(codes.iter().any(|detail| detail.starts_with("INVALID_SKU")), "{codes:?}");
    assert!(codes.iter().any(|detail| detail.starts_with("UNKNOWN_PRODUCT")), "{codes:?}");
    Ok(())
}
