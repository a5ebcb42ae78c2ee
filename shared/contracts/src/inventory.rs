//! What inventory publishes and takes.

use crate::event::{Command, Delta, Event};
use crate::limits::{ADJUSTMENT, SKU, Violation};
use crate::open::Extra;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The bounded context.
pub const DOMAIN: &str = "inventory";

/// Why stock was adjusted.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Reason {
    /// Goods came in.
    Received,
    /// Goods were lost, damaged or thrown away.
    WrittenOff,
    /// Goods turned up, or left the books without being sold.
    Found,
    /// One that this build doesn't know.
    #[serde(untagged)]
    Unknown(String),
}

/// The stock of a product was corrected by hand or by a delivery. Orders don't adjust: they reserve.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StockAdjusted {
    /// Stock keeping unit.
    pub sku: String,
    /// By how many pieces; negative where there are fewer.
    pub quantity: i64,
    /// Why.
    pub reason: Reason,
    /// Fields that this build doesn't know.
    #[serde(flatten)]
    pub extra: Extra,
}

impl Event for StockAdjusted {
    type Kind = Delta;
    const DOMAIN: &str = DOMAIN;
    const NAME: &str = "StockAdjusted";
    const MAJOR: u16 = 1;

    fn subject(&self) -> String {
        self.sku.clone()
    }

    fn example() -> Self {
        Self { sku: "22423".into(), quantity: -3, reason: Reason::WrittenOff, extra: Extra::default() }
    }
}

/// Correct the stock of a product.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AdjustStock {
    /// Stock keeping unit.
    #[schemars(transform = SKU.schema())]
    pub sku: String,
    /// By how many pieces, not 0; negative where there are fewer.
    #[schemars(transform = ADJUSTMENT.schema())]
    pub quantity: i64,
    /// Why.
    pub reason: Reason,
}

impl Command for AdjustStock {
    const DOMAIN: &str = DOMAIN;
    const NAME: &str = "AdjustStock";
    const MAJOR: u16 = 1;

    fn subject(&self) -> String {
        self.sku.clone()
    }

    fn check(&self) -> Result<(), Violation> {
        SKU.check("sku", self.sku.as_str())?;
        ADJUSTMENT.check("quantity", self.quantity)
    }

    fn example() -> Self {
        Self { sku: "22423".into(), quantity: -3, reason: Reason::WrittenOff }
    }
}
