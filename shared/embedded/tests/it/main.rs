//! The embedded services, as those who use them see them.

mod crash;
mod dynamodb;
mod events;
mod mapping;
mod pattern;
mod queue;
mod table;
