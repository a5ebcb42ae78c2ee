//! The aggregate: a product that is listed, retitled and delisted.

use contracts::Extra;
use contracts::catalogue::{
    self, DelistProduct, ListProduct, ProductDelisted, ProductListed, ProductRetitled, RetitleProduct,
};
use micrograph::{Aggregate, Context, Decide, Decision, Rejection};

/// The longest title, in characters.
pub const MAX_TITLE: usize = 200;

/// A product of the catalogue.
#[derive(Debug)]
pub enum Product {}

impl Aggregate for Product {
    const NAME: &str = "product";
    type State = catalogue::Product;
}

impl Decide<ListProduct> for Product {
    fn decide(
        state: Option<&Self::State>,
        command: &ListProduct,
        context: &Context,
    ) -> Result<Decision<Self::State>, Rejection> {
        let sku = &command.sku;
        if sku.is_empty() || *sku != sku.trim().to_uppercase() {
            let why = format!("a SKU is trimmed and in upper case; `{sku}` is not");
            return Err(Rejection::new("INVALID_SKU", why));
        }
        let title = titled(&command.title)?;
        if state.is_some() {
            // Listed already: listing again is no way to retitle.
            return Ok(Decision::unchanged());
        }
        let product = catalogue::Product {
            sku: sku.clone(),
            title,
            category: command.category.clone(),
            listed_at: context.at,
            titled_at: context.at,
            extra: Extra::default(),
        };
        Ok(Decision::state(product.clone(), &ProductListed(product)))
    }
}

impl Decide<RetitleProduct> for Product {
    fn decide(
        state: Option<&Self::State>,
        command: &RetitleProduct,
        context: &Context,
    ) -> Result<Decision<Self::State>, Rejection> {
        let title = titled(&command.title)?;
        let product = state.ok_or_else(|| unknown(&command.sku))?;
        let superseded = context.at <= product.titled_at;
        if superseded || title == product.title {
            return Ok(Decision::unchanged());
        }
        let product = catalogue::Product { title, titled_at: context.at, ..product.clone() };
        Ok(Decision::state(product.clone(), &ProductRetitled(product)))
    }
}

impl Decide<DelistProduct> for Product {
    fn decide(
        state: Option<&Self::State>,
        command: &DelistProduct,
        context: &Context,
    ) -> Result<Decision<Self::State>, Rejection> {
        match state {
            Some(_) => {
                let gone = ProductDelisted { sku: command.sku.clone(), extra: Extra::default() };
                Ok(Decision::deleted(&gone))
            }
            None if context.deleted => Ok(Decision::unchanged()),
            None => Err(unknown(&command.sku)),
        }
    }
}

fn titled(title: &str) -> Result<String, Rejection> {
    let title = title.trim();
    match title.chars().count() {
        0 => Err(Rejection::new("INVALID_TITLE", "a title can't be blank")),
        1..=MAX_TITLE => Ok(title.to_owned()),
        length => {
            let why = format!("a title has at most {MAX_TITLE} characters; this one has {length}");
            Err(Rejection::new("INVALID_TITLE", why))
        }
    }
}

fn unknown(sku: &str) -> Rejection {
    Rejection::new("UNKNOWN_PRODUCT", format!("no product with SKU `{sku}` is listed"))
}
