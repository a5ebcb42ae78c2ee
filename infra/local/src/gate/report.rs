//! What the checks found, for people and for machines.

use super::findings::{Hit, Problem};
use clap::ValueEnum;
use compatibility::{Severity, rules};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// How many of the clients whom a change hits are named to people.
const NAMED: usize = 5;

/// How a report is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One object of JSON.
    Json,
    /// SARIF 2.1.0, which code hosts show beside the lines of a change.
    Sarif,
    /// Workflow commands of GitHub Actions, which become annotations.
    Github,
}

/// What the checks found.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Each check that ran.
    pub checks: Vec<Ran>,
    /// What was found, the gravest first.
    pub problems: Vec<Problem>,
    /// What could not be compared, and why that is no failure.
    pub remarks: Vec<String>,
}

/// A check that ran.
#[derive(Clone, Debug, Serialize)]
pub struct Ran {
    /// Its name.
    pub name: &'static str,
    /// What it looked at, such as `20 contracts against 2 states of them`.
    pub looked_at: String,
}

impl Report {
    /// How many problems of a severity there are.
    pub fn count(&self, severity: Severity) -> usize {
        self.problems.iter().filter(|it| it.severity == severity).count()
    }

    /// Whether nothing stops a release.
    pub fn passes(&self) -> bool {
        self.count(Severity::Error) == 0
    }

    /// The report in a format, ending in a new line.
    pub fn written(&self, format: Format) -> String {
        match format {
            Format::Text => self.text(),
            Format::Json => format!("{:#}\n", self.json()),
            Format::Sarif => format!("{:#}\n", self.sarif()),
            Format::Github => self.github(),
        }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for problem in &self.problems {
            let Problem { severity, rule, subject, path, what, why, advice, against, file, line, .. } =
                problem;
            let path = if path.is_empty() { String::new() } else { format!(" {path}") };
            let _ = writeln!(text, "{}[{rule}]: {subject}{path}: {what}", severity.name());
            let place = if *line > 0 { format!("{file}:{line}") } else { file.clone() };
            if !place.is_empty() {
                let _ = writeln!(text, "  --> {place}");
            }
            if !against.is_empty() {
                let _ = writeln!(text, "  released: {}", against.join(", "));
            }
            let _ = writeln!(text, "  why:      {why}");
            for (number, hit) in problem.hits.iter().enumerate() {
                let label = if number == 0 { "hits:" } else { "" };
                let _ = writeln!(text, "  {label:<9} {}", told(hit));
            }
            for (number, client) in problem.clients.iter().take(NAMED).enumerate() {
                let _ = writeln!(text, "  {:<9} {client}", if number == 0 { "clients:" } else { "" });
            }
            if problem.clients.len() > NAMED {
                let more = problem.clients.len() - NAMED;
                let _ = writeln!(text, "  {:<9} and {more} more (--format json names them)", "");
            }
            if !advice.is_empty() {
                let _ = writeln!(text, "  do:       {advice}");
            }
            text.push('\n');
        }
        for remark in &self.remarks {
            let _ = writeln!(text, "note: {remark}");
        }
        for Ran { name, looked_at } in &self.checks {
            let of = self.problems.iter().filter(|it| it.check == *name);
            let errors = of.clone().filter(|it| it.severity == Severity::Error).count();
            let warnings = of.filter(|it| it.severity == Severity::Warning).count();
            let verdict = match (errors, warnings) {
                (0, 0) => "ok".to_owned(),
                _ => [(errors, "error"), (warnings, "warning")]
                    .into_iter()
                    .filter(|(count, _)| *count > 0)
                    .map(|(count, what)| counted(count, what))
                    .collect::<Vec<_>>()
                    .join(", "),
            };
            let _ = writeln!(text, "{name:<14}{verdict:<22}{looked_at}");
        }
        text
    }

