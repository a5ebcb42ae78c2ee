//! The aggregate: a product that is listed, retitled and delisted.

use contracts::Extra;
use contracts::catalogue::{
    self, DelistProduct, ListProduct, ProductDelisted, ProductListed, ProductRetitled, RetitleProduct,
};
use micrograph::{Aggregate, Context, Decide, Decided, Decision, Rejection};

/// A product of the catalogue.
#[derive(Debug)]
pub enum Product {}

impl Aggregate for Product {
    const NAME: &str = "product";
    type State = catalogue::Product;
}

impl Decide<ListProduct> for Product {
    fn decide(state: Option<&Self::State>, command: &ListProduct, context: &Context) -> Decided<Self> {
        if state.is_some() {
            // Listed already: listing again is no way to retitle.
            return Ok(Decision::unchanged());
        }
        let product = catalogue::Product {
            sku: command.sku.clone(),
            title: command.title.trim().to_owned(),
            category: command.category.clone(),
            listed_at: context.at,
            titled_at: context.at,
            extra: Extra::default(),
        };
        Ok(Decision::state(product.clone(), &ProductListed(product)))
    }
}

impl Decide<RetitleProduct> for Product {
    fn decide(state: Option<&Self::State>, command: &RetitleProduct, context: &Context) -> Decided<Self> {
        let title = command.title.trim().to_owned();
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
    fn decide(state: Option<&Self::State>, command: &DelistProduct, context: &Context) -> Decided<Self> {
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

fn unknown(sku: &str) -> Rejection {
    Rejection::new("UNKNOWN_PRODUCT", format!("no product with SKU `{sku}` is listed"))
}
