//! Popularity as its neighbours see it: orders in, a graph out.

use contracts::orders::{Line, LineKind, Order, OrderCancelled, OrderPlaced, Status};
use contracts::returns::{CreditNote, CreditNoteIssued};
use contracts::{Event, Extra};
use serde_json::{Value, json};
use testkit::{Fixture, event};

fn line(sku: &str, quantity: u32, price: &str) -> Line {
    let kind = if sku == "POST" { LineKind::Fee } else { LineKind::Product };
    let (title, unit_price) = (sku.to_owned(), price.parse().expect("a price"));
    Line { position: 1, kind, sku: sku.into(), title, quantity, unit_price, extra: Extra::default() }
}

fn order(id: &str, country: &str, at: &str, lines: Vec<Line>) -> Order {
    let OrderPlaced(example) = OrderPlaced::example();
    Order { id: id.into(), country: country.into(), placed_at: at.parse().expect("a time"), lines, ..example }
}

fn note(id: &str, country: &str, at: &str, lines: Vec<Line>) -> CreditNote {
    let CreditNoteIssued(example) = CreditNoteIssued::example();
    CreditNote {
        id: id.into(),
        country: country.into(),
        issued_at: at.parse().expect("a time"),
        lines,
        ..example
    }
}

/// Two orders and a credit note that count, one that was cancelled, one in euros.
async fn with_trade() -> anyhow::Result<Fixture> {
    let fixture = Fixture::new(popularity::micrograph()).await?;
    let first = [line("22423", 2, "12.75"), line("POST", 1, "18"), line("85123A", 6, "2.555")];
    let first = order("1", "France", "2010-12-01T08:26:00Z", first.into());
    let second = [line("22423", 1, "10.95"), line("47566", 20, "0.001")];
    let second = order("2", "United Kingdom", "2011-01-31T23:59:59Z", second.into());
    let third = order("3", "United Kingdom", "2011-01-04T10:00:00Z", vec![line("22423", 100, "12.75")]);
    let cancelled = Order { status: Status::Cancelled, ..third.clone() };
    let euros = order("4", "France", "2011-01-04T10:00:00Z", vec![line("22423", 7, "15")]);
    let euros = Order { currency: "EUR".into(), ..euros };
    let back = note("C1", "France", "2011-02-01T10:00:00Z", vec![line("22423", 1, "12.75")]);
    let events = [
        event(&OrderPlaced(first), 1),
        event(&OrderPlaced(second), 1),
        event(&OrderCancelled(cancelled), 2),
        event(&OrderPlaced(third), 1),
        event(&OrderPlaced(euros), 1),
        event(&CreditNoteIssued(back), 1),
    ];
    fixture.publish(&events).await?;
    fixture.publish(&events).await?;
    Ok(fixture)
}

fn pounds(amount: &str) -> Value {
    json!({ "amount": amount, "currency": "GBP" })
}

#[tokio::test]
async fn every_function_does_its_work_on_lambda() -> anyhow::Result<()> {
    testkit::roles::work(env!("CARGO_BIN_EXE_popularity"), popularity::micrograph).await
}

#[tokio::test]
async fn the_committed_schema_is_served() -> anyhow::Result<()> {
    testkit::fixture::schema_is_committed(popularity::micrograph(), env!("CARGO_MANIFEST_DIR")).await
}

#[tokio::test]
async fn the_shop_is_counted_to_the_thousandth_of_a_penny() -> anyhow::Result<()> {
    let fixture = with_trade().await?;
    let query = r"query ($country: String, $month: String) {
        sales(country: $country, month: $month) {
            orders lines units gross { amount currency }
            creditNotes returnedLines returnedUnits refunds { amount currency }
        }
    }";
    let sales = |sold: [i64; 3], gross: &str, returned: i64, refunds: &str| {
        json!({ "sales": {
            "orders": sold[0], "lines": sold[1], "units": sold[2], "gross": pounds(gross),
            "creditNotes": returned, "returnedLines": returned, "returnedUnits": returned,
            "refunds": pounds(refunds),
        } })
    };
    let answers = [
        (json!({}), sales([2, 5, 30], "69.80", 1, "12.75")),
        (json!({ "country": "France" }), sales([1, 3, 9], "58.83", 1, "12.75")),
        (json!({ "country": "Atlantis" }), sales([0, 0, 0], "0.00", 0, "0.00")),
        (json!({ "month": "2011-01" }), sales([1, 2, 21], "10.97", 0, "0.00")),
        (json!({ "month": "2011-02" }), sales([0, 0, 0], "0.00", 1, "12.75")),
    ];
    for (variables, expected) in answers {
        let answer = fixture.query(query, variables.clone()).await?;
        assert_eq!(answer["data"], expected, "{variables} {answer}");
    }
    Ok(())
}

