//! The orders micrograph.
