//! What orders and credit notes have in common: whom they are for, and their lines.

use contracts::orders::{Line, LineKind};
use micrograph::Rejection;
use rust_decimal::Decimal;

/// The most lines.
pub const MAX_LINES: usize = 1_000;

/// The most pieces in a line: all pieces of an order are still a GraphQL Int.
pub const MAX_QUANTITY: u32 = 1_000_000;

/// The highest price of one, in the currency's main unit; a fee's lowest is the same below zero.
pub const MAX_PRICE: Decimal = Decimal::from_parts(1_000_000, 0, 0, false, 0);

/// The most decimals of a price.
pub const MAX_DECIMALS: u32 = 4;

/// The longest text, in characters.
pub const MAX_TEXT: usize = 200;

/// Checks whom it is for.
pub(crate) fn check_parties(customer: Option<&str>, country: &str, currency: &str) -> Result<(), Rejection> {
    if customer.is_some_and(|id| !is_name(id)) {
        return Err(Rejection::new("INVALID_CUSTOMER_ID", wanted("a customer's number, if given,")));
    }
    if !is_name(country) {
        return Err(Rejection::new("INVALID_COUNTRY", wanted("a country")));
    }
    if currency.len() != 3 || !currency.bytes().all(|byte| byte.is_ascii_uppercase()) {
        let why =
            format!("a currency is three upper-case letters, as ISO 4217 has them; `{currency}` is not");
        return Err(Rejection::new("INVALID_CURRENCY", why));
    }
    Ok(())
}

/// Checks how many lines there are.
pub(crate) fn check_count(lines: usize) -> Result<(), Rejection> {
    if (1..=MAX_LINES).contains(&lines) {
        return Ok(());
    }
    Err(Rejection::new("INVALID_LINES", format!("there must be 1 to {MAX_LINES} lines; there are {lines}")))
}

/// Checks lines, one by one.
pub(crate) fn check_lines(lines: &[Line]) -> Result<(), Rejection> {
    check_count(lines.len())?;
    let mut before = 0;
    for line in lines {
        if line.position <= before {
            let why = format!("positions start at 1 and ascend; {} comes after {before}", line.position);
            return Err(Rejection::new("INVALID_POSITION", why));
        }
        before = line.position;
        check(line)?;
    }
    Ok(())
}

fn check(line: &Line) -> Result<(), Rejection> {
    let Line { position, kind, sku, title, quantity, unit_price, .. } = line;
    let lowest = match kind {
        LineKind::Product => Decimal::ZERO,
        LineKind::Fee => -MAX_PRICE,
        LineKind::Unknown(kind) => {
            let why = format!(
                "line {position} is of kind `{kind}`: a sale is of products and fees, adjustments of a ledger are none"
            );
            return Err(Rejection::new("UNKNOWN_LINE_KIND", why));
        }
    };
    if !is_name(sku) {
        return Err(Rejection::new("INVALID_SKU", wanted(&format!("the SKU of line {position}"))));
    }
    if title.chars().count() > MAX_TEXT {
        let why = format!("the title of line {position} has more than {MAX_TEXT} characters");
        return Err(Rejection::new("INVALID_TITLE", why));
    }
    if !(1..=MAX_QUANTITY).contains(quantity) {
        let why = format!("the quantity of line {position} must be 1 to {MAX_QUANTITY}");
        return Err(Rejection::new("INVALID_QUANTITY", why));
    }
    let within = (lowest..=MAX_PRICE).contains(unit_price);
    if !within || unit_price.normalize().scale() > MAX_DECIMALS {
        let why = format!(
            "the unit price of line {position} must be {lowest} to {MAX_PRICE} with at most {MAX_DECIMALS} decimals; \
             it is {unit_price}"
        );
        return Err(Rejection::new("INVALID_UNIT_PRICE", why));
    }
    Ok(())
}

/// Whether a text is fit to name something: not blank, no space around it, not too long.
pub(crate) fn is_name(text: &str) -> bool {
    !text.is_empty() && text.trim() == text && text.chars().count() <= MAX_TEXT
}

fn wanted(what: &str) -> String {
    format!("{what} has 1 to {MAX_TEXT} characters, and no space around them")
}
