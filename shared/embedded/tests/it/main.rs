//! The embedded services, as those who use them see them.

mod crash;
mod dynamodb;
mod events;
mod idle;
mod mapping;
mod pattern;
mod queue;
mod table;
