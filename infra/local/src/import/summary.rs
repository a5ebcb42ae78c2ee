//! What came of a file.

use rust_decimal::Decimal;
use std::collections::BTreeMap;

/// What came of the rows of a file. Amounts are in pounds, exact.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Rows after the header; blank lines are none.
    pub rows: u64,
    /// Rows that are earlier than one before them. They are imported, but the stream is not in the order of time.
    pub rows_out_of_order: u64,
    /// Orders placed.
    pub orders: u64,
    /// Lines of orders.
    pub sold_lines: u64,
    /// Pieces sold.
    pub sold_units: u64,
    /// What was sold for.
    pub sold_amount: Decimal,
    /// Credit notes issued.
    pub credit_notes: u64,
    /// Lines of credit notes.
    pub returned_lines: u64,
    /// Pieces returned.
    pub returned_units: u64,
    /// What was refunded.
    pub returned_amount: Decimal,
    /// Rows that write stock off.
    pub written_off_rows: u64,
    /// Rows that find stock.
    pub found_rows: u64,
    /// Rows of the ledger: sent as lines of a kind that orders refuses.
    pub ledger_rows: u64,
    /// Customers registered.
    pub customers: u64,
    /// Products listed.
    pub products: u64,
    /// Commands made, by name.
    pub commands: BTreeMap<&'static str, u64>,
    /// Rows not imported, by the [code](super::Reason::code) of their reason.
    pub rejected: BTreeMap<&'static str, u64>,
}

impl Summary {
    /// How many rows are not imported.
    pub fn rejected_rows(&self) -> u64 {
        self.rejected.values().sum()
    }
}
