//! What changes for clients, and which of them meet it.

use super::{Candidate, Known, Live, plain};
use crate::changes::{Category, Change, changes as between};
use crate::finding::{Finding, Hit, Report, Severity, Topic};
use crate::operations::{Use, Validator, uses};
use crate::schema::Schema;
use crate::settings::Settings;
use schemas::usage::UsedOperation;
use schemas::{ContractName, Hash};
use std::collections::{BTreeMap, BTreeSet};

/// An operation in use, with what it uses.
struct Asked<'a> {
    hash: &'a Hash,
    operation: &'a UsedOperation,
    uses: BTreeSet<Use>,
}

pub(super) fn changes(
    live: &Live,
    candidate: &Candidate,
    known: &Known,
    settings: &Settings,
    report: &mut Report,
) {
    let Some(before) = &live.supergraph else { return };
    let (Some(old), Some(new)) = (api(before), api(&candidate.supergraph)) else {
        let message =
            "The supergraph can't be read again, so that nothing is known of what changes.".to_owned();
        report.findings.push(plain("unreadable", Severity::Error, Topic::Usage, message));
        return;
    };
    let counted = |operation: &UsedOperation| {
        let clients = operation.clients.iter().filter(|(client, _)| settings.usage.counts(client));
        clients.map(|(_, used)| used.count).sum::<u64>() >= settings.usage.least.max(1)
    };
    let sent: Vec<_> = known.usage.operations.iter().filter(|(_, operation)| counted(operation)).collect();
    report.operations = sent.len() as u64;
    let of = |contract: Option<&ContractName>, schema: &Schema| -> Vec<Asked<'_>> {
        let mine = sent.iter().filter(|((of, _), _)| contract.is_none() || of.as_ref() == contract);
        let asked = mine.map(|((_, hash), operation)| {
            let met = uses(schema, &operation.text).unwrap_or_default();
            Asked { hash, operation, uses: met }
        });
        asked.collect()
    };
    let whole = between(&old, &new);
    let mut findings = told(&whole, &of(None, &old), &old, &new, known, settings, None);

    // What a contract loses beyond what the whole graph loses.
    let same: BTreeSet<(&str, &str)> = whole.iter().map(|it| (it.rule.id(), it.path.as_str())).collect();
    for (name, (_, sdl)) in &candidate.contracts {
        let Some((_, before)) = live.contracts.get(name) else { continue };
        let (Some(old), Some(new)) = (api(before), api(sdl)) else { continue };
        let mut more = between(&old, &new);
        more.retain(|it| !same.contains(&(it.rule.id(), it.path.as_str())));
        findings.extend(told(&more, &of(Some(name), &old), &old, &new, known, settings, Some(name)));
    }
    if known.usage.is_empty() && findings.iter().any(|it| it.topic == Topic::Breaking) {
        let message =
            format!("No usage of {} is known, so that nobody can say whom a change hits.", known.of);
        report.findings.push(Finding {
            help: "Every breaking change counts as one that hits somebody. Let the gateway record usage, or accept \
                   the changes by name."
                .to_owned(),
            ..plain("no-usage", Severity::Warning, Topic::Usage, message)
        });
    }
    if known.usage.unreadable > 0 {
        let message = format!("{} lines of the usage log can't be read.", known.usage.unreadable);
        report.findings.push(Finding {
            help: "What they say isn't counted: see the registry's log for where they are.".to_owned(),
            ..plain("unreadable-usage", Severity::Warning, Topic::Usage, message)
        });
    }
    report.findings.extend(findings);
}

fn api(supergraph: &str) -> Option<Schema> {
    Schema::parse(supergraph).ok().map(Schema::into_api)
}

fn told(
    changes: &[Change],
    asked: &[Asked<'_>],
    old: &Schema,
    new: &Schema,
    known: &Known,
    settings: &Settings,
    contract: Option<&ContractName>,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut met: BTreeSet<&Hash> = BTreeSet::new();
    for change in changes {
        let hit = hits(change, asked, settings, &mut met);
        let (severity, topic) = match change.rule.category() {
            Category::Breaking if hit.is_empty() && !known.usage.is_empty() => {
                (Severity::Warning, Topic::Breaking)
            }
            Category::Breaking => (Severity::Error, Topic::Breaking),
            Category::Dangerous => (Severity::Warning, Topic::Dangerous),
            Category::Safe => (Severity::Info, Topic::Safe),
        };
        let mut help = change.rule.help().to_owned();
        if severity == Severity::Warning && topic == Topic::Breaking {
            help = format!("No operation of {} uses it.", known.of);
        }
        findings.push(Finding {
            path: change.path.clone(),
            contract: contract.map(ToString::to_string),
            help,
            hit,
            ..plain(change.rule.id(), severity, topic, change.message.clone())
        });
    }
    // The rules tell why. Should they miss an operation, it is refused all the same.
    if changes.iter().any(|it| it.rule.category() == Category::Breaking)
        && let (Some(before), Some(after)) = (Validator::new(old), Validator::new(new))
    {
        for it in asked.iter().filter(|it| !met.contains(it.hash)) {
            let text = &it.operation.text;
            if before.wrong(text).is_none()
                && let Some(why) = after.wrong(text)
            {
                findings.push(Finding {
                    contract: contract.map(ToString::to_string),
                    help: "The operation would be refused: keep what it asks for.".to_owned(),
                    hit: by_client(it, false, settings).collect(),
                    ..plain("operation-refused", Severity::Error, Topic::Breaking, why)
                });
            }
        }
    }
    findings
}

/// Who meets a change, the most frequent first.
fn hits<'a>(
    change: &Change,
    asked: &[Asked<'a>],
    settings: &Settings,
    met: &mut BTreeSet<&'a Hash>,
) -> Vec<Hit> {
    if change.rule.category() == Category::Safe {
        return Vec::new();
    }
    let mut hits: BTreeMap<(std::cmp::Reverse<u64>, usize), Vec<Hit>> = BTreeMap::new();
    for (place, it) in asked.iter().enumerate() {
        let touched: Vec<&Use> = change.touches.iter().filter(|touch| it.uses.contains(touch)).collect();
        if touched.is_empty() {
            continue;
        }
        if change.rule.category() == Category::Breaking {
            met.insert(it.hash);
        }
        let by_variable = touched.iter().all(|touch| touch.is_by_variable());
        for hit in by_client(it, by_variable, settings) {
            hits.entry((std::cmp::Reverse(hit.count), place)).or_default().push(hit);
        }
    }
    hits.into_values().flatten().collect()
}

fn by_client<'a>(
    asked: &'a Asked<'_>,
    by_variable: bool,
    settings: &'a Settings,
) -> impl Iterator<Item = Hit> + 'a {
    let clients = asked.operation.clients.iter().filter(|(client, _)| settings.usage.counts(client));
    clients.map(move |(client, used)| Hit {
        client: client.clone(),
        operation: asked.operation.name.clone(),
        hash: asked.hash.clone(),
        count: used.count,
        last: used.last,
        by_variable,
    })
}
