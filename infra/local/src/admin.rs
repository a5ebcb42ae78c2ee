//! The tools of a running process, for another `tributary` on the same machine: behind a token that stands in the
//! state's folder.

use crate::archiving::replaying::{self, Outcome, Update};
use crate::folder::Holder;
use crate::publish;
use crate::quarantine::{self, Change, Place, Selection};
use crate::suite::Suite;
use crate::{archiving, generations, regions};
use anyhow::{Context as _, bail};
use archive::Replayed;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router, routing};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;
use tokio::sync::mpsc;

/// The header with the token.
const TOKEN: &str = "x-tributary-token";

/// Where requests go.
const PATH: &str = "/-/tools";

/// Where replays are asked for: the answer is a stream of lines.
const REPLAY_PATH: &str = "/-/tools/replay";

/// Where generations are asked about: the answer is a stream of lines.
const GENERATIONS_PATH: &str = "/-/tools/generations";

/// The largest file to publish, in bytes.
pub const MAX_REQUEST: usize = 256 * 1024 * 1024;

/// What a tool is asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Ask {
    /// Publishes messages.
    Publish(publish::Request),
    /// Lists a part of the quarantine.
    List {
        /// Which entries.
        selection: Selection,
        /// After this place.
        after: Option<Place>,
        /// At most so many.
        limit: usize,
    },
    /// Shows an entry.
    Show(String),
    /// Edits an entry's message.
    Edit {
        /// The entry.
        id: String,
        /// How.
        change: Change,
        /// Whether it may be about something else then.
        identity: bool,
    },
    /// Delivers entries again.
    Redrive(Vec<String>),
    /// Something about the archive.
    Archive(archiving::Ask),
    /// Something about the regions.
    Region(regions::Ask),
    /// Tells what became of entries, each named by micrograph and id.
    Outcomes(Vec<(String, String)>),
    /// Removes entries for good.
    Discard(Vec<String>),
}

/// The most entries of one answer.
const MOST_LISTED: usize = 1_000;

/// Answers, in this process.
pub async fn answer(suite: &Suite, ask: Ask) -> anyhow::Result<Value> {
    Ok(match ask {
        Ask::Archive(ask) => archiving::answer(suite, ask).await?,
        Ask::Region(ask) => serde_json::to_value(regions::answer(suite, ask).await?)?,
        Ask::Publish(request) => serde_json::to_value(publish::run(suite, &request).await?)?,
        Ask::List { selection, after, limit } => {
            let limit = limit.clamp(1, MOST_LISTED);
            serde_json::to_value(quarantine::list(suite, &selection, after, limit).await?)?
        }
        Ask::Show(id) => serde_json::to_value(quarantine::show(suite, &id).await?)?,
        Ask::Edit { id, change, identity } => {
            serde_json::to_value(quarantine::amend(suite, &id, &change, identity).await?)?
        }
        Ask::Redrive(ids) => {
            let mut driven = Vec::with_capacity(ids.len());
            for id in ids {
                driven.push(quarantine::redrive(suite, &id).await?);
            }
            serde_json::to_value(driven)?
        }
        Ask::Outcomes(driven) => serde_json::to_value(quarantine::outcomes(suite, &driven).await?)?,
        Ask::Discard(ids) => {
            let mut gone = Vec::with_capacity(ids.len());
            for id in ids {
                gone.push(quarantine::discard(suite, &id).await?);
            }
            serde_json::to_value(gone)?
        }
    })
}

/// Asks the process that holds the folder.
pub async fn ask(holder: &Holder, ask: &Ask) -> anyhow::Result<Value> {
    let response = post(holder, PATH, serde_json::to_vec(ask)?).await?;
    Ok(serde_json::from_slice(&response.bytes().await?)?)
}

/// Has the process that holds the folder replay events, and follows it.
pub async fn replay(
    holder: &Holder,
    request: &replaying::Request,
    told: &(dyn Fn(&Replayed) + Send + Sync),
) -> anyhow::Result<Outcome> {
    let response = post(holder, REPLAY_PATH, serde_json::to_vec(request)?).await?;
    let take = |update| match update {
        Update::SoFar(so_far) => {
            told(&so_far);
            None
        }
        Update::Done(outcome) => Some(Ok(outcome)),
        Update::Failed(why) => Some(Err(why)),
    };
    if let Some(outcome) = follow(response, take).await? {
        return Ok(outcome);
    }
    bail!("process {} ended before the replay did: the same command with --resume goes on", holder.pid)
}

