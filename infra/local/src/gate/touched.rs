//! The fields of a micrograph's graph that change with a field of an event: the event is applied with the field changed, and
//! all that the subgraph shows is asked for and compared.

mod query;

use super::{readers::Reader, samples};
use anyhow::{Context as _, ensure};
use bytes::Bytes;
use compatibility::probe::{Outcome, probe};
use compatibility::shape::Shape;
use contracts::Kind;
use contracts::published::{self, Contract};
use micrograph::{App, Environment, Micrograph};
use query::Questions;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The version of what ends an aggregate: those before it are the examples'.
const LATER: u64 = 1_000;

/// By field of the event, the fields of the graph whose answer is another one.
pub(super) async fn fields(
    micrograph: &Micrograph,
    reader: &Reader,
) -> anyhow::Result<BTreeMap<String, BTreeSet<String>>> {
    let contracts = published::all();
    let named = |contract: &Contract| format!("{}.{}", contract.domain, contract.name);
    let of_event = |it: &&Contract| named(it) == reader.event && it.major == reader.major;
    let contract = contracts.iter().find(of_event).context("what is read is published")?;
    let app = App::new(micrograph.clone(), Environment::nowhere());
    let Some(subgraph) = app.subgraph() else { return Ok(BTreeMap::new()) };
    let questions = Questions::of(&subgraph.sdl)?;
    // One that answers only what a client chooses, such as reports, shows nothing that can be asked for here.
    if questions.are_none() {
        return Ok(BTreeMap::new());
    }
    // What else the micrograph knows by then: one event of each other aggregate, and of one that ends, what it was.
    let ends = contract.kind == Some(Kind::Deleted);
    let mut others: BTreeMap<(&str, String), Value> = BTreeMap::new();
    let consumed = app.manifest().consumes;
    for other in contracts.iter().filter(|it| it.kind == Some(Kind::State) && consumed.contains(&named(it))) {
        let example = (other.example)();
        let subject = example["subject"].to_string();
        let own = (contract.domain, (contract.example)()["subject"].to_string());
        if ends || (other.domain, &subject) != (own.0, &own.1) {
            others.entry((other.domain, subject)).or_insert(example);
        }
    }
    let others: Vec<Value> = others.into_values().collect();

    let example = (contract.example)();
    let shape = Shape::read(&(contract.schema)())?;
    let shape = shape.at("data").context("an event has data")?;
    let stored: BTreeSet<&String> = reader.projections.values().flat_map(BTreeMap::keys).collect();
    let mut probe = probe(shape, &example["data"]);
    // The message that has everything tells enough, and each field of it once.
    let full = probe.full;
    probe.trials.retain(|trial| {
        let told = trial.base == full && stored.contains(&trial.path);
        told && !(trial.dropped && reader.needs(&trial.path))
    });
    // The same is asked each time, so that only what is stored makes a difference.
    let mut identities = BTreeSet::new();
    let messages = probe.trials.iter().map(|trial| &trial.data).chain(&probe.bases);
    for event in others.iter().cloned().chain(messages.map(|data| told(contract, data))) {
        name(&event, &mut identities);
    }
    let request = questions.about(&identities).to_string();
    let asked = Asked { micrograph, contract, others, questions, request };
    let mut bases: Vec<Outcome> = vec![Err("not asked".to_owned()); probe.bases.len()];
    bases[full] = asked.about(&probe.bases[full]).await?;
    let mut trials: Vec<Outcome> = Vec::new();
    let mut known: BTreeSet<&str> = BTreeSet::new();
    for trial in &probe.trials {
        let ask = trial.dropped || !known.contains(trial.path.as_str());
        let outcome = if ask { asked.about(&trial.data).await? } else { Err("not asked".to_owned()) };
        if outcome.is_ok() && !trial.dropped {
            known.insert(&trial.path);
        }
        trials.push(outcome);
    }
    let reads = probe.conclude(&bases, &trials).into_iter();
    Ok(reads.filter(|(_, read)| !read.into.is_empty()).map(|(path, read)| (path, read.into)).collect())
}

struct Asked<'a> {
    micrograph: &'a Micrograph,
    contract: &'a Contract,
    others: Vec<Value>,
    questions: Questions,
    /// What is asked, as the body of a request.
    request: String,
}

/// An event with this data; one that ends an aggregate is later than what tells what it was.
fn told(contract: &Contract, data: &Value) -> Value {
    let mut event = (contract.example)();
    if contract.kind == Some(Kind::Deleted) {
        event["version"]["seq"] = LATER.into();
    }
    if let Ok(subject) = (contract.subject)(data) {
        event["subject"] = subject.into();
    }
    event["data"] = data.clone();
    event
}

impl Asked<'_> {
    /// What the subgraph shows once an event with this data was applied.
    async fn about(&self, data: &Value) -> anyhow::Result<Outcome> {
        if let Err(error) = (self.contract.subject)(data) {
            return Ok(Err(error.to_string()));
        }
        let app = samples::app(self.micrograph).await?;
        let events: Vec<Value> = self.others.iter().cloned().chain([told(self.contract, data)]).collect();
        samples::deliver(&app, &events).await?;
        let subgraph = app.subgraph().context("it serves a subgraph")?;
        let request = http::Request::post("/graphql").header("content-type", "application/json");
        let request = request.body(Bytes::from(self.request.clone()))?;
        let answer: Value = serde_json::from_slice((subgraph.serve)(request).await.body())?;
        ensure!(answer.get("errors").is_none(), "{}", answer["errors"]);
        Ok(Ok(self.questions.answered(&answer["data"])))
    }
}

/// Texts of an event that may be identities: its subject, the parts of it, and what it names.
fn name(event: &Value, found: &mut BTreeSet<String>) {
    fn walk(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::String(text) if text.len() <= 40 => _ = found.insert(text.clone()),
            Value::Array(items) => items.iter().for_each(|it| walk(it, found)),
            Value::Object(fields) => fields.values().for_each(|it| walk(it, found)),
            _ => {}
        }
    }
    walk(&event["data"], found);
    let subject = event["subject"].as_str().unwrap_or_default();
    found.extend(subject.split('/').chain([subject]).map(str::to_owned));
}
