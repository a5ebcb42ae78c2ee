//! The fold of the changes whose turn it is.

use super::line::Line;
use super::{KEPT, RUN, Resequencer};
use crate::decode;
use crate::join::{Join, Step};
use crate::reach::Reach;
use crate::store::{Head, Kept, Waiting};
use contracts::{Header, Version};
use std::collections::{BTreeMap, BTreeSet};

/// Why a change comes too late for its place.
const TOO_LATE: &str = "it comes before changes that are in the item, and what was kept to fold them once more is let go: \
                        rebuild the projection, then redrive this";

/// Why the contents of a change are refused, by their digests.
pub(super) type Reasons = BTreeMap<String, String>;

/// The changes whose turn it is, folded.
#[derive(Default)]
pub(super) struct Run {
    /// The item with them; none where it stays as it is.
    pub next: Option<Head>,
    /// The item as it was before those that are kept beside it, where they begin in this run.
    pub base: Option<Head>,
    /// Those that were not in the item, with their digests.
    pub used: Vec<(Version, String)>,
    /// How many of them need not be kept.
    pub unkept: usize,
    /// Those that are refused.
    pub refused: BTreeMap<Version, Reasons>,
    /// Whether one of them comes before what is in the item.
    pub late: bool,
}

/// What a fold begins with.
#[derive(Clone, Copy)]
struct Start<'a> {
    head: Option<&'a Head>,
    /// What is known beside the item.
    beside: &'a BTreeMap<Version, Waiting>,
    /// Whether it is the base, and what is in the item is folded once more.
    is_base: bool,
    /// Whether what comes before what is in the item is left out.
    passes_late: bool,
}

