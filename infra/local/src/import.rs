//! The Online Retail file as the commands that a real shop would have sent, in the order of their time.
//!
//! [`Importer`] reads the file and gives [`Item`]s: commands to send, and rows that can't be read, each with its
//! reason and its text. It does no other IO, and the same file gives the same items each time: to go on after a stop,
//! read the file again and skip what was sent ([`Importer::after`]).
//!
//! # Input
//! CSV, plain or gzip (told by its first bytes), UTF-8 with or without a byte order mark; a line that isn't valid
//! UTF-8 is read as windows-1252, which Latin-1 is a part of. The header names the columns `InvoiceNo` (or
//! `Invoice`), `StockCode`, `Description`, `Quantity`, `InvoiceDate`, `UnitPrice` (or `Price`), `CustomerID` (or
//! `Customer ID`) and `Country`, in any order and among any others. Dates are `2010-12-01T08:26:00`,
//! `2010-12-01 08:26` or `12/1/2010 8:26` (month first), the local time of London. An hour that occurs twice, when
//! summer time ends, is its first, and a time that summer time skips is moved on by an hour.
//!
//! # What a row means
//! | row | becomes |
//! |---|---|
//! | InvoiceNo of digits, Quantity > 0, `UnitPrice` > 0 | a line of a `PlaceOrder`: sold |
//! | InvoiceNo `C` and digits, Quantity < 0, `UnitPrice` > 0 | a line of an `IssueCreditNote`, its quantity positive |
//! | InvoiceNo of digits, `UnitPrice` = 0, Quantity ≠ 0 | an `AdjustStock`: written off below 0, found above |
//! | any other InvoiceNo (`A…`), Quantity > 0 | a line of kind `ledger`, which orders refuses with its own reason |
//! | any other | rejected, see [`Reason`] |
//!
//! - The sku is the StockCode, trimmed and in upper case. [`FEES`] are lines like any other, of kind fee: no
//!   product, title, price or category comes of them. A row without a price adjusts their stock as it would another's.
//! - A product is listed at its first row. Its title is the latest Description that isn't blank, and the sku before
//!   there is one. Its category goes by the words of the first row's Description: `CARD` or `CARDS` is a card, one
//!   that begins with `FLOWER` is flowers, all else is a gift.
//! - A product is priced, for GB in GBP, when it is sold at another price than it was last sold at.
//! - A customer is registered at the first row, with that row's country. Rows without `CustomerID` are guests'. A
//!   `CustomerID` that a spreadsheet made `17850.0` is `17850`. A blank Country is `Unspecified`, as the source says.
//! - An order or credit note has the time and country of its first row. A line's position counts all rows of its
//!   invoice in the order of the file, so that two equal rows are two lines.
//! - Ledger rows list, price and register nothing.
//!
//! # Order and time
//! Rows of one invoice may have others between them. An invoice is complete, and sent, when a row of another one is
//! more than [`CLOSES_AFTER`] later than its last row, or [`CLOSES_AFTER_ROWS`] rows were read since, or at the
//! end; a row that comes after that is rejected. Commands wait for the invoices that stand before them, so the
//! stream is in the order of the rows, an invoice standing at its last one, behind the listing, title and price
//! that its rows bring.
//!
//! A command has the time of its row. Where an aggregate gets a second one in the same second (the file knows
//! minutes), each further one is a microsecond later; stock is adjusted at the row's own time, since adjustments
//! add up in any order. The id of a command is derived from what it is about: its name, its subject and, where that
//! may occur again, invoice and position. The same rows in another file, as the whole year is to its first months,
//! give the same ids.
//!
//! # Memory
//! What is kept is the last title and price of each product, the numbers of customers and invoices, and the invoices
//! in the window above: it grows with what the shop has, not with the rows.

mod columns;
mod convert;
mod dates;
mod file;
mod invoices;
mod outgoing;
mod records;
mod row;
mod summary;

#[cfg(test)]
mod tests;

