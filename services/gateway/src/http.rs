//! GraphQL over HTTP, after the specification of that name, free of any server framework.

mod graphiql;
mod media;
mod server;

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method as HttpMethod, Request as HttpRequest, Response, StatusCode, header,
};

use crate::error::{GraphQlError, codes};
use crate::gateway::{Answer, Gateway, Method};
use crate::request::Request;

use media::{Media, Wanted};

pub use server::{router, serve};

/// Answers one HTTP request.
pub(crate) async fn handle(gateway: &Gateway, request: HttpRequest<Bytes>) -> Response<Bytes> {
    let is_head = *request.method() == HttpMethod::HEAD;
    let mut response = respond(gateway, request).await;
    if is_head {
        *response.body_mut() = Bytes::new();
    }
    response
}

async fn respond(gateway: &Gateway, request: HttpRequest<Bytes>) -> Response<Bytes> {
    let (parts, body) = request.into_parts();
    let limits = gateway.config().limits;
    let query = parts.uri.query().unwrap_or_default();
    let method = match parts.method {
        HttpMethod::GET | HttpMethod::HEAD => Method::Get,
        HttpMethod::POST => Method::Post,
        HttpMethod::OPTIONS => return with_allow(empty(StatusCode::NO_CONTENT)),
        _ => {
            let error =
                GraphQlError::new(codes::BAD_REQUEST, "send GraphQL requests by POST, or queries by GET");
            return with_allow(refuse(StatusCode::METHOD_NOT_ALLOWED, Media::Json, error));
        }
    };
    if method == Method::Get {
        if let Some(page) = &gateway.config().graphiql
            && let Some(response) = graphiql::respond(page, query, &parts.headers)
        {
            return response;
        }
        let length = parts.uri.path().len() + query.len() + 1;
        if length > limits.url_bytes {
            let message = format!("the URL has more than {} bytes: send the query by POST", limits.url_bytes);
            return refuse(
                StatusCode::URI_TOO_LONG,
                Media::Json,
                GraphQlError::new(codes::URL_TOO_LONG, message),
            );
        }
    }
    let media = match media::wanted(&parts.headers) {
        Wanted::Media(media) => media,
        Wanted::Html | Wanted::Nothing => {
            let error = GraphQlError::new(
                codes::BAD_REQUEST,
                "nothing in `Accept` can be given: take application/graphql-response+json or application/json",
            );
            return refuse(StatusCode::NOT_ACCEPTABLE, Media::Json, error);
        }
    };
    let request = match read(method, query, &parts.headers, &body, limits.body_bytes) {
        Ok(request) => request,
        Err((status, error)) => return refuse(status, media, error),
    };
    let answer = gateway.answer(request, method, &parts.headers).await;
    let status = status(&answer, media, method);
    let mut response = json(status, media, answer.body);
    let headers = response.headers_mut();
    let cache = answer.cache.to_string();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_str(&cache).expect("a policy is plain text"));
    headers.insert(header::VARY, vary(gateway));
    if status == StatusCode::METHOD_NOT_ALLOWED { with_allow(response) } else { response }
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
    if answer.executed {
        return StatusCode::OK;
    }
    let is = |code: &str| answer.codes.iter().any(|known| known == code);
    if method == Method::Get && is(codes::OPERATION_NOT_SUPPORTED) {
        return StatusCode::METHOD_NOT_ALLOWED;
    }
    match media {
        Media::Json => StatusCode::OK,
        Media::GraphQl if is(codes::INTERNAL) => StatusCode::INTERNAL_SERVER_ERROR,
        Media::GraphQl => StatusCode::BAD_REQUEST,
    }
}

fn refuse(status: StatusCode, media: Media, error: GraphQlError) -> Response<Bytes> {
    let mut response = json(status, media, Answer::refusal(&[error]).body);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn json(status: StatusCode, media: Media, body: Bytes) -> Response<Bytes> {
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
    let mut names = "accept".to_owned();
    for name in &gateway.config().forwarded_headers {
        names.push_str(", ");
        names.push_str(name.as_str());
    }
    HeaderValue::from_str(&names).expect("header names are plain text")
}
