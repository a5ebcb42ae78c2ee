//! The read model of what was sold: by the shop, to each customer, and of each product, with the product's rank.

#[cfg(test)]
mod tests;

use crate::trade::{TOTAL, Trade};
use async_graphql::Enum;
use contracts::limits::CURRENCY;
use contracts::orders::{Line, LineKind, OrderCancelled, OrderPlaced};
use contracts::returns::CreditNoteIssued;
use contracts::{Envelope, digest};
use federation::read::List;
use projection::{Contribution, Index, Projection, Rejected};
use serde::Deserialize;
use std::collections::BTreeMap;

const BY_REVENUE: Index = Index::by_number("by_revenue", "scope", "revenue").including(&["units"]);
const BY_UNITS: Index = Index::by_number("by_units", "scope", "units").including(&["revenue"]);

/// Over how many partitions of an index the products of one scope are spread: every sale moves its products' ranks,
/// and one partition takes a thousand writes a second.
const SHARDS: u8 = 4;

/// What products are ranked by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(name = "RankedBy")]
pub enum By {
    /// What they sold for.
    Revenue,
    /// How many pieces were sold.
    Units,
}

/// A product in an index.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Entry {
    pk: String,
    /// Pieces sold.
    #[serde(default)]
    pub units: i64,
    /// What they sold for, in millionths of the currency's unit.
    #[serde(default)]
    pub revenue: i64,
}

/// Ledgers by currency, for the shop, each customer and each product: totals over everything, by country and by month.
/// Only products that sold are in the indexes: one that only came back has neither attribute.
pub fn projection() -> Projection {
    Projection::new("sales", 1)
        .index(BY_REVENUE)
        .index(BY_UNITS)
        .contribution(|event: &Envelope<OrderPlaced>| contributions(&(&event.data.0).into()))
        .contribution(|event: &Envelope<OrderCancelled>| contributions(&(&event.data.0).into()))
        .contribution(|event: &Envelope<CreditNoteIssued>| contributions(&(&event.data.0).into()))
}

/// The partition of the shop's totals in a currency: all lines, fees too.
pub fn of_shop(currency: &str) -> String {
    format!("{currency}#all")
}

/// The partition of a customer's total in a currency: all lines, fees too.
pub fn of_customer(currency: &str, customer: &str) -> String {
    format!("{currency}#customer#{customer}")
}

/// The partition of a product's totals in a currency.
pub fn of_product(currency: &str, sku: &str) -> String {
    format!("{currency}#sku#{sku}")
}

/// The ranking of the products of a scope, which is a total's sort key: one list for each shard, the best first.
pub fn ranking(currency: &str, total: &str, by: By) -> Vec<List> {
    let index = match by {
        By::Revenue => BY_REVENUE,
        By::Units => BY_UNITS,
    };
    let list = |shard| List::of(scope(currency, total, shard)).index(index.name, index.partition, index.sort);
    (0..SHARDS).map(|shard| list(shard).descending()).collect()
}

/// The best of all shards' entries, the best first, each with its rank; those that tie share one, and stand in the
/// order of their SKUs. What was sold and cancelled again is passed over.
pub fn ranked(entries: impl IntoIterator<Item = Entry>, by: By) -> Vec<(usize, Entry)> {
    let mut entries: Vec<Entry> = entries.into_iter().filter(|entry| entry.by(by) > 0).collect();
    entries.sort_by(|a, b| b.by(by).cmp(&a.by(by)).then_with(|| a.pk.cmp(&b.pk)));
    let mut ranked: Vec<(usize, Entry)> = Vec::with_capacity(entries.len());
    for entry in entries {
        let tie = ranked.last().filter(|(_, last)| last.by(by) == entry.by(by));
        let rank = tie.map_or(ranked.len() + 1, |(rank, _)| *rank);
        ranked.push((rank, entry));
    }
    ranked
}

impl Entry {
    /// The product.
    pub fn sku(&self) -> &str {
        self.pk.splitn(3, '#').last().unwrap_or_default()
    }

    fn by(&self, by: By) -> i64 {
        match by {
            By::Revenue => self.revenue,
            By::Units => self.units,
        }
    }
}

fn contributions(trade: &Trade<'_>) -> Result<Vec<Contribution>, Rejected> {
    let currency = trade.currency;
    CURRENCY.check("currency", currency).map_err(|wrong| Rejected(wrong.to_string()))?;
    let lines: Vec<&Line> = trade.lines.iter().collect();
    let mut all = vec![trade.contribution(of_shop(currency), &lines)?];
    if let Some(customer) = trade.customer {
        let mut own = trade.contribution(of_customer(currency, customer), &lines)?;
        own.amounts.retain(|amount| amount.total == TOTAL);
        all.push(own);
    }
    let mut products: BTreeMap<&str, Vec<&Line>> = BTreeMap::new();
    for line in lines.into_iter().filter(|line| line.kind == LineKind::Product) {
        products.entry(&line.sku).or_default().push(line);
    }
    for (sku, lines) in products {
        let mut own = trade.contribution(of_product(currency, sku), &lines)?;
        for amount in &mut own.amounts {
            amount.set.insert(BY_REVENUE.partition, scope(currency, &amount.total, shard(sku)));
        }
        all.push(own);
    }
    Ok(all)
}

fn scope(currency: &str, total: &str, shard: u8) -> String {
    format!("{currency}#{total}#{shard}")
}

fn shard(sku: &str) -> u8 {
    let digest = digest::short(&[sku.as_bytes()]);
    digest.bytes().next().unwrap_or_default() % SHARDS
}
