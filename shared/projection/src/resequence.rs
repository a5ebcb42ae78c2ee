//! Changes that have an order, folded although they come in any (a resequencer).
//!
//! An item says how far its aggregate's changes are in it: see [`reach`](crate::reach). A change that comes before its turn
//! waits, and is asked for again: the queue is the timer. It waits in the item itself, by the write that brings in the
//! changes whose turn it is, as long as there is room: see [`early`](crate::early). Every write of the item has the condition
//! that the item is as it was read, with all that waits in it: so nobody leaves out what another one has wait, and what waits
//! in an item is never one whose turn it is.
//!
//! - Beside the item, each written by itself, wait changes for which there is no room, or no item as yet, and those whose
//!   messages are acknowledged since one before them is in the quarantine. Whoever writes looks afterwards whether something
//!   waits there whose turn it is now, and stops only after a look that shows nothing. A change that waits there is written
//!   before the item is looked at, and the item before what waits: so of two containers that each bring one half of what is
//!   missing, one sees the other's write.
//! - Changes whose turn it is are applied by one write. What waited beside the item is removed afterwards; a crash in between
//!   leaves what the next look removes.
//! - A change of a later epoch may be followed by some of an earlier one, which the home before had accepted while it was
//!   cut off. In the order they come first. So from the first change of a later epoch on, the item as it was before (its
//!   base) and every change are kept beside it, each before it is in the item. One that comes late is folded in its place:
//!   from the base on, with all that is kept. A view is thus the fold of the changes that are known, whichever came first.
//! - What is kept is let go after [`KEPT`] changes, or once nothing of before can come any more; the base stays unread until
//!   another one takes its place. What comes later still is quarantined, an audit misses it, and a rebuild brings it in.
//! - A change that the fold refuses in its turn goes to the quarantine, and parks its item: those after it wait,
//!   acknowledged, until one that is edited is redriven. Other items go on, and so does the other chain of two.
//! - A change that still waits when its message comes again, and [`LIMIT`] after it came first, has the item go on from a
//!   snapshot of the source, where there is one; so has a repair at a parked item. Then too the item as it was is kept, and
//!   what comes: once nothing is missing, the fold of it takes the snapshot's place. Where there is no snapshot, the change
//!   comes again, until its queue gives it up to the quarantine. It stays beside the item, and is applied once its turn
//!   comes.

mod inside;
mod line;
mod run;

use crate::dynamodb::TOMBSTONE_HORIZON;
use crate::fold::Projection;
use crate::join::Step;
use crate::key::Key;
use crate::reach::{FIRST, LAST, Reach};
use crate::snapshot::Snapshots;
use crate::store::{Head, Kept, Ordered, Outcome, StoreError, Waiting, Written};
use contracts::Version;
use futures::{StreamExt, TryStreamExt};
use line::Line;
use run::Run;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

/// How many numbers beyond the last change of an item one may be that waits at it. A change that is further off isn't
/// kept, it only comes again; so at most as many wait.
pub const AHEAD: u64 = 10_000;

/// How many changes are kept beside an item at most after it came to a later epoch, or went on from a snapshot. They are
/// let go sooner once nothing of before can come any more, as a tombstone is.
pub const KEPT: u64 = 10_000;

/// How many changes one write applies at most; more where those that are kept are folded once more.
pub const RUN: usize = 200;

/// How often one delivery writes an item, or finds that another did, before it leaves the rest to the next.
pub const ROUNDS: u32 = 64;

/// How long after its message came first, and came again, a change has waited long enough for a snapshot. AWS brings a
/// message again when its visibility ends, which is later.
pub const LIMIT: Duration = Duration::from_secs(2);

/// How many changes are kept at once.
const CONCURRENT: usize = 16;

/// A change that was delivered.
#[derive(Debug)]
pub(crate) struct Delivered<'a> {
    pub step: Step,
    /// Its message.
    pub message: usize,
    /// The text of its envelope.
    pub event: &'a str,
    /// Whether it waits for longer than the limit.
    pub overdue: bool,
    /// Whether its item was found behind its source.
    pub repair: bool,
}

/// What became of a change that was delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It is in the item now.
    Applied,
    /// It was in the item already.
    Duplicate,
    /// The item went on from a snapshot that is thought to have it.
    Stale,
    /// Another change has its version.
    Forked,
    /// Its turn is not yet: it waits for one that hasn't come, and is to come again itself.
    Early,
    /// It waits for one that is in the quarantine: that one's redrive brings its turn.
    Behind,
    /// Its turn came, and the fold refuses it, or the store refuses what comes of it.
    Refused(String),
}

