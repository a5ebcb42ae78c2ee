//! The inventory as its neighbours see it: commands and orders in, events and a graph out.

use contracts::Event;
use contracts::inventory::{AdjustStock, Reason, StockAdjusted};
use contracts::orders::{Line, Order, OrderCancelled, OrderPlaced, Status};
use contracts::returns::CreditNoteIssued;
use serde_json::{Value, json};
use testkit::{Fixture, event};

const AT: &str = "2011-01-04T10:00:00Z";

fn adjust(sku: &str, quantity: i64) -> AdjustStock {
    AdjustStock { sku: sku.into(), quantity, reason: Reason::Found }
}

/// The examples of orders: two cakestands and postage sold, one order of them cancelled, one cakestand returned.
fn orders() -> [Value; 5] {
    let OrderPlaced(example) = OrderPlaced::example();
    let lines = example.lines.iter().map(|line| Line { quantity: 50, ..line.clone() });
    let other = Order { id: "2".into(), lines: lines.collect(), ..example };
    let cancelled = Order { status: Status::Cancelled, ..other.clone() };
    let CreditNoteIssued(mut back) = CreditNoteIssued::example();
    back.lines.iter_mut().for_each(|line| line.quantity = 1);
    let post = Order { id: "3".into(), lines: other.lines[1..].to_vec(), ..other.clone() };
    [
        event(&OrderCancelled(cancelled), 2),
        event(&OrderPlaced::example(), 1),
        event(&CreditNoteIssued(back), 1),
        event(&OrderPlaced(other), 1),
        event(&OrderPlaced(post), 1),
    ]
}

async fn with_stock() -> anyhow::Result<Fixture> {
    let fixture = Fixture::new(inventory::micrograph()).await?;
    for (id, quantity) in [("c1", 40), ("c2", -3), ("c1", 40)] {
        fixture.command(id, AT, adjust("22423", quantity)).await?;
    }
    fixture.publish(&orders()).await?;
    fixture.publish(&orders()).await?;
    Ok(fixture)
}

const STOCK: &str = "{ ... on Product { stock { onHand reserved returned available } } }";

async fn stock(fixture: &Fixture, sku: &str) -> anyhow::Result<Value> {
    let representations = json!([{ "__typename": "Product", "sku": sku }]);
    Ok(fixture.entities(representations, STOCK).await?[0]["stock"].take())
}

#[tokio::test]
async fn every_function_does_its_work_on_lambda() -> anyhow::Result<()> {
    testkit::roles::work(env!("CARGO_BIN_EXE_inventory"), inventory::micrograph).await
}

#[tokio::test]
async fn the_committed_schema_is_served() -> anyhow::Result<()> {
    testkit::fixture::schema_is_committed(inventory::micrograph(), env!("CARGO_MANIFEST_DIR")).await
}

#[tokio::test]
async fn stock_is_what_was_counted_less_what_was_ordered() -> anyhow::Result<()> {
    let fixture = with_stock().await?;
    let cakestand = json!({ "onHand": 37, "reserved": 2, "returned": 1, "available": 36 });
    assert_eq!(stock(&fixture, "22423").await?, cakestand);
    let nothing = json!({ "onHand": 0, "reserved": 0, "returned": 0, "available": 0 });
    assert_eq!(stock(&fixture, "POST").await?, nothing, "fees are not kept in stock");
    Ok(())
}

#[tokio::test]
async fn what_is_sold_before_it_was_counted_in_is_missing() -> anyhow::Result<()> {
    let fixture = Fixture::new(inventory::micrograph()).await?;
    fixture.publish(&orders()).await?;
    assert_eq!(stock(&fixture, "22423").await?["available"], json!(-1));
    Ok(())
}

const LEDGER: &str = "{ ... on Product {
    stockLedger { balance belowZeroSince entriesMissing entries(first: 2) { at quantity reason balance } }
} }";

async fn ledger(fixture: &Fixture, sku: &str) -> anyhow::Result<Value> {
    let representations = json!([{ "__typename": "Product", "sku": sku }]);
    Ok(fixture.entities(representations, LEDGER).await?[0]["stockLedger"].take())
}

