//! From what a customer wants to the command that sells it: at the titles and prices that orders has seen last.

use crate::{HOME, customers, products};
use async_graphql::{ID, InputObject};
use contracts::limits::{LINES, MARKET};
use contracts::orders::{Line, LineKind, PlaceOrder};
use contracts::{Extra, digest};
use federation::{Key, ReadError, Reader};
use micrograph::Rejection;
use std::sync::Arc;

/// An order to place.
#[derive(InputObject)]
pub struct PlaceOrderInput {
    /// The number that it gets, not starting with C; by default one that follows from the command's id.
    order_id: Option<ID>,
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

/// Reads what a sale needs to know.
pub struct Shop {
    /// Reads [`products`].
    pub products: Reader,
    /// Reads [`customers`].
    pub customers: Reader,
}

impl PlaceOrderInput {
    /// The number that the order gets.
    pub fn order_id(&self, command_id: &str) -> String {
        let derived = || digest::short(&[b"order", command_id.as_bytes()]);
        self.order_id.as_ref().map_or_else(derived, |id| id.trim().to_owned())
    }
}

impl Shop {
    /// The command that sells what is wanted, or why it can't be sold.
    ///
    /// # Errors
    /// Where the projections can't be read.
    pub async fn sell(
        &self,
        order_id: String,
        mut wish: PlaceOrderInput,
    ) -> Result<Result<PlaceOrder, Rejection>, Arc<ReadError>> {
        wish.market = code(&wish.market);
        let limits = LINES.check("lines", wish.lines.len());
        if let Err(violation) = limits.and_then(|()| MARKET.check("market", wish.market.as_str())) {
            return Ok(Err(violation.into()));
        }
        let customer = match &wish.customer_id {
            Some(id) => self.customers.get(&Key::new(id.trim(), projection::Key::ALONE)).await?,
            None => None,
        };
        let keys = |market: &str| -> Vec<Key> {
            wish.lines.iter().map(|line| Key::new(code(&line.sku), market)).collect()
        };
        let found = self.products.batch_get(&[keys(HOME), keys(&wish.market)].concat()).await?;
        let (home, market) = found.split_at(wish.lines.len());
        Ok(sell(order_id, wish, customer.as_ref(), home, market))
    }
}

/// The rule: `home` and `market` are the products of the lines, in their order.
fn sell(
    order_id: String,
    wish: PlaceOrderInput,
    customer: Option<&customers::View>,
    home: &[Option<products::View>],
    market: &[Option<products::View>],
) -> Result<PlaceOrder, Rejection> {
    if customer.is_some_and(|customer| customer.erased) {
        return Err(Rejection::new("CUSTOMER_ERASED", "the customer was erased, and can't order"));
    }
    let known = customer.and_then(|customer| customer.customers.as_ref());
    let Some(country) = wish.country.or_else(|| known.map(|known| known.country.clone())) else {
        let why = "name the country that the order goes to: the customer's isn't known";
        return Err(Rejection::new("INVALID_COUNTRY", why));
    };
    let currency = code(&wish.currency);
    let mut lines = Vec::with_capacity(wish.lines.len());
    for ((position, wanted), (home, market)) in (1..).zip(wish.lines).zip(home.iter().zip(market)) {
        let sku = code(&wanted.sku);
        let not_for_sale = |why: String| Rejection::new("PRODUCT_NOT_FOR_SALE", why);
        let listing = home.as_ref().and_then(|it| it.catalogue.as_ref());
        let listing =
            listing.ok_or_else(|| not_for_sale(format!("no product with SKU `{sku}` is listed")))?;
        let price = market.as_ref().and_then(|it| it.pricing.as_ref());
        let unpriced = || format!("the product with SKU `{sku}` has no price in the market {}", wish.market);
        let price = &price.ok_or_else(|| not_for_sale(unpriced()))?.price;
        if price.currency != currency {
            let is = &price.currency;
            let why = format!("the product with SKU `{sku}` is priced in {is}, the order is in {currency}");
            return Err(Rejection::new("CURRENCY_MISMATCH", why));
        }
        lines.push(Line {
            position,
            kind: LineKind::Product,
            sku,
            title: listing.title.clone(),
            // No quantity below 1 is within the limits; 0 stands for all of them.
            quantity: wanted.quantity.try_into().unwrap_or(0),
            unit_price: price.amount,
            extra: Extra::default(),
        });
    }
    let customer_id = wish.customer_id.map(|id| id.trim().to_owned());
    Ok(PlaceOrder { order_id, customer_id, country: country.trim().to_owned(), currency, lines })
}

fn code(text: &str) -> String {
    text.trim().to_uppercase()
}
