//! What clients ask: written by gateways, read by the registry to tell who a change would break.
//!
//! Lines of JSON, one for each operation, client and interval, in objects that are created and never changed:
//! `usage/<variant>/<yyyy-mm-dd>/<hhmmss>-<digest>.ndjson`, by the day on which the interval ends (UTC). An object is
//! named after its content, so that one that is written again is the same.

mod signature;

use crate::hash::Hash;
use crate::store::{ReadError, Schemas, StorageError, failed};
use crate::variant::{ContractName, Variant};
use futures::TryStreamExt as _;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use object_store::path::Path;
use object_store::{GetOptions, PutMode, PutPayload};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

pub use signature::{Signature, SignatureError, signature};

/// How often a client sent an operation in an interval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageLine {
    /// The interval's first moment.
    pub at: Timestamp,
    /// Its end, exclusive.
    pub until: Timestamp,
    /// Who sent it.
    pub client: Client,
    /// What was sent.
    pub operation: Operation,
    /// How often.
    pub count: u64,
    /// The contract that the client sees, if it doesn't see all of the variant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contract: Option<ContractName>,
}

/// A client as it names itself; empty where it doesn't.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Client {
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// Its version.
    #[serde(default)]
    pub version: String,
}

/// An operation, free of what a client put into it: see [`signature`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// Its name; empty where it has none.
    #[serde(default)]
    pub name: String,
    /// The hash of its text.
    pub hash: Hash,
    /// Its text, literals stripped, with the fragments that it uses.
    pub text: String,
}

/// The operations that were used, each with its clients.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// By contract (none for the whole graph) and by the hash of the text.
    pub operations: BTreeMap<(Option<ContractName>, Hash), UsedOperation>,
    /// Lines that were read.
    pub lines: u64,
    /// Lines and objects that can't be read, and are passed over.
    pub unreadable: u64,
}

/// An operation that was used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsedOperation {
    /// Its name; empty where it has none.
    pub name: String,
    /// Its text.
    pub text: String,
    /// How often each client sent it, and when last.
    pub clients: BTreeMap<Client, Used>,
}

/// How much something was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Used {
    /// How often.
    pub count: u64,
    /// When last, to the interval's end.
    pub last: Timestamp,
}

impl Usage {
    /// Adds a line.
    pub fn add(&mut self, line: UsageLine) {
        self.lines += 1;
        let key = (line.contract, line.operation.hash);
        let operation = self.operations.entry(key).or_insert_with(|| UsedOperation {
            name: line.operation.name,
            text: line.operation.text,
            clients: BTreeMap::new(),
        });
        let used = operation.clients.entry(line.client).or_insert(Used { count: 0, last: line.until });
        used.count = used.count.saturating_add(line.count);
        used.last = used.last.max(line.until);
    }

    /// Whether nothing was ever recorded: then nobody knows who uses what.
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }
}

impl Schemas {
    /// Stores lines, in one object for each day in them. Stored again, they count once.
    pub async fn record_usage(&self, variant: &Variant, lines: &[UsageLine]) -> Result<(), StorageError> {
        let mut objects: BTreeMap<Path, String> = BTreeMap::new();
        let mut days: BTreeMap<String, Vec<&UsageLine>> = BTreeMap::new();
        for line in lines {
            days.entry(day(line.until)).or_default().push(line);
        }
        for (day, lines) in days {
            let last = lines.iter().map(|line| line.until).max().unwrap_or_default();
            let mut text = String::new();
            for line in lines {
                let json = serde_json::to_string(line).map_err(|error| {
                    let source = object_store::Error::Generic { store: "usage", source: error.into() };
                    failed("write usage of", variant, source)
                })?;
                text.push_str(&json);
                text.push('\n');
            }
            let time = last.to_zoned(TimeZone::UTC).strftime("%H%M%S").to_string();
            let name = format!("{time}-{}.ndjson", Hash::of(&text).short());
            objects.insert(folder(variant).join(day.as_str()).join(name.as_str()), text);
        }
        for (path, text) in objects {
            match self.objects.put_opts(&path, PutPayload::from(text), PutMode::Create.into()).await {
                Ok(_) | Err(object_store::Error::AlreadyExists { .. }) => {}
                Err(source) => return Err(failed("write", &path, source)),
            }
        }
        Ok(())
    }

    /// What was used of a variant in intervals that ended after a moment. What can't be read is counted, logged and
    /// passed over: usage is evidence, and what there is of it should be heard.
    pub async fn usage(&self, variant: &Variant, since: Timestamp) -> Result<Usage, ReadError> {
        let folder = folder(variant);
        let listed = self.objects.list_with_delimiter(Some(&folder)).await;
        let listed = listed.map_err(|source| failed("list", &folder, source))?;
        let first = day(since);
        let mut usage = Usage::default();
        for day in listed.common_prefixes {
            if day.filename().is_none_or(|name| name < first.as_str()) {
                continue;
            }
            let mut objects = self.objects.list(Some(&day));
            while let Some(object) =
                objects.try_next().await.map_err(|source| failed("list", &day, source))?
            {
                let bytes = match self.read(&object.location, GetOptions::default()).await {
                    Ok((bytes, _)) => bytes,
                    // It may have been expired since it was listed.
                    Err(ReadError::Missing { .. }) => continue,
                    Err(ReadError::Damaged { path, why }) => {
                        tracing::warn!(path, why, "an object of the usage log is passed over");
                        usage.unreadable += 1;
                        continue;
                    }
                    Err(error) => return Err(error),
                };
                for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                    match serde_json::from_slice::<UsageLine>(line) {
                        Ok(line) if line.until > since => usage.add(line),
                        Ok(_) => {}
                        Err(_) => usage.unreadable += 1,
                    }
                }
            }
        }
        if usage.unreadable > 0 {
            tracing::warn!(%variant, unreadable = usage.unreadable, "lines of the usage log can't be read");
        }
        Ok(usage)
    }
}

fn folder(variant: &Variant) -> Path {
    Path::from_iter(["usage", variant.as_str()])
}

fn day(moment: Timestamp) -> String {
    moment.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d").to_string()
}
