//! Where schemas are, and how they are read.

use crate::hash::Hash;
use crate::release::Release;
use crate::variant::Variant;
use bytes::Bytes;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    GetOptions, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, PutPayload, UpdateVersion,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::PathBuf;
use std::sync::Arc;

/// The largest object that is written or read, in bytes.
pub const MAX_OBJECT_BYTES: u64 = 64 * 1024 * 1024;

/// The store of schemas and of the usage log. Clones share it.
#[derive(Clone, Debug)]
pub struct Schemas {
    pub(crate) objects: Arc<dyn ObjectStore>,
    /// Guards conditional writes in a folder, whose file system has none: a lock between processes.
    lock: Option<Arc<PathBuf>>,
}

/// The object store failed.
#[derive(Debug, thiserror::Error)]
#[error("the store of schemas can't {operation} {path}")]
pub struct StorageError {
    /// What was tried.
    pub operation: &'static str,
    /// On which object or folder.
    pub path: String,
    /// Why it failed.
    #[source]
    pub source: object_store::Error,
}

/// Why something can't be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The object store failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// There is no such object.
    #[error("the store of schemas has no {path}: was it removed by hand?")]
    Missing {
        /// Its path.
        path: String,
    },
    /// It is not what it says that it is.
    #[error("{path} is damaged: {why}")]
    Damaged {
        /// Its path.
        path: String,
        /// What is wrong with it.
        why: String,
    },
}

/// What a pointer shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Current {
    /// The release.
    pub release: Release,
    /// The pointer's `ETag`: `Schemas::newer` tells by it whether there is another.
    pub tag: Option<String>,
}

/// Whether a pointer shows something else than before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Newer {
    /// The variant has no release.
    None,
    /// It shows what it showed.
    Same,
    /// It shows this.
    Now(Box<Current>),
}

impl Schemas {
    /// Schemas in any object store that can create an object on condition that there is none, and replace one on
    /// condition that it has an `ETag`, as S3 can.
    pub fn new(objects: Arc<dyn ObjectStore>) -> Self {
        Self { objects, lock: None }
    }

    /// Schemas in a folder, which is made if it doesn't exist. Several processes may share it.
    pub fn in_folder(folder: &std::path::Path) -> Result<Self, StorageError> {
        std::fs::create_dir_all(folder)
            .map_err(|error| failed("make the folder", folder.display(), io(error)))?;
        let objects = LocalFileSystem::new_with_prefix(folder)
            .map_err(|source| failed("use the folder", folder.display(), source))?;
        Ok(Self::in_folder_over(folder, Arc::new(objects)))
    }

    /// Schemas in a folder, through another object store on it: a test's.
    #[doc(hidden)]
    pub fn in_folder_over(folder: &std::path::Path, objects: Arc<dyn ObjectStore>) -> Self {
        Self { objects, lock: Some(Arc::new(folder.join(".lock"))) }
    }

    /// Schemas that are gone with the last clone.
    pub fn in_memory() -> Self {
        Self::new(Arc::new(InMemory::new()))
    }

    /// Schemas in a bucket of S3, with the region, credentials and endpoint of the environment, as on Lambda.
    #[cfg(feature = "s3")]
    pub fn in_bucket(bucket: &str) -> Result<Self, StorageError> {
        let builder = object_store::aws::AmazonS3Builder::from_env().with_bucket_name(bucket);
        let objects = builder.build().map_err(|source| failed("use the bucket", bucket, source))?;
        Ok(Self::new(Arc::new(objects)))
    }

    /// What a variant's pointer shows; none where nothing was ever published. One read.
    pub async fn current(&self, variant: &Variant) -> Result<Option<Current>, ReadError> {
        match self.newer(variant, None).await? {
            Newer::Now(current) => Ok(Some(*current)),
            Newer::None | Newer::Same => Ok(None),
        }
    }

    /// What a variant's pointer shows, unless it has the tag that is known. One read, and where nothing changed, one
    /// without a body.
    pub async fn newer(&self, variant: &Variant, known: Option<&str>) -> Result<Newer, ReadError> {
        let path = pointer(variant);
        let options = GetOptions { if_none_match: known.map(str::to_owned), ..GetOptions::default() };
        match self.read(&path, options).await {
            Ok((bytes, tag)) => {
                let release = parse(&path, &bytes)?;
                Ok(Newer::Now(Box::new(Current { release, tag })))
            }
            Err(ReadError::Missing { .. }) => Ok(Newer::None),
            Err(ReadError::Storage(StorageError {
                source: object_store::Error::NotModified { .. }, ..
            })) => Ok(Newer::Same),
            Err(error) => Err(error),
        }
    }

    /// A schema by its hash, which is checked.
    pub async fn schema(&self, hash: &Hash) -> Result<String, ReadError> {
        let path = object(hash);
        let (bytes, _) = self.read(&path, GetOptions::default()).await?;
        let damaged = |why: &str| ReadError::Damaged { path: path.to_string(), why: why.to_owned() };
        let text = String::from_utf8(bytes.into()).map_err(|_| damaged("it is not UTF-8"))?;
        if Hash::of(&text) != *hash {
            return Err(damaged("its content has another hash than its name says"));
        }
        Ok(text)
    }

