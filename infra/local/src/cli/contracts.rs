//! `tributary contracts` and `tributary check`: what a release would break, and whom.

use super::schema;
use crate::gate::checks::{self, Settings};
use crate::gate::readers::{self, Reader};
use crate::gate::released::{self, EVENTS};
use crate::gate::report::{Format, Report, counted, told};
use crate::gate::{findings, graph};
use crate::shop;
use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use compatibility::probe::inside;
use compatibility::{Contracts, Id, Severity};
use micrograph::manifest::Manifest;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use tracing::instrument::WithSubscriber as _;
use tracing::subscriber::NoSubscriber;

#[derive(Debug, Subcommand)]
pub(super) enum Action {
    /// Compare every event and command with all released versions, both ways.
    ///
    /// Exit codes: 0 where nothing stops a release, 1 where something does, 2 where the command line is wrong, 3 where the
    /// comparison could not be carried out.
    Check {
        #[command(flatten)]
        checked: Checked,
    },
    /// See who reads an event, and what of it: by projection and attribute, and as which fields of the graph
    Who {
        /// The event, as `OrderPlaced` or `orders.OrderPlaced`
        #[arg(long, value_name = "NAME")]
        event: String,
        /// Only this field and those inside it, such as lines or lines[].sku
        #[arg(long, value_name = "PATH")]
        field: Option<String>,
        /// Write JSON
        #[arg(long)]
        json: bool,
    },
    /// Freeze today's contracts as the next released version of each that changed since its last
    Release {
        #[command(flatten)]
        at: At,
    },
    /// Mark a major version that nobody reads or writes any more
    Retire {
        /// The event or command, as orders.OrderPlaced
        #[arg(value_name = "DOMAIN.NAME")]
        name: String,
        /// The major version
        #[arg(long, value_name = "NUMBER")]
        major: u16,
        /// Why it can go: what the metric said, and since when
        #[arg(long, value_name = "TEXT")]
        why: String,
        #[command(flatten)]
        at: At,
    },
}

#[derive(Debug, Args)]
pub(super) struct At {
    /// The repository [default: the nearest folder upwards that has a folder `events`]
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct Checked {
    /// A branch, tag, commit or folder to compare with; may be repeated [default: HEAD and the commit before it]
    #[arg(long, value_name = "GIT_REF|DIR")]
    against: Vec<String>,
    /// How the report is written
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
    /// Let warnings stop a release too
    #[arg(long)]
    deny_warnings: bool,
    #[command(flatten)]
    at: At,
}

#[derive(Debug, Args)]
pub(super) struct Gate {
    #[command(flatten)]
    checked: Checked,
    #[command(flatten)]
    deployed: schema::Deployed,
    /// Let a breaking change of the graph pass: its path, `RULE PATH`, or `all`; may be given several times
    #[arg(long, value_name = "CHANGE")]
    accept: Vec<String>,
}

/// The command came to its end, and its verdict is not success.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stopped {
    /// Something stops a release; the report says what.
    #[error("something stops a release")]
    Found,
    /// A check could not be carried out; it was said why.
    #[error("a check could not be carried out")]
    Unchecked,
}

impl Stopped {
    /// The exit code of the process.
    pub fn code(self) -> ExitCode {
        match self {
            Self::Found => ExitCode::from(1),
            Self::Unchecked => ExitCode::from(3),
        }
    }
}

pub(super) async fn run(action: Action) -> anyhow::Result<()> {
    match action {
        Action::Check { checked } => {
            let report = checked.settings().and_then(|settings| checks::contracts(&settings, &shop::all()));
            concluded(report, &checked)
        }
        Action::Who { event, field, json } => Box::pin(who(&event, field.as_deref(), json)).await,
        Action::Release { at } => release(&at),
        Action::Retire { name, major, why, at } => retire(&name, major, &why, &at),
    }
}

/// `tributary check`.
pub(super) async fn check(gate: &Gate) -> anyhow::Result<()> {
    concluded(Box::pin(reported(gate)).await, &gate.checked)
}

