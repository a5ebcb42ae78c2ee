//! With real subgraphs: the schemas that `async-graphql` prints compose, and its executor is asked and answers
//! as the gateway expects.

#![expect(clippy::unused_async, reason = "resolvers are async, whether they wait or not")]

mod support;

use std::sync::Arc;

use async_graphql::{
    EmptyMutation, EmptySubscription, Enum, Error, InputObject, Interface, Object, ObjectType, Request,
    SDLExportOptions, Schema,
};
use bytes::Bytes;
use futures::FutureExt;
use gateway::transport::{Handler, InProcess};
use gateway::{Config, Gateway, Subgraph, compose};
use serde_json::{Value, json};

#[derive(Clone)]
struct Product {
    sku: String,
    title: String,
}

#[Object]
impl Product {
    async fn sku(&self) -> &str {
        &self.sku
    }

    async fn title(&self, letters: Option<usize>) -> async_graphql::Result<String> {
        if self.sku == "b" {
            return Err(Error::new("the title is broken"));
        }
        Ok(self.title.chars().take(letters.unwrap_or(usize::MAX)).collect())
    }
}

#[derive(Interface, Clone)]
#[graphql(field(name = "sku", ty = "&str"))]
enum Listed {
    Product(Product),
}

#[derive(Enum, Copy, Clone, PartialEq, Eq)]
enum Order {
    Rising,
    Falling,
}

#[derive(InputObject)]
struct Filter {
    except: Option<Vec<String>>,
    #[graphql(default_with = "Order::Rising")]
    order: Order,
}

fn product(sku: &str) -> Product {
    Product { sku: sku.to_owned(), title: format!("title of {sku}") }
}

struct Products;

#[Object(name = "Query")]
impl Products {
    async fn products(&self, filter: Option<Filter>) -> Vec<Option<Product>> {
        let mut skus = vec!["a", "b", "c"];
        if let Some(Filter { except, order }) = filter {
            skus.retain(|sku| !except.iter().flatten().any(|not| not == sku));
            if order == Order::Falling {
                skus.reverse();
            }
        }
        skus.into_iter().map(|sku| Some(product(sku))).collect()
    }

    async fn listed(&self) -> Listed {
        product("a").into()
    }

    #[graphql(entity)]
    async fn product_by_sku(&self, sku: String) -> Option<Product> {
        Some(product(&sku))
    }
}

struct ChangeProducts;

#[Object(name = "Mutation")]
impl ChangeProducts {
    async fn retitle(&self, sku: String, title: String) -> Product {
        Product { title, ..product(&sku) }
    }
}

/// The same product, as pricing sees it.
struct Priced {
    sku: String,
}

#[Object(name = "Product")]
impl Priced {
    async fn sku(&self) -> &str {
        &self.sku
    }

    async fn price(&self) -> Option<String> {
        Some(format!("price of {}", self.sku))
    }
}

struct Prices;

#[Object(name = "Query")]
impl Prices {
    #[graphql(entity)]
    async fn product_by_sku(&self, sku: String) -> Option<Priced> {
        (sku != "c").then_some(Priced { sku })
    }
}

type Served = (Subgraph, Handler);

fn served<Q: ObjectType + 'static, M: ObjectType + 'static>(name: &str, query: Q, mutation: M) -> Served {
    let schema = Schema::build(query, mutation, EmptySubscription).enable_federation().finish();
    let sdl = schema.sdl_with_options(SDLExportOptions::new().federation().include_specified_by());
    let subgraph = Subgraph { name: name.to_owned(), url: String::new(), sdl };
    let handler: Handler = Arc::new(move |request| {
        let schema = schema.clone();
        async move {
            let request: Request = serde_json::from_slice(request.body()).expect("a request");
            http::Response::new(Bytes::from(
                serde_json::to_vec(&schema.execute(request).await).expect("JSON"),
            ))
        }
        .boxed()
    });
    (subgraph, handler)
}

async fn ask(query: &str, variables: Value) -> Value {
    let all = [served("products", Products, ChangeProducts), served("prices", Prices, EmptyMutation)];
    let schemas: Vec<Subgraph> = all.iter().map(|(subgraph, _)| subgraph.clone()).collect();
    let supergraph = compose(&schemas).unwrap_or_else(|error| panic!("{error}\n{}", schemas[0].sdl));
    let transport: InProcess = all.into_iter().map(|(subgraph, handler)| (subgraph.name, handler)).collect();
    let gateway = Gateway::new(supergraph, Arc::new(transport), Config::default()).expect("it can be served");
    support::json_of(&support::ask(&gateway, query, variables).await)
}

#[tokio::test]
async fn entities_input_objects_and_errors_of_real_subgraphs() {
    let answer = ask(
        "query ($filter: Filter) { products(filter: $filter) { price title(letters: 5) sku } listed { sku ... on Product { price } } }",
        json!({ "filter": { "except": "a", "order": "FALLING" } }),
    )
    .await;
    assert_eq!(
        answer["data"],
        json!({
            "products": [{ "price": null, "title": "title", "sku": "c" }, null],
            "listed": { "sku": "a", "price": "price of a" },
        })
    );
    let errors = answer["errors"].as_array().expect("errors");
    let of = |path: Value| errors.iter().find(|error| error["path"] == path);
    assert_eq!(of(json!(["products", 1, "title"])).expect("an error")["message"], "the title is broken");
}

#[tokio::test]
async fn mutations_of_real_subgraphs() {
    let query = "mutation ($title: String!) { one: retitle(sku: \"a\", title: $title) { title price } two: retitle(sku: \"b\", title: \"x\") { price } }";
    assert_eq!(
        ask(query, json!({ "title": "new \"title\"" })).await,
        json!({ "data": { "one": { "title": "new \"title\"", "price": "price of a" }, "two": { "price": "price of b" } } })
    );
}
