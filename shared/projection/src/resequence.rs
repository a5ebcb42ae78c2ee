//! Changes that have an order, folded although they come in any (a resequencer).
//!
//! An item says up to which sequence number its aggregate's changes are in it. A change that comes before its turn waits
//! beside the item, and is asked for again: the queue is the timer. Whoever writes looks afterwards whether something
//! waits whose turn it is now, and stops only after a look that shows nothing. A change that waits is written before the
//! item is looked at, and the item before what waits: so of two containers that each bring one half of what is missing,
//! one sees the other's write.
//!
//! - Changes whose turn it is are applied by one write, on the condition that the item is as it was read. What waited is
//!   removed afterwards; a crash in between leaves what the next look removes.
//! - A change that the fold refuses in its turn goes to the quarantine, and parks its item: those after it wait,
//!   acknowledged, until one that is edited is redriven. Other items go on.
//! - A change that still waits when its message comes again, and [`LIMIT`] after it came first, has the item go on from a
//!   snapshot of the source, where there is one; so has a repair at a parked item. Else it comes again, until its queue
//!   gives it up to the quarantine. It stays beside the item, and is applied once its turn comes.

use crate::decode;
use crate::fold::Projection;
use crate::join::{Join, Step};
use crate::key::Key;
use crate::snapshot::Snapshots;
use crate::store::{Head, Ordered, Outcome, StoreError, Waiting, Written};
use futures::{StreamExt, TryStreamExt};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How many numbers beyond the last change of an item one may be that waits at it. A change that is further off isn't
/// kept, it only comes again; so at most as many wait.
pub const AHEAD: u64 = 10_000;

/// How many changes one write applies at most.
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
    /// The item went on from a snapshot that has it.
    Stale,
    /// Another change has its number.
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
    /// A change that had waited, whose turn came, and why it is refused. Its message may be gone: it is to be put into
    /// the quarantine, then to be parked.
    pub refused: Option<(Waiting, String)>,
}

/// Brings changes into the item that they belong to.
#[derive(Clone, Copy)]
pub(crate) struct Resequencer<'a> {
    pub store: &'a dyn Ordered,
    pub table: &'a str,
    pub key: &'a Key,
    pub projection: &'a Projection,
    pub snapshots: Option<&'a dyn Snapshots>,
}

/// What is known of an item and its changes.
struct Line<'a> {
    head: Option<Head>,
    /// What was delivered and has no fate yet, by sequence number.
    delivered: BTreeMap<u64, Vec<Delivered<'a>>>,
    /// What the last look found waiting: the first of it.
    waiting: BTreeMap<u64, Waiting>,
    looked: bool,
    /// What was delivered and waits beside the item now.
    kept: BTreeSet<u64>,
    /// How many changes a write may apply: fewer where the store refused what came of more.
    most: usize,
    /// A change of which the store refuses what comes of it: its number, its digest, and why.
    too_large: Option<(u64, String, String)>,
    /// The change whose turn it is, where every content of it that came is refused.
    refusal: Option<Refusal>,
    turns: Vec<(usize, Turn)>,
    units: f64,
    resumed: usize,
}

struct Refusal {
    seq: u64,
    /// Why, by the digest of the content.
    reasons: BTreeMap<String, String>,
}

/// The changes whose turn it is, folded.
#[derive(Default)]
struct Run {
    next: Option<Head>,
    /// Their numbers and digests.
    used: Vec<(u64, String)>,
    refusal: Option<Refusal>,
}

