//! What is answered where something is wrong.

use super::auth::AuthError;
use crate::finding::Report;
use crate::registry::RegistryError;
use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

/// The body of an answer that is an error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What is wrong; stable.
    pub code: String,
    /// What is wrong, in words.
    pub message: String,
    /// What the check found, where it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<Report>,
    #[serde(skip)]
    status: u16,
}

/// What can be wrong.
#[derive(Debug)]
pub enum Problem {
    /// There is nothing at this path.
    NoRoute,
    /// The request can't be meant.
    Request(String),
    /// The body is too large.
    TooLarge,
    /// The caller may not.
    Auth(AuthError),
    /// The registry doesn't do it.
    Registry(RegistryError),
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        let failure = |status: StatusCode, code: &str, message: String| Self {
            code: code.to_owned(),
            message,
            report: None,
            status: status.as_u16(),
        };
        let error = match problem {
            Problem::NoRoute => {
                let message = "there is nothing here: see the registry's README for its paths";
                return failure(StatusCode::NOT_FOUND, "no-route", message.to_owned());
            }
            Problem::Request(message) => return failure(StatusCode::BAD_REQUEST, "bad-request", message),
            Problem::TooLarge => {
                let message = format!("the body has more than {} bytes", super::MAX_BODY_BYTES);
                return failure(StatusCode::PAYLOAD_TOO_LARGE, "too-large", message);
            }
            Problem::Auth(error @ AuthError::Unknown) => {
                return failure(StatusCode::UNAUTHORIZED, "unauthenticated", error.to_string());
            }
            Problem::Auth(error @ AuthError::Forbidden(_)) => {
                return failure(StatusCode::FORBIDDEN, "forbidden", error.to_string());
            }
            Problem::Registry(error) => error,
        };
        let message = error.to_string();
        match error {
            RegistryError::NoVariant { .. } => failure(StatusCode::NOT_FOUND, "no-variant", message),
            RegistryError::NoVersion { .. } => failure(StatusCode::NOT_FOUND, "no-version", message),
            RegistryError::NoContract { .. } => failure(StatusCode::NOT_FOUND, "no-contract", message),
            RegistryError::NoSubgraph { .. } => failure(StatusCode::NOT_FOUND, "no-subgraph", message),
            RegistryError::Request(_) => failure(StatusCode::BAD_REQUEST, "bad-request", message),
            RegistryError::Settings(error) => {
                failure(StatusCode::BAD_REQUEST, "bad-settings", format!("{message}: {error}"))
            }
            RegistryError::Overtaken(_) => failure(StatusCode::CONFLICT, "overtaken", message),
            RegistryError::Refused(report) => Self {
                report: Some(*report),
                ..failure(StatusCode::UNPROCESSABLE_ENTITY, "refused", message)
            },
            RegistryError::Read(_) | RegistryError::Broken(_) => {
                // What the store says may name buckets and keys: it goes to the log only.
                tracing::error!(error = telemetry::error_chain(&error), "the registry failed");
                let message = "the registry's store failed: try again, and see the registry's log";
                failure(StatusCode::SERVICE_UNAVAILABLE, "store", message.to_owned())
            }
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self)).into_response();
        let headers = response.headers_mut();
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if status == StatusCode::CONFLICT || status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}
