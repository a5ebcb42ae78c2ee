//! Logs made of the contracts' examples: several aggregates, several versions of each, with changed fields.
//!
//! A field is changed from one version to the next only where that leaves the keys alone that the fold names, since
//! a fold's keys must follow from what never changes of an aggregate; any other field differs between aggregates.

mod field;

use crate::log::{Log, origin};
use crate::model::target;
use contracts::envelope::event_id;
use contracts::{Header, Version, published};
use field::Change;
use projection::Projection;
use projection::fold::FoldError;
use proptest::collection::vec;
use proptest::strategy::Strategy;
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;

/// How many aggregates of one kind a log may tell of.
const AGGREGATES: usize = 3;

/// How many events a log may hold of one aggregate.
const WRITES: usize = 6;

/// How many writes a home may accept after another region took over.
const TAIL: usize = 2;

/// How many fields are changed at once.
const CHANGES: usize = 3;

/// Why no logs can be made for a projection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoLogs {
    /// The contracts don't hold an event that it folds.
    #[error(
        "{domain}.{name} is not in `contracts::published::all`: add it there, or give a log to `law::holds`"
    )]
    NoExample {
        /// The domain of the event.
        domain: &'static str,
        /// Its name.
        name: &'static str,
    },
    /// It can't fold an example.
    #[error("the example of {domain}.{name} can't be folded: {error}")]
    Unfoldable {
        /// The domain of the event.
        domain: &'static str,
        /// Its name.
        name: &'static str,
        /// Why not.
        error: FoldError,
    },
}

/// The events of one kind of aggregate.
struct Family {
    domain: &'static str,
    /// The example's subject, and others.
    subjects: Vec<Subject>,
    examples: Vec<Value>,
    /// What may differ between versions.
    free: Vec<Change>,
    /// What may differ between aggregates.
    fixed: Vec<Change>,
}

/// An identity: what becomes of the parts of the example's subject, which are separated by `/`.
type Subject = Vec<(String, String)>;

/// What one aggregate went through: the changes that set it apart, then for each write the example that it is made of and
/// its changes, then where its home moved, and how. All are taken modulo what there is.
type Life = (Vec<usize>, Vec<(usize, Vec<usize>)>, usize);

/// Logs for a projection.
pub fn logs(projection: &Projection) -> Result<impl Strategy<Value = Log> + use<>, NoLogs> {
    logs_of_all(std::slice::from_ref(projection))
}

/// Logs for several projections: what each of them can fold.
pub fn logs_of_all(projections: &[Projection]) -> Result<impl Strategy<Value = Log> + use<>, NoLogs> {
    let families = Arc::new(families(projections)?);
    let projections = projections.to_vec();
    let aggregates: usize = families.iter().map(|family| family.subjects.len()).sum();
    let any = 0..1_usize << 16;
    let changes = || vec(any.clone(), 0..=CHANGES);
    let life = (changes(), vec((any.clone(), changes()), 0..=WRITES), any.clone());
    Ok(vec(life, aggregates).prop_map(move |lives| tell(&projections, &families, &lives)))
}

fn families(projections: &[Projection]) -> Result<Vec<Family>, NoLogs> {
    let mut families: Vec<Family> = Vec::new();
    let consumed: BTreeSet<_> = projections.iter().flat_map(Projection::consumes).collect();
    for (domain, name) in consumed {
        let known = published::all();
        let contracts = known.iter().filter(|it| it.domain == domain && it.name == name);
        let mut examples: Vec<Value> = contracts.map(|it| (it.example)()).collect();
        // Of several major versions, those that it doesn't fold are no part of its logs.
        examples
            .retain(|example| !matches!(slots(projections, example), Err(FoldError::UnknownMajor { .. })));
        if examples.is_empty() {
            return Err(NoLogs::NoExample { domain, name });
        }
        for example in examples {
            slots(projections, &example).map_err(|error| NoLogs::Unfoldable { domain, name, error })?;
            let of_family =
                |it: &&mut Family| it.domain == domain && it.examples[0]["subject"] == example["subject"];
            match families.iter_mut().find(of_family) {
                Some(family) => family.examples.push(example),
                None => families.push(Family {
                    domain,
                    subjects: Vec::new(),
                    examples: vec![example],
                    free: Vec::new(),
                    fixed: Vec::new(),
                }),
            }
        }
    }
    let identities: BTreeSet<String> =
        families.iter().flat_map(|family| parts(&family.examples[0])).collect();
    for family in &mut families {
        family.subjects = family.identities(projections);
        family.find_changes(projections, &identities);
    }
    Ok(families)
}

fn parts(example: &Value) -> Vec<String> {
    example["subject"].as_str().unwrap_or_default().split('/').map(str::to_owned).collect()
}

impl Family {
    fn identities(&self, projections: &[Projection]) -> Vec<Subject> {
        let parts = parts(&self.examples[0]);
        let mut subjects = vec![Subject::new()];
        for number in 1..AGGREGATES {
            // One part at a time differs: another product, or the same product in another market.
            let part = &parts[(number - 1) % parts.len()];
            let subject = vec![(part.clone(), field::other_identity(part, number))];
            let folds = |example: &Value| slots(projections, &named(example, &subject)).is_ok();
            if self.examples.iter().all(folds) {
                subjects.push(subject);
            }
        }
        subjects
    }

