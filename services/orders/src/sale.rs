//! From what a customer wants to the command that sells it: at the titles and prices that orders has seen last.

use crate::line::{check_count, is_name};
use crate::{HOME, customers, products};
use contracts::Extra;
use contracts::orders::{Line, LineKind, PlaceOrder};
use federation::{Key, ReadError, Reader};
use micrograph::Rejection;
use std::sync::Arc;

/// Reads what a sale needs to know.
pub struct Shop {
    /// Reads [`products`].
    pub products: Reader,
    /// Reads [`customers`].
    pub customers: Reader,
}

/// What a customer wants.
#[derive(Clone, Debug)]
pub struct Wish {
    /// The number that the order gets.
    pub order_id: String,
    /// Who orders; a guest has no number.
    pub customer_id: Option<String>,
    /// Where it goes; by default to the customer's country.
    pub country: Option<String>,
    /// ISO 4217 code in which the prices must be.
    pub currency: String,
    /// ISO 3166 code of the market whose prices count.
    pub market: String,
    /// SKUs, and how many pieces of each.
    pub items: Vec<(String, u32)>,
}

impl Shop {
    /// The command that sells what is wanted, or why it can't be sold.
    ///
    /// # Errors
    /// Where the projections can't be read.
    pub async fn sell(&self, wish: Wish) -> Result<Result<PlaceOrder, Rejection>, Arc<ReadError>> {
        if let Err(rejection) = check(&wish) {
            return Ok(Err(rejection));
        }
        let customer = match &wish.customer_id {
            Some(id) => self.customers.get(&Key::new(id, projection::Key::ALONE)).await?,
            None => None,
        };
        let key = |market: &str| wish.items.iter().map(|(sku, _)| Key::new(sku, market)).collect::<Vec<_>>();
        let keys = [key(HOME), key(&wish.market)].concat();
        let found = self.products.batch_get(&keys).await?;
        let (home, market) = found.split_at(wish.items.len());
        Ok(sell(wish, customer.as_ref(), home, market))
    }
}

/// What would make no key to read by.
fn check(wish: &Wish) -> Result<(), Rejection> {
    check_count(wish.items.len())?;
    if wish.items.iter().any(|(sku, _)| !is_name(sku)) {
        return Err(Rejection::new("INVALID_SKU", "a line has a SKU"));
    }
    if wish.customer_id.as_ref().is_some_and(|id| !is_name(id)) {
        return Err(Rejection::new("INVALID_CUSTOMER_ID", "a customer's number, if given, is not blank"));
    }
    let Wish { market, .. } = wish;
    if market.len() != 2 || !market.bytes().all(|byte| byte.is_ascii_uppercase()) {
        let why = format!("a market is two upper-case letters, as ISO 3166 has them; `{market}` is not");
        return Err(Rejection::new("INVALID_MARKET", why));
    }
    Ok(())
}

/// The rule: `home` and `market` are the products of the wish's items, in their order.
fn sell(
    wish: Wish,
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
    let mut lines = Vec::with_capacity(wish.items.len());
    for ((position, (sku, quantity)), (home, market)) in (1..).zip(wish.items).zip(home.iter().zip(market)) {
        let listing = home.as_ref().and_then(|it| it.catalogue.as_ref());
        let price = market.as_ref().and_then(|it| it.pricing.as_ref());
        let (Some(listing), Some(price)) = (listing, price) else {
            let why = match listing {
                None => format!("no product with SKU `{sku}` is listed"),
                Some(_) => format!("the product with SKU `{sku}` has no price in the market {}", wish.market),
            };
            return Err(Rejection::new("PRODUCT_NOT_FOR_SALE", why));
        };
        if price.price.currency != wish.currency {
            let (is, wanted) = (&price.price.currency, &wish.currency);
            let why = format!("the product with SKU `{sku}` is priced in {is}, the order is in {wanted}");
            return Err(Rejection::new("CURRENCY_MISMATCH", why));
        }
        lines.push(Line {
            position,
            kind: LineKind::Product,
            sku,
            title: listing.title.clone(),
            quantity,
            unit_price: price.price.amount,
            extra: Extra::default(),
        });
    }
    let Wish { order_id, customer_id, currency, .. } = wish;
    Ok(PlaceOrder { order_id, customer_id, country, currency, lines })
}
