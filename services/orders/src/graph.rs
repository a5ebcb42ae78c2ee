//! The subgraph: `Order` and `CreditNote` are orders'; a customer's are added to `Customer`.

mod objects;

use crate::sale::{Shop, Wish};
use crate::{credit_notes, order, orders};
use async_graphql::{Context, EmptySubscription, ID, InputObject, Object, SimpleObject, Union};
use contracts::digest;
use contracts::orders::CancelOrder;
use federation::{Entities, Key, Reader, entity};
use micrograph::{App, Commands, Decide, Refused, Subgraph, mutate};
use objects::{CreditNote, Customer, Order};
use std::sync::Arc;

/// The orders' subgraph.
pub fn subgraph(app: &Arc<App>) -> Subgraph {
    let shop = Shop { products: app.reader("products"), customers: app.reader("customers") };
    let schema = federation::schema(Query, Mutation, EmptySubscription)
        .data(Entities::<orders::View>::new(app.reader("orders")))
        .data(Entities::<credit_notes::View>::new(app.reader("credit_notes")))
        .data(ByCustomer(app.reader("by_customer")))
        .data(CreditNotes(app.reader("credit_notes")))
        .data(shop)
        .data(app.commands().clone());
    Subgraph::new(schema.finish())
}

struct ByCustomer(Reader);
struct CreditNotes(Reader);

struct Query;

/// What is known of orders.
#[Object]
impl Query {
    /// The order with this number.
    #[graphql(entity)]
    async fn order_by_id(&self, ctx: &Context<'_>, id: ID) -> Option<Order> {
        Order::load(ctx, &id).await
    }

    /// The credit note with this number.
    #[graphql(entity)]
    async fn credit_note_by_id(&self, ctx: &Context<'_>, id: ID) -> Option<CreditNote> {
        CreditNote::load(ctx, &id).await
    }

    /// Any customer: who there is, is the customers' micrograph's to say.
    #[graphql(entity)]
    async fn customer_by_id(&self, id: ID) -> Customer {
        Customer { id }
    }

    /// The order with this number.
    #[graphql(cache_control(max_age = 10, private))]
    async fn order(&self, ctx: &Context<'_>, id: ID) -> Option<Order> {
        Order::load(ctx, id.trim()).await
    }

    /// The credit note with this number.
    #[graphql(cache_control(max_age = 10, private))]
    async fn credit_note(&self, ctx: &Context<'_>, id: ID) -> Option<CreditNote> {
        CreditNote::load(ctx, id.trim()).await
    }
}

async fn load<V: federation::entity::View>(ctx: &Context<'_>, id: &str) -> Option<V> {
    entity(ctx, Key::new(id, projection::Key::ALONE)).await
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
    ) -> async_graphql::Result<OrderResult> {
        let command_id = command_id.unwrap_or_else(|| telemetry::TraceParent::random().trace_id_hex());
        match ctx.data::<Shop>()?.sell(input.into_wish(&command_id)).await? {
            Ok(command) => decide(ctx, Some(command_id), command).await,
            Err(rejection) => Ok(OrderResult::Refused(rejection.into())),
        }
    }

    /// Cancels an order: nothing of it counts as sold.
    async fn cancel_order(
        &self,
        ctx: &Context<'_>,
        id: ID,
        command_id: Option<String>,
    ) -> async_graphql::Result<OrderResult> {
        decide(ctx, command_id, CancelOrder { order_id: id.trim().to_owned() }).await
    }
}

/// An order to place.
#[derive(InputObject)]
pub struct PlaceOrderInput {
    /// The number that it gets, not starting with C; by default one that follows from the command's id.
    order_id: Option<ID>,
    /// Who orders; a guest has no number.
    customer_id: Option<ID>,
    /// The name in English of the country that it goes to; by default the customer's.
    country: Option<String>,
    /// ISO 4217 code in which the prices must be.
    #[graphql(default = "GBP")]
    currency: String,
    /// ISO 3166 code of the market whose prices count.
    #[graphql(default = "GB")]
    market: String,
    /// 1 to 1,000 lines.
    lines: Vec<LineInput>,
}

/// A line of an order to place.
#[derive(InputObject)]
pub struct LineInput {
    /// Stock keeping unit.
    sku: ID,
    /// How many pieces, at least 1.
    quantity: i32,
}

impl PlaceOrderInput {
    fn into_wish(self, command_id: &str) -> Wish {
        let derived = || digest::short(&[b"order", command_id.as_bytes()]);
        Wish {
            order_id: self.order_id.map_or_else(derived, |id| id.trim().to_owned()),
            customer_id: self.customer_id.map(|id| id.trim().to_owned()),
            country: self.country.map(|country| country.trim().to_owned()),
            currency: self.currency.trim().to_uppercase(),
            market: self.market.trim().to_uppercase(),
            // No quantity below 1 passes the rules; 0 stands for all of them.
            items: self
                .lines
                .into_iter()
                .map(|it| (it.sku.trim().to_uppercase(), it.quantity.try_into().unwrap_or(0)))
                .collect(),
        }
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
    order: Option<Order>,
    /// Its version now: what the graph shows catches up with it.
    version: String,
}

async fn decide<C: contracts::Command>(
    ctx: &Context<'_>,
    id: Option<String>,
    command: C,
) -> async_graphql::Result<OrderResult>
where
    order::Order: Decide<C>,
{
    let commands = ctx.data::<Commands>()?;
    Ok(match mutate::<order::Order, C>(ctx, commands, id, command).await? {
        Ok(outcome) => OrderResult::Changed(OrderChanged {
            order: outcome.state.as_ref().map(|state| Order::from(orders::View::from(state))),
            version: outcome.version.to_string(),
        }),
        Err(refused) => OrderResult::Refused(refused),
    })
}
