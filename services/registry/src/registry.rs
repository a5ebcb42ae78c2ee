//! The registry: what a store of schemas is asked, and what is published to it.

mod reading;

use crate::check::{Candidate, Checked, Known, Live, Proposal, check};
use crate::finding::Report;
use crate::settings::{Settings, SettingsError};
use composition::Subgraph;
use jiff::{SignedDuration, Timestamp};
use schemas::{
    CommitError, Contract, ContractName, Deed, LiveSubgraph, ReadError, Release, Schemas, StorageError, Tags,
    Variant,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

pub use reading::{Changed, Difference, HISTORY_PAGE};

/// How often a publish starts again on top of somebody else's, before its author is told to.
const ATTEMPTS: usize = 8;

/// The largest schema that is taken, in bytes.
pub const MAX_SDL_BYTES: usize = 4 * 1024 * 1024;

/// The most subgraphs of a variant.
pub const MAX_SUBGRAPHS: usize = 1_000;

/// The longest message and the longest name of an author, in bytes.
pub const MAX_WORDS_BYTES: usize = 2_000;

/// The registry over a store of schemas. Any number may run over one store at the same time.
#[derive(Clone, Debug)]
pub struct Registry {
    schemas: Schemas,
    clock: fn() -> Timestamp,
}

/// What is to be checked or published.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Submission {
    /// Subgraphs, new or in place of those of the same names.
    #[serde(default)]
    pub subgraphs: Vec<Submitted>,
    /// Names of subgraphs that are to go.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub remove: BTreeSet<String>,
    /// Breaking changes that shall not fail the check: `all`, a path, or a rule and a path with a space between.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub accept: BTreeSet<String>,
    /// What the variant begins as a copy of, where it doesn't exist yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Variant>,
    /// Why, for the history.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// A subgraph as it is submitted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Submitted {
    /// Its name.
    pub name: String,
    /// Its schema, as `_service { sdl }` gives it.
    pub sdl: String,
    /// Where it answers; as before where it isn't said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// What became of a publish.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// What is live now.
    pub release: Release,
    /// Whether it was so before: then nothing was written.
    pub unchanged: bool,
    /// Whether gateways see it already. Where they don't, the registry's next call shows it.
    pub shown: bool,
    /// What the check found.
    pub report: Report,
}

