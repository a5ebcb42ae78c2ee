//! `tributary schema`: the registry, over a folder or over HTTP.

mod remote;
mod written;

use super::Options;
use crate::deployed;
use anyhow::{Context as _, anyhow, bail};
use clap::{Args, Subcommand, ValueEnum};
use registry::http::ContractSettings;
use registry::settings::Level;
use registry::{Registry, RegistryError, Report, Submission, Submitted};
use remote::{Remote, RemoteError};
use schemas::{ContractName, Release, Schemas, Tags, Variant};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use written::{Sources, Told};

/// What the exit codes say.
const EXIT_CODES: &str = "\
Exit codes:
  0  done, or nothing wrong
  1  the check found errors; nothing was published
  2  the command line is wrong
  3  the registry or its store could not be asked
  4  others published at the same time, again and again: try again";

#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(super) struct Asked {
    #[command(flatten)]
    to: To,
    #[command(subcommand)]
    action: Action,
}

/// Which registry, which graph, and in which form it answers.
#[derive(Debug, Args)]
struct To {
    /// The folder of schemas [default: `schemas` in the folder of state]
    #[arg(long, global = true, value_name = "DIR")]
    store: Option<PathBuf>,
    /// A registry over HTTP, with a token in `TRIBUTARY_REGISTRY_TOKEN`
    #[arg(long, global = true, value_name = "URL", env = "TRIBUTARY_REGISTRY")]
    registry: Option<String>,
    /// The variant: a deployed graph, such as production, staging or a branch's
    #[arg(long, global = true, value_name = "NAME", default_value = deployed::VARIANT, env = "TRIBUTARY_VARIANT")]
    variant: Variant,
    /// How to answer: text for people, json for machines, github as annotations of a workflow
    #[arg(long, global = true, value_name = "FORM", default_value = "text")]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
    Github,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Say what a publish would come to: composition, lints, breaking changes and whom they hit. Nothing is written
    Check(Proposed),
    /// Check, and deploy where nothing is wrong
    Publish {
        #[command(flatten)]
        proposed: Proposed,
        /// Why, for the history
        #[arg(long, value_name = "TEXT", default_value = "")]
        message: String,
        #[command(flatten)]
        author: Author,
    },
    /// List the variants, and the subgraphs of one
    List,
    /// Say what changed for clients between two versions
    Diff {
        /// The version before [default: the one before the other]
        #[arg(long, value_name = "VERSION")]
        from: Option<u64>,
        /// The version after [default: what is live]
        #[arg(long, value_name = "VERSION")]
        to: Option<u64>,
        /// Only what clients of this contract see
        #[arg(long, value_name = "NAME")]
        contract: Option<ContractName>,
    },
    /// Show who published what, and when; the newest first
    History {
        /// At most so many
        #[arg(long, value_name = "NUMBER", default_value_t = 20)]
        limit: u64,
        /// Only what is before this version
        #[arg(long, value_name = "VERSION")]
        before: Option<u64>,
    },
    /// Deploy an earlier version again, as a new one
    Rollback {
        /// The version
        #[arg(long, value_name = "VERSION")]
        to: u64,
        /// Why, for the history
        #[arg(long, value_name = "TEXT", default_value = "")]
        message: String,
        #[command(flatten)]
        author: Author,
    },
    /// Print the supergraph
    Supergraph {
        /// Of this version [default: what is live]
        #[arg(long, value_name = "VERSION")]
        version: Option<u64>,
        /// Of this contract
        #[arg(long, value_name = "NAME")]
        contract: Option<ContractName>,
        /// Print what clients see of it
        #[arg(long)]
        api: bool,
    },
    /// Show a part of the graph without what tags leave out
    Contract {
        #[command(subcommand)]
        action: ContractAction,
    },
    /// List the lints, or set how they are taken
    Lints {
        /// Take a lint so: off, info, warning or error; may be given several times
        #[arg(long, value_name = "LINT=LEVEL", value_parser = lint)]
        set: Vec<(String, Level)>,
    },
}

