//! The subgraph: `Order` is orders'; a customer's are added to `Customer`. Orders are personal: no shared cache may keep
//! them.

use crate::sale::{self, PlaceOrderInput};
use crate::{customers, order, orders, products};
use async_graphql::connection::Connection;
use async_graphql::{ComplexObject, Context, ID, Object, Result, SimpleObject, Subscription, Union};
use contracts::orders::{CancelOrder, Order};
use federation::{ConsistencyToken, Entities, Key, PageArgs, States, entity, watch};
use micrograph::{App, Outcome, Refused, Subgraph, command_id, mutate, mutate_made};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The orders' subgraph.
pub fn subgraph(app: &Arc<App>) -> Subgraph {
    let schema = federation::schema(Query, Mutation, Events)
        .data(app.heard::<orders::View>("orders"))
        .data(Entities::<products::View>::new(app.reader("products")))
        .data(Entities::<customers::View>::new(app.reader("customers")))
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
        entity(ctx, Key::alone(id)).await
    }

    /// Any customer: who there is, is the customers' micrograph's to say.
    #[graphql(entity)]
    async fn customer_by_id(&self, id: ID) -> Customer {
        Customer { id }
    }

    /// The order with this number.
    #[graphql(cache_control(max_age = 10, private))]
    async fn order(&self, ctx: &Context<'_>, id: ID) -> Option<orders::View> {
        entity(ctx, Key::alone(id.trim())).await
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, SimpleObject)]
#[graphql(complex, cache_control(max_age = 10, private))]
#[serde(transparent)]
pub struct Customer {
    /// The customer's number.
    pub id: ID,
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
        Entities::connection(ctx, &orders::of(&self.id), &PageArgs::new(first, after, last, before)?).await
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
        let derived = || contracts::digest::short(&[b"order", command.as_bytes()]);
        let id = input.order_id.as_ref().map_or_else(derived, |id| id.trim().to_owned());
        let sale = sale::sell(ctx, id.clone(), input);
        mutate_made::<order::Order, _, _>(ctx, command, &id, sale, changed).await
    }

    /// Cancels an order: nothing of it counts as sold.
    async fn cancel_order(
        &self,
        ctx: &Context<'_>,
        id: ID,
        command_id: Option<String>,
    ) -> Result<OrderResult> {
        let command = CancelOrder { order_id: id.trim().to_owned() };
        mutate::<order::Order, _, _>(ctx, command_id, command, changed).await
    }
}

struct Events;

/// What is told of orders as it happens.
#[Subscription(name = "Subscription")]
impl Events {
    /// The order with this number as it stands, and again after each change; null for as long as there is none.
    async fn order_status(&self, ctx: &Context<'_>, id: ID) -> Result<States<orders::View>> {
        watch(ctx, Key::alone(id.trim())).await
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

fn changed(Outcome { state, version, .. }: Outcome<Order>) -> OrderResult {
    let order = state.as_ref().map(orders::View::from);
    OrderChanged { order, version: version.to_string(), consistency_token: ConsistencyToken }.into()
}