    fn find_changes(&mut self, projections: &[Projection], identities: &BTreeSet<String>) {
        let own: BTreeSet<String> = parts(&self.examples[0]).into_iter().collect();
        let others: Vec<&Value> = self.examples.iter().map(|example| &example["data"]).collect();
        let mut changes: Vec<Change> = Vec::new();
        for example in &self.examples {
            for change in field::changes(&example["data"], &others, &own, identities) {
                if !changes.contains(&change) {
                    changes.push(change);
                }
            }
        }
        for change in changes {
            let told = |example: &Value| {
                let mut event = example.clone();
                if !change.apply(&mut event["data"]) {
                    return Ok(true);
                }
                Ok(slots(projections, &event)? == slots(projections, example)?)
            };
            let told: Result<Vec<bool>, FoldError> = self.examples.iter().map(told).collect();
            match told {
                Ok(same) if same.iter().all(|same| *same) => self.free.push(change),
                Ok(_) => self.fixed.push(change),
                Err(_) => {}
            }
        }
    }

    /// An event: the example with another identity, changed. Changes that the fold refuses together are left out.
    fn event(
        &self,
        projections: &[Projection],
        subject: &Subject,
        fixed: &[usize],
        (example, free): &(usize, Vec<usize>),
        (version, base): (Version, u64),
    ) -> Value {
        let mut event = named(&self.examples[example % self.examples.len()], subject);
        event["version"] = serde_json::json!({ "epoch": version.epoch, "seq": version.seq });
        if base > 0 {
            event["epochBase"] = base.into();
        }
        event["time"] = origin(version).time.to_string().into();
        event["id"] = event_id(self.domain, event["subject"].as_str().unwrap_or_default(), version, 0).into();
        let mut keys = slots(projections, &event);
        let pick = |all: &[Change], picked: &[usize]| -> Vec<Change> {
            picked.iter().filter(|_| !all.is_empty()).map(|it| all[it % all.len()].clone()).collect()
        };
        for change in pick(&self.fixed, fixed) {
            let mut changed = event.clone();
            if change.apply(&mut changed["data"]) && slots(projections, &changed).is_ok() {
                keys = slots(projections, &changed);
                event = changed;
            }
        }
        for change in pick(&self.free, free) {
            let mut changed = event.clone();
            if change.apply(&mut changed["data"]) && slots(projections, &changed) == keys {
                event = changed;
            }
        }
        event
    }
}

fn tell(projections: &[Projection], families: &[Family], lives: &[Life]) -> Log {
    let aggregates = families.iter().flat_map(|family| family.subjects.iter().map(move |it| (family, it)));
    let mut events = Vec::new();
    for ((family, subject), (fixed, writes, moved)) in aggregates.zip(lives) {
        for (write, stamp) in writes.iter().zip(stamps(*moved)) {
            events.push(family.event(projections, subject, fixed, write, stamp));
        }
    }
    events.into()
}

/// The versions of an aggregate's writes, each with the last number before its epoch: after some of them, or never,
/// another region is the home; after some more, another one again. The home before may have gone on, cut off from the
/// other; the last one may have heard of what either of the two before did.
fn stamps(mut moved: usize) -> Vec<(Version, u64)> {
    let mut pick = |below: usize| {
        let picked = moved % below;
        moved /= below;
        picked
    };
    let (first, tail) = (1 + pick(WRITES), pick(TAIL + 1));
    let (second, other_tail, heard_of_first) = (1 + pick(WRITES), pick(TAIL + 1), pick(2) == 1);
    let run = |epoch: u16, base: usize, count: usize| {
        let seqs = (base + 1..=base + count).map(|seq| u64::try_from(seq).unwrap_or(u64::MAX));
        let base = u64::try_from(base).unwrap_or(u64::MAX);
        seqs.map(move |seq| (Version { epoch, seq }, base)).collect::<Vec<_>>()
    };
    let last = if heard_of_first { first + tail } else { first + second };
    [run(0, 0, first + tail), run(1, first, second + other_tail), run(2, last, WRITES)].concat()
}

fn named(example: &Value, subject: &Subject) -> Value {
    let mut event = example.clone();
    for (part, other) in subject {
        field::rename(&mut event["data"], part, other);
    }
    let rename = |part: String| subject.iter().find(|it| it.0 == part).map_or(part, |it| it.1.clone());
    let renamed: Vec<String> = parts(example).into_iter().map(rename).collect();
    event["subject"] = renamed.join("/").into();
    event
}

/// What an event writes to, by the fold; nothing of what it writes.
fn slots(projections: &[Projection], event: &Value) -> Result<BTreeSet<String>, FoldError> {
    let text = event.to_string();
    let header: Header<'_> =
        serde_json::from_str(&text).map_err(|error| FoldError::SchemaViolation(error.to_string()))?;
    let mut slots = BTreeSet::new();
    for (number, projection) in projections.iter().enumerate() {
        let joins = projection.fold(&header)?.unwrap_or_default();
        slots.extend(joins.iter().map(|join| format!("{number} {}", target(join))));
    }
    Ok(slots)
}
