//! The catalogue micrograph.
