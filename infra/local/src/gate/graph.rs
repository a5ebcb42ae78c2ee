//! The graph: whether the micrographs' subgraphs make one, whether it is the committed one, and what changes for clients.

use super::checks::{Settings, problem};
use super::findings::Problem;
use super::released;
use super::report::{Ran, Report, counted};
use compatibility::Severity;
use micrograph::{App, Environment, Micrograph};
use registry::check::KEY_REMOVED;
use registry::{Finding, Known, Live, Proposal, Subgraph, Submission, Submitted, Topic};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

/// The composed graph, from the repository's root.
const SUPERGRAPH: &str = "tests/supergraph.graphql";

/// What the registry is asked: what a publish of the subgraphs as the code has them would come to.
pub fn submission(micrographs: &[Micrograph], accept: &BTreeSet<String>) -> Submission {
    let submitted = |it: Subgraph| Submitted { name: it.name, sdl: it.sdl, url: None };
    Submission {
        subgraphs: subgraphs(micrographs).into_iter().map(submitted).collect(),
        accept: accept.clone(),
        ..Submission::default()
    }
}

/// The subgraphs as the code has them.
fn subgraphs(micrographs: &[Micrograph]) -> Vec<Subgraph> {
    let subgraph = |micrograph: &Micrograph| {
        let name = micrograph.name();
        let app = App::new(micrograph.clone(), Environment::nowhere());
        Some(named(name, app.subgraph()?.sdl.clone()))
    };
    micrographs.iter().filter_map(subgraph).collect()
}

fn named(name: &str, sdl: String) -> Subgraph {
    Subgraph { name: name.to_owned(), url: format!("in-process:{name}"), sdl }
}

/// Composes the subgraphs as the code has them, and compares them with earlier ones, or takes what a registry said.
pub(super) fn check(
    settings: &Settings,
    micrographs: &[Micrograph],
    then: Vec<(String, BTreeMap<String, String>)>,
    registry: Option<registry::Report>,
    report: &mut Report,
) {
    let today = subgraphs(micrographs);
    committed(&settings.root, &today, report);
    let mut looked_at = format!("{} composed", counted(today.len(), "subgraph"));
    if let Some(told) = registry {
        let operations = usize::try_from(told.operations).unwrap_or(usize::MAX);
        let _ = write!(looked_at, ", held against {} in use", counted(operations, "operation"));
        report.problems.extend(told.findings.into_iter().filter(is_told).map(changed));
    } else {
        let states = compared(settings, &today, then, report);
        let _ = write!(looked_at, ", compared with {}", counted(states, "earlier graph"));
    }
    report.checks.push(Ran { name: "graph", looked_at });
}

/// Whether what is committed is what the code says.
fn committed(root: &Path, today: &[Subgraph], report: &mut Report) {
    for Subgraph { name, sdl, .. } in today {
        let file = released::schema_file(name);
        if std::fs::read_to_string(root.join(&file)).unwrap_or_default() != *sdl {
            report.problems.push(Problem {
                why: "the schema that is published and reviewed is the committed one".to_owned(),
                advice: format!("run `UPDATE_SCHEMA=1 cargo test -p {name}`, and review the difference"),
                file,
                line: 1,
                ..problem(
                    "graph",
                    "schema-stale",
                    name,
                    "its schema.graphql is not what the code serves".to_owned(),
                )
            });
        }
    }
    // Why it doesn't compose, if it doesn't, is told with the place by the comparison.
    let Ok(supergraph) = gateway::compose(today) else { return };
    if std::fs::read_to_string(root.join(SUPERGRAPH)).unwrap_or_default() != supergraph.sdl() {
        report.problems.push(Problem {
            why: "what clients see is reviewed as a difference of this file".to_owned(),
            advice: "run `UPDATE_GOLDEN=1 cargo test -p suite-tests --test composition`, and review the difference"
                .to_owned(),
            file: SUPERGRAPH.to_owned(),
            line: 1,
            ..problem("graph", "supergraph-stale", SUPERGRAPH, "it is not what the subgraphs compose to".to_owned())
        });
    }
}

