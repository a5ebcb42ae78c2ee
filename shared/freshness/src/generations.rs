//! Which generations of projections an operation reads: subgraphs tell it, and a gateway brings it back to them.

use std::collections::BTreeMap;

/// The header of the tables that an answer was read from, and of those that the next request of the same operation
/// wants to read: `alias=table`, with commas between.
pub const GENERATIONS: &str = "x-generations";

/// The header of the tables that stand behind those aliases now, where they are others.
pub const GENERATIONS_NEXT: &str = "x-generations-next";

/// The extension of a request that says the same as the header, where it is a URL that caches go by.
pub const GENERATIONS_EXTENSION: &str = "generations";

/// The most aliases that a header names; further ones are left out.
pub const MOST_GENERATIONS: usize = 64;

/// The longest name of an alias or a table: DynamoDB's limit.
const LONGEST_NAME: usize = 255;

/// Tables by alias.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Generations(BTreeMap<String, String>);

impl Generations {
    /// What the values of headers say; what is no pair of names is passed over.
    pub fn of<'a>(values: impl IntoIterator<Item = &'a str>) -> Self {
        let mut read = Self::default();
        for pair in values.into_iter().flat_map(|value| value.split(',')) {
            if let Some((alias, table)) = pair.trim().split_once('=')
                && is_name(alias)
                && is_name(table)
            {
                read.insert(alias, table);
            }
        }
        read
    }

    /// The table that stands behind an alias.
    pub fn get(&self, alias: &str) -> Option<&str> {
        self.0.get(alias).map(String::as_str)
    }

    /// Sets the table behind an alias.
    pub fn insert(&mut self, alias: &str, table: &str) {
        if self.0.contains_key(alias) || self.0.len() < MOST_GENERATIONS {
            self.0.insert(alias.to_owned(), table.to_owned());
        }
    }

    /// Takes what others say of further aliases; what is known stays.
    pub fn extend(&mut self, others: &Self) {
        for (alias, table) in &others.0 {
            if !self.0.contains_key(alias) {
                self.insert(alias, table);
            }
        }
    }

    /// Takes what others say, of all aliases.
    pub fn replace(&mut self, others: &Self) {
        for (alias, table) in &others.0 {
            self.insert(alias, table);
        }
    }

    /// The header's value; none where there is nothing to say.
    pub fn header(&self) -> Option<String> {
        let pairs: Vec<String> = self.0.iter().map(|(alias, table)| format!("{alias}={table}")).collect();
        (!pairs.is_empty()).then(|| pairs.join(","))
    }
}

fn is_name(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=LONGEST_NAME).contains(&text.len()) && text.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nonsense_is_passed_over() {
        let mut written = Generations::default();
        assert_eq!(written.header(), None);
        written.insert("pricing-offers", "pricing-offers-2-1");
        written.insert("pricing-history", "pricing-history-1-1");
        let header = written.header().unwrap();
        assert_eq!(header, "pricing-history=pricing-history-1-1,pricing-offers=pricing-offers-2-1");
        assert_eq!(Generations::of([&*header]), written);
        assert_eq!(
            Generations::of(["a", "=b", "c=", "d=e f", &format!("g={}", "h".repeat(256))]),
            Generations::default()
        );
        let many: Vec<String> = (0..100).map(|it| format!("a{it}=t")).collect();
        assert_eq!(Generations::of([&*many.join(",")]).0.len(), MOST_GENERATIONS);
    }

    #[test]
    fn what_is_known_stays_or_is_replaced() {
        let mut known = Generations::of(["a=1"]);
        known.extend(&Generations::of(["a=2, b=1"]));
        assert_eq!(known, Generations::of(["a=1,b=1"]));
        known.replace(&Generations::of(["a=2"]));
        assert_eq!(known, Generations::of(["a=2,b=1"]));
    }
}
