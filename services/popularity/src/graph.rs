//! The subgraph: products and customers with what sold, and the ranks.

use crate::sales::{self, By};
use crate::trade::{self, Sums, TOTAL};
use async_graphql::{
    ComplexObject, Context, EmptyMutation, EmptySubscription, ID, Object, Result, SimpleObject,
};
use async_graphql::{InputValueError, InputValueResult, Scalar, ScalarType, Value};
use contracts::limits::CURRENCY;
use federation::{Entities, Key, Money, PageArgs, Reader, UserError};
use futures::future::try_join_all;
use micrograph::{App, Subgraph};
use std::sync::Arc;

/// Popularity's subgraph.
pub fn subgraph(app: &Arc<App>) -> Subgraph {
    let schema = federation::schema(Query, EmptyMutation, EmptySubscription)
        .data(Entities::<Sums>::new(app.reader("sales")))
        .data(Totals(app.reader("sales")));
    Subgraph::new(schema.finish())
}

struct Totals(Reader);

struct Query;

/// What popularity answers.
#[Object]
impl Query {
    /// The product with this SKU.
    #[graphql(entity)]
    async fn product_by_sku(&self, sku: ID) -> Product {
        Product { sku }
    }

    /// The customer with this number.
    #[graphql(entity)]
    async fn customer_by_id(&self, id: ID) -> Customer {
        Customer { id }
    }

    /// The products that sold best: overall, in one country, or in one month (of UTC, as `2011-03`). At most 100; of
    /// those that tie for the last place, some may be missing.
    #[graphql(
        cache_control(max_age = 60),
        complexity = "usize::try_from(first).unwrap_or(0).max(1) * child_complexity"
    )]
    async fn top_products(
        &self,
        ctx: &Context<'_>,
        #[graphql(default_with = "By::Revenue")] by: By,
        country: Option<String>,
        month: Option<String>,
        #[graphql(default = 10)] first: i32,
        #[graphql(default)] currency: Currency,
    ) -> Result<Vec<RankedProduct>> {
        let total = total_of(country, month)?;
        let wanted = PageArgs::new(Some(first), None, None, None)?;
        let reader = &ctx.data::<Totals>()?.0;
        let shards = sales::ranking(&currency.0, &total, by);
        let pages = try_join_all(shards.iter().map(|shard| reader.page(shard, &wanted))).await?;
        let mut best = sales::ranked(pages.into_iter().flat_map(|page| page.rows).map(|row| row.view), by);
        best.truncate(wanted.size());
        let product = |(rank, entry): (usize, sales::Entry)| RankedProduct {
            rank,
            product: Some(Product { sku: entry.sku().into() }),
            units: entry.units,
            revenue: currency.money(entry.revenue),
        };
        Ok(best.into_iter().map(product).collect())
    }

    /// What the shop sold and took back, fees and postage too: overall, in one country, or in one month (of UTC, as
    /// `2011-03`).
    #[graphql(cache_control(max_age = 60))]
    async fn sales(
        &self,
        ctx: &Context<'_>,
        country: Option<String>,
        month: Option<String>,
        #[graphql(default)] currency: Currency,
    ) -> Result<Sales> {
        let total = total_of(country, month)?;
        let counts = load(ctx, sales::of_shop(&currency.0), &total).await?;
        Ok(Sales { gross: currency.money(counts.revenue), refunds: currency.money(counts.refunds), counts })
    }
}

/// A product, with what sold of it. Sales are gross: what came back is counted beside them.
#[derive(SimpleObject)]
#[graphql(complex, cache_control(max_age = 60))]
struct Product {
    /// Stock keeping unit.
    sku: ID,
}

impl Product {
    async fn total(&self, ctx: &Context<'_>, currency: &Currency) -> Result<Sums> {
        load(ctx, sales::of_product(&currency.0, &self.sku), TOTAL).await
    }
}

/// A product, with what sold of it. Sales are gross: what came back is counted beside them.
#[ComplexObject]
impl Product {
    /// How many pieces were sold, for this currency.
    async fn units_sold(&self, ctx: &Context<'_>, #[graphql(default)] currency: Currency) -> Result<i64> {
        Ok(self.total(ctx, &currency).await?.units)
    }