/// Checks today's subgraphs as the registry would, had it the earlier ones live. Gives how many earlier graphs there were.
fn compared(
    settings: &Settings,
    today: &[Subgraph],
    then: Vec<(String, BTreeMap<String, String>)>,
    report: &mut Report,
) -> usize {
    let mut states: Vec<(Option<String>, Live)> = Vec::new();
    for (state, schemas) in then.into_iter().filter(|(_, schemas)| !schemas.is_empty()) {
        let subgraphs: Vec<Subgraph> = schemas.into_iter().map(|(name, sdl)| named(&name, sdl)).collect();
        match gateway::compose(&subgraphs) {
            Ok(supergraph) => {
                let supergraph = Some(supergraph.sdl().to_owned());
                states.push((Some(state), Live { subgraphs, supergraph, ..Live::default() }));
            }
            Err(_) => report.remarks.push(format!(
                "the subgraphs of {state} don't compose: what changed for clients since is not known"
            )),
        }
    }
    let count = states.len();
    if states.is_empty() {
        // With itself: whether it composes is told, and no change.
        states.push((None, Live { subgraphs: today.to_vec(), ..Live::default() }));
    }
    let mut problems: Vec<Problem> = Vec::new();
    for (state, live) in states {
        let gone = live.subgraphs.iter().map(|it| &it.name);
        let gone = gone.filter(|name| !today.iter().any(|it| it.name == **name)).cloned();
        let proposal = Proposal {
            subgraphs: today.to_vec(),
            remove: gone.collect(),
            accept: settings.accept.clone(),
            ..Proposal::default()
        };
        let known = Known { of: "any client".to_owned(), ..Known::default() };
        let checked = registry::check(&live, &proposal, &known, &registry::Settings::default());
        for finding in checked.report.findings.into_iter().filter(is_told) {
            let is_change = matches!(finding.topic, Topic::Breaking | Topic::Dangerous);
            if finding.topic == Topic::Usage {
                continue;
            }
            let problem = if is_change { unused(finding) } else { changed(finding) };
            let same = |it: &&mut Problem| {
                (&it.rule, &it.path, &it.what) == (&problem.rule, &problem.path, &problem.what)
            };
            let against = state.clone().filter(|_| is_change);
            if let Some(known) = problems.iter_mut().find(same) {
                known.against.extend(against);
            } else {
                problems.push(Problem { against: against.into_iter().collect(), ..problem });
            }
        }
    }
    report.problems.extend(problems);
    count
}

/// What a check tells; `tributary schema diff` tells the rest.
fn is_told(finding: &Finding) -> bool {
    finding.severity > registry::Severity::Info
}

/// A change of which nobody knows here whom it hits: that it is one is for a registry to judge, which does.
fn unused(finding: Finding) -> Problem {
    let is_guess = finding.severity == registry::Severity::Error && finding.rule != KEY_REMOVED;
    let problem = changed(finding);
    if !is_guess {
        return problem;
    }
    let asked = "which clients send it, a registry knows: name it with --registry URL or --store DIR";
    Problem {
        severity: Severity::Warning,
        advice: format!("{}; {asked}", unended(&problem.advice)),
        ..problem
    }
}

/// What a registry found, as this gate tells it.
fn changed(finding: Finding) -> Problem {
    let is_of_graph = finding.topic != Topic::Usage;
    let (category, why) = match finding.topic {
        Topic::Composition => ("composition", "without a supergraph there is no gateway"),
        Topic::Breaking => {
            ("breaking", "an operation that was right is refused, or answered with something else")
        }
        Topic::Dangerous => ("dangerous", "a client may meet what it was not built for"),
        Topic::Safe => ("safe", "no client notices it"),
        Topic::Lint => ("lint", "clients read the schema first, and it stays for long"),
        Topic::Contract => ("contract", "a contract's clients would see a torn graph, or none"),
        Topic::Usage => ("usage", "without it nobody knows whom a change hits"),
    };
    let Finding { rule, severity, path, contract, message, help, locations, hit, accepted, .. } = finding;
    let place = locations.first();
    let mut what = unended(&message).to_owned();
    if let Some(contract) = contract {
        let _ = write!(what, " (contract {contract})");
    }
    if accepted {
        what += " (accepted)";
    }
    Problem {
        category,
        severity: match severity {
            registry::Severity::Error => Severity::Error,
            registry::Severity::Warning => Severity::Warning,
            registry::Severity::Info => Severity::Note,
        },
        path,
        why: why.to_owned(),
        advice: unended(&help).to_owned(),
        clients: hit,
        file: match (place, is_of_graph) {
            (Some(place), _) => released::schema_file(&place.subgraph),
            (None, true) => SUPERGRAPH.to_owned(),
            (None, false) => String::new(),
        },
        line: place.map_or(0, |place| place.line),
        rule: Cow::Owned(rule),
        ..problem("graph", "", place.map_or("the graph", |place| &place.subgraph), what)
    }
}

/// A sentence without its full stop: the report sets its own.
fn unended(sentence: &str) -> &str {
    sentence.strip_suffix('.').unwrap_or(sentence)
}
