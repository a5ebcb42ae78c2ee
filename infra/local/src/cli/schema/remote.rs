//! A registry over HTTP.

use anyhow::Context as _;
use registry::http::{ContractSettings, Failure, Listed};
use registry::{Published, Report, Settings};
use reqwest::{Client, Method, StatusCode, Url};
use schemas::{ContractName, Release, Variant};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::time::Duration;

/// How long a registry has for an answer: composing a large graph takes seconds.
const PATIENCE: Duration = Duration::from_mins(1);

/// A registry elsewhere.
pub(super) struct Remote {
    client: Client,
    url: Url,
    token: Option<String>,
}

/// Why it gives no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum RemoteError {
    /// It can't be reached, or ends in the middle.
    #[error("the registry at {url} doesn't answer")]
    Unreached {
        url: String,
        #[source]
        source: reqwest::Error,
    },
    /// The check failed.
    #[error("the check found errors")]
    Refused(Box<Report>),
    /// Others published at the same time.
    #[error("{0}")]
    Overtaken(String),
    /// It says no.
    #[error("the registry says: {message} ({code})")]
    Failed { code: String, message: String },
    /// It says what no registry says.
    #[error("{url} answers {status} with what no registry says: is it one?")]
    Strange { url: String, status: u16 },
}

impl Remote {
    pub fn new(url: &str, token: Option<String>) -> anyhow::Result<Self> {
        let wanted = || format!("--registry {url}: it takes a URL, as https://registry.example");
        let parsed = Url::parse(url).with_context(wanted)?;
        anyhow::ensure!(!parsed.cannot_be_a_base(), wanted());
        Ok(Self { client: Client::builder().timeout(PATIENCE).build()?, url: parsed, token })
    }

    pub async fn list(&self) -> Result<Vec<(Variant, Release)>, RemoteError> {
        let url = self.url(&["v1", "variants"], &[]);
        let listed: Vec<Listed> = self.json(Method::GET, url, None::<&()>).await?;
        Ok(listed.into_iter().map(|it| (it.variant, it.release)).collect())
    }

    pub async fn get<T: DeserializeOwned>(
        &self,
        variant: &Variant,
        what: &str,
        query: &[(&str, Option<String>)],
    ) -> Result<T, RemoteError> {
        self.json(Method::GET, self.of(variant, &[what], query), None::<&()>).await
    }

    pub async fn post<T: DeserializeOwned>(
        &self,
        variant: &Variant,
        what: &str,
        body: &impl Serialize,
    ) -> Result<T, RemoteError> {
        self.json(Method::POST, self.of(variant, &[what], &[]), Some(body)).await
    }

    pub async fn text(
        &self,
        variant: &Variant,
        what: &str,
        query: &[(&str, Option<String>)],
    ) -> Result<String, RemoteError> {
        let url = self.of(variant, &[what], query);
        let (_, bytes) = self.send(Method::GET, url.clone(), None::<&()>).await?;
        String::from_utf8(bytes).map_err(|_| RemoteError::Strange { url: url.to_string(), status: 200 })
    }

    pub async fn set_contract(
        &self,
        variant: &Variant,
        name: &ContractName,
        settings: &ContractSettings,
    ) -> Result<Published, RemoteError> {
        let url = self.of(variant, &["contracts", name.as_str()], &[]);
        self.json(Method::PUT, url, Some(settings)).await
    }

    pub async fn remove_contract(
        &self,
        variant: &Variant,
        name: &ContractName,
    ) -> Result<Published, RemoteError> {
        let url = self.of(variant, &["contracts", name.as_str()], &[]);
        self.json(Method::DELETE, url, None::<&()>).await
    }

    pub async fn settings(&self) -> Result<Settings, RemoteError> {
        self.json(Method::GET, self.url(&["v1", "settings"], &[]), None::<&()>).await
    }

    pub async fn put_settings(&self, settings: &Settings) -> Result<Settings, RemoteError> {
        self.json(Method::PUT, self.url(&["v1", "settings"], &[]), Some(settings)).await
    }

    fn of(&self, variant: &Variant, what: &[&str], query: &[(&str, Option<String>)]) -> Url {
        let path: Vec<&str> =
            ["v1", "variants", variant.as_str()].into_iter().chain(what.iter().copied()).collect();
        self.url(&path, query)
    }

    fn url(&self, path: &[&str], query: &[(&str, Option<String>)]) -> Url {
        let mut url = self.url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path.iter().filter(|it| !it.is_empty()));
        }
        let given: Vec<(&str, &String)> =
            query.iter().filter_map(|(name, value)| Some((*name, value.as_ref()?))).collect();
        if !given.is_empty() {
            url.query_pairs_mut().extend_pairs(given);
        }
        url
    }

    async fn json<T: DeserializeOwned>(
        &self,
        method: Method,
        url: Url,
        body: Option<&impl Serialize>,
    ) -> Result<T, RemoteError> {
        let (status, bytes) = self.send(method, url.clone(), body).await?;
        let strange = |_| RemoteError::Strange { url: url.to_string(), status: status.as_u16() };
        serde_json::from_slice(&bytes).map_err(strange)
    }

    async fn send(
        &self,
        method: Method,
        url: Url,
        body: Option<&impl Serialize>,
    ) -> Result<(StatusCode, Vec<u8>), RemoteError> {
        let unreached = |source| RemoteError::Unreached { url: self.url.to_string(), source };
        let mut request = self.client.request(method, url.clone());
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            let strange = |_| RemoteError::Strange { url: url.to_string(), status: 0 };
            let body = serde_json::to_vec(body).map_err(strange)?;
            request = request.header("content-type", "application/json").body(body);
        }
        let response = request.send().await.map_err(unreached)?;
        let status = response.status();
        let bytes = response.bytes().await.map_err(unreached)?.to_vec();
        if status.is_success() {
            return Ok((status, bytes));
        }
        let Ok(failure) = serde_json::from_slice::<Failure>(&bytes) else {
            return Err(RemoteError::Strange { url: url.to_string(), status: status.as_u16() });
        };
        Err(match (failure.code.as_str(), failure.report) {
            ("refused", Some(report)) => RemoteError::Refused(Box::new(report)),
            ("overtaken", _) => RemoteError::Overtaken(failure.message),
            (code, _) => RemoteError::Failed { code: code.to_owned(), message: failure.message },
        })
    }
}