#[derive(Debug, Subcommand)]
enum ContractAction {
    /// Set a contract: what has an excluded tag is out; with included tags, only what has one is in
    Set {
        /// Its name
        name: ContractName,
        /// A tag whose parts are in; may be given several times
        #[arg(long, value_name = "TAG", required_unless_present = "exclude")]
        include: Vec<String>,
        /// A tag whose parts are out; may be given several times
        #[arg(long, value_name = "TAG")]
        exclude: Vec<String>,
        /// Why, for the history
        #[arg(long, value_name = "TEXT", default_value = "")]
        message: String,
        #[command(flatten)]
        author: Author,
    },
    /// Remove a contract
    Remove {
        /// Its name
        name: ContractName,
        #[command(flatten)]
        author: Author,
    },
    /// List the contracts
    List,
}

#[derive(Debug, Args)]
struct Proposed {
    /// Subgraphs with their schemas, as `catalogue=services/catalogue/schema.graphql`
    #[arg(value_name = "NAME=FILE", value_parser = pair, required_unless_present = "remove")]
    subgraphs: Vec<(String, String)>,
    /// Where a subgraph answers [default: as before]; may be given several times
    #[arg(long, value_name = "NAME=URL", value_parser = pair)]
    url: Vec<(String, String)>,
    /// Take a subgraph out; may be given several times
    #[arg(long, value_name = "NAME")]
    remove: Vec<String>,
    /// Let a breaking change pass: its path, `RULE PATH`, or `all`; may be given several times. The history keeps it
    #[arg(long, value_name = "CHANGE")]
    accept: Vec<String>,
    /// Begin a variant that doesn't exist yet as a copy of this one
    #[arg(long, value_name = "VARIANT")]
    from: Option<Variant>,
}

#[derive(Debug, Args)]
struct Author {
    /// Who does it, for the history of a folder [default: you; over HTTP the token says]
    #[arg(long, value_name = "NAME", env = "USER", default_value = "somebody")]
    by: String,
}

/// The command came to its end, and its verdict is not success; what there is to say was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Verdict {
    /// The check found errors.
    #[error("the check found errors")]
    Refused,
    /// The registry could not be asked.
    #[error("the registry could not be asked")]
    Failed,
    /// Others published at the same time.
    #[error("others published at the same time")]
    Overtaken,
}

impl Verdict {
    /// The exit code of the process.
    pub fn code(self) -> ExitCode {
        match self {
            Self::Refused => ExitCode::from(1),
            Self::Failed => ExitCode::from(3),
            Self::Overtaken => ExitCode::from(4),
        }
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && !value.is_empty() => {
            Ok((name.to_owned(), value.to_owned()))
        }
        _ => Err("write it as name=value".to_owned()),
    }
}

fn lint(text: &str) -> Result<(String, Level), String> {
    let (lint, level) = pair(text)?;
    let level = match level.as_str() {
        "off" => Level::Off,
        "info" => Level::Info,
        "warning" => Level::Warning,
        "error" => Level::Error,
        _ => return Err(format!("`{level}` is no level: take off, info, warning or error")),
    };
    Ok((lint, level))
}

/// A registry here or elsewhere.
enum Served {
    Here(Registry),
    There(Remote),
}

/// Why a registry gives no answer.
enum Unanswered {
    Here(RegistryError),
    There(RemoteError),
    Other(anyhow::Error),
}

impl From<RegistryError> for Unanswered {
    fn from(error: RegistryError) -> Self {
        Self::Here(error)
    }
}

impl From<RemoteError> for Unanswered {
    fn from(error: RemoteError) -> Self {
        Self::There(error)
    }
}

impl From<anyhow::Error> for Unanswered {
    fn from(error: anyhow::Error) -> Self {
        Self::Other(error)
    }
}

