//! The aggregate: what one product costs in one market.

use contracts::Extra;
use contracts::pricing::{self, ProductPriced, RepriceProduct};
use micrograph::{Aggregate, Context, Decide, Decided, Decision};

/// The price of a product in a market.
#[derive(Debug)]
pub enum Price {}

impl Aggregate for Price {
    const NAME: &str = "price";
    type State = pricing::Price;
}

impl Decide<RepriceProduct> for Price {
    fn decide(state: Option<&Self::State>, command: &RepriceProduct, context: &Context) -> Decided<Self> {
        let RepriceProduct { sku, market, price } = command.clone();
        if state.is_some_and(|it| context.at <= it.effective_from || price == it.price) {
            return Ok(Decision::unchanged());
        }
        let state =
            pricing::Price { sku, market, price, effective_from: context.at, extra: Extra::default() };
        Ok(Decision::state(state.clone(), &ProductPriced(state)))
    }
}
