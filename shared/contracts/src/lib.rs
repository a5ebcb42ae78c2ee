//! The published language: the envelope, and the typed events and commands of every domain.
