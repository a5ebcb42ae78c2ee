//! What subgraphs' answers carry in their headers besides how long they may be cached.

use std::collections::BTreeSet;

use freshness::{CACHE_TAG, CONSISTENCY_BEHIND, CONSISTENCY_TOKEN, Tags};
use http::{HeaderMap, HeaderValue};

/// The most tokens that are handed to a client together.
const MOST_TOKENS: usize = 8;

/// The most bytes of tokens that a subgraph is asked with, once an operation has some of its own: where headers may be
/// 10 KiB in all, it must stay possible to ask.
const MOST_BYTES: usize = 4 << 10;

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

    /// Asks to be shown what was written so far, and, as far as there is room, what the client wrote before.
    pub(crate) fn ask(&self, headers: &mut HeaderMap) {
        if self.tokens.is_empty() {
            return;
        }
        let own = self.tokens.iter().map(String::as_str);
        let brought = headers.get_all(CONSISTENCY_TOKEN).into_iter().filter_map(|it| it.to_str().ok());
        let brought = brought.flat_map(|text| text.split(',')).map(str::trim);
        let mut all = String::new();
        for token in own.chain(brought.filter(|it| !it.is_empty() && !self.tokens.contains(*it))) {
            if all.len() + token.len() < MOST_BYTES {
                if !all.is_empty() {
                    all.push(',');
                }
                all.push_str(token);
            }
        }
        match HeaderValue::from_str(&all) {
            Ok(all) if !all.is_empty() => _ = headers.insert(CONSISTENCY_TOKEN, all),
            _ => {}
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

    fn asked(carried: &Carried, brought: &[&str]) -> Vec<String> {
        let mut headers = HeaderMap::new();
        for token in brought {
            headers.append(CONSISTENCY_TOKEN, HeaderValue::from_str(token).unwrap());
        }
        carried.ask(&mut headers);
        let all = headers.get_all(CONSISTENCY_TOKEN).into_iter();
        all.map(|it| it.to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn what_was_written_so_far_is_asked_for_before_what_was_brought_and_never_too_much() {
        let nothing = Carried::default();
        assert!(asked(&nothing, &[]).is_empty());
        assert_eq!(asked(&nothing, &["one, two", "three"]), ["one, two", "three"], "as it came");

        let mut carried = Carried::default();
        let written = [(CONSISTENCY_TOKEN.parse().unwrap(), HeaderValue::from_static("new"))];
        carried.take(&HeaderMap::from_iter(written));
        assert_eq!(asked(&carried, &[]), ["new"]);
        assert_eq!(asked(&carried, &["one, new", "two"]), ["new,one,two"]);
        let long = "x".repeat(MOST_BYTES - 8);
        assert_eq!(asked(&carried, &[&long, "one", "two"]), [format!("new,{long},one")]);
    }
}
