//! What one row says, and which rule it falls under.

use super::columns::{Column, Columns};
use super::dates::Dates;
use super::invoices::{CLOSES_AFTER, CLOSES_AFTER_ROWS, MAX_LINES};
use super::records::{Fields, MAX_ROW_BYTES};
use jiff::Timestamp;
use rust_decimal::Decimal;

/// Codes that stand for postage, fees, discounts and what else isn't in the catalogue.
pub const FEES: [&str; 11] =
    ["POST", "DOT", "C2", "D", "M", "S", "B", "PADS", "CRUK", "AMAZONFEE", "BANK CHARGES"];

/// The longest StockCode, `CustomerID`, InvoiceNo or Country in characters.
const MAX_NAME: usize = 64;

/// The longest Description in characters: what the catalogue takes for a title.
const MAX_TITLE: usize = 200;

/// The most decimals that a price has.
const MAX_DECIMALS: u32 = 3;

/// How much of a value a reason quotes, in characters.
const QUOTED: usize = 40;

/// Why a row is not imported.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// The line is too long.
    #[error("the row is longer than {MAX_ROW_BYTES} bytes")]
    TooLong,
    /// A quote isn't closed.
    #[error("a quote is opened and not closed")]
    OpenQuote,
    /// There are more or fewer columns than in the header.
    #[error("it has {found} columns, the header has {expected}")]
    Columns {
        /// How many there are.
        found: usize,
        /// How many there should be.
        expected: usize,
    },
    /// A column is blank that must not be.
    #[error("{0} is blank")]
    Blank(&'static str),
    /// A value is longer than any real one.
    #[error("{column} is longer than {limit} characters")]
    ValueTooLong {
        /// The column.
        column: &'static str,
        /// How long it may be.
        limit: usize,
    },
    /// The date can't be read.
    #[error("InvoiceDate `{0}` is no date: it should be like 2010-12-01T08:26:00 or 12/1/2010 8:26")]
    Date(String),
    /// The quantity can't be read.
    #[error("Quantity `{0}` is no whole number that fits")]
    Quantity(String),
    /// The price can't be read.
    #[error("UnitPrice `{0}` is no amount with at most {MAX_DECIMALS} decimals")]
    Price(String),
    /// An order's line is below 0.
    #[error("UnitPrice is below 0: an order or credit note has none such")]
    NegativePrice,
    /// An order's line with a price sells nothing.
    #[error("Quantity is not above 0, but the row has a price and its InvoiceNo is no credit note's")]
    NothingSold,
    /// An adjustment changes nothing.
    #[error("Quantity is 0: the row sells, returns and adjusts nothing")]
    NothingMoved,
    /// A credit note's line returns nothing.
    #[error("Quantity is not below 0: a credit note takes goods back")]
    NothingReturned,
    /// A credit note's line refunds nothing.
    #[error("UnitPrice is 0: a credit note refunds something")]
    NothingRefunded,
    /// A ledger row's quantity can't be carried by a line.
    #[error("Quantity is not above 0, in a row of the ledger")]
    LedgerQuantity,
    /// Another customer than in the rows of the invoice before it.
    #[error("CustomerID is another one than in the invoice's rows before")]
    OtherCustomer,
    /// The invoice was complete.
    #[error(
        "it is too far from the other rows of its invoice: that was closed {CLOSES_AFTER} of the file's time or \
         {CLOSES_AFTER_ROWS} rows after the last one"
    )]
    Late,
    /// The invoice is full.
    #[error("its invoice has {MAX_LINES} lines before it, the most that one can have")]
    InvoiceFull,
}

impl Reason {
    /// A stable code, for counting.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLong => "ROW_TOO_LONG",
            Self::OpenQuote => "OPEN_QUOTE",
            Self::Columns { .. } => "COLUMN_COUNT",
            Self::Blank(_) => "BLANK_VALUE",
            Self::ValueTooLong { .. } => "VALUE_TOO_LONG",
            Self::Date(_) => "BAD_DATE",
            Self::Quantity(_) => "BAD_QUANTITY",
            Self::Price(_) => "BAD_PRICE",
            Self::NegativePrice => "NEGATIVE_PRICE",
            Self::NothingSold => "NOTHING_SOLD",
            Self::NothingMoved => "NOTHING_MOVED",
            Self::NothingReturned => "NOTHING_RETURNED",
            Self::NothingRefunded => "NOTHING_REFUNDED",
            Self::LedgerQuantity => "LEDGER_QUANTITY",
            Self::OtherCustomer => "OTHER_CUSTOMER",
            Self::Late => "LATE_ROW",
            Self::InvoiceFull => "INVOICE_FULL",
        }
    }
}

/// What kind of document an invoice number stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Document {
    Order,
    CreditNote,
    Ledger,
}

