//! All of today's contracts against all that was released.

use super::{Contract, Contracts, Form, Id, Minor, Role};
use crate::compare::{compare, explain};
use crate::finding::Finding;
use crate::rules::Rule;
use std::collections::{BTreeMap, BTreeSet};

/// Compares today's contracts with every released version: those beside them, and those that stood at other times, such
/// as the last commit's, each time with its name.
///
/// A difference from several released versions is told once, with all of them.
pub fn check(today: &Contracts, then: &[(String, Contracts)]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let ids: BTreeSet<&Id> =
        today.all.keys().chain(then.iter().flat_map(|(_, then)| then.all.keys())).collect();
    let nothing = Contract::default();
    for id in ids {
        let now = today.all.get(id).unwrap_or(&nothing);
        let before: Vec<(&str, &Contract)> =
            then.iter().filter_map(|(name, then)| Some((name.as_str(), then.all.get(id)?))).collect();
        // A release that was changed or taken away counts as it was.
        let mut released: BTreeMap<u16, &Form> =
            now.released.iter().map(|(minor, form)| (*minor, form)).collect();
        for (_, contract) in &before {
            released.extend(contract.released.iter().map(|(minor, form)| (*minor, form)));
            frozen(id, now, contract, &mut findings);
        }
        let minor = |(minor, form)| (Minor { major: id.major, minor }.to_string(), form);
        let mut versions: Vec<(String, &Form)> = released.into_iter().map(minor).collect();
        for (name, contract) in before {
            versions.extend(contract.today.as_ref().map(|form| (name.to_owned(), form)));
        }
        contract(id, now, &versions, &mut findings);
    }
    findings.sort_by(|a, b| (a.severity, &a.contract, &a.path).cmp(&(b.severity, &b.contract, &b.path)));
    findings
}

fn contract(id: &Id, now: &Contract, versions: &[(String, &Form)], findings: &mut Vec<Finding>) {
    let role = versions.first().map_or(now.role(), |(_, form)| form.role());
    if now.retired.is_some() {
        if now.today.is_some() {
            let what = "it is marked as retired, and still declared".to_owned();
            findings.push(explain((id, role), Rule::RetiredInUse, what, Vec::new()));
        }
        return;
    }
    let Some(today) = &now.today else {
        if !versions.is_empty() {
            let against = versions.iter().map(|(name, _)| name.clone()).collect();
            findings.push(explain((id, role), Rule::ContractRemoved, "it is gone".to_owned(), against));
        }
        return;
    };
    let shape = match &today.shape {
        Ok(shape) => shape,
        Err(outside) => {
            let mut finding = explain((id, role), Rule::OutsideSubset, outside.what.clone(), Vec::new());
            finding.path = if outside.place == "." { String::new() } else { outside.place.clone() };
            outside.advice.clone_into(&mut finding.advice);
            findings.push(finding);
            return;
        }
    };
    let mut told: Vec<Finding> = Vec::new();
    for (name, form) in versions {
        let found = match &form.shape {
            Err(outside) => vec![explain((id, role), Rule::OutsideSubset, outside.to_string(), Vec::new())],
            Ok(released) => {
                let mut found = compare(id, role, released, shape);
                let (was, is) = (&form.example["kind"], &today.example["kind"]);
                if role == Role::Event && was != is {
                    let what = format!("it was a {was}, now it is a {is}").replace('"', "`");
                    found.push(explain((id, role), Rule::KindChanged, what, Vec::new()));
                }
                found
            }
        };
        for finding in found {
            let same = |it: &&mut Finding| {
                (it.rule, &it.path, it.direction, &it.what)
                    == (finding.rule, &finding.path, finding.direction, &finding.what)
            };
            match told.iter_mut().find(same) {
                Some(known) => known.against.push(name.clone()),
                None => told.push(Finding { against: vec![name.clone()], ..finding }),
            }
        }
    }
    findings.append(&mut told);
}

/// Released files are never changed.
fn frozen(id: &Id, now: &Contract, before: &Contract, findings: &mut Vec<Finding>) {
    for (minor, form) in &before.released {
        let name = Minor { major: id.major, minor: *minor };
        let what = match now.released.get(minor) {
            None => format!("{name} was removed"),
            Some(is) if is.schema != form.schema || is.example != form.example => {
                format!("{name} was changed")
            }
            Some(_) => continue,
        };
        let finding = explain((id, form.role()), Rule::ReleaseChanged, what, vec![name.to_string()]);
        if !findings.contains(&finding) {
            findings.push(finding);
        }
    }
}
