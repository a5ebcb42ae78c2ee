//! What can be set. Everything has a default that is safe on the open internet.

use std::fmt;
use std::time::Duration;

use http::HeaderName;
use sha2::{Digest, Sha256};

use crate::auth::Auth;
use crate::persisted::PersistedQueries;
use crate::transport::Resilience;
use crate::usage::Usage;

/// The longest URL that CloudFront takes, in bytes.
pub(crate) const URL_BYTES: usize = 8 << 10;

/// The gateway's settings.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a setting of its own")]
pub struct Config {
    /// What a request may cost before it is refused.
    pub limits: Limits,
    /// How long a subgraph has for one answer.
    pub subgraph_timeout: Duration,
    /// How long the gateway has for a whole request.
    pub request_timeout: Duration,
    /// How long planning one operation may take.
    pub planning_timeout: Duration,
    /// How many prepared operations (parsed, validated, planned) are kept; none of more than 64 KiB is.
    pub operation_cache: usize,
    /// How many plans are kept; operations that differ only in form share one.
    pub plan_cache: usize,
    /// Which queries clients may send by their hash.
    pub persisted_queries: PersistedQueries,
    /// What the gateway keeps of answers itself.
    pub cache: CacheSizes,
    /// The password by which `PURGE` drops what is kept; none takes no such request.
    pub purge_key: Option<Secret>,
    /// Request headers handed on to subgraphs, besides `traceparent`, `tracestate` and the client's name
    /// and version, which always are.
    pub forwarded_headers: Vec<HeaderName>,
    /// Labels of progressive `@override` that hold; a label `percent(x)` holds for that share of requests.
    pub override_labels: Vec<String>,
    /// How tokens are checked; none takes nobody for known.
    pub auth: Option<Auth>,
    /// How subgraphs are asked: retries, hedging, and when they are left alone.
    pub resilience: Resilience,
    /// Whether answers are compressed (br, zstd, gzip) as their clients take it.
    pub compress: bool,
    /// Whether requests are refused that another site may have had a browser send; Apollo's clients pass.
    pub csrf_guard: bool,
    /// The header that carries an answer's cache tags.
    pub tag_header: HeaderName,
    /// Where it is recorded which client sends which operation; none records nothing.
    pub usage: Option<Usage>,
    /// From which duration on an operation is logged as slow, with its plan; none logs none.
    pub slow_after: Option<Duration>,
    /// Who may see the plan of an operation, by the URL's parameter `explain`.
    pub explain: Explain,
    /// After how long without an event a subscription's client hears that it is still there.
    pub heartbeat: Duration,
    /// Whether `__schema` and `__type` are answered.
    pub introspection: bool,
    /// Whether clients are shown why a subgraph failed, as it tells; what a subgraph has against the request itself always is.
    pub error_detail: bool,
    /// Whether equal queries to a subgraph that are under way at once are sent once.
    pub share_in_flight: bool,
    /// What GraphiQL shows on GET with `Accept: text/html`; `None` serves no page.
    pub graphiql: Option<Graphiql>,
}

/// Who may see the plan of an operation in place of its answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Explain {
    /// Nobody.
    #[default]
    Closed,
    /// Everyone.
    Open,
    /// Who sends this in the header `x-explain-key`.
    Key(Secret),
}

/// A text that is compared and never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub(crate) fn is(&self, given: &[u8]) -> bool {
        // Hashed, so that the time it takes tells nothing of the secret.
        Sha256::digest(given) == Sha256::digest(self.0.as_bytes())
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// How many bytes the gateway's own caches may take; none keeps nothing.
///
/// They are for one process that lives long: a purge reaches the process that it is sent to, and no other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheSizes {
    /// Whole answers that everyone may have.
    pub answers: Option<u64>,
    /// Subgraphs' answers that everyone may have.
    pub subgraphs: Option<u64>,
}

