//! The subgraph: `Customer` is this micrograph's. What it shows is personal: no shared cache may keep it.

use crate::{customer, customers};
use async_graphql::{Context, EmptySubscription, ID, InputObject, Object, Result, SimpleObject, Union};
use contracts::customers::{Customer, EraseCustomer, RegisterCustomer};
use federation::{ConsistencyToken, Entities, Key, entity};
use micrograph::{App, Outcome, Refused, Subgraph, mutate};
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
    async fn customer_by_id(&self, ctx: &Context<'_>, id: ID) -> Option<customers::View> {
        entity(ctx, Key::alone(id)).await
    }

    /// The customer with this number, if registered and not erased.
    #[graphql(cache_control(max_age = 10, private))]
    async fn customer(&self, ctx: &Context<'_>, id: ID) -> Option<customers::View> {
        entity(ctx, Key::alone(id.trim())).await
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
    ) -> Result<CustomerResult> {
        let RegisterCustomerInput { id, name, email, country } = input;
        let id = id.trim().to_owned();
        let command = RegisterCustomer { id, name, email, country };
        mutate::<customer::Customer, _, _>(ctx, command_id, command, changed).await
    }

    /// Erases a customer's personal data, for good. The number can't be registered again.
    async fn erase_customer(
        &self,
        ctx: &Context<'_>,
        id: ID,
        command_id: Option<String>,
    ) -> Result<CustomerResult> {
        let command = EraseCustomer { id: id.trim().to_owned() };
        mutate::<customer::Customer, _, _>(ctx, command_id, command, changed).await
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
    customer: Option<customers::View>,
    /// The version now: what the graph shows catches up with it.
    version: String,
    /// Bring it back with a query that is to show this change.
    consistency_token: ConsistencyToken,
}

fn changed(Outcome { state, version, .. }: Outcome<Customer>) -> CustomerResult {
    let customer = state.as_ref().map(customers::View::from);
    CustomerChanged { customer, version: version.to_string(), consistency_token: ConsistencyToken }.into()
}