#[tokio::test]
async fn a_product_and_a_customer_are_extended_for_the_whole_batch() -> anyhow::Result<()> {
    let fixture = with_trade().await?;
    let product = |sku: &str| json!({ "__typename": "Product", "sku": sku });
    let selection = r#"{
        ... on Product {
            unitsSold revenue { amount currency } unitsReturned refunds { amount currency }
            euros: revenue(currency: "EUR") { amount currency }
        }
        ... on Customer { spent { amount currency } ordersPlaced }
    }"#;
    let representations =
        json!([product("22423"), product("no such"), { "__typename": "Customer", "id": "17850" }]);
    let entities = fixture.entities(representations, selection).await?;
    let cakestand = json!({
        "unitsSold": 3, "revenue": pounds("36.45"), "unitsReturned": 1, "refunds": pounds("12.75"),
        "euros": { "amount": "105.00", "currency": "EUR" },
    });
    let unsold = json!({
        "unitsSold": 0, "revenue": pounds("0.00"), "unitsReturned": 0, "refunds": pounds("0.00"),
        "euros": { "amount": "0.00", "currency": "EUR" },
    });
    let customer = json!({ "spent": pounds("69.80"), "ordersPlaced": 2 });
    assert_eq!(entities, json!([cakestand, unsold, customer]));
    Ok(())
}

#[tokio::test]
async fn a_hundred_products_are_resolved_in_order() -> anyhow::Result<()> {
    let fixture = with_trade().await?;
    let skus = (0..100).map(|number| if number % 10 == 0 { "85123A".into() } else { format!("S{number}") });
    let representations: Vec<Value> =
        skus.map(|sku: String| json!({ "__typename": "Product", "sku": sku })).collect();
    let entities = fixture.entities(json!(representations), "{ ... on Product { unitsSold } }").await?;
    for (number, entity) in entities.as_array().unwrap().iter().enumerate() {
        assert_eq!(entity["unitsSold"], json!(if number % 10 == 0 { 6 } else { 0 }));
    }
    Ok(())
}

const TOP: &str = r#"query ($by: RankedBy! = REVENUE, $country: String, $month: String, $first: Int! = 10, $currency: Currency! = "GBP") {
    topProducts(by: $by, country: $country, month: $month, first: $first, currency: $currency) {
        rank units revenue { amount } product { sku }
    }
}"#;

/// Each as rank, SKU, units, revenue.
async fn top(fixture: &Fixture, variables: Value) -> anyhow::Result<Vec<(i64, String, i64, String)>> {
    let answer = fixture.query(TOP, variables).await?;
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    let ranked = |it: &Value| {
        let number = |name: &str| it[name].as_i64().expect("a number");
        (number("rank"), text(&it["product"]["sku"]), number("units"), text(&it["revenue"]["amount"]))
    };
    let list = answer["data"]["topProducts"].as_array();
    Ok(list.unwrap_or_else(|| panic!("{answer}")).iter().map(ranked).collect())
}

fn place(rank: i64, sku: &str, units: i64, revenue: &str) -> (i64, String, i64, String) {
    (rank, sku.to_owned(), units, revenue.to_owned())
}

