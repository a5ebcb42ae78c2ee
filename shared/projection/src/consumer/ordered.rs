//! Changes that have an order: from messages to the resequencer, and back to their fates.

use super::{Consumer, Done, Fate, envelope, forked};
use crate::delivery::Message;
use crate::join::Step;
use crate::json;
use crate::key::Key;
use crate::quarantine::{Quarantined, Reason};
use crate::resequence::{self, Delivered, Resequencer, Told, Turn};
use crate::store::{Outcome, StoreError, Waiting};
use std::borrow::Cow;

impl Consumer {
    /// Brings the changes of an item into it, or has them wait for their turn.
    pub(super) async fn step(
        &self,
        messages: &[Message<'_>],
        key: &Key,
        steps: Vec<(Step, usize)>,
    ) -> Result<Done, StoreError> {
        // A change of an earlier epoch may be new though a later one's is known. One that is redriven may be in the item no
        // longer: another one that came before it had it refused.
        let (known, unknown): (Vec<_>, Vec<_>) = steps.into_iter().partition(|(step, message)| {
            let is_known = match self.known(key, None, step.version, &step.hash) {
                Some(Outcome::Stale(stored)) => stored.is_some_and(|it| it.epoch == step.version.epoch),
                Some(_) => true,
                None => false,
            };
            is_known && messages[*message].redrive.is_none()
        });
        let mut done = Done::of(known.iter().map(|(_, message)| (*message, Fate::Duplicate)).collect(), 0.0);
        if unknown.is_empty() {
            return Ok(done);
        }
        let resequencer = Resequencer {
            store: self.store.ordered(),
            table: &self.table,
            key,
            projection: &self.projection,
            snapshots: self.snapshots.as_deref(),
            now: (self.clock)().as_second(),
        };
        let events: Vec<Cow<'_, str>> =
            unknown.iter().map(|(_, message)| envelope(&messages[*message])).collect();
        let delivered = unknown.into_iter().zip(&events).map(|((step, message), event)| {
            let overdue = self.is_overdue(&messages[message]);
            Delivered { step, message, event, overdue, repair: messages[message].repair }
        });
        let Told { turns, units, head, resumed, refused } = resequencer.run(delivered.collect()).await?;
        done.fates.extend(turns.into_iter().map(|(message, turn)| (message, turn.into())));
        (done.units, done.resumed) = (units, resumed);
        for (waiting, why) in refused {
            if !self.keep_waiting(&waiting, why).await {
                // Nothing is learned: the messages are to bring it up again.
                done.fates.iter_mut().for_each(|(_, fate)| *fate = Fate::Failed);
                return Ok(done);
            }
            done.units += resequencer.park(&waiting).await?;
        }
        // It may have gone back: where another change came before those that were in it.
        if let Some(filter) = &self.filter {
            filter.forget(key, None);
        }
        if let Some(head) = head.filter(|head| head.reach.snapshot().is_none()) {
            self.learn(key, None, head.version(), &head.hash, Outcome::Applied);
        }
        Ok(done)
    }

    /// Whether a message that waits has come again, and waited for long enough.
    fn is_overdue(&self, message: &Message<'_>) -> bool {
        let now = (self.clock)().as_millisecond();
        let limit = i64::try_from(resequence::LIMIT.as_millis()).unwrap_or(i64::MAX);
        message.receives > 1 && message.first_received.is_none_or(|at| now.saturating_sub(at) >= limit)
    }

    /// Puts an event into the quarantine that had waited, and whose message may be gone.
    async fn keep_waiting(&self, waiting: &Waiting, why: String) -> bool {
        let consumer = self.projection.name();
        let (reason, detail) = (Reason::HandlerRejected, json::bounded(why));
        tracing::warn!(consumer, ?reason, detail, "an event that waited for its turn is quarantined");
        let (raw, envelope) = (&waiting.event, &waiting.event);
        let kept = Quarantined { consumer, reason, detail, raw, envelope, redrive: None };
        let kept = self.quarantine.keep(&kept).await.inspect_err(|error| {
            let error = telemetry::error_chain(error);
            tracing::error!(error, "the quarantine failed; the messages after it come again");
        });
        kept.is_ok()
    }
}

impl From<Turn> for Fate {
    fn from(turn: Turn) -> Self {
        match turn {
            Turn::Applied => Self::Applied,
            Turn::Duplicate => Self::Duplicate,
            Turn::Stale => Self::Stale,
            Turn::Forked => forked(),
            Turn::Early => Self::Early,
            Turn::Behind => Self::Behind,
            Turn::Refused(why) => Self::Quarantined(Reason::HandlerRejected, why),
        }
    }
}
