//! What customers publishes and takes.

use crate::event::{Command, Deleted, Event, State};
use crate::limits::{EMAIL, NAME, TITLE, Violation};
use crate::open::Extra;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The bounded context.
pub const DOMAIN: &str = "customers";

/// The published state of a customer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Customer {
    /// The customer's number.
    pub id: String,
    /// What to call the customer, if known. Personal data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Where the customer can be written to, if known. Personal data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// The country's name in English.
    pub country: String,
    /// When the customer registered.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub registered_at: Timestamp,
    /// Fields that this build doesn't know.
    #[serde(flatten)]
    pub extra: Extra,
}

/// A customer registered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct CustomerRegistered(pub Customer);

impl Event for CustomerRegistered {
    type Kind = State;
    const DOMAIN: &str = DOMAIN;
    const NAME: &str = "CustomerRegistered";
    const MAJOR: u16 = 1;

    fn subject(&self) -> String {
        self.0.id.clone()
    }

    fn example() -> Self {
        Self(Customer {
            id: "17850".into(),
            name: Some("A. Customer".into()),
            email: None,
            country: "United Kingdom".into(),
            registered_at: Timestamp::constant(1_291_190_400, 0),
            extra: Extra::default(),
        })
    }
}

/// A customer's personal data was erased on request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CustomerErased {
    /// The customer's number.
    pub id: String,
    /// Fields that this build doesn't know.
    #[serde(flatten)]
    pub extra: Extra,
}

impl Event for CustomerErased {
    type Kind = Deleted;
    const DOMAIN: &str = DOMAIN;
    const NAME: &str = "CustomerErased";
    const MAJOR: u16 = 1;

    fn subject(&self) -> String {
        self.id.clone()
    }

    fn example() -> Self {
        Self { id: "17850".into(), extra: Extra::default() }
    }
}

/// Register a customer. One who is registered already stays as registered first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RegisterCustomer {
    /// The customer's number.
    #[schemars(transform = NAME.schema())]
    pub id: String,
    /// What to call the customer. Personal data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = TITLE.schema())]
    pub name: Option<String>,
    /// Where the customer can be written to. Personal data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = EMAIL.schema())]
    pub email: Option<String>,
    /// The country's name in English.
    #[schemars(transform = TITLE.schema())]
    pub country: String,
}

impl Command for RegisterCustomer {
    const DOMAIN: &str = DOMAIN;
    const NAME: &str = "RegisterCustomer";
    const MAJOR: u16 = 1;

    fn subject(&self) -> String {
        self.id.clone()
    }

    fn check(&self) -> Result<(), Violation> {
        NAME.check("id", self.id.as_str())?;
        TITLE.check("name", self.name.as_deref())?;
        EMAIL.check("email", self.email.as_deref())?;
        TITLE.check("country", self.country.as_str())
    }

    fn without_personal_data(&self) -> Option<Self> {
        Some(Self { name: None, email: None, ..self.clone() })
    }

    fn example() -> Self {
        Self {
            id: "17850".into(),
            name: Some("A. Customer".into()),
            email: None,
            country: "United Kingdom".into(),
        }
    }
}

/// Erase a customer's personal data, for good.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EraseCustomer {
    /// The customer's number.
    #[schemars(transform = NAME.schema())]
    pub id: String,
}

impl Command for EraseCustomer {
    const DOMAIN: &str = DOMAIN;
    const NAME: &str = "EraseCustomer";
    const MAJOR: u16 = 1;

    fn subject(&self) -> String {
        self.id.clone()
    }

    fn check(&self) -> Result<(), Violation> {
        NAME.check("id", self.id.as_str())
    }

    fn example() -> Self {
        Self { id: "17850".into() }
    }
}