async fn reported(gate: &Gate) -> anyhow::Result<Report> {
    let settings = Settings { accept: gate.accept.iter().cloned().collect(), ..gate.checked.settings()? };
    let micrographs = shop::all();
    let submission = graph::submission(&micrographs, &settings.accept);
    let registry = gate.deployed.check(&submission).await?;
    Box::pin(quietly(checks::all(&settings, &micrographs, registry))).await
}

impl Checked {
    fn settings(&self) -> anyhow::Result<Settings> {
        Ok(Settings { root: self.at.root()?, against: self.against.clone(), accept: BTreeSet::new() })
    }
}

impl At {
    fn root(&self) -> anyhow::Result<PathBuf> {
        match &self.root {
            Some(root) if root.join(EVENTS).is_dir() => Ok(root.clone()),
            Some(root) => bail!("{} has no folder `{EVENTS}`: name the repository's root", root.display()),
            None => Ok(released::root(&std::env::current_dir()?)?),
        }
    }
}

/// Without a log: what a consumer says of a message that was made to be wrong is part of no report.
async fn quietly<T>(work: impl Future<Output = T>) -> T {
    work.with_subscriber(NoSubscriber::default()).await
}

/// Writes the report and makes its verdict the command's.
fn concluded(report: anyhow::Result<Report>, checked: &Checked) -> anyhow::Result<()> {
    let report = match report {
        Ok(report) => report,
        Err(error) => {
            eprintln!("error: {error:#}");
            return Err(Stopped::Unchecked.into());
        }
    };
    print!("{}", report.written(checked.format));
    let warnings = report.count(Severity::Warning);
    let stopped = !report.passes() || (checked.deny_warnings && warnings > 0);
    if checked.format == Format::Text {
        let (errors, verdict) = (report.count(Severity::Error), if stopped { "Stopped" } else { "Passed" });
        println!("{verdict}: {}, {}.", counted(errors, "error"), counted(warnings, "warning"));
    }
    if stopped { Err(Stopped::Found.into()) } else { Ok(()) }
}

/// The events that are called this, by their full names.
fn named(readers: &[Reader], event: &str) -> anyhow::Result<String> {
    let all: BTreeSet<String> = contracts::published::all()
        .iter()
        .filter(|it| it.kind.is_some())
        .map(|it| format!("{}.{}", it.domain, it.name))
        .chain(readers.iter().map(|it| it.event.clone()))
        .collect();
    let fits = |full: &&String| *full == event || full.split_once('.').is_some_and(|(_, name)| name == event);
    match all.iter().filter(fits).collect::<Vec<_>>()[..] {
        [one] => Ok(one.clone()),
        [] => {
            let known: Vec<&str> = all.iter().map(String::as_str).collect();
            bail!("there is no event `{event}`: known are {}", known.join(", "))
        }
        ref several => bail!("several domains publish `{event}`: say which, {several:?}"),
    }
}

async fn who(event: &str, field: Option<&str>, json: bool) -> anyhow::Result<()> {
    let micrographs = shop::all();
    let event = named(&readers::projected(&micrographs)?, event)?;
    let mut readers = Box::pin(quietly(readers::of_event(&micrographs, &event))).await?;
    let contract =
        contracts::published::all().into_iter().rfind(|it| format!("{}.{}", it.domain, it.name) == event);
    let contract = contract.context("an event has a contract")?;
    let shape = compatibility::Shape::read(&(contract.schema)())?;
    let fields: Vec<String> = shape
        .at("data")
        .map(|data| data.fields().into_iter().map(|(path, ..)| path).collect())
        .unwrap_or_default();
    if let Some(field) = field {
        if !fields.iter().any(|path| path == field) {
            bail!("{event} has no field `{field}`: it has {}", fields.join(", "));
        }
        for reader in &mut readers {
            for read in reader.projections.values_mut() {
                read.retain(|path, _| inside(path, field));
            }
            reader.graph.retain(|path, _| inside(path, field));
        }
    }
    if json {
        println!("{:#}", serde_json::to_value(&readers)?);
        return Ok(());
    }
    print!("{}", answer(&event, field, &fields, &readers));
    Ok(())
}

