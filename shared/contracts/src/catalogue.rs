//! What the catalogue publishes and takes.

use crate::event::{Command, Deleted, Event, State};
use crate::limits::{SKU, TITLE, Violation};
use crate::open::Extra;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The bounded context.
pub const DOMAIN: &str = "catalogue";

/// What a product is, broadly.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Category {
    /// A greeting card.
    Card,
    /// A gift.
    Gift,
    /// Flowers.
    Flowers,
    /// One that this build doesn't know.
    #[serde(untagged)]
    Unknown(String),
}

/// The published state of a product.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Product {
    /// Stock keeping unit: trimmed, upper case.
    pub sku: String,
    /// What it is called now.
    pub title: String,
    /// What it is, broadly.
    pub category: Category,
    /// When it was listed.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub listed_at: Timestamp,
    /// Since when it has its title.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub titled_at: Timestamp,
    /// Fields that this build doesn't know.
    #[serde(flatten)]
    pub extra: Extra,
}

impl Product {
    fn example(title: &str, titled_at: i64) -> Self {
        Self {
            sku: "22423".into(),
            title: title.into(),
            category: Category::Gift,
            listed_at: Timestamp::constant(1_291_190_400, 0),
            titled_at: Timestamp::constant(titled_at, 0),
            extra: Extra::default(),
        }
    }
}

/// A product went on sale, for the first time or again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct ProductListed(pub Product);

impl Event for ProductListed {
    type Kind = State;
    const DOMAIN: &str = DOMAIN;
    const NAME: &str = "ProductListed";
    const MAJOR: u16 = 1;

    fn subject(&self) -> String {
        self.0.sku.clone()
    }

    fn example() -> Self {
        Self(Product::example("Regency cakestand, 3 tier", 1_291_190_400))
    }
}

/// A product got another title.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct ProductRetitled(pub Product);

impl Event for ProductRetitled {
    type Kind = State;
    const DOMAIN: &str = DOMAIN;
    const NAME: &str = "ProductRetitled";
    const MAJOR: u16 = 1;

    fn subject(&self) -> String {
        self.0.sku.clone()
    }

    fn example() -> Self {
        Self(Product::example("Regency cake stand, three tiers", 1_293_840_000))
    }
}

/// A product is no longer sold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProductDelisted {
    /// Stock keeping unit.
    pub sku: String,
    /// Fields that this build doesn't know.
    #[serde(flatten)]
    pub extra: Extra,
}

impl Event for ProductDelisted {
    type Kind = Deleted;
    const DOMAIN: &str = DOMAIN;
    const NAME: &str = "ProductDelisted";
    const MAJOR: u16 = 1;

    fn subject(&self) -> String {
        self.sku.clone()
    }

    fn example() -> Self {
        Self { sku: "22423".into(), extra: Extra::default() }
    }
}

/// Put a product on sale.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ListProduct {
    /// Stock keeping unit: trimmed, upper case.
    #[schemars(transform = SKU.schema())]
    pub sku: String,
    /// What it is called, not blank; trimmed when the command is carried out.
    #[schemars(transform = TITLE.schema())]
    pub title: String,
    /// What it is, broadly.
    pub category: Category,
}

impl Command for ListProduct {
    const DOMAIN: &str = DOMAIN;
    const NAME: &str = "ListProduct";
    const MAJOR: u16 = 1;

    fn subject(&self) -> String {
        self.sku.clone()
    }

    fn check(&self) -> Result<(), Violation> {
        SKU.check("sku", self.sku.as_str())?;
        TITLE.check("title", self.title.as_str())
    }

    fn example() -> Self {
        Self { sku: "22423".into(), title: "Regency cakestand, 3 tier".into(), category: Category::Gift }
    }
}

/// Give a product another title. One that is older than the title it has is superseded and changes nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RetitleProduct {
    /// Stock keeping unit.
    #[schemars(transform = SKU.schema())]
    pub sku: String,
    /// What it is called from now on, not blank; trimmed when the command is carried out.
    #[schemars(transform = TITLE.schema())]
    pub title: String,
}

impl Command for RetitleProduct {
    const DOMAIN: &str = DOMAIN;
    const NAME: &str = "RetitleProduct";
    const MAJOR: u16 = 1;

    fn subject(&self) -> String {
        self.sku.clone()
    }

    fn check(&self) -> Result<(), Violation> {
        SKU.check("sku", self.sku.as_str())?;
        TITLE.check("title", self.title.as_str())
    }

    fn example() -> Self {
        Self { sku: "22423".into(), title: "Regency cake stand, three tiers".into() }
    }
}

/// Take a product off sale.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DelistProduct {
    /// Stock keeping unit.
    #[schemars(transform = SKU.schema())]
    pub sku: String,
}

impl Command for DelistProduct {
    const DOMAIN: &str = DOMAIN;
    const NAME: &str = "DelistProduct";
    const MAJOR: u16 = 1;

    fn subject(&self) -> String {
        self.sku.clone()
    }

    fn check(&self) -> Result<(), Violation> {
        SKU.check("sku", self.sku.as_str())
    }

    fn example() -> Self {
        Self { sku: "22423".into() }
    }
}