    /// What they sold for.
    async fn revenue(&self, ctx: &Context<'_>, #[graphql(default)] currency: Currency) -> Result<Money> {
        Ok(currency.money(self.total(ctx, &currency).await?.revenue))
    }

    /// How many pieces came back, for this currency.
    async fn units_returned(&self, ctx: &Context<'_>, #[graphql(default)] currency: Currency) -> Result<i64> {
        Ok(self.total(ctx, &currency).await?.returned_units)
    }

    /// What was refunded for them.
    async fn refunds(&self, ctx: &Context<'_>, #[graphql(default)] currency: Currency) -> Result<Money> {
        Ok(currency.money(self.total(ctx, &currency).await?.refunds))
    }
}

/// A customer, with what was ordered. Sales are gross: what came back isn't taken off.
#[derive(SimpleObject)]
#[graphql(complex, cache_control(max_age = 60, private))]
struct Customer {
    /// The customer's number.
    id: ID,
}

/// A customer, with what was ordered. Sales are gross: what came back isn't taken off.
#[ComplexObject]
impl Customer {
    /// What the customer's orders come to, postage and fees too; cancelled ones don't count.
    async fn spent(&self, ctx: &Context<'_>, #[graphql(default)] currency: Currency) -> Result<Money> {
        Ok(currency.money(load(ctx, sales::of_customer(&currency.0, &self.id), TOTAL).await?.revenue))
    }

    /// How many orders the customer placed in this currency; cancelled ones don't count.
    async fn orders_placed(&self, ctx: &Context<'_>, #[graphql(default)] currency: Currency) -> Result<i64> {
        Ok(load(ctx, sales::of_customer(&currency.0, &self.id), TOTAL).await?.orders)
    }
}

/// A product in a ranking.
#[derive(SimpleObject)]
struct RankedProduct {
    /// From 1; products that tie share a rank.
    rank: usize,
    /// The product; null where more is asked of it than its SKU, and the catalogue doesn't list it any more.
    product: Option<Product>,
    /// How many pieces were sold.
    units: i64,
    /// What they sold for.
    revenue: Money,
}

/// What was sold and what came back, in one currency.
#[derive(SimpleObject)]
struct Sales {
    #[graphql(flatten)]
    counts: Sums,
    /// What the lines of the orders come to.
    gross: Money,
    /// What the lines of the credit notes come to.
    refunds: Money,
}

/// A currency that a question is about: sales in different ones are never added up.
struct Currency(String);

impl Default for Currency {
    fn default() -> Self {
        Self("GBP".to_owned())
    }
}

/// The ISO 4217 code of a currency, such as `GBP`.
#[Scalar]
impl ScalarType for Currency {
    fn parse(value: Value) -> InputValueResult<Self> {
        match value {
            Value::String(code) if CURRENCY.check("currency", code.as_str()).is_ok() => Ok(Self(code)),
            _ => Err(InputValueError::custom("a currency is an ISO 4217 code such as \"GBP\"")),
        }
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.clone())
    }
}

impl Currency {
    fn money(&self, millionths: i64) -> Money {
        Money::new(trade::amount(millionths), &self.0)
    }
}

/// A total, read together with those that others ask for; zero where nothing was sold.
async fn load(ctx: &Context<'_>, ledger: String, total: &str) -> Result<Sums> {
    Ok(federation::load(ctx, Key::new(ledger, total)).await?.unwrap_or_default())
}

/// The sort key of the total that a question is about.
fn total_of(country: Option<String>, month: Option<String>) -> Result<String, UserError> {
    match (country, month) {
        (None, None) => Ok(TOTAL.to_owned()),
        (Some(country), None) => Ok(trade::of_country(&country)),
        (None, Some(month)) if is_month(&month) => Ok(trade::of_month(&month)),
        (None, Some(_)) => Err(UserError::bad_input("a month is written like 2011-03")),
        (Some(_), Some(_)) => {
            Err(UserError::bad_input("country and month can't be used together; ask for one of them"))
        }
    }
}

fn is_month(text: &str) -> bool {
    text.len() == 7 && format!("{text}-01").parse::<jiff::civil::Date>().is_ok()
}
