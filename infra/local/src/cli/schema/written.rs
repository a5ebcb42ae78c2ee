//! What the registry says, for people and for machines.

use super::Format;
use registry::lint::Lint;
use registry::registry::Difference;
use registry::{Finding, Location, Published, Report, Settings, Severity, Topic};
use schemas::{Deed, Release, Variant};
use serde_json::json;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// How many of those whom a change hits are named to people.
const NAMED: usize = 5;

/// The files that were submitted, by subgraph.
#[derive(Default)]
pub(super) struct Sources(RefCell<BTreeMap<String, (String, String)>>);

impl Sources {
    pub fn note(&self, subgraph: &str, file: &str, text: &str) {
        self.0.borrow_mut().insert(subgraph.to_owned(), (file.to_owned(), text.to_owned()));
    }

    /// The file of a place, and its line.
    fn at(&self, location: &Location) -> (String, Option<String>) {
        match self.0.borrow().get(&location.subgraph) {
            Some((file, text)) => {
                let line = text.lines().nth(location.line.saturating_sub(1)).map(str::to_owned);
                (file.clone(), line)
            }
            None => (location.subgraph.clone(), None),
        }
    }
}

/// What was asked for.
pub(super) enum Told {
    Report(Report),
    Published(Published),
    List(Vec<(Variant, Release)>),
    Diff(Difference),
    History(Vec<Release>),
    Sdl(String),
    Contracts(Release),
    Lints(Settings),
}

impl Told {
    /// Whether there is nothing wrong in it.
    pub fn passed(&self) -> bool {
        match self {
            Self::Report(report) => report.passed(),
            _ => true,
        }
    }

    pub fn written(&self, format: Format, sources: &Sources) -> anyhow::Result<String> {
        let pretty = |value: serde_json::Value| Ok(serde_json::to_string_pretty(&value)? + "\n");
        match (self, format) {
            (Self::Sdl(sdl), _) => Ok(format!("{}\n", sdl.trim_end())),
            (Self::Report(report), Format::Github) => Ok(annotations(report, sources)),
            (Self::Published(it), Format::Github) => Ok(annotations(&it.report, sources) + &done(it)),
            (Self::Report(report), Format::Json) => pretty(json!(report)),
            (Self::Published(published), Format::Json) => pretty(json!(published)),
            (Self::List(list), Format::Json) => {
                let list =
                    list.iter().map(|(variant, release)| json!({"variant": variant, "release": release}));
                pretty(list.collect())
            }
            (Self::Diff(diff), Format::Json) => pretty(json!(diff)),
            (Self::History(history), Format::Json) => pretty(json!(history)),
            (Self::Contracts(release), Format::Json) => pretty(json!(release.contracts)),
            (Self::Lints(settings), Format::Json) => pretty(lints(settings)),
            (Self::Report(report), Format::Text) => Ok(findings(report, sources) + &verdict(report)),
            (Self::Published(it), Format::Text) => Ok(findings(&it.report, sources) + &done(it)),
            (Self::List(list), _) => Ok(listed(list)),
            (Self::Diff(diff), _) => Ok(differences(diff)),
            (Self::History(history), _) => Ok(history.iter().map(entry).collect()),
            (Self::Contracts(release), _) => Ok(contracts(release)),
            (Self::Lints(settings), _) => {
                Ok(Lint::ALL.iter().map(|lint| lint_line(*lint, settings)).collect())
            }
        }
    }
}

fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// The findings as a compiler says them. Safe changes are only counted: they are in `diff`.
fn findings(report: &Report, sources: &Sources) -> String {
    let mut text = String::new();
    for finding in report.findings.iter().filter(|it| it.topic != Topic::Safe) {
        let contract = finding.contract.as_ref().map(|it| format!(" (contract {it})")).unwrap_or_default();
        let accepted = if finding.accepted { ", accepted" } else { "" };
        let _ = writeln!(
            text,
            "{}[{}]{contract}{accepted}: {}",
            finding.severity.word(),
            finding.rule,
            finding.message
        );
        for location in &finding.locations {
            let (file, line) = sources.at(location);
            let _ = writeln!(text, "  --> {file}:{}:{}", location.line, location.column);
            if let Some(line) = line {
                let width = location.line.to_string().len();
                let indent: String = line
                    .chars()
                    .take(location.column.saturating_sub(1))
                    .map(|it| if it == '\t' { it } else { ' ' })
                    .collect();
                let _ = writeln!(
                    text,
                    "  {:width$} |\n  {} | {line}\n  {:width$} | {indent}^",
                    "", location.line, ""
                );
            }
        }
        for hit in finding.hit.iter().take(NAMED) {
            let _ = writeln!(text, "  = hits: {hit}");
        }
        if finding.hit.len() > NAMED {
            let _ =
                writeln!(text, "  = hits: and {} more (--format json names them)", finding.hit.len() - NAMED);
        }
        if !finding.help.is_empty() {
            let _ = writeln!(text, "  = help: {}", finding.help);
        }
        text.push('\n');
    }
    text
}

fn verdict(report: &Report) -> String {
    let safe = report.findings.iter().filter(|it| it.topic == Topic::Safe).count();
    let mut text = format!(
        "{}: {}, {}",
        if report.passed() { "Passed" } else { "Failed" },
        counted(report.count(Severity::Error), "error"),
        counted(report.count(Severity::Warning), "warning")
    );
    if safe > 0 {
        let _ = write!(text, ", {}", counted(safe, "safe change"));
    }
    if report.operations > 0 {
        let operations = usize::try_from(report.operations).unwrap_or(usize::MAX);
        let _ = write!(text, "; held against {} in use", counted(operations, "operation"));
    }
    if report.standing > 0 {
        let standing = usize::try_from(report.standing).unwrap_or(usize::MAX);
        let _ = write!(text, "; {} stood before", counted(standing, "lint"));
    }
    text + ".\n"
}

