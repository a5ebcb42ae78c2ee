//! Which fields of which events a micrograph's projections read: found by folding the contracts' examples with a field
//! left out or changed, one at a time.

use crate::declaration::Micrograph;
use compatibility::probe::{Outcome, Read, probe};
use compatibility::shape::{Outside, Shape};
use contracts::Header;
use contracts::published::{self, Contract};
use projection::Projection;
use projection::join::{Body, Join};
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What a projection reads of an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Reads {
    /// The projection.
    pub projection: &'static str,
    /// The event, as `<domain>.<Name>`.
    pub event: String,
    /// The major version that was looked at.
    pub major: u16,
    /// The fields that make a difference to what is stored, each with the attributes that it makes a difference to; `key`
    /// is which items there are.
    pub fields: BTreeMap<String, BTreeSet<String>>,
    /// The fields without which the event is not decoded.
    pub needed: BTreeSet<String>,
}

/// Why it can't be said what a projection reads.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unknown {
    /// The schema of an event is outside the subset that can be compared.
    #[error("the schema of {event} can't be read")]
    Schema {
        /// The event.
        event: String,
        /// What is outside.
        #[source]
        source: Outside,
    },
    /// The example of an event isn't folded.
    #[error("{projection} can't fold the example of {event}: {why}")]
    Example {
        /// The projection.
        projection: &'static str,
        /// The event.
        event: String,
        /// Why not.
        why: String,
    },
}

/// What the projections of a micrograph read, by projection and event; the newest major version of each that it folds.
pub fn of(micrograph: &Micrograph) -> Result<Vec<Reads>, Unknown> {
    let contracts = published::all();
    let mut all = Vec::new();
    for projection in micrograph.projections() {
        for (domain, name) in projection.consumes() {
            let majors = projection.majors(domain, name);
            let contracts = contracts.iter().filter(|it| (it.domain, it.name) == (domain, name));
            let newest = contracts.filter(|it| majors.contains(&it.major)).max_by_key(|it| it.major);
            if let Some(contract) = newest {
                all.push(reads(projection, contract)?);
            }
        }
    }
    Ok(all)
}

fn reads(projection: &Projection, contract: &Contract) -> Result<Reads, Unknown> {
    let event = format!("{}.{}", contract.domain, contract.name);
    let whole = Shape::read(&(contract.schema)());
    let whole = whole.map_err(|source| Unknown::Schema { event: event.clone(), source })?;
    let example = (contract.example)();
    let Some(shape) = whole.at("data") else {
        let why = "its schema describes no data".to_owned();
        return Err(Unknown::Example { projection: projection.name(), event, why });
    };
    let probe = probe(shape, &example["data"]);
    let fold = |data: &Value| folded(projection, contract, &example, data);
    let bases: Vec<Outcome> = probe.bases.iter().map(fold).collect();
    if let Some(Err(why)) = bases.first() {
        return Err(Unknown::Example { projection: projection.name(), event, why: why.clone() });
    }
    let trials: Vec<Outcome> = probe.trials.iter().map(|trial| fold(&trial.data)).collect();
    let (mut fields, mut needed) = (BTreeMap::new(), BTreeSet::new());
    for (path, Read { needed: is_needed, into, refused }) in probe.conclude(&bases, &trials) {
        if is_needed {
            needed.insert(path.clone());
        }
        if refused || !into.is_empty() {
            fields.insert(path, into);
        }
    }
    Ok(Reads { projection: projection.name(), event, major: contract.major, fields, needed })
}

/// What is stored for an event with this data, by attribute.
fn folded(projection: &Projection, contract: &Contract, example: &Value, data: &Value) -> Outcome {
    let subject = (contract.subject)(data).map_err(|error| error.to_string())?;
    let mut envelope = example.clone();
    envelope["data"] = data.clone();
    envelope["subject"] = subject.into();
    let text = envelope.to_string();
    let header: Header<'_> = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    let joins = projection.fold(&header).map_err(|error| error.to_string())?.unwrap_or_default();
    let mut parts: BTreeMap<String, Value> = BTreeMap::new();
    let mut tell = |part: &str, value: Value| {
        let told = parts.entry(part.to_owned()).or_insert_with(|| Value::Array(Vec::new()));
        told.as_array_mut().into_iter().for_each(|told| told.push(value.clone()));
    };
    for join in joins {
        match join {
            Join::Put(put) => {
                tell("key", put.key.to_string().into());
                let Body::View(item) = put.body else { continue };
                let view: Value = serde_dynamo::from_item(item).map_err(|error| error.to_string())?;
                for (name, value) in view.as_object().into_iter().flatten() {
                    tell(
                        &put.source.map_or_else(|| name.clone(), |source| format!("{source}.{name}")),
                        value.clone(),
                    );
                }
            }
            Join::Dot(dot) => {
                tell("key", dot.key.to_string().into());
                dot.add.iter().for_each(|(name, value)| tell(name, value.to_string().into()));
            }
            Join::Step(step) => {
                tell("key", step.key.to_string().into());
                let item = step.next(None).map_err(|error| error.to_string())?;
                let view: Value = serde_dynamo::from_item(item).map_err(|error| error.to_string())?;
                view.as_object().into_iter().flatten().for_each(|(name, value)| tell(name, value.clone()));
            }
            Join::Contribution(contribution) => {
                for amount in contribution.amounts {
                    tell("key", format!("{}/{}", contribution.ledger, amount.total).into());
                    amount
                        .add
                        .iter()
                        .for_each(|(name, value)| tell(name, value.normalize().to_string().into()));
                    amount.set.iter().for_each(|(name, value)| tell(name, value.as_str().into()));
                }
            }
        }
    }
    Ok(parts)
}
