//! What orders publishes and takes.

use crate::event::{Command, Event, State};
use crate::limits::{
    CAPTION, CHARGE, CURRENCY, LINES, NAME, ORDER_ID, POSITION, PRICE, QUANTITY, Violation, holds,
};
use crate::open::Extra;
use jiff::Timestamp;
use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The bounded context.
pub const DOMAIN: &str = "orders";

/// What a line is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LineKind {
    /// A product of the catalogue.
    Product,
    /// Postage, a fee, a discount or another charge: sold, but not from the catalogue.
    Fee,
    /// One that this build doesn't know.
    #[serde(untagged)]
    Unknown(String),
}

/// A line of an order, as sold. A credit note takes such lines back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Line {
    /// The position in the order, from 1.
    #[schemars(transform = POSITION.schema())]
    pub position: u32,
    /// What the line is about; in a command, a product or a fee.
    pub kind: LineKind,
    /// Stock keeping unit, or the code of the fee.
    #[schemars(transform = NAME.schema())]
    pub sku: String,
    /// The title as sold.
    #[schemars(transform = CAPTION.schema())]
    pub title: String,
    /// How many pieces, at least 1; of a credit note, how many came back.
    #[schemars(transform = QUANTITY.schema())]
    pub quantity: u32,
    /// The exact price of one, in the order's currency, as a decimal string; that of a product is not below zero.
    #[schemars(with = "String", transform = CHARGE.schema())]
    pub unit_price: Decimal,
    /// Fields that this build doesn't know.
    #[serde(flatten)]
    pub extra: Extra,
}

impl Line {
    /// Quantity times unit price, exact.
    pub fn amount(&self) -> Decimal {
        Decimal::from(self.quantity) * self.unit_price
    }

    /// Whether lines are as their limits have them, and as no schema says it: positions ascend, and each line is of a
    /// product or a fee. The price of a fee may be below zero, since a discount is one; that of a product isn't.
    pub(crate) fn check_all(lines: &[Self]) -> Result<(), Violation> {
        let mut before = 0;
        LINES.check_each("lines", lines, |line| {
            line.check()?;
            let ascends = before < line.position;
            before = line.position;
            holds(ascends, "position", || "must be above that of the line before".to_owned())
        })
    }

    fn check(&self) -> Result<(), Violation> {
        POSITION.check("position", self.position)?;
        NAME.check("sku", self.sku.as_str())?;
        CAPTION.check("title", self.title.as_str())?;
        QUANTITY.check("quantity", self.quantity)?;
        match self.kind {
            LineKind::Product => PRICE.check("unitPrice", self.unit_price),
            LineKind::Fee => CHARGE.check("unitPrice", self.unit_price),
            LineKind::Unknown(_) => Err(Violation {
                path: "kind".to_owned(),
                wanted: "must be product or fee: an adjustment of a ledger is no sale".to_owned(),
            }),
        }
    }

    pub(crate) fn examples() -> Vec<Self> {
        let line = |position, kind, sku: &str, title: &str, quantity, cents| Self {
            position,
            kind,
            sku: sku.into(),
            title: title.into(),
            quantity,
            unit_price: Decimal::new(cents, 2),
            extra: Extra::default(),
        };
        vec![
            line(1, LineKind::Product, "22423", "Regency cakestand, 3 tier", 2, 1275),
            line(2, LineKind::Fee, "POST", "Postage", 1, 450),
        ]
    }
}

/// How an order stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Placed, and not cancelled.
    Placed,
    /// Cancelled: nothing of it counts as sold.
    Cancelled,
    /// One that this build doesn't know.
    #[serde(untagged)]
    Unknown(String),
}

