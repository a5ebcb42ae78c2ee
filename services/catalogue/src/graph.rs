//! The subgraph: `Product` is the catalogue's.

use crate::product;
use crate::products::{self, Category};
use crate::titles;
use async_graphql::connection::Connection;
use async_graphql::{ComplexObject, Context, EmptySubscription, ID, InputObject, Object, Result};
use async_graphql::{SimpleObject, Union};
use contracts::catalogue::{self as contract, DelistProduct, ListProduct, Product, RetitleProduct};
use contracts::limits::code;
use federation::{ConsistencyToken, Entities, Key, PageArgs, entity};
use micrograph::{App, Outcome, Refused, Subgraph, mutate};
use std::sync::Arc;

/// The catalogue's subgraph.
pub fn subgraph(app: &Arc<App>) -> Subgraph {
    let schema = federation::schema(Query, Mutation, EmptySubscription)
        .data(Entities::<products::View>::new(app.reader("products")))
        .data(Entities::<titles::View>::new(app.reader("titles")))
        .data(app.commands().clone());
    Subgraph::new(schema.finish())
}

struct Query;

/// What the catalogue answers.
#[Object]
impl Query {
    /// The product with this SKU, if it is listed.
    #[graphql(entity)]
    async fn product_by_sku(&self, ctx: &Context<'_>, sku: ID) -> Option<products::View> {
        entity(ctx, Key::alone(sku)).await
    }

    /// The product with this SKU, if it is listed.
    #[graphql(cache_control(max_age = 60))]
    async fn product(&self, ctx: &Context<'_>, sku: ID) -> Option<products::View> {
        entity(ctx, Key::alone(code(&sku))).await
    }

    /// Products in the order of their titles; with a prefix, those whose title starts with it, in any case.
    #[graphql(
        cache_control(max_age = 30),
        complexity = "first.or(last).unwrap_or(20).max(1) as usize * child_complexity"
    )]
    async fn products(
        &self,
        ctx: &Context<'_>,
        title_prefix: Option<String>,
        first: Option<i32>,
        after: Option<String>,
        last: Option<i32>,
        before: Option<String>,
    ) -> Result<Connection<String, products::View>> {
        let wanted = products::by_title(title_prefix.as_deref().unwrap_or_default());
        Entities::connection(ctx, &wanted, &PageArgs::new(first, after, last, before)?).await
    }
}

/// A product that is for sale.
#[ComplexObject]
impl products::View {
    /// The titles that it has had, oldest first.
    #[graphql(complexity = "first.unwrap_or(20).max(1) as usize * child_complexity")]
    async fn titles(
        &self,
        ctx: &Context<'_>,
        first: Option<i32>,
        after: Option<String>,
    ) -> Result<Connection<String, titles::View>> {
        Entities::connection(ctx, &titles::of(&self.sku), &PageArgs::new(first, after, None, None)?).await
    }
}

struct Mutation;

/// What the catalogue does.
#[Object]
impl Mutation {
    /// Puts a product on sale. One that is on sale already stays as it is.
    async fn list_product(
        &self,
        ctx: &Context<'_>,
        input: ListProductInput,
        command_id: Option<String>,
    ) -> Result<ProductResult> {
        let category = match input.category {
            Category::Card => contract::Category::Card,
            Category::Gift => contract::Category::Gift,
            Category::Flowers => contract::Category::Flowers,
            Category::Other => contract::Category::Unknown("other".to_owned()),
        };
        let command = ListProduct { sku: code(&input.sku), title: input.title, category };
        mutate::<product::Product, _, _>(ctx, command_id, command, changed).await
    }

    /// Gives a product another title.
    async fn retitle_product(
        &self,
        ctx: &Context<'_>,
        sku: ID,
        title: String,
        command_id: Option<String>,
    ) -> Result<ProductResult> {
        let command = RetitleProduct { sku: code(&sku), title };
        mutate::<product::Product, _, _>(ctx, command_id, command, changed).await
    }

    /// Takes a product off sale.
    async fn delist_product(
        &self,
        ctx: &Context<'_>,
        sku: ID,
        command_id: Option<String>,
    ) -> Result<ProductResult> {
        let command = DelistProduct { sku: code(&sku) };
        mutate::<product::Product, _, _>(ctx, command_id, command, changed).await
    }
}

/// A product to put on sale.
#[derive(InputObject)]
pub struct ListProductInput {
    /// Stock keeping unit; it is trimmed and upper-cased.
    sku: ID,
    /// What it is called, not blank, at most 200 characters.
    title: String,
    /// What it is, broadly.
    category: Category,
}

/// What a mutation of a product came to.
#[derive(Union)]
pub enum ProductResult {
    /// It was carried out.
    Changed(ProductChanged),
    /// It was refused.
    Refused(Refused),
}

/// A product as a mutation left it.
#[derive(SimpleObject)]
pub struct ProductChanged {
    /// The product now; null where it is no longer for sale.
    product: Option<products::View>,
    /// Its version now: what the graph shows catches up with it.
    version: String,
    /// Bring it back with a query that is to show this change.
    consistency_token: ConsistencyToken,
}

fn changed(Outcome { state, version, .. }: Outcome<Product>) -> ProductResult {
    let product = state.as_ref().map(products::View::from);
    ProductChanged { product, version: version.to_string(), consistency_token: ConsistencyToken }.into()
}
