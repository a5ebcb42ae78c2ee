//! The gateway as a Lambda function: payloads of API Gateway (v1, v2), ALB and function URLs, answered at once or streamed.
//!
//! Lambda takes 6 MB of an answer at once, as JSON text: a body with many quotes grows by being put into it, so that
//! Base64 may be the shorter form. An answer that is too large all the same is replaced by an error that says so.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::body::Body as HttpBody;
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use lambda_http::request::RequestContext;
use lambda_http::{Body, Error, RequestExt, service_fn};
use tokio::time::Instant;

use crate::error::{GraphQlError, codes};
use crate::gateway::{Answer, Gateway};
use crate::source::Keeper;

/// What Lambda takes of an answer at once, in bytes: 6 MB, with room for what is around the body.
pub const BUFFERED: usize = 6 * 1024 * 1024 - 64 * 1024;

/// What an ALB takes.
pub const ALB: usize = 1024 * 1024 - 32 * 1024;

/// What Lambda streams.
pub const STREAMED: usize = 200 * 1024 * 1024;

/// So long before its end an invocation stops waiting for subgraphs, so that there is time to say so.
const MARGIN: Duration = Duration::from_millis(500);

/// A gateway that is invoked.
#[derive(Clone)]
pub struct Function {
    gateway: Gateway,
    keeper: Option<Arc<Keeper>>,
    after: fn(),
}

impl Function {
    /// A gateway, what keeps its supergraph new, and what is to be done after each answer.
    pub fn new(gateway: Gateway, keeper: Option<Arc<Keeper>>, after: fn()) -> Self {
        Self { gateway, keeper, after }
    }

    /// Answers invocations until the process ends.
    ///
    /// # Errors
    /// Where Lambda's runtime can't be reached.
    pub async fn run(self, streamed: bool) -> Result<(), Error> {
        let function = self;
        if streamed {
            let answer = move |request: lambda_http::Request| {
                let function = function.clone();
                async move {
                    let response = function.answer(request, STREAMED).await;
                    (function.after)();
                    Ok::<_, Error>(response.map(HttpBody::from))
                }
            };
            return lambda_http::run_with_streaming_response(service_fn(answer)).await;
        }
        let answer = move |request: lambda_http::Request| {
            let function = function.clone();
            async move {
                let limit = match request.request_context_ref() {
                    Some(RequestContext::Alb(_)) => ALB,
                    _ => BUFFERED,
                };
                let response = function.answer(request, limit).await;
                (function.after)();
                Ok::<_, Error>(response.map(|body| in_payload(&body)))
            }
        };
        lambda_http::run(service_fn(answer)).await
    }

    /// Answers one request; an answer of more than `limit` bytes of payload is replaced.
    pub async fn answer(&self, request: lambda_http::Request, limit: usize) -> Response<Bytes> {
        if let Some(keeper) = &self.keeper {
            keeper.touch();
        }
        let ends = request.lambda_context_ref().map(lambda_runtime_deadline);
        let (mut parts, body) = request.into_parts();
        if parts.uri.path().ends_with("/health") {
            return Response::new(Bytes::from_static(b"ok\n"));
        }
        if let Some(ends) = ends {
            parts.extensions.insert(Deadline(ends));
        }
        let body = match body {
            Body::Text(text) => Bytes::from(text),
            Body::Binary(bytes) => Bytes::from(bytes),
            _ => Bytes::new(),
        };
        let response = self.gateway.handle(Request::from_parts(parts, body)).await;
        let size = if limit == STREAMED { response.body().len() } else { payload(response.body()) };
        if size <= limit { response } else { too_large(size, limit) }
    }
}

/// When an invocation must be answered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline(pub(crate) Instant);

fn lambda_runtime_deadline(context: &lambda_http::Context) -> Instant {
    #[expect(clippy::disallowed_methods, reason = "Lambda gives the deadline by the clock on the wall")]
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let left = Duration::from_millis(context.deadline).saturating_sub(now).saturating_sub(MARGIN);
    Instant::now() + left
}

/// A body in the form in which it is shorter.
fn in_payload(body: &Bytes) -> Body {
    match std::str::from_utf8(body) {
        Ok(text) if escaped(body) <= base64(body) => Body::Text(text.to_owned()),
        _ => Body::Binary(body.to_vec()),
    }
}

/// The bytes that a body takes in the payload.
fn payload(body: &[u8]) -> usize {
    match std::str::from_utf8(body) {
        Ok(_) => escaped(body).min(base64(body)),
        Err(_) => base64(body),
    }
}

fn base64(body: &[u8]) -> usize {
    body.len().div_ceil(3) * 4
}

fn escaped(body: &[u8]) -> usize {
    let extra = |byte: &u8| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' => 1,
        0..0x20 => 5,
        _ => 0,
    };
    body.len() + body.iter().map(extra).sum::<usize>()
}

/// What a client gets in place of an answer that is too large.
fn too_large(size: usize, limit: usize) -> Response<Bytes> {
    tracing::warn!(size, limit, "an answer was too large to be sent");
    let message = format!(
        "the answer has {size} bytes, and {limit} is the most: take a compressed answer (accept-encoding), ask for less \
         or for smaller pages"
    );
    let error = GraphQlError::new(codes::RESPONSE_TOO_LARGE, message).with("size", size).with("limit", limit);
    let mut response = Response::new(Answer::refusal(&[error]).body);
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_goes_out_in_the_shorter_form() {
        let quotes = Bytes::from("\"".repeat(30));
        assert_eq!((escaped(&quotes), base64(&quotes), payload(&quotes)), (60, 40, 40));
        assert!(matches!(in_payload(&quotes), Body::Binary(_)));
        let plain = Bytes::from("tea \n".repeat(6));
        assert_eq!(payload(&plain), serde_json::to_string(&"tea \n".repeat(6)).unwrap().len() - 2);
        assert!(matches!(in_payload(&plain), Body::Text(_)));
        assert!(matches!(in_payload(&Bytes::from_static(&[0xff, 0xfe])), Body::Binary(_)));
    }

    #[test]
    fn what_is_too_large_is_said_to_be() {
        let response = too_large(7_000_000, BUFFERED);
        let body: serde_json::Value = serde_json::from_slice(response.body()).unwrap();
        assert_eq!(body["errors"][0]["extensions"]["code"], "RESPONSE_TOO_LARGE");
        assert_eq!(body["errors"][0]["extensions"]["size"], 7_000_000);
    }
}
