//! A query to a subgraph as a URL: its document named by the hash, so that a cache in between can keep the answer.

use std::collections::BTreeMap;
use std::ops::Range;

use bytes::Bytes;
use http::{HeaderMap, HeaderName};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use freshness::{CONSISTENCY_TOKEN, GENERATIONS, GENERATIONS_EXTENSION};

use super::{DEADLINE, SubgraphResponse, TRACE_AND_CLIENT};

/// The deepest that values of variables may nest to be put in order.
const DEEPEST: usize = 128;

/// The longest answer that is looked at for what it says of the hash; those that say so have a few words.
const LONGEST_REFUSAL: usize = 2_048;

/// The document of a query, named by its hash: worked out with the plan, once for all requests.
#[derive(Debug, PartialEq, Eq)]
pub struct HashedDocument {
    hash: String,
    /// The URL's `extensions`.
    extensions: String,
    /// Where in a body the text of the document ends.
    end: usize,
}

/// What a subgraph says of a query by its hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    /// It answered.
    Answer,
    /// It doesn't know the document yet.
    Unknown,
    /// It takes no such queries.
    Unsupported,
}

impl HashedDocument {
    /// Of a document whose text ends at `end` in each body: `{"query":"…"` is before it, `}` or the variables after it.
    pub fn new(document: &str, end: usize) -> Self {
        let hash = documents::sha256(document);
        let persisted = json!({ "persistedQuery": { "version": 1, "sha256Hash": &hash } });
        Self { extensions: encoded(&persisted.to_string()), hash, end }
    }

    /// The URL of a query, of at most `limit` bytes; none where it has to go by POST, because it is for one alone, or too
    /// long.
    pub(super) fn url(&self, base: &str, body: &[u8], headers: &HeaderMap, limit: usize) -> Option<String> {
        // A cache that goes by the URL knows nothing of headers that change the answer: a request with one is for nobody else.
        let is_neutral =
            |name: &HeaderName| name == GENERATIONS || name == DEADLINE || TRACE_AND_CLIENT.contains(name);
        if headers.contains_key(CONSISTENCY_TOKEN) || !headers.keys().all(is_neutral) {
            return None;
        }
        let mut url = base.to_owned();
        url.push_str(if base.contains('?') { "&extensions=" } else { "?extensions=" });
        match headers.get(GENERATIONS) {
            None => url.push_str(&self.extensions),
            // Answers that were read from other generations are others.
            Some(generations) => {
                let persisted = json!({ "version": 1, "sha256Hash": &self.hash });
                let generations = generations.to_str().ok()?;
                let all = json!({ "persistedQuery": persisted, GENERATIONS_EXTENSION: generations });
                url.push_str(&encoded(&all.to_string()));
            }
        }
        let variables = self.variables(body)?;
        if !variables.is_empty() {
            if variables.len() > limit {
                return None;
            }
            let text = std::str::from_utf8(body.get(variables)?).ok()?;
            let mut ordered = String::with_capacity(text.len());
            in_order(text, DEEPEST, &mut ordered)?;
            url.push_str("&variables=");
            url.push_str(&encoded(&ordered));
        }
        (url.len() <= limit).then_some(url)
    }

    /// The body that tells the subgraph text and hash together.
    pub(super) fn registration(&self, body: &[u8]) -> Bytes {
        let rest = body.strip_suffix(b"}").unwrap_or(body);
        let persisted = json!({ "version": 1, "sha256Hash": &self.hash });
        let tail = format!(",\"extensions\":{{\"persistedQuery\":{persisted}}}}}");
        [rest, tail.as_bytes()].concat().into()
    }

    /// Where in a body the values of the variables stand; none where it is not such a body.
    fn variables(&self, body: &[u8]) -> Option<Range<usize>> {
        const NAME: &[u8] = b",\"variables\":";
        let rest = body.get(self.end..)?;
        if rest == b"}" {
            return Some(0..0);
        }
        let length = rest.strip_prefix(NAME)?.strip_suffix(b"}")?.len();
        let start = self.end + NAME.len();
        Some(start..start + length)
    }
}

