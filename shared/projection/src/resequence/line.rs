//! What one delivery knows of an item and its changes, and what becomes of them.

use super::run::Reasons;
use super::{AHEAD, Delivered, RUN, Told, Turn};
use crate::reach::Reach;
use crate::store::{Head, Waiting};
use contracts::Version;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// What is known of an item and its changes.
pub(super) struct Line<'a> {
    pub head: Option<Head>,
    /// What was delivered and has no fate yet, by version.
    pub delivered: BTreeMap<Version, Vec<Delivered<'a>>>,
    /// What the last look found waiting beside the item: the first of each epoch.
    pub waiting: BTreeMap<Version, Waiting>,
    /// What waits in the item.
    pub early: BTreeMap<Version, Waiting>,
    /// Whether more may wait in the item: not where the store refused it for its size.
    pub has_room: bool,
    pub looked: bool,
    /// What was delivered and waits beside the item now.
    pub kept: BTreeSet<Version>,
    /// How many changes a write may apply: fewer where the store refused what came of more.
    pub most: usize,
    /// A change of which the store refuses what comes of it: its version, its digest, and why.
    pub too_large: Option<(Version, String, String)>,
    /// The changes whose turn it is, where every content of them that came is refused.
    pub refused: BTreeMap<Version, Reasons>,
    pub units: f64,
    turns: Vec<(usize, Turn)>,
    resumed: usize,
}

impl Delivered<'_> {
    /// As it is kept beside its item.
    pub fn waiting(&self, parked: bool) -> Waiting {
        let (version, base, hash) = (self.step.version, self.step.base, self.step.hash.clone());
        Waiting { version, base, hash, event: self.event.to_owned(), parked }
    }
}

impl<'a> Line<'a> {
    pub fn new(all: Vec<Delivered<'a>>) -> Self {
        let mut delivered: BTreeMap<Version, Vec<Delivered<'a>>> = BTreeMap::new();
        for it in all {
            delivered.entry(it.step.version).or_default().push(it);
        }
        Self {
            head: None,
            delivered,
            waiting: BTreeMap::new(),
            early: BTreeMap::new(),
            has_room: true,
            looked: false,
            kept: BTreeSet::new(),
            most: RUN,
            too_large: None,
            refused: BTreeMap::new(),
            units: 0.0,
            turns: Vec::new(),
            resumed: 0,
        }
    }

    /// How far the item has come.
    pub fn reach(&self) -> Reach {
        self.head.as_ref().map_or_else(Reach::default, |head| head.reach.clone())
    }

    /// The last number that a change may have that waits.
    pub fn furthest(&self) -> u64 {
        self.reach().furthest().saturating_add(AHEAD)
    }

    /// A change of this content that was delivered, or waits in the item, as it is kept beside that.
    pub fn waiting_of(&self, version: Version, hash: &str) -> Option<Waiting> {
        let mut delivered = self.delivered.get(&version).into_iter().flatten();
        let delivered = delivered.find(|it| it.step.hash == hash).map(|it| it.waiting(false));
        delivered.or_else(|| self.early.get(&version).filter(|it| it.hash == hash).cloned())
    }

    /// What waits, in the item or beside it. What is beside it stands where both do: it may be parked, or another content
    /// that came in the place of one that was.
    pub fn known(&self) -> Cow<'_, BTreeMap<Version, Waiting>> {
        if self.early.is_empty() {
            return Cow::Borrowed(&self.waiting);
        }
        let mut known = self.early.clone();
        known.extend(self.waiting.iter().map(|(version, it)| (*version, it.clone())));
        Cow::Owned(known)
    }

    /// A change that waits, in the item or beside it.
    pub fn known_at(&self, version: &Version) -> Option<&Waiting> {
        self.waiting.get(version).or_else(|| self.early.get(version))
    }

    /// The item is this now, and these wait in it.
    pub fn is_now(&mut self, head: Option<Head>, early: BTreeMap<Version, Waiting>) {
        (self.head, self.early) = (head, early);
    }

    /// What is in the item already came before, or is another change of the same version. What a snapshot only is thought
    /// to have stays, for as long as it may still take its place.
    pub fn settle(&mut self) {
        let Some(Head { reach, hash, kept, .. }) = self.head.clone() else { return };
        self.settled(|it| {
            let version = it.step.version;
            if kept.is_some() && reach.is_before_snapshot(version) || !reach.contains(version) {
                return None;
            }
            let forked = version == reach.version() && !hash.is_empty() && it.step.hash != hash;
            Some(if forked { Turn::Forked } else { Turn::Duplicate })
        });
    }

    /// What is in the item's base is in the item for good.
    pub fn settle_in(&mut self, base: &Reach) {
        self.settled(|it| base.contains(it.step.version).then_some(Turn::Duplicate));
    }

    fn settled(&mut self, turn: impl Fn(&Delivered<'_>) -> Option<Turn>) {
        for (version, all) in std::mem::take(&mut self.delivered) {
            for it in all {
                match turn(&it) {
                    Some(turn) => self.turns.push((it.message, turn)),
                    None => self.delivered.entry(version).or_default().push(it),
                }
            }
        }
    }

    /// These changes, by version and digest, are in the item now.
    pub fn take(&mut self, used: &[(Version, String)]) {
        for (version, hash) in used {
            let mut first = true;
            for it in self.delivered.remove(version).unwrap_or_default() {
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

    pub fn tell(&mut self, messages: &[usize], turn: &Turn) {
        for all in self.delivered.values_mut() {
            all.retain(|it| !messages.contains(&it.message));
        }
        self.delivered.retain(|_, all| !all.is_empty());
        self.turns.extend(messages.iter().map(|message| (*message, turn.clone())));
    }

    /// Whether a change that is kept waits for one that is refused: by its own chain, or since that one's is to go on to
    /// where its epoch began.
    fn is_behind(&self, reach: &Reach, it: &Delivered<'_>) -> bool {
        let (version, base) = (it.step.version, it.step.base);
        let waits = |refused: &Version| {
            let begins = reach.end(version.epoch) == 0 && !reach.came_to(version.epoch, base);
            refused.epoch == version.epoch && refused.seq < version.seq
                || refused.epoch < version.epoch && refused.seq <= base && begins
        };
        self.kept.contains(&version) && self.refused.keys().any(waits)
    }

    pub fn told(mut self) -> Told {
        let reach = self.reach();
        let turn = |it: &Delivered<'_>| match self.refused.get(&it.step.version) {
            Some(reasons) => Turn::Refused(reasons.get(&it.step.hash).cloned().unwrap_or_default()),
            None if reach.contains(it.step.version) => Turn::Stale,
            None if self.is_behind(&reach, it) => Turn::Behind,
            None => Turn::Early,
        };
        let rest: Vec<(usize, Turn)> =
            self.delivered.values().flatten().map(|it| (it.message, turn(it))).collect();
        let gone = self.refused.iter().filter_map(|(version, reasons)| {
            let waiting = self.known_at(version).filter(|it| !it.parked)?;
            let mut here = self.delivered.get(version).into_iter().flatten();
            let is_here = here.any(|it| it.step.hash == waiting.hash);
            (!is_here).then(|| (waiting.clone(), reasons.get(&waiting.hash).cloned().unwrap_or_default()))
        });
        let refused: Vec<(Waiting, String)> = gone.collect();
        self.turns.extend(rest);
        let Self { turns, units, head, resumed, .. } = self;
        Told { turns, units, head, resumed, refused }
    }
}
