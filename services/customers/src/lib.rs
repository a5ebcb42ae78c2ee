//! The customers micrograph.
