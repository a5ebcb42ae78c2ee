//! What an order or a credit note adds to a total.

#[cfg(test)]
pub(crate) mod tests;

use async_graphql::SimpleObject;
use contracts::orders::{Line, Order, Status};
use contracts::returns::CreditNote;
use jiff::Timestamp;
use projection::{Amount, Contribution, Rejected};
use rust_decimal::Decimal;
use serde::Deserialize;

/// The sort key of a total over everything in its partition.
pub const TOTAL: &str = "total";

/// Amounts are kept in whole units of 10⁻⁶ of the currency's: they are read back as integers, since a number with a
/// fraction would pass through a float.
const SCALE: u32 = 6;

/// What a line may come to, in the currency's unit.
const MAX_AMOUNT: Decimal = Decimal::from_parts(1_000_000_000, 0, 0, false, 0);

/// A total, as it is stored. Amounts are in millionths of the currency's unit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, SimpleObject)]
#[serde(default)]
pub struct Sums {
    /// Orders that were placed and not cancelled.
    pub orders: i64,
    /// Their lines.
    pub lines: i64,
    /// The pieces of their lines.
    pub units: i64,
    /// What their lines come to.
    #[graphql(skip)]
    pub revenue: i64,
    /// Credit notes.
    pub credit_notes: i64,
    /// Their lines.
    pub returned_lines: i64,
    /// The pieces of their lines.
    pub returned_units: i64,
    /// What their lines come to.
    #[graphql(skip)]
    pub refunds: i64,
}

/// What is added for an order and for a credit note: one of them, its lines, their pieces, what they come to.
const SOLD: [&str; 4] = ["orders", "lines", "units", "revenue"];
const RETURNED: [&str; 4] = ["credit_notes", "returned_lines", "returned_units", "refunds"];

/// An order or a credit note.
#[derive(Debug)]
pub struct Trade<'a> {
    names: [&'static str; 4],
    /// Whether it counts: a cancelled order names all its totals, and adds nothing.
    counts: bool,
    at: Timestamp,
    country: &'a str,
    /// ISO 4217 code of all its amounts.
    pub currency: &'a str,
    /// Who ordered or returned; a guest has no number.
    pub customer: Option<&'a str>,
    /// Its lines.
    pub lines: &'a [Line],
}

impl<'a> From<&'a Order> for Trade<'a> {
    fn from(order: &'a Order) -> Self {
        Self {
            names: SOLD,
            counts: order.status != Status::Cancelled,
            at: order.placed_at,
            country: &order.country,
            currency: &order.currency,
            customer: order.customer_id.as_deref(),
            lines: &order.lines,
        }
    }
}

impl<'a> From<&'a CreditNote> for Trade<'a> {
    fn from(note: &'a CreditNote) -> Self {
        Self {
            names: RETURNED,
            counts: true,
            at: note.issued_at,
            country: &note.country,
            currency: &note.currency,
            customer: note.customer_id.as_deref(),
            lines: &note.lines,
        }
    }
}

impl Trade<'_> {
    /// The sort keys of the totals that it belongs to: everything, its country, its month.
    pub fn totals(&self) -> [String; 3] {
        let month = self.at.strftime("%Y-%m");
        [TOTAL.to_owned(), of_country(self.country), of_month(&month.to_string())]
    }

    /// What some of its lines add to the totals of a ledger.
    pub fn contribution(&self, ledger: String, lines: &[&Line]) -> Result<Contribution, Rejected> {
        let sums = self.sums(lines)?;
        let amounts = self.totals().into_iter().map(|total| Amount::new(total, sums));
        Ok(Contribution::new(ledger, amounts.collect()))
    }

    fn sums(&self, lines: &[&Line]) -> Result<[(&'static str, Decimal); 4], Rejected> {
        let units: Decimal = lines.iter().map(|line| Decimal::from(line.quantity)).sum();
        let mut amount = Decimal::ZERO;
        for line in lines {
            amount += millionths(line)?;
        }
        let sums = [Decimal::ONE, lines.len().into(), units, amount];
        let sums = if self.counts { sums } else { [Decimal::ZERO; 4] };
        Ok([0, 1, 2, 3].map(|it| (self.names[it], sums[it])))
    }
}

/// The sort key of a country's total.
pub fn of_country(country: &str) -> String {
    format!("country#{country}")
}

/// The sort key of a month's total; the month as `2011-03`.
pub fn of_month(month: &str) -> String {
    format!("month#{month}")
}

/// An amount as it is stored, in the currency's unit.
pub fn amount(millionths: i64) -> Decimal {
    Decimal::new(millionths, SCALE).normalize()
}

fn millionths(line: &Line) -> Result<Decimal, Rejected> {
    let price = line.unit_price.normalize();
    if price.scale() > SCALE {
        return Err(Rejected(format!("line {}: a price has at most {SCALE} decimals", line.position)));
    }
    let amount = price.checked_mul(line.quantity.into()).filter(|amount| amount.abs() <= MAX_AMOUNT);
    let too_much = || Rejected(format!("line {} comes to more than {MAX_AMOUNT}", line.position));
    let mut amount = amount.ok_or_else(too_much)? * Decimal::from(10_u64.pow(SCALE));
    amount.rescale(0);
    Ok(amount)
}
