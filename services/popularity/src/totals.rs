//! The read model of what the shop sold, overall, by country and by month, and what each customer ordered.

#[cfg(test)]
mod tests;

use crate::trade::{Sums, TOTAL, Trade};
use contracts::Envelope;
use contracts::orders::{CreditNoteIssued, Line, OrderCancelled, OrderPlaced};
use projection::{Contribution, Projection, Rejected};
use serde::Deserialize;

/// A total of the shop or of a customer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct View(pub Sums);

/// A ledger for each currency, and one for each customer in it. All lines count, fees too.
pub fn projection() -> Projection {
    Projection::new("totals", 1)
        .contribution(|event: &Envelope<OrderPlaced>| contributions(&(&event.data.0).into()))
        .contribution(|event: &Envelope<OrderCancelled>| contributions(&(&event.data.0).into()))
        .contribution(|event: &Envelope<CreditNoteIssued>| contributions(&(&event.data.0).into()))
}

/// The partition of the shop's totals in a currency.
pub fn of_shop(currency: &str) -> String {
    format!("{currency}#all")
}

/// The partition of a customer's total in a currency.
pub fn of_customer(currency: &str, customer: &str) -> String {
    format!("{currency}#customer#{customer}")
}

fn contributions(trade: &Trade<'_>) -> Result<Vec<Contribution>, Rejected> {
    let currency = trade.currency()?;
    let lines: Vec<&Line> = trade.lines.iter().collect();
    let mut contributions = vec![trade.contribution(of_shop(currency), &lines)?];
    if let Some(customer) = trade.customer {
        let mut own = trade.contribution(of_customer(currency, customer), &lines)?;
        own.amounts.retain(|amount| amount.total == TOTAL);
        contributions.push(own);
    }
    Ok(contributions)
}
