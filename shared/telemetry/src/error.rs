//! Errors as one line of a log.

use std::error::Error;

/// How many causes are written; a longer chain ends in `…`.
const MAX_CAUSES: usize = 16;

/// An error and its causes on one line, outermost first, joined by `: `.
///
/// A cause whose text its predecessor already ends with is left out, so that errors which repeat their source do
/// not show it twice. Log it once, where the error is handled.
///
/// ```
/// let cause = std::io::Error::other("connection reset");
/// assert_eq!(telemetry::error_chain(&cause), "connection reset");
/// ```
pub fn error_chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut last = line.clone();
    let mut source = error.source();
    let mut causes = 0;
    while let Some(cause) = source {
        if causes == MAX_CAUSES {
            line.push_str(": …");
            break;
        }
        let text = cause.to_string();
        if !text.is_empty() && !last.ends_with(&text) {
            line.push_str(": ");
            line.push_str(&text);
            last = text;
        }
        causes += 1;
        source = cause.source();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::error_chain;

    #[derive(Debug, thiserror::Error)]
    #[error("the write of {key} failed")]
    struct Write {
        key: &'static str,
        #[source]
        source: Throttled,
    }

    #[derive(Debug, thiserror::Error)]
    #[error("throttled")]
    struct Throttled;

    #[derive(Debug, thiserror::Error)]
    #[error("batch: {0}")]
    struct Repeats(#[source] Write);

    #[test]
    fn names_every_cause_once() {
        let error = Write { key: "p#1", source: Throttled };
        assert_eq!(error_chain(&error), "the write of p#1 failed: throttled");
        assert_eq!(error_chain(&Repeats(error)), "batch: the write of p#1 failed: throttled");
    }

    #[derive(Debug, thiserror::Error)]
    #[error("layer {0}")]
    struct Layer(usize, #[source] Option<Box<Layer>>);

    #[test]
    fn ends_a_chain_that_is_too_long() {
        let deep = (0..100).fold(Layer(0, None), |inner, n| Layer(n + 1, Some(Box::new(inner))));
        let line = error_chain(&deep);
        assert!(line.starts_with("layer 100: layer 99: "), "{line}");
        assert!(line.ends_with(": …"), "{line}");
        assert_eq!(line.matches("layer").count(), 17);
    }
}
