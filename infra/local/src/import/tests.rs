//! Files of our own making, each with some dirt, read as a user's would be.

mod input;
mod invoices;
mod properties;
mod real;
mod rules;

use super::{Emit, Importer, Item, OpenError, Summary};
use contracts::orders::PlaceOrder;
use contracts::returns::IssueCreditNote;
use contracts::{Command, CommandEnvelope};
use std::io::Write;
use tempfile::NamedTempFile;

const HEADER: &str = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n";

fn file(bytes: &[u8]) -> NamedTempFile {
    let mut file = NamedTempFile::new().expect("a temporary file");
    file.write_all(bytes).expect("room for it");
    file
}

fn open(bytes: &[u8]) -> Result<Importer, OpenError> {
    Importer::open(file(bytes).path())
}

/// What comes of rows under the usual header.
struct Read {
    items: Vec<Item>,
    summary: Summary,
}

fn rows(rows: &str) -> Read {
    all(&[HEADER, rows].concat().into_bytes())
}

fn all(bytes: &[u8]) -> Read {
    let mut importer = open(bytes).expect("a file that can be imported");
    let items = importer.by_ref().map(|item| item.expect("a file that can be read")).collect();
    Read { items, summary: importer.summary().clone() }
}

impl Read {
    /// Name and subject of each command, in order.
    fn sent(&self) -> Vec<String> {
        let commands = self.items.iter().filter_map(|item| match &item.what {
            Emit::Command(it) => Some(format!("{} {}", it.name, it.subject)),
            Emit::Rejected(_) => None,
        });
        commands.collect()
    }

    /// The row and the code of each rejection, in order.
    fn rejected(&self) -> Vec<(u64, &'static str)> {
        let rejected = self.items.iter().filter_map(|item| match &item.what {
            Emit::Rejected(it) => Some((it.row, it.reason.code())),
            Emit::Command(_) => None,
        });
        rejected.collect()
    }

    /// The commands of one type, decoded as a micrograph does.
    fn of<C: Command>(&self) -> Vec<CommandEnvelope<C>> {
        let commands = self.items.iter().filter_map(|item| match &item.what {
            Emit::Command(it) if it.domain == C::DOMAIN && it.name == C::NAME => Some(it),
            _ => None,
        });
        let decoded = commands.map(|it| {
            let envelope: CommandEnvelope<C> = serde_json::from_str(&it.json).expect("a command");
            assert_eq!((&envelope.id, &envelope.subject, envelope.time), (&it.id, &it.subject, it.time));
            assert_eq!(envelope.data.subject(), it.subject);
            envelope
        });
        decoded.collect()
    }

    fn orders(&self) -> Vec<CommandEnvelope<PlaceOrder>> {
        self.of()
    }

    fn credit_notes(&self) -> Vec<CommandEnvelope<IssueCreditNote>> {
        self.of()
    }
}