#[tokio::test]
async fn products_are_ranked_overall_by_country_and_by_month() -> anyhow::Result<()> {
    let fixture = with_trade().await?;
    let (cakestand, holder, cups) =
        (place(1, "22423", 3, "36.45"), place(2, "85123A", 6, "15.33"), place(3, "47566", 20, "0.02"));
    assert_eq!(top(&fixture, json!({})).await?, [cakestand, holder, cups]);
    assert_eq!(
        top(&fixture, json!({ "by": "UNITS", "first": 2 })).await?,
        [place(1, "47566", 20, "0.02"), place(2, "85123A", 6, "15.33")]
    );
    assert_eq!(
        top(&fixture, json!({ "country": "France" })).await?,
        [place(1, "22423", 2, "25.50"), place(2, "85123A", 6, "15.33")]
    );
    assert_eq!(
        top(&fixture, json!({ "month": "2011-01", "by": "UNITS" })).await?,
        [place(1, "47566", 20, "0.02"), place(2, "22423", 1, "10.95")]
    );
    // What only came back in a month was not sold in it.
    assert_eq!(top(&fixture, json!({ "month": "2011-02" })).await?, []);
    assert_eq!(top(&fixture, json!({ "currency": "EUR" })).await?, [place(1, "22423", 7, "105.00")]);
    Ok(())
}

#[tokio::test]
async fn the_best_of_many_products_are_found_in_every_shard() -> anyhow::Result<()> {
    let fixture = Fixture::new(popularity::micrograph()).await?;
    let lines: Vec<Line> =
        (1..=150).map(|number| line(&format!("S{number:03}"), number.max(3), "1")).collect();
    let placed = order("1", "France", "2010-12-01T08:26:00Z", lines);
    fixture.publish(&[event(&OrderPlaced(placed), 1)]).await?;
    let best = top(&fixture, json!({ "first": 100 })).await?;
    let expected: Vec<_> = (51..=150_i64)
        .rev()
        .zip(1..)
        .map(|(number, rank)| place(rank, &format!("S{number:03}"), number, &format!("{number}.00")))
        .collect();
    assert_eq!(best, expected);
    Ok(())
}

#[tokio::test]
async fn products_that_tie_share_a_rank() -> anyhow::Result<()> {
    let fixture = Fixture::new(popularity::micrograph()).await?;
    let lines = ["C", "A", "B", "D"].map(|sku| line(sku, if sku == "D" { 1 } else { 2 }, "1"));
    let placed = order("1", "France", "2010-12-01T08:26:00Z", lines.into());
    fixture.publish(&[event(&OrderPlaced(placed), 1)]).await?;
    assert_eq!(
        top(&fixture, json!({})).await?,
        [
            place(1, "A", 2, "2.00"),
            place(1, "B", 2, "2.00"),
            place(1, "C", 2, "2.00"),
            place(4, "D", 1, "1.00")
        ]
    );
    Ok(())
}

#[tokio::test]
async fn questions_that_make_no_sense_are_refused_in_words() -> anyhow::Result<()> {
    let fixture = with_trade().await?;
    let bad = [
        (json!({ "country": "France", "month": "2011-01" }), "can't be used together"),
        (json!({ "month": "2011-13" }), "a month is written like 2011-03"),
        (json!({ "month": "2011-1" }), "a month is written like 2011-03"),
        (json!({ "month": "January" }), "a month is written like 2011-03"),
        (json!({ "first": 0 }), "first must be between 1 and 100"),
        (json!({ "first": 101 }), "first must be between 1 and 100"),
        (json!({ "currency": "pounds" }), "ISO 4217"),
    ];
    for (variables, why) in bad {
        let answer = fixture.query(TOP, variables.clone()).await?;
        assert_eq!(answer["errors"][0]["extensions"]["code"], "BAD_USER_INPUT", "{variables}: {answer}");
        let message = answer["errors"][0]["message"].as_str().unwrap_or_default();
        assert!(message.contains(why), "{variables}: {message}");
    }
    Ok(())
}

#[tokio::test]
async fn an_order_that_cannot_be_counted_is_kept_aside_and_its_neighbours_count() -> anyhow::Result<()> {
    let fixture = with_trade().await?;
    let huge =
        order("9", "France", "2010-12-01T08:26:00Z", vec![line("22423", 2, "79228162514264337593543950335")]);
    let good = order("10", "France", "2010-12-01T08:26:00Z", vec![line("22423", 1, "1")]);
    fixture.publish(&[event(&OrderPlaced(huge), 1), event(&OrderPlaced(good), 1)]).await?;
    let kept = fixture.quarantined().await?;
    assert_eq!(kept.len(), 1);
    assert!(kept.iter().all(|entry| entry.detail.contains("comes to more than")));
    assert_eq!(top(&fixture, json!({ "first": 1 })).await?, [place(1, "22423", 4, "37.45")]);
    Ok(())
}
