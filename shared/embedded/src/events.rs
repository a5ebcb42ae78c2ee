//! EventBridge.

pub mod pattern;

pub use self::pattern::{Pattern, PatternError};
