//! Items that are folded in the order of their changes.

use super::{MemoryStore, fitting, units, valid_key};
use async_trait::async_trait;
use projection::store::{Head, Ordered, Outcome, StoreError, Waiting, Written};
use projection::{Key, Step};
use std::ops::Bound;

/// How many changes that wait are given at once: few, so that there is more than one look in a test.
const LOOK: usize = 4;

#[async_trait]
impl Ordered for MemoryStore {
    async fn head(&self, table: &str, key: &Key) -> Result<Option<Head>, StoreError> {
        valid_key("GetItem", table, key)?;
        Ok(self.tables().get(table).and_then(|items| items.get(key)?.head.clone()))
    }

    async fn advance(
        &self,
        table: &str,
        key: &Key,
        before: Option<u64>,
        next: &Head,
    ) -> Result<Written, StoreError> {
        valid_key("PutItem", table, key)?;
        let mut tables = self.tables();
        let items = tables.entry(table.to_owned()).or_default();
        let record = self.item(items, key);
        if record.head.as_ref().map(|head| head.version.seq) != before {
            return Ok(Written { outcomes: vec![Outcome::Stale(None)], units: 1.0 });
        }
        let mut changed = record.clone();
        changed.head = Some(next.clone());
        let units = fitting("PutItem", table, key, &changed)?;
        *record = changed;
        Ok(Written { outcomes: vec![Outcome::Applied], units })
    }

    async fn waiting(&self, table: &str, key: &Key) -> Result<Vec<Waiting>, StoreError> {
        let tables = self.tables();
        let Some(items) = tables.get(table) else { return Ok(Vec::new()) };
        let (first, last) = (Step::waiting(key, 0), Step::waiting(key, u64::MAX));
        let waiting = items.range((Bound::Included(first), Bound::Included(last)));
        Ok(waiting.filter_map(|(_, record)| record.waits.clone()).take(LOOK).collect())
    }

    async fn wait(&self, table: &str, key: &Key, waiting: &Waiting) -> Result<Written, StoreError> {
        let key = Step::waiting(key, waiting.seq);
        valid_key("PutItem", table, &key)?;
        let mut tables = self.tables();
        let items = tables.entry(table.to_owned()).or_default();
        let record = self.item(items, &key);
        match &mut record.waits {
            Some(stored) if stored.hash != waiting.hash => {
                Ok(Written { outcomes: vec![Outcome::Forked], units: 1.0 })
            }
            Some(stored) if stored.parked || !waiting.parked => {
                Ok(Written { outcomes: vec![Outcome::Duplicate], units: 1.0 })
            }
            stored => {
                *stored = Some(waiting.clone());
                let units = fitting("PutItem", table, &key, record)?;
                Ok(Written { outcomes: vec![Outcome::Applied], units })
            }
        }
    }

    async fn forget(&self, table: &str, key: &Key, seqs: &[u64]) -> Result<f64, StoreError> {
        let mut tables = self.tables();
        let items = tables.entry(table.to_owned()).or_default();
        for seq in seqs {
            items.remove(&Step::waiting(key, *seq));
        }
        Ok(units(seqs.len()))
    }
}
