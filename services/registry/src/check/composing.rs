//! What is composed, and what composition says of it.

use super::{KEY_REMOVED, Live, Proposal, plain};
use crate::finding::{Finding, Location, Severity, Topic};
use crate::keys;
use crate::schema::Schema;
use composition::Subgraph;
use std::collections::BTreeMap;

/// The subgraphs that would be live, by name.
pub(super) fn assembled(live: &Live, proposal: &Proposal, findings: &mut Vec<Finding>) -> Vec<Subgraph> {
    let mut subgraphs: BTreeMap<String, Subgraph> =
        live.subgraphs.iter().map(|it| (it.name.clone(), it.clone())).collect();
    for name in &proposal.remove {
        if subgraphs.remove(name).is_none() {
            let known: Vec<&str> = live.subgraphs.iter().map(|it| it.name.as_str()).collect();
            let message = format!("There is no subgraph `{name}` to remove.");
            let help = match known.as_slice() {
                [] => "There is none at all yet.".to_owned(),
                known => format!("There are {}.", known.join(", ")),
            };
            findings.push(Finding {
                help,
                ..plain("unknown-subgraph", Severity::Error, Topic::Composition, message)
            });
        }
    }
    for subgraph in &proposal.subgraphs {
        subgraphs.insert(subgraph.name.clone(), subgraph.clone());
    }
    subgraphs.into_values().collect()
}

/// Composes. What keys are lost is told in any case: it is often why the rest doesn't compose.
pub(super) fn composed(
    live: &Live,
    proposal: &Proposal,
    subgraphs: Vec<Subgraph>,
    findings: &mut Vec<Finding>,
) -> Option<(Vec<Subgraph>, String)> {
    lost_keys(live, proposal, &subgraphs, findings);
    let composed = match composition::compose(&subgraphs) {
        Ok(composed) => composed,
        Err(errors) => {
            findings.extend(errors.into_iter().map(|error| Finding {
                help: error.help.unwrap_or_default(),
                locations: located(&error.locations),
                ..plain(error.code.as_str(), Severity::Error, Topic::Composition, error.message)
            }));
            return None;
        }
    };
    // Only what is new: the rest was told when it was published.
    let standing = composition::compose(&live.subgraphs).map(|composed| composed.hints).unwrap_or_default();
    let stands = |hint: &composition::Hint| {
        standing.iter().any(|it| it.code == hint.code && it.message == hint.message)
    };
    let hints = composed.hints.into_iter().filter(|hint| !stands(hint));
    findings.extend(hints.map(|hint| Finding {
        locations: located(&hint.locations),
        ..plain(hint.code.as_str(), Severity::Info, Topic::Composition, hint.message)
    }));
    Some((subgraphs, composed.supergraph))
}

fn located(locations: &[composition::Location]) -> Vec<Location> {
    let location = |it: &composition::Location| Location {
        subgraph: it.subgraph.clone(),
        line: it.line,
        column: it.column,
    };
    locations.iter().map(location).collect()
}

fn lost_keys(live: &Live, proposal: &Proposal, subgraphs: &[Subgraph], findings: &mut Vec<Finding>) {
    let parsed: BTreeMap<&str, Schema> =
        subgraphs.iter().filter_map(|it| Some((it.name.as_str(), Schema::parse(&it.sdl).ok()?))).collect();
    for subgraph in &proposal.subgraphs {
        let before = live.subgraphs.iter().find(|it| it.name == subgraph.name);
        let Some(before) = before.and_then(|before| Schema::parse(&before.sdl).ok()) else { continue };
        let Some(now) = parsed.get(subgraph.name.as_str()) else { continue };
        let others = parsed.iter().filter(|(name, _)| **name != subgraph.name);
        let others: BTreeMap<&str, &Schema> = others.map(|(name, schema)| (*name, schema)).collect();
        for lost in keys::lost(&before, now, &others) {
            let who = match lost.referrers.as_slice() {
                [] => "no other subgraph refers to it by this key".to_owned(),
                [one] => format!("{one} refers to it by this key"),
                many => format!("{} refer to it by this key", many.join(", ")),
            };
            let (ty, fields) = (&lost.ty, &lost.fields);
            let position = now.types.get(ty).map(|ty| ty.about.position).unwrap_or_default();
            findings.push(Finding {
                path: ty.clone(),
                help: format!(
                    "Gateways that still plan by the schema before ask for `{ty}` by it: keep `@key(fields: \
                     \"{fields}\")` beside the new key until all have moved on, and the other subgraphs have too."
                ),
                locations: vec![Location {
                    subgraph: subgraph.name.clone(),
                    line: position.line,
                    column: position.column,
                }],
                ..plain(
                    KEY_REMOVED,
                    if lost.is_only_way { Severity::Error } else { Severity::Warning },
                    Topic::Breaking,
                    format!("`{ty}` of {} has no key `{fields}` any more; {who}.", subgraph.name),
                )
            });
        }
    }
}
