//! The orders as their neighbours see them: commands and events in, events and a graph out.

use contracts::catalogue::{Category, Product, ProductDelisted, ProductListed};
use contracts::customers::{CustomerErased, CustomerRegistered};
use contracts::orders::{CancelOrder, Line, LineKind, PlaceOrder};
use contracts::pricing::{Price, ProductPriced};
use contracts::{Event, Money};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use testkit::{Fixture, event};

const MORNING: &str = "2011-01-04T10:00:00Z";
const NOON: &str = "2011-01-04T12:00:00.5Z";
const EVENING: &str = "2011-01-04T18:00:00Z";

fn line(position: u32, sku: &str, quantity: u32, price: &str) -> Line {
    let kind = if sku == "POST" { LineKind::Fee } else { LineKind::Product };
    let (sku, title, unit_price) =
        (sku.to_owned(), format!("Title of {sku}"), price.parse().expect("a decimal"));
    Line { position, kind, sku, title, quantity, unit_price, extra: contracts::Extra::default() }
}

fn place(id: &str, customer: Option<&str>) -> PlaceOrder {
    PlaceOrder {
        order_id: id.into(),
        customer_id: customer.map(str::to_owned),
        country: "France".into(),
        currency: "GBP".into(),
        lines: vec![line(1, "22423", 2, "12.75"), line(3, "POST", 1, "-0.005")],
    }
}

fn listed(sku: &str, title: &str) -> ProductListed {
    let time = MORNING.parse().expect("an instant");
    ProductListed(Product {
        sku: sku.into(),
        title: title.into(),
        category: Category::Gift,
        listed_at: time,
        titled_at: time,
        extra: contracts::Extra::default(),
    })
}

fn priced(sku: &str, market: &str, amount: &str, currency: &str) -> ProductPriced {
    ProductPriced(Price {
        sku: sku.into(),
        market: market.into(),
        price: Money::new(amount.parse().expect("a decimal"), currency),
        effective_from: MORNING.parse().expect("an instant"),
        extra: contracts::Extra::default(),
    })
}

async fn shop() -> anyhow::Result<Fixture> {
    let fixture = Fixture::new(orders::micrograph()).await?;
    let events = [
        event(&listed("22423", "Cake stand"), 1),
        event(&priced("22423", "GB", "10.95", "GBP"), 1),
        event(&priced("22423", "DE", "12.5", "EUR"), 1),
        event(&listed("1", "Not priced"), 1),
        event(&priced("2", "GB", "1", "GBP"), 1),
        event(&CustomerRegistered::example(), 1),
    ];
    fixture.publish(&events).await?;
    Ok(fixture)
}

async fn codes(fixture: &Fixture) -> anyhow::Result<Vec<String>> {
    let kept = fixture.quarantined().await?.into_iter();
    let mut codes: Vec<String> =
        kept.map(|it| it.detail.split(':').next().unwrap_or_default().to_owned()).collect();
    codes.sort();
    Ok(codes)
}

#[tokio::test]
async fn every_function_does_its_work_on_lambda() -> anyhow::Result<()> {
    testkit::roles::work(env!("CARGO_BIN_EXE_orders"), orders::micrograph).await
}

#[tokio::test]
async fn the_committed_schema_is_served() -> anyhow::Result<()> {
    testkit::fixture::schema_is_committed(orders::micrograph(), env!("CARGO_MANIFEST_DIR")).await
}

#[tokio::test]
async fn an_order_is_shown_as_sold_and_as_it_stands() -> anyhow::Result<()> {
    let fixture = Fixture::new(orders::micrograph()).await?;
    fixture.command("c1", MORNING, place("536365", Some("17850"))).await?;
    let query = r#"{ order(id: " 536365") {
        id customer { id } country status placedAt total { amount currency } units lineCount
        lines { position kind sku title quantity unitPrice { amount } amount { amount currency } product { sku } }
    } }"#;
    let shown = |status: &str| {
        json!({
            "id": "536365", "customer": { "id": "17850" }, "country": "France", "status": status,
            "placedAt": MORNING, "total": { "amount": "25.495", "currency": "GBP" }, "units": 3, "lineCount": 2,
            "lines": [
                {
                    "position": 1, "kind": "PRODUCT", "sku": "22423", "title": "Title of 22423", "quantity": 2,
                    "unitPrice": { "amount": "12.75" }, "amount": { "amount": "25.50", "currency": "GBP" },
                    "product": { "sku": "22423" },
                },
                {
                    "position": 3, "kind": "FEE", "sku": "POST", "title": "Title of POST", "quantity": 1,
                    "unitPrice": { "amount": "-0.005" }, "amount": { "amount": "-0.005", "currency": "GBP" },
                    "product": null,
                },
            ],
        })
    };
    assert_eq!(fixture.query(query, json!({})).await?["data"]["order"], shown("PLACED"));
    fixture.command("c2", NOON, CancelOrder { order_id: "536365".into() }).await?;
    assert_eq!(fixture.query(query, json!({})).await?["data"]["order"], shown("CANCELLED"));
    Ok(())
}

