//! GraphQL over HTTP, after the specification of that name, free of any server framework.

mod coding;
mod csrf;
mod events;
mod graphiql;
mod media;
mod purge;
mod server;

use axum::body::Body;
use bytes::Bytes;
use futures::StreamExt;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method as HttpMethod, Request as HttpRequest, Response, StatusCode,
    header,
};

use freshness::CONSISTENCY_TOKEN;
use tokio::time::Instant;

use crate::answer::Answer;
use crate::error::{GraphQlError, codes};
use crate::gateway::{Gateway, Method};
use crate::request::Request;
use crate::subscription::{Events, Reply, Streams};

use events::Form;
use media::{Media, Wanted};

pub use server::{router, serve};

/// The header that tells a client which method to use for an operation from now on: `POST`, where its URL would be
/// too long.
pub const USE_METHOD: &str = "graphql-use-method";

/// Answers one HTTP request, whole: a subscription is told that it is not served.
pub(crate) async fn handle(gateway: &Gateway, request: HttpRequest<Bytes>) -> Response<Bytes> {
    let is_head = *request.method() == HttpMethod::HEAD;
    let headers = request.headers().clone();
    let Sent::Whole(response) = respond(gateway, request, false).await else {
        let error = GraphQlError::new(codes::INTERNAL, "the answer is a stream");
        return refuse(StatusCode::INTERNAL_SERVER_ERROR, Media::Json, error);
    };
    whole(gateway, &headers, is_head, response).await
}

/// Answers one HTTP request; the events of a subscription go out as they come.
pub(crate) async fn stream(gateway: &Gateway, request: HttpRequest<Bytes>) -> Response<Body> {
    let is_head = *request.method() == HttpMethod::HEAD;
    let headers = request.headers().clone();
    match respond(gateway, request, !is_head).await {
        Sent::Whole(response) => whole(gateway, &headers, is_head, response).await.map(Body::from),
        Sent::Events(response) => response,
    }
}

/// What goes out.
enum Sent {
    Whole(Response<Bytes>),
    Events(Response<Body>),
}

impl From<Response<Bytes>> for Sent {
    fn from(response: Response<Bytes>) -> Self {
        Self::Whole(response)
    }
}

async fn whole(
    gateway: &Gateway,
    headers: &HeaderMap,
    is_head: bool,
    mut response: Response<Bytes>,
) -> Response<Bytes> {
    if gateway.config().compress {
        response = coding::encode(headers, response).await;
    }
    if is_head {
        *response.body_mut() = Bytes::new();
    }
    response
}

