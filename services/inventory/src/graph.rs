//! The subgraph: products with their stock.

use crate::{adjustments, ledger, reservations, stock};
use async_graphql::{
    ComplexObject, Context, EmptySubscription, Enum, ID, Object, Result, SimpleObject, Union,
};
use contracts::inventory::{self as contract, AdjustStock};
use contracts::limits::code;
use federation::read::List;
use federation::{ConsistencyToken, DateTime, Entities, Key, PageArgs, Reader, UserError, load};
use futures::future::{try_join, try_join_all};
use micrograph::{App, Outcome, Refused, Subgraph, mutate};
use std::sync::Arc;

/// The most reads of one partition for the sum of all adjustments, of a hundred products each.
const MOST_READS: usize = 64;

/// The inventory's subgraph.
pub fn subgraph(app: &Arc<App>) -> Subgraph {
    let schema = federation::schema(Query, Mutation, EmptySubscription)
        .data(Entities::<adjustments::View>::new(app.reader("adjustments")))
        .data(Entities::<reservations::View>::new(app.reader("reservations")))
        .data(Entities::<ledger::View>::new(app.reader("ledger")))
        .data(Adjustments(app.reader("adjustments")))
        .data(app.commands().clone());
    Subgraph::new(schema.finish())
}

struct Adjustments(Reader);

struct Query;

/// What the inventory answers.
#[Object]
impl Query {
    /// The product with this SKU.
    #[graphql(entity)]
    async fn product_by_sku(&self, sku: ID) -> Product {
        Product { sku: sku.0 }
    }

    /// How often the stock of any product was adjusted.
    #[graphql(cache_control(max_age = 60), complexity = 100)]
    async fn stock_adjustments(&self, ctx: &Context<'_>) -> Result<AdjustmentSummary> {
        let reader = &ctx.data::<Adjustments>()?.0;
        let parts = try_join_all(adjustments::all().map(|products| summary(reader, products))).await?;
        Ok(parts.into_iter().fold(AdjustmentSummary::default(), AdjustmentSummary::plus))
    }
}

/// A product, with its stock.
struct Product {
    sku: String,
}

/// A product, with its stock.
#[Object(cache_control(max_age = 10))]
impl Product {
    /// Stock keeping unit.
    async fn sku(&self) -> ID {
        ID(self.sku.clone())
    }

    /// How many pieces there are.
    async fn stock(&self, ctx: &Context<'_>) -> Result<Stock> {
        let (adjusted, ordered) = (adjustments::key(&self.sku), reservations::key(&self.sku));
        let (adjusted, ordered) = try_join(
            load::<adjustments::View>(ctx, Key::new(adjusted.pk, adjusted.sk)),
            load::<reservations::View>(ctx, Key::new(ordered.pk, ordered.sk)),
        )
        .await?;
        let on_hand = adjusted.unwrap_or_default().on_hand;
        let reservations::View { reserved, returned } = ordered.unwrap_or_default();
        Ok(Stock { on_hand, reserved, returned, available: on_hand + returned - reserved })
    }

    /// How the pieces on hand came about: the last adjustments, in their order.
    async fn stock_ledger(&self, ctx: &Context<'_>) -> Result<StockLedger> {
        let key = ledger::key(&self.sku);
        let view: Option<ledger::View> = load(ctx, Key::new(key.pk, key.sk)).await?;
        Ok(view.map_or_else(StockLedger::default, StockLedger::from))
    }
}

/// The last adjustments of a product's stock, in their order.
#[derive(Default, SimpleObject)]
#[graphql(complex)]
struct StockLedger {
    /// The pieces on hand after the last adjustment.
    balance: i64,
    /// When the balance fell below zero. None where it is not below zero, or where it isn't known since when.
    below_zero_since: Option<DateTime>,
    /// Whether adjustments before the oldest entry are missing: they never arrived, and the balance was taken from the
    /// stock itself.
    entries_missing: bool,
    #[graphql(skip)]
    entries: Vec<ledger::Entry>,
}

/// What a ledger answers when it is asked for more.
#[ComplexObject]
impl StockLedger {
    /// The last adjustments, the latest first: as many as `first` says, 1 to 50.
    #[graphql(complexity = "usize::try_from(first).unwrap_or(0) * child_complexity")]
    #[expect(clippy::unused_async, reason = "resolvers with arguments are async functions to async-graphql")]
    async fn entries(&self, #[graphql(default = 10)] first: i32) -> Result<Vec<StockLedgerEntry>> {
        let most = usize::try_from(first).ok().filter(|first| (1..=ledger::ENTRIES).contains(first));
        let most =
            most.ok_or_else(|| UserError::bad_input(format!("first is {first}; it is from 1 to 50")))?;
        Ok(self.entries.iter().rev().take(most).map(StockLedgerEntry::from).collect())
    }
}

