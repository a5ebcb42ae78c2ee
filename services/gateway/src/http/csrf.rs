//! The guard against requests that another site has a browser send: a browser asks first ("preflight") unless the
//! request is a simple one, so simple ones are refused, by the rule that Apollo's servers have and its clients know.

use http::{HeaderMap, header};

use crate::error::{GraphQlError, codes};

/// Headers that no simple request has; Apollo's clients send one of them.
const NOT_SIMPLE: [&str; 2] = ["apollo-require-preflight", "x-apollo-operation-name"];

/// Media types of simple requests.
const SIMPLE: [&str; 3] = ["application/x-www-form-urlencoded", "multipart/form-data", "text/plain"];

/// Refuses what a browser would have sent without asking first.
pub(super) fn check(headers: &HeaderMap) -> Result<(), GraphQlError> {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media =
        content_type.and_then(|value| value.split(';').next()).map(|media| media.trim().to_ascii_lowercase());
    let asked_first = media.is_some_and(|media| media.contains('/') && !SIMPLE.contains(&media.as_str()));
    let named = NOT_SIMPLE.iter().any(|name| headers.get(*name).is_some_and(|value| !value.is_empty()));
    if asked_first || named {
        return Ok(());
    }
    let message = format!(
        "This operation has been blocked as a potential Cross-Site Request Forgery (CSRF): send a `content-type` that \
         is none of {}, or a header {}",
        SIMPLE.join(", "),
        NOT_SIMPLE.join(" or ")
    );
    Err(GraphQlError::new(codes::CSRF_GUARD, message))
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn passes(headers: &[(&'static str, &'static str)]) -> bool {
        let headers = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        check(&headers.collect()).is_ok()
    }

    #[test]
    fn only_requests_that_browsers_ask_for_first_pass() {
        assert!(passes(&[("content-type", "application/json")]));
        assert!(passes(&[("apollo-require-preflight", "true")]));
        assert!(passes(&[("content-type", "text/plain"), ("x-apollo-operation-name", "Products")]));
        assert!(!passes(&[]));
        assert!(!passes(&[("apollo-require-preflight", "")]));
        for simple in SIMPLE {
            assert!(!passes(&[("content-type", simple)]));
        }
        assert!(!passes(&[("content-type", "Text/Plain; charset=utf-8")]));
        assert!(!passes(&[("content-type", "nonsense")]));
    }
}
