//! The check: what a proposal would make of a variant, and whom it would hit. It reads nothing but its arguments.

mod clients;
mod composing;

use crate::contract::{self, ContractError};
use crate::finding::{Finding, Location, Report, Severity, Topic};
use crate::lint::{Lint, lint};
use crate::schema::Schema;
use crate::settings::Settings;
use composition::Subgraph;
use schemas::usage::Usage;
use schemas::{ContractName, Hash, Tags};
use std::collections::{BTreeMap, BTreeSet};

/// The rule that an entity has a key no more.
pub const KEY_REMOVED: &str = "key-removed";

/// What is live.
#[derive(Clone, Debug, Default)]
pub struct Live {
    /// Its subgraphs.
    pub subgraphs: Vec<Subgraph>,
    /// What they were composed to; none where nothing is live yet.
    pub supergraph: Option<String>,
    /// The supergraphs of its contracts.
    pub contracts: BTreeMap<ContractName, (Tags, String)>,
}

/// What somebody would like to be live.
#[derive(Clone, Debug, Default)]
pub struct Proposal {
    /// Subgraphs, new or in place of those of the same names.
    pub subgraphs: Vec<Subgraph>,
    /// Names of subgraphs that are to go.
    pub remove: BTreeSet<String>,
    /// Contracts that are to be set.
    pub contracts: BTreeMap<ContractName, Tags>,
    /// Names of contracts that are to go.
    pub remove_contracts: BTreeSet<ContractName>,
    /// Breaking changes that shall not fail the check: `all`, a path, or a rule and a path with a space between.
    pub accept: BTreeSet<String>,
}

/// What clients use, as far as it is known.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// The usage.
    pub usage: Usage,
    /// Where it is from, in words for people: `production in the last 30 days`.
    pub of: String,
}

/// What would be live.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Its subgraphs.
    pub subgraphs: Vec<Subgraph>,
    /// Its supergraph.
    pub supergraph: String,
    /// Its contracts, with their supergraphs.
    pub contracts: BTreeMap<ContractName, (Tags, String)>,
}

/// A report, and what would be live where there is anything.
#[derive(Clone, Debug)]
pub struct Checked {
    /// What was found.
    pub report: Report,
    /// What would be live; none where it doesn't compose.
    pub candidate: Option<Candidate>,
}

/// Checks a proposal against what is live and what clients use.
pub fn check(live: &Live, proposal: &Proposal, known: &Known, settings: &Settings) -> Checked {
    let mut report = Report::default();
    let subgraphs = composing::assembled(live, proposal, &mut report.findings);
    lints(live, proposal, settings, &mut report);
    let candidate = composing::composed(live, proposal, subgraphs, &mut report.findings).and_then(
        |(subgraphs, supergraph)| {
            let contracts = contracts(live, proposal, &supergraph, &mut report.findings)?;
            Some(Candidate { subgraphs, supergraph, contracts })
        },
    );
    if let Some(candidate) = &candidate {
        report.supergraph = Some(Hash::of(&candidate.supergraph));
        clients::changes(live, candidate, known, settings, &mut report);
        accept(&proposal.accept, &mut report.findings);
    }
    locate(live, proposal, &mut report.findings);
    report.sort();
    Checked { report, candidate }
}

/// What the lints say of the proposed subgraphs, but not of those that stand.
fn lints(live: &Live, proposal: &Proposal, settings: &Settings, report: &mut Report) {
    for subgraph in &proposal.subgraphs {
        // What doesn't parse, composition tells better.
        let Ok(schema) = Schema::parse(&subgraph.sdl) else { continue };
        let before = live.subgraphs.iter().find(|it| it.name == subgraph.name);
        let before = before.and_then(|before| Schema::parse(&before.sdl).ok());
        let standing: BTreeSet<(Lint, String)> =
            before.iter().flat_map(lint).map(|linted| (linted.lint, linted.path)).collect();
        for linted in lint(&schema) {
            let Some(severity) = settings.level(linted.lint).severity() else { continue };
            if standing.contains(&(linted.lint, linted.path.clone())) {
                report.standing += 1;
                continue;
            }
            report.findings.push(Finding {
                rule: linted.lint.id().to_owned(),
                severity,
                topic: Topic::Lint,
                path: linted.path,
                contract: None,
                message: linted.message,
                help: linted.lint.help().to_owned(),
                locations: vec![Location {
                    subgraph: subgraph.name.clone(),
                    line: linted.position.0,
                    column: linted.position.1,
                }],
                hit: Vec::new(),
                accepted: false,
            });
        }
    }
}