    fn json(&self) -> Value {
        json!({
            "passes": self.passes(),
            "errors": self.count(Severity::Error),
            "warnings": self.count(Severity::Warning),
            "checks": self.checks,
            "problems": self.problems,
            "remarks": self.remarks,
        })
    }

    fn sarif(&self) -> Value {
        let known: BTreeMap<&str, &str> = rules::ALL.iter().map(|rule| (rule.id(), rule.summary())).collect();
        let used: BTreeSet<&str> = self.problems.iter().map(|it| it.rule.as_ref()).collect();
        let rules: Vec<Value> = used
            .iter()
            .map(|id| json!({ "id": id, "shortDescription": { "text": known.get(id).unwrap_or(id) } }))
            .collect();
        let results: Vec<Value> = self.problems.iter().map(result).collect();
        json!({
            "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
            "version": "2.1.0",
            "runs": [{
                "tool": { "driver": { "name": "tributary check", "version": env!("CARGO_PKG_VERSION"), "rules": rules } },
                "results": results,
            }],
        })
    }

    fn github(&self) -> String {
        let mut text = String::new();
        for problem in &self.problems {
            let command = match problem.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
                Severity::Note => "notice",
            };
            let title = property(&format!("{} {}", problem.rule, problem.subject));
            let place = match problem.file.as_str() {
                "" => String::new(),
                file => format!("file={},line={},", property(file), problem.line.max(1)),
            };
            let _ = writeln!(text, "::{command} {place}title={title}::{}", data(&sentence(problem)));
        }
        for remark in &self.remarks {
            let _ = writeln!(text, "::notice::{}", data(remark));
        }
        text
    }
}

fn result(problem: &Problem) -> Value {
    let level = problem.severity.name();
    let mut result = json!({
        "ruleId": problem.rule,
        "level": level,
        "message": { "text": sentence(problem) },
        // The same finding has the same number in each run, wherever its line has gone.
        "partialFingerprints": { "finding/v1": contracts::digest::short(&[
            problem.rule.as_bytes(), problem.subject.as_bytes(), problem.path.as_bytes(), problem.what.as_bytes(),
        ]) },
    });
    if !problem.file.is_empty() {
        result["locations"] = json!([{ "physicalLocation": {
            "artifactLocation": { "uri": problem.file },
            "region": { "startLine": problem.line.max(1) },
        } }]);
    }
    result
}

fn sentence(problem: &Problem) -> String {
    let Problem { subject, path, what, why, advice, hits, clients, .. } = problem;
    let path = if path.is_empty() { String::new() } else { format!(" {path}") };
    let list = |label: &str, names: Vec<String>| match names.as_slice() {
        [] => String::new(),
        names => format!("\n{label}: {}.", names.join("; ")),
    };
    let hits = list("Hits", hits.iter().map(told).collect());
    let clients = list("Clients", clients.iter().take(NAMED).map(ToString::to_string).collect());
    let advice = if advice.is_empty() { String::new() } else { format!("\nDo: {advice}.") };
    format!("{subject}{path}: {what}.\nWhy: {why}.{hits}{clients}{advice}")
}

/// A micrograph that is hit, in a line.
pub fn told(hit: &Hit) -> String {
    let Hit { micrograph, stores, shows, needs } = hit;
    let mut text = micrograph.clone();
    if stores.is_empty() {
        text.push_str(" decodes it and makes nothing of it");
        return text;
    }
    let stored: Vec<String> = stores
        .iter()
        .map(|(projection, columns)| match columns.len() {
            0 => format!("{micrograph}.{projection}"),
            _ => format!(
                "{micrograph}.{projection} ({})",
                columns.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
            ),
        })
        .collect();
    text = stored.join(", ");
    if !shows.is_empty() {
        let _ = write!(text, " → {}", shows.iter().map(String::as_str).collect::<Vec<_>>().join(", "));
    }
    if *needs {
        text.push_str("; can't decode the event without it");
    }
    text
}

/// A number of things.
pub fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// What GitHub wants of a message.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// What GitHub wants of a property.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
