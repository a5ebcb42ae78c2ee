//! How a release comes to be: schemas first, then its entry in the history, then the pointer.
//!
//! The history is the truth. Its entries are numbered without gaps and created on condition that there is none, so
//! that of two who make the same version one is overtaken. The pointer is a copy of the last entry, for readers: it is
//! swapped by its `ETag` and only ever goes forward. Who finds an entry that the pointer doesn't show yet, because its
//! author ended in between, moves the pointer on.

use crate::release::Release;
use crate::store::{self, Current, ReadError, Schemas, StorageError, failed};
use crate::variant::Variant;
use bytes::Bytes;
use object_store::path::Path;
use object_store::{GetOptions, ObjectStore as _, PutMode, PutPayload};

/// A release that stands in the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Whether the pointer shows it. Where it doesn't, whoever next asks the registry anything moves it on.
    pub shown: bool,
}

/// Why a release was not committed.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Another one has its version.
    #[error("version {version} of {variant} was made by somebody else meanwhile: try again on top of it")]
    Overtaken {
        /// The variant.
        variant: Variant,
        /// The version.
        version: u64,
    },
    /// The store failed.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl From<StorageError> for CommitError {
    fn from(error: StorageError) -> Self {
        Self::Read(error.into())
    }
}

impl Schemas {
    /// The last release in a variant's history. A pointer that is behind is moved on.
    pub async fn head(&self, variant: &Variant) -> Result<Option<Release>, ReadError> {
        let shown = self.current(variant).await?;
        let mut last = shown.as_ref().map(|current| current.release.clone());
        loop {
            let next = last.as_ref().map_or(1, |release| release.version + 1);
            match self.release(variant, next).await? {
                Some(release) => last = Some(release),
                None => break,
            }
        }
        if let Some(release) = &last
            && shown.as_ref().is_none_or(|shown| shown.release.version < release.version)
        {
            tracing::info!(%variant, version = release.version, "the pointer was behind the history");
            self.show(variant, release).await?;
        }
        Ok(last)
    }

    /// A release of a variant's history, if there is one of this version.
    pub async fn release(&self, variant: &Variant, version: u64) -> Result<Option<Release>, ReadError> {
        let path = store::entry(variant, version);
        match self.read(&path, GetOptions::default()).await {
            Ok((bytes, _)) => {
                let release: Release = store::parse(&path, &bytes)?;
                if release.version != version {
                    let why = format!("it says that it is version {}", release.version);
                    return Err(ReadError::Damaged { path: path.to_string(), why });
                }
                Ok(Some(release))
            }
            Err(ReadError::Missing { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Commits a release whose schemas are stored, with the version after the last. A failure after which the release
    /// stands all the same is found out by reading, and is none.
    pub async fn commit(&self, variant: &Variant, release: &Release) -> Result<Committed, CommitError> {
        let path = store::entry(variant, release.version);
        let bytes = bytes(&path, release)?;
        let put = self.objects.put_opts(&path, PutPayload::from(bytes.clone()), PutMode::Create.into()).await;
        if let Err(error) = put {
            match self.read(&path, GetOptions::default()).await {
                Ok((there, _)) if there == bytes => {}
                Ok(_) => {
                    return Err(CommitError::Overtaken {
                        variant: variant.clone(),
                        version: release.version,
                    });
                }
                Err(_) => return Err(failed("write", &path, error).into()),
            }
        }
        match self.show(variant, release).await {
            Ok(()) => Ok(Committed { shown: true }),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(
                    error,
                    %variant,
                    version = release.version,
                    "the pointer doesn't show a release yet; the next call of the registry moves it on"
                );
                Ok(Committed { shown: false })
            }
        }
    }

    /// Moves the pointer on to a release, unless it shows that or a later one.
    async fn show(&self, variant: &Variant, release: &Release) -> Result<(), ReadError> {
        let path = store::pointer(variant);
        let bytes = bytes(&path, release)?;
        loop {
            let shown = self.current(variant).await?;
            let tag = match &shown {
                Some(Current { release: shown, .. }) if shown.version >= release.version => return Ok(()),
                Some(Current { tag: Some(tag), .. }) => Some(tag.as_str()),
                Some(Current { tag: None, .. }) => {
                    let why = "its store gives no ETag, which a conditional write takes".to_owned();
                    return Err(ReadError::Damaged { path: path.to_string(), why });
                }
                None => None,
            };
            if self.swap(&path, bytes.clone(), tag).await? {
                return Ok(());
            }
        }
    }
}

fn bytes(path: &Path, release: &Release) -> Result<Bytes, StorageError> {
    let bytes = serde_json::to_vec_pretty(release).map_err(|error| {
        failed("write", path, object_store::Error::Generic { store: "schemas", source: error.into() })
    })?;
    Ok(bytes.into())
}
