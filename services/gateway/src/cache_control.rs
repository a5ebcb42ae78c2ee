//! How long an answer may be cached: the least that any of its parts allows.
//!
//! The rules are those of Apollo's cache control and of RFC 9111: the lowest `max-age` and `s-maxage` win, `private`
//! beats `public`, a part that says nothing can't be cached, and neither can errors nor mutations. How long an answer
//! may be served stale (RFC 5861) is the least too, and nothing where one part says nothing of it.

use std::fmt;

use http::{HeaderMap, header};

/// What one answer, or several merged, allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CachePolicy {
    /// Seconds for which it may be kept; 0 is not at all.
    max_age: u64,
    /// Seconds for which a shared cache may keep it, where that differs from `max_age`.
    shared_max_age: u64,
    /// Seconds after that in which it may be served once more while it is fetched anew.
    while_revalidate: u64,
    /// Seconds after that in which it may be served where it can't be fetched.
    if_error: u64,
    /// Only the client itself may keep it.
    private: bool,
}

impl CachePolicy {
    /// Not to be kept by anyone.
    pub const NO_STORE: Self =
        Self { max_age: 0, shared_max_age: 0, while_revalidate: 0, if_error: 0, private: false };

    /// To be kept for ever by everyone: what an answer without any part allows, and what merging starts from.
    pub const UNLIMITED: Self = Self {
        max_age: u64::MAX,
        shared_max_age: u64::MAX,
        while_revalidate: u64::MAX,
        if_error: u64::MAX,
        private: false,
    };

    /// To be kept for `max_age` seconds, and not a second longer.
    pub fn new(max_age: u64, private: bool) -> Self {
        Self { max_age, shared_max_age: max_age, private, ..Self::NO_STORE }.normal()
    }

    /// How long it may be served stale: seconds while it is fetched anew, and seconds where it can't be.
    #[must_use]
    pub fn stale(self, while_revalidate: u64, if_error: u64) -> Self {
        Self { while_revalidate, if_error, ..self }.normal()
    }

    /// What an answer's headers allow. `Age` counts as time gone by; an answer that varies by what nobody can name
    /// (`Vary: *`) is not to be kept.
    pub fn from_headers(headers: &HeaderMap) -> Self {
        let mut max_age = None;
        let mut shared = None;
        let mut while_revalidate = None;
        let mut if_error = None;
        let mut private = false;
        let mut revalidate = false;
        for value in headers.get_all(header::CACHE_CONTROL) {
            // A header that can't be read allows nothing.
            let Ok(value) = value.to_str() else { return Self::NO_STORE };
            for directive in value.split(',') {
                let (name, argument) = directive.split_once('=').unwrap_or((directive, ""));
                let seconds = argument.trim().trim_matches('"').parse::<u64>().ok();
                let lower = |known: &mut Option<u64>| {
                    *known = Some(known.unwrap_or(u64::MAX).min(seconds.unwrap_or(0)));
                };
                match name.trim().to_ascii_lowercase().as_str() {
                    "no-store" | "no-cache" => return Self::NO_STORE,
                    "private" => private = true,
                    "must-revalidate" | "proxy-revalidate" => revalidate = true,
                    "max-age" => lower(&mut max_age),
                    "s-maxage" => lower(&mut shared),
                    "stale-while-revalidate" => lower(&mut while_revalidate),
                    "stale-if-error" => lower(&mut if_error),
                    _ => {}
                }
            }
        }
        let varies = headers.get_all(header::VARY);
        if varies.iter().any(|names| names.as_bytes().contains(&b'*')) {
            return Self::NO_STORE;
        }
        let age = headers
            .get(header::AGE)
            .and_then(|age| age.to_str().ok())
            .and_then(|age| age.trim().parse::<u64>().ok())
            .unwrap_or(0);
        let own = max_age.unwrap_or(0);
        let stale = |seconds: Option<u64>| if revalidate { 0 } else { seconds.unwrap_or(0) };
        Self {
            max_age: own.saturating_sub(age),
            shared_max_age: shared.unwrap_or(own).saturating_sub(age),
            while_revalidate: stale(while_revalidate),
            if_error: stale(if_error),
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
            while_revalidate: self.while_revalidate.min(other.while_revalidate),
            if_error: self.if_error.min(other.if_error),
            private: self.private || other.private,
        }
        .normal()
    }

    /// Whether anyone may keep it.
    pub fn is_cacheable(&self) -> bool {
        self.max_age > 0 || self.shared_max_age > 0
    }

    /// The same for the client alone.
    #[must_use]
    pub fn kept_private(self) -> Self {
        Self { private: true, ..self }.normal()
    }

    /// Seconds for which a cache that serves everyone may keep it.
    pub fn shared_seconds(&self) -> u64 {
        self.shared_max_age
    }

    /// Seconds after its life in which it may be served while it is fetched anew.
    pub fn stale_while_revalidate(&self) -> u64 {
        self.while_revalidate
    }

    /// Seconds after its life in which it may be served where it can't be fetched.
    pub fn stale_if_error(&self) -> u64 {
        self.if_error
    }

    /// One form for each meaning: what nobody may keep is not private either, what is private has no time for shared
    /// caches, and what is kept by nobody is never stale.
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
            f.write_str(", private")?;
        } else {
            if self.shared_max_age != self.max_age {
                write!(f, ", s-maxage={}", self.shared_max_age.min(LONGEST))?;
            }
            f.write_str(", public")?;
        }
        if self.while_revalidate > 0 {
            write!(f, ", stale-while-revalidate={}", self.while_revalidate.min(LONGEST))?;
        }
        if self.if_error > 0 {
            write!(f, ", stale-if-error={}", self.if_error.min(LONGEST))?;
        }
        Ok(())
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
        headers.insert(header::AGE, HeaderValue::from_static("60"));
        assert_eq!(CachePolicy::from_headers(&headers), CachePolicy::NO_STORE);
        headers.remove(header::AGE);
        headers.insert(header::VARY, HeaderValue::from_static("accept, *"));
        assert_eq!(CachePolicy::from_headers(&headers), CachePolicy::NO_STORE);
    }

    #[test]
    fn stale_answers_are_served_as_long_as_all_parts_allow() {
        let long = parsed("max-age=60, stale-while-revalidate=600, stale-if-error=3600");
        assert_eq!(long, CachePolicy::new(60, false).stale(600, 3600));
        let short = parsed("max-age=90, stale-while-revalidate=30");
        assert_eq!(long.merge(short).to_string(), "max-age=60, public, stale-while-revalidate=30");
        assert_eq!(parsed("max-age=60, must-revalidate, stale-if-error=60"), CachePolicy::new(60, false));
        assert_eq!(parsed("stale-while-revalidate=60"), CachePolicy::NO_STORE);
    }

    fn any_policy() -> impl Strategy<Value = CachePolicy> {
        (0_u64..5, 0_u64..5, 0_u64..5, 0_u64..5, any::<bool>()).prop_map(
            |(max_age, shared_max_age, while_revalidate, if_error, private)| {
                CachePolicy { max_age, shared_max_age, while_revalidate, if_error, private }.normal()
            },
        )
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
                prop_assert!(merged.while_revalidate <= part.while_revalidate);
                prop_assert!(merged.if_error <= part.if_error);
                prop_assert!(!merged.is_cacheable() || merged.private || !part.private);
            }
        }

        #[test]
        fn what_is_written_is_read_alike(policy in any_policy()) {
            prop_assert_eq!(parsed(&policy.to_string()), policy);
        }
    }
}
