//! Where lines go.

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

/// A place for whole lines. A line is written with one lock held, so that lines of several threads never mix.
#[derive(Clone, Debug)]
pub(crate) enum Sink {
    Stdout,
    Stderr,
    /// Kept in memory, for tests.
    #[cfg_attr(not(test), expect(dead_code, reason = "only tests read lines back"))]
    Memory(Arc<Mutex<Vec<u8>>>),
}

impl Sink {
    /// Writes `line`, which ends in a line feed. A closed or full pipe is ignored: telemetry never fails its caller.
    pub(crate) fn write(&self, line: &[u8]) {
        let _ = match self {
            Self::Stdout => std::io::stdout().lock().write_all(line),
            Self::Stderr => std::io::stderr().lock().write_all(line),
            Self::Memory(lines) => {
                lines.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(line);
                Ok(())
            }
        };
    }

    /// Sends what the operating system has not seen yet.
    pub(crate) fn flush(&self) {
        let _ = match self {
            Self::Stdout => std::io::stdout().lock().flush(),
            Self::Stderr => std::io::stderr().lock().flush(),
            Self::Memory(_) => Ok(()),
        };
    }

    #[cfg(test)]
    pub(crate) fn memory() -> Self {
        Self::Memory(Arc::default())
    }

    /// The lines written so far, each parsed as JSON.
    #[cfg(test)]
    pub(crate) fn lines(&self) -> Vec<serde_json::Value> {
        let Self::Memory(lines) = self else { return Vec::new() };
        let bytes = lines.lock().unwrap().clone();
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.is_empty() || text.ends_with('\n'), "a line was cut: {text:?}");
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}
