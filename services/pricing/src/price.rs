//! The aggregate: what one product costs in one market.

use contracts::pricing::{self, ProductPriced, RepriceProduct};
use contracts::{Extra, Money};
use micrograph::{Aggregate, Context, Decide, Decision, Rejection};
use rust_decimal::Decimal;

/// The highest price, in the currency's main unit.
pub const MAX_PRICE: Decimal = Decimal::from_parts(1_000_000, 0, 0, false, 0);

/// The most decimals of a price.
pub const MAX_DECIMALS: u32 = 4;

/// The price of a product in a market.
#[derive(Debug)]
pub enum Price {}

impl Aggregate for Price {
    const NAME: &str = "price";
    type State = pricing::Price;
}

impl Decide<RepriceProduct> for Price {
    fn decide(
        state: Option<&Self::State>,
        command: &RepriceProduct,
        context: &Context,
    ) -> Result<Decision<Self::State>, Rejection> {
        check(command)?;
        let RepriceProduct { sku, market, price } = command.clone();
        if state.is_some_and(|it| context.at <= it.effective_from || price == it.price) {
            return Ok(Decision::unchanged());
        }
        let state =
            pricing::Price { sku, market, price, effective_from: context.at, extra: Extra::default() };
        Ok(Decision::state(state.clone(), &ProductPriced(state)))
    }
}

fn check(command: &RepriceProduct) -> Result<(), Rejection> {
    let RepriceProduct { sku, market, price: Money { amount, currency } } = command;
    if sku.is_empty() || *sku != sku.trim().to_uppercase() {
        let why = format!("a SKU is trimmed and in upper case; `{sku}` is not");
        return Err(Rejection::new("INVALID_SKU", why));
    }
    if !is_code(market, 2) {
        let why = format!("a market is two upper-case letters, as ISO 3166 has them; `{market}` is not");
        return Err(Rejection::new("INVALID_MARKET", why));
    }
    if !is_code(currency, 3) {
        let why =
            format!("a currency is three upper-case letters, as ISO 4217 has them; `{currency}` is not");
        return Err(Rejection::new("INVALID_CURRENCY", why));
    }
    let within = amount.normalize().scale() <= MAX_DECIMALS && (Decimal::ZERO..=MAX_PRICE).contains(amount);
    if !within {
        let why =
            format!("a price is 0 to {MAX_PRICE} with at most {MAX_DECIMALS} decimals; {amount} is not");
        return Err(Rejection::new("INVALID_PRICE", why));
    }
    Ok(())
}

/// Whether a text is so many upper-case letters of ASCII.
pub(crate) fn is_code(text: &str, letters: usize) -> bool {
    text.len() == letters && text.bytes().all(|byte| byte.is_ascii_uppercase())
}