impl Resequencer<'_> {
    /// Brings what was delivered into the item, or has it wait.
    pub async fn run(&self, delivered: Vec<Delivered<'_>>) -> Result<Told, StoreError> {
        let mut line = Line::new(delivered);
        line.head = self.store.head(self.table, self.key).await?;
        line.settle();
        let mut jumped = false;
        for _ in 0..ROUNDS {
            let run = self.next(&line);
            if !run.used.is_empty() {
                self.apply(&mut line, run).await?;
                continue;
            }
            if !line.looked {
                self.look(&mut line, false).await?;
                continue;
            }
            line.refusal = run.refusal;
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

    /// Folds the changes whose turn it is, as far as they are known.
    fn next(&self, line: &Line<'_>) -> Run {
        let mut run = Run::default();
        while run.used.len() < line.most {
            let seq = run.used.last().map_or(line.upto(), |(seq, _)| *seq) + 1;
            let view = run.next.as_ref().or(line.head.as_ref()).map(|head| &head.view);
            let mut reasons = BTreeMap::new();
            let mut next = None;
            for (hash, step) in self.candidates(line, seq) {
                let made = step.and_then(|step| {
                    let view = step.next(view).map_err(|error| error.to_string())?;
                    Ok(Head { version: step.version, hash: step.hash, view })
                });
                let refused = line.too_large.as_ref().filter(|it| it.0 == seq && it.1 == hash);
                match (made, refused) {
                    (Ok(_), Some((_, _, why))) => _ = reasons.insert(hash, why.clone()),
                    (Err(why), _) => _ = reasons.insert(hash, why),
                    (Ok(head), None) => {
                        next = Some(head);
                        break;
                    }
                }
            }
            let Some(head) = next else {
                run.refusal = (!reasons.is_empty()).then_some(Refusal { seq, reasons });
                break;
            };
            run.used.push((seq, head.hash.clone()));
            run.next = Some(head);
        }
        run
    }

    /// The contents that are known of a change: first the one that waits, which came before.
    fn candidates(&self, line: &Line<'_>, seq: u64) -> Vec<(String, Result<Step, String>)> {
        let delivered = line.delivered.get(&seq).into_iter().flatten().map(|it| &it.step);
        let mut steps: BTreeMap<&str, &Step> = delivered.map(|step| (step.hash.as_str(), step)).collect();
        let mut candidates = Vec::new();
        if let Some(waiting) = line.waiting.get(&seq) {
            let step = match steps.remove(waiting.hash.as_str()) {
                Some(step) => Ok(step.clone()),
                None => self.decode(waiting),
            };
            candidates.push((waiting.hash.clone(), step));
        }
        candidates.extend(steps.into_iter().map(|(hash, step)| (hash.to_owned(), Ok(step.clone()))));
        candidates
    }

    /// A change that waited, as a step again.
    fn decode(&self, waiting: &Waiting) -> Result<Step, String> {
        let header = decode::header(&waiting.event).map_err(|error| error.to_string())?;
        let joins = self.projection.fold(&header).map_err(|error| error.to_string())?;
        let of_item = |join| match join {
            Join::Step(step) if step.key == *self.key => Some(step),
            _ => None,
        };
        let step = joins.into_iter().flatten().find_map(of_item);
        step.ok_or_else(|| "this build doesn't fold it into the item at which it waits".to_owned())
    }

    async fn apply(&self, line: &mut Line<'_>, run: Run) -> Result<(), StoreError> {
        let Run { next: Some(next), used, .. } = run else { return Ok(()) };
        let before = line.head.as_ref().map(|head| head.version.seq);
        match self.store.advance(self.table, self.key, before, &next).await {
            Ok(written) => {
                line.units += written.units;
                let applied = written.outcomes.first() == Some(&Outcome::Applied);
                if applied {
                    line.take(&used);
                    line.head = Some(next);
                }
                self.look(line, !applied).await
            }
            Err(StoreError::Refused { .. }) if used.len() > 1 => {
                // One of them makes it too large; those before it don't.
                line.most = used.len() / 2;
                Ok(())
            }
            Err(StoreError::Refused { reason, .. }) => {
                line.too_large = used.into_iter().next().map(|(seq, hash)| (seq, hash, reason));
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Looks at what waits, then at the item, unless that was just written; removes what is in it.
    async fn look(&self, line: &mut Line<'_>, at_head: bool) -> Result<(), StoreError> {
        line.looked = true;
        loop {
            let waiting = self.store.waiting(self.table, self.key).await?;
            if at_head {
                line.head = self.store.head(self.table, self.key).await?;
            }
            let upto = line.upto();
            let (done, rest): (Vec<Waiting>, Vec<Waiting>) =
                waiting.into_iter().partition(|it| it.seq <= upto);
            if !done.is_empty() {
                let done: Vec<u64> = done.iter().map(|it| it.seq).collect();
                line.units += self.store.forget(self.table, self.key, &done).await?;
            }
            let there_may_be_more = rest.is_empty() && !done.is_empty();
            line.waiting = rest.into_iter().map(|it| (it.seq, it)).collect();
            if !there_may_be_more {
                line.settle();
                return Ok(());
            }
        }
    }

    /// Has those wait beside the item whose turn it isn't, and the one that is refused, so that others see what they
    /// wait for. Gives whether something was written: then the item is to be looked at again.
    async fn keep(&self, line: &mut Line<'_>) -> Result<bool, StoreError> {
        let refused = line.refusal.as_ref().map(|refusal| refusal.seq);
        let furthest = line.upto().saturating_add(AHEAD);
        let mut keep: Vec<Waiting> = Vec::new();
        let mut forked: Vec<usize> = Vec::new();
        for (seq, all) in &line.delivered {
            let Some(first) = all.first() else { continue };
            let parked = refused == Some(*seq);
            let known = line.waiting.get(seq);
            // Of the contents that are refused, the first stays; the others may be edits of it.
            let stays = known.map_or(first.step.hash.as_str(), |it| it.hash.as_str());
            if !parked {
                let others = all.iter().filter(|it| it.step.hash != stays);
                forked.extend(others.map(|it| it.message));
            }
            let is_kept = match known {
                Some(it) => it.parked || !parked,
                None => line.kept.contains(seq),
            };
            if let Some(it) = all.iter().find(|it| it.step.hash == stays)
                && *seq <= furthest
                && !is_kept
            {
                let (hash, event) = (it.step.hash.clone(), it.event.to_owned());
                keep.push(Waiting { seq: *seq, hash, event, parked });
            }
        }
        line.tell(&forked, &Turn::Forked);
        line.kept.extend(line.waiting.keys());
        let writes: Vec<_> = keep.iter().map(|it| self.wait(it)).collect();
        let written: Vec<_> = futures::stream::iter(writes).buffered(CONCURRENT).try_collect().await?;
        for (seq, written) in written {
            let messages = || line.delivered.get(&seq).into_iter().flatten().map(|it| it.message).collect();
            match written {
                Ok(written) => {
                    line.units += written.units;
                    line.kept.insert(seq);
                    if written.outcomes.first() == Some(&Outcome::Forked) && refused != Some(seq) {
                        let messages: Vec<usize> = messages();
                        line.tell(&messages, &Turn::Forked);
                    }
                }
                Err(reason) => {
                    let messages: Vec<usize> = messages();
                    line.tell(&messages, &Turn::Refused(reason));
                }
            }
        }
        Ok(!keep.is_empty())
    }

    /// Writes one that waits; gives its number, and what came of it or why it can't be kept.
    async fn wait(&self, waiting: &Waiting) -> Result<(u64, Result<Written, String>), StoreError> {
        match self.store.wait(self.table, self.key, waiting).await {
            Ok(written) => Ok((waiting.seq, Ok(written))),
            Err(StoreError::Refused { reason, .. }) => Ok((waiting.seq, Err(reason))),
            Err(error) => Err(error),
        }
    }

    /// Has the item go on from a snapshot of the source, where changes don't come. Gives whether it did, or another was
    /// there first.
    async fn jump(&self, line: &mut Line<'_>) -> Result<bool, StoreError> {
        let parked = line.refusal.is_some();
        let wants = |it: &&Delivered<'_>| if parked { it.repair } else { it.overdue };
        let Some(late) = line.delivered.values().flatten().find(wants) else { return Ok(false) };
        let (domain, subject) = (late.step.domain, late.step.subject.clone());
        let (Some(pulled), Some(snapshots)) = (self.projection.pulled(domain), self.snapshots) else {
            return Ok(false);
        };
        let (table, key) = (self.table, self.key);
        let snapshot = match snapshots.pull(domain, pulled.aggregate, &subject).await {
            Ok(Some(snapshot)) if snapshot.version.seq > line.upto() => snapshot,
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
        let before = line.head.as_ref().map(|head| head.version.seq);
        let next = Head { version: snapshot.version, hash: String::new(), view };
        let written = match self.store.advance(table, key, before, &next).await {
            Err(StoreError::Refused { reason, .. }) => {
                tracing::warn!(reason, table, "a snapshot is of no use; the changes go on waiting");
                return Ok(false);
            }
            written => written?,
        };
        line.units += written.units;
        let applied = written.outcomes.first() == Some(&Outcome::Applied);
        if applied {
            let (from, to) = (before.unwrap_or(0), next.version.seq);
            tracing::warn!(table, %key, from, to, "changes never came; the item goes on from its source's state");
            line.head = Some(next);
            line.overtaken();
        }
        self.look(line, !applied).await?;
        Ok(true)
    }
}

impl<'a> Line<'a> {
    fn new(all: Vec<Delivered<'a>>) -> Self {
        let mut delivered: BTreeMap<u64, Vec<Delivered<'a>>> = BTreeMap::new();
        for it in all {
            delivered.entry(it.step.version.seq).or_default().push(it);
        }
        Self {
            head: None,
            delivered,
            waiting: BTreeMap::new(),
            looked: false,
            kept: BTreeSet::new(),
            most: RUN,
            too_large: None,
            refusal: None,
            turns: Vec::new(),
            units: 0.0,
            resumed: 0,
        }
    }

    /// The sequence number of the last change in the item.
    fn upto(&self) -> u64 {
        self.head.as_ref().map_or(0, |head| head.version.seq)
    }

    /// What is in the item already came before, or is another change of the same number.
    fn settle(&mut self) {
        let (upto, hash) =
            (self.upto(), self.head.as_ref().map(|head| head.hash.clone()).unwrap_or_default());
        let later = self.delivered.split_off(&(upto + 1));
        for it in std::mem::replace(&mut self.delivered, later).into_values().flatten() {
            let forked = it.step.version.seq == upto && !hash.is_empty() && it.step.hash != hash;
            self.turns.push((it.message, if forked { Turn::Forked } else { Turn::Duplicate }));
        }
    }

    /// What the item went on from has these.
    fn overtaken(&mut self) {
        let later = self.delivered.split_off(&(self.upto() + 1));
        let overtaken = std::mem::replace(&mut self.delivered, later).into_values().flatten();
        self.turns.extend(overtaken.map(|it| (it.message, Turn::Stale)));
    }

    /// These changes, by number and digest, are in the item now.
    fn take(&mut self, used: &[(u64, String)]) {
        for (seq, hash) in used {
            let mut first = true;
            for it in self.delivered.remove(seq).unwrap_or_default() {
                let turn = match (it.step.hash == *hash, first) {
                    (true, true) => Turn::Applied,
                    (true, false) => Turn::Duplicate,
                    (false, _) => Turn::Forked,
                };
                first &= turn != Turn::Applied;
                self.turns.push((it.message, turn));
            }
            self.resumed += usize::from(first);
        }
    }

    fn tell(&mut self, messages: &[usize], turn: &Turn) {
        for all in self.delivered.values_mut() {
            all.retain(|it| !messages.contains(&it.message));
        }
        self.delivered.retain(|_, all| !all.is_empty());
        self.turns.extend(messages.iter().map(|message| (*message, turn.clone())));
    }

    fn told(mut self) -> Told {
        let turn = |it: &Delivered<'_>| {
            let seq = it.step.version.seq;
            match &self.refusal {
                Some(refusal) if refusal.seq == seq => {
                    Turn::Refused(refusal.reasons.get(&it.step.hash).cloned().unwrap_or_default())
                }
                Some(_) if self.kept.contains(&seq) => Turn::Behind,
                _ => Turn::Early,
            }
        };
        let rest: Vec<(usize, Turn)> =
            self.delivered.values().flatten().map(|it| (it.message, turn(it))).collect();
        let refused = self.refusal.as_ref().and_then(|refusal| {
            let waiting = self.waiting.get(&refusal.seq).filter(|it| !it.parked)?;
            let mut here = self.delivered.get(&refusal.seq).into_iter().flatten();
            let is_here = here.any(|it| it.step.hash == waiting.hash);
            (!is_here)
                .then(|| (waiting.clone(), refusal.reasons.get(&waiting.hash).cloned().unwrap_or_default()))
        });
        self.turns.extend(rest);
        let Self { turns, units, head, resumed, .. } = self;
        Told { turns, units, head, resumed, refused }
    }
}
