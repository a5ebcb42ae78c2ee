//! GraphiQL for browsers, from the files in `assets/graphiql`: nothing is loaded from the network.

use std::io::Read as _;

use bytes::Bytes;
use flate2::read::GzDecoder;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};

use super::media::{Wanted, wanted};
use crate::config::Graphiql;

/// Part of the files' addresses, so that browsers may keep them for ever.
const VERSION: &str = concat!("3.9.0-", env!("CARGO_PKG_VERSION"));

const PAGE: &str = include_str!("../../assets/graphiql/index.html");

struct File {
    name: &'static str,
    content_type: &'static str,
    content: Content,
}

enum Content {
    Plain(&'static str),
    Gzip(&'static [u8]),
}

const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

static FILES: [File; 5] = [
    File {
        name: "graphiql.min.js",
        content_type: JAVASCRIPT,
        content: Content::Gzip(include_bytes!("../../assets/graphiql/graphiql.min.js.gz")),
    },
    File {
        name: "graphiql.min.css",
        content_type: "text/css; charset=utf-8",
        content: Content::Gzip(include_bytes!("../../assets/graphiql/graphiql.min.css.gz")),
    },
    File {
        name: "react.production.min.js",
        content_type: JAVASCRIPT,
        content: Content::Gzip(include_bytes!("../../assets/graphiql/react.production.min.js.gz")),
    },
    File {
        name: "react-dom.production.min.js",
        content_type: JAVASCRIPT,
        content: Content::Gzip(include_bytes!("../../assets/graphiql/react-dom.production.min.js.gz")),
    },
    File {
        name: "start.js",
        content_type: JAVASCRIPT,
        content: Content::Plain(include_str!("../../assets/graphiql/start.js")),
    },
];

/// The page for a browser, or a file that the page asks for; `None` if the request is for neither.
pub(super) fn respond(settings: &Graphiql, query: &str, headers: &HeaderMap) -> Option<Response<Bytes>> {
    let file = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "graphiql");
    if let Some((_, name)) = file {
        let found = FILES.iter().find(|file| file.name == name);
        return Some(found.map_or_else(not_found, |file| serve(file, headers)));
    }
    (wanted(headers) == Wanted::Html).then(|| page(settings))
}

fn page(settings: &Graphiql) -> Response<Bytes> {
    let title = if settings.title.is_empty() { "GraphiQL" } else { &settings.title };
    // `<` is the one character that could end the script element that the settings stand in.
    let values = serde_json::json!({ "queries": settings.queries }).to_string().replace('<', "\\u003c");
    let page = PAGE
        .replace("{{title}}", &title.replace('&', "&amp;").replace('<', "&lt;"))
        .replace("{{version}}", VERSION)
        .replace("{{settings}}", &values);
    let mut response = Response::new(Bytes::from(page));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(header::VARY, HeaderValue::from_static("accept"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self'; \
             img-src 'self' data:; font-src 'self' data:; base-uri 'none'; form-action 'none'; \
             frame-ancestors 'none'",
        ),
    );
    response
}

fn not_found() -> Response<Bytes> {
    let mut response = Response::new(Bytes::from_static(b"no such file\n"));
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
}

fn serve(file: &File, request: &HeaderMap) -> Response<Bytes> {
    let (body, coded) = match file.content {
        Content::Plain(text) => (Bytes::from_static(text.as_bytes()), false),
        Content::Gzip(bytes) if takes_gzip(request) => (Bytes::from_static(bytes), true),
        Content::Gzip(bytes) => {
            let mut plain = Vec::new();
            GzDecoder::new(bytes)
                .read_to_end(&mut plain)
                .expect("the files are whole: a test reads them all");
            (Bytes::from(plain), false)
        }
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(file.content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if coded {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

fn takes_gzip(headers: &HeaderMap) -> bool {
    headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok()).any(|value| {
        value.split(',').any(|coding| {
            let (name, quality) = coding.split_once(';').unwrap_or((coding, ""));
            let refused = quality.trim().strip_prefix("q=").is_some_and(|q| q.parse() == Ok(0.0_f32));
            matches!(name.trim(), "gzip" | "x-gzip" | "*") && !refused
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(query: &str, headers: &[(&'static str, &'static str)]) -> Option<Response<Bytes>> {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        let settings =
            Graphiql { title: "A <b> & c".to_owned(), queries: vec!["{ a } # </script>".to_owned()] };
        respond(&settings, query, &headers)
    }

    #[test]
    fn every_file_that_the_page_names_is_whole() {
        let page = get("", &[("accept", "text/html")]).unwrap();
        let page = std::str::from_utf8(page.body()).unwrap().to_owned();
        assert_eq!(page.matches("?graphiql=").count(), FILES.len());
        for file in &FILES {
            assert!(
                page.contains(&format!("?graphiql={}&amp;version={VERSION}\"", file.name)),
                "{}",
                file.name
            );
            let query = format!("graphiql={}&version=x", file.name);
            let plain = get(&query, &[]).unwrap();
            assert!(plain.headers().get("content-encoding").is_none());
            assert!(std::str::from_utf8(plain.body()).is_ok_and(|text| !text.is_empty()));
            let coded = get(&query, &[("accept-encoding", "br, gzip;q=0.5")]).unwrap();
            assert_eq!(coded.headers().contains_key("content-encoding"), file.name != "start.js");
            assert!(coded.body().len() <= plain.body().len());
        }
        assert_eq!(get("graphiql=other.js", &[]).unwrap().status(), StatusCode::NOT_FOUND);
    }

    #[test]
    fn settings_cannot_leave_their_place() {
        let page = get("", &[("accept", "text/html,*/*;q=0.1")]).unwrap();
        let page = std::str::from_utf8(page.body()).unwrap();
        assert!(page.contains("<title>A &lt;b> &amp; c</title>"));
        assert!(page.contains(r#"{"queries":["{ a } # \u003c/script>"]}"#));
        assert!(!page.contains("{{"));
    }

    #[test]
    fn only_browsers_get_the_page() {
        assert!(get("query={a}", &[("accept", "application/json")]).is_none());
        assert!(get("query={a}", &[]).is_none());
    }

    #[test]
    fn a_refused_coding_is_not_used() {
        let plain = get("graphiql=graphiql.min.css", &[("accept-encoding", "gzip;q=0, identity")]).unwrap();
        assert!(plain.headers().get("content-encoding").is_none());
    }
}
