//! The returns as their neighbours see them: commands in, events and a graph out.

use contracts::orders::{Line, LineKind};
use contracts::returns::IssueCreditNote;
use contracts::{Command, Extra};
use serde_json::{Value, json};
use testkit::Fixture;

const MORNING: &str = "2011-01-04T10:00:00Z";
const NOON: &str = "2011-01-04T12:00:00.5Z";
const EVENING: &str = "2011-01-04T18:00:00Z";

fn line(position: u32, sku: &str, quantity: u32, price: &str) -> Line {
    let kind = if sku == "POST" { LineKind::Fee } else { LineKind::Product };
    let (title, unit_price) = (format!("Title of {sku}"), price.parse().expect("a decimal"));
    Line { position, kind, sku: sku.to_owned(), title, quantity, unit_price, extra: Extra::default() }
}

fn note(id: &str, customer: Option<&str>) -> IssueCreditNote {
    IssueCreditNote {
        credit_note_id: id.into(),
        customer_id: customer.map(str::to_owned),
        country: "France".into(),
        currency: "GBP".into(),
        lines: vec![line(1, "22423", 2, "12.75"), line(3, "POST", 1, "-0.005")],
    }
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
    testkit::roles::work(env!("CARGO_BIN_EXE_returns"), returns::micrograph).await
}

#[tokio::test]
async fn the_committed_schema_is_served() -> anyhow::Result<()> {
    testkit::fixture::schema_is_committed(returns::micrograph(), env!("CARGO_MANIFEST_DIR")).await
}

#[tokio::test]
async fn a_credit_note_is_shown_as_issued() -> anyhow::Result<()> {
    let fixture = Fixture::new(returns::micrograph()).await?;
    fixture.command("c1", MORNING, note("C536379", Some("17850"))).await?;
    let query = r#"{ creditNote(id: " C536379") {
        id customer { id } country issuedAt total { amount currency }
        lines { position kind sku title quantity unitPrice { amount } amount { amount currency } product { sku } }
    } }"#;
    assert_eq!(
        fixture.query(query, json!({})).await?["data"]["creditNote"],
        json!({
            "id": "C536379", "customer": { "id": "17850" }, "country": "France", "issuedAt": MORNING,
            "total": { "amount": "25.495", "currency": "GBP" },
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
    );
    let representations =
        json!(["no such", "C536379"].map(|id| json!({ "__typename": "CreditNote", "id": id })));
    let entities = fixture.entities(representations, "{ ... on CreditNote { id } }").await?;
    assert_eq!(entities, json!([null, { "id": "C536379" }]));
    Ok(())
}

#[tokio::test]
async fn a_customer_has_credit_notes_newest_first_page_by_page() -> anyhow::Result<()> {
    let fixture = Fixture::new(returns::micrograph()).await?;
    for (id, time) in [("C1", MORNING), ("C2", EVENING), ("C3", NOON), ("C4", "2011-01-04T12:00:00Z")] {
        fixture.command(id, time, note(id, Some("17850"))).await?;
    }
    fixture.command("C5", NOON, note("C5", Some("another"))).await?;
    fixture.command("C6", NOON, note("C6", None)).await?;
    let query = r#"query ($first: Int, $after: String, $last: Int, $before: String) {
        _entities(representations: [{ __typename: "Customer", id: "17850" }]) { ... on Customer {
            creditNotes(first: $first, after: $after, last: $last, before: $before) {
                nodes { id lines { sku } } pageInfo { hasNextPage endCursor }
            }
        } }
    }"#;
    let mut found = Vec::new();
    let mut after = Value::Null;
    loop {
        let answer = fixture.query(query, json!({ "first": 3, "after": after })).await?;
        let page = &answer["data"]["_entities"][0]["creditNotes"];
        for node in page["nodes"].as_array().unwrap() {
            assert_eq!(node["lines"], json!([{ "sku": "22423" }, { "sku": "POST" }]));
            found.push(node["id"].as_str().unwrap().to_owned());
        }
        if page["pageInfo"]["hasNextPage"] == json!(false) {
            break;
        }
        after = page["pageInfo"]["endCursor"].clone();
    }
    assert_eq!(found, ["C2", "C3", "C4", "C1"]);
    let oldest = fixture.query(query, json!({ "last": 1 })).await?;
    assert_eq!(oldest["data"]["_entities"][0]["creditNotes"]["nodes"][0]["id"], "C1");
    Ok(())
}

#[tokio::test]
async fn the_same_credit_note_changes_nothing_and_another_is_refused() -> anyhow::Result<()> {
    let fixture = Fixture::new(returns::micrograph()).await?;
    let first = note("C1", Some("17850"));
    fixture.command("c1", MORNING, first.clone()).await?;
    let events = fixture.settle().await?;
    assert_eq!(events.iter().map(|it| &it["type"]).collect::<Vec<_>>(), ["CreditNoteIssued"]);

    fixture.command("c2", NOON, first.clone()).await?;
    fixture.command("c3", NOON, IssueCreditNote { country: "Spain".into(), ..first.clone() }).await?;
    fixture.command("c4", NOON, IssueCreditNote { credit_note_id: "4".into(), ..first.clone() }).await?;
    let ledger = Line { kind: LineKind::Unknown("ledger".into()), ..line(1, "B", 1, "11062.06") };
    let lines = vec![ledger];
    fixture.command("c5", NOON, IssueCreditNote { credit_note_id: "C5".into(), lines, ..first }).await?;
    assert_eq!(fixture.settle().await?, Vec::<Value>::new());
    let refused = ["CREDIT_NOTE_EXISTS", "INVALID_CREDIT_NOTE_ID", "INVALID_KIND"];
    assert_eq!(codes(&fixture).await?, refused);
    Ok(())
}

#[tokio::test]
async fn the_example_is_a_credit_note_that_is_issued() -> anyhow::Result<()> {
    let fixture = Fixture::new(returns::micrograph()).await?;
    fixture.command("c1", MORNING, IssueCreditNote::example()).await?;
    assert_eq!(fixture.settle().await?.len(), 1);
    Ok(())
}
