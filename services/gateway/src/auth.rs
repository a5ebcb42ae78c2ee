//! Who asks, and what they may see: JSON Web Tokens are checked against a key set, and fields that a schema guards by
//! `@authenticated`, `@requiresScopes` and `@policy` are left out before any subgraph is asked.

mod jwks;
mod rules;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, header};
use jsonwebtoken::{Validation, decode, decode_header};
use serde_json::{Map, Value};

use crate::error::{GraphQlError, codes};

pub use jwks::{FromUrl, KeySetError, KeySource};
pub(crate) use rules::{Denied, Rules};

use jwks::KeySet;

/// How tokens are checked.
#[derive(Clone)]
pub struct Auth {
    /// Where the keys come from.
    pub keys: Arc<dyn KeySource>,
    /// For how long keys are used before they are asked for again. A token with an unknown key asks sooner.
    pub keys_life: Duration,
    /// Who must have issued a token; empty takes any issuer whose key is in the set.
    pub issuers: Vec<String>,
    /// For whom a token must be; empty takes any.
    pub audiences: Vec<String>,
    /// Decides on `@policy`; the default grants those that the token's claim `policies` lists.
    pub policies: Arc<dyn Policies>,
}

/// Decides which policies a request fulfils.
pub trait Policies: Send + Sync {
    /// Whether the one who asks fulfils a policy.
    fn grants(&self, claims: &Claims, policy: &str) -> bool;
}

/// Grants the policies that the token's claim `policies` lists.
#[derive(Debug, Clone, Copy, Default)]
pub struct PoliciesClaim;

impl Policies for PoliciesClaim {
    fn grants(&self, claims: &Claims, policy: &str) -> bool {
        claims.listed("policies").any(|granted| granted == policy)
    }
}

/// What a checked token says of who asks.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Claims(pub Map<String, Value>);

impl Claims {
    /// The scopes: of the claim `scope` (divided by spaces), else of `scp`, else of `scopes`.
    pub fn scopes(&self) -> BTreeSet<&str> {
        let found = ["scope", "scp", "scopes"].into_iter().find(|name| self.0.contains_key(*name));
        found.map(|name| self.listed(name).collect()).unwrap_or_default()
    }

    fn listed<'a>(&'a self, claim: &str) -> impl Iterator<Item = &'a str> + use<'a> {
        let value = self.0.get(claim);
        let items = value.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        let words = value.and_then(Value::as_str).unwrap_or_default().split_whitespace();
        items.chain(words)
    }
}

impl Auth {
    /// Checks tokens against the keys of a source, whoever issued them for whomever.
    pub fn new(keys: Arc<dyn KeySource>) -> Self {
        Self {
            keys,
            keys_life: Duration::from_mins(5),
            issuers: Vec::new(),
            audiences: Vec::new(),
            policies: Arc::new(PoliciesClaim),
        }
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Auth")
            .field("keys_life", &self.keys_life)
            .field("issuers", &self.issuers)
            .field("audiences", &self.audiences)
            .finish_non_exhaustive()
    }
}

/// Checks the tokens of requests.
pub(crate) struct Authenticator {
    settings: Auth,
    keys: KeySet,
}

impl Authenticator {
    pub(crate) fn new(settings: Auth) -> Self {
        let keys = KeySet::new(Arc::clone(&settings.keys), settings.keys_life);
        Self { settings, keys }
    }

    pub(crate) fn policies(&self) -> &dyn Policies {
        &*self.settings.policies
    }

    /// Who asks: none where the request has no token.
    pub(crate) async fn claims(&self, headers: &HeaderMap) -> Result<Option<Claims>, GraphQlError> {
        let Some(value) = headers.get(header::AUTHORIZATION) else { return Ok(None) };
        let text = value.to_str().unwrap_or_default();
        let Some((scheme, token)) = text.split_once(' ') else {
            return Err(refused("`authorization` must be `Bearer` and a token"));
        };
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(refused("`authorization` must be `Bearer` and a token"));
        }
        let head = decode_header(token.trim()).map_err(|_| refused("the token is no JSON Web Token"))?;
        let key = match self.keys.find(head.kid.as_deref(), head.alg).await {
            Ok(Some(key)) => key,
            Ok(None) => return Err(refused("the token was signed with a key that is not known")),
            Err(error) => {
                tracing::error!(%error, "no keys can be had: tokens can't be checked");
                let message = "tokens can't be checked for now: try again";
                return Err(GraphQlError::new(codes::AUTH_UNAVAILABLE, message));
            }
        };
        let mut validation = Validation::new(head.alg);
        validation.validate_nbf = true;
        validation.leeway = 30;
        validation.set_required_spec_claims(&["exp"]);
        if self.settings.audiences.is_empty() {
            validation.validate_aud = false;
        } else {
            validation.set_audience(&self.settings.audiences);
            validation.required_spec_claims.insert("aud".to_owned());
        }
        if !self.settings.issuers.is_empty() {
            validation.set_issuer(&self.settings.issuers);
            validation.required_spec_claims.insert("iss".to_owned());
        }
        let checked = decode::<Map<String, Value>>(token.trim(), &key, &validation);
        // The reason names no more than the kind of what is wrong.
        checked
            .map(|token| Some(Claims(token.claims)))
            .map_err(|error| refused(&format!("the token does not hold: {error}")))
    }
}

fn refused(message: &str) -> GraphQlError {
    GraphQlError::new(codes::UNAUTHENTICATED, message)
}
