//! Which generations of its projections each subgraph reads: those of one operation are the same throughout, although they
//! may be swapped under way.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use freshness::{GENERATIONS, GENERATIONS_NEXT, Generations};
use http::{HeaderMap, HeaderName, HeaderValue};

type BySubgraph = HashMap<String, Generations>;

/// What the subgraphs named last: the next operation begins with it.
#[derive(Default)]
pub(crate) struct Standing(ArcSwap<BySubgraph>);

/// What one operation reads.
pub(crate) struct Pinned<'a> {
    known: &'a Standing,
    /// As it began.
    began: Arc<BySubgraph>,
    /// What it met first itself.
    met: BySubgraph,
}

impl Standing {
    /// For an operation that begins now.
    pub(crate) fn pinned(&self) -> Pinned<'_> {
        Pinned { known: self, began: self.0.load_full(), met: HashMap::new() }
    }

    fn learn(&self, subgraph: &str, now: &Generations) {
        let with = |known: &BySubgraph| {
            let mut of_subgraph = known.get(subgraph).cloned().unwrap_or_default();
            of_subgraph.replace(now);
            (known.get(subgraph) != Some(&of_subgraph)).then_some(of_subgraph)
        };
        // Nearly always nothing is new.
        if with(&self.0.load()).is_some() {
            self.0.rcu(|known| {
                let mut all = BySubgraph::clone(known);
                all.extend(with(known).map(|it| (subgraph.to_owned(), it)));
                all
            });
        }
    }
}

impl Pinned<'_> {
    /// Asks a subgraph for what this operation read of it before.
    pub(crate) fn ask(&self, subgraph: &str, headers: &mut HeaderMap) {
        let mut wanted = self.began.get(subgraph).cloned().unwrap_or_default();
        if let Some(met) = self.met.get(subgraph) {
            wanted.extend(met);
        }
        if let Some(Ok(value)) = wanted.header().map(|text| HeaderValue::from_str(&text)) {
            headers.insert(HeaderName::from_static(GENERATIONS), value);
        }
    }

    /// Notes what an answer was read from.
    pub(crate) fn note(&mut self, subgraph: &str, headers: &HeaderMap) {
        let named = |name: &str| {
            Generations::of(headers.get_all(name).iter().filter_map(|value| value.to_str().ok()))
        };
        let mut read = named(GENERATIONS);
        if read == Generations::default() {
            return;
        }
        self.met.entry(subgraph.to_owned()).or_default().extend(&read);
        read.replace(&named(GENERATIONS_NEXT));
        self.known.learn(subgraph, &read);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(read: &'static str, next: Option<&'static str>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(GENERATIONS, HeaderValue::from_static(read));
        if let Some(next) = next {
            headers.insert(GENERATIONS_NEXT, HeaderValue::from_static(next));
        }
        headers
    }

    fn asked(pinned: &Pinned<'_>, subgraph: &str) -> Option<String> {
        let mut headers = HeaderMap::new();
        pinned.ask(subgraph, &mut headers);
        headers.get(GENERATIONS).map(|value| value.to_str().unwrap().to_owned())
    }

    #[test]
    fn an_operation_goes_on_with_what_it_read_first_and_the_next_one_begins_with_what_is_new() {
        let known = Standing::default();
        let mut first = known.pinned();
        assert_eq!(asked(&first, "pricing"), None);
        first.note("pricing", &answer("offers=offers-1", None));
        assert_eq!(asked(&first, "pricing").unwrap(), "offers=offers-1");
        assert_eq!(asked(&first, "orders"), None);

        let mut second = known.pinned();
        assert_eq!(asked(&second, "pricing").unwrap(), "offers=offers-1");
        second.note("pricing", &answer("offers=offers-1,history=history-1", Some("offers=offers-2")));
        assert_eq!(asked(&second, "pricing").unwrap(), "history=history-1,offers=offers-1");
        assert_eq!(asked(&first, "pricing").unwrap(), "offers=offers-1");
        assert_eq!(asked(&known.pinned(), "pricing").unwrap(), "history=history-1,offers=offers-2");
    }
}