/// What became of an item's changes.
#[derive(Debug)]
pub(crate) struct Told {
    /// Each message's fate.
    pub turns: Vec<(usize, Turn)>,
    /// Write units.
    pub units: f64,
    /// The item as it was seen last.
    pub head: Option<Head>,
    /// How many changes that had waited are in the item now.
    pub resumed: usize,
    /// Changes that had waited, whose turn came, each with why it is refused. Its message may be gone: it is to be put
    /// into the quarantine, then to be parked.
    pub refused: Vec<(Waiting, String)>,
}

/// Brings changes into the item that they belong to.
#[derive(Clone, Copy)]
pub(crate) struct Resequencer<'a> {
    pub store: &'a dyn Ordered,
    pub table: &'a str,
    pub key: &'a Key,
    pub projection: &'a Projection,
    pub snapshots: Option<&'a dyn Snapshots>,
    /// The time in seconds since 1970.
    pub now: i64,
}

impl Resequencer<'_> {
    /// Brings what was delivered into the item, or has it wait.
    pub async fn run(&self, delivered: Vec<Delivered<'_>>) -> Result<Told, StoreError> {
        let mut line = Line::new(delivered);
        self.read(&mut line).await?;
        line.settle();
        let mut jumped = false;
        for _ in 0..ROUNDS {
            let run = self.next(&mut line).await?;
            if run.next.is_some() {
                self.apply(&mut line, run).await?;
                continue;
            }
            if !line.looked {
                self.look(&mut line, false).await?;
                continue;
            }
            line.refused = run.refused;
            if self.keep(&mut line).await? {
                self.look(&mut line, true).await?;
                continue;
            }
            if jumped || !self.jump(&mut line).await? {
                return Ok(line.told());
            }
            jumped = true;
        }
        let source = "there is more than one delivery may write".into();
        Err(StoreError::Transient { operation: "PutItem", table: self.table.to_owned(), source })
    }

    /// A change that is in the quarantine now has those after it wait for what becomes of it.
    pub async fn park(&self, waiting: &Waiting) -> Result<f64, StoreError> {
        let parked = Waiting { parked: true, ..waiting.clone() };
        Ok(self.store.wait(self.table, self.key, &parked).await?.units)
    }

    /// Folds the changes whose turn it is, as far as they are known: from the item on, or, where one of them comes before
    /// what is in it, from the base on.
    async fn next(&self, line: &mut Line<'_>) -> Result<Run, StoreError> {
        let run = self.forward(line, false);
        if !run.late {
            return Ok(run);
        }
        let base = self.store.base(self.table, self.key).await?;
        let parts = base.as_ref().map_or_else(|| vec![FIRST..=LAST], |base| base.reach.beyond());
        let mut kept = BTreeMap::new();
        for part in parts {
            kept.extend(self.all(part).await?);
        }
        if let Some(base) = &base {
            line.settle_in(&base.reach);
        }
        Ok(self.again(line, base.as_ref(), &kept).unwrap_or_else(|| self.forward(line, true)))
    }

    /// All changes beside the item within these versions.
    async fn all(&self, within: RangeInclusive<Version>) -> Result<BTreeMap<Version, Waiting>, StoreError> {
        let (mut from, until) = within.into_inner();
        let mut all = BTreeMap::new();
        while from <= until {
            let some = self.store.waiting(self.table, self.key, from..=until).await?;
            let Some(last) = some.last() else { break };
            from = last.version.next();
            all.extend(some.into_iter().map(|it| (it.version, it)));
        }
        Ok(all)
    }

    async fn apply(&self, line: &mut Line<'_>, run: Run) -> Result<(), StoreError> {
        let all = run.refused.is_empty() && run.used.len() < line.most;
        let Run { next: Some(mut next), base, used, unkept, .. } = run else { return Ok(()) };
        if next.kept.is_some() && !self.keep_used(line, &used[unkept..]).await? {
            return self.look(line, true).await;
        }
        let (early, packed) = Self::room(line, &next, all);
        self.leave(line, &next, &early).await?;
        next.early = packed;
        match self.store.advance(self.table, self.key, line.head.as_ref(), &next, base.as_ref()).await {
            Ok(written) => {
                line.units += written.units;
                let applied = written.outcomes.first() == Some(&Outcome::Applied);
                if applied {
                    line.take(&used);
                    line.is_now(Some(next), early);
                }
                self.look(line, !applied).await
            }
            Err(StoreError::Refused { .. }) if !next.early.is_empty() => {
                line.has_room = false;
                Ok(())
            }
            Err(StoreError::Refused { .. }) if used.len() > 1 => {
                // One of them makes it too large; those before it don't.
                line.most = used.len() / 2;
                Ok(())
            }
            Err(StoreError::Refused { reason, .. }) => {
                line.too_large = used.into_iter().next().map(|(version, hash)| (version, hash, reason));
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Keeps changes beside the item that are about to be in it. Gives whether they are kept now: else another content
    /// of one waits.
    async fn keep_used(&self, line: &mut Line<'_>, used: &[(Version, String)]) -> Result<bool, StoreError> {
        let is_beside = |version, hash: &str| line.waiting.get(version).is_some_and(|it| it.hash == hash);
        let unkept = used.iter().filter(|(version, hash)| !is_beside(version, hash));
        let keep: Vec<Waiting> =
            unkept.filter_map(|(version, hash)| line.waiting_of(*version, hash)).collect();
        let writes: Vec<_> = keep.iter().map(|it| self.store.wait(self.table, self.key, it)).collect();
        let written: Vec<Written> = futures::stream::iter(writes).buffered(CONCURRENT).try_collect().await?;
        line.units += written.iter().map(|it| it.units).sum::<f64>();
        line.waiting.extend(keep.into_iter().map(|it| (it.version, it)));
        Ok(written.iter().all(|it| it.outcomes.first() != Some(&Outcome::Forked)))
    }

    /// Looks at the item, unless that was just written, then at what waits; removes what is in it and is kept no longer.
    async fn look(&self, line: &mut Line<'_>, at_head: bool) -> Result<(), StoreError> {
        line.looked = true;
        if at_head {
            self.read(line).await?;
        }
        let (reach, keeps) = match &line.head {
            Some(head) => (head.reach.clone(), head.kept.is_some()),
            None => (Reach::default(), false),
        };
        let parts = if keeps { reach.beyond() } else { vec![FIRST..=LAST] };
        line.waiting.clear();
        for part in parts {
            let (mut from, until) = part.into_inner();
            while from <= until {
                let some = self.store.waiting(self.table, self.key, from..=until).await?;
                let Some(last) = some.last().map(|it| it.version) else { break };
                // Of those that wait, the first of each epoch are enough.
                from = if reach.contains(last) { last.next() } else { after(last.epoch) };
                let (done, rest): (Vec<Waiting>, Vec<Waiting>) =
                    some.into_iter().partition(|it| reach.contains(it.version));
                if !done.is_empty() && !keeps {
                    let done: Vec<Version> = done.iter().map(|it| it.version).collect();
                    line.units += self.store.forget(self.table, self.key, &done).await?;
                }
                line.waiting.extend(rest.into_iter().map(|it| (it.version, it)));
            }
        }
        line.settle();
        Ok(())
    }

    /// Has those wait whose turn it isn't, and those that are refused, so that others see what they wait
    /// for. Gives whether something was written beside the item, or another one wrote it: then it is to be looked at again.
    async fn keep(&self, line: &mut Line<'_>) -> Result<bool, StoreError> {
        if matches!(self.keep_in_item(line).await?, Some(Outcome::Stale(_))) {
            return Ok(true);
        }
        let furthest = line.furthest();
        let mut keep: Vec<Waiting> = Vec::new();
        let mut forked: Vec<usize> = Vec::new();
        for (version, all) in &line.delivered {
            let Some(first) = all.first() else { continue };
            let parked = line.refused.contains_key(version);
            let known = line.known_at(version);
            // Of the contents that are refused, the first stays; the others may be edits of it.
            let stays = known.map_or(first.step.hash.as_str(), |it| it.hash.as_str());
            if !parked {
                let others = all.iter().filter(|it| it.step.hash != stays);
                forked.extend(others.map(|it| it.message));
            }
            // Behind one that is refused, messages are acknowledged: for what waits in the item they must come again.
            let is_kept = match line.waiting.get(version) {
                Some(it) => it.parked || !parked,
                None => {
                    line.kept.contains(version) || line.refused.is_empty() && line.early.contains_key(version)
                }
            };
            if let Some(it) = all.iter().find(|it| it.step.hash == stays)
                && version.seq <= furthest
                && !is_kept
            {
                keep.push(it.waiting(parked));
            }
        }
        line.tell(&forked, &Turn::Forked);
        line.kept.extend(line.waiting.keys());
        let writes: Vec<_> = keep.iter().map(|it| self.wait(it)).collect();
        let written: Vec<_> = futures::stream::iter(writes).buffered(CONCURRENT).try_collect().await?;
        for (version, written) in written {
            let turn = match written {
                Ok(written) => {
                    line.units += written.units;
                    line.kept.insert(version);
                    let forked = written.outcomes.first() == Some(&Outcome::Forked);
                    (forked && !line.refused.contains_key(&version)).then_some(Turn::Forked)
                }
                Err(reason) => Some(Turn::Refused(reason)),
            };
            if let Some(turn) = turn {
                let messages: Vec<usize> =
                    line.delivered.get(&version).into_iter().flatten().map(|it| it.message).collect();
                line.tell(&messages, &turn);
            }
        }
        Ok(!keep.is_empty())
    }

    /// Writes one that waits; gives its version, and what came of it or why it can't be kept.
    async fn wait(&self, waiting: &Waiting) -> Result<(Version, Result<Written, String>), StoreError> {
        match self.store.wait(self.table, self.key, waiting).await {
            Ok(written) => Ok((waiting.version, Ok(written))),
            Err(StoreError::Refused { reason, .. }) => Ok((waiting.version, Err(reason))),
            Err(error) => Err(error),
        }
    }

    /// Has the item go on from a snapshot of the source, where changes don't come. Gives whether it did, or another was
    /// there first.
    async fn jump(&self, line: &mut Line<'_>) -> Result<bool, StoreError> {
        let last = line.reach().version();
        // What an earlier epoch lacks, no later state has.
        let parked = line.refused.keys().any(|version| *version > last);
        let wants =
            |it: &&Delivered<'_>| it.step.version > last && if parked { it.repair } else { it.overdue };
        let Some(late) = line.delivered.values().flatten().find(wants) else { return Ok(false) };
        let (domain, subject) = (late.step.domain, late.step.subject.clone());
        let (Some(pulled), Some(snapshots)) = (self.projection.pulled(domain), self.snapshots) else {
            return Ok(false);
        };
        let (table, key) = (self.table, self.key);
        let snapshot = match snapshots.pull(domain, pulled.aggregate, &subject).await {
            Ok(Some(snapshot)) if snapshot.version > last => snapshot,
            Ok(_) => return Ok(false),
            Err(error) => {
                let error = telemetry::error_chain(&error);
                tracing::warn!(error, table, "a snapshot can't be pulled for now; the changes go on waiting");
                return Ok(false);
            }
        };
        let view = match pulled.view(&snapshot.state) {
            Ok(view) => view,
            Err(error) => {
                tracing::warn!(%error, table, "a snapshot is of no use; the changes go on waiting");
                return Ok(false);
            }
        };
        let reach = Reach::of_snapshot(snapshot.version);
        let keeps = line.head.as_ref().and_then(|head| head.kept);
        let base = if keeps.is_some() { None } else { line.head.as_ref() };
        let kept = Some(keeps.unwrap_or_else(|| self.keeping(0)));
        let base = base.map(Head::bare);
        let next = Head { reach, hash: String::new(), view, kept, early: Vec::new() };
        self.leave(line, &next, &BTreeMap::new()).await?;
        let written = match self.store.advance(table, key, line.head.as_ref(), &next, base.as_ref()).await {
            Err(StoreError::Refused { reason, .. }) => {
                tracing::warn!(reason, table, "a snapshot is of no use; the changes go on waiting");
                return Ok(false);
            }
            written => written?,
        };
        line.units += written.units;
        let applied = written.outcomes.first() == Some(&Outcome::Applied);
        if applied {
            let to = next.version();
            tracing::warn!(table, %key, %last, %to, "changes don't come; the item goes on from its source's state");
            line.is_now(Some(next), BTreeMap::new());
        }
        self.look(line, !applied).await?;
        Ok(true)
    }

    /// Changes that are kept from now on.
    fn keeping(&self, changes: u64) -> Kept {
        Kept { changes, until: self.now + TOMBSTONE_HORIZON.as_secs() }
    }
}

/// The first place behind an epoch.
fn after(epoch: u16) -> Version {
    epoch.checked_add(1).map_or(Version { seq: LAST.seq + 1, ..LAST }, |epoch| Version { epoch, seq: 0 })
}
