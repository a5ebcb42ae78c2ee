//! The archive as its users meet it: batches in, events out again.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "the counts of a test are small"
)]

mod archiving;
mod damage;
mod replaying;
mod rewriting;
mod world;
