//! The pricing micrograph.