#[tokio::test]
async fn entities_are_resolved_in_order_and_a_missing_one_is_null() -> anyhow::Result<()> {
    let fixture = Fixture::new(orders::micrograph()).await?;
    fixture.command("c1", MORNING, place("536365", None)).await?;
    let order = |id: &str| json!({ "__typename": "Order", "id": id });
    let representations = json!([order("no such"), order("536365"), order("536365")]);
    let entities = fixture.entities(representations, "{ ... on Order { id customer { id } } }").await?;
    let guest = json!({ "id": "536365", "customer": null });
    assert_eq!(entities, json!([null, guest, guest]));
    Ok(())
}

#[tokio::test]
async fn a_customer_has_orders_newest_first_page_by_page() -> anyhow::Result<()> {
    let fixture = Fixture::new(orders::micrograph()).await?;
    for (id, time) in [("1", MORNING), ("2", EVENING), ("3", NOON), ("4", "2011-01-04T12:00:00Z")] {
        fixture.command(id, time, place(id, Some("17850"))).await?;
    }
    fixture.command("5", NOON, place("5", Some("another"))).await?;
    fixture.command("6", NOON, place("6", None)).await?;
    let query = r#"query ($first: Int, $after: String, $last: Int, $before: String) {
        _entities(representations: [{ __typename: "Customer", id: "17850" }]) { ... on Customer {
            orders(first: $first, after: $after, last: $last, before: $before) {
                nodes { id total { amount } lines { sku } } pageInfo { hasNextPage endCursor }
            }
        } }
    }"#;
    let mut found = Vec::new();
    let mut after = Value::Null;
    loop {
        let answer = fixture.query(query, json!({ "first": 3, "after": after })).await?;
        let page = &answer["data"]["_entities"][0]["orders"];
        let lines = json!([{ "sku": "22423" }, { "sku": "POST" }]);
        for node in page["nodes"].as_array().unwrap() {
            assert_eq!((&node["total"]["amount"], &node["lines"]), (&json!("25.495"), &lines));
            found.push(node["id"].as_str().unwrap().to_owned());
        }
        if page["pageInfo"]["hasNextPage"] == json!(false) {
            break;
        }
        after = page["pageInfo"]["endCursor"].clone();
    }
    assert_eq!(found, ["2", "3", "4", "1"]);
    let oldest = fixture.query(query, json!({ "last": 1 })).await?;
    assert_eq!(oldest["data"]["_entities"][0]["orders"]["nodes"][0]["id"], "1");
    Ok(())
}

#[tokio::test]
async fn orders_of_one_moment_are_all_listed_page_by_page() -> anyhow::Result<()> {
    let fixture = Fixture::new(orders::micrograph()).await?;
    let placed: BTreeSet<String> = (1..=7).map(|number| number.to_string()).collect();
    for id in &placed {
        fixture.command(id, MORNING, place(id, Some("17850"))).await?;
    }
    for way in ["first: 2, after", "last: 2, before"] {
        let mut found = Vec::new();
        let mut cursor = Value::Null;
        loop {
            let query = format!(
                r#"query ($cursor: String) {{
                    _entities(representations: [{{ __typename: "Customer", id: "17850" }}]) {{ ... on Customer {{
                        orders({way}: $cursor) {{ edges {{ cursor node {{ id }} }} }}
                    }} }}
                }}"#
            );
            let answer = fixture.query(&query, json!({ "cursor": cursor })).await?;
            let edges = answer["data"]["_entities"][0]["orders"]["edges"].as_array().unwrap().clone();
            found.extend(edges.iter().map(|edge| edge["node"]["id"].as_str().unwrap().to_owned()));
            let last = if way.starts_with("first") { edges.last() } else { edges.first() };
            let Some(last) = last else { break };
            cursor = last["cursor"].clone();
        }
        assert_eq!((found.len(), BTreeSet::from_iter(found)), (placed.len(), placed.clone()), "{way}");
    }
    Ok(())
}

