//! The subgraph: products and customers with what sold, and the ranks.

use crate::listed;
use crate::sales::{self, By};
use crate::trade::{self, Sums, TOTAL};
use async_graphql::{Context, EmptyMutation, EmptySubscription, ID, Object, Result, SimpleObject};
use async_graphql::{InputValueError, InputValueResult, Scalar, ScalarType, Value};
use federation::read::{List, Range};
use federation::{Entities, Key, Money, PageArgs, Reader, UserError};
use futures::future::try_join_all;
use micrograph::{App, Subgraph};
use serde::Deserialize;
use std::sync::Arc;

/// The most products that are ranked, and the most countries or months of a product.
const MOST: i32 = 100;

/// Popularity's subgraph.
pub fn subgraph(app: &Arc<App>) -> Subgraph {
    let schema = federation::schema(Query, EmptyMutation, EmptySubscription)
        .data(Entities::<Sums>::new(app.reader("sales")))
        .data(Totals(app.reader("sales")))
        .data(Listed(app.reader("listed")));
    Subgraph::new(schema.finish())
}

struct Totals(Reader);
struct Listed(Reader);

struct Query;

/// What popularity answers.
#[Object]
impl Query {
    /// The product with this SKU.
    #[graphql(entity)]
    async fn product_by_sku(&self, sku: ID) -> Product {
        Product { sku: sku.0 }
    }

    /// The customer with this number.
    #[graphql(entity)]
    async fn customer_by_id(&self, id: ID) -> Customer {
        Customer { id: id.0 }
    }

    /// The products that sold best: overall, in one country, or in one month (of UTC, as `2011-03`). At most 100; of
    /// those that tie for the last place, some may be missing.
    #[graphql(
        cache_control(max_age = 60),
        complexity = "usize::try_from(first).unwrap_or(0).max(1) * child_complexity"
    )]
    #[expect(clippy::too_many_arguments, reason = "each is an argument of the field")]
    async fn top_products(
        &self,
        ctx: &Context<'_>,
        #[graphql(default_with = "By::Revenue")] by: By,
        country: Option<String>,
        month: Option<String>,
        #[graphql(default = 10)] first: i32,
        #[graphql(desc = "Only those that are listed now, of the best 100.", default = false)]
        listed_only: bool,
        #[graphql(default)] currency: Currency,
    ) -> Result<Vec<RankedProduct>> {
        let total = total_of(country, month)?;
        let wanted = up_to(first)?;
        let read = if listed_only { up_to(MOST)? } else { wanted.clone() };
        let reader = &ctx.data::<Totals>()?.0;
        let shards = sales::ranking(&currency.0, &total, by);
        let pages = try_join_all(shards.iter().map(|shard| reader.page(shard, &read))).await?;
        let mut best = sales::ranked(pages.into_iter().flat_map(|page| page.rows).map(|row| row.view), by);
        best.truncate(read.size());
        if listed_only {
            best = sales::ranked(listed(ctx, best).await?, by);
            best.truncate(wanted.size());
        }
        let product = |(rank, entry): (usize, sales::Entry)| RankedProduct {
            rank,
            product: Some(Product { sku: entry.sku().to_owned() }),
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
        Ok(currency.sales(&load(ctx, sales::of_shop(&currency.0), &total).await?))
    }
}

/// A product, with what sold of it. Sales are gross: what came back is counted beside them.
struct Product {
    sku: String,
}

impl Product {
    async fn total(&self, ctx: &Context<'_>, currency: &Currency) -> Result<Sums> {
        load(ctx, sales::of_product(&currency.0, &self.sku), TOTAL).await
    }
}

/// A product, with what sold of it. Sales are gross: what came back is counted beside them.
#[Object(cache_control(max_age = 60))]
impl Product {
    /// Stock keeping unit.
    async fn sku(&self) -> ID {
        ID(self.sku.clone())
    }

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

    /// Sales by country, in the order of the countries' names; the first 100.
    #[graphql(complexity = "10 * child_complexity")]
    async fn sales_by_country(
        &self,
        ctx: &Context<'_>,
        #[graphql(default)] currency: Currency,
    ) -> Result<Vec<CountrySales>> {
        let list = List::of(sales::of_product(&currency.0, &self.sku));
        let parts = parts(ctx, list, &trade::of_country("")).await?.into_iter();
        Ok(parts.map(|(country, sums)| CountrySales { country, sales: currency.sales(&sums) }).collect())
    }

    /// Sales by month of UTC, oldest first; the last 100.
    #[graphql(complexity = "10 * child_complexity")]
    async fn sales_by_month(
        &self,
        ctx: &Context<'_>,
        #[graphql(default)] currency: Currency,
    ) -> Result<Vec<MonthSales>> {
        let list = List::of(sales::of_product(&currency.0, &self.sku)).descending();
        let parts = parts(ctx, list, &trade::of_month("")).await?.into_iter().rev();
        Ok(parts.map(|(month, sums)| MonthSales { month, sales: currency.sales(&sums) }).collect())
    }
}

