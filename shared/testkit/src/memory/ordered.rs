//! Items that are folded in the order of their changes.

use super::{MemoryStore, Record, fitting, units, valid_key};
use async_trait::async_trait;
use contracts::Version;
use projection::store::{Head, Ordered, Outcome, StoreError, Waiting, Written};
use projection::{Key, Step};
use std::ops::{Bound, RangeInclusive};

/// How many changes that are kept are given at once: few, so that there is more than one look in a test.
const LOOK: usize = 4;

#[async_trait]
impl Ordered for MemoryStore {
    async fn head(&self, table: &str, key: &Key) -> Result<Option<Head>, StoreError> {
        valid_key("GetItem", table, key)?;
        Ok(self.tables().get(table).and_then(|items| items.get(key)?.head.clone()))
    }

    async fn base(&self, table: &str, key: &Key) -> Result<Option<Head>, StoreError> {
        let base = Step::beside(key, Version::NONE);
        Ok(self.tables().get(table).and_then(|items| items.get(&base)?.base.clone()))
    }

    async fn advance(
        &self,
        table: &str,
        key: &Key,
        before: Option<&Head>,
        next: &Head,
        base: Option<&Head>,
    ) -> Result<Written, StoreError> {
        valid_key("PutItem", table, key)?;
        let mut tables = self.tables();
        let items = tables.entry(table.to_owned()).or_default();
        let record = self.item(items, key);
        let as_read = |head: &Head| (head.reach.clone(), head.early.clone());
        if record.head.as_ref().map(as_read) != before.map(as_read) {
            return Ok(Written { outcomes: vec![Outcome::Stale(None)], units: 1.0 });
        }
        let mut changed = record.clone();
        changed.head = Some(next.clone());
        let mut units = fitting("PutItem", table, key, &changed)?;
        if let Some(base) = base {
            let key = Step::beside(key, Version::NONE);
            let mut record = Record::default();
            record.base = Some(base.clone());
            units = 2.0 * (units + fitting("TransactWriteItems", table, &key, &record)?);
            items.insert(key, record);
        }
        items.insert(key.clone(), changed);
        Ok(Written { outcomes: vec![Outcome::Applied], units })
    }

    async fn waiting(
        &self,
        table: &str,
        key: &Key,
        within: RangeInclusive<Version>,
    ) -> Result<Vec<Waiting>, StoreError> {
        let tables = self.tables();
        let Some(items) = tables.get(table) else { return Ok(Vec::new()) };
        let (first, last) = (Step::beside(key, *within.start()), Step::beside(key, *within.end()));
        let waiting = items.range((Bound::Included(first), Bound::Included(last)));
        Ok(waiting.filter_map(|(_, record)| record.waits.clone()).take(LOOK).collect())
    }

    async fn wait(&self, table: &str, key: &Key, waiting: &Waiting) -> Result<Written, StoreError> {
        let key = Step::beside(key, waiting.version);
        valid_key("PutItem", table, &key)?;
        let mut tables = self.tables();
        let items = tables.entry(table.to_owned()).or_default();
        let record = self.item(items, &key);
        match &mut record.waits {
            Some(stored) if stored.hash != waiting.hash && (waiting.parked || !stored.parked) => {
                Ok(Written { outcomes: vec![Outcome::Forked], units: 1.0 })
            }
            Some(stored) if stored.hash == waiting.hash && (stored.parked || !waiting.parked) => {
                Ok(Written { outcomes: vec![Outcome::Duplicate], units: 1.0 })
            }
            stored => {
                *stored = Some(waiting.clone());
                let units = fitting("PutItem", table, &key, record)?;
                Ok(Written { outcomes: vec![Outcome::Applied], units })
            }
        }
    }

    async fn forget(&self, table: &str, key: &Key, versions: &[Version]) -> Result<f64, StoreError> {
        let mut tables = self.tables();
        let items = tables.entry(table.to_owned()).or_default();
        for version in versions {
            items.remove(&Step::beside(key, *version));
        }
        Ok(units(versions.len()))
    }
}
