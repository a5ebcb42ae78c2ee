use std::sync::Arc;

use async_trait::async_trait;
use quick_cache::{Weighter, sync::Cache};

use crate::{DocumentStore, DocumentStoreError};

/// Documents in this process's memory, the least used forgotten first.
pub struct DocumentsInMemory {
    documents: Cache<String, Arc<str>, Bytes>,
}

/// What an entry takes, about.
#[derive(Clone)]
struct Bytes;

impl Weighter<String, Arc<str>> for Bytes {
    fn weight(&self, hash: &String, document: &Arc<str>) -> u64 {
        (hash.len() + document.len()) as u64
    }
}

impl DocumentsInMemory {
    /// Keeps documents of `bytes` bytes altogether.
    pub fn new(bytes: u64) -> Self {
        // How many entries to expect: persisted queries have a kilobyte or so.
        let expected = usize::try_from(bytes / 1_024).unwrap_or(usize::MAX).max(1);
        Self { documents: Cache::with_weighter(expected, bytes, Bytes) }
    }
}

impl std::fmt::Debug for DocumentsInMemory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DocumentsInMemory").field("documents", &self.documents.len()).finish()
    }
}

#[async_trait]
impl DocumentStore for DocumentsInMemory {
    async fn get(&self, hash: &str) -> Result<Option<Arc<str>>, DocumentStoreError> {
        Ok(self.documents.get(hash))
    }

    async fn put(&self, hash: &str, document: &str) -> Result<(), DocumentStoreError> {
        self.documents.insert(hash.to_owned(), Arc::from(document));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn memory_is_bounded() {
        let store = DocumentsInMemory::new(10_000);
        for number in 0..1_000 {
            store.put(&number.to_string(), &"x".repeat(100)).await.unwrap();
        }
        assert!(store.documents.weight() <= 10_000);
        assert!(!store.documents.is_empty());
        assert!(format!("{store:?}").contains("documents"));
    }
}