#[tokio::test]
async fn an_order_of_a_thousand_lines_is_kept_whole() -> anyhow::Result<()> {
    let fixture = Fixture::new(orders::micrograph()).await?;
    let long = |position| Line {
        title: "A title as long as they come".into(),
        ..line(position, "22423", 1, "0.01")
    };
    let order = PlaceOrder { lines: (1..=1_000).map(long).collect(), ..place("1", Some("17850")) };
    fixture.command("c1", MORNING, order.clone()).await?;
    let query = r#"{ order(id: "1") { total { amount } lines { position } } }"#;
    let answer = fixture.query(query, json!({})).await?;
    assert_eq!(answer["data"]["order"]["total"]["amount"], "10.00");
    assert_eq!(answer["data"]["order"]["lines"][999]["position"], 1_000);
    let mut more = order.clone();
    more.order_id = "2".into();
    more.lines.push(line(1_001, "22423", 1, "1"));
    fixture.command("c2", MORNING, more).await?;
    assert_eq!(codes(&fixture).await?, ["INVALID_LINES"]);
    Ok(())
}

#[tokio::test]
async fn the_same_order_changes_nothing_and_another_is_refused() -> anyhow::Result<()> {
    let fixture = Fixture::new(orders::micrograph()).await?;
    let order = place("1", Some("17850"));
    fixture.command("c1", MORNING, order.clone()).await?;
    fixture.command("c2", MORNING, CancelOrder { order_id: "1".into() }).await?;
    let events = fixture.settle().await?;
    assert_eq!(events.iter().map(|it| &it["type"]).collect::<Vec<_>>(), ["OrderPlaced", "OrderCancelled"]);

    fixture.command("c3", NOON, order.clone()).await?;
    fixture.command("c4", NOON, CancelOrder { order_id: "1".into() }).await?;
    fixture.command("c5", NOON, PlaceOrder { customer_id: None, ..order }).await?;
    fixture.command("c6", NOON, CancelOrder { order_id: "2".into() }).await?;
    assert_eq!(fixture.settle().await?, Vec::<Value>::new());
    assert_eq!(codes(&fixture).await?, ["ORDER_EXISTS", "UNKNOWN_ORDER"]);
    Ok(())
}

#[tokio::test]
async fn dirt_is_kept_with_its_reason_and_changes_nothing() -> anyhow::Result<()> {
    let fixture = Fixture::new(orders::micrograph()).await?;
    let good = || place("1", None);
    let with = |line: Line| PlaceOrder { lines: vec![line], ..good() };
    let ledger = Line { kind: LineKind::Unknown("ledger".into()), ..line(1, "B", 1, "11062.06") };
    let bad = [
        with(ledger),
        PlaceOrder { order_id: " 1".into(), ..good() },
        PlaceOrder { order_id: "C1".into(), ..good() },
        PlaceOrder { country: " ".into(), ..good() },
        PlaceOrder { currency: "gbp".into(), ..good() },
        PlaceOrder { customer_id: Some(String::new()), ..good() },
        PlaceOrder { lines: Vec::new(), ..good() },
        PlaceOrder { lines: vec![line(1, "1", 1, "1"), line(1, "2", 1, "1")], ..good() },
        with(line(0, "1", 1, "1")),
        with(line(1, "", 1, "1")),
        with(Line { title: "x".repeat(201), ..line(1, "1", 1, "1") }),
        with(line(1, "1", 0, "1")),
        with(line(1, "1", 1, "-0.01")),
        with(line(1, "POST", 1, "-1000001")),
        with(line(1, "1", 1, "0.00001")),
    ];
    for (number, order) in bad.into_iter().enumerate() {
        fixture.command(&format!("c{number}"), MORNING, order).await?;
    }
    assert_eq!(fixture.settle().await?, Vec::<Value>::new());
    let (position, price) = ("INVALID_POSITION", "INVALID_UNIT_PRICE");
    assert_eq!(
        codes(&fixture).await?,
        [
            "INVALID_COUNTRY",
            "INVALID_CURRENCY",
            "INVALID_CUSTOMER_ID",
            "INVALID_KIND",
            "INVALID_LINES",
            "INVALID_ORDER_ID",
            "INVALID_ORDER_ID",
            position,
            position,
            "INVALID_QUANTITY",
            "INVALID_SKU",
            "INVALID_TITLE",
            price,
            price,
            price,
        ]
    );
    let kept = fixture.quarantined().await?;
    let ledger = kept.iter().find(|it| it.detail.starts_with("INVALID_KIND")).unwrap();
    assert!(ledger.detail.contains("an adjustment of a ledger is no sale"), "{}", ledger.detail);
    Ok(())
}