impl From<ledger::View> for StockLedger {
    fn from(ledger::View { balance, short_since, gap, entries }: ledger::View) -> Self {
        Self { balance, below_zero_since: short_since, entries_missing: gap, entries }
    }
}

/// An adjustment of stock.
#[derive(SimpleObject)]
struct StockLedgerEntry {
    /// When it was made.
    at: DateTime,
    /// By how many pieces; negative where there were fewer.
    quantity: i64,
    /// Why; none where this graph doesn't know the reason.
    reason: Option<Reason>,
    /// The pieces on hand after it.
    balance: i64,
}

impl From<&ledger::Entry> for StockLedgerEntry {
    fn from(ledger::Entry { at, quantity, reason, balance }: &ledger::Entry) -> Self {
        let reason = match reason {
            contract::Reason::Received => Some(Reason::Received),
            contract::Reason::WrittenOff => Some(Reason::WrittenOff),
            contract::Reason::Found => Some(Reason::Found),
            contract::Reason::Unknown(_) => None,
        };
        Self { at: *at, quantity: *quantity, reason, balance: *balance }
    }
}

/// How many pieces of a product there are.
#[derive(SimpleObject)]
struct Stock {
    /// The sum of all adjustments: what came in and turned up, less what was lost.
    on_hand: i64,
    /// Pieces in placed orders; cancelled ones reserve nothing.
    reserved: i64,
    /// Pieces that came back by credit notes.
    returned: i64,
    /// On hand and returned, less reserved. Negative where more was ordered than was ever counted in: orders are
    /// taken whether or not the delivery that fills them was recorded.
    available: i64,
}

/// How often stock was adjusted.
#[derive(Clone, Copy, Default, SimpleObject)]
struct AdjustmentSummary {
    /// To fewer pieces.
    down: i64,
    /// To more pieces.
    up: i64,
}

impl AdjustmentSummary {
    fn plus(self, other: Self) -> Self {
        Self { down: self.down + other.down, up: self.up + other.up }
    }
}

/// The sum over one partition's products.
async fn summary(reader: &Reader, products: List) -> Result<AdjustmentSummary> {
    let mut sum = AdjustmentSummary::default();
    let mut after = None;
    for _ in 0..MOST_READS {
        let args = PageArgs::new(Some(100), after, None, None)?;
        let page = reader.page::<adjustments::View>(&products, &args).await?;
        for row in &page.rows {
            sum = sum.plus(AdjustmentSummary { down: row.view.down, up: row.view.up });
        }
        match page.rows.into_iter().last() {
            Some(last) if page.has_next => after = Some(last.cursor),
            _ => return Ok(sum),
        }
    }
    Err(UserError::new("TOO_MANY_PRODUCTS", "there are more adjusted products than one answer can add up")
        .into())
}

struct Mutation;

/// What the inventory does.
#[Object]
impl Mutation {
    /// Corrects the stock of a product by some pieces, up or down. The same `commandId` counts once.
    async fn adjust_stock(
        &self,
        ctx: &Context<'_>,
        sku: ID,
        #[graphql(desc = "Pieces: not 0, at most 1,000,000 up or down.")] quantity: i64,
        reason: Reason,
        command_id: Option<String>,
    ) -> Result<StockResult> {
        let sku = code(&sku);
        let command = AdjustStock { sku: sku.clone(), quantity, reason: reason.into() };
        let changed = |outcome: Outcome<stock::Adjusted>| {
            let on_hand = outcome.state.map_or(0, |stock| stock.on_hand);
            StockChanged {
                product: Product { sku },
                on_hand,
                version: outcome.version.to_string(),
                consistency_token: ConsistencyToken,
            }
            .into()
        };
        mutate::<stock::Stock, _, _>(ctx, command_id, command, changed).await
    }
}

/// Why stock is adjusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(name = "AdjustmentReason")]
enum Reason {
    /// Goods came in.
    Received,
    /// Goods were lost, damaged or thrown away.
    WrittenOff,
    /// Goods turned up, or left the books without being sold.
    Found,
}

impl From<Reason> for contract::Reason {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::Received => Self::Received,
            Reason::WrittenOff => Self::WrittenOff,
            Reason::Found => Self::Found,
        }
    }
}

/// What an adjustment came to.
#[derive(Union)]
enum StockResult {
    /// It was carried out.
    Changed(StockChanged),
    /// It was refused.
    Refused(Refused),
}

/// Stock as an adjustment left it.
#[derive(SimpleObject)]
struct StockChanged {
    /// The product; what it shows catches up with the version.
    product: Product,
    /// The sum of all adjustments now.
    on_hand: i64,
    /// The version of the stock now.
    version: String,
    /// Bring it back with a query that is to show this change.
    consistency_token: ConsistencyToken,
}
