//! From what a customer wants to the command that sells it: at the titles and prices that orders has seen last.

use crate::products::{self, Listing};
use crate::{HOME, customers};
use async_graphql::{Context, ID, InputObject, Result};
use contracts::limits::{LINES, MARKET, code};
use contracts::orders::{Line, LineKind, PlaceOrder};
use contracts::{Extra, Money};
use federation::{Key, load};
use futures::future::{join_all, try_join};
use micrograph::Rejection;

/// An order to place.
#[derive(InputObject)]
pub struct PlaceOrderInput {
    /// The number that it gets, not starting with C; by default one that follows from the command's id.
    pub order_id: Option<ID>,
    /// Who orders; a guest has no number.
    customer_id: Option<ID>,
    /// The name in English of the country that it goes to; by default the customer's.
    country: Option<String>,
    /// ISO 4217 code in which the prices must be.
    #[graphql(default = "GBP")]
    currency: String,
    /// ISO 3166 code of the market whose prices count.
    #[graphql(default = "GB")]
    market: String,
    /// 1 to 1,000 lines.
    lines: Vec<LineInput>,
}

/// A line of an order to place.
#[derive(InputObject)]
pub struct LineInput {
    /// Stock keeping unit.
    sku: ID,
    /// How many pieces, at least 1.
    quantity: i32,
}

/// The command that sells what is wanted.
///
/// # Errors
/// A [`Rejection`] where it can't be sold; else, why the projections can't be read.
pub async fn sell(ctx: &Context<'_>, order_id: String, mut wish: PlaceOrderInput) -> Result<PlaceOrder> {
    (wish.currency, wish.market) = (code(&wish.currency), code(&wish.market));
    LINES.check("lines", wish.lines.len()).map_err(Rejection::from)?;
    MARKET.check("market", wish.market.as_str()).map_err(Rejection::from)?;
    let customer_id = wish.customer_id.as_ref().map(|id| id.trim().to_owned());
    // A guest has no number, and no item the empty key.
    let key = Key::alone(customer_id.as_deref().unwrap_or_default());
    let customer: Option<customers::View> = load(ctx, key).await?;
    if customer.as_ref().is_some_and(|it| it.erased) {
        return refused("CUSTOMER_ERASED", "the customer was erased, and can't order");
    }
    let Some(country) = wish.country.clone().or_else(|| Some(customer?.customers?.country)) else {
        return refused("INVALID_COUNTRY", "name the country to deliver to: the customer's isn't known");
    };
    let lines = (1..).zip(&wish.lines).map(|(position, wanted)| line(ctx, position, wanted, &wish));
    let lines = join_all(lines).await.into_iter().collect::<Result<_>>()?;
    let country = country.trim().to_owned();
    Ok(PlaceOrder { order_id, customer_id, country, currency: wish.currency, lines })
}

/// A line as it can be sold now: the catalogue's listing is with the home market's item, the price with the order's.
async fn line(ctx: &Context<'_>, position: u32, wanted: &LineInput, wish: &PlaceOrderInput) -> Result<Line> {
    let PlaceOrderInput { currency, market, .. } = wish;
    let sku = code(&wanted.sku);
    let product = |market: &str| load::<products::View>(ctx, Key::new(&sku, market));
    let (home, here) = try_join(product(HOME), product(market)).await?;
    let Some(Listing { title }) = home.and_then(|it| it.catalogue) else {
        return refused("PRODUCT_NOT_FOR_SALE", format!("no product with SKU `{sku}` is listed"));
    };
    let Some(Money { amount: unit_price, currency: priced_in }) = here.and_then(|it| it.pricing) else {
        let why = format!("the product with SKU `{sku}` has no price in the market {market}");
        return refused("PRODUCT_NOT_FOR_SALE", why);
    };
    if priced_in != *currency {
        let why = format!("the product with SKU `{sku}` has its price in {priced_in}, not in {currency}");
        return refused("CURRENCY_MISMATCH", why);
    }
    // No quantity below 1 is within the limits; 0 stands for all of them.
    let quantity = wanted.quantity.try_into().unwrap_or(0);
    Ok(Line { position, kind: LineKind::Product, sku, title, quantity, unit_price, extra: Extra::default() })
}

fn refused<T>(code: &'static str, why: impl Into<String>) -> Result<T> {
    Err(Rejection::new(code, why).into())
}