pub use columns::HeaderError;
pub use file::{OpenError, ReadError};
pub use invoices::{CLOSES_AFTER, CLOSES_AFTER_ROWS, MAX_LINES};
pub use outgoing::Outgoing;
pub use records::MAX_ROW_BYTES;
pub use row::{FEES, Reason};
pub use summary::Summary;

use columns::Columns;
use convert::Converter;
use file::Source;
use records::Records;
use std::path::Path;

/// Reads a file and gives what is to be sent of it, in order. It ends after an error: what was given before stands,
/// and invoices that were not complete are not given.
pub struct Importer {
    source: Source,
    records: Records,
    columns: Columns,
    converter: Converter,
    sequence: u64,
    skip: u64,
    ended: bool,
}

/// One thing that came of the file.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// Its place in the stream, from 1 without gaps; the same each time the file is read.
    pub sequence: u64,
    /// The row that it stands at, from 1 after the header; of an order, its last one.
    pub row: u64,
    /// How many bytes of the file (packed, if it is) are read so far; see [`Importer::total_bytes`].
    pub bytes_read: u64,
    /// What it is.
    pub what: Emit,
}

/// What came of some rows.
#[derive(Clone, Debug, PartialEq)]
pub enum Emit {
    /// A command to send.
    Command(Outgoing),
    /// A row that is not imported.
    Rejected(Rejected),
}

/// A row that is not imported, to be kept for someone to look at.
#[derive(Clone, Debug, PartialEq)]
pub struct Rejected {
    /// The row, from 1 after the header.
    pub row: u64,
    /// The line of the file where it begins, from 1.
    pub line: u64,
    /// Why.
    pub reason: Reason,
    /// Its text without the line's end, at most [`MAX_ROW_BYTES`].
    pub raw: String,
}

impl Importer {
    /// Opens a file and reads its header.
    ///
    /// # Errors
    /// Where the file can't be read, or isn't a CSV with the eight columns; nothing is imported then.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let (source, input) = file::open(path)?;
        Self::begin(source, Records::new(input))
    }

    fn begin(source: Source, mut records: Records) -> Result<Self, OpenError> {
        let header = records.header().map_err(|error| source.unreadable(error))?;
        let columns = Columns::of(header.as_ref()).map_err(|error| source.no_table(error))?;
        records.expect_columns(columns.count());
        Ok(Self { source, records, columns, converter: Converter::new(), sequence: 0, skip: 0, ended: false })
    }

    /// Skips the items up to a sequence number: those that were sent before a stop. They still count in the summary.
    #[must_use]
    pub fn after(self, sequence: u64) -> Self {
        Self { skip: sequence, ..self }
    }

    /// The file's size in bytes, packed if it is.
    pub fn total_bytes(&self) -> u64 {
        self.source.total_bytes()
    }

    /// Tells files apart by size and beginning, whatever they are called, and changes with the rules of this module,
    /// so that a checkpoint is only used with the stream that it was made for. In hexadecimal.
    pub fn fingerprint(&self) -> &str {
        self.source.fingerprint()
    }

    /// What came of the rows read so far; of the whole file once the iterator has ended.
    pub fn summary(&self) -> &Summary {
        self.converter.summary()
    }

    fn emit(&mut self) -> Option<Item> {
        while let Some((row, what)) = self.converter.next_ready() {
            self.sequence += 1;
            if self.sequence > self.skip {
                let bytes_read = self.source.bytes_read();
                return Some(Item { sequence: self.sequence, row, bytes_read, what });
            }
        }
        None
    }
}

impl Iterator for Importer {
    type Item = Result<Item, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(item) = self.emit() {
                return Some(Ok(item));
            }
            if self.ended {
                return None;
            }
            match self.records.next_record() {
                Ok(Some(record)) => self.converter.take(record, &self.columns),
                Ok(None) => {
                    self.ended = true;
                    self.converter.finish();
                }
                Err(source) => {
                    self.ended = true;
                    return Some(Err(self.source.broken(self.converter.summary().rows, source)));
                }
            }
        }
    }
}
