//! Persisted queries: a client sends the hash of a document in place of its text, so that a query fits into a URL and
//! a CDN can cache its answer.
//!
//! The protocol is Apollo's: `extensions.persistedQuery` has `version` 1 and `sha256Hash`. A hash that is not known is
//! answered with `PersistedQueryNotFound`; the client then sends text and hash together, once. In the stricter mode of
//! trusted documents only operations of a list are run, whatever way they come.

mod memory;
mod trusted;

#[cfg(feature = "dynamodb")]
mod dynamodb;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use sha2::{Digest, Sha256};

use crate::error::{GraphQlError, codes};
use crate::request::Request;

#[cfg(feature = "dynamodb")]
pub use dynamodb::DynamoDocuments;
pub use memory::DocumentsInMemory;
pub use trusted::{ManifestError, TrustedDocuments};

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

/// Which persisted queries are taken.
#[derive(Debug, Clone)]
pub enum PersistedQueries {
    /// None: clients are told to send the text.
    Off,
    /// Whatever valid document a client registers.
    Automatic(Arc<dyn DocumentStore>),
    /// Documents of a list, and nothing else.
    Trusted(Arc<TrustedDocuments>),
}

impl Default for PersistedQueries {
    /// Automatic, 16 MiB in memory.
    fn default() -> Self {
        Self::Automatic(Arc::new(DocumentsInMemory::new(16 << 20)))
    }
}

/// A document that is to be kept once it has proved valid.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Registration {
    hash: String,
}

impl PersistedQueries {
    /// Puts the document's text into the request where the request names it only by its hash.
    pub(crate) async fn resolve(&self, request: &mut Request) -> Result<Option<Registration>, GraphQlError> {
        let named = named(request)?;
        match self {
            Self::Off => match named {
                Some(_) if request.query.is_empty() => {
                    Err(GraphQlError::new(codes::PERSISTED_QUERY_NOT_SUPPORTED, "PersistedQueryNotSupported"))
                }
                _ => Ok(None),
            },
            Self::Automatic(store) => {
                let Some(hash) = named else { return Ok(None) };
                if !is_sha256(&hash) {
                    let message =
                        "`sha256Hash` must be the SHA-256 of the document, as 64 hexadecimal digits";
                    return Err(GraphQlError::new(codes::BAD_REQUEST, message));
                }
                if !request.query.is_empty() {
                    if sha256(&request.query) != hash {
                        return Err(GraphQlError::new(
                            codes::PERSISTED_QUERY_HASH_MISMATCH,
                            "provided sha does not match query",
                        ));
                    }
                    return Ok(Some(Registration { hash }));
                }
                let known = store.get(&hash).await.unwrap_or_else(|error| {
                    tracing::warn!(%error, "a persisted query can't be looked up; the client sends its text");
                    None
                });
                let Some(document) = known else {
                    return Err(GraphQlError::new(
                        codes::PERSISTED_QUERY_NOT_FOUND,
                        "PersistedQueryNotFound",
                    ));
                };
                document.as_ref().clone_into(&mut request.query);
                Ok(None)
            }
            Self::Trusted(documents) => {
                let known = match &named {
                    Some(id) if request.query.is_empty() => documents.by_id(id),
                    _ => documents.by_text(&request.query),
                };
                let Some(document) = known else {
                    let message = match named {
                        Some(id) => format!("no trusted document has the id {}", shown(&id)),
                        None => "only trusted documents are run here: send the id of one".to_owned(),
                    };
                    return Err(GraphQlError::new(codes::DOCUMENT_NOT_TRUSTED, message));
                };
                document.clone_into(&mut request.query);
                Ok(None)
            }
        }
    }

    /// Keeps a document that has proved valid.
    pub(crate) async fn register(&self, registration: &Registration, document: &str) {
        let Self::Automatic(store) = self else { return };
        if document.len() > MAX_DOCUMENT {
            return;
        }
        if let Err(error) = store.put(&registration.hash, document).await {
            tracing::warn!(%error, "a persisted query can't be kept; the client will send it again");
        }
    }
}

/// The hash or id by which a request names its document.
fn named(request: &Request) -> Result<Option<String>, GraphQlError> {
    if let Some(id) = &request.document_id {
        return Ok(Some(id.strip_prefix("sha256:").unwrap_or(id).to_owned()));
    }
    let Some(extension) = request.extensions.get("persistedQuery").filter(|it| !it.is_null()) else {
        return Ok(None);
    };
    let bad = |message: &str| GraphQlError::new(codes::BAD_REQUEST, message);
    if extension["version"] != 1 {
        return Err(bad("Unsupported persisted query version"));
    }
    match extension["sha256Hash"].as_str() {
        Some(hash) if !hash.is_empty() => Ok(Some(hash.to_ascii_lowercase())),
        _ => Err(bad("`extensions.persistedQuery` has no `sha256Hash`")),
    }
}