impl Heard {
    pub(super) fn of(response: &SubgraphResponse) -> Self {
        #[derive(Deserialize)]
        struct Body {
            errors: Vec<Error>,
        }
        #[derive(Deserialize)]
        struct Error {
            #[serde(default)]
            message: String,
            #[serde(default)]
            extensions: Extensions,
        }
        #[derive(Default, Deserialize)]
        struct Extensions {
            #[serde(default)]
            code: String,
        }
        // Not allowed, too long for somebody on the way, or not implemented.
        if matches!(response.status.as_u16(), 405 | 414 | 431 | 501) {
            return Self::Unsupported;
        }
        let mentions = |word: &[u8]| response.body.windows(word.len()).any(|part| part == word);
        let is_short = response.body.len() <= LONGEST_REFUSAL;
        if !is_short || !(mentions(b"PersistedQuery") || mentions(b"PERSISTED_QUERY")) {
            return Self::Answer;
        }
        let Ok(Body { errors }) = serde_json::from_slice(&response.body) else { return Self::Answer };
        let says = |code: &str, message: &str| {
            errors.iter().any(|error| error.extensions.code == code || error.message == message)
        };
        if says(documents::NOT_FOUND, "PersistedQueryNotFound") {
            Self::Unknown
        } else if says(documents::NOT_SUPPORTED, "PersistedQueryNotSupported") {
            Self::Unsupported
        } else {
            Self::Answer
        }
    }
}

/// Writes JSON with the names of each object in order and no space, values as they stand: numbers keep their digits. None
/// where it nests deeper than `depth`.
fn in_order(text: &str, depth: usize, out: &mut String) -> Option<()> {
    let depth = depth.checked_sub(1)?;
    match text.as_bytes().first() {
        Some(b'{') => {
            let fields: BTreeMap<String, &RawValue> = serde_json::from_str(text).ok()?;
            out.push('{');
            for (position, (name, value)) in fields.iter().enumerate() {
                if position > 0 {
                    out.push(',');
                }
                out.push_str(&serde_json::to_string(name).ok()?);
                out.push(':');
                in_order(value.get(), depth, out)?;
            }
            out.push('}');
        }
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(text).ok()?;
            out.push('[');
            for (position, item) in items.iter().enumerate() {
                if position > 0 {
                    out.push(',');
                }
                in_order(item.get(), depth, out)?;
            }
            out.push(']');
        }
        _ => out.push_str(text),
    }
    Some(())
}

