//! The tools of a running process, for another `tributary` on the same machine: behind a token that stands in the
//! state's folder.

use crate::folder::Holder;
use crate::suite::Suite;
use crate::{publish, quarantine};
use anyhow::{Context as _, bail};
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;

/// The header with the token.
const TOKEN: &str = "x-tributary-token";

/// Where requests go.
const PATH: &str = "/-/tools";

/// The largest file to publish, in bytes.
pub const MAX_REQUEST: usize = 256 * 1024 * 1024;

/// What a tool is asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Ask {
    /// Publishes messages.
    Publish(publish::Request),
    /// Lists the quarantine.
    List,
    /// Shows an entry.
    Show(String),
    /// Delivers entries again.
    Redrive(Vec<String>),
}

/// Answers, in this process.
pub async fn answer(suite: &Suite, ask: Ask) -> anyhow::Result<Value> {
    Ok(match ask {
        Ask::Publish(request) => serde_json::to_value(publish::run(suite, &request).await?)?,
        Ask::List => serde_json::to_value(quarantine::list(suite).await?)?,
        Ask::Show(id) => serde_json::to_value(quarantine::show(suite, &id).await?)?,
        Ask::Redrive(ids) => {
            let mut driven = Vec::with_capacity(ids.len());
            for id in ids {
                driven.push(quarantine::redrive(suite, &id).await?);
            }
            serde_json::to_value(driven)?
        }
    })
}

/// Asks the process that holds the folder.
pub async fn ask(holder: &Holder, ask: &Ask) -> anyhow::Result<Value> {
    let Some(address) = holder.address else {
        bail!("process {} has the state's folder and listens nowhere: wait until it is done", holder.pid)
    };
    let request = reqwest::Client::new().post(format!("http://{address}{PATH}")).header(TOKEN, &holder.token);
    let response =
        request.body(serde_json::to_vec(ask)?).header("content-type", "application/json").send().await;
    let response = response.with_context(|| format!("process {} at {address} doesn't answer", holder.pid))?;
    let status = response.status();
    let body = response.bytes().await?;
    if status.is_success() {
        return Ok(serde_json::from_slice(&body)?);
    }
    bail!("{}", String::from_utf8_lossy(&body))
}

/// The routes of the tools.
pub fn router(suite: Arc<Suite>, token: String) -> Router {
    let guard = move |request: Request, next: Next| {
        let token = token.clone();
        async move {
            let shown = request.headers().get(TOKEN).map(HeaderValue::as_bytes);
            if shown == Some(token.as_bytes()) {
                next.run(request).await
            } else {
                (StatusCode::FORBIDDEN, "the token in the state's folder is wanted").into_response()
            }
        }
    };
    Router::new()
        .route(PATH, post(handle))
        .layer(DefaultBodyLimit::max(MAX_REQUEST))
        .layer(middleware::from_fn(guard))
        .with_state(suite)
}

async fn handle(State(suite): State<Arc<Suite>>, Json(ask): Json<Ask>) -> Response {
    match answer(&suite, ask).await {
        Ok(value) => Json(value).into_response(),
        Err(error) => (StatusCode::BAD_REQUEST, format!("{error:#}")).into_response(),
    }
}
