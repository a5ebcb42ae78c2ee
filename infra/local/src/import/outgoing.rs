//! A command in its envelope, as text that is ready to send.

use contracts::{Command, CommandEnvelope, digest};
use jiff::Timestamp;

/// A command in its envelope, as text that is ready to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// The bounded context that it is meant for.
    pub domain: &'static str,
    /// The command's name.
    pub name: &'static str,
    /// The identity of the aggregate that decides it: commands of one must be sent in order.
    pub subject: String,
    /// The command's id, the same each time it is made.
    pub id: String,
    /// When it was given.
    pub time: Timestamp,
    /// The [`CommandEnvelope`] as JSON.
    pub json: String,
}

impl Outgoing {
    /// Wraps a command. Its id is derived from where it comes from, its name and subject, and from `occasion`, which
    /// tells apart those that an aggregate gets of one name.
    pub(crate) fn new<C: Command>(origin: &str, occasion: &[&str], time: Timestamp, data: C) -> Self {
        let subject = data.subject();
        let parts: Vec<&[u8]> =
            [origin, C::DOMAIN, C::NAME, &subject].iter().chain(occasion).map(|it| it.as_bytes()).collect();
        let id = digest::short(&parts);
        let json = serde_json::to_string(&CommandEnvelope::new(&id, time, data))
            .expect("a command is made of text and numbers only");
        Self { domain: C::DOMAIN, name: C::NAME, subject, id, time, json }
    }
}
