//! What is asked of generations, and what is answered: the same words on one machine and on Lambda.

use super::{Built, Rebuild, RebuildError};
use crate::app::App;
use crate::rebuild::place::Place;
use projection::Generation;
use projection::audit::Audit;
use projection::generation::{Alias, Refused, TransitionError};
use projection::store::StoreError;
use serde::{Deserialize, Serialize};

/// What is asked of generations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Ask {
    /// Which there are.
    List,
    /// Build a candidate and compare it; swap it in where nothing differs.
    Rebuild {
        /// The projection.
        of: Named,
        /// Whether the candidate is swapped in once it is verified.
        #[serde(default)]
        swap: bool,
    },
    /// Swap the verified candidate in.
    Swap(Named),
    /// Read the generation before again.
    Rollback(Named),
    /// Remove the generation before.
    Retire(Named),
    /// Remove the candidate.
    Discard(Named),
    /// Compare projections with their sources.
    Audit {
        /// One, or all.
        #[serde(default)]
        of: Option<Named>,
        /// Whether what is lost or stale is delivered again.
        #[serde(default)]
        repair: bool,
    },
}

impl Ask {
    /// The projection that is asked about, if it is one.
    pub fn of(&self) -> Option<&Named> {
        match self {
            Self::List => None,
            Self::Rebuild { of, .. }
            | Self::Swap(of)
            | Self::Rollback(of)
            | Self::Retire(of)
            | Self::Discard(of) => Some(of),
            Self::Audit { of, .. } => of.as_ref(),
        }
    }
}

/// A projection by the names of its micrograph and its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// The micrograph.
    pub micrograph: String,
    /// The projection.
    pub projection: String,
}

impl Named {
    /// A projection of a micrograph.
    pub fn of(app: &App, projection: &str) -> Self {
        Self { micrograph: app.name().to_owned(), projection: projection.to_owned() }
    }
}

/// The generations of a projection.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Listed {
    /// The projection.
    #[serde(flatten)]
    pub of: Named,
    /// The version of its folds in this build.
    pub version: u32,
    /// Which there are; none where nobody fed it yet.
    pub alias: Option<Alias>,
}

/// What a rebuild came to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Rebuilt {
    /// The candidate.
    pub generation: Generation,
    /// With how many events it was filled.
    pub events: u64,
    /// What the comparison saw.
    pub audit: Audit,
    /// How things stand now.
    pub alias: Alias,
}

/// What the comparison of a projection saw.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Audited {
    /// The projection.
    #[serde(flatten)]
    pub of: Named,
    /// The generation, which is the one that is read.
    pub generation: Generation,
    /// What was seen.
    pub audit: Audit,
    /// What was seen after events were delivered again, where they were.
    pub repaired: Option<Audit>,
}

/// What there was no time for: asked again, it goes on from there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unfinished {
    /// The projection.
    #[serde(flatten)]
    pub of: Named,
    /// How far its rebuild is.
    #[serde(flatten)]
    pub place: Place,
}

/// An answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Answer {
    /// To a list.
    Listed(Vec<Listed>),
    /// To a rebuild.
    Rebuilt(Box<Rebuilt>),
    /// To a change of the alias.
    Alias(Alias),
    /// To an audit.
    Audited(Vec<Audited>),
    /// To a rebuild that takes longer than one invocation: to be asked again.
    Continue(Box<Unfinished>),
}

/// The generations of a micrograph's projections.
pub async fn list(app: &App) -> Result<Vec<Listed>, StoreError> {
    let mut listed = Vec::new();
    for (projection, version) in app.projections() {
        let alias = app.aliases().get(projection).await?;
        listed.push(Listed { of: Named::of(app, projection), version, alias });
    }
    Ok(listed)
}

impl Rebuild<'_> {
    /// Builds a candidate, and swaps it in if that is wanted and nothing differs.
    pub async fn rebuild(&self, projection: &str, swap: bool) -> Result<Rebuilt, RebuildError> {
        let built = self.build(projection).await?;
        self.rebuilt(projection, swap, built).await
    }

    /// Swaps a candidate in that was built, if that is wanted and nothing differs.
    pub(crate) async fn rebuilt(
        &self,
        projection: &str,
        swap: bool,
        built: Built,
    ) -> Result<Rebuilt, RebuildError> {
        let Built { generation, events, audit } = built;
        let alias = if swap && audit.is_clean() {
            self.swap(projection).await?
        } else {
            self.alias(projection).await?
        };
        Ok(Rebuilt { generation, events, audit, alias })
    }

    /// Compares the generation that is read with its sources, and repairs it if that is wanted.
    pub async fn audit(&self, projection: &str, repair: bool) -> Result<Audited, RebuildError> {
        let generation = self.alias(projection).await?.active;
        let audit = self.compare(projection, generation).await?;
        let repaired = if repair && !audit.is_clean() {
            Some(self.repair(projection, generation, &audit).await?)
        } else {
            None
        };
        Ok(Audited { of: Named::of(self.app, projection), generation, audit, repaired })
    }

    async fn alias(&self, projection: &str) -> Result<Alias, RebuildError> {
        self.version(projection)?;
        let alias = self.app.aliases().get(projection).await?;
        Ok(alias.ok_or_else(|| TransitionError::from(Refused::Unknown))?)
    }
}