fn is_sha256(hash: &str) -> bool {
    hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The SHA-256 of a document, in lower-case hexadecimal.
pub(crate) fn sha256(document: &str) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(64);
    for byte in Sha256::digest(document.as_bytes()) {
        write!(text, "{byte:02x}").expect("a string takes all text");
    }
    text
}

/// What a client sent, short enough to be sent back.
fn shown(text: &str) -> String {
    text.chars().filter(|char| !char.is_control()).take(80).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn request(query: &str, hash: Option<&str>) -> Request {
        let mut request = Request { query: query.to_owned(), ..Request::default() };
        if let Some(hash) = hash {
            request
                .extensions
                .insert("persistedQuery".to_owned(), json!({ "version": 1, "sha256Hash": hash }));
        }
        request
    }

    async fn code(mode: &PersistedQueries, mut request: Request) -> String {
        mode.resolve(&mut request).await.unwrap_err().code().to_owned()
    }

    #[tokio::test]
    async fn a_document_is_registered_once_and_then_named() {
        let mode = PersistedQueries::default();
        let hash = sha256("{a}");
        assert_eq!(code(&mode, request("", Some(&hash))).await, codes::PERSISTED_QUERY_NOT_FOUND);
        let mut full = request("{a}", Some(&hash.to_uppercase()));
        let registration = mode.resolve(&mut full).await.unwrap().unwrap();
        // Only what proved valid is kept.
        assert_eq!(code(&mode, request("", Some(&hash))).await, codes::PERSISTED_QUERY_NOT_FOUND);
        mode.register(&registration, &full.query).await;
        let mut short = request("", Some(&hash));
        assert_eq!(mode.resolve(&mut short).await.unwrap(), None);
        assert_eq!(short.query, "{a}");
    }

    #[tokio::test]
    async fn what_does_not_fit_is_refused() {
        let mode = PersistedQueries::default();
        let other = sha256("{b}");
        assert_eq!(code(&mode, request("{a}", Some(&other))).await, codes::PERSISTED_QUERY_HASH_MISMATCH);
        assert_eq!(code(&mode, request("", Some("beef"))).await, codes::BAD_REQUEST);
        let mut version = request("{a}", None);
        version.extensions.insert("persistedQuery".to_owned(), json!({ "version": 2, "sha256Hash": other }));
        assert_eq!(code(&mode, version).await, codes::BAD_REQUEST);
        let off = PersistedQueries::Off;
        assert_eq!(code(&off, request("", Some(&other))).await, codes::PERSISTED_QUERY_NOT_SUPPORTED);
        assert!(off.resolve(&mut request("{a}", Some(&other))).await.is_ok());
    }

    #[tokio::test]
    async fn a_large_document_is_answered_and_not_kept() {
        let mode = PersistedQueries::default();
        let large = format!("{{a}} # {}", "x".repeat(MAX_DOCUMENT));
        let hash = sha256(&large);
        let registration = mode.resolve(&mut request(&large, Some(&hash))).await.unwrap().unwrap();
        mode.register(&registration, &large).await;
        assert_eq!(code(&mode, request("", Some(&hash))).await, codes::PERSISTED_QUERY_NOT_FOUND);
    }

    #[tokio::test]
    async fn only_trusted_documents_are_run() {
        let manifest = json!({
            "format": "apollo-persisted-query-manifest", "version": 1,
            "operations": [{ "id": "products", "name": "P", "type": "query", "body": "query P {a}" }],
        });
        let trusted = TrustedDocuments::parse(&manifest.to_string()).unwrap();
        let mode = PersistedQueries::Trusted(Arc::new(trusted));
        let mut by_hash = request("", Some(&sha256("query P {a}")));
        mode.resolve(&mut by_hash).await.unwrap();
        assert_eq!(by_hash.query, "query P {a}");
        let mut by_id = Request { document_id: Some("products".to_owned()), ..Request::default() };
        mode.resolve(&mut by_id).await.unwrap();
        assert_eq!(by_id.query, "query P {a}");
        assert!(mode.resolve(&mut request("query P {a}", None)).await.is_ok());
        assert_eq!(code(&mode, request("{a}", None)).await, codes::DOCUMENT_NOT_TRUSTED);
        assert_eq!(code(&mode, request("", Some(&sha256("{a}")))).await, codes::DOCUMENT_NOT_TRUSTED);
        assert_eq!(code(&mode, request("", None)).await, codes::DOCUMENT_NOT_TRUSTED);
    }
}
