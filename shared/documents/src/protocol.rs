//! What is said between those who ask by hash and those who keep documents.

use std::sync::Arc;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::{DocumentStore, MAX_DOCUMENT};

/// The code where no document is known by the hash.
pub const NOT_FOUND: &str = "PERSISTED_QUERY_NOT_FOUND";

/// The code where documents are not kept.
pub const NOT_SUPPORTED: &str = "PERSISTED_QUERY_NOT_SUPPORTED";

/// The code where the hash is not that of the text.
pub const HASH_MISMATCH: &str = "PERSISTED_QUERY_HASH_MISMATCH";

/// The `Cache-Control` of those refusals: what is not known yet will be in a moment.
pub const NOT_KEPT: &str = "private, no-cache, must-revalidate";

/// What a hash names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    /// A document that is kept.
    Known(Arc<str>),
    /// The text that came with it, to be kept once it proved valid; see [`register`].
    New,
}

/// Why a request by hash is not answered, as Apollo's clients expect to hear it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No document is known by the hash: send the text too.
    #[error("PersistedQueryNotFound")]
    NotFound,
    /// Documents are not kept: send the text alone.
    #[error("PersistedQueryNotSupported")]
    NotSupported,
    /// The hash is not that of the text.
    #[error("provided sha does not match query")]
    Mismatch,
    /// Another version of the protocol.
    #[error("Unsupported persisted query version")]
    Version,
    /// There is no hash.
    #[error("`extensions.persistedQuery` has no `sha256Hash`")]
    NoHash,
    /// What stands there is none.
    #[error("`sha256Hash` must be the SHA-256 of the document, as 64 hexadecimal digits")]
    NotSha256,
}

impl Refusal {
    /// The stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::NotFound => NOT_FOUND,
            Self::NotSupported => NOT_SUPPORTED,
            Self::Mismatch => HASH_MISMATCH,
            Self::Version | Self::NoHash | Self::NotSha256 => "BAD_REQUEST",
        }
    }

    /// Whether it is a part of the protocol, answered with status 200, and no mistake.
    pub const fn is_expected(self) -> bool {
        matches!(self, Self::NotFound | Self::NotSupported)
    }
}

/// The hash that `extensions.persistedQuery` names, in lower case.
///
/// # Errors
/// Where it names none, or in another version of the protocol.
pub fn hash(extension: &Value) -> Result<String, Refusal> {
    if extension["version"] != 1 {
        return Err(Refusal::Version);
    }
    match extension["sha256Hash"].as_str() {
        Some(hash) if !hash.is_empty() => Ok(hash.to_ascii_lowercase()),
        _ => Err(Refusal::NoHash),
    }
}

/// What a hash names: `text` is the document that came with it, empty where none did.
///
/// # Errors
/// Where it names nothing that is known, and where it is not the text's.
pub async fn resolve(store: &dyn DocumentStore, hash: &str, text: &str) -> Result<Named, Refusal> {
    if hash.len() != 64 || !hash.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(Refusal::NotSha256);
    }
    if !text.is_empty() {
        return if sha256(text) == hash { Ok(Named::New) } else { Err(Refusal::Mismatch) };
    }
    let known = store.get(hash).await.unwrap_or_else(|error| {
        tracing::warn!(%error, "a persisted query can't be looked up; the client sends its text");
        None
    });
    known.map(Named::Known).ok_or(Refusal::NotFound)
}

/// Keeps a document that has proved valid; one that is too long is left out.
pub async fn register(store: &dyn DocumentStore, hash: &str, document: &str) {
    if document.len() > MAX_DOCUMENT {
        return;
    }
    if let Err(error) = store.put(hash, document).await {
        tracing::warn!(%error, "a persisted query can't be kept; the client will send it again");
    }
}

/// The SHA-256 of a document, in lower-case hexadecimal.
pub fn sha256(document: &str) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(64);
    for byte in Sha256::digest(document.as_bytes()) {
        write!(text, "{byte:02x}").expect("a string takes all text");
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::DocumentsInMemory;

    #[tokio::test]
    async fn a_document_is_named_once_it_is_registered() {
        let store = DocumentsInMemory::new(1 << 20);
        let known = sha256("{a}");
        assert_eq!(resolve(&store, &known, "").await, Err(Refusal::NotFound));
        assert_eq!(resolve(&store, &known, "{a}").await, Ok(Named::New));
        // Only what proved valid is kept.
        assert_eq!(resolve(&store, &known, "").await, Err(Refusal::NotFound));
        register(&store, &known, "{a}").await;
        assert_eq!(resolve(&store, &known, "").await, Ok(Named::Known("{a}".into())));
        assert_eq!(resolve(&store, &known, "{b}").await, Err(Refusal::Mismatch));
        assert_eq!(resolve(&store, "beef", "").await, Err(Refusal::NotSha256));
        let long = "x".repeat(MAX_DOCUMENT + 1);
        register(&store, &sha256(&long), &long).await;
        assert_eq!(resolve(&store, &sha256(&long), "").await, Err(Refusal::NotFound));
    }

    #[test]
    fn only_the_first_version_is_spoken() {
        assert_eq!(hash(&json!({ "version": 1, "sha256Hash": "AB" })), Ok("ab".to_owned()));
        assert_eq!(hash(&json!({ "version": 1, "sha256Hash": "" })), Err(Refusal::NoHash));
        assert_eq!(hash(&json!({ "version": 2, "sha256Hash": "ab" })), Err(Refusal::Version));
        assert_eq!(hash(&json!("ab")), Err(Refusal::Version));
    }
}