/// A customer, with what was ordered. Sales are gross: what came back isn't taken off.
struct Customer {
    id: String,
}

impl Customer {
    async fn total(&self, ctx: &Context<'_>, currency: &Currency) -> Result<Sums> {
        load(ctx, sales::of_customer(&currency.0, &self.id), TOTAL).await
    }
}

/// A customer, with what was ordered. Sales are gross: what came back isn't taken off.
#[Object(cache_control(max_age = 60, private))]
impl Customer {
    /// The customer's number.
    async fn id(&self) -> ID {
        ID(self.id.clone())
    }

    /// What the customer's orders come to, postage and fees too; cancelled ones don't count.
    async fn spent(&self, ctx: &Context<'_>, #[graphql(default)] currency: Currency) -> Result<Money> {
        Ok(currency.money(self.total(ctx, &currency).await?.revenue))
    }

    /// How many orders the customer placed in this currency; cancelled ones don't count.
    async fn orders_placed(&self, ctx: &Context<'_>, #[graphql(default)] currency: Currency) -> Result<i64> {
        Ok(self.total(ctx, &currency).await?.orders)
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
    /// Orders that were placed and not cancelled.
    orders: i64,
    /// Their lines.
    lines: i64,
    /// The pieces of their lines.
    units: i64,
    /// What their lines come to.
    gross: Money,
    /// Credit notes.
    credit_notes: i64,
    /// Their lines.
    returned_lines: i64,
    /// The pieces of their lines.
    returned_units: i64,
    /// What their lines come to.
    refunds: Money,
}

/// What a product sold in a country.
#[derive(SimpleObject)]
struct CountrySales {
    /// The name of the country in English.
    country: String,
    /// What was sold and what came back.
    sales: Sales,
}

/// What a product sold in a month.
#[derive(SimpleObject)]
struct MonthSales {
    /// The month of UTC, as `2011-03`.
    month: String,
    /// What was sold and what came back.
    sales: Sales,
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
            Value::String(code) if trade::is_currency(&code) => Ok(Self(code)),
            _ => Err(InputValueError::custom("a currency is an ISO 4217 code such as \"GBP\"")),
        }
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.clone())
    }
}

impl Currency {
    fn money(&self, millionths: i64) -> Money {
        Money { amount: trade::amount(millionths).into(), currency: self.0.clone() }
    }

    fn sales(&self, sums: &Sums) -> Sales {
        Sales {
            orders: sums.orders,
            lines: sums.lines,
            units: sums.units,
            gross: self.money(sums.revenue),
            credit_notes: sums.credit_notes,
            returned_lines: sums.returned_lines,
            returned_units: sums.returned_units,
            refunds: self.money(sums.refunds),
        }
    }
}

/// A total, read together with those that others ask for; zero where nothing was sold.
async fn load(ctx: &Context<'_>, ledger: String, total: &str) -> Result<Sums> {
    Ok(ctx.data::<Entities<Sums>>()?.load(Key::new(ledger, total)).await?.unwrap_or_default())
}

/// A total with its sort key.
#[derive(Deserialize)]
struct Part {
    sk: String,
    #[serde(flatten)]
    sums: Sums,
}

/// The totals of a ledger under a prefix, each with the rest of its sort key.
async fn parts(ctx: &Context<'_>, list: List, prefix: &str) -> Result<Vec<(String, Sums)>> {
    let list = list.range(Range::BeginsWith(prefix.to_owned()));
    let page = ctx.data::<Totals>()?.0.page::<Part>(&list, &up_to(MOST)?).await?;
    let rest = |part: Part| (part.sk.strip_prefix(prefix).unwrap_or_default().to_owned(), part.sums);
    Ok(page.rows.into_iter().map(|row| rest(row.view)).collect())
}

/// Those of the entries whose products the catalogue lists now.
async fn listed(ctx: &Context<'_>, entries: Vec<(usize, sales::Entry)>) -> Result<Vec<sales::Entry>> {
    let keys: Vec<Key> =
        entries.iter().map(|(_, entry)| Key::new(entry.sku(), projection::Key::ALONE)).collect();
    let found = ctx.data::<Listed>()?.0.batch_get::<listed::View>(&keys).await?;
    let listed = entries.into_iter().zip(found).filter(|(_, found)| found.is_some());
    Ok(listed.map(|((_, entry), _)| entry).collect())
}

fn up_to(first: i32) -> Result<PageArgs, UserError> {
    PageArgs::new(Some(first), None, None, None)
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
