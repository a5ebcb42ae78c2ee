//! What every store of projections must do, as one suite: for the embedded DynamoDB and any other endpoint.

mod dotted_set;
mod endpoint;
mod ledger;
mod ordered;
mod state;

use crate::content::{Content, Fields};
use anyhow::{Context as _, ensure};
use aws_sdk_dynamodb::Client;
use contracts::Version;
use projection::dynamodb::{DynamoStore, create_table};
use projection::join::{Body, Dot, Put};
use projection::store::{Outcome, Store};
use projection::table::{Index, Table};
use projection::{Amount, Contribution, Key};
use rust_decimal::Decimal;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

/// What the suite found.
#[derive(Debug, Default)]
pub struct Report {
    /// The cases that a store passed.
    pub passed: Vec<&'static str>,
    /// The cases that it failed, with what was seen.
    pub failed: Vec<(&'static str, String)>,
}

impl Report {
    async fn case(&mut self, name: &'static str, case: impl Future<Output = anyhow::Result<()>>) {
        match case.await {
            Ok(()) => self.passed.push(name),
            Err(error) => self.failed.push((name, format!("{error:#}"))),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for name in &self.passed {
            writeln!(f, "ok      {name}")?;
        }
        for (name, why) in &self.failed {
            writeln!(f, "FAILED  {name}: {why}")?;
        }
        write!(f, "{} passed, {} failed", self.passed.len(), self.failed.len())
    }
}

/// A store under test. Each case keeps to partitions of its own, whose keys begin with its name.
#[derive(Clone)]
struct Subject {
    store: Arc<dyn Store>,
    table: String,
}

/// The table that the suite needs: with an index, so that it is seen what a tombstone leaves in it.
pub fn table(name: impl Into<String>) -> Table {
    Table { indexes: vec![Index::new("by_title", "shelf", "title")], ..Table::new(name) }
}

/// Whether writes are made at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Races {
    /// They are, and must not disturb one another: what DynamoDB guarantees.
    Run,
    /// They are not, for an imitation of DynamoDB that checks a condition and writes in two steps.
    LeaveOut,
}

/// Runs the whole suite against a DynamoDB, in a table of this name that is made for it. It is left behind.
pub async fn run(client: &Client, name: &str, races: Races) -> anyhow::Result<Report> {
    create_table(client, name, &table(name)).await?;
    let store = Arc::new(DynamoStore::new(client.clone(), crate::clock));
    let mut report = store_conformance(store, name, races).await;
    endpoint::cases(&mut report, client, name).await;
    Ok(report)
}

/// Runs the part of the suite that any store must pass, in an empty table made after [`table`].
pub async fn store_conformance(store: Arc<dyn Store>, table: &str, races: Races) -> Report {
    let subject = Subject { store, table: table.to_owned() };
    let mut report = Report::default();
    state::cases(&mut report, &subject).await;
    dotted_set::cases(&mut report, &subject).await;
    ledger::cases(&mut report, &subject).await;
    ordered::cases(&mut report, &subject).await;
    if races == Races::Run {
        state::races(&mut report, &subject).await;
        dotted_set::races(&mut report, &subject).await;
        ledger::races(&mut report, &subject).await;
        ordered::races(&mut report, &subject).await;
    }
    ordered::large_cases(&mut report, &subject).await;
    state::large_cases(&mut report, &subject).await;
    report
}

impl Subject {
    async fn put(&self, put: &Put) -> anyhow::Result<Outcome> {
        let written = self.store.put(&self.table, put).await?;
        written.outcomes.first().copied().context("no outcome")
    }

    async fn add(&self, dots: &[Dot]) -> anyhow::Result<Vec<Outcome>> {
        let written = self.store.add(&self.table, dots).await?;
        ensure!(
            written.outcomes.len() == dots.len(),
            "{} outcomes of {}",
            written.outcomes.len(),
            dots.len()
        );
        Ok(written.outcomes)
    }

    async fn contribute(&self, contributions: &[Contribution]) -> anyhow::Result<Vec<Outcome>> {
        let written = self.store.contribute(&self.table, contributions).await?;
        let (told, asked) = (written.outcomes.len(), contributions.len());
        ensure!(told == asked, "{told} outcomes of {asked}");
        Ok(written.outcomes)
    }

    async fn content(&self) -> anyhow::Result<Content> {
        Ok(Content::of(self.store.as_ref(), &self.table).await?)
    }

    /// An item's attributes, none where there is no item.
    async fn item(&self, key: &Key) -> anyhow::Result<Fields> {
        Ok(self.content().await?.0.remove(key).unwrap_or_default())
    }

    async fn number(&self, key: &Key, attribute: &str) -> anyhow::Result<Decimal> {
        use crate::content::Field;
        match self.item(key).await?.get(attribute) {
            Some(Field::Number(text)) => Ok(text.parse()?),
            None => Ok(Decimal::ZERO),
            Some(other) => anyhow::bail!("{attribute} of {key} is {other:?}"),
        }
    }
}

fn version(seq: u64) -> Version {
    Version::first_epoch(seq)
}

fn row(key: &Key, source: Option<&'static str>, seq: u64, title: &str) -> Put {
    let view = serde_json::json!({ "title": title, "shelf": key.pk, "size": seq });
    let body = Body::View(serde_dynamo::to_item(view).expect("an object becomes an item"));
    Put { key: key.clone(), source, version: version(seq), hash: format!("{title}@{seq}"), body }
}

fn tombstone(key: &Key, source: Option<&'static str>, seq: u64) -> Put {
    Put { body: Body::Tombstone, ..row(key, source, seq, "gone") }
}

fn dot(key: &Key, seq: u64, add: Decimal) -> Dot {
    Dot { seq, ..Dot::new(key.clone(), [("total", add)]) }
}

fn contribution(ledger: &str, subject: &str, seq: u64, amounts: &[(&str, Decimal)]) -> Contribution {
    let amounts: Vec<Amount> = amounts
        .iter()
        .map(|(total, add)| Amount::new(*total, [("units", *add)]).with("shelf", ledger))
        .collect();
    let hash = format!("{amounts:?}");
    Contribution {
        subject: subject.to_owned(),
        version: version(seq),
        hash,
        ..Contribution::new(ledger, amounts)
    }
}

fn decimal(text: &str) -> Decimal {
    text.parse().expect("a decimal")
}

macro_rules! same {
    ($is:expr, $expected:expr) => {{
        let (is, expected) = ($is, $expected);
        anyhow::ensure!(is == expected, "{}: is {is:?}, should be {expected:?}", stringify!($is));
    }};
}
use same;