fn answer(event: &str, field: Option<&str>, fields: &[String], readers: &[Reader]) -> String {
    let publishers: Vec<&'static str> = shop::all()
        .iter()
        .map(Manifest::of)
        .filter(|it| it.publishes.iter().any(|name| name.starts_with(&format!("{event}.v"))))
        .map(|it| it.micrograph)
        .collect();
    let mut text = format!("{event}, published by {}.\n", publishers.join(", "));
    if readers.is_empty() {
        text.push_str("Nobody in this repository reads it.\n");
        return text;
    }
    if let Some(field) = field {
        for hit in findings::hits(readers, event, &format!("data.{field}")) {
            let _ = writeln!(text, "  {}", told(&hit));
        }
        return text;
    }
    let mut unread: BTreeSet<&str> = fields.iter().map(String::as_str).collect();
    for reader in readers {
        for (projection, read) in &reader.projections {
            let _ = writeln!(text, "\n{}.{projection} (reads v{})", reader.micrograph, reader.major);
            for (path, into) in read {
                unread.retain(|whole| !inside(path, whole));
                let into: Vec<&str> = into.iter().map(String::as_str).collect();
                let shown: Vec<&str> =
                    reader.graph.get(path).into_iter().flatten().map(String::as_str).collect();
                let shown =
                    if shown.is_empty() { String::new() } else { format!(" → {}", shown.join(", ")) };
                let _ = writeln!(text, "  {path:<20} {}{shown}", into.join(", "));
            }
        }
    }
    if !unread.is_empty() {
        let unread: Vec<&str> = unread.into_iter().collect();
        let _ = writeln!(text, "\nNobody makes anything of {}.", unread.join(", "));
    }
    text
}

fn release(at: &At) -> anyhow::Result<()> {
    let root = at.root()?;
    let events = root.join(EVENTS);
    let files = released::folder(&events)?;
    let contracts = released::today(&files)?;
    let mut added = BTreeMap::new();
    for (path, text) in contracts.release() {
        let to = events.join(&path);
        if let Some(folder) = to.parent() {
            std::fs::create_dir_all(folder).with_context(|| format!("{} can't be made", folder.display()))?;
        }
        std::fs::write(&to, &text).with_context(|| format!("{} can't be written", to.display()))?;
        added.insert(path, text);
    }
    let schemas: Vec<&String> = added.keys().filter(|path| path.ends_with(".schema.json")).collect();
    if schemas.is_empty() {
        println!("Nothing changed since the last release.");
        return Ok(());
    }
    for path in &schemas {
        println!("{}", path.trim_end_matches(".schema.json"));
    }
    println!("Frozen: {}. Commit them; they never change from here on.", counted(schemas.len(), "version"));
    Ok(())
}

fn retire(name: &str, major: u16, why: &str, at: &At) -> anyhow::Result<()> {
    let root = at.root()?;
    let Some((domain, short)) = name.split_once('.') else {
        bail!("name it with its domain, as orders.OrderPlaced");
    };
    let id = Id { domain: domain.to_owned(), name: short.to_owned(), major };
    let contracts: Contracts = released::today(&released::folder(&root.join(EVENTS))?)?;
    let Some(contract) = contracts.all.get(&id) else {
        let known: Vec<String> = contracts.all.keys().map(ToString::to_string).collect();
        bail!("there is no {id}: known are {}", known.join(", "));
    };
    if contract.today.is_some() {
        bail!(
            "{id} is still in `published::all`: take it out of the code first, once the metric EventsRead shows no reader \
             of it (see shared/contracts)"
        );
    }
    for micrograph in shop::all() {
        let mut projections = micrograph.projections();
        if let Some(projection) = projections.find(|it| it.majors(domain, short).contains(&major)) {
            bail!("{}.{} still folds {id}", micrograph.name(), projection.name());
        }
    }
    let path = root.join(EVENTS).join(id.file("retired"));
    let text = format!("{:#}\n", serde_json::json!({ "why": why }));
    std::fs::write(&path, text).with_context(|| format!("{} can't be written", path.display()))?;
    println!("{id} is retired. Commit {}.", path.display());
    Ok(())
}
