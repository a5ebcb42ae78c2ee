//! A shop of our own making, for a first look: a small catalogue and a week of trade.
//!
//! Forty products in three markets, twenty-five customers, two hundred orders with returns, cancellations, deliveries
//! and losses, some new prices and titles. Names and addresses are made up. It is the same shop each time; only its
//! week ends when it is asked to.

mod customers;
mod range;
mod trade;

#[cfg(test)]
mod tests;

use crate::import::Outgoing;
use jiff::Timestamp;

/// The commands of a week of trade that ends at `now`, in the order of their time; those of one moment in the order in
/// which they must be carried out. Their ids don't depend on `now`.
pub fn commands(now: Timestamp) -> Vec<Outgoing> {
    let mut commands = trade::week(now);
    commands.sort_by_key(|it| it.time);
    commands
}
