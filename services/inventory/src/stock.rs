//! The aggregate: the stock of a product, as it was adjusted.

use contracts::Extra;
use contracts::inventory::{AdjustStock, StockAdjusted};
use micrograph::{Aggregate, Context, Decide, Decision, Rejection};
use serde::{Deserialize, Serialize};

/// The most pieces of one adjustment, up or down.
pub const MAX_QUANTITY: i64 = 1_000_000;

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
    fn decide(
        state: Option<&Self::State>,
        command: &AdjustStock,
        _: &Context,
    ) -> Result<Decision<Self::State>, Rejection> {
        let AdjustStock { sku, quantity, reason } = command;
        if sku.is_empty() || *sku != sku.trim().to_uppercase() {
            let why = format!("a SKU is trimmed and in upper case; `{sku}` is not");
            return Err(Rejection::new("INVALID_SKU", why));
        }
        if *quantity == 0 || !(-MAX_QUANTITY..=MAX_QUANTITY).contains(quantity) {
            let why =
                format!("an adjustment is of 1 to {MAX_QUANTITY} pieces, up or down; {quantity} is not");
            return Err(Rejection::new("INVALID_QUANTITY", why));
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