async fn respond(gateway: &Gateway, request: HttpRequest<Bytes>, can_stream: bool) -> Sent {
    let (parts, body) = request.into_parts();
    let limits = gateway.config().limits;
    let query = parts.uri.query().unwrap_or_default();
    if parts.method.as_str() == "PURGE"
        && let Some(key) = &gateway.config().purge_key
    {
        return purge::respond(gateway, key, &parts.headers).into();
    }
    let method = match parts.method {
        HttpMethod::GET | HttpMethod::HEAD => Method::Get,
        HttpMethod::POST => Method::Post,
        HttpMethod::OPTIONS => return with_allow(empty(StatusCode::NO_CONTENT)).into(),
        _ => {
            let error =
                GraphQlError::new(codes::BAD_REQUEST, "send GraphQL requests by POST, or queries by GET");
            return with_allow(refuse(StatusCode::METHOD_NOT_ALLOWED, Media::Json, error)).into();
        }
    };
    if method == Method::Get {
        if let Some(page) = &gateway.config().graphiql
            && let Some(response) = graphiql::respond(page, query, &parts.headers)
        {
            return response.into();
        }
        if url_length(&parts, query.len()) > limits.url_bytes {
            let message = format!("the URL has more than {} bytes: send the query by POST", limits.url_bytes);
            let error = GraphQlError::new(codes::URL_TOO_LONG, message).with("limit", limits.url_bytes);
            return told_to_post(refuse(StatusCode::URI_TOO_LONG, Media::Json, error)).into();
        }
    }
    let form = events::wanted(&parts.headers);
    let wanted = media::wanted(&parts.headers);
    let media = match wanted {
        Wanted::Media(media) => media,
        // Who takes a stream and nothing else gets all answers as one, by the protocol of such clients.
        Wanted::Html | Wanted::Nothing if form == Some(Form::EventStream) => Media::EventStream,
        Wanted::Html | Wanted::Nothing if form.is_some() => Media::Json,
        Wanted::Html | Wanted::Nothing => {
            let error = GraphQlError::new(
                codes::BAD_REQUEST,
                "nothing in `Accept` can be given: take application/graphql-response+json or application/json",
            );
            return refuse(StatusCode::NOT_ACCEPTABLE, Media::Json, error).into();
        }
    };
    if gateway.config().csrf_guard
        && let Err(error) = csrf::check(&parts.headers)
    {
        return refuse(StatusCode::BAD_REQUEST, media, error).into();
    }
    let request = match read(method, query, &parts.headers, &body, limits.body_bytes) {
        Ok(request) => Request { explain: has_explain(query), ..request },
        Err((status, error)) => return refuse(status, media, error).into(),
    };
    // A client that registers a document is about to ask for it by GET.
    let predicted = (method == Method::Post && request.is_persisted()).then(|| request.persisted_length());
    let is_long = predicted.is_some_and(|length| url_length(&parts, length) > limits.url_bytes);
    let patience = match parts.extensions.get::<Deadline>() {
        Some(Deadline(ends)) => ends.saturating_duration_since(Instant::now()),
        None => gateway.config().request_timeout,
    };
    let streams = match form {
        _ if !can_stream => Streams::Unsupported,
        Some(_) => Streams::Taken,
        None => Streams::NotTaken,
    };
    let reply = gateway.reply_within(patience, request, method, &parts.headers, streams).await;
    let answer = match (reply, form) {
        (Reply::Answer(answer), _) => answer,
        (Reply::Events(events), form) => return told(gateway, events, form.unwrap_or(Form::EventStream)),
    };
    let status = status(&answer, media, method);
    let cache = if is_unknown_document(&answer) {
        // What is not known yet will be in a moment; no cache may answer for it.
        "private, no-cache, must-revalidate".to_owned()
    } else {
        answer.cache.to_string()
    };
    let mut response = json(status, media, answer.body);
    let headers = response.headers_mut();
    let mut insert = |name: HeaderName, value: String| {
        headers.insert(name, HeaderValue::from_str(&value).expect("what an answer says is plain text"));
    };
    insert(header::CACHE_CONTROL, cache);
    if let Some(age) = answer.age {
        insert(header::AGE, age.to_string());
    }
    if let Some(tags) = answer.tags {
        insert(gateway.config().tag_header.clone(), tags);
    }
    if let Some(token) = answer.token {
        insert(HeaderName::from_static(CONSISTENCY_TOKEN), token);
    }
    headers.insert(header::VARY, vary(gateway));
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if is_long {
        response = told_to_post(response);
    }
    if status == StatusCode::METHOD_NOT_ALLOWED { with_allow(response) } else { response }.into()
}

/// A subscription's events, as they come.
fn told(gateway: &Gateway, events: Events, form: Form) -> Sent {
    let bytes = form.stream(events, gateway.config().heartbeat);
    let body = Body::from_stream(bytes.map(Ok::<_, std::convert::Infallible>));
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, form.content_type());
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::VARY, vary(gateway));
    Sent::Events(response)
}

/// When a request must be answered, where whoever handed it over knows: in its extensions.
#[derive(Debug, Clone, Copy)]
pub struct Deadline(pub Instant);

fn has_explain(query: &str) -> bool {
    form_urlencoded::parse(query.as_bytes()).any(|(name, _)| name == "explain")
}

