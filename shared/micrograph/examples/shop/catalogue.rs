//! A small micrograph with something of everything.

use async_graphql::{EmptyMutation, EmptySubscription, Object};
use contracts::catalogue::{
    DelistProduct, ListProduct, Product as ProductState, ProductDelisted, ProductListed, ProductRetitled,
    RetitleProduct,
};
use contracts::inventory::StockAdjusted;
use contracts::{Envelope, Extra};
use micrograph::{Aggregate, App, Context, Decide, Decision, Micrograph, Rejection, Subgraph};
use projection::{Dot, Index, Key, Projection, Row};
use serde_json::json;
use std::sync::Arc;

/// The declaration.
pub fn catalogue() -> Micrograph {
    Micrograph::new("catalogue")
        .owns::<Product>()
        .decides::<Product, ListProduct>()
        .decides::<Product, RetitleProduct>()
        .decides::<Product, DelistProduct>()
        .publishes::<ProductListed>()
        .publishes::<ProductRetitled>()
        .publishes::<ProductDelisted>()
        .fans_out("catalogue-events")
        .consumes(titles())
        .consumes_topics(&["stock-events"], stock())
        .serves(subgraph)
}

pub struct Product;

impl Aggregate for Product {
    const NAME: &'static str = "product";
    type State = ProductState;
}

impl Decide<ListProduct> for Product {
    fn decide(
        state: Option<&ProductState>,
        command: &ListProduct,
        context: &Context,
    ) -> Result<Decision<ProductState>, Rejection> {
        if state.is_some() {
            return Ok(Decision::unchanged());
        }
        let product = ProductState {
            sku: command.sku.clone(),
            title: command.title.clone(),
            category: command.category.clone(),
            listed_at: context.at,
            titled_at: context.at,
            extra: Extra::default(),
        };
        Ok(Decision::state(product.clone(), &ProductListed(product)))
    }
}

impl Decide<RetitleProduct> for Product {
    fn decide(
        state: Option<&ProductState>,
        command: &RetitleProduct,
        context: &Context,
    ) -> Result<Decision<ProductState>, Rejection> {
        let Some(product) = state else {
            return Err(Rejection::new("NOT_LISTED", "the product isn't listed: list it first"));
        };
        if product.title == command.title {
            return Ok(Decision::unchanged());
        }
        let product = ProductState { title: command.title.clone(), titled_at: context.at, ..product.clone() };
        Ok(Decision::state(product.clone(), &ProductRetitled(product)))
    }
}

impl Decide<DelistProduct> for Product {
    fn decide(
        state: Option<&ProductState>,
        command: &DelistProduct,
        _: &Context,
    ) -> Result<Decision<ProductState>, Rejection> {
        let gone = ProductDelisted { sku: command.sku.clone(), extra: Extra::default() };
        Ok(state.map_or_else(Decision::unchanged, |_| Decision::deleted(&gone)))
    }
}

fn titles() -> Projection {
    fn row(product: &ProductState) -> Row {
        Row::new(Key::alone(&product.sku), &json!({ "title": product.title, "shelf": "all" }))
    }
    Projection::new("titles", 1)
        .index(Index::new("by-title", "shelf", "title"))
        .state(|it: &Envelope<ProductListed>| row(&it.data.0))
        .state(|it: &Envelope<ProductRetitled>| row(&it.data.0))
        .deleted(|it: &Envelope<ProductDelisted>| Key::alone(&it.data.sku))
}

fn stock() -> Projection {
    Projection::new("stock", 2).delta(|it: &Envelope<StockAdjusted>| {
        Dot::new(Key::alone(&it.subject), [("on_hand", it.data.quantity.into())])
    })
}

struct Query;

#[Object]
impl Query {
    /// How many pieces fit into a box.
    async fn box_size(&self) -> i32 {
        12
    }
}

fn subgraph(_: &Arc<App>) -> Subgraph {
    Subgraph::new(federation::schema(Query, EmptyMutation, EmptySubscription).finish())
}
