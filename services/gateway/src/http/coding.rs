//! Content codings: an answer goes out in the smallest form that its client takes.

use std::io::Write as _;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, header};

/// The shortest body that is worth a coding, in bytes.
const SHORTEST: usize = 1_000;

/// From how many bytes on the work is handed to a thread that may take its time.
const LARGE: usize = 256 << 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coding {
    Brotli,
    Zstd,
    Gzip,
}

/// Codes the body of an answer as the request's headers allow.
pub(super) async fn encode(request: &HeaderMap, response: Response<Bytes>) -> Response<Bytes> {
    if response.body().len() < SHORTEST || response.headers().contains_key(header::CONTENT_ENCODING) {
        return response;
    }
    let Some(coding) = best(request) else { return response };
    let (mut parts, body) = response.into_parts();
    let coded = if body.len() < LARGE {
        coding.encode(&body)
    } else {
        let whole = body.clone();
        tokio::task::spawn_blocking(move || coding.encode(&whole)).await.unwrap_or_else(|error| {
            tracing::error!(%error, "an answer could not be coded; it goes out as it is");
            None
        })
    };
    let Some(coded) = coded.filter(|coded| coded.len() < body.len()) else {
        return Response::from_parts(parts, body);
    };
    parts.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
    Response::from_parts(parts, coded.into())
}

impl Coding {
    fn name(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
        }
    }

    /// None where it fails, which memory alone can cause.
    fn encode(self, body: &[u8]) -> Option<Vec<u8>> {
        let mut out = Vec::with_capacity(body.len() / 4);
        match self {
            Self::Brotli => {
                // Quality 4 and a window of 4 MiB: about gzip's time, and a fifth smaller.
                let mut writer = brotli::CompressorWriter::new(&mut out, 4_096, 4, 22);
                writer.write_all(body).ok()?;
                drop(writer);
            }
            Self::Zstd => zstd::stream::copy_encode(body, &mut out, 3).ok()?,
            Self::Gzip => {
                let mut writer = flate2::write::GzEncoder::new(&mut out, flate2::Compression::new(6));
                writer.write_all(body).ok()?;
                writer.finish().ok()?;
            }
        }
        Some(out)
    }
}

/// The coding that the client likes best; of those that it likes alike, the one that makes bodies smallest.
fn best(headers: &HeaderMap) -> Option<Coding> {
    let mut best: Option<(f32, Coding)> = None;
    for coding in [Coding::Brotli, Coding::Zstd, Coding::Gzip] {
        let quality = quality(headers, coding.name());
        if quality > 0.0 && best.is_none_or(|(known, _)| quality > known) {
            best = Some((quality, coding));
        }
    }
    best.map(|(_, coding)| coding)
}

/// How much the client likes a coding, from 0 to 1: what it says of it, else what it says of any.
fn quality(headers: &HeaderMap, name: &str) -> f32 {
    let mut any = 0.0;
    for value in headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok()) {
        for item in value.split(',') {
            let (coding, parameter) = item.split_once(';').unwrap_or((item, ""));
            let quality = match parameter.trim().strip_prefix("q=") {
                None => 1.0,
                Some(quality) => quality.trim().parse().unwrap_or(0.0_f32),
            };
            let coding = coding.trim();
            if coding.eq_ignore_ascii_case(name) || (name == "gzip" && coding.eq_ignore_ascii_case("x-gzip"))
            {
                return quality;
            }
            if coding == "*" {
                any = quality;
            }
        }
    }
    any
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepting(value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_str(value).unwrap());
        headers
    }

    #[test]
    fn the_client_chooses() {
        assert_eq!(best(&HeaderMap::new()), None);
        assert_eq!(best(&accepting("gzip, deflate, br, zstd")), Some(Coding::Brotli));
        assert_eq!(best(&accepting("gzip, zstd;q=0.9")), Some(Coding::Gzip));
        assert_eq!(best(&accepting("*;q=0.5, br;q=0")), Some(Coding::Zstd));
        assert_eq!(best(&accepting("identity")), None);
        assert_eq!(best(&accepting("br;q=often")), None);
    }

    #[tokio::test]
    async fn what_is_coded_is_read_again() {
        for length in [SHORTEST, LARGE] {
            let body: Bytes = "{\"data\":1}".repeat(length / 10 + 1).into();
            for name in ["br", "zstd", "gzip"] {
                let coded = encode(&accepting(name), Response::new(body.clone())).await;
                assert_eq!(coded.headers()[header::CONTENT_ENCODING], name);
                let mut plain = Vec::new();
                let from = &mut &coded.body()[..];
                match name {
                    "br" => brotli::BrotliDecompress(from, &mut plain).unwrap(),
                    "zstd" => zstd::stream::copy_decode(from, &mut plain).unwrap(),
                    _ => _ = std::io::copy(&mut flate2::read::GzDecoder::new(from), &mut plain).unwrap(),
                }
                assert_eq!(plain, body);
            }
        }
    }

    #[tokio::test]
    async fn short_and_coded_bodies_stay_as_they_are() {
        let short = encode(&accepting("gzip"), Response::new("x".repeat(SHORTEST - 1).into())).await;
        assert!(!short.headers().contains_key(header::CONTENT_ENCODING));
        let mut coded = Response::new(Bytes::from("x".repeat(SHORTEST)));
        coded.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        assert_eq!(encode(&accepting("br"), coded).await.headers()[header::CONTENT_ENCODING], "gzip");
    }
}
