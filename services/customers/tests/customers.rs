//! The customers as their neighbours see them: commands in, events and a graph out.

use contracts::customers::{EraseCustomer, RegisterCustomer};
use serde_json::{Value, json};
use std::fmt::Write as _;
use testkit::Fixture;

const JANUARY: &str = "2011-01-04T10:00:00Z";
const FEBRUARY: &str = "2011-02-01T10:00:00Z";

const NAME: &str = "Ada Lovelace";
const EMAIL: &str = "ada@example.org";

fn register(id: &str) -> RegisterCustomer {
    let (name, email) = (Some(NAME.into()), Some(EMAIL.into()));
    RegisterCustomer { id: id.into(), name, email, country: "United Kingdom".into() }
}

async fn with_ada() -> anyhow::Result<Fixture> {
    let fixture = Fixture::new(customers::micrograph()).await?;
    fixture.command("c1", JANUARY, register("17850")).await?;
    Ok(fixture)
}

/// All items of all tables, as text.
async fn everything(fixture: &Fixture) -> anyhow::Result<String> {
    let client = &fixture.app().environment().dynamodb;
    let mut text = String::new();
    for table in client.list_tables().send().await?.table_names() {
        let items = client.scan().table_name(table).consistent_read(true).send().await?;
        assert_eq!(items.last_evaluated_key(), None);
        writeln!(text, "{table}: {:?}", items.items())?;
        for item in items.items() {
            for bytes in item.values().filter_map(|value| value.as_b().ok()) {
                text.push_str(&String::from_utf8_lossy(bytes.as_ref()));
            }
        }
    }
    Ok(text)
}

#[tokio::test]
async fn every_function_does_its_work_on_lambda() -> anyhow::Result<()> {
    testkit::roles::work(env!("CARGO_BIN_EXE_customers"), customers::micrograph).await
}

#[tokio::test]
async fn the_committed_schema_is_served() -> anyhow::Result<()> {
    testkit::fixture::schema_is_committed(customers::micrograph(), env!("CARGO_MANIFEST_DIR")).await
}