pub(super) async fn run(options: &Options, asked: Asked) -> anyhow::Result<()> {
    let Asked { to, action } = asked;
    let sources = Sources::default();
    match answered(options, &to, action, &sources).await {
        Ok(told) => {
            print!("{}", told.written(to.format, &sources)?);
            if told.passed() { Ok(()) } else { Err(Verdict::Refused.into()) }
        }
        Err(Unanswered::Other(error)) => {
            eprintln!("error: {error:#}");
            Err(Verdict::Failed.into())
        }
        Err(
            Unanswered::Here(RegistryError::Refused(report))
            | Unanswered::There(RemoteError::Refused(report)),
        ) => {
            print!("{}", Told::Report(*report).written(to.format, &sources)?);
            Err(Verdict::Refused.into())
        }
        Err(Unanswered::Here(error)) => {
            let verdict = match error {
                RegistryError::Overtaken(_) => Verdict::Overtaken,
                _ => Verdict::Failed,
            };
            eprintln!("error: {:#}", anyhow!(error));
            Err(verdict.into())
        }
        Err(Unanswered::There(error)) => {
            let verdict = match error {
                RemoteError::Overtaken(_) => Verdict::Overtaken,
                _ => Verdict::Failed,
            };
            eprintln!("error: {:#}", anyhow!(error));
            Err(verdict.into())
        }
    }
}

async fn answered(options: &Options, to: &To, action: Action, sources: &Sources) -> Result<Told, Unanswered> {
    let served = served(options, to)?;
    let variant = &to.variant;
    Ok(match action {
        Action::Check(proposed) => {
            let submission = proposed.submission("", sources)?;
            Told::Report(match &served {
                Served::Here(registry) => registry.check(variant, &submission).await?,
                Served::There(remote) => remote.post(variant, "check", &submission).await?,
            })
        }
        Action::Publish { proposed, message, author } => {
            let submission = proposed.submission(&message, sources)?;
            Told::Published(match &served {
                Served::Here(registry) => registry.publish(variant, &submission, &author.by).await?,
                Served::There(remote) => remote.post(variant, "publish", &submission).await?,
            })
        }
        Action::List => Told::List(match &served {
            Served::Here(registry) => registry.list().await?,
            Served::There(remote) => remote.list().await?,
        }),
        Action::Diff { from, to, contract } => Told::Diff(match &served {
            Served::Here(registry) => registry.diff(variant, from, to, contract.as_ref()).await?,
            Served::There(remote) => {
                let query =
                    [("from", number(from)), ("to", number(to)), ("contract", name(contract.as_ref()))];
                remote.get(variant, "diff", &query).await?
            }
        }),
        Action::History { limit, before } => Told::History(match &served {
            Served::Here(registry) => registry.history(variant, before, limit).await?,
            Served::There(remote) => {
                let query = [("limit", number(Some(limit))), ("before", number(before))];
                remote.get(variant, "history", &query).await?
            }
        }),
        Action::Rollback { to, message, author } => Told::Published(match &served {
            Served::Here(registry) => registry.rollback(variant, to, &author.by, &message).await?,
            Served::There(remote) => {
                remote.post(variant, "rollback", &registry::http::Rollback { to, message }).await?
            }
        }),
        Action::Supergraph { version, contract, api } => Told::Sdl(match (&served, api) {
            (Served::Here(registry), false) => {
                registry.supergraph(variant, version, contract.as_ref()).await?
            }
            (Served::Here(registry), true) => registry.api(variant, version, contract.as_ref()).await?,
            (Served::There(remote), api) => {
                let query = [("version", number(version)), ("contract", name(contract.as_ref()))];
                remote.text(variant, if api { "api" } else { "supergraph" }, &query).await?
            }
        }),
        Action::Contract { action } => contract(&served, variant, action).await?,
        Action::Lints { set } => Told::Lints(match &served {
            Served::Here(registry) if set.is_empty() => registry.settings().await?,
            Served::Here(registry) => {
                registry.change_settings(|settings| settings.lints.extend(set.iter().cloned())).await?
            }
            Served::There(remote) => {
                let mut settings = remote.settings().await?;
                if !set.is_empty() {
                    settings.lints.extend(set);
                    settings = remote.put_settings(&settings).await?;
                }
                settings
            }
        }),
    })
}

