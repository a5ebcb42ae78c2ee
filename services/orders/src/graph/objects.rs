//! What the subgraph shows. Orders are personal: no shared cache may keep them.

use super::{ByCustomer, CreditNotes, load};
use crate::by_customer::{self, Summary};
use crate::credit_notes;
use crate::orders::{self, Line};
use async_graphql::connection::Connection;
use async_graphql::{ComplexObject, Context, Enum, ID, Object, SimpleObject};
use contracts::orders::{LineKind, Status};
use federation::{DateTime, Decimal, Money, PageArgs, connection};

/// How an order stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum OrderStatus {
    /// Placed, and not cancelled.
    Placed,
    /// Cancelled: nothing of it counts as sold.
    Cancelled,
    /// Something that this graph has no name for yet.
    Other,
}

/// What a line is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum OrderLineKind {
    /// A product of the catalogue.
    Product,
    /// Postage, a fee, a discount or another charge.
    Fee,
    /// Something that this graph has no name for yet.
    Other,
}

/// An order: all of it, or all but its lines.
pub struct Order {
    summary: Summary,
    lines: Option<Vec<Line>>,
}

impl From<orders::View> for Order {
    fn from(view: orders::View) -> Self {
        Self { summary: view.summary, lines: Some(view.lines) }
    }
}

impl Order {
    pub(super) async fn load(ctx: &Context<'_>, id: &str) -> Option<Self> {
        load::<orders::View>(ctx, id).await.map(Self::from)
    }
}

/// An order.
#[Object(cache_control(max_age = 10, private))]
impl Order {
    /// Its number.
    async fn id(&self) -> ID {
        ID(self.summary.id.clone())
    }

    /// Who ordered; null for a guest.
    async fn customer(&self) -> Option<Customer> {
        Customer::of(self.summary.customer_id.as_ref())
    }

    /// The name in English of the country that it goes to.
    async fn country(&self) -> &str {
        &self.summary.country
    }

    /// How it stands.
    async fn status(&self) -> OrderStatus {
        match self.summary.status {
            Status::Placed => OrderStatus::Placed,
            Status::Cancelled => OrderStatus::Cancelled,
            Status::Unknown(_) => OrderStatus::Other,
        }
    }

    /// When it was placed.
    async fn placed_at(&self) -> DateTime {
        self.summary.placed_at.into()
    }

    /// The exact sum of its lines.
    async fn total(&self) -> Money {
        money(self.summary.total, &self.summary.currency)
    }

    /// How many pieces it has in all.
    async fn units(&self) -> u64 {
        self.summary.units
    }

    /// How many lines it has.
    async fn line_count(&self) -> u32 {
        self.summary.line_count
    }

    /// Its lines as sold.
    #[graphql(complexity = "10 * child_complexity")]
    async fn lines(&self, ctx: &Context<'_>) -> Option<Vec<OrderLine>> {
        let lines = match &self.lines {
            Some(lines) => lines.clone(),
            None => load::<orders::View>(ctx, &self.summary.id).await?.lines,
        };
        Some(shown(lines, &self.summary.currency))
    }
}

/// A line of an order or of a credit note, as sold.
pub struct OrderLine {
    line: Line,
    currency: String,
}

/// A line of an order or of a credit note, as sold.
#[Object(cache_control(max_age = 10, private))]
impl OrderLine {
    /// The position, from 1.
    async fn position(&self) -> u32 {
        self.line.position
    }

    /// What it is about.
    async fn kind(&self) -> OrderLineKind {
        match self.line.kind {
            LineKind::Product => OrderLineKind::Product,
            LineKind::Fee => OrderLineKind::Fee,
            LineKind::Unknown(_) => OrderLineKind::Other,
        }
    }

    /// Stock keeping unit, or the code of the fee.
    async fn sku(&self) -> &str {
        &self.line.sku
    }

    /// The title as sold.
    async fn title(&self) -> &str {
        &self.line.title
    }

    /// How many pieces; of a credit note, how many came back.
    async fn quantity(&self) -> u32 {
        self.line.quantity
    }

    /// The price of one, as sold.
    async fn unit_price(&self) -> Money {
        money(self.line.unit_price, &self.currency)
    }

    /// Quantity times unit price, exact.
    async fn amount(&self) -> Money {
        money(rust_decimal::Decimal::from(self.line.quantity) * self.line.unit_price, &self.currency)
    }

    /// The product as it is now; null for a fee.
    async fn product(&self) -> Option<Product> {
        let of_catalogue = self.line.kind == LineKind::Product;
        of_catalogue.then(|| Product { sku: self.line.sku.clone().into() })
    }
}

/// A product: the catalogue's, and others', to tell of.
#[derive(SimpleObject)]
#[graphql(unresolvable)]
pub struct Product {
    /// Stock keeping unit.
    sku: ID,
}

/// A credit note: goods that came back, and what was refunded for them.
pub struct CreditNote(credit_notes::View);

impl CreditNote {
    pub(super) async fn load(ctx: &Context<'_>, id: &str) -> Option<Self> {
        load(ctx, id).await.map(Self)
    }
}

/// A credit note: goods that came back, and what was refunded for them.
#[Object(cache_control(max_age = 10, private))]
impl CreditNote {
    /// Its number.
    async fn id(&self) -> ID {
        ID(self.0.id.clone())
    }

    /// Who returned; null for a guest.
    async fn customer(&self) -> Option<Customer> {
        Customer::of(self.0.customer_id.as_ref())
    }

    /// The name in English of the customer's country.
    async fn country(&self) -> &str {
        &self.0.country
    }

    /// When it was issued.
    async fn issued_at(&self) -> DateTime {
        self.0.issued_at.into()
    }

    /// What was refunded: the exact sum of its lines.
    async fn total(&self) -> Money {
        let amount = |line: &Line| rust_decimal::Decimal::from(line.quantity) * line.unit_price;
        money(self.0.lines.iter().map(amount).sum(), &self.0.currency)
    }

    /// What came back.
    #[graphql(complexity = "10 * child_complexity")]
    async fn lines(&self) -> Vec<OrderLine> {
        shown(self.0.lines.clone(), &self.0.currency)
    }
}

/// A customer, as orders knows one.
#[derive(SimpleObject)]
#[graphql(complex, cache_control(max_age = 10, private))]
pub struct Customer {
    /// The customer's number.
    pub(super) id: ID,
}

impl Customer {
    fn of(id: Option<&String>) -> Option<Self> {
        id.map(|id| Self { id: id.into() })
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
    ) -> async_graphql::Result<Connection<String, Order>> {
        let page = PageArgs::new(first, after, last, before)?;
        let page = ctx.data::<ByCustomer>()?.0.page(&by_customer::of(&self.id), &page).await?;
        Ok(connection(page, |summary| Order { summary, lines: None }))
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
    ) -> async_graphql::Result<Connection<String, CreditNote>> {
        let page = PageArgs::new(first, after, last, before)?;
        let page = ctx.data::<CreditNotes>()?.0.page(&credit_notes::of(&self.id), &page).await?;
        Ok(connection(page, CreditNote))
    }
}

fn shown(lines: Vec<Line>, currency: &str) -> Vec<OrderLine> {
    lines.into_iter().map(|line| OrderLine { line, currency: currency.to_owned() }).collect()
}

fn money(amount: rust_decimal::Decimal, currency: &str) -> Money {
    Money { amount: Decimal(amount), currency: currency.to_owned() }
}
