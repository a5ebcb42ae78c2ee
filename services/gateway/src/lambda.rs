//! The gateway as a Lambda function: payloads of API Gateway (v1, v2), ALB and function URLs, answered at once or streamed.
//!
//! Lambda takes 6 MB of an answer at once, as JSON text: a body with many quotes grows by being put into it, so that
//! Base64 may be the shorter form. An answer that is too large all the same is replaced by an error that says so.

use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::body::Body as HttpBody;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header};
use lambda_http::request::RequestContext;
use lambda_http::{Body, Context, Error, IntoResponse, RequestExt, service_fn};
use telemetry::trace::{TRACEPARENT, from_headers};
use tokio::time::Instant;
use tracing::Instrument;

use crate::answer::Answer;
use crate::error::{GraphQlError, codes};
use crate::gateway::Gateway;
use crate::http::Deadline;
use crate::source::Keeper;

/// What Lambda takes of an answer at once, in bytes: 6 MB, with room for what is around the body.
pub const BUFFERED: usize = 6 * 1024 * 1024 - 64 * 1024;

/// What an ALB takes.
pub const ALB: usize = 1024 * 1024 - 64 * 1024;

/// What Lambda streams.
pub const STREAMED: usize = 200 * 1024 * 1024;

/// So long before its end an invocation stops waiting for subgraphs, so that there is time to say so.
const MARGIN: Duration = Duration::from_millis(500);

/// A gateway that is invoked.
#[derive(Clone)]
pub struct Function {
    gateway: Gateway,
    keeper: Option<Arc<Keeper>>,
    after: Arc<dyn Fn() + Send + Sync>,
}

impl Function {
    /// A gateway, what keeps its supergraph new, and what is to be done before each answer goes out: after it the process
    /// is frozen.
    pub fn new(
        gateway: Gateway,
        keeper: Option<Arc<Keeper>>,
        after: impl Fn() + Send + Sync + 'static,
    ) -> Self {
        Self { gateway, keeper, after: Arc::new(after) }
    }

    /// Answers invocations until the process ends: at once, or streamed, as the function URL or the API is set to.
    ///
    /// # Errors
    /// Where Lambda's runtime can't be reached.
    pub async fn run(self, streamed: bool) -> Result<(), Error> {
        if streamed {
            let answer = |request: lambda_http::Request| async {
                let response = self.answer(request, Form::Streamed).await;
                Ok::<_, Error>(response.map(HttpBody::from))
            };
            return lambda_http::run_with_streaming_response(service_fn(answer)).await;
        }
        let answer = |request: lambda_http::Request| async {
            let form = match request.request_context_ref() {
                Some(RequestContext::Alb(_)) => Form::Alb,
                _ => Form::Buffered,
            };
            let response = self.answer(request, form).await;
            Ok::<_, Error>(InPayload(response.map(|body| in_payload(&body))))
        };
        lambda_http::run(service_fn(answer)).await
    }

    async fn answer(&self, request: lambda_http::Request, form: Form) -> Response<Bytes> {
        if let Some(keeper) = &self.keeper {
            keeper.touch();
        }
        let context = request.lambda_context_ref().cloned();
        let (mut parts, body) = request.into_parts();
        if parts.uri.path().ends_with("/health") {
            return Response::new(Bytes::from_static(b"ok\n"));
        }
        let span = match &context {
            Some(context) => {
                parts.extensions.insert(Deadline(deadline(context)));
                span(context, &mut parts.headers)
            }
            None => tracing::Span::none(),
        };
        let body = match body {
            Body::Text(text) => Bytes::from(text),
            Body::Binary(bytes) => Bytes::from(bytes),
            _ => Bytes::new(),
        };
        let response = self.gateway.handle(Request::from_parts(parts, body)).instrument(span.clone()).await;
        let (size, limit) = form.measure(response.body());
        let response = if size <= limit { response } else { span.in_scope(|| too_large(size, limit)) };
        (self.after)();
        response
    }
}

/// How an answer goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Buffered,
    Alb,
    Streamed,
}

impl Form {
    /// How many bytes a body takes, and how many it may.
    fn measure(self, body: &[u8]) -> (usize, usize) {
        match self {
            Self::Buffered => (payload(body), BUFFERED),
            Self::Alb => (payload(body), ALB),
            Self::Streamed => (body.len(), STREAMED),
        }
    }
}

/// The span of an invocation. Where the client gave no trace, subgraphs are told X-Ray's.
fn span(context: &Context, headers: &mut HeaderMap) -> tracing::Span {
    let parent = from_headers(|name| headers.get(name)?.to_str().ok());
    if let Some(parent) = parent
        && !headers.contains_key(TRACEPARENT)
        && let Ok(value) = HeaderValue::from_str(&parent.to_string())
    {
        headers.insert(HeaderName::from_static(TRACEPARENT), value);
    }
    telemetry::span::invocation("gateway", &context.request_id, &context.request_id, parent)
}

fn deadline(context: &Context) -> Instant {
    #[expect(clippy::disallowed_methods, reason = "Lambda gives the deadline by the clock on the wall")]
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let left = Duration::from_millis(context.deadline).saturating_sub(now).saturating_sub(MARGIN);
    // What is further away than a day is as good as a day.
    Instant::now() + left.min(Duration::from_hours(24))
}

/// An answer whose body has its form: left to the library, it would follow from the content type.
struct InPayload(Response<Body>);

impl IntoResponse for InPayload {
    fn into_response(self) -> Pin<Box<dyn Future<Output = Response<Body>> + Send>> {
        Box::pin(ready(self.0))
    }
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
