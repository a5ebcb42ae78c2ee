//! The keys that tokens are signed with: asked for when they are needed, kept for a while, asked for again when a token
//! has an unknown one.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use async_trait::async_trait;
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use tokio::sync::Mutex;
use tokio::time::Instant;

/// How long after a key set was asked for it may be asked for again because of a key that it lacks: whoever sends
/// tokens with made-up keys must not make the gateway ask each time.
const AGAIN: Duration = Duration::from_secs(30);

/// How long an answer of the source may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// The most bytes of a key set.
const MAX_BYTES: usize = 1 << 20;

/// Where a JSON Web Key Set comes from.
#[async_trait]
pub trait KeySource: Send + Sync {
    /// The key set's JSON.
    ///
    /// # Errors
    /// Where it can't be had.
    async fn load(&self) -> Result<String, KeySetError>;
}

/// Why there are no keys.
#[derive(Debug, Clone, thiserror::Error)]
pub enum KeySetError {
    /// The source did not give any.
    #[error("the key set can't be had: {0}")]
    Source(String),
    /// What it gave is no key set.
    #[error("the key set can't be read: {0}")]
    Form(String),
}

/// A key set at a URL, as identity providers publish it.
#[derive(Debug, Clone)]
pub struct FromUrl {
    client: reqwest::Client,
    url: String,
}

impl FromUrl {
    /// The key set at this URL.
    ///
    /// # Errors
    /// Where no HTTP client can be made.
    pub fn new(url: impl Into<String>) -> Result<Self, KeySetError> {
        let client = reqwest::Client::builder().timeout(PATIENCE).build();
        Ok(Self { client: client.map_err(|error| KeySetError::Source(error.to_string()))?, url: url.into() })
    }
}

#[async_trait]
impl KeySource for FromUrl {
    async fn load(&self) -> Result<String, KeySetError> {
        let failed = |error: reqwest::Error| KeySetError::Source(error.to_string());
        let answer = self.client.get(&self.url).send().await.and_then(reqwest::Response::error_for_status);
        let mut answer = answer.map_err(failed)?;
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > MAX_BYTES {
                return Err(KeySetError::Form(format!("it has more than {MAX_BYTES} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        String::from_utf8(body).map_err(|error| KeySetError::Form(error.to_string()))
    }
}

/// The keys of a source, as they were last given.
pub(super) struct KeySet {
    source: Arc<dyn KeySource>,
    life: Duration,
    known: ArcSwapOption<Known>,
    /// Held by the one that asks the source.
    asking: Mutex<()>,
}

struct Known {
    keys: JwkSet,
    at: Instant,
}

impl KeySet {
    pub(super) fn new(source: Arc<dyn KeySource>, life: Duration) -> Self {
        Self { source, life, known: ArcSwapOption::empty(), asking: Mutex::new(()) }
    }

    /// The key of a token that names it, or the only one that fits a token that names none.
    pub(super) async fn find(
        &self,
        id: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<Option<DecodingKey>, KeySetError> {
        let known = self.known.load_full();
        let found = known.as_ref().and_then(|known| key(&known.keys, id, algorithm));
        let needed = match &known {
            None => true,
            Some(known) => {
                known.at.elapsed() >= if found.is_some() { self.life } else { AGAIN.min(self.life) }
            }
        };
        if !needed {
            return Ok(found);
        }
        match (self.ask(known.as_ref().map(|known| known.at)).await, found) {
            (Ok(known), _) => Ok(key(&known.keys, id, algorithm)),
            // The keys of before are as good as they were.
            (Err(error), Some(found)) => {
                tracing::warn!(%error, "the key set is taken as it was");
                Ok(Some(found))
            }
            (Err(error), None) => Err(error),
        }
    }

    /// Asks the source, unless another one did since.
    async fn ask(&self, seen: Option<Instant>) -> Result<Arc<Known>, KeySetError> {
        let _asking = self.asking.lock().await;
        if let Some(known) = self.known.load_full()
            && seen.is_none_or(|seen| known.at > seen)
        {
            return Ok(known);
        }
        let text = tokio::time::timeout(PATIENCE, self.source.load()).await;
        let text =
            text.unwrap_or_else(|_| Err(KeySetError::Source(format!("no answer within {PATIENCE:?}"))))?;
        let keys = serde_json::from_str(&text).map_err(|error| KeySetError::Form(error.to_string()))?;
        let known = Arc::new(Known { keys, at: Instant::now() });
        self.known.store(Some(Arc::clone(&known)));
        Ok(known)
    }
}

fn key(keys: &JwkSet, id: Option<&str>, algorithm: Algorithm) -> Option<DecodingKey> {
    let mut fitting = keys.keys.iter().filter(|key| fits(key, algorithm));
    let key = match id {
        Some(id) => fitting.find(|key| key.common.key_id.as_deref() == Some(id))?,
        None => match (fitting.next(), fitting.next()) {
            (Some(only), None) => only,
            _ => return None,
        },
    };
    DecodingKey::from_jwk(key).ok()
}

/// Whether a key may have made a signature of this kind: a public key never counts as a shared secret.
fn fits(key: &Jwk, algorithm: Algorithm) -> bool {
    if matches!(key.common.public_key_use, Some(PublicKeyUse::Encryption)) {
        return false;
    }
    if key.common.key_algorithm.is_some_and(|own| own.to_string() != format!("{algorithm:?}")) {
        return false;
    }
    match (&key.algorithm, algorithm) {
        (
            AlgorithmParameters::RSA(_),
            Algorithm::RS256
            | Algorithm::RS384
            | Algorithm::RS512
            | Algorithm::PS256
            | Algorithm::PS384
            | Algorithm::PS512,
        )
        | (AlgorithmParameters::EllipticCurve(_), Algorithm::ES256 | Algorithm::ES384)
        | (AlgorithmParameters::OctetKeyPair(_), Algorithm::EdDSA) => true,
        // A shared secret is no key for a set that anyone may read.
        _ => false,
    }
}