async fn contract(served: &Served, variant: &Variant, action: ContractAction) -> Result<Told, Unanswered> {
    Ok(match action {
        ContractAction::Set { name, include, exclude, message, author } => {
            let (include, exclude): (BTreeSet<_>, BTreeSet<_>) =
                (include.into_iter().collect(), exclude.into_iter().collect());
            Told::Published(match served {
                Served::Here(registry) => {
                    let tags = Tags { include, exclude };
                    registry.contract(variant, &name, Some(&tags), &author.by, &message).await?
                }
                Served::There(remote) => {
                    let settings = ContractSettings { include, exclude, message };
                    remote.set_contract(variant, &name, &settings).await?
                }
            })
        }
        ContractAction::Remove { name, author } => Told::Published(match served {
            Served::Here(registry) => registry.contract(variant, &name, None, &author.by, "").await?,
            Served::There(remote) => remote.remove_contract(variant, &name).await?,
        }),
        ContractAction::List => Told::Contracts(match served {
            Served::Here(registry) => registry.current(variant).await?,
            Served::There(remote) => remote.get(variant, "", &[]).await?,
        }),
    })
}

fn served(options: &Options, to: &To) -> anyhow::Result<Served> {
    if let (Some(url), None) = (&to.registry, &to.store) {
        return Ok(Served::There(Remote::new(url, std::env::var("TRIBUTARY_REGISTRY_TOKEN").ok())?));
    }
    let folder = match (&to.store, options.folder(false)) {
        (Some(folder), _) => folder.clone(),
        (None, Some(state)) => state.join(deployed::FOLDER),
        (None, None) => bail!("there are no schemas to look at with --in-memory"),
    };
    Ok(Served::Here(in_folder(&folder)?))
}

/// A registry that stands by itself, as `tributary check` is told of it.
#[derive(Debug, Args)]
pub(super) struct Deployed {
    /// A folder of schemas: the subgraphs are checked as a publish to it would be, against the operations in use
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
    /// The same with a registry over HTTP, with a token in `TRIBUTARY_REGISTRY_TOKEN`
    #[arg(long, value_name = "URL", env = "TRIBUTARY_REGISTRY")]
    registry: Option<String>,
    /// The variant of the graph there
    #[arg(long, value_name = "NAME", default_value = deployed::VARIANT, env = "TRIBUTARY_VARIANT")]
    variant: Variant,
}

impl Deployed {
    /// What a publish would come to; none where no registry is named.
    pub async fn check(&self, submission: &Submission) -> anyhow::Result<Option<Report>> {
        let served = match (&self.store, &self.registry) {
            (Some(store), _) if !store.is_dir() => {
                bail!("--store {}: there is no such folder", store.display())
            }
            (Some(store), _) => Served::Here(in_folder(store)?),
            (None, Some(url)) => {
                Served::There(Remote::new(url, std::env::var("TRIBUTARY_REGISTRY_TOKEN").ok())?)
            }
            (None, None) => return Ok(None),
        };
        // A variant that isn't there would let everything pass.
        Ok(Some(match &served {
            Served::Here(registry) => {
                registry.current(&self.variant).await?;
                registry.check(&self.variant, submission).await?
            }
            Served::There(remote) => {
                let _: Release = remote.get(&self.variant, "", &[]).await?;
                remote.post(&self.variant, "check", submission).await?
            }
        }))
    }
}

fn in_folder(folder: &Path) -> anyhow::Result<Registry> {
    let schemas = Schemas::in_folder(folder)
        .with_context(|| format!("the schemas in {} can't be used", folder.display()))?;
    Ok(Registry::new(schemas, micrograph::environment::now))
}

fn number(number: Option<u64>) -> Option<String> {
    number.map(|it| it.to_string())
}

fn name(name: Option<&ContractName>) -> Option<String> {
    name.map(ToString::to_string)
}

impl Proposed {
    /// Reads the files.
    fn submission(self, message: &str, sources: &Sources) -> anyhow::Result<Submission> {
        for (name, _) in &self.url {
            if !self.subgraphs.iter().any(|(known, _)| known == name) {
                bail!("--url {name}: name its schema too, as {name}=FILE");
            }
        }
        let mut submission = Submission {
            remove: self.remove.into_iter().collect(),
            accept: self.accept.into_iter().collect(),
            from: self.from,
            message: message.to_owned(),
            ..Submission::default()
        };
        for (name, file) in self.subgraphs {
            let sdl = std::fs::read_to_string(&file).with_context(|| format!("{file} can't be read"))?;
            let url = self.url.iter().find(|(known, _)| *known == name).map(|(_, url)| url.clone());
            sources.note(&name, &file, &sdl);
            submission.subgraphs.push(Submitted { name, sdl, url });
        }
        Ok(submission)
    }
}