#[tokio::test]
async fn a_customer_is_shown_as_registered_first() -> anyhow::Result<()> {
    let fixture = with_ada().await?;
    let other = RegisterCustomer { name: None, ..register("17850") };
    fixture.command("c2", FEBRUARY, other).await?;
    let answer = fixture
        .query(r#"{ customer(id: " 17850") { id name email country registeredAt } }"#, json!({}))
        .await?;
    assert_eq!(
        answer["data"]["customer"],
        json!({ "id": "17850", "name": NAME, "email": EMAIL, "country": "United Kingdom", "registeredAt": JANUARY })
    );
    Ok(())
}

#[tokio::test]
async fn entities_are_resolved_in_order_and_a_missing_one_is_null() -> anyhow::Result<()> {
    let fixture = with_ada().await?;
    let customer = |id: &str| json!({ "__typename": "Customer", "id": id });
    let representations = json!([customer("no such"), customer("17850"), customer("17850")]);
    let entities = fixture.entities(representations, "{ ... on Customer { name } }").await?;
    let ada = json!({ "name": NAME });
    assert_eq!(entities, json!([null, ada, ada]));
    Ok(())
}

#[tokio::test]
async fn no_shared_cache_may_keep_a_customer() -> anyhow::Result<()> {
    let fixture = with_ada().await?;
    fixture.settle().await?;
    let request = http::Request::post("/graphql")
        .header("content-type", "application/json")
        .body(json!({ "query": r#"{ customer(id: "17850") { country } }"# }).to_string().into())?;
    let answer = (fixture.app().subgraph().unwrap().serve)(request).await;
    assert_eq!(answer.headers()["cache-control"], "private, max-age=10");
    Ok(())
}

#[tokio::test]
async fn erasure_leaves_nothing_personal_in_any_table() -> anyhow::Result<()> {
    let fixture = with_ada().await?;
    let registered = fixture.settle().await?;
    // A command that is refused leaves a trace too; it must be one without the customer's data.
    fixture.command("c2", FEBRUARY, EraseCustomer { id: "no such".into() }).await?;
    assert!(everything(&fixture).await?.contains(NAME));

    fixture.command("c3", FEBRUARY, EraseCustomer { id: "17850".into() }).await?;
    let events = fixture.settle().await?;
    assert_eq!(events[0]["type"], "CustomerErased");
    assert_eq!(events[0]["data"], json!({ "id": "17850" }));
    // The bus delivers the registration once more, and so does the command's queue.
    fixture.publish(&registered).await?;
    fixture.command("c1", JANUARY, register("17850")).await?;

    let left = everything(&fixture).await?;
    assert!(left.contains("17850"), "the tombstones stay: {left}");
    for personal in [NAME, EMAIL, "United Kingdom"] {
        assert!(!left.contains(personal), "`{personal}` is left: {left}");
    }
    let query = r#"{ customer(id: "17850") { id } }"#;
    assert_eq!(fixture.query(query, json!({})).await?["data"], json!({ "customer": null }));
    Ok(())
}

#[tokio::test]
async fn an_erased_customer_is_never_registered_again() -> anyhow::Result<()> {
    let fixture = with_ada().await?;
    let erase = r#"mutation { eraseCustomer(id: "17850") { __typename ... on CustomerChanged { version customer { id } } } }"#;
    let erased = json!({ "__typename": "CustomerChanged", "version": "0.2", "customer": null });
    for _ in 0..2 {
        assert_eq!(fixture.query(erase, json!({})).await?["data"]["eraseCustomer"], erased);
    }
    let register = r#"mutation { registerCustomer(input: { id: "17850", name: "Ada", country: "France" }) {
        ... on Refused { code message }
    } }"#;
    let refused = fixture.query(register, json!({})).await?;
    let message = "customer `17850` was erased, for good: use another number";
    assert_eq!(refused["data"]["registerCustomer"], json!({ "code": "CUSTOMER_ERASED", "message": message }));
    Ok(())
}

#[tokio::test]
async fn a_mutation_registers_or_says_why_not() -> anyhow::Result<()> {
    let fixture = Fixture::new(customers::micrograph()).await?;
    let query = "mutation ($input: RegisterCustomerInput!) {
        registerCustomer(input: $input) {
            ... on CustomerChanged { version customer { id name email } } ... on Refused { code message }
        }
    }";
    let input = |id: &str, name: &str, email: &str, country: &str| json!({ "input": { "id": id, "name": name, "email": email, "country": country } });
    for (bad, code) in [
        (input(" ", "Ada", EMAIL, "France"), "SUBJECT_INVALID"),
        (input(&"1".repeat(201), "Ada", EMAIL, "France"), "INVALID_ID"),
        (input("1", " ", EMAIL, "France"), "INVALID_NAME"),
        (input("1", "Ada", EMAIL, " "), "INVALID_COUNTRY"),
        (input("1", "Ada", "ada.example.org", "France"), "INVALID_EMAIL"),
        (input("1", "Ada", "@example.org", "France"), "INVALID_EMAIL"),
        (input("1", "Ada", "ada@", "France"), "INVALID_EMAIL"),
        (input("1", "Ada", "ada@a@b", "France"), "INVALID_EMAIL"),
        (input("1", "Ada", "a da@b", "France"), "INVALID_EMAIL"),
    ] {
        let refused = fixture.query(query, bad).await?["data"]["registerCustomer"].take();
        assert_eq!(refused["code"], code);
        let message = refused["message"].as_str().unwrap();
        assert!(!message.to_lowercase().contains("ada"), "{message}");
    }
    let done = fixture.query(query, input("1", NAME, EMAIL, "France")).await?;
    assert_eq!(
        done["data"]["registerCustomer"],
        json!({ "version": "0.1", "customer": { "id": "1", "name": NAME, "email": EMAIL } })
    );
    Ok(())
}

#[tokio::test]
async fn bad_commands_are_kept_with_their_reason_and_change_nothing() -> anyhow::Result<()> {
    let fixture = Fixture::new(customers::micrograph()).await?;
    fixture.command("c1", JANUARY, register(" 1")).await?;
    fixture.command("c2", JANUARY, EraseCustomer { id: "2".into() }).await?;
    assert_eq!(fixture.settle().await?, Vec::<Value>::new());
    let mut details: Vec<String> =
        fixture.quarantined().await?.into_iter().map(|entry| entry.detail).collect();
    details.sort();
    assert!(details[0].starts_with("INVALID_ID: "), "{details:?}");
    assert_eq!(details[1], "UNKNOWN_CUSTOMER: no customer with number `2` is registered");
    let kept = everything(&fixture).await?;
    assert!(kept.contains("RegisterCustomer") && kept.contains("United Kingdom"), "{kept}");
    assert!(!kept.contains(NAME) && !kept.contains(EMAIL), "{kept}");
    Ok(())
}