#[tokio::test]
async fn a_ledger_tells_the_balance_after_each_adjustment() -> anyhow::Result<()> {
    let fixture = with_stock().await?;
    fixture.command("c3", "2011-01-05T10:00:00Z", adjust("22423", -50)).await?;
    fixture.command("c4", "2011-01-06T10:00:00Z", adjust("22423", 1)).await?;
    let entry = |at: &str, quantity: i64, balance: i64| json!({ "at": at, "quantity": quantity, "reason": "FOUND", "balance": balance });
    let short = "2011-01-05T10:00:00Z";
    let expected = json!({
        "balance": -12, "belowZeroSince": short, "entriesMissing": false,
        "entries": [entry("2011-01-06T10:00:00Z", 1, -12), entry(short, -50, -13)],
    });
    assert_eq!(ledger(&fixture, "22423").await?, expected);
    let nothing = json!({ "balance": 0, "belowZeroSince": null, "entriesMissing": false, "entries": [] });
    assert_eq!(ledger(&fixture, "NEVER").await?, nothing);
    for first in [0, -1, 51] {
        let query = "query ($first: Int!) { _entities(representations: [{ __typename: \"Product\", sku: \"22423\" }]) {
            ... on Product { stockLedger { entries(first: $first) { balance } } } } }";
        let answer = fixture.query(query, json!({ "first": first })).await?;
        assert_eq!(answer["errors"][0]["extensions"]["code"], "BAD_USER_INPUT", "{answer}");
    }
    Ok(())
}

