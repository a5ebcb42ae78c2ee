//! Where the objects are, and what there is of them.

use crate::filter::{Filter, Span};
use crate::name::{self, Hour, ObjectName};
use crate::object::{self, Damaged, Packed};
use futures::TryStreamExt as _;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, PutPayload};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tokio::sync::RwLock;

/// The archive of all events, in an object store. Clones share it.
#[derive(Clone, Debug)]
pub struct Archive {
    store: Arc<dyn ObjectStore>,
    /// Held by who lists, and exclusively by who removes: a folder that changes while it is listed may show neither
    /// an object nor what replaced it. Between processes, over S3, the order of the names does the same.
    pub(crate) removal: Arc<RwLock<()>>,
}

/// The object store failed.
#[derive(Debug, thiserror::Error)]
#[error("the archive can't {operation} {path}")]
pub struct StorageError {
    /// What was tried.
    pub operation: &'static str,
    /// On which object or folder.
    pub path: String,
    /// Why it failed.
    #[source]
    pub source: object_store::Error,
}

/// What the archive holds of an hour of a domain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HourSummary {
    /// The domain.
    pub domain: String,
    /// The hour's first moment.
    pub hour: jiff::Timestamp,
    /// Its objects.
    pub objects: u64,
    /// Events in them; one that is in two objects counts twice until the hour is compacted.
    pub events: u64,
    /// Their size in bytes, compressed.
    pub bytes: u64,
}

/// An object in a listing.
#[derive(Clone, Debug)]
pub(crate) struct Listed {
    pub name: ObjectName,
    pub path: Path,
    pub bytes: u64,
}

/// A folder of one day.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Day {
    domain: String,
    date: [u16; 3],
}

impl Day {
    /// Whether it can hold anything that comes after an object.
    pub(crate) fn reaches(&self, after: &ObjectName) -> bool {
        let [year, month, day, _] = after.hour.0;
        (self.domain.as_str(), self.date) >= (after.domain.as_str(), [year, month, day])
    }
}

/// What became of reading an object.
pub(crate) enum Content {
    Lines(String),
    Damaged(Damaged),
    /// It was replaced since it was listed.
    Gone,
}

impl Archive {
    /// An archive in any object store that can create an object on condition that there is none.
    pub fn new(store: Arc<dyn ObjectStore>) -> Self {
        Self { store, removal: Arc::default() }
    }

    /// An archive in a folder, which is made if it doesn't exist. With `survives_power_loss` every object waits for
    /// the disk.
    pub fn in_folder(folder: &std::path::Path, survives_power_loss: bool) -> Result<Self, StorageError> {
        let failed =
            |operation, source| StorageError { operation, path: folder.display().to_string(), source };
        std::fs::create_dir_all(folder).map_err(|error| {
            failed("make the folder", object_store::Error::Generic { store: "folder", source: error.into() })
        })?;
        let store =
            LocalFileSystem::new_with_prefix(folder).map_err(|source| failed("use the folder", source))?;
        Ok(Self::new(Arc::new(store.with_fsync(survives_power_loss))))
    }

    /// An archive that is gone with its last clone.
    pub fn in_memory() -> Self {
        Self::new(Arc::new(InMemory::new()))
    }

    /// An archive in a bucket of S3, with the region, credentials and endpoint of the environment, as on Lambda.
    #[cfg(feature = "s3")]
    pub fn in_bucket(bucket: &str) -> Result<Self, StorageError> {
        let builder = object_store::aws::AmazonS3Builder::from_env().with_bucket_name(bucket);
        let store = builder.build().map_err(|source| StorageError {
            operation: "use the bucket",
            path: bucket.to_owned(),
            source,
        })?;
        Ok(Self::new(Arc::new(store)))
    }

    /// What there is for a filter, by domain and hour. Types and subjects don't count: nothing but names is read.
    pub async fn summary(&self, filter: &Filter) -> Result<Vec<HourSummary>, StorageError> {
        let span = filter.span();
        let mut hours: Vec<HourSummary> = Vec::new();
        for day in self.days(&span).await? {
            for object in self.day(&day, &span).await? {
                let (domain, hour) = (&object.name.domain, object.name.hour.start());
                let fresh = HourSummary { domain: domain.clone(), hour, objects: 0, events: 0, bytes: 0 };
                match hours.last_mut() {
                    Some(last) if last.hour == hour && last.domain == *domain => {}
                    _ => hours.push(fresh),
                }
                let Some(summary) = hours.last_mut() else { continue };
                summary.objects += 1;
                summary.events += object.name.events;
                summary.bytes += object.bytes;
            }
        }
        Ok(hours)
    }

