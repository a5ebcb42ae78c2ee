//! The inventory micrograph.
