//! All checks, one after the other.

use super::findings::{Compared, Problem};
use super::released::{self, EVENTS, Files, SourceError, Then};
use super::report::{Ran, Report, counted};
use super::{architecture, asyncapi, graph, page, readers, samples};
use compatibility::Severity;
use micrograph::Micrograph;
use micrograph::manifest::Manifest;
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What is checked, and against what.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The repository.
    pub root: PathBuf,
    /// Commits, branches, tags and folders that today's contracts are compared with; none for the last commit and the one
    /// before it.
    pub against: Vec<String>,
    /// Breaking changes of the graph that shall not stop a release: `all`, a path, or a rule and a path.
    pub accept: BTreeSet<String>,
}

/// Earlier states of the repository, and what could not be found though nobody asked for it.
pub struct Found {
    /// The states.
    pub then: Vec<Then>,
    /// Why there are not more.
    pub remarks: Vec<String>,
}

impl Settings {
    /// The states that today's contracts are compared with.
    ///
    /// # Errors
    /// Where one that was named can't be found. Of the last commits, which nobody named, a missing one is remarked.
    pub fn then(&self) -> Result<Found, SourceError> {
        if !self.against.is_empty() {
            let then =
                self.against.iter().map(|it| released::then(&self.root, it)).collect::<Result<_, _>>()?;
            return Ok(Found { then, remarks: Vec::new() });
        }
        let mut found = Found { then: Vec::new(), remarks: Vec::new() };
        for (reference, what) in [("HEAD", "the last commit"), ("HEAD^", "the commit before it")] {
            match released::at_commit(&self.root, reference) {
                Ok(then) => found.then.push(Then { name: format!("{what}, {}", then.name), ..then }),
                Err(error) => {
                    let why = telemetry::error_chain(&error);
                    let left = "compared with the versions in `released/` alone, and with the commits that are there";
                    found.remarks.push(format!("{what} could not be looked at ({why}): {left}"));
                    if matches!(error, SourceError::NoGit(_) | SourceError::NoRepository(_)) {
                        break;
                    }
                }
            }
        }
        Ok(found)
    }
}

/// Compares events and commands with all that was released.
///
/// # Errors
/// Where what is to be compared can't be read.
pub fn contracts(settings: &Settings, micrographs: &[Micrograph]) -> anyhow::Result<Report> {
    compared(settings, settings.then()?, micrographs)
}

fn compared(settings: &Settings, found: Found, micrographs: &[Micrograph]) -> anyhow::Result<Report> {
    let Found { then, remarks } = found;
    let compared = Compared::read(&settings.root, then, readers::projected(micrographs)?)?;
    let mut report = Report { remarks, ..Report::default() };
    report.problems = compared.problems();
    let released: usize = compared.today.all.values().map(|it| it.released.len()).sum();
    report.checks.push(Ran {
        name: "contracts",
        looked_at: format!(
            "{} of today, {} frozen, {} of the folder",
            counted(compared.today.all.len(), "contract"),
            counted(released, "release"),
            counted(compared.then.len(), "state"),
        ),
    });
    Ok(report)
}

/// Runs every check. What a registry says of the subgraphs counts in place of a comparison with earlier ones: it knows
/// what is live, and who uses what.
///
/// # Errors
/// Where a check can't be carried out: that is no verdict.
pub async fn all(
    settings: &Settings,
    micrographs: &[Micrograph],
    registry: Option<registry::Report>,
) -> anyhow::Result<Report> {
    let found = settings.then()?;
    let schemas: Vec<_> = found.then.iter().map(|it| (it.name.clone(), it.schemas.clone())).collect();
    let mut report = compared(settings, found, micrographs)?;
    let manifests: Vec<Manifest> = micrographs.iter().map(Manifest::of).collect();
    let files = released::folder(&settings.root.join(EVENTS))?;
    written(&files, &manifests, &mut report);
    suite(&settings.root, &manifests, &mut report)?;
    samples::examples(micrographs, &mut report).await?;
    samples::released(micrographs, &released::today(&files)?, &mut report);
    graph::check(settings, micrographs, schemas, registry, &mut report);
    report.problems.sort_by_key(|it| it.severity);
    Ok(report)
}