impl Resequencer<'_> {
    /// Folds on from the item as it is, unless something comes before what is in it, which may be passed over.
    pub(super) fn forward(&self, line: &Line<'_>, passes_late: bool) -> Run {
        let head = line.head.as_ref();
        let was_jumped_over = |version: &Version| {
            head.is_some_and(|head| head.is_provisional() && head.reach.is_before_snapshot(*version))
        };
        if !passes_late && line.delivered.keys().any(was_jumped_over) {
            return Run { late: true, ..Run::default() };
        }
        let mut run = self.fold(line, Start { head, beside: &line.known(), is_base: false, passes_late });
        let began = run.used.len() - run.unkept;
        let kept = match head.and_then(|head| head.kept) {
            Some(kept) => Some(Kept { changes: kept.changes + began as u64, ..kept }),
            None => (began > 0).then(|| self.keeping(began as u64)),
        };
        if let Some(next) = &mut run.next {
            next.kept = kept.filter(|kept| kept.changes <= KEPT && self.now < kept.until);
        }
        run
    }

    /// Folds all that is kept, and what has come, from the base on. None where a snapshot stays in the place of that.
    pub(super) fn again(
        &self,
        line: &Line<'_>,
        base: Option<&Head>,
        kept: &BTreeMap<Version, Waiting>,
    ) -> Option<Run> {
        let head = line.head.as_ref()?;
        let start = Start { head: base, beside: kept, is_base: true, passes_late: false };
        let mut run = self.fold(line, start);
        let nothing = Reach::default();
        let reach = run.next.as_ref().or(base).map_or(&nothing, |it| &it.reach);
        let covers = reach.covers(&head.reach);
        if head.is_provisional() && !covers {
            // It lacks something that the snapshot is thought to have.
            return None;
        }
        if !covers && run.refused.is_empty() {
            let known = line.delivered.keys().chain(line.waiting.keys());
            let late = known.filter(|version| **version < head.version());
            let refused = late.map(|version| (*version, self.refusals(line, &line.waiting, *version)));
            return Some(Run { refused: refused.collect(), ..Run::default() });
        }
        if *reach == head.reach || run.used.is_empty() && !head.is_provisional() {
            run.next = None;
        }
        run.unkept = 0;
        if let Some(next) = &mut run.next {
            let more = run.used.len() as u64;
            next.kept = head.kept.map(|kept| Kept { changes: kept.changes + more, ..kept });
        }
        Some(run)
    }

    fn fold(&self, line: &Line<'_>, start: Start<'_>) -> Run {
        let Start { head, beside, is_base, passes_late } = start;
        let most = if is_base && line.most == RUN { usize::MAX } else { line.most };
        let in_item = line.reach();
        let keeps = head.is_some_and(|head| head.kept.is_some());
        let mut run = Run::default();
        let mut forked = is_base || keeps;
        let known: BTreeSet<Version> = beside.keys().chain(line.delivered.keys()).copied().collect();
        for version in known {
            let present = run.next.as_ref().or(head);
            let mut reach = present.map_or_else(Reach::default, |it| it.reach.clone());
            if reach.contains(version) || !reach.follows(version, base_of(line, beside, version)) {
                continue;
            }
            if version < reach.version() {
                if keeps && passes_late {
                    continue;
                }
                if keeps {
                    return Run { late: true, ..Run::default() };
                }
                run.refused.insert(version, self.refusals(line, beside, version));
                continue;
            }
            let is_new = !is_base || line.delivered.contains_key(&version) || !in_item.contains(version);
            if is_new && run.used.len() >= most {
                // What is in the item stays in it.
                if is_base {
                    continue;
                }
                break;
            }
            let (hash, view) = match self.made(line, beside, version, present) {
                Ok(made) => made,
                Err(reasons) => {
                    run.refused.insert(version, reasons);
                    continue;
                }
            };
            if !forked && version.epoch > reach.version().epoch {
                forked = true;
                run.base = present.map(Head::bare);
                run.unkept = run.used.len();
            }
            reach.take(version);
            if is_new {
                run.used.push((version, hash.clone()));
            }
            run.next = Some(Head { reach, hash, view, kept: None, early: Vec::new() });
        }
        if !forked {
            run.unkept = run.used.len();
        }
        run
    }

    /// The next view, by the first content of a change that isn't refused; else why each is.
    fn made(
        &self,
        line: &Line<'_>,
        beside: &BTreeMap<Version, Waiting>,
        version: Version,
        present: Option<&Head>,
    ) -> Result<(String, serde_dynamo::Item), Reasons> {
        let view = present.map(|head| &head.view);
        let mut reasons = Reasons::new();
        for (hash, step) in self.candidates(line, beside, version) {
            let made = step.and_then(|step| step.next(view).map_err(|error| error.to_string()));
            let refused = line.too_large.as_ref().filter(|it| it.0 == version && it.1 == hash);
            match (made, refused) {
                (Ok(_), Some((_, _, why))) => _ = reasons.insert(hash, why.clone()),
                (Err(why), _) => _ = reasons.insert(hash, why),
                (Ok(view), None) => return Ok((hash, view)),
            }
        }
        Err(reasons)
    }

    fn refusals(&self, line: &Line<'_>, beside: &BTreeMap<Version, Waiting>, version: Version) -> Reasons {
        let candidates = self.candidates(line, beside, version).into_iter();
        candidates.map(|(hash, _)| (hash, TOO_LATE.to_owned())).collect()
    }

    /// The contents that are known of a change: first the one that is kept, which came before.
    fn candidates(
        &self,
        line: &Line<'_>,
        beside: &BTreeMap<Version, Waiting>,
        version: Version,
    ) -> Vec<(String, Result<Step, String>)> {
        let delivered = line.delivered.get(&version).into_iter().flatten().map(|it| &it.step);
        let mut steps: BTreeMap<&str, &Step> = delivered.map(|step| (step.hash.as_str(), step)).collect();
        let mut candidates = Vec::new();
        if let Some(waiting) = beside.get(&version) {
            let step = match steps.remove(waiting.hash.as_str()) {
                Some(step) => Ok(step.clone()),
                None => self.decode(waiting),
            };
            candidates.push((waiting.hash.clone(), step));
        }
        candidates.extend(steps.into_iter().map(|(hash, step)| (hash.to_owned(), Ok(step.clone()))));
        candidates
    }

    /// A change that was kept, as a step again.
    fn decode(&self, waiting: &Waiting) -> Result<Step, String> {
        let header = decode::header(&waiting.event).map_err(|error| error.to_string())?;
        self.step(&header)
    }

    /// An event as a step of this item.
    pub(super) fn step(&self, header: &Header<'_>) -> Result<Step, String> {
        let joins = self.projection.fold(header).map_err(|error| error.to_string())?;
        let of_item = |join| match join {
            Join::Step(step) if step.key == *self.key => Some(step),
            _ => None,
        };
        let step = joins.into_iter().flatten().find_map(of_item);
        step.ok_or_else(|| "this build doesn't fold it into the item at which it waits".to_owned())
    }
}

/// The last number before a change's epoch.
fn base_of(line: &Line<'_>, beside: &BTreeMap<Version, Waiting>, version: Version) -> u64 {
    let delivered = line.delivered.get(&version).and_then(|all| all.first()).map(|it| it.step.base);
    delivered.or_else(|| beside.get(&version).map(|it| it.base)).unwrap_or(0)
}