    /// The days that hold something, in order.
    pub(crate) async fn days(&self, span: &Span) -> Result<Vec<Day>, StorageError> {
        let domains = match span.domains.len() {
            0 => self.folders(&Path::from(name::ROOT)).await?,
            _ => span.domains.iter().cloned().collect(),
        };
        let mut days = Vec::new();
        for domain in domains.iter().filter_map(|domain| name::plain(domain)) {
            let mut dates: Vec<Vec<u16>> = vec![Vec::new()];
            for digits in [4, 2, 2] {
                let mut deeper = Vec::new();
                for date in &dates {
                    for part in self.folders(&name::folder(domain, date)).await? {
                        let Some(part) = name::number(&part, digits) else { continue };
                        let date = [date.as_slice(), &[part]].concat();
                        if span.reaches(&date) {
                            deeper.push(date);
                        }
                    }
                }
                dates = deeper;
            }
            let date = |date: Vec<u16>| Day { domain: domain.to_owned(), date: [date[0], date[1], date[2]] };
            days.extend(dates.into_iter().map(date));
        }
        days.sort_unstable();
        Ok(days)
    }

    /// A day's objects, in order.
    pub(crate) async fn day(&self, day: &Day, span: &Span) -> Result<Vec<Listed>, StorageError> {
        let mut objects = self.objects(&name::folder(&day.domain, &day.date)).await?;
        objects.retain(|object| span.reaches(&object.name.hour.0));
        Ok(objects)
    }

    /// An hour's objects, in order.
    pub(crate) async fn hour(&self, domain: &str, hour: Hour) -> Result<Vec<Listed>, StorageError> {
        self.objects(&name::folder(domain, &hour.0)).await
    }

    async fn objects(&self, folder: &Path) -> Result<Vec<Listed>, StorageError> {
        let _listing = self.removal.read().await;
        let mut stream = self.store.list(Some(folder));
        let mut objects = Vec::new();
        while let Some(found) = stream.try_next().await.map_err(|source| failed("list", folder, source))? {
            match ObjectName::parse(found.location.as_ref()) {
                Some(name) => objects.push(Listed { name, path: found.location, bytes: found.size }),
                None => {
                    tracing::warn!(object = %found.location, "not an object of the archive; it is passed over");
                }
            }
        }
        objects.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(objects)
    }

    async fn folders(&self, folder: &Path) -> Result<Vec<String>, StorageError> {
        let listed = self.store.list_with_delimiter(Some(folder)).await;
        let listed = listed.map_err(|source| failed("list", folder, source))?;
        let name = |path: &Path| path.filename().map(str::to_owned);
        Ok(listed.common_prefixes.iter().filter_map(name).collect())
    }

    /// Reads an object and checks it.
    pub(crate) async fn read(&self, object: &Listed) -> Result<Content, StorageError> {
        let bytes = match self.store.get(&object.path).await {
            Ok(found) => found.bytes().await,
            Err(error) => Err(error),
        };
        let bytes = match bytes {
            Ok(bytes) => bytes,
            Err(object_store::Error::NotFound { .. }) => return Ok(Content::Gone),
            Err(source) => return Err(failed("read", &object.path, source)),
        };
        let name = object.name.clone();
        let unpacked = tokio::task::spawn_blocking(move || object::unpack(&name, &bytes)).await;
        Ok(match unpacked {
            Ok(Ok(lines)) => Content::Lines(lines),
            Ok(Err(damaged)) => Content::Damaged(damaged),
            Err(panic) => Content::Damaged(Damaged {
                object: object.path.to_string(),
                why: format!("reading it: {panic}"),
            }),
        })
    }

    /// Stores an object, unless it is there; tells whether it was not. One that is there and damaged is written anew.
    pub(crate) async fn store(&self, packed: Packed) -> Result<bool, StorageError> {
        let path = packed.name.path();
        let payload = PutPayload::from(packed.bytes);
        let bytes = payload.content_length() as u64;
        let create = PutOptions::from(PutMode::Create);
        match self.store.put_opts(&path, payload.clone(), create).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::AlreadyExists { .. }) => {
                let there = Listed { name: packed.name, path, bytes };
                if matches!(self.read(&there).await?, Content::Lines(_)) {
                    return Ok(false);
                }
                tracing::warn!(object = %there.path, "an object was damaged; its events came again and heal it");
                let written = self.store.put(&there.path, payload).await;
                written.map_err(|source| failed("write", &there.path, source))?;
                Ok(true)
            }
            Err(source) => Err(failed("write", &path, source)),
        }
    }

    /// Removes objects whose events are stored elsewhere, or are to go.
    pub(crate) async fn remove(&self, objects: &[Listed]) -> Result<(), StorageError> {
        let _removing = self.removal.write().await;
        let paths: Vec<_> = objects.iter().map(|object| Ok(object.path.clone())).collect();
        let mut removed = self.store.delete_stream(Box::pin(futures::stream::iter(paths)));
        loop {
            match removed.try_next().await {
                Ok(Some(_)) | Err(object_store::Error::NotFound { .. }) => {}
                Ok(None) => return Ok(()),
                Err(source) => {
                    let path = objects.first().map(|object| object.path.clone()).unwrap_or_default();
                    return Err(failed("remove objects from", &path, source));
                }
            }
        }
    }
}

fn failed(operation: &'static str, path: &Path, source: object_store::Error) -> StorageError {
    StorageError { operation, path: path.to_string(), source }
}
