//! The subgraph: `Customer` is this micrograph's. What it shows is personal: no shared cache may keep it.

use crate::{customer, customers};
use async_graphql::{Context, EmptySubscription, ID, InputObject, Object, SimpleObject, Union};
use contracts::customers::{EraseCustomer, RegisterCustomer};
use federation::{DateTime, Entities, Key, entity};
use micrograph::{App, Commands, Decide, Refused, Subgraph, mutate};
use std::sync::Arc;

/// The customers' subgraph.
pub fn subgraph(app: &Arc<App>) -> Subgraph {
    let schema = federation::schema(Query, Mutation, EmptySubscription)
        .data(Entities::<customers::View>::new(app.reader("customers")))
        .data(app.commands().clone());
    Subgraph::new(schema.finish())
}

struct Query;

/// What is known of customers.
#[Object]
impl Query {
    /// The customer with this number, if registered and not erased.
    #[graphql(entity)]
    async fn customer_by_id(&self, ctx: &Context<'_>, id: ID) -> Option<Customer> {
        Customer::load(ctx, &id).await
    }

    /// The customer with this number, if registered and not erased.
    #[graphql(cache_control(max_age = 10, private))]
    async fn customer(&self, ctx: &Context<'_>, id: ID) -> Option<Customer> {
        Customer::load(ctx, id.trim()).await
    }
}

/// A customer.
pub struct Customer(customers::View);

impl Customer {
    async fn load(ctx: &Context<'_>, id: &str) -> Option<Self> {
        entity(ctx, Key::new(id, projection::Key::ALONE)).await.map(Self)
    }
}

/// A customer.
#[Object(cache_control(max_age = 10, private))]
impl Customer {
    /// The customer's number.
    async fn id(&self) -> ID {
        ID(self.0.id.clone())
    }

    /// What to call the customer, if known.
    async fn name(&self) -> Option<&str> {
        self.0.name.as_deref()
    }

    /// Where the customer can be written to, if known.
    async fn email(&self) -> Option<&str> {
        self.0.email.as_deref()
    }

    /// The country's name in English.
    async fn country(&self) -> &str {
        &self.0.country
    }

    /// When the customer registered.
    async fn registered_at(&self) -> DateTime {
        self.0.registered_at.into()
    }
}

struct Mutation;

/// What can be done about customers.
#[Object]
impl Mutation {
    /// Registers a customer. One who is registered already stays as registered first.
    async fn register_customer(
        &self,
        ctx: &Context<'_>,
        input: RegisterCustomerInput,
        command_id: Option<String>,
    ) -> async_graphql::Result<CustomerResult> {
        let RegisterCustomerInput { id, name, email, country } = input;
        let id = id.trim().to_owned();
        decide(ctx, command_id, RegisterCustomer { id, name, email, country }).await
    }

    /// Erases a customer's personal data, for good. The number can't be registered again.
    async fn erase_customer(
        &self,
        ctx: &Context<'_>,
        id: ID,
        command_id: Option<String>,
    ) -> async_graphql::Result<CustomerResult> {
        decide(ctx, command_id, EraseCustomer { id: id.trim().to_owned() }).await
    }
}

/// A customer to register.
#[derive(InputObject)]
pub struct RegisterCustomerInput {
    /// The customer's number.
    id: ID,
    /// What to call the customer.
    name: Option<String>,
    /// Where the customer can be written to.
    email: Option<String>,
    /// The country's name in English.
    country: String,
}

/// What a mutation of a customer came to.
#[derive(Union)]
pub enum CustomerResult {
    /// It was carried out.
    Changed(CustomerChanged),
    /// It was refused.
    Refused(Refused),
}

/// A customer as a mutation left it.
#[derive(SimpleObject)]
pub struct CustomerChanged {
    /// The customer now; null once erased.
    customer: Option<Customer>,
    /// The version now: what the graph shows catches up with it.
    version: String,
}

async fn decide<C: contracts::Command>(
    ctx: &Context<'_>,
    id: Option<String>,
    command: C,
) -> async_graphql::Result<CustomerResult>
where
    customer::Customer: Decide<C>,
{
    let commands = ctx.data::<Commands>()?;
    Ok(match mutate::<customer::Customer, C>(ctx, commands, id, command).await? {
        Ok(outcome) => CustomerResult::Changed(CustomerChanged {
            customer: outcome.state.as_ref().map(|state| Customer(state.into())),
            version: outcome.version.to_string(),
        }),
        Err(refused) => CustomerResult::Refused(refused),
    })
}
