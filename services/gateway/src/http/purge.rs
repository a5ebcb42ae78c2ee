//! `PURGE`: what changed leaves the gateway's own caches, as it leaves any HTTP cache that goes by tags.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use freshness::{CACHE_TAG, Tags};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};

use super::media::Media;
use super::{empty, refuse};
use crate::config::Secret;
use crate::error::{GraphQlError, codes};
use crate::gateway::Gateway;

/// Drops what the tags in `cache-tag` are of, for who has the key.
pub(super) fn respond(gateway: &Gateway, key: &Secret, headers: &HeaderMap) -> Response<Bytes> {
    if !is_from_holder(headers, key) {
        let error = GraphQlError::new(codes::UNAUTHENTICATED, "only who has the key may purge");
        let mut response = refuse(StatusCode::UNAUTHORIZED, Media::Json, error);
        let wanted = HeaderValue::from_static("Basic realm=\"purge\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, wanted);
        return response;
    }
    let mut tags = Tags::default();
    for text in headers.get_all(CACHE_TAG).iter().filter_map(|value| value.to_str().ok()) {
        tags.read(text);
    }
    if tags.iter().next().is_none() {
        let message = "nothing is named: send the tags of what changed in `cache-tag`, with commas between";
        let error = GraphQlError::new(codes::BAD_REQUEST, message);
        return refuse(StatusCode::BAD_REQUEST, Media::Json, error);
    }
    let tags: Vec<_> = tags.iter().collect();
    gateway.purge(tags.iter().copied());
    empty(StatusCode::NO_CONTENT)
}

/// Whether the password of basic authentication is the key; the user's name means nothing.
fn is_from_holder(headers: &HeaderMap, key: &Secret) -> bool {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let given = given.and_then(|text| text.split_once(' '));
    let encoded = given.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"));
    let decoded = encoded.and_then(|(_, encoded)| BASE64_STANDARD.decode(encoded.trim()).ok());
    decoded.is_some_and(|decoded| {
        let colon = decoded.iter().position(|byte| *byte == b':');
        colon.is_some_and(|colon| key.is(&decoded[colon + 1..]))
    })
}
