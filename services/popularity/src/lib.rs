//! The popularity micrograph.
