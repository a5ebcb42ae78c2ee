//! Building blocks of the language: values that stay open to what a later version adds.

use crate::limits::{CURRENCY, PRICE, Violation};
use rust_decimal::Decimal;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// The fields of an object that this build doesn't know, kept as they came so that they survive a round trip.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Extra(pub serde_json::Map<String, serde_json::Value>);

impl JsonSchema for Extra {
    fn schema_name() -> Cow<'static, str> {
        "Extra".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({ "type": "object", "additionalProperties": true })
    }
}

/// An exact price in one currency.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Money {
    /// The exact amount in the currency's main unit (pounds, not pence), as a decimal string.
    #[schemars(with = "String", transform = PRICE.schema())]
    pub amount: Decimal,
    /// ISO 4217 code.
    #[schemars(transform = CURRENCY.schema())]
    pub currency: String,
}

impl Money {
    /// An amount in a currency given by its ISO 4217 code.
    pub fn new(amount: Decimal, currency: impl Into<String>) -> Self {
        Self { amount, currency: currency.into() }
    }

    pub(crate) fn check(&self) -> Result<(), Violation> {
        PRICE.check("amount", self.amount)?;
        CURRENCY.check("currency", self.currency.as_str())
    }
}
