//! The read model of what each product sold, with its rank overall, by country and by month.

#[cfg(test)]
mod tests;

use crate::trade::{Sums, Trade};
use contracts::orders::{CreditNoteIssued, Line, LineKind, OrderCancelled, OrderPlaced};
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

/// A total of a product.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct View(pub Sums);

/// What products are ranked by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

/// A ledger for each currency and product: totals over everything, by country and by month. Only what sold is in the
/// indexes: a product that only came back has neither attribute.
pub fn projection() -> Projection {
    Projection::new("sales", 1)
        .index(BY_REVENUE)
        .index(BY_UNITS)
        .contribution(|event: &Envelope<OrderPlaced>| contributions(&(&event.data.0).into()))
        .contribution(|event: &Envelope<OrderCancelled>| contributions(&(&event.data.0).into()))
        .contribution(|event: &Envelope<CreditNoteIssued>| contributions(&(&event.data.0).into()))
}

/// The partition of a product's totals in a currency.
pub fn ledger(currency: &str, sku: &str) -> String {
    format!("{currency}#{sku}")
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
        self.pk.split_once('#').map_or(&*self.pk, |(_, sku)| sku)
    }

    fn by(&self, by: By) -> i64 {
        match by {
            By::Revenue => self.revenue,
            By::Units => self.units,
        }
    }
}

fn contributions(trade: &Trade<'_>) -> Result<Vec<Contribution>, Rejected> {
    let currency = trade.currency()?;
    let mut products: BTreeMap<&str, Vec<&Line>> = BTreeMap::new();
    for line in trade.lines.iter().filter(|line| line.kind == LineKind::Product) {
        products.entry(&line.sku).or_default().push(line);
    }
    let contribution = |(sku, lines): (&str, Vec<&Line>)| {
        let shard = shard(sku);
        let mut contribution = trade.contribution(ledger(currency, sku), &lines)?;
        for amount in &mut contribution.amounts {
            amount.set.insert(BY_REVENUE.partition, scope(currency, &amount.total, shard));
        }
        Ok(contribution)
    };
    products.into_iter().map(contribution).collect()
}

fn scope(currency: &str, total: &str, shard: u8) -> String {
    format!("{currency}#{total}#{shard}")
}

fn shard(sku: &str) -> u8 {
    let digest = digest::short(&[sku.as_bytes()]);
    digest.bytes().next().unwrap_or_default() % SHARDS
}
