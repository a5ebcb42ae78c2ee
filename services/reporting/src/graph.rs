//! The subgraph: sales by any cut.

use crate::report::{Cut, Report, Row};
use crate::sales::Category;
use async_graphql::{Context, EmptyMutation, EmptySubscription, Error, ID, Object, Result, SimpleObject};
use federation::{DateTime, Money, PageArgs, UserError};
use micrograph::generations::{AskError, Questions};
use micrograph::{App, Subgraph};
use projection::store::StoreError;
use std::sync::Arc;

/// Reporting's subgraph.
pub fn subgraph(app: &Arc<App>) -> Subgraph {
    let schema = federation::schema(Query, EmptyMutation, EmptySubscription).data(app.asks("sales"));
    Subgraph::new(schema.finish())
}

struct Query;

/// What reporting answers.
#[Object]
impl Query {
    /// What was sold and came back, by up to four cuts: all of it, or what was traded from a time on and before another,
    /// in one country, of one category. Each currency has rows of its own; the first are those that sold for most. At most
    /// 100. Code `REPORT_UNAVAILABLE` where it can't be made now, or takes too long.
    #[graphql(complexity = "usize::try_from(first).unwrap_or(0).max(1) * child_complexity")]
    #[allow(clippy::too_many_arguments, reason = "each is an argument of the field")]
    async fn sales_by(
        &self,
        ctx: &Context<'_>,
        cuts: Vec<Cut>,
        from: Option<DateTime>,
        to: Option<DateTime>,
        country: Option<String>,
        category: Option<Category>,
        #[graphql(default = 20)] first: i32,
    ) -> Result<Vec<SalesRow>> {
        let first = PageArgs::new(Some(first), None, None, None)?.size();
        let (from, to) = (from.map(|it| it.0), to.map(|it| it.0));
        let question = Report { cuts, from, to, country, category, first }.question()?;
        let rows: Vec<Row> = ctx.data::<Questions>()?.ask(&question).await.map_err(unanswered)?;
        Ok(rows.into_iter().map(SalesRow::from).collect())
    }
}

/// What was sold and came back, of one value of each cut. Of what the report isn't cut by, nothing is said; null, too, is
/// what isn't known of a sale: a guest's number, or the category of a fee.
#[derive(SimpleObject)]
struct SalesRow {
    /// The year, as `2011`.
    year: Option<String>,
    /// The month, as `2011-03`.
    month: Option<String>,
    /// The day, as `2011-03-31`.
    day: Option<String>,
    /// The country that was delivered to, or that goods came back from.
    country: Option<String>,
    /// The country that the customer is registered in.
    customer_country: Option<String>,
    /// The category of the product.
    category: Option<Category>,
    /// The product.
    product: Option<Product>,
    /// The customer.
    customer: Option<Customer>,
    /// Orders with a line in it.
    orders: i64,
    /// How many pieces were sold.
    units: i64,
    /// What they sold for.
    gross: Money,
    /// How many pieces came back.
    returned_units: i64,
    /// What was refunded for them.
    refunds: Money,
}

/// A product: the catalogue's, and others', to tell of.
#[derive(SimpleObject)]
#[graphql(unresolvable)]
struct Product {
    /// Stock keeping unit.
    sku: ID,
}

/// A customer: the customers', and others', to tell of.
#[derive(SimpleObject)]
#[graphql(unresolvable)]
struct Customer {
    /// The customer's number.
    id: ID,
}

impl From<Row> for SalesRow {
    fn from(row: Row) -> Self {
        Self {
            gross: Money::new(row.gross, &row.currency),
            refunds: Money::new(row.refunds, &row.currency),
            year: row.year,
            month: row.month,
            day: row.day,
            country: row.country,
            customer_country: row.customer_country,
            category: row.category,
            product: row.product.map(|sku| Product { sku: sku.into() }),
            customer: row.customer.map(|id| Customer { id: id.into() }),
            orders: row.orders,
            units: row.units,
            returned_units: row.returned_units,
        }
    }
}

/// A question that has no answer for now is the client's to ask again; anything else is ours.
fn unanswered(error: AskError) -> Error {
    if let AskError::Store(StoreError::Transient { .. }) = &error {
        tracing::warn!(error = telemetry::error_chain(&error), "a report could not be made");
        let why = "the report can't be made now, or takes too long: ask for less, or again later";
        return UserError::new("REPORT_UNAVAILABLE", why).into();
    }
    error.into()
}
