//! The subgraph: `Order` and `CreditNote` are orders'; a customer's are added to `Customer`. Orders are personal: no
//! shared cache may keep them.

use crate::aggregates;
use crate::sale::{PlaceOrderInput, Shop};
use crate::{credit_notes, orders};
use async_graphql::connection::Connection;
use async_graphql::{ComplexObject, Context, EmptySubscription, ID, Object, Result, SimpleObject, Union};
use contracts::orders::{CancelOrder, Order};
use federation::{ConsistencyToken, Entities, PageArgs};
use micrograph::{App, Outcome, Refused, Subgraph, command_id, mutate, mutate_made};
use std::sync::Arc;

/// The orders' subgraph.
pub fn subgraph(app: &Arc<App>) -> Subgraph {
    let schema = federation::schema(Query, Mutation, EmptySubscription)
        .data(Entities::<orders::View>::new(app.reader("orders")))
        .data(Entities::<credit_notes::View>::new(app.reader("credit_notes")))
        .data(Shop { products: app.reader("products"), customers: app.reader("customers") })
        .data(app.commands().clone());
    Subgraph::new(schema.finish())
}

struct Query;

/// What is known of orders.
#[Object]
impl Query {
    /// The order with this number.
    #[graphql(entity)]
    async fn order_by_id(&self, ctx: &Context<'_>, id: ID) -> Option<orders::View> {
        orders::load(ctx, &id).await
    }

    /// The credit note with this number.
    #[graphql(entity)]
    async fn credit_note_by_id(&self, ctx: &Context<'_>, id: ID) -> Option<credit_notes::View> {
        credit_notes::load(ctx, &id).await
    }

    /// Any customer: who there is, is the customers' micrograph's to say.
    #[graphql(entity)]
    async fn customer_by_id(&self, id: ID) -> Customer {
        Customer { id }
    }

    /// The order with this number.
    #[graphql(cache_control(max_age = 10, private))]
    async fn order(&self, ctx: &Context<'_>, id: ID) -> Option<orders::View> {
        orders::load(ctx, id.trim()).await
    }

    /// The credit note with this number.
    #[graphql(cache_control(max_age = 10, private))]
    async fn credit_note(&self, ctx: &Context<'_>, id: ID) -> Option<credit_notes::View> {
        credit_notes::load(ctx, id.trim()).await
    }
}

/// A product: the catalogue's, and others', to tell of.
#[derive(SimpleObject)]
#[graphql(unresolvable)]
pub struct Product {
    /// Stock keeping unit.
    pub sku: ID,
}

/// A customer, as orders knows one.
#[derive(SimpleObject)]
#[graphql(complex, cache_control(max_age = 10, private))]
pub struct Customer {
    /// The customer's number.
    id: ID,
}

impl From<&String> for Customer {
    fn from(id: &String) -> Self {
        Self { id: id.into() }
    }
}

/// A customer, as orders knows one.
#[ComplexObject]
impl Customer {
    /// The customer's orders, newest first.
    #[graphql(complexity = "first.or(last).unwrap_or(20).max(1) as usize * child_complexity")]
    async fn orders(
        &self,
        ctx: &Context<'_>,
        first: Option<i32>,
        after: Option<String>,
        last: Option<i32>,
        before: Option<String>,
    ) -> Result<Connection<String, orders::View>> {
        let page = PageArgs::new(first, after, last, before)?;
        Entities::connection(ctx, &orders::of(&self.id), &page).await
    }

    /// What came back from the customer, newest first.
    #[graphql(complexity = "first.or(last).unwrap_or(20).max(1) as usize * child_complexity")]
    async fn credit_notes(
        &self,
        ctx: &Context<'_>,
        first: Option<i32>,
        after: Option<String>,
        last: Option<i32>,
        before: Option<String>,
    ) -> Result<Connection<String, credit_notes::View>> {
        let page = PageArgs::new(first, after, last, before)?;
        Entities::connection(ctx, &credit_notes::of(&self.id), &page).await
    }
}

struct Mutation;

/// What can be done about orders.
#[Object]
impl Mutation {
    /// Places an order of products that are for sale, at their titles and prices now.
    async fn place_order(
        &self,
        ctx: &Context<'_>,
        input: PlaceOrderInput,
        command_id: Option<String>,
    ) -> Result<OrderResult> {
        let command = self::command_id(command_id)?;
        let id = input.order_id(&command);
        let sale = async { Ok(ctx.data::<Shop>()?.sell(id.clone(), input).await?) };
        Ok(mutate_made::<aggregates::Order, _>(ctx, command, &id, sale).await?.into())
    }

    /// Cancels an order: nothing of it counts as sold.
    async fn cancel_order(
        &self,
        ctx: &Context<'_>,
        id: ID,
        command_id: Option<String>,
    ) -> Result<OrderResult> {
        let command = CancelOrder { order_id: id.trim().to_owned() };
        Ok(mutate::<aggregates::Order, _>(ctx, command_id, command).await?.into())
    }
}

/// What a mutation of an order came to.
#[derive(Union)]
pub enum OrderResult {
    /// It was carried out.
    Changed(OrderChanged),
    /// It was refused.
    Refused(Refused),
}

/// An order as a mutation left it.
#[derive(SimpleObject)]
pub struct OrderChanged {
    /// The order now.
    order: Option<orders::View>,
    /// Its version now: what the graph shows catches up with it.
    version: String,
    /// Bring it back with a query that is to show this change.
    consistency_token: ConsistencyToken,
}

impl From<Result<Outcome<Order>, Refused>> for OrderResult {
    fn from(result: Result<Outcome<Order>, Refused>) -> Self {
        result.map_or_else(Self::Refused, |outcome| {
            let order = outcome.state.as_ref().map(orders::View::from);
            Self::Changed(OrderChanged {
                order,
                version: outcome.version.to_string(),
                consistency_token: ConsistencyToken,
            })
        })
    }
}
