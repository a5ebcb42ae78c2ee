//! How long an answer may be cached: the least that any of its parts allows.
//!
//! The rules are those of Apollo's cache control: the lowest `max-age` and `s-maxage` win, `private` beats
//! `public`, a part that says nothing can't be cached, and neither can errors nor mutations.

use std::fmt;

use http::{HeaderMap, header};

/// What one answer, or several merged, allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CachePolicy {
    /// Seconds for which it may be kept; 0 is not at all.
    max_age: u64,
    /// Seconds for which a shared cache may keep it, where that differs from `max_age`.
    shared_max_age: u64,
    /// Only the client itself may keep it.
    private: bool,
}

impl CachePolicy {
    /// Not to be kept by anyone.
    pub const NO_STORE: Self = Self { max_age: 0, shared_max_age: 0, private: false };

    /// To be kept for ever by everyone: what an answer without any part allows, and what merging starts from.
    pub const UNLIMITED: Self = Self { max_age: u64::MAX, shared_max_age: u64::MAX, private: false };

    /// To be kept for `max_age` seconds.
    pub fn new(max_age: u64, private: bool) -> Self {
        Self { max_age, shared_max_age: if private { 0 } else { max_age }, private }.normal()
    }

    /// What an answer's headers allow. `Age` counts as time gone by.
    pub fn from_headers(headers: &HeaderMap) -> Self {
        let mut max_age = None;
        let mut shared = None;
        let mut private = false;
        for value in headers.get_all(header::CACHE_CONTROL) {
            // A header that can't be read allows nothing.
            let Ok(value) = value.to_str() else { return Self::NO_STORE };
            for directive in value.split(',') {
                let (name, argument) = directive.split_once('=').unwrap_or((directive, ""));
                let seconds = argument.trim().trim_matches('"').parse::<u64>().ok();
                let lower = |known: Option<u64>| Some(known.unwrap_or(u64::MAX).min(seconds.unwrap_or(0)));
                match name.trim().to_ascii_lowercase().as_str() {
                    "no-store" | "no-cache" => return Self::NO_STORE,
                    "private" => private = true,
                    "max-age" => max_age = lower(max_age),
                    "s-maxage" => shared = lower(shared),
                    _ => {}
                }
            }
        }
        let age = headers
            .get(header::AGE)
            .and_then(|age| age.to_str().ok())
            .and_then(|age| age.trim().parse::<u64>().ok())
            .unwrap_or(0);
        let own = max_age.unwrap_or(0);
        Self {
            max_age: own.saturating_sub(age),
            shared_max_age: shared.unwrap_or(own).saturating_sub(age),
            private,
        }
        .normal()
    }

    /// What both allow.
    #[must_use]
    pub fn merge(self, other: Self) -> Self {
        Self {
            max_age: self.max_age.min(other.max_age),
            shared_max_age: self.shared_max_age.min(other.shared_max_age),
            private: self.private || other.private,
        }
        .normal()
    }

    /// Whether anyone may keep it.
    pub fn is_cacheable(&self) -> bool {
        self.max_age > 0 || self.shared_max_age > 0
    }

    /// One form for each meaning: what nobody may keep is not private either, and what is private has no time
    /// for shared caches.
    fn normal(self) -> Self {
        let shared_max_age = if self.private { 0 } else { self.shared_max_age };
        if self.max_age == 0 && shared_max_age == 0 {
            return Self::NO_STORE;
        }
        Self { shared_max_age, ..self }
    }
}

/// The `Cache-Control` header's value.
impl fmt::Display for CachePolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // RFC 9111, section 1.2.2: the greatest that a cache must understand.
        const LONGEST: u64 = 1 << 31;
        if !self.is_cacheable() {
            return f.write_str("no-store");
        }
        write!(f, "max-age={}", self.max_age.min(LONGEST))?;
        if self.private {
            return f.write_str(", private");
        }
        if self.shared_max_age != self.max_age {
            write!(f, ", s-maxage={}", self.shared_max_age.min(LONGEST))?;
        }
        f.write_str(", public")
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn parsed(value: &str) -> CachePolicy {
        let mut headers = HeaderMap::new();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_str(value).unwrap());
        CachePolicy::from_headers(&headers)
    }

    #[test]
    fn headers_are_read() {
        assert_eq!(CachePolicy::from_headers(&HeaderMap::new()), CachePolicy::NO_STORE);
        assert_eq!(parsed("max-age=60, public"), CachePolicy::new(60, false));
        assert_eq!(parsed("Private, Max-Age=60"), CachePolicy::new(60, true));
        assert_eq!(parsed("public"), CachePolicy::NO_STORE);
        assert_eq!(parsed("max-age=60, no-store"), CachePolicy::NO_STORE);
        assert_eq!(parsed("max-age=often"), CachePolicy::NO_STORE);
        assert_eq!(parsed("max-age=9, s-maxage=60").to_string(), "max-age=9, s-maxage=60, public");
        let mut headers = HeaderMap::new();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("max-age=60"));
        headers.insert(header::AGE, HeaderValue::from_static("20"));
        assert_eq!(CachePolicy::from_headers(&headers), CachePolicy::new(40, false));
    }

    fn any_policy() -> impl Strategy<Value = CachePolicy> {
        (0_u64..5, 0_u64..5, any::<bool>()).prop_map(|(max_age, shared_max_age, private)| {
            CachePolicy { max_age, shared_max_age, private }.normal()
        })
    }

    proptest! {
        #[test]
        fn merging_is_a_lower_bound(a in any_policy(), b in any_policy(), c in any_policy()) {
            prop_assert_eq!(a.merge(b), b.merge(a));
            prop_assert_eq!(a.merge(b).merge(c), a.merge(b.merge(c)));
            prop_assert_eq!(a.merge(a), a);
            prop_assert_eq!(a.merge(CachePolicy::UNLIMITED), a);
            prop_assert_eq!(a.merge(CachePolicy::NO_STORE), CachePolicy::NO_STORE);
            let merged = a.merge(b);
            for part in [a, b] {
                prop_assert!(merged.max_age <= part.max_age && merged.shared_max_age <= part.shared_max_age);
                prop_assert!(!merged.is_cacheable() || merged.private || !part.private);
            }
        }

        #[test]
        fn what_is_written_is_read_alike(policy in any_policy()) {
            prop_assert_eq!(parsed(&policy.to_string()), policy);
        }
    }
}
