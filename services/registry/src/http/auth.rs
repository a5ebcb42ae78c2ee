//! Who may do what.

use axum::http::{HeaderMap, header};
use schemas::{Hash, Variant};
use serde::Deserialize;
use std::collections::BTreeSet;

/// How callers show who they are.
#[derive(Clone, Debug)]
pub enum Auth {
    /// By a bearer token whose hash is known.
    Tokens(Vec<Grant>),
    /// AWS has checked it (IAM on the function's URL or its API): the caller stands in the request's context.
    Iam,
    /// Not at all: for a registry on the loopback.
    Open,
}

/// The caller that AWS has checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller(pub String);

/// What the holder of a token may do.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// Who that is: what the history names.
    pub name: String,
    /// The token's SHA-256: the token itself isn't in the configuration.
    pub sha256: Hash,
    /// What they may do.
    pub may: Right,
    /// To which variants alone; to all where none is named.
    #[serde(default)]
    pub variants: BTreeSet<Variant>,
    /// With which subgraphs alone; with all where none is named.
    #[serde(default)]
    pub subgraphs: BTreeSet<String>,
}

/// What one may do; each holds the ones before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Right {
    /// Read and check.
    Read,
    /// Publish subgraphs.
    Publish,
    /// Roll back, set contracts and settings.
    Admin,
}

/// Why a caller is turned away.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// Nobody knows who it is.
    #[error("show who you are: send `Authorization: Bearer …` with a token that this registry knows")]
    Unknown,
    /// It is known, and may not.
    #[error("{0}")]
    Forbidden(String),
}

impl Auth {
    /// Reads tokens from JSON: a list of `{"name", "sha256", "may", "variants", "subgraphs"}`.
    pub fn tokens(json: &str) -> Result<Self, serde_json::Error> {
        Ok(Self::Tokens(serde_json::from_str(json)?))
    }

    /// What a request may do.
    pub fn grant(&self, headers: &HeaderMap, caller: Option<&Caller>) -> Result<Grant, AuthError> {
        match self {
            Self::Tokens(grants) => {
                let shown = headers.get(header::AUTHORIZATION).and_then(|it| it.to_str().ok());
                let token = shown.and_then(|it| it.split_once(' '));
                let token = token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
                let (_, token) = token.ok_or(AuthError::Unknown)?;
                // Hashes are compared, so that the time it takes says nothing of a token.
                let shown = Hash::of(token.trim());
                grants.iter().find(|grant| grant.sha256 == shown).cloned().ok_or(AuthError::Unknown)
            }
            Self::Iam => Ok(all(&caller.ok_or(AuthError::Unknown)?.0)),
            Self::Open => Ok(all("anybody")),
        }
    }
}

fn all(name: &str) -> Grant {
    Grant {
        name: name.to_owned(),
        sha256: Hash::of(""),
        may: Right::Admin,
        variants: BTreeSet::new(),
        subgraphs: BTreeSet::new(),
    }
}

impl Grant {
    pub(super) fn check(&self, right: Right, variant: &Variant) -> Result<(), AuthError> {
        self.has(right)?;
        if !self.variants.is_empty() && !self.variants.contains(variant) {
            return Err(AuthError::Forbidden(format!("{} has no right to {variant}", self.name)));
        }
        Ok(())
    }

    pub(super) fn check_read(&self) -> Result<(), AuthError> {
        self.has(Right::Read)
    }

    /// What concerns all variants takes a right to all.
    pub(super) fn check_admin(&self) -> Result<(), AuthError> {
        self.has(Right::Admin)?;
        if self.variants.is_empty() {
            return Ok(());
        }
        Err(AuthError::Forbidden(format!("{} has no right to all variants", self.name)))
    }

    pub(super) fn check_subgraphs<'a>(
        &self,
        names: impl IntoIterator<Item = &'a String>,
    ) -> Result<(), AuthError> {
        let foreign = |name: &&String| !self.subgraphs.is_empty() && !self.subgraphs.contains(*name);
        match names.into_iter().find(foreign) {
            Some(name) => {
                Err(AuthError::Forbidden(format!("{} has no right to the subgraph {name}", self.name)))
            }
            None => Ok(()),
        }
    }

    fn has(&self, right: Right) -> Result<(), AuthError> {
        if self.may >= right {
            return Ok(());
        }
        let needed = match right {
            Right::Read => "read",
            Right::Publish => "publish",
            Right::Admin => "admin",
        };
        Err(AuthError::Forbidden(format!("{} has no right to this: it takes `{needed}`", self.name)))
    }
}