/// Why the registry doesn't do what it is asked.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// There is no such variant.
    #[error("there is no variant `{wanted}`: {}", known_words(known))]
    NoVariant {
        /// What was asked for.
        wanted: Variant,
        /// What there is.
        known: Vec<Variant>,
    },
    /// There is no such version.
    #[error("{variant} has no version {version}: it has 1 to {last}")]
    NoVersion {
        /// The variant.
        variant: Variant,
        /// What was asked for.
        version: u64,
        /// Its last version.
        last: u64,
    },
    /// There is no such contract.
    #[error("{variant} has no contract `{contract}`")]
    NoContract {
        /// The variant.
        variant: Variant,
        /// What was asked for.
        contract: ContractName,
    },
    /// There is no such subgraph.
    #[error("{variant} has no subgraph `{subgraph}`")]
    NoSubgraph {
        /// The variant.
        variant: Variant,
        /// What was asked for.
        subgraph: String,
    },
    /// The request can't be meant.
    #[error("{0}")]
    Request(String),
    /// The check failed; nothing was published.
    #[error("the check found {} errors; nothing was published", .0.count(crate::finding::Severity::Error))]
    Refused(Box<Report>),
    /// Others published at the same time, again and again.
    #[error("others published to {0} at the same time, again and again: try again")]
    Overtaken(Variant),
    /// The settings can't be used.
    #[error("the settings can't be used")]
    Settings(#[from] SettingsError),
    /// The store failed.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A thread that worked for the call ended.
    #[error("the work broke; nothing was published")]
    Broken(#[from] tokio::task::JoinError),
}

impl From<StorageError> for RegistryError {
    fn from(error: StorageError) -> Self {
        Self::Read(error.into())
    }
}

fn known_words(known: &[Variant]) -> String {
    if known.is_empty() {
        return "nothing was ever published".to_owned();
    }
    let known: Vec<&str> = known.iter().map(Variant::as_str).collect();
    format!("there are {}", known.join(", "))
}

impl Registry {
    /// A registry over a store, and a clock for its history.
    pub fn new(schemas: Schemas, clock: fn() -> Timestamp) -> Self {
        Self { schemas, clock }
    }

    /// The store.
    pub fn schemas(&self) -> &Schemas {
        &self.schemas
    }

    /// What would become of a publish. Nothing is written.
    pub async fn check(&self, variant: &Variant, submission: &Submission) -> Result<Report, RegistryError> {
        limits(submission)?;
        let start = self.start(variant, submission.from.as_ref()).await?;
        let proposal = proposal(submission, &start.live);
        Ok(self.checked(variant, start.live, proposal).await?.report)
    }

    /// Checks, and makes it live if nothing is wrong. On top of what others publish at the same time it is checked
    /// anew.
    pub async fn publish(
        &self,
        variant: &Variant,
        submission: &Submission,
        by: &str,
    ) -> Result<Published, RegistryError> {
        limits(submission)?;
        if submission.subgraphs.is_empty() && submission.remove.is_empty() {
            return Err(RegistryError::Request("there is nothing to publish: name a subgraph".to_owned()));
        }
        words("the author", by)?;
        for _ in 0..ATTEMPTS {
            let start = self.start(variant, submission.from.as_ref()).await?;
            let proposal = proposal(submission, &start.live);
            let done =
                self.attempt(variant, start, proposal, by, &submission.message, |accepted, before, now| {
                    let changed = now.iter().filter(|(name, it)| before.get(*name) != Some(it));
                    Deed::Publish {
                        changed: changed.map(|(name, _)| name.clone()).collect(),
                        removed: before.keys().filter(|name| !now.contains_key(*name)).cloned().collect(),
                        accepted,
                        from: submission.from.clone(),
                    }
                });
            if let Some(published) = done.await? {
                return Ok(published);
            }
        }
        Err(RegistryError::Overtaken(variant.clone()))
    }

    /// Sets a contract of a variant; removes it where there are no tags.
    pub async fn contract(
        &self,
        variant: &Variant,
        name: &ContractName,
        tags: Option<&Tags>,
        by: &str,
        message: &str,
    ) -> Result<Published, RegistryError> {
        words("the author", by)?;
        words("the message", message)?;
        if tags.is_some_and(|tags| tags.include.is_empty() && tags.exclude.is_empty()) {
            let what = "a contract without tags is the whole graph: name tags to include or to exclude";
            return Err(RegistryError::Request(what.to_owned()));
        }
        for _ in 0..ATTEMPTS {
            let start = self.start(variant, None).await?;
            if start.head.is_none() {
                return Err(self.no_variant(variant).await?);
            }
            let mut proposal = Proposal::default();
            match tags {
                Some(tags) => _ = proposal.contracts.insert(name.clone(), tags.clone()),
                None if start.live.contracts.contains_key(name) => {
                    proposal.remove_contracts.insert(name.clone());
                }
                None => {
                    let (variant, contract) = (variant.clone(), name.clone());
                    return Err(RegistryError::NoContract { variant, contract });
                }
            }
            // What a contract shows is its owner's to say: who narrows one, means to.
            proposal.accept.insert("all".to_owned());
            let deed = |_, _: &_, _: &_| Deed::Contract { name: name.clone() };
            if let Some(published) = self.attempt(variant, start, proposal, by, message, deed).await? {
                return Ok(published);
            }
        }
        Err(RegistryError::Overtaken(variant.clone()))
    }

    /// Makes an earlier version live again, as a new one. It isn't checked: it was, and what is live hurts more.
    pub async fn rollback(
        &self,
        variant: &Variant,
        to: u64,
        by: &str,
        message: &str,
    ) -> Result<Published, RegistryError> {
        words("the author", by)?;
        words("the message", message)?;
        for _ in 0..ATTEMPTS {
            let Some(head) = self.schemas.head(variant).await? else {
                return Err(self.no_variant(variant).await?);
            };
            let earlier = self.release(variant, to, head.version).await?;
            // What is made live must be there, whole.
            self.live(&earlier).await?;
            let release = Release {
                version: head.version + 1,
                at: (self.clock)(),
                by: by.to_owned(),
                message: message.to_owned(),
                deed: Deed::Rollback { to },
                ..earlier
            };
            let report = Report { supergraph: Some(release.supergraph.clone()), ..Report::default() };
            let same = head.supergraph == release.supergraph
                && head.subgraphs == release.subgraphs
                && head.contracts == release.contracts;
            if same {
                return Ok(Published { release: head, unchanged: true, shown: true, report });
            }
            match self.schemas.commit(variant, &release).await {
                Ok(committed) => {
                    return Ok(Published { release, unchanged: false, shown: committed.shown, report });
                }
                Err(CommitError::Overtaken { .. }) => {}
                Err(CommitError::Read(error)) => return Err(error.into()),
            }
        }
        Err(RegistryError::Overtaken(variant.clone()))
    }

    /// One attempt to make a proposal live; none where somebody else was faster.
    async fn attempt(
        &self,
        variant: &Variant,
        start: Start,
        proposal: Proposal,
        by: &str,
        message: &str,
        deed: impl Fn(BTreeSet<String>, &BTreeMap<String, LiveSubgraph>, &BTreeMap<String, LiveSubgraph>) -> Deed,
    ) -> Result<Option<Published>, RegistryError> {
        let Start { head, live } = start;
        let Checked { report, candidate } = self.checked(variant, live, proposal).await?;
        let candidate = match candidate {
            Some(candidate) if report.passed() => candidate,
            _ => return Err(RegistryError::Refused(Box::new(report))),
        };
        let accepted = report.findings.iter().filter(|it| it.accepted);
        let accepted = accepted.map(|it| format!("{} {}", it.rule, it.path)).collect();
        let (subgraphs, supergraph, contracts) = self.stored(&candidate).await?;
        let none = BTreeMap::new();
        let before = head.as_ref().map_or(&none, |head| &head.subgraphs);
        if let Some(head) = &head
            && head.subgraphs == subgraphs
            && head.supergraph == supergraph
            && head.contracts == contracts
        {
            return Ok(Some(Published { release: head.clone(), unchanged: true, shown: true, report }));
        }
        let release = Release {
            version: head.as_ref().map_or(1, |head| head.version + 1),
            deed: deed(accepted, before, &subgraphs),
            supergraph,
            subgraphs,
            contracts,
            at: (self.clock)(),
            by: by.to_owned(),
            message: message.to_owned(),
        };
        match self.schemas.commit(variant, &release).await {
            Ok(committed) => {
                tracing::info!(%variant, version = release.version, by, "published");
                Ok(Some(Published { release, unchanged: false, shown: committed.shown, report }))
            }
            Err(CommitError::Overtaken { .. }) => Ok(None),
            Err(CommitError::Read(error)) => Err(error.into()),
        }
    }

    /// Stores all that a release names.
    async fn stored(
        &self,
        candidate: &Candidate,
    ) -> Result<(BTreeMap<String, LiveSubgraph>, schemas::Hash, BTreeMap<ContractName, Contract>), StorageError>
    {
        let mut subgraphs = BTreeMap::new();
        for Subgraph { name, url, sdl } in &candidate.subgraphs {
            let sdl = self.schemas.put_schema(sdl).await?;
            subgraphs.insert(name.clone(), LiveSubgraph { sdl, url: url.clone() });
        }
        let supergraph = self.schemas.put_schema(&candidate.supergraph).await?;
        let mut contracts = BTreeMap::new();
        for (name, (tags, sdl)) in &candidate.contracts {
            let supergraph = self.schemas.put_schema(sdl).await?;
            contracts.insert(name.clone(), Contract { tags: tags.clone(), supergraph });
        }
        Ok((subgraphs, supergraph, contracts))
    }

    async fn checked(
        &self,
        variant: &Variant,
        live: Live,
        proposal: Proposal,
    ) -> Result<Checked, RegistryError> {
        let settings = self.settings().await?;
        let known = self.known(variant, &settings).await?;
        // Composition is work for milliseconds to seconds, which no other call should wait for.
        Ok(tokio::task::spawn_blocking(move || check(&live, &proposal, &known, &settings)).await?)
    }

    /// What clients use of a variant, or where nothing is known of it, of production: what is checked in a branch is
    /// on its way there.
    pub async fn known(&self, variant: &Variant, settings: &Settings) -> Result<Known, RegistryError> {
        let since = (self.clock)() - SignedDuration::from_hours(24 * i64::from(settings.usage.days));
        let days = settings.usage.days;
        let usage = self.schemas.usage(variant, since).await?;
        let production: Option<Variant> = PRODUCTION.parse().ok().filter(|it| it != variant);
        if let Some(production) = production
            && usage.is_empty()
        {
            let usage = self.schemas.usage(&production, since).await?;
            if !usage.is_empty() {
                return Ok(Known { usage, of: format!("{production} in the last {days} days") });
            }
        }
        Ok(Known { usage, of: format!("{variant} in the last {days} days") })
    }

    async fn start(&self, variant: &Variant, from: Option<&Variant>) -> Result<Start, RegistryError> {
        let head = self.schemas.head(variant).await?;
        if let Some(head) = head {
            return Ok(Start { live: self.live(&head).await?, head: Some(head) });
        }
        let Some(from) = from else { return Ok(Start { head: None, live: Live::default() }) };
        let Some(source) = self.schemas.head(from).await? else { return Err(self.no_variant(from).await?) };
        Ok(Start { head: None, live: self.live(&source).await? })
    }

    async fn live(&self, release: &Release) -> Result<Live, ReadError> {
        let mut live =
            Live { supergraph: Some(self.schemas.schema(&release.supergraph).await?), ..Live::default() };
        for (name, it) in &release.subgraphs {
            let sdl = self.schemas.schema(&it.sdl).await?;
            live.subgraphs.push(Subgraph { name: name.clone(), url: it.url.clone(), sdl });
        }
        for (name, it) in &release.contracts {
            let sdl = self.schemas.schema(&it.supergraph).await?;
            live.contracts.insert(name.clone(), (it.tags.clone(), sdl));
        }
        Ok(live)
    }
}

/// The variant whose usage counts for one that has none of its own.
const PRODUCTION: &str = "production";

/// What a publish starts from.
struct Start {
    head: Option<Release>,
    live: Live,
}

fn proposal(submission: &Submission, live: &Live) -> Proposal {
    let subgraphs = submission.subgraphs.iter().map(|it| {
        let before = || live.subgraphs.iter().find(|known| known.name == it.name).map(|it| it.url.clone());
        let url = it.url.clone().or_else(before).unwrap_or_default();
        Subgraph { name: it.name.clone(), url, sdl: it.sdl.clone() }
    });
    Proposal {
        subgraphs: subgraphs.collect(),
        remove: submission.remove.clone(),
        accept: submission.accept.clone(),
        ..Proposal::default()
    }
}

fn limits(submission: &Submission) -> Result<(), RegistryError> {
    words("the message", &submission.message)?;
    if submission.subgraphs.len() > MAX_SUBGRAPHS {
        return Err(RegistryError::Request(format!("{MAX_SUBGRAPHS} subgraphs are the most")));
    }
    let mut names = BTreeSet::new();
    for it in &submission.subgraphs {
        if it.sdl.len() > MAX_SDL_BYTES {
            let (name, bytes) = (&it.name, it.sdl.len());
            let what = format!("the schema of {name} has {bytes} bytes, and {MAX_SDL_BYTES} are the most");
            return Err(RegistryError::Request(what));
        }
        if !names.insert(&it.name) {
            return Err(RegistryError::Request(format!("the subgraph {} is there twice", it.name)));
        }
        if submission.remove.contains(&it.name) {
            return Err(RegistryError::Request(format!(
                "the subgraph {} is both published and removed",
                it.name
            )));
        }
    }
    Ok(())
}

fn words(what: &str, text: &str) -> Result<(), RegistryError> {
    if text.len() > MAX_WORDS_BYTES {
        return Err(RegistryError::Request(format!("{what} has more than {MAX_WORDS_BYTES} bytes")));
    }
    Ok(())
}