/// What a request may cost. A request past a limit is refused with a code that names the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request's body.
    pub body_bytes: usize,
    /// Bytes of a GET request's URL, its scheme and host too: 8,192 is what CloudFront takes.
    pub url_bytes: usize,
    /// Lexical tokens of a document.
    pub tokens: usize,
    /// How deep fields nest, fragments expanded.
    pub depth: usize,
    /// Aliases, fragments expanded.
    pub aliases: usize,
    /// Root fields of the operation, fragments expanded.
    pub root_fields: usize,
    /// Directives of a document.
    pub directives: usize,
    /// Fields of the operation, fragments expanded.
    pub fields: usize,
    /// What the operation may cost: its objects, those of a list as often as the list may be long.
    pub cost: u64,
    /// How long a list is taken to be whose field does not say so.
    pub list_size: u64,
    /// Subscriptions that are open at once.
    pub subscriptions: usize,
    /// Errors listed in one answer; the rest are counted.
    pub errors: usize,
}

/// A name of no limit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no limit {0}: there are those of the README's table")]
pub struct UnknownLimit(String);

impl Limits {
    /// Sets a limit by its name.
    ///
    /// # Errors
    /// Where there is none of that name.
    pub fn set(&mut self, name: &str, value: u32) -> Result<(), UnknownLimit> {
        let sizes = [
            ("body_bytes", &mut self.body_bytes),
            ("url_bytes", &mut self.url_bytes),
            ("tokens", &mut self.tokens),
            ("depth", &mut self.depth),
            ("aliases", &mut self.aliases),
            ("root_fields", &mut self.root_fields),
            ("directives", &mut self.directives),
            ("fields", &mut self.fields),
            ("subscriptions", &mut self.subscriptions),
            ("errors", &mut self.errors),
        ];
        let costs = [("cost", &mut self.cost), ("list_size", &mut self.list_size)];
        if let Some((_, limit)) = sizes.into_iter().find(|(known, _)| *known == name) {
            *limit = usize::try_from(value).unwrap_or(usize::MAX);
        } else if let Some((_, limit)) = costs.into_iter().find(|(known, _)| *known == name) {
            *limit = value.into();
        } else {
            return Err(UnknownLimit(name.to_owned()));
        }
        Ok(())
    }
}

/// What GraphiQL opens with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Graphiql {
    /// Title of the page.
    pub title: String,
    /// Documents, each opened in a tab of its own.
    pub queries: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            subgraph_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(25),
            planning_timeout: Duration::from_secs(2),
            operation_cache: 1_000,
            plan_cache: 1_000,
            persisted_queries: PersistedQueries::default(),
            cache: CacheSizes::default(),
            purge_key: None,
            forwarded_headers: vec![http::header::AUTHORIZATION],
            override_labels: Vec::new(),
            auth: None,
            resilience: Resilience::default(),
            compress: true,
            csrf_guard: false,
            tag_header: HeaderName::from_static(freshness::CACHE_TAG),
            usage: None,
            slow_after: Some(Duration::from_secs(2)),
            explain: Explain::default(),
            heartbeat: Duration::from_secs(5),
            introspection: true,
            error_detail: true,
            share_in_flight: true,
            graphiql: Some(Graphiql::default()),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 1 << 20,
            url_bytes: URL_BYTES,
            tokens: 5_000,
            depth: 30,
            aliases: 200,
            root_fields: 50,
            directives: 100,
            fields: 5_000,
            cost: 100_000,
            list_size: 10,
            subscriptions: 1_000,
            errors: 100,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The README's table names limits, some in a row of several.
    #[test]
    fn every_limit_that_the_readme_names_can_be_set() {
        let readme = include_str!("../README.md");
        let table = readme.split("### Limits").nth(1).unwrap().split("### ").next().unwrap();
        let rows = table.lines().filter_map(|line| line.strip_prefix("| `")?.split([':', '|']).next());
        let is_name =
            |it: &&str| it.len() > 3 && it.chars().all(|char| char.is_ascii_lowercase() || char == '_');
        let named: Vec<&str> =
            rows.flat_map(|row| row.split('`')).filter(is_name).chain(["list_size"]).collect();
        assert!(named.len() >= 12, "{named:?}");
        let mut limits = Limits::default();
        for (value, name) in (1..).zip(&named) {
            let before = limits;
            limits.set(name, value).unwrap();
            assert_ne!(limits, before, "{name}");
        }
        assert_eq!(limits.set("size", 1), Err(UnknownLimit("size".to_owned())));
    }
}