    /// Stores a schema and tells its hash. One that is there already stays; one that is damaged is written anew.
    pub async fn put_schema(&self, text: &str) -> Result<Hash, StorageError> {
        let hash = Hash::of(text);
        let path = object(&hash);
        let payload = PutPayload::from(text.to_owned());
        match self.objects.put_opts(&path, payload.clone(), PutMode::Create.into()).await {
            Ok(_) => Ok(hash),
            Err(object_store::Error::AlreadyExists { .. }) => {
                if let Err(ReadError::Damaged { path, why }) = self.schema(&hash).await {
                    tracing::warn!(path, why, "a stored schema was damaged; it is written again");
                    let written = self.objects.put(&object(&hash), payload).await;
                    written.map_err(|source| failed("write", &path, source))?;
                }
                Ok(hash)
            }
            Err(source) => Err(failed("write", &path, source)),
        }
    }

    /// The variants that there are, in order.
    pub async fn variants(&self) -> Result<Vec<Variant>, StorageError> {
        let folder = Path::from("variants");
        let listed = self.objects.list_with_delimiter(Some(&folder)).await;
        let listed = listed.map_err(|source| failed("list", &folder, source))?;
        let names = listed.common_prefixes.iter().filter_map(Path::filename);
        let mut variants: Vec<Variant> = names.filter_map(|name| name.parse().ok()).collect();
        variants.sort_unstable();
        Ok(variants)
    }

    /// The registry's settings and their tag, if any were ever written.
    pub async fn settings<T: DeserializeOwned>(&self) -> Result<Option<(T, Option<String>)>, ReadError> {
        let path = settings();
        match self.read(&path, GetOptions::default()).await {
            Ok((bytes, tag)) => Ok(Some((parse(&path, &bytes)?, tag))),
            Err(ReadError::Missing { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Replaces the settings that have this tag, or creates them where it is none; tells whether they were replaced.
    pub async fn put_settings<T: Serialize>(
        &self,
        value: &T,
        tag: Option<&str>,
    ) -> Result<bool, StorageError> {
        let path = settings();
        let bytes = serde_json::to_vec_pretty(value).map_err(|error| failed("write", &path, io(error)))?;
        self.swap(&path, bytes.into(), tag).await
    }

    pub(crate) async fn read(
        &self,
        path: &Path,
        options: GetOptions,
    ) -> Result<(Bytes, Option<String>), ReadError> {
        let found = match self.objects.get_opts(path, options).await {
            Ok(found) => found,
            Err(object_store::Error::NotFound { .. }) => {
                return Err(ReadError::Missing { path: path.to_string() });
            }
            Err(source) => return Err(failed("read", path, source).into()),
        };
        if found.meta.size > MAX_OBJECT_BYTES {
            let why = format!("it has {} bytes, and {MAX_OBJECT_BYTES} are the most", found.meta.size);
            return Err(ReadError::Damaged { path: path.to_string(), why });
        }
        let tag = found.meta.e_tag.clone();
        let bytes = found.bytes().await.map_err(|source| failed("read", path, source))?;
        Ok((bytes, tag))
    }

    /// Replaces an object that has a tag, or creates it where there is none; tells whether it did.
    pub(crate) async fn swap(
        &self,
        path: &Path,
        bytes: Bytes,
        tag: Option<&str>,
    ) -> Result<bool, StorageError> {
        let payload = PutPayload::from(bytes);
        let put = match (tag, &self.lock) {
            (None, _) => self.objects.put_opts(path, payload, PutMode::Create.into()).await,
            (Some(tag), None) => {
                let version = UpdateVersion { e_tag: Some(tag.to_owned()), version: None };
                self.objects.put_opts(path, payload, PutMode::Update(version).into()).await
            }
            (Some(tag), Some(lock)) => {
                let held = held(lock).await.map_err(|error| failed("lock", lock.display(), io(error)))?;
                let now = self.objects.head(path).await.map_err(|source| failed("read", path, source))?;
                if now.e_tag.as_deref() != Some(tag) {
                    return Ok(false);
                }
                let put = self.objects.put_opts(path, payload, PutOptions::default()).await;
                drop(held);
                put
            }
        };
        match put {
            Ok(_) => Ok(true),
            Err(
                object_store::Error::AlreadyExists { .. }
                | object_store::Error::Precondition { .. }
                | object_store::Error::NotFound { .. },
            ) => Ok(false),
            Err(source) => Err(failed("write", path, source)),
        }
    }
}

/// Takes the lock between processes; the system releases it when the file is dropped, or its process ends.
async fn held(lock: &Arc<PathBuf>) -> std::io::Result<std::fs::File> {
    let lock = Arc::clone(lock);
    let taken = tokio::task::spawn_blocking(move || {
        let mut options = std::fs::OpenOptions::new();
        let file = options.write(true).create(true).truncate(false).open(lock.as_path())?;
        file.lock()?;
        Ok(file)
    });
    taken.await.unwrap_or_else(|panic| Err(std::io::Error::other(panic)))
}

pub(crate) fn pointer(variant: &Variant) -> Path {
    Path::from_iter(["variants", variant.as_str(), "pointer.json"])
}

pub(crate) fn entry(variant: &Variant, version: u64) -> Path {
    Path::from_iter(["variants", variant.as_str(), "history", &format!("{version:020}.json")])
}

fn object(hash: &Hash) -> Path {
    Path::from_iter(["objects", &format!("{hash}.graphql")])
}

fn settings() -> Path {
    Path::from("settings.json")
}

pub(crate) fn parse<T: DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<T, ReadError> {
    serde_json::from_slice(bytes)
        .map_err(|error| ReadError::Damaged { path: path.to_string(), why: error.to_string() })
}

pub(crate) fn failed(
    operation: &'static str,
    path: impl std::fmt::Display,
    source: object_store::Error,
) -> StorageError {
    StorageError { operation, path: path.to_string(), source }
}

fn io(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> object_store::Error {
    object_store::Error::Generic { store: "schemas", source: error.into() }
}
