#![doc = include_str!("../README.md")]

pub mod store;

pub mod item;

mod add;
mod contribute;
mod error;
mod ordered;
mod put;
mod tables;

pub use store::{Connection, PostgresStore};