/// The published state of an order. Its lines never change once it is placed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Order {
    /// The order's number.
    pub id: String,
    /// Who ordered; a guest has no number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer_id: Option<String>,
    /// The name in English of the country that it goes to.
    pub country: String,
    /// How it stands.
    pub status: Status,
    /// When it was placed.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub placed_at: Timestamp,
    /// ISO 4217 code of all its amounts.
    #[schemars(regex(pattern = "^[A-Z]{3}$"))]
    pub currency: String,
    /// At least one.
    pub lines: Vec<Line>,
    /// Fields that this build doesn't know.
    #[serde(flatten)]
    pub extra: Extra,
}

impl Order {
    /// The sum of its lines, exact.
    pub fn total(&self) -> Decimal {
        self.lines.iter().map(Line::amount).sum()
    }

    fn example(status: Status) -> Self {
        Self {
            id: "536365".into(),
            customer_id: Some("17850".into()),
            country: "United Kingdom".into(),
            status,
            placed_at: Timestamp::constant(1_291_191_960, 0),
            currency: "GBP".into(),
            lines: Line::examples(),
            extra: Extra::default(),
        }
    }
}

/// An order was placed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct OrderPlaced(pub Order);

impl Event for OrderPlaced {
    type Kind = State;
    const DOMAIN: &str = DOMAIN;
    const NAME: &str = "OrderPlaced";
    const MAJOR: u16 = 1;

    fn subject(&self) -> String {
        self.0.id.clone()
    }

    fn example() -> Self {
        Self(Order::example(Status::Placed))
    }
}

/// An order was cancelled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct OrderCancelled(pub Order);

impl Event for OrderCancelled {
    type Kind = State;
    const DOMAIN: &str = DOMAIN;
    const NAME: &str = "OrderCancelled";
    const MAJOR: u16 = 1;

    fn subject(&self) -> String {
        self.0.id.clone()
    }

    fn example() -> Self {
        Self(Order::example(Status::Cancelled))
    }
}

/// Place an order. Its lines carry the title and the price that the customer was shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlaceOrder {
    /// The order's number, chosen by the sender; placing the same order again changes nothing.
    #[schemars(transform = ORDER_ID.schema())]
    pub order_id: String,
    /// Who orders; a guest has no number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = NAME.schema())]
    pub customer_id: Option<String>,
    /// The name in English of the country that it goes to.
    #[schemars(transform = NAME.schema())]
    pub country: String,
    /// ISO 4217 code of all its amounts.
    #[schemars(transform = CURRENCY.schema())]
    pub currency: String,
    /// At least one, at most 1,000; their positions ascend.
    #[schemars(transform = LINES.schema())]
    pub lines: Vec<Line>,
}

impl Command for PlaceOrder {
    const DOMAIN: &str = DOMAIN;
    const NAME: &str = "PlaceOrder";
    const MAJOR: u16 = 1;

    fn subject(&self) -> String {
        self.order_id.clone()
    }

    fn check(&self) -> Result<(), Violation> {
        ORDER_ID.check("orderId", self.order_id.as_str())?;
        NAME.check("customerId", self.customer_id.as_deref())?;
        NAME.check("country", self.country.as_str())?;
        CURRENCY.check("currency", self.currency.as_str())?;
        Line::check_all(&self.lines)
    }

    fn example() -> Self {
        Self {
            order_id: "536365".into(),
            customer_id: Some("17850".into()),
            country: "United Kingdom".into(),
            currency: "GBP".into(),
            lines: Line::examples(),
        }
    }
}

/// Cancel an order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CancelOrder {
    /// The order's number.
    #[schemars(transform = ORDER_ID.schema())]
    pub order_id: String,
}

impl Command for CancelOrder {
    const DOMAIN: &str = DOMAIN;
    const NAME: &str = "CancelOrder";
    const MAJOR: u16 = 1;

    fn subject(&self) -> String {
        self.order_id.clone()
    }

    fn check(&self) -> Result<(), Violation> {
        ORDER_ID.check("orderId", self.order_id.as_str())
    }

    fn example() -> Self {
        Self { order_id: "536365".into() }
    }
}
