//! Logs, metrics and traces of a micrograph.
