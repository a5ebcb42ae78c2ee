#![doc = include_str!("../README.md")]

pub mod clock;
mod connector;
pub mod dynamodb;
pub mod events;

pub use clock::{Clock, ManualClock, SystemClock};
pub use dynamodb::{Durability, DynamoDb};

/// The account that every ARN of the embedded services names.
pub const ACCOUNT: &str = "000000000000";

/// The region that every ARN of the embedded services names.
pub const REGION: &str = "local";
