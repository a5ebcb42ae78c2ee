//! The registry over HTTP.

mod auth;
mod reply;

use crate::registry::{Registry, RegistryError, Submission};
use crate::settings::Settings;
use axum::extract::{DefaultBodyLimit, FromRequestParts, Path, Query, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::{Json, Router, routing};
use schemas::{ContractName, Hash, Tags, Variant};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;

pub use auth::{Auth, AuthError, Caller, Grant, Right};
pub use reply::{Failure, Problem};

/// The largest body of a request, in bytes. On Lambda 6 MB are the most in any case.
pub const MAX_BODY_BYTES: usize = 32 * 1024 * 1024;

/// The media type of a schema.
const SDL: &str = "text/plain; charset=utf-8";

/// What the routes share.
#[derive(Clone)]
struct Served {
    registry: Registry,
    auth: Arc<Auth>,
}

/// The routes of a registry, each behind its guard.
pub fn router(registry: Registry, auth: Auth) -> Router {
    let variant = Router::new()
        .route("/", routing::get(current))
        .route("/history", routing::get(history))
        .route("/supergraph", routing::get(supergraph))
        .route("/api", routing::get(api))
        .route("/subgraphs/{name}", routing::get(subgraph))
        .route("/diff", routing::get(diff))
        .route("/check", routing::post(check))
        .route("/publish", routing::post(publish))
        .route("/rollback", routing::post(rollback))
        .route("/contracts/{name}", routing::put(set_contract).delete(remove_contract));
    Router::new()
        .route("/health", routing::get(|| async { "ok\n" }))
        .route("/v1/variants", routing::get(list))
        .nest("/v1/variants/{variant}", variant)
        .route("/v1/settings", routing::get(settings).put(set_settings))
        .fallback(|| async { Failure::from(Problem::NoRoute) })
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(Served { registry, auth: Arc::new(auth) })
}

/// Who calls, once they have shown it.
struct Known(Grant);

impl FromRequestParts<Served> for Known {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, served: &Served) -> Result<Self, Failure> {
        Ok(Self(served.auth.grant(&parts.headers, parts.extensions.get::<Caller>())?))
    }
}

impl Known {
    fn may(&self, right: Right, variant: &Variant) -> Result<&Grant, Failure> {
        self.0.check(right, variant)?;
        Ok(&self.0)
    }
}

/// A part of a path that has to be a name.
fn named<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T, Failure> {
    text.parse().map_err(|error: T::Err| Failure::from(Problem::Request(error.to_string())))
}

/// A body that has to be JSON.
fn json<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(body)
        .map_err(|error| Failure::from(Problem::Request(format!("the body is not what is wanted: {error}"))))
}

type Reply = Result<Response, Failure>;
type Body = Result<axum::body::Bytes, axum::extract::rejection::BytesRejection>;

fn body(body: Body) -> Result<axum::body::Bytes, Failure> {
    body.map_err(|error| match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Failure::from(Problem::TooLarge),
        _ => Failure::from(Problem::Request(error.body_text())),
    })
}

/// A variant with what is live.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// The variant.
    pub variant: Variant,
    /// What is live.
    pub release: schemas::Release,
}

async fn list(State(served): State<Served>, Known(grant): Known) -> Reply {
    grant.check_read()?;
    let list = served.registry.list().await?.into_iter();
    let list: Vec<Listed> = list.map(|(variant, release)| Listed { variant, release }).collect();
    Ok(Json(list).into_response())
}

async fn current(State(served): State<Served>, known: Known, Path(variant): Path<String>) -> Reply {
    let variant = named(&variant)?;
    known.may(Right::Read, &variant)?;
    Ok(Json(served.registry.current(&variant).await?).into_response())
}

/// What a query may say.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    version: Option<u64>,
    contract: Option<ContractName>,
    before: Option<u64>,
    limit: Option<u64>,
    from: Option<u64>,
    to: Option<u64>,
}

type Wanted = Result<Query<Asked>, axum::extract::rejection::QueryRejection>;

fn asked(wanted: Wanted) -> Result<Asked, Failure> {
    match wanted {
        Ok(Query(asked)) => Ok(asked),
        Err(error) => Err(Problem::Request(error.body_text()).into()),
    }
}

async fn history(
    State(served): State<Served>,
    known: Known,
    Path(variant): Path<String>,
    wanted: Wanted,
) -> Reply {
    let (variant, asked) = (named(&variant)?, asked(wanted)?);
    known.may(Right::Read, &variant)?;
    let limit = asked.limit.unwrap_or(20);
    Ok(Json(served.registry.history(&variant, asked.before, limit).await?).into_response())
}

async fn supergraph(
    State(served): State<Served>,
    known: Known,
    Path(variant): Path<String>,
    headers: HeaderMap,
    wanted: Wanted,
) -> Reply {
    let (variant, asked) = (named(&variant)?, asked(wanted)?);
    known.may(Right::Read, &variant)?;
    let sdl = served.registry.supergraph(&variant, asked.version, asked.contract.as_ref()).await?;
    Ok(text(&headers, sdl))
}

