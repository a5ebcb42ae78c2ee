//! A second major version of an event beside the first: both are published, each consumer is told once, and what was
//! archived before is read as the second.

use crate::world::{World, batch, failed, list};
use contracts::catalogue::{Category, ListProduct, Product, ProductListed};
use contracts::{Envelope, Event, Extra, State, Upcast};
use micrograph::{Aggregate, Context, Decide, Decision, Micrograph, Rejection};
use projection::store::Store;
use projection::{Key, Projection, Row};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const TABLE: &str = "test-catalogue-product";

/// A product went on sale, with a title in each language.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct ProductListedV2 {
    sku: String,
    titles: BTreeMap<String, String>,
    #[serde(flatten)]
    extra: Extra,
}

impl Event for ProductListedV2 {
    type Kind = State;
    const DOMAIN: &str = "catalogue";
    const NAME: &str = "ProductListed";
    const MAJOR: u16 = 2;

    fn subject(&self) -> String {
        self.sku.clone()
    }

    fn upcasts() -> Upcast<Self> {
        Upcast::from(|ProductListed(it): ProductListed| Self {
            sku: it.sku,
            titles: BTreeMap::from([("en".to_owned(), it.title)]),
            extra: Extra::default(),
        })
    }

    fn example() -> Self {
        let titles =
            BTreeMap::from([("en".to_owned(), "Apron".to_owned()), ("fr".to_owned(), "Tablier".to_owned())]);
        Self { sku: "22423".into(), titles, extra: Extra::default() }
    }
}

struct Owned;

impl Aggregate for Owned {
    const NAME: &'static str = "product";
    type State = String;
}

impl Decide<ListProduct> for Owned {
    fn decide(
        _: Option<&String>,
        command: &ListProduct,
        context: &Context,
    ) -> Result<Decision<String>, Rejection> {
        let (sku, title) = (command.sku.clone(), command.title.clone());
        let titles =
            BTreeMap::from([("en".to_owned(), title.clone()), ("fr".to_owned(), "Tablier".to_owned())]);
        let now = ProductListedV2 { sku: sku.clone(), titles, extra: Extra::default() };
        let then = ProductListed(Product {
            sku,
            title: title.clone(),
            category: Category::Gift,
            listed_at: context.at,
            titled_at: context.at,
            extra: Extra::default(),
        });
        Ok(Decision::state(title, &now).beside(&then))
    }
}

fn row<V: Serialize>(sku: &str, view: &V) -> Row {
    Row::new(Key::alone(sku), view)
}

/// A consumer that knows the first major version alone, one that knows the second, and one that tells both apart.
fn micrograph() -> Micrograph {
    let first = Projection::new("first", 1)
        .state(|it: &Envelope<ProductListed>| row(&it.data.0.sku, &json!({ "title": it.data.0.title })));
    let second = Projection::new("second", 1)
        .state(|it: &Envelope<ProductListedV2>| row(&it.data.sku, &json!({ "titles": it.data.titles })));
    let both = Projection::new("both", 1)
        .state(|it: &Envelope<ProductListed>| row(&it.data.0.sku, &json!({ "title": it.data.0.title })))
        .state(|it: &Envelope<ProductListedV2>| row(&it.data.sku, &json!({ "title": it.data.titles["en"] })));
    Micrograph::new("catalogue")
        .owns::<Owned>()
        .decides::<Owned, ListProduct>()
        .publishes::<ProductListed>()
        .publishes::<ProductListedV2>()
        .consumes(first)
        .consumes(second)
        .consumes(both)
}

async fn deliver(world: &World, events: &[Value]) {
    let bodies: Vec<String> = events.iter().map(Value::to_string).collect();
    for projection in ["first", "second", "both"] {
        let handler = format!("consumer.{projection}-1");
        let answer = world.app.invoke(&handler, &batch(&bodies), None).await.expect("an answer");
        assert_eq!(failed(&answer), [""; 0], "{handler}");
    }
}

/// The attributes of a product in a projection.
async fn stored(world: &World, projection: &str, sku: &str) -> Value {
    let store = projection::dynamodb::DynamoStore::new(world.db.client(), || crate::world::AT);
    let (items, _) = store.scan(&format!("test-catalogue-{projection}-1"), None).await.expect("a page");
    let item = items.into_iter().find(|(key, _)| key.pk == sku).expect("it is there").1;
    serde_dynamo::from_item(item).expect("attributes")
}

#[tokio::test]
async fn both_are_published_and_each_consumer_is_told_once_whatever_comes_first() {
    let world = World::of(micrograph()).await;
    world.app.commands().execute::<Owned, _>(&list("c1", "A", "Apron")).await.expect("listed");
    let events = world.events(TABLE);
    let told: Vec<_> = events.iter().map(|it| (it["major"].clone(), it["alsoMajors"].clone())).collect();
    assert_eq!(told, [(json!(2), json!([1])), (json!(1), json!([2]))]);
    assert_ne!(events[0]["id"], events[1]["id"]);
    let backwards: Vec<Value> = events.iter().rev().cloned().collect();
    for order in [&events, &backwards] {
        deliver(&world, order).await;
    }
    assert_eq!(stored(&world, "first", "A").await["title"], "Apron");
    assert_eq!(stored(&world, "second", "A").await["titles"], json!({ "en": "Apron", "fr": "Tablier" }));
    assert_eq!(stored(&world, "both", "A").await["title"], "Apron");
    assert_eq!(world.quarantined().await, [], "who doesn't know the second passes over it");
}

#[tokio::test]
async fn what_was_archived_before_is_read_as_the_newest() {
    let world = World::of(micrograph()).await;
    let archived =
        serde_json::to_value(contracts::published::example_event::<ProductListed>()).expect("JSON");
    deliver(&world, &[archived]).await;
    assert_eq!(
        stored(&world, "second", "22423").await["titles"],
        json!({ "en": "Regency cakestand, 3 tier" })
    );
    assert_eq!(world.quarantined().await, []);
}

#[tokio::test]
async fn a_major_version_that_comes_alone_and_is_not_known_is_quarantined() {
    let world = World::of(micrograph()).await;
    let alone = serde_json::to_value(contracts::published::example_event::<ProductListedV2>()).expect("JSON");
    deliver(&world, &[alone]).await;
    let kept = world.quarantined().await;
    let kept: Vec<_> =
        kept.iter().map(|(entry, _)| (entry.consumer.as_str(), entry.reason.as_str())).collect();
    assert_eq!(kept, [("first", "UnknownMajor")]);
}

#[test]
fn a_projection_says_which_major_versions_it_folds() {
    let micrograph = micrograph();
    let majors: Vec<Vec<u16>> = micrograph
        .projections()
        .map(|it| it.majors("catalogue", "ProductListed").into_iter().collect())
        .collect();
    assert_eq!(majors, [vec![1], vec![1, 2], vec![1, 2]]);
}

#[test]
fn what_is_told_in_another_major_version_too_counts_there_alone() {
    let mut event = contracts::published::example_event::<ProductListed>();
    event.also_majors = vec![2];
    let text = serde_json::to_string(&event).expect("JSON");
    let header = projection::decode::header(&text).expect("an event");
    let joins = |it: &Projection| it.fold(&header).expect("it is folded").map(|joins| joins.len());
    // Where there are none, who waits for the change waits for the other event.
    assert_eq!(micrograph().projections().map(joins).collect::<Vec<_>>(), [Some(1), None, None]);
}
