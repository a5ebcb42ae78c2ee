#![doc = include_str!("../README.md")]

pub mod store;

pub mod item;

pub mod iam;

mod add;
mod contribute;
mod error;
mod ordered;
mod put;
mod tables;

pub use store::{Connection, PostgresStore};
