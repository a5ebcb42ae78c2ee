//! A quarantine that remembers what it is given.

use async_trait::async_trait;
use projection::quarantine::{Quarantine, Quarantined, Reason};
use projection::store::StoreError;
use std::sync::{Mutex, PoisonError};

/// A message that was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Who could not apply it.
    pub consumer: String,
    /// Why, as a word.
    pub reason: Reason,
    /// Why, as a sentence.
    pub detail: String,
    /// The body as it was delivered.
    pub raw: String,
}

/// A quarantine in memory.
#[derive(Debug, Default)]
pub struct Shelf(Mutex<Vec<Kept>>);

impl Shelf {
    /// What was kept, in order.
    pub fn kept(&self) -> Vec<Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The reasons, in order.
    pub fn reasons(&self) -> Vec<Reason> {
        self.kept().iter().map(|kept| kept.reason).collect()
    }
}

#[async_trait]
impl Quarantine for Shelf {
    async fn keep(&self, message: &Quarantined<'_>) -> Result<(), StoreError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Kept {
            consumer: message.consumer.to_owned(),
            reason: message.reason,
            detail: message.detail.clone(),
            raw: message.raw.to_owned(),
        });
        Ok(())
    }
}
