//! What waits in the item itself.
//!
//! A change waits there only as long as its message comes again, so that it would come in even if it were lost there. Where an
//! item keeps its changes beside it, all that waits is there too, since all of it may have to be folded once more.

use super::Resequencer;
use super::line::Line;
use crate::decode;
use crate::early;
use crate::store::{Head, Outcome, StoreError, Waiting};
use contracts::Version;
use std::collections::BTreeMap;

/// What waits in an item, and as it is packed.
type Inside = (BTreeMap<Version, Waiting>, Vec<u8>);

impl Resequencer<'_> {
    /// Reads the item, and what waits in it.
    pub(super) async fn read(&self, line: &mut Line<'_>) -> Result<(), StoreError> {
        let head = self.store.head(self.table, self.key).await?;
        let early = head.as_ref().map_or_else(|| Ok(BTreeMap::new()), |head| self.unpack(head))?;
        line.is_now(head, early);
        Ok(())
    }

    fn unpack(&self, head: &Head) -> Result<BTreeMap<Version, Waiting>, StoreError> {
        if head.early.is_empty() {
            return Ok(BTreeMap::new());
        }
        let garbled = |why: String| StoreError::Refused {
            operation: "GetItem",
            table: self.table.to_owned(),
            reason: format!(
                "what waits in the item can't be read: {why}. Rebuild the projection, then redrive this"
            ),
        };
        let events = early::unpack(&head.early).map_err(|error| garbled(error.to_string()))?;
        let mut all = BTreeMap::new();
        for event in events {
            let header = decode::header(&event).map_err(|error| garbled(error.to_string()))?;
            let (version, base) = (header.version, header.epoch_base);
            // One that this build can't fold any more has no digest; its turn tells why.
            let hash = self.step(&header).map(|step| step.hash).unwrap_or_default();
            all.insert(version, Waiting { version, base, hash, event, parked: false });
        }
        Ok(all)
    }

    /// What waits in an item from now on: what does already, then, where it is asked for, what was delivered and comes too
    /// early; as many as there is room for.
    pub(super) fn room(line: &Line<'_>, next: &Head, more: bool) -> Inside {
        if next.kept.is_some() || !line.has_room {
            return Inside::default();
        }
        let is_open =
            |version: &Version| !next.reach.contains(*version) && !line.waiting.contains_key(version);
        let mut all: Vec<Waiting> = line.early.values().filter(|it| is_open(&it.version)).cloned().collect();
        let stay = all.len();
        if more {
            let is_new = |version: &Version| {
                is_open(version)
                    && version.seq <= line.furthest()
                    && !line.early.contains_key(version)
                    && !line.kept.contains(version)
            };
            let new = line.delivered.iter().filter(|(version, _)| is_new(version));
            all.extend(new.filter_map(|(_, same)| Some(same.first()?.waiting(false))));
        }
        if stay == line.early.len() && all.len() == stay {
            let packed = line.head.as_ref().map(|head| head.early.clone());
            return (line.early.clone(), packed.unwrap_or_default());
        }
        while !all.is_empty() {
            let some: BTreeMap<Version, Waiting> = all.iter().map(|it| (it.version, it.clone())).collect();
            if let Some(packed) = early::pack(some.values().map(|it| it.event.as_str())) {
                return (some, packed);
            }
            // What is new goes first.
            let fewer = all.len() * 3 / 4;
            all.truncate(if all.len() > stay { fewer.max(stay) } else { fewer });
        }
        Inside::default()
    }

    /// Has those wait beside the item that no longer wait in it, before they leave it.
    pub(super) async fn leave(
        &self,
        line: &mut Line<'_>,
        next: &Head,
        stay: &BTreeMap<Version, Waiting>,
    ) -> Result<(), StoreError> {
        let is_done = |version: &Version| next.kept.is_none() && next.reach.contains(*version);
        for (version, waiting) in &line.early {
            if !stay.contains_key(version) && !is_done(version) && !line.waiting.contains_key(version) {
                line.units += self.store.wait(self.table, self.key, waiting).await?.units;
            }
        }
        Ok(())
    }

    /// Has those wait in the item whose turn it isn't, as far as there is room. Gives what came of it, where something was
    /// written.
    pub(super) async fn keep_in_item(&self, line: &mut Line<'_>) -> Result<Option<Outcome>, StoreError> {
        let Some(head) = line.head.as_ref().filter(|_| line.refused.is_empty()) else { return Ok(None) };
        let (early, packed) = Self::room(line, head, true);
        if early.keys().all(|version| line.early.contains_key(version)) {
            return Ok(None);
        }
        let next = Head { early: packed, ..head.clone() };
        match self.store.advance(self.table, self.key, Some(head), &next, None).await {
            Ok(written) => {
                line.units += written.units;
                let outcome = written.outcomes.first().copied();
                if outcome == Some(Outcome::Applied) {
                    line.is_now(Some(next), early);
                }
                Ok(outcome)
            }
            Err(StoreError::Refused { .. }) => {
                line.has_room = false;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}