fn done(published: &Published) -> String {
    let Published { release, unchanged, shown, report } = published;
    if *unchanged {
        return format!("Nothing changed: version {} stands.\n", release.version);
    }
    let mut text = format!("Version {} is live: {}.", release.version, deed(release));
    let warnings = report.count(Severity::Warning);
    if warnings > 0 {
        let _ = write!(text, " {}.", counted(warnings, "warning"));
    }
    if !shown {
        text.push_str(" Gateways don't see it yet: `tributary schema list` shows it to them.");
    }
    text + "\n"
}

fn deed(release: &Release) -> String {
    match &release.deed {
        Deed::Publish { changed, removed, accepted, from } => {
            let words = |names: &std::collections::BTreeSet<String>| {
                names.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
            };
            let mut parts = Vec::new();
            if let Some(from) = from {
                parts.push(format!("a copy of {from}"));
            }
            if !changed.is_empty() {
                parts.push(format!("published {}", words(changed)));
            }
            if !removed.is_empty() {
                parts.push(format!("removed {}", words(removed)));
            }
            if !accepted.is_empty() {
                parts.push(format!("accepted {}", words(accepted)));
            }
            if parts.is_empty() { "composed again".to_owned() } else { parts.join("; ") }
        }
        Deed::Rollback { to } => format!("rolled back to version {to}"),
        Deed::Contract { name } if release.contracts.contains_key(name) => format!("set the contract {name}"),
        Deed::Contract { name } => format!("removed the contract {name}"),
    }
}

fn listed(list: &[(Variant, Release)]) -> String {
    if list.is_empty() {
        return "Nothing was published yet: `tributary schema publish NAME=FILE` is how.\n".to_owned();
    }
    let mut text = String::new();
    for (variant, release) in list {
        let at = release.at.strftime("%Y-%m-%d %H:%MZ");
        let _ = writeln!(
            text,
            "{variant}: version {}, {at}, by {} (supergraph {})",
            release.version,
            release.by,
            release.supergraph.short()
        );
        for (name, live) in &release.subgraphs {
            let _ =
                writeln!(text, "  {}", format!("{name:<20}{}  {}", live.sdl.short(), live.url).trim_end());
        }
        text.push_str(&contracts_of(release));
    }
    text
}

fn contracts(release: &Release) -> String {
    if release.contracts.is_empty() {
        return "There are no contracts: `tributary schema contract set NAME --exclude TAG` makes one.\n"
            .to_owned();
    }
    contracts_of(release)
}

fn contracts_of(release: &Release) -> String {
    let mut text = String::new();
    for (name, contract) in &release.contracts {
        let tags: Vec<String> = (contract.tags.include.iter().map(|tag| format!("+{tag}")))
            .chain(contract.tags.exclude.iter().map(|tag| format!("-{tag}")))
            .collect();
        let _ = writeln!(
            text,
            "  contract {name}: {} (supergraph {})",
            tags.join(" "),
            contract.supergraph.short()
        );
    }
    text
}

fn entry(release: &Release) -> String {
    let at = release.at.strftime("%Y-%m-%d %H:%M:%SZ");
    let message =
        if release.message.is_empty() { String::new() } else { format!("\n      {}", release.message) };
    format!("{:>5} {at} {}: {}{message}\n", release.version, release.by, deed(release))
}

fn differences(diff: &Difference) -> String {
    let mut text = format!("From version {} to {}:", diff.from, diff.to);
    if diff.changes.is_empty() {
        return text + " nothing changed for clients.\n";
    }
    text.push('\n');
    for change in &diff.changes {
        let _ = writeln!(text, "  {:<10}{}: {}", change.category.word(), change.rule, change.message);
    }
    text
}

fn lint_line(lint: Lint, settings: &Settings) -> String {
    let level = match settings.level(lint).severity() {
        None => "off",
        Some(severity) => severity.word(),
    };
    format!("{:<26}{level:<9}{}\n", lint.id(), lint.meaning())
}

fn lints(settings: &Settings) -> serde_json::Value {
    let lint = |lint: &Lint| json!({"id": lint.id(), "level": settings.level(*lint), "meaning": lint.meaning(), "help": lint.help()});
    Lint::ALL.iter().map(lint).collect()
}

/// Findings as the commands of a GitHub workflow.
fn annotations(report: &Report, sources: &Sources) -> String {
    let mut text = String::new();
    for finding in report.findings.iter().filter(|it| it.topic != Topic::Safe) {
        text.push_str(&annotation(finding, sources));
    }
    text + &verdict(report)
}

fn annotation(finding: &Finding, sources: &Sources) -> String {
    let level = match finding.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "notice",
    };
    let place = finding.locations.first().map(|location| {
        let (file, _) = sources.at(location);
        format!("file={},line={},col={},", property(&file), location.line, location.column)
    });
    let hit: Vec<String> = finding.hit.iter().take(NAMED).map(|hit| format!("\nhits: {hit}")).collect();
    let words = format!("{}{}\n{}", finding.message, hit.concat(), finding.help);
    let words = words.trim_end().replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    format!("::{level} {}title={}::{words}\n", place.unwrap_or_default(), property(&finding.rule))
}

fn property(text: &str) -> String {
    let text = text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    text.replace(':', "%3A").replace(',', "%2C")
}
