use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    response::{IntoResponse, Redirect, Response},
    routing::{any, get},
};
use bytes::Bytes;
use http::StatusCode;
use tokio::net::TcpListener;

use super::{media, refuse, too_large};
use crate::gateway::Gateway;

/// The gateway as an axum router: GraphQL at `/graphql`, `/` leads there, `/health` says that it runs.
pub fn router(gateway: Arc<Gateway>) -> Router {
    Router::new()
        .route("/", get(|| async { Redirect::temporary("/graphql") }))
        .route("/health", get(|| async { "ok\n" }))
        .route("/graphql", any(graphql))
        .with_state(gateway)
}

async fn graphql(State(gateway): State<Arc<Gateway>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let limit = gateway.config().limits.body_bytes;
    let body = match to_bytes(body, limit).await {
        Ok(body) => body,
        Err(error) => {
            // The one other reason is a client that went away, which gets no answer anyhow.
            tracing::debug!(%error, "a request's body could not be read");
            let media = match media::wanted(&parts.headers) {
                media::Wanted::Media(media) => media,
                media::Wanted::Html | media::Wanted::Nothing => media::Media::Json,
            };
            return into_axum(refuse(StatusCode::PAYLOAD_TOO_LARGE, media, too_large(limit)));
        }
    };
    gateway.stream(http::Request::from_parts(parts, body)).await
}

fn into_axum(response: http::Response<Bytes>) -> Response {
    response.map(Body::from).into_response()
}

/// Serves the gateway on a listener until `stop` is ready, then ends subscriptions and finishes what is under way.
pub async fn serve(
    gateway: Arc<Gateway>,
    listener: TcpListener,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let ending = Arc::clone(&gateway);
    let stop = async move {
        stop.await;
        ending.end_subscriptions();
    };
    axum::serve(listener, router(gateway).into_make_service_with_connect_info::<SocketAddr>())
        .with_graceful_shutdown(stop)
        .await
}