/// Has the process that holds the folder see to generations, and follows it.
pub async fn generations(
    holder: &Holder,
    ask: &generations::Ask,
    told: &(dyn Fn(String) + Send + Sync),
) -> anyhow::Result<generations::Answer> {
    let response = post(holder, GENERATIONS_PATH, serde_json::to_vec(ask)?).await?;
    let take = |said| match said {
        Said::SoFar(words) => {
            told(words);
            None
        }
        Said::Done(answer) => Some(Ok(*answer)),
        Said::Failed(why) => Some(Err(why)),
    };
    if let Some(answer) = follow(response, take).await? {
        return Ok(answer);
    }
    bail!("process {} ended before it was done: the same command goes on", holder.pid)
}

/// Takes lines of JSON until one of them is the last; none where they end before.
async fn follow<L: DeserializeOwned, T>(
    mut response: reqwest::Response,
    mut take: impl FnMut(L) -> Option<Result<T, String>>,
) -> anyhow::Result<Option<T>> {
    let mut read = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        read.extend_from_slice(&chunk);
        while let Some(end) = read.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = read.drain(..=end).collect();
            if let Some(last) = take(serde_json::from_slice(&line)?) {
                return last.map(Some).map_err(anyhow::Error::msg);
            }
        }
    }
    Ok(None)
}

/// What is said of generations, line by line.
#[derive(Debug, Serialize, Deserialize)]
enum Said {
    SoFar(String),
    Done(Box<generations::Answer>),
    Failed(String),
}

async fn post(holder: &Holder, path: &str, body: Vec<u8>) -> anyhow::Result<reqwest::Response> {
    let Some(address) = holder.address else {
        bail!("process {} has the state's folder and listens nowhere: wait until it is done", holder.pid)
    };
    let request = reqwest::Client::new().post(format!("http://{address}{path}")).header(TOKEN, &holder.token);
    let response = request.body(body).header("content-type", "application/json").send().await;
    let response = response.with_context(|| format!("process {} at {address} doesn't answer", holder.pid))?;
    if response.status().is_success() {
        return Ok(response);
    }
    bail!("{}", String::from_utf8_lossy(&response.bytes().await?))
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
        .route(PATH, routing::post(handle))
        .route(REPLAY_PATH, routing::post(handle_replay))
        .route(GENERATIONS_PATH, routing::post(handle_generations))
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

/// Replays for as long as the asker listens.
async fn handle_replay(State(suite): State<Arc<Suite>>, Json(request): Json<replaying::Request>) -> Response {
    let plan = match replaying::plan(request) {
        Ok(plan) => plan,
        Err(error) => return (StatusCode::BAD_REQUEST, format!("{error:#}")).into_response(),
    };
    let (tell, told) = mpsc::channel(16);
    tokio::spawn(async move {
        // An asker that reads slowly misses some of what is said on the way.
        let progress = |so_far: &Replayed| _ = tell.try_send(Update::SoFar(so_far.clone()));
        let last = match replaying::run(&suite, &plan, &|| tell.is_closed(), &progress).await {
            Ok(outcome) => Update::Done(outcome),
            Err(error) => Update::Failed(format!("{error:#}")),
        };
        let _ = tell.send(last).await;
    });
    lines(told)
}

/// Goes on to the end, whether the asker listens or not: a rebuild that was begun is worth its end.
async fn handle_generations(State(suite): State<Arc<Suite>>, Json(ask): Json<generations::Ask>) -> Response {
    let (tell, told) = mpsc::channel(16);
    tokio::spawn(async move {
        let progress = |words: String| _ = tell.try_send(Said::SoFar(words));
        let last = match generations::answer(&suite, ask, &progress).await {
            Ok(answer) => Said::Done(Box::new(answer)),
            Err(error) => Said::Failed(format!("{error:#}")),
        };
        let _ = tell.send(last).await;
    });
    lines(told)
}

/// What is told, each in a line of JSON.
fn lines<T: Serialize + Send + 'static>(told: mpsc::Receiver<T>) -> Response {
    let lines = futures::stream::unfold(told, |mut told| async {
        let line = serde_json::to_vec(&told.recv().await?).map(|line| [line, b"\n".to_vec()].concat());
        Some((line, told))
    });
    Body::from_stream(lines).into_response()
}
