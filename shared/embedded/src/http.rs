//! DynamoDB and EventBridge over HTTP, for other processes of this machine: a function's binary, or any AWS SDK, with
//! `AWS_ENDPOINT_URL` set. Signatures are not looked at, so serve it on the loopback only.

use crate::connector::{Answer, Service};
use crate::dynamodb::DynamoDb;
use crate::events::EventBus;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use std::sync::Arc;

/// The media type of AWS JSON 1.0.
const JSON: &str = "application/x-amz-json-1.0";

/// The largest request: a transaction of 4 MB, in base64, with what surrounds it.
const MAX_BODY: usize = 16 * 1024 * 1024;

/// Answers requests at `/`, each service by its `X-Amz-Target`.
pub fn router(dynamodb: &DynamoDb, bus: Option<&EventBus>) -> Router {
    let services = Services { dynamodb: dynamodb.service(), bus: bus.map(EventBus::service) };
    Router::new().route("/", post(answer)).layer(DefaultBodyLimit::max(MAX_BODY)).with_state(services)
}

struct Services<D, B> {
    dynamodb: Arc<D>,
    bus: Option<Arc<B>>,
}

impl<D, B> Clone for Services<D, B> {
    fn clone(&self) -> Self {
        Self { dynamodb: Arc::clone(&self.dynamodb), bus: self.bus.clone() }
    }
}

async fn answer<D: Service, B: Service>(
    State(services): State<Services<D, B>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let target = headers.get("x-amz-target").and_then(|it| it.to_str().ok()).unwrap_or_default();
    let answer = if let Some(operation) = target.strip_prefix(D::TARGET_PREFIX) {
        services.dynamodb.call(operation.to_owned(), body).await
    } else if let (Some(operation), Some(bus)) = (target.strip_prefix(B::TARGET_PREFIX), services.bus) {
        bus.call(operation.to_owned(), body).await
    } else {
        Answer::unknown_operation(target)
    };
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, [(header::CONTENT_TYPE, JSON)], answer.body).into_response()
}