const PLACE: &str = "mutation ($input: PlaceOrderInput!, $id: String) {
    placeOrder(input: $input, commandId: $id) {
        __typename
        ... on OrderChanged { version order {
            id country total { amount currency } lines { sku title quantity unitPrice { amount } }
        } }
        ... on Refused { code }
    }
}";

#[tokio::test]
async fn a_mutation_sells_at_the_title_and_price_of_now() -> anyhow::Result<()> {
    let fixture = shop().await?;
    let input = json!({
        "orderId": "W1", "customerId": "17850", "lines": [{ "sku": " 22423", "quantity": 3 }, { "sku": "22423", "quantity": 1 }],
    });
    let answer = fixture.query(PLACE, json!({ "input": input })).await?;
    let sold = |quantity: u32| json!({ "sku": "22423", "title": "Cake stand", "quantity": quantity, "unitPrice": { "amount": "10.95" } });
    assert_eq!(
        answer["data"]["placeOrder"],
        json!({ "__typename": "OrderChanged", "version": "0.1", "order": {
            "id": "W1", "country": "United Kingdom", "total": { "amount": "43.80", "currency": "GBP" },
            "lines": [sold(3), sold(1)],
        } })
    );
    let input = json!({
        "country": "Germany", "currency": "eur", "market": "de", "lines": [{ "sku": "22423", "quantity": 1 }],
    });
    let placed =
        fixture.query(PLACE, json!({ "input": input, "id": "mine" })).await?["data"]["placeOrder"].take();
    assert_eq!(placed["order"]["total"], json!({ "amount": "12.50", "currency": "EUR" }));
    // Sent again, it meets its order; sent under another id, it is another order.
    let again =
        fixture.query(PLACE, json!({ "input": input, "id": "mine" })).await?["data"]["placeOrder"].take();
    assert_eq!(again, placed);
    let other = fixture.query(PLACE, json!({ "input": input })).await?["data"]["placeOrder"].take();
    assert_ne!(other["order"]["id"], placed["order"]["id"]);
    Ok(())
}

#[tokio::test]
async fn an_order_that_is_sent_again_after_its_product_is_gone_is_the_order_that_was_placed()
-> anyhow::Result<()> {
    let fixture = shop().await?;
    let input = json!({ "country": "France", "lines": [{ "sku": "22423", "quantity": 1 }] });
    let sent = json!({ "input": input, "id": "mine" });
    let placed = fixture.query(PLACE, sent.clone()).await?["data"]["placeOrder"].take();
    assert_eq!(placed["order"]["total"]["amount"], "10.95");
    let gone = ProductDelisted { sku: "22423".into(), extra: contracts::Extra::default() };
    fixture.publish(&[event(&priced("22423", "GB", "9", "GBP"), 2), event(&gone, 2)]).await?;
    assert_eq!(fixture.query(PLACE, sent).await?["data"]["placeOrder"], placed);
    let other = json!({ "input": input, "id": "another" });
    let refused = fixture.query(PLACE, other).await?["data"]["placeOrder"].take();
    assert_eq!(refused["code"], "PRODUCT_NOT_FOR_SALE");
    Ok(())
}

