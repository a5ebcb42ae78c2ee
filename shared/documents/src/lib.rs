#![doc = include_str!("../README.md")]

mod protocol;

#[cfg(feature = "dynamodb")]
mod dynamodb;
mod memory;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

#[cfg(feature = "dynamodb")]
pub use dynamodb::DynamoDocuments;
pub use memory::DocumentsInMemory;
pub use protocol::{
    HASH_MISMATCH, NOT_FOUND, NOT_KEPT, NOT_SUPPORTED, Named, Refusal, hash, register, resolve, sha256,
};

/// The longest document that is kept, in bytes: whoever may register documents must not fill the store with few.
pub const MAX_DOCUMENT: usize = 64 << 10;

/// Where documents are kept by their hash. A store may forget: a client sends the text again.
#[async_trait]
pub trait DocumentStore: fmt::Debug + Send + Sync {
    /// The document with this hash.
    ///
    /// # Errors
    /// Where the store can't be asked; the client is then treated as if the document were not known.
    async fn get(&self, hash: &str) -> Result<Option<Arc<str>>, DocumentStoreError>;

    /// Keeps a valid document of at most `MAX_DOCUMENT` bytes under its hash.
    ///
    /// # Errors
    /// Where it can't be kept; the client will send it again.
    async fn put(&self, hash: &str, document: &str) -> Result<(), DocumentStoreError>;
}

/// Why a store of documents failed.
#[derive(Debug, thiserror::Error)]
#[error("{operation} on the store of persisted queries failed: {reason}")]
pub struct DocumentStoreError {
    /// What was tried.
    pub operation: &'static str,
    /// Why it failed, for logs.
    pub reason: String,
}
