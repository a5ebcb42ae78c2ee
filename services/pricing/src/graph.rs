//! The subgraph: pricing adds prices to the catalogue's `Product`.

use crate::{HOME, history, offers, price};
use async_graphql::connection::Connection;
use async_graphql::{ComplexObject, Context, EmptySubscription, ID, Object, SimpleObject, Union};
use contracts::limits::{MARKET, code};
use contracts::pricing::RepriceProduct;
use federation::page::{Page, PageArgs, Row, connection};
use federation::{ConsistencyToken, Entities, Key, Money, MoneyInput, Reader, UserError, entity};
use micrograph::{App, Outcome, Refused, Subgraph, mutate};
use std::sync::Arc;

/// Pricing's subgraph.
pub fn subgraph(app: &Arc<App>) -> Subgraph {
    let schema = federation::schema(Query, Mutation, EmptySubscription)
        .data(Entities::<offers::View>::new(app.reader("offers")))
        .data(Offers(app.reader("offers")))
        .data(Entities::<history::View>::new(app.reader("history")))
        .data(app.commands().clone());
    Subgraph::new(schema.finish())
}

struct Offers(Reader);

struct Query;

/// What pricing answers.
#[Object]
impl Query {
    /// Any product: whether there is one is the catalogue's to say.
    #[graphql(entity)]
    async fn product_by_sku(&self, sku: ID) -> Product {
        Product { sku }
    }
}

/// A product, as pricing knows it.
#[derive(SimpleObject)]
#[graphql(complex, cache_control(max_age = 30))]
pub struct Product {
    /// Stock keeping unit.
    sku: ID,
}

/// A product, as pricing knows it.
#[ComplexObject]
impl Product {
    /// Whether it can be bought: it is listed, and has a price in the home market.
    async fn for_sale(&self, ctx: &Context<'_>) -> bool {
        self.offer(ctx, HOME).await.is_some_and(|offer| offer.for_sale())
    }

    /// The price of one in a market now; null where it has none.
    async fn price(
        &self,
        ctx: &Context<'_>,
        #[graphql(default = "GB")] market: String,
    ) -> Result<Option<Money>, UserError> {
        let offer = self.offer(ctx, &market_of(&market)?).await;
        Ok(offer.and_then(|offer| offer.pricing).map(|priced| priced.price))
    }

    /// Its prices now, by market.
    #[graphql(complexity = "first.unwrap_or(20).max(1) as usize * child_complexity")]
    async fn prices(
        &self,
        ctx: &Context<'_>,
        first: Option<i32>,
        after: Option<String>,
    ) -> async_graphql::Result<Connection<String, offers::Price>> {
        let page = PageArgs::new(first, after, None, None)?;
        let page = ctx.data::<Offers>()?.0.page(&offers::of(&self.sku), &page).await?;
        // The home market's item is there as soon as the product is listed, with a price or without.
        let priced = |row: Row<offers::View>| Some(Row { cursor: row.cursor, view: row.view.pricing? });
        let rows = page.rows.into_iter().filter_map(priced).collect();
        let page = Page { rows, has_next: page.has_next, has_previous: page.has_previous };
        Ok(connection(page, |price| price))
    }

    /// The prices that it has had in a market, newest first.
    #[graphql(complexity = "first.unwrap_or(20).max(1) as usize * child_complexity")]
    async fn price_history(
        &self,
        ctx: &Context<'_>,
        #[graphql(default = "GB")] market: String,
        first: Option<i32>,
        after: Option<String>,
    ) -> async_graphql::Result<Connection<String, offers::Price>> {
        let page = PageArgs::new(first, after, None, None)?;
        Entities::connection(ctx, &history::of(&self.sku, &market_of(&market)?), &page).await
    }
}

impl Product {
    async fn offer(&self, ctx: &Context<'_>, market: &str) -> Option<offers::View> {
        entity(ctx, Key::new(self.sku.as_str(), market)).await
    }
}

struct Mutation;

/// What pricing does.
#[Object]
impl Mutation {
    /// Gives a product a price in a market, from now on.
    async fn reprice_product(
        &self,
        ctx: &Context<'_>,
        sku: ID,
        #[graphql(default = "GB")] market: String,
        price: MoneyInput,
        command_id: Option<String>,
    ) -> async_graphql::Result<PriceResult> {
        let (sku, market) = (code(&sku), code(&market));
        let price = contracts::Money::new(price.amount.into(), code(&price.currency));
        let command = RepriceProduct { sku: sku.clone(), market, price };
        let changed = |outcome: Outcome<contracts::pricing::Price>| {
            let price = outcome.state.as_ref().map(offers::Price::from);
            let (product, version) = (Product { sku: sku.into() }, outcome.version.to_string());
            PriceChanged { product, price, version, consistency_token: ConsistencyToken }.into()
        };
        mutate::<price::Price, _, _>(ctx, command_id, command, changed).await
    }
}

/// What a mutation of a price came to.
#[derive(Union)]
pub enum PriceResult {
    /// It was carried out.
    Changed(PriceChanged),
    /// It was refused.
    Refused(Refused),
}

/// A price as a mutation left it.
#[derive(SimpleObject)]
pub struct PriceChanged {
    /// The product.
    product: Product,
    /// The price that stands now: another one, where the one asked for was superseded.
    price: Option<offers::Price>,
    /// Its version now: what the graph shows catches up with it.
    version: String,
    /// Bring it back with a query that is to show this change.
    consistency_token: ConsistencyToken,
}

fn market_of(argument: &str) -> Result<String, UserError> {
    let market = code(argument);
    MARKET.check("market", market.as_str()).map_err(|wrong| UserError::bad_input(wrong.to_string()))?;
    Ok(market)
}
