//! Tests.
use axum as _;
