use http::{HeaderMap, HeaderValue, header};

/// The forms of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Media {
    /// `application/graphql-response+json`: the status tells what became of the request.
    GraphQl,
    /// `application/json`: what older clients expect.
    Json,
    /// `text/event-stream`: one event with the answer, then the end.
    EventStream,
}

/// What a client's `Accept` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    Media(Media),
    /// A page, before any JSON.
    Html,
    /// Nothing that can be given.
    Nothing,
}

impl Media {
    pub(super) fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::GraphQl => "application/graphql-response+json; charset=utf-8",
            Self::Json => "application/json; charset=utf-8",
            Self::EventStream => "text/event-stream; charset=utf-8",
        })
    }
}

/// Picks what a client likes best; between equals, the one it names first. Without an `Accept`, or with `*/*`,
/// it gets `application/json`.
pub(super) fn wanted(headers: &HeaderMap) -> Wanted {
    let mut best: Option<(f32, Wanted)> = None;
    let mut named = false;
    for value in headers.get_all(header::ACCEPT) {
        for range in value.to_str().unwrap_or_default().split(',') {
            let mut parameters = range.split(';').map(str::trim);
            let name = parameters.next().unwrap_or_default().to_ascii_lowercase();
            if name.is_empty() {
                continue;
            }
            named = true;
            let mut quality = 1.0_f32;
            let mut readable = true;
            for parameter in parameters {
                let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
                match key.trim().to_ascii_lowercase().as_str() {
                    "q" => quality = value.trim().parse().unwrap_or(0.0),
                    // Answers are in UTF-8 and nothing else.
                    "charset" => readable = value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8"),
                    _ => {}
                }
            }
            let wanted = match name.as_str() {
                "application/graphql-response+json" => Wanted::Media(Media::GraphQl),
                "application/json" | "application/*" | "*/*" => Wanted::Media(Media::Json),
                "text/html" => Wanted::Html,
                _ => continue,
            };
            if readable && quality > 0.0 && best.is_none_or(|(known, _)| quality > known) {
                best = Some((quality, wanted));
            }
        }
    }
    match best {
        Some((_, wanted)) => wanted,
        None if named => Wanted::Nothing,
        None => Wanted::Media(Media::Json),
    }
}

/// Whether a request's body is JSON in UTF-8, without a content coding.
pub(super) fn is_json(headers: &HeaderMap) -> bool {
    let coded = headers
        .get(header::CONTENT_ENCODING)
        .is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"));
    let text = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut parameters = text.split(';').map(str::trim);
    let name = parameters.next().unwrap_or_default();
    let utf8 = parameters.all(|parameter| match parameter.split_once('=') {
        Some((key, value)) if key.trim().eq_ignore_ascii_case("charset") => {
            value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
        }
        _ => true,
    });
    !coded && utf8 && name.eq_ignore_ascii_case("application/json")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accept(value: &str) -> Wanted {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_str(value).unwrap());
        wanted(&headers)
    }

    #[test]
    fn the_best_liked_is_given() {
        const JSON: Wanted = Wanted::Media(Media::Json);
        const GRAPHQL: Wanted = Wanted::Media(Media::GraphQl);
        assert_eq!(wanted(&HeaderMap::new()), JSON);
        assert_eq!(accept("*/*"), JSON);
        assert_eq!(accept("application/json"), JSON);
        assert_eq!(accept("application/graphql-response+json; charset=utf-8, application/json"), GRAPHQL);
        assert_eq!(accept("application/json;q=0.9, application/graphql-response+json"), GRAPHQL);
        assert_eq!(accept("application/graphql-response+json;q=0, application/json"), JSON);
        assert_eq!(accept("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"), Wanted::Html);
        assert_eq!(accept("image/png"), Wanted::Nothing);
        assert_eq!(accept("application/json; charset=utf-16"), Wanted::Nothing);
    }

    #[test]
    fn only_plain_json_is_taken() {
        let is = |content_type: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
            is_json(&headers)
        };
        assert!(is("application/json"));
        assert!(is("Application/JSON; charset=\"UTF-8\""));
        assert!(!is("text/plain"));
        assert!(!is("application/json; charset=latin1"));
        assert!(!is_json(&HeaderMap::new()));
    }
}
