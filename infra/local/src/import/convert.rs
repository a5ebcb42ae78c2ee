//! Rows in, commands out: what the file has said so far, and what follows from the next row.

use super::columns::Columns;
use super::dates::Dates;
use super::invoices::{Complete, Invoice, Invoices};
use super::outgoing::Outgoing;
use super::records::{Fields, Record};
use super::row::{self, Document, Meaning, Reason, Row};
use super::summary::Summary;
use super::{Emit, Rejected};
use contracts::catalogue::{Category, ListProduct, RetitleProduct};
use contracts::customers::RegisterCustomer;
use contracts::inventory::{self, AdjustStock};
use contracts::orders::{Line, LineKind};
use contracts::pricing::RepriceProduct;
use contracts::{Command, Extra, Money};
use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;
use std::collections::{BTreeMap, HashMap, HashSet};

/// What the ids of commands are derived from first.
const ORIGIN: &str = "import";

/// Where an invoice stands among what comes of its last row.
const LAST: u8 = u8::MAX;

/// What the file has said so far.
pub(super) struct Converter {
    dates: Dates,
    products: HashMap<String, Product>,
    customers: HashSet<String>,
    invoices: Invoices,
    ready: Ready,
    summary: Summary,
}

/// A product as the rows so far have it.
struct Product {
    title: String,
    titled: Timestamp,
    /// The price that it was last sold at, and the time of the command that said so.
    price: Option<(Decimal, Timestamp)>,
}

/// What is to be sent, by the row that it stands at and its place there.
#[derive(Default)]
struct Ready(BTreeMap<(u64, u8), Emit>);

impl Converter {
    pub(super) fn new() -> Self {
        Self {
            dates: Dates::new(),
            products: HashMap::new(),
            customers: HashSet::new(),
            invoices: Invoices::default(),
            ready: Ready::default(),
            summary: Summary::default(),
        }
    }

    pub(super) fn summary(&self) -> &Summary {
        &self.summary
    }

    /// Takes the next row.
    pub(super) fn take(&mut self, record: Record, columns: &Columns) {
        let Record { row, line, raw, fields } = record;
        self.summary.rows += 1;
        if let Err(reason) = fields.and_then(|fields| self.convert(row, &fields, columns)) {
            *self.summary.rejected.entry(reason.code()).or_default() += 1;
            self.ready.0.insert((row, 0), Emit::Rejected(Rejected { row, line, reason, raw }));
        }
        while let Some((last, invoice)) = self.invoices.complete(row) {
            self.send(last, invoice);
        }
    }

    /// There are no more rows: all invoices are complete.
    pub(super) fn finish(&mut self) {
        while let Some((last, invoice)) = self.invoices.close_first() {
            self.send(last, invoice);
        }
    }

    /// What is to be sent next, with the row that it stands at; none where an invoice that stands before is open.
    pub(super) fn next_ready(&mut self) -> Option<(u64, Emit)> {
        let place = *self.ready.0.first_key_value()?.0;
        if self.invoices.first_open().is_some_and(|row| (row, LAST) < place) {
            return None;
        }
        self.ready.0.pop_first().map(|((row, _), what)| (row, what))
    }

    /// A row is rejected before it has any effect, but that its invoice counts it.
    fn convert(&mut self, at: u64, fields: &Fields, columns: &Columns) -> Result<(), Reason> {
        let id = row::invoice(fields, columns)?;
        let row = Row::read(Document::of(&id), fields, columns, &mut self.dates);
        if let Ok(row) = &row
            && !self.invoices.advance(row.time)
        {
            self.summary.rows_out_of_order += 1;
        }
        let (invoice, position) = self.invoices.count(&id, at)?;
        let row = row?;
        let is_line = !matches!(row.meaning, Meaning::Adjusted { .. });
        if is_line && invoice.is_full() {
            return Err(Reason::InvoiceFull);
        }
        invoice.head(&row)?;
        let occasion = Occasion { row: at, invoice: &id, position };
        let mut facts = Facts {
            products: &mut self.products,
            customers: &mut self.customers,
            ready: &mut self.ready,
            summary: &mut self.summary,
        };
        if !matches!(row.meaning, Meaning::Ledger { .. }) {
            facts.of_row(&row, &occasion);
        }
        let title = if row.title.is_empty() { facts.title(&row.sku) } else { row.title };
        let line = |kind, quantity| Line {
            position,
            kind,
            sku: row.sku.clone(),
            title: title.to_owned(),
            quantity,
            unit_price: row.price,
            extra: Extra::default(),
        };
        let kind = if row.is_fee { LineKind::Fee } else { LineKind::Product };
        match row.meaning {
            Meaning::Sold { quantity } => {
                let line = line(kind, quantity);
                facts.summary.sold_lines += 1;
                facts.summary.sold_units += u64::from(quantity);
                facts.summary.sold_amount += line.amount();
                invoice.add(line);
            }
            Meaning::Returned { quantity } => {
                let line = line(kind, quantity);
                facts.summary.returned_lines += 1;
                facts.summary.returned_units += u64::from(quantity);
                facts.summary.returned_amount += line.amount();
                invoice.add(line);
            }
            Meaning::Ledger { quantity } => {
                invoice.add(line(LineKind::Unknown("ledger".into()), quantity));
                facts.summary.ledger_rows += 1;
            }
            Meaning::Adjusted { quantity } => facts.adjust(&row, quantity, &occasion),
        }
        Ok(())
    }