async fn api(
    State(served): State<Served>,
    known: Known,
    Path(variant): Path<String>,
    headers: HeaderMap,
    wanted: Wanted,
) -> Reply {
    let (variant, asked) = (named(&variant)?, asked(wanted)?);
    known.may(Right::Read, &variant)?;
    let sdl = served.registry.api(&variant, asked.version, asked.contract.as_ref()).await?;
    Ok(text(&headers, sdl))
}

async fn subgraph(
    State(served): State<Served>,
    known: Known,
    Path((variant, name)): Path<(String, String)>,
    headers: HeaderMap,
    wanted: Wanted,
) -> Reply {
    let (variant, asked) = (named(&variant)?, asked(wanted)?);
    known.may(Right::Read, &variant)?;
    let sdl = served.registry.subgraph(&variant, asked.version, &name).await?;
    Ok(text(&headers, sdl))
}

/// A schema with its hash as `ETag`; nothing where the asker has it.
fn text(headers: &HeaderMap, sdl: String) -> Response {
    let tag = format!("\"{}\"", Hash::of(&sdl));
    let has = headers.get(header::IF_NONE_MATCH).and_then(|it| it.to_str().ok());
    let mut response = if has.is_some_and(|it| it.split(',').any(|it| it.trim() == tag)) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, SDL)], sdl).into_response()
    };
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

async fn diff(
    State(served): State<Served>,
    known: Known,
    Path(variant): Path<String>,
    wanted: Wanted,
) -> Reply {
    let (variant, asked) = (named(&variant)?, asked(wanted)?);
    known.may(Right::Read, &variant)?;
    let diff = served.registry.diff(&variant, asked.from, asked.to, asked.contract.as_ref()).await?;
    Ok(Json(diff).into_response())
}

async fn check(State(served): State<Served>, known: Known, Path(variant): Path<String>, sent: Body) -> Reply {
    let variant = named(&variant)?;
    known.may(Right::Read, &variant)?;
    let submission: Submission = json(&body(sent)?)?;
    Ok(Json(served.registry.check(&variant, &submission).await?).into_response())
}

async fn publish(
    State(served): State<Served>,
    known: Known,
    Path(variant): Path<String>,
    sent: Body,
) -> Reply {
    let variant = named(&variant)?;
    let grant = known.may(Right::Publish, &variant)?;
    let submission: Submission = json(&body(sent)?)?;
    let names = submission.subgraphs.iter().map(|it| &it.name).chain(&submission.remove);
    grant.check_subgraphs(names)?;
    Ok(published(served.registry.publish(&variant, &submission, &grant.name).await?))
}

fn published(published: crate::registry::Published) -> Response {
    let status = if published.unchanged { StatusCode::OK } else { StatusCode::CREATED };
    (status, Json(published)).into_response()
}

/// What a rollback is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rollback {
    /// The version to deploy again.
    pub to: u64,
    /// Why.
    #[serde(default)]
    pub message: String,
}

async fn rollback(
    State(served): State<Served>,
    known: Known,
    Path(variant): Path<String>,
    sent: Body,
) -> Reply {
    let variant = named(&variant)?;
    let grant = known.may(Right::Admin, &variant)?;
    let Rollback { to, message } = json(&body(sent)?)?;
    Ok(published(served.registry.rollback(&variant, to, &grant.name, &message).await?))
}

/// What a contract is set to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContractSettings {
    /// Tags whose parts are in.
    #[serde(default)]
    pub include: BTreeSet<String>,
    /// Tags whose parts are out.
    #[serde(default)]
    pub exclude: BTreeSet<String>,
    /// Why.
    #[serde(default)]
    pub message: String,
}

async fn set_contract(
    State(served): State<Served>,
    known: Known,
    Path((variant, name)): Path<(String, String)>,
    sent: Body,
) -> Reply {
    let (variant, name) = (named(&variant)?, named(&name)?);
    let grant = known.may(Right::Admin, &variant)?;
    let ContractSettings { include, exclude, message } = json(&body(sent)?)?;
    let tags = Tags { include, exclude };
    Ok(published(served.registry.contract(&variant, &name, Some(&tags), &grant.name, &message).await?))
}

async fn remove_contract(
    State(served): State<Served>,
    known: Known,
    Path((variant, name)): Path<(String, String)>,
) -> Reply {
    let (variant, name) = (named(&variant)?, named(&name)?);
    let grant = known.may(Right::Admin, &variant)?;
    Ok(published(served.registry.contract(&variant, &name, None, &grant.name, "").await?))
}

async fn settings(State(served): State<Served>, Known(grant): Known) -> Reply {
    grant.check_read()?;
    Ok(Json(served.registry.settings().await?).into_response())
}

async fn set_settings(State(served): State<Served>, Known(grant): Known, sent: Body) -> Reply {
    grant.check_admin()?;
    let wanted: Settings = json(&body(sent)?)?;
    let settings = served.registry.change_settings(|settings| settings.clone_from(&wanted)).await?;
    Ok(Json(settings).into_response())
}

impl From<RegistryError> for Failure {
    fn from(error: RegistryError) -> Self {
        Problem::Registry(error).into()
    }
}

impl From<AuthError> for Failure {
    fn from(error: AuthError) -> Self {
        Problem::Auth(error).into()
    }
}
