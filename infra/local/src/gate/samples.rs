//! Examples and archived samples, through every consumer that there is.

use super::checks::problem;
use super::findings::Problem;
use super::report::{Ran, Report, counted};
use anyhow::Context as _;
use compatibility::{Contracts, Role};
use contracts::{Header, published};
use embedded::DynamoDb;
use jiff::Timestamp;
use micrograph::{App, Environment, Micrograph};
use projection::dynamodb::Unasked;
use projection::quarantine::Filter;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The time of every check.
const CLOCK: fn() -> Timestamp = || Timestamp::constant(1_400_000_000, 0);

/// A micrograph with tables of its own, in memory.
pub(super) async fn app(micrograph: &Micrograph) -> anyhow::Result<Arc<App>> {
    let dynamodb = DynamoDb::in_memory()?;
    let environment = Environment {
        dynamodb: dynamodb.client(),
        relational: Some(Arc::new(Unasked::new(dynamodb.client(), CLOCK))),
        region: "local".to_owned(),
        build: "check".to_owned(),
        clock: CLOCK,
        ..Environment::nowhere()
    };
    let app = App::new(micrograph.clone(), environment);
    app.create_tables().await.with_context(|| format!("the tables of {}", micrograph.name()))?;
    Ok(app)
}

/// Delivers events to all consumers of a micrograph, as its queues would.
pub(super) async fn deliver(app: &App, events: &[Value]) -> anyhow::Result<()> {
    let record = |(number, event): (usize, &Value)| json!({ "messageId": number.to_string(), "eventSource": "aws:sqs", "body": event.to_string() });
    let records: Vec<Value> = events.iter().enumerate().map(record).collect();
    let payload = json!({ "Records": records }).to_string();
    for function in app.manifest().functions {
        if function.handler.starts_with("consumer.") {
            app.invoke(&function.handler, payload.as_bytes(), None).await?;
        }
    }
    Ok(())
}

/// Every example event goes through the real consumers of each micrograph; every example command is within its limits.
pub(super) async fn examples(micrographs: &[Micrograph], report: &mut Report) -> anyhow::Result<()> {
    let contracts = published::all();
    let mut delivered = 0;
    for micrograph in micrographs {
        let app = app(micrograph).await?;
        let consumed = app.manifest().consumes;
        let mut versions: BTreeMap<(&str, String), u64> = BTreeMap::new();
        for contract in contracts.iter().filter(|it| it.kind.is_some()) {
            let name = format!("{}.{}", contract.domain, contract.name);
            if consumed.contains(&name) {
                let mut example = (contract.example)();
                // Examples of one aggregate are told as what became of it, one after the other.
                let version = versions.entry((contract.domain, example["subject"].to_string())).or_default();
                *version += 1;
                example["version"]["seq"] = (*version).into();
                deliver(&app, &[example]).await?;
                delivered += 1;
            }
        }
        let kept = app.quarantine().list(&Filter::default(), None, 1_000).await?.entries;
        for entry in kept {
            report.problems.push(Problem {
                why: "an event that looks like the example would be quarantined, each time".to_owned(),
                advice: "let the fold take the example, or make the example typical".to_owned(),
                ..problem(
                    "examples",
                    "example-refused",
                    micrograph.name(),
                    format!("{}: {}", entry.reason, entry.detail),
                )
            });
        }
    }
    for contract in &contracts {
        let Some(check) = contract.check else { continue };
        delivered += 1;
        let checked = check(&(contract.example)().to_string());
        let why = match checked {
            Ok(Ok(())) => continue,
            Ok(Err(violation)) => violation.to_string(),
            Err(error) => error.to_string(),
        };
        report.problems.push(Problem {
            why: "the example is what other teams start from".to_owned(),
            advice: "make the example one that is carried out".to_owned(),
            ..problem("examples", "example-refused", &format!("{}.{}", contract.domain, contract.name), why)
        });
    }
    report.checks.push(Ran {
        name: "examples",
        looked_at: format!("{} through those who read them", counted(delivered, "message")),
    });
    Ok(())
}

/// Every released sample is read by today's types, and folded by every projection that reads its event.
pub(super) fn released(micrographs: &[Micrograph], contracts: &Contracts, report: &mut Report) {
    let published = published::all();
    let mut replayed = 0;
    for (id, contract) in contracts.all.iter().filter(|(_, it)| it.retired.is_none()) {
        for (minor, form) in &contract.released {
            let file = format!("events/{}", id.released_file(*minor, "example"));
            let text = form.example.to_string();
            let subject = format!("{id}, released as v{}.{minor}", id.major);
            let mut refused = |by: &str, why: String| {
                report.problems.push(Problem {
                    why: "archives hold events like it: a replay or a rebuild would quarantine them"
                        .to_owned(),
                    advice: "make what reads it take what was released, or add an upcaster from it"
                        .to_owned(),
                    file: file.clone(),
                    ..problem("samples", "sample-unreadable", &subject, format!("{by} can't read it: {why}"))
                });
            };
            let of_name = |it: &&published::Contract| it.domain == id.domain && it.name == id.name;
            if let Some(own) = published.iter().filter(of_name).find(|it| it.major == id.major) {
                replayed += 1;
                if let Err(error) = (own.round_trip)(&text) {
                    refused("its type", error.to_string());
                }
            }
            if form.role() == Role::Command {
                continue;
            }
            let header: Header<'_> = match serde_json::from_str(&text) {
                Ok(header) => header,
                Err(error) => {
                    refused("the envelope", error.to_string());
                    continue;
                }
            };
            for micrograph in micrographs {
                for projection in micrograph.projections() {
                    if projection.majors(&id.domain, &id.name).is_empty() {
                        continue;
                    }
                    replayed += 1;
                    if let Err(error) = projection.fold(&header) {
                        refused(&format!("{}.{}", micrograph.name(), projection.name()), error.to_string());
                    }
                }
            }
        }
    }
    report.checks.push(Ran {
        name: "samples",
        looked_at: format!("{} of released messages", counted(replayed, "replay")),
    });
}