/// Reads the GraphQL request out of the HTTP request.
fn read(
    method: Method,
    query: &str,
    headers: &HeaderMap,
    body: &[u8],
    limit: usize,
) -> Result<Request, (StatusCode, GraphQlError)> {
    if method == Method::Get {
        return Request::from_url(query).map_err(|error| (StatusCode::BAD_REQUEST, error));
    }
    if !media::is_json(headers) {
        let message = "send the request as JSON, with `content-type: application/json` and no content coding";
        return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, GraphQlError::new(codes::BAD_REQUEST, message)));
    }
    if body.len() > limit {
        return Err((StatusCode::PAYLOAD_TOO_LARGE, too_large(limit)));
    }
    Request::from_json(body).map_err(|error| (StatusCode::BAD_REQUEST, error))
}

fn too_large(limit: usize) -> GraphQlError {
    GraphQlError::new(codes::BODY_TOO_LARGE, format!("the body has more than {limit} bytes: send less"))
        .with("limit", limit)
}

/// The status that the specification gives to an answer. In `application/json`, whose clients may not expect
/// others, a well-formed request is answered with 200 whatever becomes of it.
fn status(answer: &Answer, media: Media, method: Method) -> StatusCode {
    // A browser's `EventSource` tells nothing of an answer with another status.
    if answer.executed || is_unknown_document(answer) || media == Media::EventStream {
        return StatusCode::OK;
    }
    let is = |code: &str| answer.codes.iter().any(|known| known == code);
    if method == Method::Get && is(codes::OPERATION_NOT_SUPPORTED) {
        return StatusCode::METHOD_NOT_ALLOWED;
    }
    if is(codes::UNAUTHENTICATED) {
        return StatusCode::UNAUTHORIZED;
    }
    if is(codes::AUTH_UNAVAILABLE) {
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    if is(codes::SUBSCRIPTION_NEEDS_STREAM) {
        return StatusCode::NOT_ACCEPTABLE;
    }
    if is(codes::SUBSCRIPTION_LIMIT) || is(codes::STOPPING) {
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    match media {
        Media::Json | Media::EventStream => StatusCode::OK,
        Media::GraphQl if is(codes::INTERNAL) => StatusCode::INTERNAL_SERVER_ERROR,
        Media::GraphQl => StatusCode::BAD_REQUEST,
    }
}

/// Whether the answer tells a client to send its document along: Apollo's clients expect it with status 200.
fn is_unknown_document(answer: &Answer) -> bool {
    answer.codes.iter().any(|code| codes::asks_for_document(code))
}

/// The length of the URL that a client would send a query of so many bytes to.
fn url_length(parts: &http::request::Parts, query: usize) -> usize {
    let host = parts.headers.get(header::HOST).map_or(0, HeaderValue::len);
    "https://".len() + host + parts.uri.path().len() + "?".len() + query
}

/// Tells the client to send this operation by POST from now on: as a GET it would be too long for what is in between.
fn told_to_post(mut response: Response<Bytes>) -> Response<Bytes> {
    response.headers_mut().insert(USE_METHOD, HeaderValue::from_static("POST"));
    response
}

fn refuse(status: StatusCode, media: Media, error: GraphQlError) -> Response<Bytes> {
    let mut response = json(status, media, Answer::refusal(&[error]).body);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn json(status: StatusCode, media: Media, body: Bytes) -> Response<Bytes> {
    let body = if media == Media::EventStream { events::single(&body) } else { body };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, media.content_type());
    response
}

fn empty(status: StatusCode) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    response
}

fn with_allow(mut response: Response<Bytes>) -> Response<Bytes> {
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD, POST, OPTIONS"));
    response
}

/// What else than the URL an answer depends on: the form asked for, and headers that subgraphs get to see.
fn vary(gateway: &Gateway) -> HeaderValue {
    let mut names =
        if gateway.config().compress { "accept, accept-encoding, " } else { "accept, " }.to_owned();
    names.push_str(CONSISTENCY_TOKEN);
    for name in &gateway.config().forwarded_headers {
        names.push_str(", ");
        names.push_str(name.as_str());
    }
    HeaderValue::from_str(&names).expect("header names are plain text")
}
