//! Invoices whose rows are still coming.

use super::row::{Document, Reason, Row};
use contracts::orders::{Line, PlaceOrder};
use contracts::returns::IssueCreditNote;
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

/// How far the file's time goes beyond an invoice's last row before the invoice is complete. In the data set, rows of
/// one invoice are at most one minute apart.
pub const CLOSES_AFTER: SignedDuration = SignedDuration::from_mins(5);

/// How many rows are read beyond an invoice's last one before it is complete: the bound where time stands still or goes
/// back.
pub const CLOSES_AFTER_ROWS: u64 = 5_000;

/// The most lines that an order or credit note may have.
pub const MAX_LINES: usize = 1_000;

/// Puts the rows of invoices together.
#[derive(Default)]
pub(super) struct Invoices {
    open: HashMap<Arc<str>, Invoice>,
    by_last_row: BTreeMap<u64, Arc<str>>,
    closed: HashSet<Arc<str>>,
    /// The latest time of any row.
    now: Option<Timestamp>,
}

/// An invoice.
pub(super) struct Invoice {
    id: Arc<str>,
    document: Document,
    last_row: u64,
    /// The file's time at its last row.
    seen: Option<Timestamp>,
    /// How many rows it has so far, readable or not.
    positions: u32,
    /// The time and country of its first readable row.
    head: Option<(Timestamp, String)>,
    customer: Option<String>,
    lines: Vec<Line>,
}

/// A complete invoice.
pub(super) enum Complete {
    Order(Timestamp, PlaceOrder),
    CreditNote(Timestamp, IssueCreditNote),
}

impl Invoices {
    /// Counts a row of an invoice; gives the invoice, and the row's position in it.
    pub(super) fn count(&mut self, id: &str, row: u64) -> Result<(&mut Invoice, u32), Reason> {
        if self.closed.contains(id) {
            return Err(Reason::Late);
        }
        let id = self.open.get_key_value(id).map_or_else(|| Arc::from(id), |(id, _)| id.clone());
        let invoice = self.open.entry(id).or_insert_with_key(|id| Invoice::new(id.clone(), row));
        self.by_last_row.remove(&invoice.last_row);
        self.by_last_row.insert(row, invoice.id.clone());
        invoice.last_row = row;
        invoice.seen = self.now;
        invoice.positions += 1;
        let position = invoice.positions;
        Ok((invoice, position))
    }

    /// Moves the file's time; false where the row is earlier than one before.
    pub(super) fn advance(&mut self, time: Timestamp) -> bool {
        let in_order = self.now.is_none_or(|now| now <= time);
        if in_order {
            self.now = Some(time);
        }
        in_order
    }

    /// Takes out an invoice that is complete once a row is read, and the row that it ended with; the one that ended
    /// first before the others.
    pub(super) fn complete(&mut self, row: u64) -> Option<(u64, Invoice)> {
        let (&last, id) = self.by_last_row.first_key_value()?;
        let seen = self.open[id].seen;
        let moved = seen.zip(self.now).is_some_and(|(seen, now)| now.duration_since(seen) > CLOSES_AFTER);
        (moved || row - last > CLOSES_AFTER_ROWS).then(|| self.close_first()).flatten()
    }

    /// Takes out the invoice that ended first, complete or not.
    pub(super) fn close_first(&mut self) -> Option<(u64, Invoice)> {
        let (last, id) = self.by_last_row.pop_first()?;
        let invoice = self.open.remove(&id)?;
        self.closed.insert(id);
        Some((last, invoice))
    }

    /// The last row of the open invoice that ended, so far, before the others.
    pub(super) fn first_open(&self) -> Option<u64> {
        self.by_last_row.first_key_value().map(|(row, _)| *row)
    }
}

impl Invoice {
    fn new(id: Arc<str>, row: u64) -> Self {
        Self {
            document: Document::of(&id),
            id,
            last_row: row,
            seen: None,
            positions: 0,
            head: None,
            customer: None,
            lines: Vec::new(),
        }
    }

    pub(super) fn document(&self) -> Document {
        self.document
    }

    /// Takes what a row says of the invoice as a whole.
    pub(super) fn head(&mut self, row: &Row<'_>) -> Result<(), Reason> {
        match (&self.customer, row.customer) {
            (Some(known), Some(other)) if known != other => return Err(Reason::OtherCustomer),
            (None, Some(first)) => self.customer = Some(first.to_owned()),
            _ => {}
        }
        self.head.get_or_insert_with(|| (row.time, row.country.to_owned()));
        Ok(())
    }

    pub(super) fn is_full(&self) -> bool {
        self.lines.len() == MAX_LINES
    }

    pub(super) fn add(&mut self, line: Line) {
        self.lines.push(line);
    }

    /// The command that it comes to; none where all its rows are adjustments or couldn't be read.
    pub(super) fn into_command(self) -> Option<Complete> {
        let (time, country) = self.head?;
        if self.lines.is_empty() {
            return None;
        }
        let (id, customer_id, currency, lines) =
            (self.id.to_string(), self.customer, "GBP".into(), self.lines);
        Some(match self.document {
            Document::Order | Document::Ledger => {
                Complete::Order(time, PlaceOrder { order_id: id, customer_id, country, currency, lines })
            }
            Document::CreditNote => {
                let note = IssueCreditNote { credit_note_id: id, customer_id, country, currency, lines };
                Complete::CreditNote(time, note)
            }
        })
    }
}
