#![doc = include_str!("../README.md")]

pub mod finding;
pub mod rules;

pub mod shape;

pub mod compare;
pub mod units;

pub mod probe;
pub mod released;

pub use compare::compare;
pub use finding::{Category, Direction, Finding, Severity};
pub use released::{Contract, Contracts, Id, Minor, Role, Unreadable, check};
pub use rules::Rule;
pub use shape::{Form, Outside, Shape};