/// The contracts' supergraphs; none where one can't be made.
fn contracts(
    live: &Live,
    proposal: &Proposal,
    supergraph: &str,
    findings: &mut Vec<Finding>,
) -> Option<BTreeMap<ContractName, (Tags, String)>> {
    let mut wanted: BTreeMap<&ContractName, &Tags> =
        live.contracts.iter().map(|(name, (tags, _))| (name, tags)).collect();
    wanted.extend(&proposal.contracts);
    wanted.retain(|name, _| !proposal.remove_contracts.contains(name));
    let mut made = BTreeMap::new();
    let mut whole = true;
    for (name, tags) in wanted {
        if proposal.contracts.contains_key(name) {
            let unknown = contract::unknown_tags(supergraph, tags).unwrap_or_default();
            findings.extend(unknown.into_iter().map(|tag| Finding {
                contract: Some(name.to_string()),
                help: "Is it spelt as in the subgraphs? Until something has it, it neither hides nor shows anything."
                    .to_owned(),
                ..plain(
                    "contract-unknown-tag",
                    Severity::Warning,
                    Topic::Contract,
                    format!("Nothing in the graph has the tag `{tag}`."),
                )
            }));
        }
        match contract::filtered(supergraph, tags) {
            Ok(sdl) => {
                made.insert(name.clone(), (tags.clone(), sdl));
            }
            Err(ContractError::Torn(tears)) => {
                whole = false;
                findings.extend(tears.into_iter().map(|tear| Finding {
                    rule: tear.rule.to_owned(),
                    severity: Severity::Error,
                    topic: Topic::Contract,
                    path: tear.path,
                    contract: Some(name.to_string()),
                    message: tear.message,
                    help: tear.help,
                    locations: Vec::new(),
                    hit: Vec::new(),
                    accepted: false,
                }));
            }
            Err(error @ ContractError::Syntax(_)) => {
                whole = false;
                findings.push(plain("contract-syntax", Severity::Error, Topic::Contract, error.to_string()));
            }
        }
    }
    whole.then_some(made)
}

/// Says where in the proposed schemas a change is: the part itself, or the type that it was in.
fn locate(live: &Live, proposal: &Proposal, findings: &mut [Finding]) {
    let parsed = |subgraphs: &[Subgraph], name: &str| {
        let subgraph = subgraphs.iter().find(|it| it.name == name)?;
        Schema::parse(&subgraph.sdl).ok()
    };
    for subgraph in &proposal.subgraphs {
        let Ok(now) = Schema::parse(&subgraph.sdl) else { continue };
        let before = parsed(&live.subgraphs, &subgraph.name);
        for finding in findings.iter_mut() {
            let is_change = matches!(finding.topic, Topic::Breaking | Topic::Dangerous);
            if !is_change || finding.locations.iter().any(|it| it.subgraph == subgraph.name) {
                continue;
            }
            let had = before.as_ref().is_some_and(|before| before.position(&finding.path).is_some());
            let ty = finding.path.split('.').next().unwrap_or_default();
            let position = now.position(&finding.path).or_else(|| now.position(ty).filter(|_| had));
            finding.locations.extend(position.map(|it| Location {
                subgraph: subgraph.name.clone(),
                line: it.line,
                column: it.column,
            }));
        }
    }
}

/// Takes the errors that were accepted by name for warnings.
fn accept(accepted: &BTreeSet<String>, findings: &mut [Finding]) {
    for finding in findings.iter_mut().filter(|it| it.topic == Topic::Breaking) {
        let named = format!("{} {}", finding.rule, finding.path);
        let is_accepted = ["all", &finding.path, &named].iter().any(|it| accepted.contains(*it));
        if is_accepted && finding.severity == Severity::Error {
            finding.severity = Severity::Warning;
            finding.accepted = true;
        }
    }
}

/// A finding that has no place.
fn plain(rule: &str, severity: Severity, topic: Topic, message: String) -> Finding {
    Finding {
        rule: rule.to_owned(),
        severity,
        topic,
        path: String::new(),
        contract: None,
        message,
        help: String::new(),
        locations: Vec::new(),
        hit: Vec::new(),
        accepted: false,
    }
}