    fn send(&mut self, last_row: u64, invoice: Invoice) {
        let is_order = invoice.document() == Document::Order;
        let outgoing = match invoice.into_command() {
            None => return,
            Some(Complete::Order(time, order)) => {
                self.summary.orders += u64::from(is_order);
                Outgoing::new(ORIGIN, &[], time, order)
            }
            Some(Complete::CreditNote(time, note)) => {
                self.summary.credit_notes += 1;
                Outgoing::new(ORIGIN, &[], time, note)
            }
        };
        *self.summary.commands.entry(outgoing.name).or_default() += 1;
        self.ready.0.insert((last_row, LAST), Emit::Command(outgoing));
    }
}

/// Which row a command comes of.
struct Occasion<'a> {
    row: u64,
    invoice: &'a str,
    position: u32,
}

/// What is known of products and customers, while a row is taken.
struct Facts<'a> {
    products: &'a mut HashMap<String, Product>,
    customers: &'a mut HashSet<String>,
    ready: &'a mut Ready,
    summary: &'a mut Summary,
}

impl Facts<'_> {
    /// What a row says of its product and its customer.
    fn of_row(&mut self, row: &Row<'_>, occasion: &Occasion<'_>) {
        if let Some(customer) = row.customer
            && !self.customers.contains(customer)
        {
            self.customers.insert(customer.to_owned());
            self.summary.customers += 1;
            let (id, country) = (customer.to_owned(), row.country.to_owned());
            let register = RegisterCustomer { id, name: None, email: None, country };
            self.put(occasion.row, &[], row.time, register);
        }
        if row.is_fee {
            return;
        }
        self.list_or_retitle(row, occasion);
        if matches!(row.meaning, Meaning::Sold { .. }) {
            self.price(row, occasion);
        }
    }

    fn list_or_retitle(&mut self, row: &Row<'_>, occasion: &Occasion<'_>) {
        let Some(product) = self.products.get_mut(&row.sku) else {
            let title = if row.title.is_empty() { &row.sku } else { row.title };
            let listed = Product { title: title.to_owned(), titled: row.time, price: None };
            self.products.insert(row.sku.clone(), listed);
            self.summary.products += 1;
            let list =
                ListProduct { sku: row.sku.clone(), title: title.to_owned(), category: category(row.title) };
            self.put(occasion.row, &[], row.time, list);
            return;
        };
        if !row.title.is_empty() && row.title != product.title {
            row.title.clone_into(&mut product.title);
            product.titled = after(product.titled, row.time);
            let time = product.titled;
            let retitle = RetitleProduct { sku: row.sku.clone(), title: row.title.to_owned() };
            self.put_one_of(occasion, time, retitle);
        }
    }

    fn price(&mut self, row: &Row<'_>, occasion: &Occasion<'_>) {
        let Some(product) = self.products.get_mut(&row.sku) else { return };
        let time = match product.price {
            Some((price, _)) if price == row.price => return,
            Some((_, priced)) => after(priced, row.time),
            None => row.time,
        };
        product.price = Some((row.price, time));
        let price = Money::new(row.price, "GBP");
        self.put_one_of(occasion, time, RepriceProduct { sku: row.sku.clone(), market: "GB".into(), price });
    }

    fn adjust(&mut self, row: &Row<'_>, quantity: i64, occasion: &Occasion<'_>) {
        let reason = if quantity < 0 {
            self.summary.written_off_rows += 1;
            inventory::Reason::WrittenOff
        } else {
            self.summary.found_rows += 1;
            inventory::Reason::Found
        };
        self.put_one_of(occasion, row.time, AdjustStock { sku: row.sku.clone(), quantity, reason });
    }

    /// What a product is called now; a fee, its code.
    fn title<'a>(&'a self, sku: &'a str) -> &'a str {
        self.products.get(sku).map_or(sku, |product| &product.title)
    }

    /// Puts out a command that an aggregate may get again on another occasion.
    fn put_one_of<C: Command>(&mut self, occasion: &Occasion<'_>, time: Timestamp, command: C) {
        let position = occasion.position.to_string();
        self.put(occasion.row, &[occasion.invoice, &position], time, command);
    }

    fn put<C: Command>(&mut self, row: u64, occasion: &[&str], time: Timestamp, command: C) {
        let outgoing = Outgoing::new(ORIGIN, occasion, time, command);
        *self.summary.commands.entry(outgoing.name).or_default() += 1;
        self.ready.append(row, Emit::Command(outgoing));
    }
}

impl Ready {
    /// Puts something after what stands at the row already. A row brings four commands at most.
    fn append(&mut self, row: u64, what: Emit) {
        let taken = self.0.range((row, 0)..(row, LAST)).next_back().map(|((_, place), _)| place + 1);
        self.0.insert((row, taken.unwrap_or(0)), what);
    }
}

/// The time of an aggregate's next command: the row's, or a microsecond after the one before where that has the same.
/// A row that is earlier keeps its time.
fn after(before: Timestamp, row: Timestamp) -> Timestamp {
    let since = before.duration_since(row);
    if (SignedDuration::ZERO..SignedDuration::from_secs(1)).contains(&since) {
        before + SignedDuration::from_micros(1)
    } else {
        row
    }
}

fn category(title: &str) -> Category {
    let title = title.to_uppercase();
    let words = || title.split(|it: char| !it.is_alphanumeric());
    if words().any(|word| word == "CARD" || word == "CARDS") {
        Category::Card
    } else if words().any(|word| word.starts_with("FLOWER")) {
        Category::Flowers
    } else {
        Category::Gift
    }
}
