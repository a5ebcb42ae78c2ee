//! The subgraph: `CreditNote` is returns'; a customer's are added to `Customer`. Credit notes are personal: no shared
//! cache may keep them.

use crate::credit_notes;
use async_graphql::connection::Connection;
use async_graphql::{
    ComplexObject, Context, EmptyMutation, EmptySubscription, ID, Object, Result, SimpleObject,
};
use federation::{Entities, Key, PageArgs, entity};
use micrograph::{App, Subgraph};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The returns' subgraph.
pub fn subgraph(app: &Arc<App>) -> Subgraph {
    let schema =
        federation::schema(Query, EmptyMutation, EmptySubscription)
            .data(Entities::<credit_notes::View>::new(app.reader("credit_notes")));
    Subgraph::new(schema.finish())
}

struct Query;

/// What is known of returns.
#[Object]
impl Query {
    /// The credit note with this number.
    #[graphql(entity)]
    async fn credit_note_by_id(&self, ctx: &Context<'_>, id: ID) -> Option<credit_notes::View> {
        entity(ctx, Key::alone(id)).await
    }

    /// Any customer: who there is, is the customers' micrograph's to say.
    #[graphql(entity)]
    async fn customer_by_id(&self, id: ID) -> Customer {
        Customer { id }
    }

    /// The credit note with this number.
    #[graphql(cache_control(max_age = 10, private))]
    async fn credit_note(&self, ctx: &Context<'_>, id: ID) -> Option<credit_notes::View> {
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

/// A customer, as returns knows one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, SimpleObject)]
#[graphql(complex, cache_control(max_age = 10, private))]
#[serde(transparent)]
pub struct Customer {
    /// The customer's number.
    pub id: ID,
}

/// A customer, as returns knows one.
#[ComplexObject]
impl Customer {
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
        Entities::connection(ctx, &credit_notes::of(&self.id), &PageArgs::new(first, after, last, before)?)
            .await
    }
}
