//! The published language as an AsyncAPI 3 document: <https://www.asyncapi.com/docs/reference/specification/v3.0.0>.

use contracts::event;
use contracts::published::{Contract, all};
use micrograph::manifest::Manifest;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The file, in the folder `events`.
pub const FILE: &str = "asyncapi.json";

/// The document: a channel for the events of each domain and one for its commands, who sends and who receives.
pub fn document(manifests: &[Manifest]) -> Value {
    let contracts = all();
    let mut messages = Map::new();
    let mut channels: BTreeMap<String, Channel> = BTreeMap::new();
    for contract in &contracts {
        let name = named(contract);
        messages.insert(name.clone(), message(contract));
        let channel =
            channels.entry(channel_of(contract)).or_insert_with(|| Channel::of(contract, manifests));
        channel.messages.push(name);
    }
    let mut operations = Map::new();
    for manifest in manifests {
        for (channel, messages) in by_channel(&contracts, |it| {
            it.kind.is_some() && manifest.publishes.contains(&named(it)) && it.domain == manifest.micrograph
        }) {
            let summary = format!("{} publishes.", manifest.micrograph);
            operations.insert(
                format!("{}.publishes", manifest.micrograph),
                operation("send", &summary, &channel, &messages, manifest.micrograph),
            );
        }
        for (channel, messages) in by_channel(&contracts, |it| {
            it.kind.is_none() && it.domain == manifest.micrograph && manifest.decides.contains(&it.name)
        }) {
            let summary = format!("{} decides.", manifest.micrograph);
            operations.insert(
                format!("{}.decides", manifest.micrograph),
                operation("receive", &summary, &channel, &messages, manifest.micrograph),
            );
        }
        let consumes = |it: &Contract| {
            it.kind.is_some() && manifest.consumes.contains(&format!("{}.{}", it.domain, it.name))
        };
        for (channel, messages) in by_channel(&contracts, consumes) {
            let domain = channel.trim_end_matches(".events").to_owned();
            let summary = format!("{} projects events of {domain}.", manifest.micrograph);
            operations.insert(
                format!("{}.projects.{domain}", manifest.micrograph),
                operation("receive", &summary, &channel, &messages, manifest.micrograph),
            );
        }
    }
    let channels: Map<String, Value> = channels.into_iter().map(|(name, it)| (name, it.written())).collect();
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "The published language of the suite",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Events and commands of all micrographs. A message has one of the major versions listed here; \
                            within one, only fields that may be absent are added.",
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": { "messages": messages },
    })
}

struct Channel {
    address: String,
    description: String,
    messages: Vec<String>,
}

impl Channel {
    fn of(contract: &Contract, manifests: &[Manifest]) -> Self {
        let manifest = manifests.iter().find(|it| it.micrograph == contract.domain);
        let (address, description) = if contract.kind.is_some() {
            let topics: Vec<&str> =
                manifest.into_iter().flat_map(|it| &it.topics).map(|it| it.name).collect();
            let topics = match topics.as_slice() {
                [] => String::new(),
                topics => format!(" Also on the SNS topic {}.", topics.join(", ")),
            };
            let source = event::source(contract.domain);
            let description = format!(
                "Events of {} on the EventBridge bus: this is their source, their name is the detail type.{topics}",
                contract.domain
            );
            (source, description)
        } else {
            let queue = manifest.and_then(|it| it.queues.iter().find(|it| it.fifo)).map(|it| it.name.clone());
            let description =
                format!("Commands for {}: an SQS FIFO queue, grouped by the aggregate.", contract.domain);
            (queue.unwrap_or_else(|| format!("{}-commands.fifo", contract.domain)), description)
        };
        Self { address, description, messages: Vec::new() }
    }

    fn written(self) -> Value {
        let refer = |name: String| {
            let reference = json!({ "$ref": format!("#/components/messages/{name}") });
            (name, reference)
        };
        let messages: Map<String, Value> = self.messages.into_iter().map(refer).collect();
        json!({ "address": self.address, "description": self.description, "messages": messages })
    }
}

fn named(contract: &Contract) -> String {
    format!("{}.{}.v{}", contract.domain, contract.name, contract.major)
}

fn channel_of(contract: &Contract) -> String {
    let what = if contract.kind.is_some() { "events" } else { "commands" };
    format!("{}.{what}", contract.domain)
}

fn by_channel(contracts: &[Contract], wanted: impl Fn(&Contract) -> bool) -> BTreeMap<String, Vec<String>> {
    let mut channels: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for contract in contracts.iter().filter(|it| wanted(it)) {
        channels.entry(channel_of(contract)).or_default().push(named(contract));
    }
    channels
}

fn operation(action: &str, summary: &str, channel: &str, messages: &[String], micrograph: &str) -> Value {
    let refer = |name: &String| json!({ "$ref": format!("#/channels/{channel}/messages/{name}") });
    json!({
        "action": action,
        "summary": summary,
        "channel": { "$ref": format!("#/channels/{channel}") },
        "messages": messages.iter().map(refer).collect::<Vec<_>>(),
        "tags": [{ "name": micrograph }],
    })
}

fn message(contract: &Contract) -> Value {
    let folder = format!("./{}/{}/v{}", contract.domain, contract.name, contract.major);
    let kind = contract.kind.map_or("Command".to_owned(), |kind| format!("{kind:?}"));
    json!({
        "name": contract.name,
        "title": format!("{} v{}", contract.name, contract.major),
        "summary": summary(contract),
        "contentType": "application/json",
        "payload": { "$ref": format!("{folder}.schema.json") },
        "tags": [{ "name": contract.domain }, { "name": kind }],
        "examples": [{ "name": "typical", "payload": (contract.example)() }],
    })
}

/// What is said of a contract's type.
pub(super) fn summary(contract: &Contract) -> String {
    let schema = (contract.schema)();
    let text = schema["$defs"][contract.name]["description"].as_str().unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
