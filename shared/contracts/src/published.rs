//! The list of all contracts, from which the files under `events/` are written.

use crate::envelope::{CommandEnvelope, Envelope, Kind, Origin};
use crate::event::{Command, Event, EventKind};
use crate::limits::Violation;
use crate::version::Version;
use crate::{catalogue, customers, inventory, orders, pricing, returns};
use jiff::Timestamp;
use schemars::generate::SchemaSettings;
use serde_json::Value;

/// One event or command in one major version.
#[derive(Clone, Debug)]
pub struct Contract {
    /// The bounded context.
    pub domain: &'static str,
    /// The name of the event or command.
    pub name: &'static str,
    /// The major version.
    pub major: u16,
    /// The kind of an event; none for a command.
    pub kind: Option<Kind>,
    /// JSON Schema (draft 2020-12) of the whole envelope.
    pub schema: fn() -> Value,
    /// A typical message, envelope and all.
    pub example: fn() -> Value,
    /// The identity that some data tells of, where it is data of this contract.
    pub subject: fn(&Value) -> Result<String, serde_json::Error>,
    /// The earlier major versions of an event that this one's upcasters read.
    pub upcasts: fn() -> Vec<u16>,
    /// Whether a message decodes as this contract's type, and what it says when encoded again.
    pub round_trip: fn(&str) -> Result<Value, serde_json::Error>,
    /// Whether a command that decodes is within its limits; none for an event.
    pub check: Option<Check>,
}

/// Decodes a command and checks it.
pub type Check = fn(&str) -> Result<Result<(), Violation>, serde_json::Error>;

/// All contracts, by domain, events first.
pub fn all() -> Vec<Contract> {
    vec![
        event::<catalogue::ProductListed>(),
        event::<catalogue::ProductRetitled>(),
        event::<catalogue::ProductDelisted>(),
        command::<catalogue::ListProduct>(),
        command::<catalogue::RetitleProduct>(),
        command::<catalogue::DelistProduct>(),
        event::<customers::CustomerRegistered>(),
        event::<customers::CustomerErased>(),
        command::<customers::RegisterCustomer>(),
        command::<customers::EraseCustomer>(),
        event::<inventory::StockAdjusted>(),
        command::<inventory::AdjustStock>(),
        event::<orders::OrderPlaced>(),
        event::<orders::OrderCancelled>(),
        command::<orders::PlaceOrder>(),
        command::<orders::CancelOrder>(),
        event::<pricing::ProductPriced>(),
        command::<pricing::RepriceProduct>(),
        event::<returns::CreditNoteIssued>(),
        command::<returns::IssueCreditNote>(),
    ]
}

fn event<E: Event>() -> Contract {
    Contract {
        domain: E::DOMAIN,
        name: E::NAME,
        major: E::MAJOR,
        kind: Some(<E::Kind as EventKind>::KIND),
        schema: || titled(schema_of::<Envelope<E>>(), E::DOMAIN, E::NAME, E::MAJOR),
        example: || to_value(&example_event::<E>()),
        subject: |data| E::deserialize(data).map(|data| data.subject()),
        upcasts: || E::upcasts().majors().collect(),
        round_trip: |text| serde_json::from_str::<Envelope<E>>(text).map(|message| to_value(&message)),
        check: None,
    }
}

fn command<C: Command>() -> Contract {
    Contract {
        domain: C::DOMAIN,
        name: C::NAME,
        major: C::MAJOR,
        kind: None,
        schema: || titled(schema_of::<CommandEnvelope<C>>(), C::DOMAIN, C::NAME, C::MAJOR),
        example: || {
            let time = Timestamp::constant(1_291_191_960, 0);
            to_value(&CommandEnvelope::new("command-1", time, C::example()))
        },
        subject: |data| C::deserialize(data).map(|data| data.subject()),
        upcasts: Vec::new,
        round_trip: |text| serde_json::from_str::<CommandEnvelope<C>>(text).map(|message| to_value(&message)),
        check: Some(|text| {
            serde_json::from_str::<CommandEnvelope<C>>(text).map(|message| message.data.check())
        }),
    }
}

/// An event's example in its envelope, at version 0.1.
pub fn example_event<E: Event>() -> Envelope<E> {
    Envelope::new(
        E::example(),
        Origin {
            version: Version::first_epoch(1),
            index: 0,
            epoch_base: 0,
            region: "eu-west-1".into(),
            time: Timestamp::constant(1_291_191_960, 0),
            correlation_id: "correlation-1".into(),
            causation_id: Some("command-1".into()),
            traceparent: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into()),
        },
    )
}

fn schema_of<T: schemars::JsonSchema>() -> Value {
    SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>().to_value()
}

fn titled(mut schema: Value, domain: &str, name: &str, major: u16) -> Value {
    schema["title"] = format!("{domain}.{name} v{major}").into();
    schema["properties"]["domain"]["const"] = domain.into();
    schema["properties"]["type"]["const"] = name.into();
    schema["properties"]["major"]["const"] = major.into();
    schema
}

fn to_value<T: serde::Serialize>(message: &T) -> Value {
    serde_json::to_value(message).expect("contract types have string keys and no failing Serialize")
}
