//! What pricing publishes and takes.

use crate::event::{Command, Event, State};
use crate::limits::{MARKET, SKU, Violation};
use crate::open::{Extra, Money};
use jiff::Timestamp;
use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The bounded context.
pub const DOMAIN: &str = "pricing";

/// The published state of a price: what one product costs in one market.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Price {
    /// Stock keeping unit.
    pub sku: String,
    /// ISO 3166 code of the market's country.
    pub market: String,
    /// The price of one.
    pub price: Money,
    /// Since when.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub effective_from: Timestamp,
    /// Fields that this build doesn't know.
    #[serde(flatten)]
    pub extra: Extra,
}

/// The identity of a price: a product in a market.
pub fn subject(sku: &str, market: &str) -> String {
    format!("{sku}/{market}")
}

/// A product got a price in a market, the first or another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct ProductPriced(pub Price);

impl Event for ProductPriced {
    type Kind = State;
    const DOMAIN: &str = DOMAIN;
    const NAME: &str = "ProductPriced";
    const MAJOR: u16 = 1;

    fn subject(&self) -> String {
        subject(&self.0.sku, &self.0.market)
    }

    fn example() -> Self {
        Self(Price {
            sku: "22423".into(),
            market: "GB".into(),
            price: Money::new(Decimal::new(1275, 2), "GBP"),
            effective_from: Timestamp::constant(1_291_190_400, 0),
            extra: Extra::default(),
        })
    }
}

/// Set the price of a product in a market, from the command's time on. One that is older than the price that
/// stands is superseded and changes nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RepriceProduct {
    /// Stock keeping unit.
    #[schemars(transform = SKU.schema())]
    pub sku: String,
    /// ISO 3166 code of the market's country.
    #[schemars(transform = MARKET.schema())]
    pub market: String,
    /// The price of one, not negative.
    pub price: Money,
}

impl Command for RepriceProduct {
    const DOMAIN: &str = DOMAIN;
    const NAME: &str = "RepriceProduct";
    const MAJOR: u16 = 1;

    fn subject(&self) -> String {
        subject(&self.sku, &self.market)
    }

    fn check(&self) -> Result<(), Violation> {
        SKU.check("sku", self.sku.as_str())?;
        MARKET.check("market", self.market.as_str())?;
        self.price.check().map_err(|violation| violation.within("price"))
    }

    fn example() -> Self {
        Self { sku: "22423".into(), market: "GB".into(), price: Money::new(Decimal::new(1095, 2), "GBP") }
    }
}