/// The rule that a row falls under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    Sold { quantity: u32 },
    Returned { quantity: u32 },
    Adjusted { quantity: i64 },
    Ledger { quantity: u32 },
}

/// A row that can be read.
#[derive(Debug)]
pub(super) struct Row<'a> {
    pub meaning: Meaning,
    pub sku: String,
    pub is_fee: bool,
    /// Blank where the row has none.
    pub title: &'a str,
    pub price: Decimal,
    pub time: Timestamp,
    pub customer: Option<&'a str>,
    pub country: &'a str,
}

impl Document {
    /// By the invoice's number, which is in upper case.
    pub(super) fn of(invoice: &str) -> Self {
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit());
        if digits(invoice) {
            Self::Order
        } else if invoice.strip_prefix('C').is_some_and(digits) {
            Self::CreditNote
        } else {
            Self::Ledger
        }
    }
}

/// The number of a row's invoice, in upper case.
pub(super) fn invoice(fields: &Fields, columns: &Columns) -> Result<String, Reason> {
    Ok(name(fields, columns, Column::Invoice)?.to_uppercase())
}

impl<'a> Row<'a> {
    pub(super) fn read(
        document: Document,
        fields: &'a Fields,
        columns: &Columns,
        dates: &mut Dates,
    ) -> Result<Self, Reason> {
        let sku = name(fields, columns, Column::StockCode)?.to_uppercase();
        let title = limited(fields, columns, Column::Description, MAX_TITLE)?;
        let date = columns.get(fields, Column::Date);
        let time = dates.read(date).ok_or_else(|| Reason::Date(quote(date)))?;
        let quantity = columns.get(fields, Column::Quantity);
        let units: i64 = quantity.parse().map_err(|_| Reason::Quantity(quote(quantity)))?;
        let price = price(columns.get(fields, Column::Price))?;
        let pieces = |units: i64| u32::try_from(units).map_err(|_| Reason::Quantity(quote(quantity)));
        let meaning = match document {
            Document::Ledger if units <= 0 => return Err(Reason::LedgerQuantity),
            Document::Ledger => Meaning::Ledger { quantity: pieces(units)? },
            _ if units == 0 => return Err(Reason::NothingMoved),
            _ if price.is_sign_negative() => return Err(Reason::NegativePrice),
            Document::CreditNote if units > 0 => return Err(Reason::NothingReturned),
            Document::CreditNote if price.is_zero() => return Err(Reason::NothingRefunded),
            // The lowest number has no opposite; it doesn't fit anyway.
            Document::CreditNote => Meaning::Returned { quantity: pieces(units.saturating_neg())? },
            // Neither an order nor an adjustment is for more than a line could hold.
            Document::Order if price.is_zero() => {
                pieces(units.saturating_abs())?;
                Meaning::Adjusted { quantity: units }
            }
            Document::Order if units < 0 => return Err(Reason::NothingSold),
            Document::Order => Meaning::Sold { quantity: pieces(units)? },
        };
        let customer = limited(fields, columns, Column::Customer, MAX_NAME)?;
        let customer = customer.strip_suffix(".0").unwrap_or(customer);
        let country = limited(fields, columns, Column::Country, MAX_NAME)?;
        Ok(Self {
            meaning,
            is_fee: FEES.contains(&sku.as_str()),
            sku,
            title,
            price,
            time,
            customer: (!customer.is_empty()).then_some(customer),
            country: if country.is_empty() { "Unspecified" } else { country },
        })
    }
}

fn name<'a>(fields: &'a Fields, columns: &Columns, column: Column) -> Result<&'a str, Reason> {
    let value = limited(fields, columns, column, MAX_NAME)?;
    if value.is_empty() { Err(Reason::Blank(column.name())) } else { Ok(value) }
}

fn limited<'a>(
    fields: &'a Fields,
    columns: &Columns,
    column: Column,
    limit: usize,
) -> Result<&'a str, Reason> {
    let value = columns.get(fields, column);
    if value.chars().count() > limit {
        Err(Reason::ValueTooLong { column: column.name(), limit })
    } else {
        Ok(value)
    }
}

fn price(text: &str) -> Result<Decimal, Reason> {
    let bad = || Reason::Price(quote(text));
    // Decimal takes underscores for separators; a file has none.
    if !text.bytes().all(|it| it.is_ascii_digit() || it == b'.' || it == b'-') {
        return Err(bad());
    }
    let price = Decimal::from_str_exact(text).map_err(|_| bad())?;
    if price.normalize().scale() > MAX_DECIMALS { Err(bad()) } else { Ok(price) }
}

fn quote(text: &str) -> String {
    text.chars().take(QUOTED).collect()
}
