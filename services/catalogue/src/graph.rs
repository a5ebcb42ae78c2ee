//! The subgraph: `Product` is the catalogue's.

use crate::product;
use crate::{products, titles};
use async_graphql::connection::Connection;
use async_graphql::{Context, EmptySubscription, Enum, ID, InputObject, Object, SimpleObject, Union};
use contracts::catalogue::{self as contract, DelistProduct, ListProduct, RetitleProduct};
use federation::{DateTime, Entities, Key, PageArgs, Reader, connection, entity};
use micrograph::{App, Commands, Decide, Refused, Subgraph, mutate};
use std::sync::Arc;

/// The catalogue's subgraph.
pub fn subgraph(app: &Arc<App>) -> Subgraph {
    let schema = federation::schema(Query, Mutation, EmptySubscription)
        .data(Entities::<products::View>::new(app.reader("products")))
        .data(Products(app.reader("products")))
        .data(Titles(app.reader("titles")))
        .data(app.commands().clone());
    Subgraph::new(schema.finish())
}

struct Products(Reader);
struct Titles(Reader);

struct Query;

/// What the catalogue answers.
#[Object]
impl Query {
    /// The product with this SKU, if it is listed.
    #[graphql(entity)]
    async fn product_by_sku(&self, ctx: &Context<'_>, sku: ID) -> Option<Product> {
        Product::load(ctx, &sku).await
    }

    /// The product with this SKU, if it is listed.
    #[graphql(cache_control(max_age = 60))]
    async fn product(&self, ctx: &Context<'_>, sku: ID) -> Option<Product> {
        Product::load(ctx, &sku.trim().to_uppercase()).await
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
    ) -> async_graphql::Result<Connection<String, Product>> {
        let wanted = products::by_title(title_prefix.as_deref().unwrap_or_default());
        let page = PageArgs::new(first, after, last, before)?;
        let page = ctx.data::<Products>()?.0.page(&wanted, &page).await?;
        Ok(connection(page, Product))
    }
}

/// What a product is, broadly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum Category {
    /// A greeting card.
    Card,
    /// A gift.
    Gift,
    /// Flowers.
    Flowers,
    /// Something that this graph has no name for yet.
    Other,
}

impl From<&contract::Category> for Category {
    fn from(category: &contract::Category) -> Self {
        match category {
            contract::Category::Card => Self::Card,
            contract::Category::Gift => Self::Gift,
            contract::Category::Flowers => Self::Flowers,
            contract::Category::Unknown(_) => Self::Other,
        }
    }
}

/// A product that is for sale.
pub struct Product(products::View);

impl Product {
    async fn load(ctx: &Context<'_>, sku: &str) -> Option<Self> {
        entity(ctx, Key::new(sku, projection::Key::ALONE)).await.map(Self)
    }
}

/// A product that is for sale.
#[Object(cache_control(max_age = 60))]
impl Product {
    /// Stock keeping unit.
    async fn sku(&self) -> ID {
        ID(self.0.sku.clone())
    }

    /// What it is called now.
    async fn title(&self) -> &str {
        &self.0.title
    }

    /// What it is, broadly.
    async fn category(&self) -> Category {
        (&self.0.category).into()
    }

    /// When it was listed.
    async fn listed_at(&self) -> DateTime {
        self.0.listed_at.into()
    }

    /// The titles that it has had, oldest first.
    #[graphql(complexity = "first.unwrap_or(20).max(1) as usize * child_complexity")]
    async fn titles(
        &self,
        ctx: &Context<'_>,
        first: Option<i32>,
        after: Option<String>,
    ) -> async_graphql::Result<Connection<String, Title>> {
        let page = PageArgs::new(first, after, None, None)?;
        let page = ctx.data::<Titles>()?.0.page(&titles::of(&self.0.sku), &page).await?;
        Ok(connection(page, |view: titles::View| Title { title: view.title, since: view.since.into() }))
    }
}

/// A title that a product had.
#[derive(SimpleObject)]
pub struct Title {
    /// The title.
    title: String,
    /// Since when.
    since: DateTime,
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
    ) -> async_graphql::Result<ProductResult> {
        let category = match input.category {
            Category::Card => contract::Category::Card,
            Category::Gift => contract::Category::Gift,
            Category::Flowers => contract::Category::Flowers,
            Category::Other => contract::Category::Unknown("other".to_owned()),
        };
        let sku = input.sku.trim().to_uppercase();
        decide(ctx, command_id, ListProduct { sku, title: input.title, category }).await
    }

    /// Gives a product another title.
    async fn retitle_product(
        &self,
        ctx: &Context<'_>,
        sku: ID,
        title: String,
        command_id: Option<String>,
    ) -> async_graphql::Result<ProductResult> {
        decide(ctx, command_id, RetitleProduct { sku: sku.trim().to_uppercase(), title }).await
    }

    /// Takes a product off sale.
    async fn delist_product(
        &self,
        ctx: &Context<'_>,
        sku: ID,
        command_id: Option<String>,
    ) -> async_graphql::Result<ProductResult> {
        decide(ctx, command_id, DelistProduct { sku: sku.trim().to_uppercase() }).await
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
    product: Option<Product>,
    /// Its version now: what the graph shows catches up with it.
    version: String,
}

async fn decide<C: contracts::Command>(
    ctx: &Context<'_>,
    id: Option<String>,
    command: C,
) -> async_graphql::Result<ProductResult>
where
    product::Product: Decide<C>,
{
    let commands = ctx.data::<Commands>()?;
    Ok(match mutate::<product::Product, C>(ctx, commands, id, command).await? {
        Ok(outcome) => ProductResult::Changed(ProductChanged {
            product: outcome.state.as_ref().map(|state| Product(state.into())),
            version: outcome.version.to_string(),
        }),
        Err(refused) => ProductResult::Refused(refused),
    })
}
