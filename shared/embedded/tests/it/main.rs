//! The embedded services, as those who use them see them.

mod dynamodb;
mod pattern;
mod table;