/// Text as it stands in a URL: all but letters, digits and `-._~` (RFC 3986) by their bytes' numbers, a space too, as
/// signatures want it.
fn encoded(text: &str) -> String {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut out = String::with_capacity(text.len() * 2);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(DIGITS[usize::from(byte >> 4)]));
            out.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, StatusCode};
    use proptest::prelude::*;
    use serde_json::{Map, Value};

    use super::*;

    const BASE: &str = "http://pricing.example/graphql";

    fn body(document: &str, variables: &str) -> (HashedDocument, Vec<u8>) {
        let mut body = format!("{{\"query\":{}", Value::from(document)).into_bytes();
        let hashed = HashedDocument::new(document, body.len());
        if !variables.is_empty() {
            body.extend_from_slice(b",\"variables\":");
            body.extend_from_slice(variables.as_bytes());
        }
        body.push(b'}');
        (hashed, body)
    }

    fn url(variables: &str, headers: &HeaderMap) -> Option<String> {
        let (hashed, body) = body("{ a(\"}\") }", variables);
        hashed.url(BASE, &body, headers, 8_192)
    }

    fn parameters(url: &str) -> BTreeMap<String, Value> {
        let (_, query) = url.split_once('?').unwrap();
        let pairs = form_urlencoded::parse(query.as_bytes());
        pairs.map(|(name, value)| (name.into_owned(), serde_json::from_str(&value).unwrap())).collect()
    }

    fn header(name: &'static str, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(HeaderName::from_static(name), HeaderValue::from_static(value))])
    }

    #[test]
    fn a_url_says_what_the_body_says() {
        let none = HeaderMap::new();
        let plain = parameters(&url("", &none).unwrap());
        assert_eq!(plain.len(), 1);
        let hash = documents::sha256("{ a(\"}\") }");
        let persisted = json!({ "version": 1, "sha256Hash": hash });
        assert_eq!(plain["extensions"], json!({ "persistedQuery": persisted }));
        let values = "{\"b\": [1.50, {\"y\":\"ü +&\",\"x\":null}],\"a\":12345678901234567890123}";
        let asked = url(values, &none).unwrap();
        assert!(asked.is_ascii() && !asked.contains(['+', ' ']), "{asked}");
        let text = form_urlencoded::parse(asked.split_once('?').unwrap().1.as_bytes())
            .nth(1)
            .unwrap()
            .1
            .into_owned();
        assert_eq!(text, "{\"a\":12345678901234567890123,\"b\":[1.50,{\"x\":null,\"y\":\"ü +&\"}]}");
        let pinned = parameters(&url("", &header(GENERATIONS, "offers=offers-1")).unwrap());
        assert_eq!(
            pinned["extensions"],
            json!({ "persistedQuery": persisted, "generations": "offers=offers-1" })
        );
    }

    #[test]
    fn what_is_for_one_alone_or_too_long_has_no_url() {
        for (name, value) in [
            ("authorization", "Bearer it"),
            ("cookie", "a=b"),
            ("x-tenant", "a"),
            (CONSISTENCY_TOKEN, "token"),
        ] {
            assert_eq!(url("", &header(name, value)), None, "{name}");
        }
        assert!(url("", &header("traceparent", "00-trace")).is_some());
        let (hashed, body) = body("{a}", "{\"a\":\"<>\"}");
        let length = hashed.url(BASE, &body, &HeaderMap::new(), 8_192).unwrap().len();
        assert!(hashed.url(BASE, &body, &HeaderMap::new(), length).is_some());
        assert_eq!(hashed.url(BASE, &body, &HeaderMap::new(), length - 1), None);
        assert_eq!(
            url(&format!("{{\"a\":{}1{}}}", "[".repeat(200), "]".repeat(200)), &HeaderMap::new()),
            None
        );
        assert!(
            hashed
                .url("http://a/?b=c", &body, &HeaderMap::new(), 8_192)
                .unwrap()
                .contains("?b=c&extensions=")
        );
    }

    #[test]
    fn a_registration_is_the_body_with_the_hash() {
        for variables in ["", "{\"a\":1}"] {
            let (hashed, body) = body("{a}", variables);
            let mut registration: Value = serde_json::from_slice(&hashed.registration(&body)).unwrap();
            let extensions = registration.as_object_mut().unwrap().remove("extensions").unwrap();
            assert_eq!(documents::hash(&extensions["persistedQuery"]), Ok(documents::sha256("{a}")));
            assert_eq!(registration, serde_json::from_slice::<Value>(&body).unwrap());
        }
    }

    #[test]
    fn only_what_a_subgraph_says_of_hashes_is_heard() {
        let heard = |status, body: &'static str| {
            let body = Bytes::from_static(body.as_bytes());
            Heard::of(&SubgraphResponse { status, headers: HeaderMap::new(), body })
        };
        let ok = StatusCode::OK;
        assert_eq!(heard(ok, r#"{"errors":[{"message":"PersistedQueryNotFound"}]}"#), Heard::Unknown);
        let coded = r#"{"errors":[{"message":"no","extensions":{"code":"PERSISTED_QUERY_NOT_FOUND"}}]}"#;
        assert_eq!(heard(StatusCode::BAD_REQUEST, coded), Heard::Unknown);
        assert_eq!(heard(ok, r#"{"errors":[{"message":"PersistedQueryNotSupported"}]}"#), Heard::Unsupported);
        assert_eq!(heard(StatusCode::METHOD_NOT_ALLOWED, "no"), Heard::Unsupported);
        assert_eq!(heard(ok, r#"{"data":{"title":"PersistedQueryNotFound"}}"#), Heard::Answer);
        assert_eq!(heard(ok, r#"{"errors":[{"message":"the PersistedQuery is odd"}]}"#), Heard::Answer);
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map(".{0,4}", inner, 0..5)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    /// The same value with the names of all its objects the other way round.
    fn reversed(value: &Value) -> Value {
        match value {
            Value::Object(fields) => {
                let fields = fields.iter().rev().map(|(name, value)| (name.clone(), reversed(value)));
                Value::Object(fields.collect::<Map<_, _>>())
            }
            Value::Array(items) => items.iter().map(reversed).collect(),
            other => other.clone(),
        }
    }

    proptest! {
        #[test]
        fn the_same_variables_have_the_same_url_whatever_their_order(values in prop::collection::btree_map("[a-z]{1,4}", value(), 1..6)) {
            let values = Value::Object(values.into_iter().collect());
            let one = url(&values.to_string(), &HeaderMap::new()).unwrap();
            let spaced = serde_json::to_string_pretty(&reversed(&values)).unwrap();
            prop_assert_eq!(&one, &url(&spaced, &HeaderMap::new()).unwrap());
            prop_assert_eq!(&parameters(&one)["variables"], &values);
        }

        #[test]
        fn other_variables_have_another_url(one in value(), other in value()) {
            prop_assume!(one != other);
            let of = |value: &Value| url(&json!({ "a": value }).to_string(), &HeaderMap::new()).unwrap();
            prop_assert_ne!(of(&one), of(&other));
        }
    }
}
