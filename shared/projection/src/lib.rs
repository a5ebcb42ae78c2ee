#![doc = include_str!("../README.md")]

pub mod fold;
pub mod join;
pub mod key;
pub mod table;

pub mod early;
pub mod reach;
pub mod store;

pub mod dynamodb;

pub mod consumer;
pub mod decode;
pub mod delivery;
pub mod json;
pub mod told;

pub mod batch;
pub mod filter;
pub mod quarantine;
pub mod resequence;
pub mod snapshot;

pub mod audit;
pub mod generation;

pub use fold::{Folded, JoinKind, Projection, Rejected};
pub use generation::Generation;
pub use join::{Amount, Contribution, Dot, Row, Step};
pub use key::Key;
pub use table::{Index, Table};

pub use contracts::digest;
