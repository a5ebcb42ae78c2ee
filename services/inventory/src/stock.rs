//! The aggregate: the stock of a product, as it was adjusted.

use contracts::Extra;
use contracts::inventory::{AdjustStock, StockAdjusted};
use micrograph::{Aggregate, Context, Decide, Decided, Decision, Rejection};
use serde::{Deserialize, Serialize};

/// The stock of a product.
#[derive(Debug)]
pub enum Stock {}

/// What its adjustments came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adjusted {
    /// Stock keeping unit.
    pub sku: String,
    /// The sum of the adjustments, in pieces.
    pub on_hand: i64,
}

impl Aggregate for Stock {
    const NAME: &str = "stock";
    type State = Adjusted;
}

impl Decide<AdjustStock> for Stock {
    fn decide(state: Option<&Self::State>, command: &AdjustStock, _: &Context) -> Decided<Self> {
        let AdjustStock { sku, quantity, reason } = command;
        if *quantity == 0 {
            return Err(Rejection::new(
                "INVALID_QUANTITY",
                "an adjustment is of one piece at least, up or down",
            ));
        }
        let on_hand = state.map_or(0, |stock| stock.on_hand) + quantity;
        let adjusted = StockAdjusted {
            sku: sku.clone(),
            quantity: *quantity,
            reason: reason.clone(),
            extra: Extra::default(),
        };
        Ok(Decision::delta(Adjusted { sku: sku.clone(), on_hand }, &adjusted))
    }
}
