//! What subgraphs' answers carry in their headers besides how long they may be cached.

use std::collections::BTreeSet;

use freshness::{CACHE_TAG, CONSISTENCY_BEHIND, CONSISTENCY_TOKEN, Tags};
use http::HeaderMap;

/// The most tokens that are handed to a client together.
const MOST_TOKENS: usize = 8;

/// The headers of the subgraphs' answers, merged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Carried {
    /// What the answer shows.
    pub(crate) tags: Tags,
    /// What mutations wrote.
    tokens: BTreeSet<String>,
    /// Projections that had not reached what the client wrote before.
    pub(crate) behind: BTreeSet<String>,
}

impl Carried {
    /// Takes what one answer's headers say.
    pub(crate) fn take(&mut self, headers: &HeaderMap) {
        let texts = |name: &'static str| headers.get_all(name).into_iter().filter_map(|it| it.to_str().ok());
        for tags in texts(CACHE_TAG) {
            self.tags.read(tags);
        }
        let listed = |name: &'static str| {
            texts(name)
                .flat_map(|text| text.split(','))
                .map(|text| text.trim().to_owned())
                .filter(|text| !text.is_empty())
        };
        self.behind.extend(listed(CONSISTENCY_BEHIND));
        for token in listed(CONSISTENCY_TOKEN) {
            if self.tokens.len() < MOST_TOKENS {
                self.tokens.insert(token);
            }
        }
    }

    /// The tokens as one header's value.
    pub(crate) fn token(&self) -> Option<String> {
        let tokens: Vec<&str> = self.tokens.iter().map(String::as_str).collect();
        (!tokens.is_empty()).then(|| tokens.join(","))
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn answers_are_merged() {
        let mut headers = HeaderMap::new();
        headers.insert(CACHE_TAG, HeaderValue::from_static("b, a"));
        headers.append(CACHE_TAG, HeaderValue::from_static("c"));
        headers.insert(CONSISTENCY_TOKEN, HeaderValue::from_static("two"));
        headers.insert(CONSISTENCY_BEHIND, HeaderValue::from_static("pricing-offers,"));
        let mut carried = Carried::default();
        carried.take(&headers);
        carried.take(&headers);
        headers.insert(CONSISTENCY_TOKEN, HeaderValue::from_static("one"));
        carried.take(&headers);
        assert_eq!(carried.tags.header().unwrap(), "a,b,c");
        assert_eq!(carried.token().unwrap(), "one,two");
        assert_eq!(carried.behind, ["pricing-offers".to_owned()].into());
        assert_eq!(Carried::default().token(), None);
    }
}