#[tokio::test]
async fn a_mutation_says_why_it_does_not_sell() -> anyhow::Result<()> {
    let fixture = shop().await?;
    fixture
        .publish(&[event(&CustomerErased::example(), 2), event(&CustomerRegistered::example(), 1)])
        .await?;
    let lines = |sku: &str, quantity: i32| json!([{ "sku": sku, "quantity": quantity }]);
    let to_france = |lines: Value| json!({ "country": "France", "lines": lines });
    let mut german = to_france(lines("22423", 1));
    german["market"] = "DE".into();
    let mut nowhere = to_france(lines("22423", 1));
    nowhere["market"] = "".into();
    let mut erased = to_france(lines("22423", 1));
    erased["customerId"] = "17850".into();
    let mut credit = to_france(lines("22423", 1));
    credit["orderId"] = "C1".into();
    for (input, code) in [
        (to_france(lines("no such", 1)), "PRODUCT_NOT_FOR_SALE"),
        (to_france(lines("1", 1)), "PRODUCT_NOT_FOR_SALE"),
        (to_france(lines("2", 1)), "PRODUCT_NOT_FOR_SALE"),
        (to_france(lines("", 1)), "PRODUCT_NOT_FOR_SALE"),
        (to_france(lines("22423", 0)), "INVALID_QUANTITY"),
        (to_france(lines("22423", -1)), "INVALID_QUANTITY"),
        (to_france(json!([])), "INVALID_LINES"),
        (json!({ "lines": lines("22423", 1) }), "INVALID_COUNTRY"),
        (german, "CURRENCY_MISMATCH"),
        (nowhere, "INVALID_MARKET"),
        (erased, "CUSTOMER_ERASED"),
        (credit, "INVALID_ORDER_ID"),
    ] {
        let answer = fixture.query(PLACE, json!({ "input": input })).await?;
        assert_eq!(answer["data"]["placeOrder"], json!({ "__typename": "Refused", "code": code }), "{input}");
    }
    let mut unheard = to_france(lines("22423", 1));
    unheard["customerId"] = "not heard of".into();
    let answer = fixture.query(PLACE, json!({ "input": unheard })).await?;
    assert_eq!(answer["data"]["placeOrder"]["__typename"], "OrderChanged");

    let gone = ProductDelisted { sku: "22423".into(), extra: contracts::Extra::default() };
    fixture.publish(&[event(&gone, 2)]).await?;
    let answer = fixture.query(PLACE, json!({ "input": to_france(lines("22423", 1)) })).await?;
    assert_eq!(answer["data"]["placeOrder"]["code"], "PRODUCT_NOT_FOR_SALE");
    Ok(())
}

#[tokio::test]
async fn a_mutation_cancels_or_says_why_not() -> anyhow::Result<()> {
    let fixture = Fixture::new(orders::micrograph()).await?;
    fixture.command("c1", MORNING, place("1", None)).await?;
    let query = "mutation ($id: ID!) { cancelOrder(id: $id) {
        ... on OrderChanged { version order { status } } ... on Refused { code }
    } }";
    for _ in 0..2 {
        let answer = fixture.query(query, json!({ "id": "1" })).await?;
        let cancelled = json!({ "version": "0.2", "order": { "status": "CANCELLED" } });
        assert_eq!(answer["data"]["cancelOrder"], cancelled);
    }
    let answer = fixture.query(query, json!({ "id": "2" })).await?;
    assert_eq!(answer["data"]["cancelOrder"], json!({ "code": "UNKNOWN_ORDER" }));
    Ok(())
}

#[tokio::test]
async fn a_subscriber_hears_how_an_order_stands_and_each_change() -> anyhow::Result<()> {
    let fixture = shop().await?;
    let query = "subscription ($id: ID!) { orderStatus(id: $id) { status total { amount } lines { sku } } }";
    let mut slow = fixture.subscribe(query, json!({ "id": "1" })).await?;
    let mut heard = fixture.subscribe(query, json!({ "id": " 1 " })).await?;
    assert_eq!(heard.next().await?, json!({ "data": { "orderStatus": null } }));
    assert_eq!(slow.next().await?, json!({ "data": { "orderStatus": null } }));
    let stands = |status: &str| {
        let lines = json!([{ "sku": "22423" }, { "sku": "POST" }]);
        json!({ "data": { "orderStatus": { "status": status, "total": { "amount": "25.495" }, "lines": lines } } })
    };
    fixture.command("c1", MORNING, place("1", None)).await?;
    let placed = fixture.settle().await?;
    assert_eq!(heard.next().await?, stands("PLACED"));
    // What comes again and what others do is no news.
    fixture.publish(&placed).await?;
    fixture.command("c2", MORNING, place("2", None)).await?;
    fixture.command("c3", MORNING, CancelOrder { order_id: "1".into() }).await?;
    fixture.settle().await?;
    fixture.publish(&placed).await?;
    assert_eq!(heard.next().await?, stands("CANCELLED"));
    // Who is slow hears the newest state, once.
    assert_eq!(slow.next().await?, stands("CANCELLED"));
    let changes = fixture.app().environment().changes.clone().expect("the fixture hears changes");
    assert_eq!(changes.listeners(), 2);
    drop((heard, slow));
    assert_eq!(changes.listeners(), 0);

    let mut wrong = fixture.subscribe("subscription { nothing }", json!({})).await?;
    assert_eq!(wrong.next().await?["errors"][0]["extensions"]["code"], "GRAPHQL_VALIDATION_FAILED");
    let mut query = fixture.subscribe("{ __typename }", json!({})).await?;
    assert_eq!(query.next().await?["errors"][0]["extensions"]["code"], "BAD_REQUEST");
    Ok(())
}
