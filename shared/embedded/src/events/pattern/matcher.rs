//! What one value of an event must be.

use std::net::IpAddr;

use serde_json::Value;

/// A condition on a string, a number, a boolean or null.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Matcher {
    Null,
    Boolean(bool),
    Number(f64),
    Text(TextMatcher),
    Range { above: Option<Bound>, below: Option<Bound> },
    Exists(bool),
    Cidr { network: u128, mask: u128, v4: bool },
    AnythingBut(Vec<Matcher>),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum TextMatcher {
    Is(String),
    Prefix(String),
    Suffix(String),
    /// The operand in lower case, as for the two that follow.
    IsIgnoringCase(String),
    PrefixIgnoringCase(String),
    SuffixIgnoringCase(String),
    /// The parts between the stars; one part where there is no star.
    Wildcard(Vec<String>),
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Bound {
    pub(super) at: f64,
    pub(super) included: bool,
}

impl Matcher {
    /// `leaf` is neither an object nor an array.
    pub(super) fn matches(&self, leaf: &Value) -> bool {
        match (self, leaf) {
            (Self::Null, Value::Null) => true,
            (Self::Boolean(wanted), Value::Bool(is)) => wanted == is,
            (Self::Number(wanted), Value::Number(is)) => is.as_f64() == Some(*wanted),
            (Self::Text(wanted), Value::String(is)) => wanted.matches(is),
            (Self::Range { above, below }, Value::Number(is)) => is.as_f64().is_some_and(|is| {
                above.is_none_or(|bound| is > bound.at || (bound.included && is >= bound.at))
                    && below.is_none_or(|bound| is < bound.at || (bound.included && is <= bound.at))
            }),
            (Self::Cidr { network, mask, v4 }, Value::String(is)) => is.parse().is_ok_and(|address| {
                let (bits, is_v4) = address_bits(address);
                is_v4 == *v4 && bits & mask == *network
            }),
            (Self::AnythingBut(excluded), leaf) => !excluded.iter().any(|matcher| matcher.matches(leaf)),
            _ => false,
        }
    }
}

pub(super) fn address_bits(address: IpAddr) -> (u128, bool) {
    match address {
        IpAddr::V4(address) => (u128::from(address.to_bits()), true),
        IpAddr::V6(address) => (address.to_bits(), false),
    }
}

impl TextMatcher {
    fn matches(&self, is: &str) -> bool {
        match self {
            Self::Is(wanted) => is == wanted,
            Self::Prefix(wanted) => is.starts_with(wanted.as_str()),
            Self::Suffix(wanted) => is.ends_with(wanted.as_str()),
            Self::IsIgnoringCase(wanted) => is.to_lowercase() == *wanted,
            Self::PrefixIgnoringCase(wanted) => is.to_lowercase().starts_with(wanted.as_str()),
            Self::SuffixIgnoringCase(wanted) => is.to_lowercase().ends_with(wanted.as_str()),
            Self::Wildcard(parts) => match_wildcard(parts, is),
        }
    }
}

/// Takes each inner part at its first place, which leaves the most room for the next.
fn match_wildcard(parts: &[String], is: &str) -> bool {
    let [first, inner @ .., last] = parts else {
        return parts.first().is_some_and(|only| only == is);
    };
    let Some(mut rest) = is.strip_prefix(first.as_str()) else { return false };
    for part in inner {
        let Some(at) = rest.find(part.as_str()) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last.as_str())
}
