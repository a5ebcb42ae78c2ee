//! What the registry tells.

use super::{Registry, RegistryError};
use crate::changes::{Category, changes};
use crate::schema::{Schema, SyntaxError};
use crate::settings::Settings;
use schemas::{ContractName, ReadError, Release, Variant};
use serde::{Deserialize, Serialize};

/// The most releases that are told at once.
pub const HISTORY_PAGE: u64 = 200;

/// What changed between two versions of a variant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// The version before.
    pub from: u64,
    /// The version after.
    pub to: u64,
    /// What changed for clients, by path.
    pub changes: Vec<Changed>,
}

/// What changed for clients.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// The rule's stable id.
    pub rule: String,
    /// What it means to clients.
    pub category: Category,
    /// The schema coordinate.
    pub path: String,
    /// What changed, in a sentence.
    pub message: String,
}

impl Registry {
    /// The variants, each with what is live. A pointer that is behind its history is moved on.
    pub async fn list(&self) -> Result<Vec<(Variant, Release)>, RegistryError> {
        let mut list = Vec::new();
        for variant in self.schemas.variants().await? {
            if let Some(release) = self.schemas.head(&variant).await? {
                list.push((variant, release));
            }
        }
        Ok(list)
    }

    /// What is live.
    pub async fn current(&self, variant: &Variant) -> Result<Release, RegistryError> {
        match self.schemas.head(variant).await? {
            Some(release) => Ok(release),
            None => Err(self.no_variant(variant).await?),
        }
    }

    /// A version, or what is live where none is named.
    pub async fn version(&self, variant: &Variant, version: Option<u64>) -> Result<Release, RegistryError> {
        let head = self.current(variant).await?;
        match version {
            Some(version) => self.release(variant, version, head.version).await,
            None => Ok(head),
        }
    }

    /// Releases, the newest first: at most `limit`, from before a version on.
    pub async fn history(
        &self,
        variant: &Variant,
        before: Option<u64>,
        limit: u64,
    ) -> Result<Vec<Release>, RegistryError> {
        let head = self.current(variant).await?.version;
        let newest = before.map_or(head, |before| before.saturating_sub(1).min(head));
        let oldest = newest.saturating_sub(limit.clamp(1, HISTORY_PAGE)) + 1;
        let mut history = Vec::new();
        for version in (oldest..=newest).rev() {
            history.push(self.release(variant, version, head).await?);
        }
        Ok(history)
    }

    /// The supergraph of a version, or of one of its contracts.
    pub async fn supergraph(
        &self,
        variant: &Variant,
        version: Option<u64>,
        contract: Option<&ContractName>,
    ) -> Result<String, RegistryError> {
        let release = self.version(variant, version).await?;
        let Some(name) = contract else { return Ok(self.schemas.schema(&release.supergraph).await?) };
        let Some(contract) = release.contracts.get(name) else {
            return Err(RegistryError::NoContract { variant: variant.clone(), contract: name.clone() });
        };
        Ok(self.schemas.schema(&contract.supergraph).await?)
    }

    /// What clients see of a version, or of one of its contracts.
    pub async fn api(
        &self,
        variant: &Variant,
        version: Option<u64>,
        contract: Option<&ContractName>,
    ) -> Result<String, RegistryError> {
        let supergraph = self.supergraph(variant, version, contract).await?;
        Ok(parsed(&supergraph)?.sdl())
    }

    /// The schema of a subgraph of a version.
    pub async fn subgraph(
        &self,
        variant: &Variant,
        version: Option<u64>,
        name: &str,
    ) -> Result<String, RegistryError> {
        let release = self.version(variant, version).await?;
        let Some(live) = release.subgraphs.get(name) else {
            return Err(RegistryError::NoSubgraph { variant: variant.clone(), subgraph: name.to_owned() });
        };
        Ok(self.schemas.schema(&live.sdl).await?)
    }

    /// What changed for clients between two versions: without names, in what is live.
    pub async fn diff(
        &self,
        variant: &Variant,
        from: Option<u64>,
        to: Option<u64>,
        contract: Option<&ContractName>,
    ) -> Result<Difference, RegistryError> {
        let to = self.version(variant, to).await?.version;
        let from = from.unwrap_or_else(|| to.saturating_sub(1).max(1));
        let before = parsed(&self.supergraph(variant, Some(from), contract).await?)?;
        let after = parsed(&self.supergraph(variant, Some(to), contract).await?)?;
        let changes = changes(&before, &after).into_iter().map(|change| Changed {
            rule: change.rule.id().to_owned(),
            category: change.rule.category(),
            path: change.path,
            message: change.message,
        });
        Ok(Difference { from, to, changes: changes.collect() })
    }

    /// The settings.
    pub async fn settings(&self) -> Result<Settings, RegistryError> {
        let settings = self.schemas.settings::<Settings>().await?.map(|(settings, _)| settings);
        let settings = settings.unwrap_or_default();
        settings.check()?;
        Ok(settings)
    }

    /// Changes the settings.
    pub async fn change_settings(&self, change: impl Fn(&mut Settings)) -> Result<Settings, RegistryError> {
        for _ in 0..super::ATTEMPTS {
            let (mut settings, tag) = self.schemas.settings::<Settings>().await?.unwrap_or_default();
            change(&mut settings);
            settings.check()?;
            if self.schemas.put_settings(&settings, tag.as_deref()).await? {
                return Ok(settings);
            }
        }
        Err(RegistryError::Request("others changed the settings at the same time: try again".to_owned()))
    }

    pub(super) async fn release(
        &self,
        variant: &Variant,
        version: u64,
        last: u64,
    ) -> Result<Release, RegistryError> {
        match self.schemas.release(variant, version).await? {
            Some(release) => Ok(release),
            None => Err(RegistryError::NoVersion { variant: variant.clone(), version, last }),
        }
    }

    pub(super) async fn no_variant(&self, wanted: &Variant) -> Result<RegistryError, RegistryError> {
        let known = self.schemas.variants().await?;
        Ok(RegistryError::NoVariant { wanted: wanted.clone(), known })
    }
}

fn parsed(supergraph: &str) -> Result<Schema, ReadError> {
    let damaged =
        |error: SyntaxError| ReadError::Damaged { path: "the supergraph".to_owned(), why: error.to_string() };
    Ok(Schema::parse(supergraph).map_err(damaged)?.into_api())
}
