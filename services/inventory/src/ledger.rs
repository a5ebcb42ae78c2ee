//! The running ledger of a product's stock: its last adjustments, each with the balance after it. The balance after an
//! adjustment depends on those before it, so they are folded in their order.

#[cfg(test)]
mod tests;

use crate::stock::{Adjusted, Stock};
use contracts::Envelope;
use contracts::inventory::{Reason, StockAdjusted};
use federation::DateTime;
use micrograph::Aggregate;
use projection::{Key, Projection, Rejected};
use serde::{Deserialize, Serialize};

/// How many adjustments are kept of a product.
pub const ENTRIES: usize = 50;

/// A product's ledger.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct View {
    /// The pieces on hand after the last adjustment.
    pub balance: i64,
    /// When it fell below zero, where it is, and where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub short_since: Option<DateTime>,
    /// Whether adjustments before the first entry are missing: they never came, and the balance was taken from the stock.
    #[serde(default)]
    pub gap: bool,
    /// The last [`ENTRIES`] adjustments, the oldest first.
    pub entries: Vec<Entry>,
}

/// An adjustment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// When it was made.
    pub at: DateTime,
    /// By how many pieces.
    pub quantity: i64,
    /// Why.
    pub reason: Reason,
    /// The pieces on hand after it.
    pub balance: i64,
}

/// A ledger for each product.
pub fn projection() -> Projection {
    Projection::new("ledger", 1)
        .ordered(|event: &Envelope<StockAdjusted>| key(&event.data.sku), next)
        .snapshot::<StockAdjusted, _, _>(Stock::NAME, taken)
}

/// The key of a product's ledger.
pub fn key(sku: &str) -> Key {
    Key::alone(sku)
}

fn next(view: Option<View>, event: &Envelope<StockAdjusted>) -> Result<View, Rejected> {
    let View { balance, short_since, mut gap, mut entries } = view.unwrap_or_default();
    let StockAdjusted { quantity, reason, .. } = &event.data;
    let too_much = || Rejected(format!("{balance} pieces and {quantity} are more than can be counted"));
    let balance = balance.checked_add(*quantity).ok_or_else(too_much)?;
    let at = DateTime(event.time);
    if entries.len() == ENTRIES {
        entries.remove(0);
        gap = false;
    }
    entries.push(Entry { at, quantity: *quantity, reason: reason.clone(), balance });
    let short_since = (balance < 0).then(|| short_since.unwrap_or(at));
    Ok(View { balance, short_since, gap, entries })
}

/// What the stock itself tells: how many pieces there are, not what led to it.
fn taken(stock: &Adjusted) -> View {
    View { balance: stock.on_hand, short_since: None, gap: true, entries: Vec::new() }
}
