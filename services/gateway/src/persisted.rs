//! Persisted queries: a client sends the hash of a document in place of its text, so that a query fits into a URL and
//! a CDN can cache its answer.
//!
//! The protocol is Apollo's: `extensions.persistedQuery` has `version` 1 and `sha256Hash`. A hash that is not known is
//! answered with `PersistedQueryNotFound`; the client then sends text and hash together, once. In the stricter mode of
//! trusted documents only operations of a list are run, whatever way they come.

mod trusted;

use std::sync::Arc;

use documents::{DocumentStore, DocumentsInMemory, Named, Refusal, register, resolve};

use crate::error::{GraphQlError, codes};
use crate::request::Request;

pub use trusted::{ManifestError, TrustedDocuments};

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
                Some(_) if request.query.is_empty() => Err(refused(Refusal::NotSupported)),
                _ => Ok(None),
            },
            Self::Automatic(store) => {
                let Some(hash) = named else { return Ok(None) };
                match resolve(&**store, &hash, &request.query).await.map_err(refused)? {
                    Named::New => Ok(Some(Registration { hash })),
                    Named::Known(document) => {
                        document.as_ref().clone_into(&mut request.query);
                        Ok(None)
                    }
                }
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
        if let Self::Automatic(store) = self {
            register(&**store, &registration.hash, document).await;
        }
    }
}

fn refused(refusal: Refusal) -> GraphQlError {
    GraphQlError::new(refusal.code(), refusal.to_string())
}

/// The hash or id by which a request names its document.
fn named(request: &Request) -> Result<Option<String>, GraphQlError> {
    if let Some(id) = &request.document_id {
        return Ok(Some(id.strip_prefix("sha256:").unwrap_or(id).to_owned()));
    }
    let Some(extension) = request.extensions.get("persistedQuery").filter(|it| !it.is_null()) else {
        return Ok(None);
    };
    documents::hash(extension).map(Some).map_err(refused)
}

/// What a client sent, short enough to be sent back.
fn shown(text: &str) -> String {
    text.chars().filter(|char| !char.is_control()).take(80).collect()
}

#[cfg(test)]
mod tests {
    use documents::{MAX_DOCUMENT, sha256};
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