#[tokio::test]
async fn a_ledger_whose_adjustments_dont_come_goes_on_from_the_stock_until_they_do() -> anyhow::Result<()> {
    let fixture = Fixture::new(inventory::micrograph()).await?;
    for (id, quantity) in [("c1", 40), ("c2", -3), ("c3", 5)] {
        fixture.command(id, AT, adjust("22423", quantity)).await?;
    }
    let third = event(&StockAdjusted { quantity: 5, reason: Reason::Found, ..StockAdjusted::example() }, 3);
    let deliver = async |receives: u32| -> anyhow::Result<Value> {
        let mut record = testkit::delivery::sqs_record(0, &third.to_string());
        record["attributes"]["ApproximateReceiveCount"] = json!(receives.to_string());
        record["attributes"]["ApproximateFirstReceiveTimestamp"] = json!("0");
        let payload = testkit::delivery::payload(&[record]);
        Ok(fixture.app().invoke("consumer.ledger-1", payload.as_bytes(), None).await?)
    };
    assert_eq!(deliver(1).await?["batchItemFailures"][0]["itemIdentifier"], "message-0", "it waits");
    assert_eq!(deliver(2).await?, json!({ "batchItemFailures": [] }));
    let query =
        format!(r#"{{ _entities(representations: [{{ __typename: "Product", sku: "22423" }}]) {LEDGER} }}"#);
    let answer = fixture.query_unsettled(&query, json!({})).await?;
    let taken = json!({ "balance": 42, "belowZeroSince": null, "entriesMissing": true, "entries": [] });
    assert_eq!(answer["data"]["_entities"][0]["stockLedger"], taken, "{answer}");

    // Now they come.
    let ledger = ledger(&fixture, "22423").await?;
    assert_eq!((&ledger["balance"], &ledger["entriesMissing"]), (&json!(42), &json!(false)));
    assert_eq!(ledger["entries"][1]["balance"], 37);
    Ok(())
}

#[tokio::test]
async fn a_ledger_is_read_while_an_adjustment_waits_in_it() -> anyhow::Result<()> {
    let fixture = Fixture::new(inventory::micrograph()).await?;
    for (id, quantity) in [("c1", 40), ("c2", -3), ("c3", 5)] {
        fixture.command(id, AT, adjust("22423", quantity)).await?;
    }
    let adjusted = |quantity: i64, seq| {
        event(&StockAdjusted { quantity, reason: Reason::Found, ..StockAdjusted::example() }, seq)
    };
    let payload = testkit::delivery::sqs([adjusted(40, 1), adjusted(5, 3)].map(|it| it.to_string()));
    let answer = fixture.app().invoke("consumer.ledger-1", payload.as_bytes(), None).await?;
    assert_eq!(answer["batchItemFailures"], json!([{ "itemIdentifier": "message-1" }]), "it waits");
    let query =
        format!(r#"{{ _entities(representations: [{{ __typename: "Product", sku: "22423" }}]) {LEDGER} }}"#);
    let answer = fixture.query_unsettled(&query, json!({})).await?;
    let entry = json!({ "at": answer["data"]["_entities"][0]["stockLedger"]["entries"][0]["at"], "quantity": 40, "reason": "FOUND", "balance": 40 });
    let first = json!({ "balance": 40, "belowZeroSince": null, "entriesMissing": false, "entries": [entry] });
    assert_eq!(answer["data"]["_entities"][0]["stockLedger"], first, "{answer}");
    assert_eq!(ledger(&fixture, "22423").await?["balance"], 42);
    Ok(())
}

#[tokio::test]
async fn a_hundred_products_are_resolved_in_order() -> anyhow::Result<()> {
    let fixture = with_stock().await?;
    let sku = |number: i32| if number % 10 == 0 { "22423".to_owned() } else { number.to_string() };
    let representations: Vec<Value> =
        (0..100).map(|number| json!({ "__typename": "Product", "sku": sku(number) })).collect();
    let entities = fixture.entities(json!(representations), STOCK).await?;
    for (number, entity) in entities.as_array().unwrap().iter().enumerate() {
        assert_eq!(entity["stock"]["onHand"], json!(if number % 10 == 0 { 37 } else { 0 }));
    }
    Ok(())
}

#[tokio::test]
async fn adjustments_are_counted_over_all_products() -> anyhow::Result<()> {
    let fixture = Fixture::new(inventory::micrograph()).await?;
    for number in 0..40_i64 {
        let quantity = if number % 4 == 0 { -1 } else { 2 };
        fixture.command(&format!("c{number}"), AT, adjust(&format!("S{}", number % 30), quantity)).await?;
    }
    let answer = fixture.query("{ stockAdjustments { down up } }", json!({})).await?;
    assert_eq!(answer["data"]["stockAdjustments"], json!({ "down": 10, "up": 30 }));
    Ok(())
}

#[tokio::test]
async fn adjustments_of_more_products_than_a_page_holds_are_all_counted() -> anyhow::Result<()> {
    let fixture = Fixture::new(inventory::micrograph()).await?;
    let same = inventory::adjustments::key("S0").pk;
    let crowded =
        (0..).map(|number| format!("S{number}")).filter(|sku| inventory::adjustments::key(sku).pk == same);
    let events: Vec<Value> = crowded
        .take(250)
        .map(|sku| event(&StockAdjusted { sku, quantity: -1, ..StockAdjusted::example() }, 1))
        .collect();
    fixture.publish(&events).await?;
    let answer = fixture.query("{ stockAdjustments { down up } }", json!({})).await?;
    assert_eq!(answer["data"]["stockAdjustments"], json!({ "down": 250, "up": 0 }));
    Ok(())
}

const ADJUST: &str = r"mutation ($sku: ID!, $quantity: Int!, $id: String) {
    adjustStock(sku: $sku, quantity: $quantity, reason: WRITTEN_OFF, commandId: $id) {
        __typename ... on StockChanged { onHand version product { sku } } ... on Refused { code message }
    }
}";

#[tokio::test]
async fn an_adjustment_counts_once_for_ever() -> anyhow::Result<()> {
    let fixture = Fixture::new(inventory::micrograph()).await?;
    let adjust = |quantity: i64, id: String| json!({ "sku": " 85123a ", "quantity": quantity, "id": id });
    for number in 1..=20 {
        let answer = fixture.query(ADJUST, adjust(-2, format!("id {number}"))).await?;
        let changed = json!({
            "__typename": "StockChanged", "onHand": -2 * number, "version": format!("0.{number}"),
            "product": { "sku": "85123A" },
        });
        assert_eq!(answer["data"]["adjustStock"], changed);
    }
    // The first command's id has left the ring of the last ones by now.
    let answer = fixture.query(ADJUST, adjust(-2, "id 1".into())).await?;
    assert_eq!(answer["data"]["adjustStock"]["onHand"], -40);
    assert_eq!(fixture.settle().await?, Vec::<Value>::new());
    assert_eq!(stock(&fixture, "85123A").await?["onHand"], -40);
    Ok(())
}

#[tokio::test]
async fn an_adjustment_that_makes_no_sense_is_refused() -> anyhow::Result<()> {
    let fixture = Fixture::new(inventory::micrograph()).await?;
    let bad = [
        (json!({ "sku": "A", "quantity": 0 }), "INVALID_QUANTITY"),
        (json!({ "sku": "A", "quantity": 1_000_001 }), "INVALID_QUANTITY"),
        (json!({ "sku": "A", "quantity": -1_000_001 }), "INVALID_QUANTITY"),
    ];
    for (variables, code) in bad {
        let answer = fixture.query(ADJUST, variables).await?;
        assert_eq!(answer["data"]["adjustStock"]["code"], code, "{answer}");
    }
    for quantity in [1_000_000, -1_000_000] {
        let answer = fixture.query(ADJUST, json!({ "sku": "A", "quantity": quantity })).await?;
        assert_eq!(answer["data"]["adjustStock"]["__typename"], "StockChanged", "{answer}");
    }
    fixture.command("lower", AT, adjust("lower ", 1)).await?;
    fixture.command("lowest", AT, adjust("A", i64::MIN)).await?;
    let kept: Vec<String> = fixture.quarantined().await?.into_iter().map(|entry| entry.detail).collect();
    assert!(kept.iter().any(|detail| detail.starts_with("INVALID_SKU")), "{kept:?}");
    assert!(kept.iter().any(|detail| detail.starts_with("INVALID_QUANTITY")), "{kept:?}");
    assert_eq!(stock(&fixture, "A").await?["onHand"], 0);
    Ok(())
}
