//! `tributary publish`: events and commands from a file, checked at the door.

use crate::suite::{CommandRef, Suite};
use anyhow::Context as _;
use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use contracts::envelope::MAX_EVENT_BYTES;
use contracts::event;
use contracts::published::{self, Contract};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;

/// The entries that one call of PutEvents takes.
const ENTRIES: usize = 10;

/// How many faults are listed.
const LISTED: usize = 20;

/// What is to be published, line by line.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Request {
    /// Lines of JSON, each an envelope; blank ones are passed over.
    pub text: String,
    /// Puts events on the bus as they are, without a look at their contract: what can't be applied is quarantined
    /// by its consumers.
    pub unchecked: bool,
}

/// What was published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// Events on the bus.
    pub events: usize,
    /// Commands in queues.
    pub commands: usize,
}

/// A line that is no message of a contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it, and what would be right.
    pub why: String,
}

/// Lines that can't be published. Nothing was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Faults(pub Vec<Fault>);

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "nothing was published: {} of the lines can't be", self.0.len())?;
        for Fault { line, why } in self.0.iter().take(LISTED) {
            write!(f, "\n  line {line}: {why}")?;
        }
        if self.0.len() > LISTED {
            write!(f, "\n  and {} more", self.0.len() - LISTED)?;
        }
        Ok(())
    }
}

enum Message<'a> {
    Event { source: String, name: String, text: &'a str },
    Command { domain: String, subject: String, id: String, text: &'a str },
}

/// Publishes all lines, or none of them where one is faulty.
pub async fn run(suite: &Suite, request: &Request) -> anyhow::Result<Published> {
    let messages = read(request)?;
    let mut published = Published::default();
    let mut entries = Vec::new();
    let mut commands = Vec::new();
    for message in &messages {
        match message {
            Message::Event { source, name, text } => entries.push(
                PutEventsRequestEntry::builder()
                    .event_bus_name(suite.bus.name())
                    .source(source)
                    .detail_type(name)
                    .detail(*text)
                    .build(),
            ),
            Message::Command { domain, subject, id, text } => {
                commands.push(CommandRef { domain, subject, id, json: text });
            }
        }
    }
    published.commands = commands.len();
    suite.send(commands)?;
    let client = suite.bus.client();
    for call in entries.chunks(ENTRIES) {
        let answer =
            client.put_events().set_entries(Some(call.to_vec())).send().await.context("PutEvents")?;
        if let Some(refused) = answer.entries().iter().find(|entry| entry.error_code().is_some()) {
            let why = refused.error_message().unwrap_or("no reason given");
            anyhow::bail!("the bus took {} events and refused the next: {why}", published.events);
        }
        published.events += call.len();
    }
    Ok(published)
}

fn read(request: &Request) -> Result<Vec<Message<'_>>, Faults> {
    let contracts = published::all();
    let mut messages = Vec::new();
    let mut faults = Vec::new();
    for (number, line) in request.text.lines().enumerate() {
        let text = line.trim();
        if text.is_empty() {
            continue;
        }
        match message(text, &contracts, request.unchecked) {
            Ok(message) => messages.push(message),
            Err(why) => faults.push(Fault { line: number + 1, why }),
        }
    }
    if faults.is_empty() { Ok(messages) } else { Err(Faults(faults)) }
}

fn message<'a>(text: &'a str, contracts: &[Contract], unchecked: bool) -> Result<Message<'a>, String> {
    if text.len() > MAX_EVENT_BYTES && !unchecked {
        return Err(format!("{} bytes are too many: a message has at most {MAX_EVENT_BYTES}", text.len()));
    }
    let value: Value = serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))?;
    if !value.is_object() {
        return Err("not an object of JSON: each line is one message with its envelope".to_owned());
    }
    let field = |name: &str| value[name].as_str().map(str::to_owned);
    let (Some(domain), Some(name)) = (field("domain"), field("type")) else {
        if unchecked {
            let source = event::source(&field("domain").unwrap_or_else(|| "unknown".to_owned()));
            return Ok(Message::Event {
                source,
                name: field("type").unwrap_or_else(|| "Unknown".to_owned()),
                text,
            });
        }
        return Err("not a message's envelope: `domain` and `type` are missing (see events/)".to_owned());
    };
    let of_type: Vec<&Contract> =
        contracts.iter().filter(|it| it.domain == domain && it.name == name).collect();
    let command = of_type.first().is_some_and(|contract| contract.kind.is_none());
    if !unchecked {
        check(text, &value, &of_type, &domain, &name, contracts)?;
    }
    if command {
        let subject = field("subject").unwrap_or_default();
        return Ok(Message::Command { id: field("id").unwrap_or_default(), domain, subject, text });
    }
    Ok(Message::Event { source: event::source(&domain), name, text })
}

fn check(
    text: &str,
    value: &Value,
    of_type: &[&Contract],
    domain: &str,
    name: &str,
    contracts: &[Contract],
) -> Result<(), String> {
    if of_type.is_empty() {
        let mut known: Vec<&str> =
            contracts.iter().filter(|it| it.domain == domain).map(|it| it.name).collect();
        if known.is_empty() {
            known = contracts.iter().map(|it| it.domain).collect();
            known.dedup();
            return Err(format!("there is no domain `{domain}`: known are {}", known.join(", ")));
        }
        return Err(format!("{domain} has no message `{name}`: known are {}", known.join(", ")));
    }
    let Some(contract) = of_type.iter().find(|it| value["major"] == it.major) else {
        let known: Vec<String> = of_type.iter().map(|it| it.major.to_string()).collect();
        let (major, known) = (&value["major"], known.join(", "));
        return Err(format!("{domain}.{name} has no major version {major}: known are {known}"));
    };
    let file = format!("events/{domain}/{name}/v{}.example.json", contract.major);
    (contract.round_trip)(text).map_err(|error| format!("not a {name}: {error} (compare {file})"))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(name: &str) -> Value {
        (published::all().into_iter().find(|it| it.name == name).unwrap().example)()
    }

    fn faults(text: String) -> Vec<Fault> {
        read(&Request { text, unchecked: false }).err().unwrap().0
    }

    #[test]
    fn every_example_can_be_published() {
        let lines: Vec<String> = published::all().iter().map(|it| (it.example)().to_string()).collect();
        let request = Request { text: lines.join("\n\n"), unchecked: false };
        assert_eq!(read(&request).unwrap().len(), lines.len());
    }

    #[test]
    fn a_faulty_line_is_named_with_what_would_be_right() {
        let good = example("OrderPlaced");
        let changed = |path: &str, value: Value| {
            let mut message = good.clone();
            *message.pointer_mut(path).unwrap() = value;
            message.to_string()
        };
        let cases = [
            ("{".to_owned(), "not JSON"),
            ("[1]".to_owned(), "not an object"),
            ("{}".to_owned(), "`domain` and `type` are missing"),
            (changed("/type", "OrderShipped".into()), "OrderPlaced, OrderCancelled"),
            (changed("/domain", "shipping".into()), "known are catalogue, customers"),
            (changed("/major", 9.into()), "no major version 9: known are 1"),
            (changed("/data/lines", "none".into()), "v1.example.json"),
            (changed("/data/country", "x".repeat(500_000).into()), "at most 262144"),
        ];
        for (line, expected) in cases {
            let faults = faults(format!("{good}\n{line}\n"));
            assert_eq!(faults.len(), 1);
            assert_eq!(faults[0].line, 2);
            assert!(faults[0].why.contains(expected), "{}", faults[0].why);
        }
    }
}