/// A problem that isn't about a field.
pub(super) fn problem(check: &'static str, rule: &'static str, subject: &str, what: String) -> Problem {
    Problem {
        check,
        rule: Cow::Borrowed(rule),
        category: check,
        severity: Severity::Error,
        subject: subject.to_owned(),
        path: String::new(),
        against: Vec::new(),
        what,
        why: String::new(),
        advice: String::new(),
        hits: Vec::new(),
        clients: Vec::new(),
        file: String::new(),
        line: 0,
    }
}

/// Whether the folder `events` is what the code says.
fn written(files: &Files, manifests: &[Manifest], report: &mut Report) {
    let mut expected = released::generated();
    expected.insert(asyncapi::FILE.to_owned(), format!("{:#}\n", asyncapi::document(manifests)));
    let stale = expected
        .iter()
        .filter(|(path, text)| files.get(*path) != Some(text))
        .map(|(path, _)| (path, "is not what the code says"));
    let known = |path: &str| {
        expected.contains_key(path)
            || released::is_lasting(path)
            || [page::FILE, readers::FILE].contains(&path)
    };
    let stray =
        files.keys().filter(|path| !known(path)).map(|path| (path, "belongs to no contract of this build"));
    for (path, what) in stale.chain(stray) {
        report.problems.push(Problem {
            why: "other teams and other languages read the folder, not the code".to_owned(),
            advice: "run `UPDATE_CONTRACTS=1 cargo test -p contracts`, then `UPDATE_CONTRACTS=1 cargo test -p suite-tests --test contracts`, and review the difference".to_owned(),
            file: format!("{EVENTS}/{path}"),
            ..problem("files", "files-stale", &format!("{EVENTS}/{path}"), what.to_owned())
        });
    }
    report
        .checks
        .push(Ran { name: "files", looked_at: format!("{} of `{EVENTS}`", counted(files.len(), "file")) });
}

/// Whether the suite is put together as its map says.
fn suite(root: &Path, manifests: &[Manifest], report: &mut Report) -> anyhow::Result<()> {
    let committed = std::fs::read_to_string(root.join(architecture::FILE)).unwrap_or_default();
    if committed != architecture::map(manifests) {
        report.problems.push(Problem {
            why: "who publishes, consumes and owns what is reviewed as a difference of this file".to_owned(),
            advice: "run `UPDATE_GOLDEN=1 cargo test -p suite-tests --test architecture`, and review the difference".to_owned(),
            file: architecture::FILE.to_owned(),
            line: 1,
            ..problem("architecture", "map-stale", architecture::FILE, "it is not what the code says".to_owned())
        });
    }
    for what in architecture::loose_ends(manifests) {
        report.problems.push(Problem {
            why: "an event without a publisher never comes, one without a declaration never leaves"
                .to_owned(),
            advice: "declare it with `publishes` or `decides`, or take it out of `published::all`".to_owned(),
            file: architecture::FILE.to_owned(),
            ..problem("architecture", "loose-end", "the suite", what)
        });
    }
    let (crates, wrong) = architecture::couplings(root)?;
    for (of, on) in wrong {
        report.problems.push(Problem {
            why: "services meet in contracts and in keys of the graph; what depends on another can't be released alone".to_owned(),
            advice: "take what you need of its events with a projection of your own".to_owned(),
            file: format!("{of}/Cargo.toml"),
            ..problem("architecture", "service-coupled", &of, format!("it depends on {on}"))
        });
    }
    report.checks.push(Ran {
        name: "architecture",
        looked_at: format!("{}, {}", counted(manifests.len(), "micrograph"), counted(crates, "crate")),
    });
    Ok(())
}
