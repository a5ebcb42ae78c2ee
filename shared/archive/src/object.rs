//! The content of an object: lines, sorted and folded, under a digest; compressed.

use crate::name::{Hour, ObjectName};
use contracts::{Header, digest};
use jiff::Timestamp;
use object_store::path::Path;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::io::Read as _;

/// The most bytes of lines that an object is given; only one larger event alone makes it longer.
pub const OBJECT_BYTES: usize = 8 * 1024 * 1024;

/// The most bytes that are ever read out of an object: a damaged one may pretend to hold any number.
const LARGEST: usize = OBJECT_BYTES + contracts::envelope::MAX_EVENT_BYTES + 1;

/// zstd's own default: what writes faster saves little, what packs tighter costs time at every batch.
const LEVEL: i32 = 3;

/// An object that can't be read as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{object} is damaged: {why}")]
pub struct Damaged {
    /// Its name.
    pub object: String,
    /// What is wrong with it.
    pub why: String,
}

/// An envelope on its way into an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Line {
    time: Timestamp,
    id: String,
    text: String,
}

impl Line {
    pub fn new(header: &Header<'_>, text: &str) -> Self {
        // Outside of strings, where JSON allows no line break, one may stand for any white space.
        let text =
            if text.contains(['\n', '\r']) { text.replace(['\n', '\r'], " ") } else { text.to_owned() };
        Self { time: header.time, id: header.id.clone().into_owned(), text }
    }

    pub fn len(&self) -> usize {
        self.text.len() + 1
    }
}

/// An object that is ready to be stored.
#[derive(Clone, Debug)]
pub(crate) struct Packed {
    pub name: ObjectName,
    pub bytes: Vec<u8>,
}

/// Sorts lines of one domain, hour and region, folds equal ones and packs them into as few objects as their size allows.
pub(crate) fn pack(
    domain: &str,
    hour: Hour,
    region: &str,
    generation: u32,
    mut lines: Vec<Line>,
) -> std::io::Result<Vec<Packed>> {
    lines.sort_unstable();
    lines.dedup();
    let mut packed = Vec::new();
    let mut lines = lines.as_slice();
    while !lines.is_empty() {
        let mut size = 0;
        let fit = lines.iter().take_while(|line| {
            size += line.len();
            size <= OBJECT_BYTES
        });
        let (these, rest) = lines.split_at(fit.count().max(1));
        lines = rest;
        let mut content = String::with_capacity(these.iter().map(Line::len).sum());
        for line in these {
            content.push_str(&line.text);
            content.push('\n');
        }
        let name = ObjectName {
            domain: domain.to_owned(),
            hour,
            generation,
            region: region.to_owned(),
            events: these.len() as u64,
            digest: digest::short(&[content.as_bytes()]),
        };
        packed.push(Packed { name, bytes: compress(content.as_bytes())? });
    }
    Ok(packed)
}

fn compress(content: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut compressor = zstd::bulk::Compressor::new(LEVEL)?;
    // With it `zstd -t` can tell, too.
    compressor.include_checksum(true)?;
    compressor.compress(content)
}

/// Reads an object's lines, if they are what its name says.
pub(crate) fn unpack(name: &ObjectName, bytes: &[u8]) -> Result<String, Damaged> {
    let damaged = |why: String| Damaged { object: name.to_string(), why };
    let mut content = Vec::new();
    let limit = LARGEST as u64;
    zstd::stream::read::Decoder::with_buffer(bytes)
        .and_then(|decoder| decoder.take(limit + 1).read_to_end(&mut content))
        .map_err(|error| damaged(format!("it can't be decompressed: {error}")))?;
    if content.len() > LARGEST {
        return Err(damaged(format!("it holds more than {LARGEST} bytes")));
    }
    if digest::short(&[&content]) != name.digest {
        return Err(damaged("its content has another digest than its name says".to_owned()));
    }
    let content = String::from_utf8(content).map_err(|_| damaged("it is not UTF-8".to_owned()))?;
    let events = content.lines().count() as u64;
    if events != name.events {
        return Err(damaged(format!("it holds {events} events, its name says {}", name.events)));
    }
    Ok(content)
}

/// Reads the header of a line.
pub(crate) fn header<'a>(object: &Path, line: &'a str) -> Result<Header<'a>, Damaged> {
    serde_json::from_str(line).map_err(|error| Damaged {
        object: object.to_string(),
        why: format!("a line is no envelope: {error}"),
    })
}

/// What groups envelopes into objects, or why an envelope has no place in the archive.
pub(crate) fn place<'a>(header: &'a Header<'_>) -> Result<(&'a str, Hour, &'a str), String> {
    let named = |what: &str, name: &'a Cow<'_, str>| {
        crate::name::plain(name)
            .ok_or_else(|| format!("its {what} can't name a folder: 1 to 64 of a-z, 0-9, - and _ can"))
    };
    let hour = Hour::of(header.time).ok_or("it happened before the year 0")?;
    Ok((named("domain", &header.domain)?, hour, named("region", &header.region)?))
}
