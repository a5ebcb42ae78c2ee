#![doc = include_str!("../README.md")]

pub mod envelope;
pub mod event;
pub mod upcast;
pub mod version;

pub mod catalogue;
pub mod customers;
pub mod inventory;
pub mod orders;
pub mod pricing;
pub mod returns;

pub mod digest;
pub mod limits;
pub mod open;
pub mod published;

pub use envelope::{CommandEnvelope, Envelope, Header, Kind};
pub use event::{Command, Deleted, Delta, Event, EventKind, State};
pub use limits::Violation;
pub use open::{Extra, Money};
pub use upcast::Upcast;
pub use version::Version;
