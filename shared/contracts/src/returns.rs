//! What returns publishes and takes.

use crate::event::{Command, Event, State};
use crate::limits::{CREDIT_NOTE_ID, CURRENCY, LINES, NAME, Violation};
use crate::open::Extra;
use crate::orders::Line;
use jiff::Timestamp;
use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The bounded context.
pub const DOMAIN: &str = "returns";

/// The published state of a credit note: goods that came back, and what was refunded for them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreditNote {
    /// The credit note's number; its own, not the order's.
    pub id: String,
    /// Who returned; a guest has no number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer_id: Option<String>,
    /// The name in English of the customer's country.
    pub country: String,
    /// When it was issued.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub issued_at: Timestamp,
    /// ISO 4217 code of all its amounts.
    #[schemars(regex(pattern = "^[A-Z]{3}$"))]
    pub currency: String,
    /// At least one.
    pub lines: Vec<Line>,
    /// Fields that this build doesn't know.
    #[serde(flatten)]
    pub extra: Extra,
}

impl CreditNote {
    /// The sum of its lines, exact.
    pub fn total(&self) -> Decimal {
        self.lines.iter().map(Line::amount).sum()
    }
}

/// A credit note was issued.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct CreditNoteIssued(pub CreditNote);

impl Event for CreditNoteIssued {
    type Kind = State;
    const DOMAIN: &str = DOMAIN;
    const NAME: &str = "CreditNoteIssued";
    const MAJOR: u16 = 1;

    fn subject(&self) -> String {
        self.0.id.clone()
    }

    fn example() -> Self {
        Self(CreditNote {
            id: "C536379".into(),
            customer_id: Some("17850".into()),
            country: "United Kingdom".into(),
            issued_at: Timestamp::constant(1_291_196_460, 0),
            currency: "GBP".into(),
            lines: Line::examples().into_iter().take(1).collect(),
            extra: Extra::default(),
        })
    }
}

/// Take goods back and refund them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IssueCreditNote {
    /// The credit note's number, chosen by the sender; issuing the same one again changes nothing.
    #[schemars(transform = CREDIT_NOTE_ID.schema())]
    pub credit_note_id: String,
    /// Who returns; a guest has no number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = NAME.schema())]
    pub customer_id: Option<String>,
    /// The name in English of the customer's country.
    #[schemars(transform = NAME.schema())]
    pub country: String,
    /// ISO 4217 code of all its amounts.
    #[schemars(transform = CURRENCY.schema())]
    pub currency: String,
    /// At least one, at most 1,000; their positions ascend.
    #[schemars(transform = LINES.schema())]
    pub lines: Vec<Line>,
}

impl Command for IssueCreditNote {
    const DOMAIN: &str = DOMAIN;
    const NAME: &str = "IssueCreditNote";
    const MAJOR: u16 = 1;

    fn subject(&self) -> String {
        self.credit_note_id.clone()
    }

    fn check(&self) -> Result<(), Violation> {
        CREDIT_NOTE_ID.check("creditNoteId", self.credit_note_id.as_str())?;
        NAME.check("customerId", self.customer_id.as_deref())?;
        NAME.check("country", self.country.as_str())?;
        CURRENCY.check("currency", self.currency.as_str())?;
        Line::check_all(&self.lines)
    }

    fn example() -> Self {
        Self {
            credit_note_id: "C536379".into(),
            customer_id: Some("17850".into()),
            country: "United Kingdom".into(),
            currency: "GBP".into(),
            lines: Line::examples().into_iter().take(1).collect(),
        }
    }
}
