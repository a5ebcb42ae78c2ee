//! A small micrograph whose events carry changes.

use contracts::Extra;
use contracts::inventory::{AdjustStock, StockAdjusted};
use micrograph::{Aggregate, Context, Decide, Decision, Micrograph, Rejection};
use serde::{Deserialize, Serialize};

pub fn inventory() -> Micrograph {
    Micrograph::new("inventory").owns::<Stock>().decides::<Stock, AdjustStock>().publishes::<StockAdjusted>()
}

pub struct Stock;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StockState {
    pub on_hand: i64,
}

impl Aggregate for Stock {
    const NAME: &'static str = "stock";
    type State = StockState;
}

impl Decide<AdjustStock> for Stock {
    fn decide(
        state: Option<&StockState>,
        command: &AdjustStock,
        _: &Context,
    ) -> Result<Decision<StockState>, Rejection> {
        let on_hand = state.map_or(0, |it| it.on_hand) + command.quantity;
        if on_hand < 0 {
            return Err(Rejection::new("STOCK_SHORT", "there are not that many pieces on hand"));
        }
        let AdjustStock { sku, quantity, reason } = command.clone();
        let adjusted = StockAdjusted { sku, quantity, reason, extra: Extra::default() };
        Ok(Decision::delta(StockState { on_hand }, &adjusted))
    }
}
