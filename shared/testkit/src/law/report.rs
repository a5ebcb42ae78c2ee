//! What broke the law, told so that it can be read: what the events were, what happened to them, which of them a
//! table lacks or counts twice, and what became of those.

use super::schedule::{Batch, Place, Trial, Wire};
use crate::content::{Content, Field, Fields};
use contracts::{Header, Version};
use projection::join::Join;
use projection::{Key, Projection};
use rust_decimal::Decimal;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};

/// Why a trial broke the law.
#[derive(Debug)]
pub(super) struct Broke {
    why: String,
    differs: Option<Box<Differs>>,
    history: History,
}

/// A table that holds something else than it should.
#[derive(Debug)]
struct Differs {
    place: Place,
    generation: usize,
    projection: Projection,
    is: Content,
    expected: Content,
}

/// What happened, in order.
#[derive(Debug, Default)]
pub(super) struct History {
    step: usize,
    happened: Vec<(usize, Happening)>,
    arrived: BTreeMap<(usize, usize), usize>,
    rest_from: Option<usize>,
}

#[derive(Debug)]
pub(super) enum Happening {
    Waited(i64),
    Scanned(Place, Vec<usize>),
    Subscribed(Place),
    Filled(Place),
    Swapped(Place),
    Invoked {
        batch: Batch,
        /// The events, and whether they are to come again.
        fates: Vec<(usize, bool)>,
        /// What went wrong.
        told: Vec<String>,
        crashed: bool,
    },
}

impl Broke {
    pub(super) fn plain(why: String) -> Self {
        Self { why, differs: None, history: History::default() }
    }

    pub(super) fn differs(
        why: &str,
        place: Place,
        generation: usize,
        projection: Projection,
        is: Content,
        expected: Content,
    ) -> Self {
        let differs = Differs { place, generation, projection, is, expected };
        Self { why: why.to_owned(), differs: Some(Box::new(differs)), history: History::default() }
    }

    /// What had happened.
    pub(super) fn after(mut self, history: History) -> Self {
        self.history = history;
        self
    }

    /// The whole story.
    pub(super) fn told(&self, trial: &Trial) -> String {
        let mut text = format!("{}\n", self.why);
        let mut missed = Vec::new();
        if let Some(differs) = &self.differs {
            let name = differs.projection.name();
            let _ = writeln!(text, "{} of `{name}`:", at(differs.place, differs.generation));
            text.push_str(&differs.is.difference(&differs.expected));
            for cause in differs.causes(trial) {
                let _ = writeln!(text, "  so {}", cause.text);
                missed.extend(cause.event);
            }
        }
        let _ = write!(text, "{:?}", trial.log);
        let _ = write!(text, "{}", self.history);
        missed.sort_unstable();
        missed.dedup();
        for event in missed {
            if let Some(differs) = &self.differs {
                text.push_str(&self.history.of(event, differs.place, differs.generation));
            }
        }
        text
    }
}

/// What a difference comes from, and which event it is about.
struct Cause {
    text: String,
    event: Option<usize>,
}

impl Differs {
    fn causes(&self, trial: &Trial) -> Vec<Cause> {
        let mut joins: Vec<(usize, Join)> = Vec::new();
        for (number, event) in trial.log.envelopes().iter().enumerate() {
            let text = event.to_string();
            let Ok(header) = serde_json::from_str::<Header<'_>>(&text) else { continue };
            let folded = self.projection.fold(&header).ok().flatten().unwrap_or_default();
            joins.extend(folded.into_iter().map(|join| (number, join)));
        }
        let keys: BTreeSet<&Key> = self.is.0.keys().chain(self.expected.0.keys()).collect();
        let nothing = Fields::new();
        let mut causes = Vec::new();
        for key in keys {
            let is = self.is.0.get(key).unwrap_or(&nothing);
            let should_be = self.expected.0.get(key).unwrap_or(&nothing);
            if is != should_be {
                causes.extend(versions(key, is, should_be, &joins));
                causes.extend(sums(key, is, should_be, &joins));
            }
        }
        causes.truncate(6);
        causes
    }
}

/// What is wrong with the versions of an item.
fn versions(key: &Key, is: &Fields, should_be: &Fields, joins: &[(usize, Join)]) -> Vec<Cause> {
    let names: BTreeSet<&String> =
        is.keys().chain(should_be.keys()).filter(|name| *name == "v" || name.starts_with("v_")).collect();
    let mut causes = Vec::new();
    for name in names {
        let part = name.strip_prefix("v_");
        let ended = |fields: &Fields| match part {
            None => fields.contains_key("d"),
            Some(source) => fields.contains_key(&format!("d_{source}")),
        };
        let version = |fields: &Fields| match fields.get(name) {
            Some(Field::Number(text)) => text.parse().ok().map(Version::unpacked),
            _ => None,
        };
        let (stored, wanted) = (version(is), version(should_be));
        let Some(wanted) = wanted else {
            causes.push(Cause { text: format!("{key} should not be there"), event: None });
            continue;
        };
        let writes = |join: &Join| match join {
            Join::Put(put) => put.key == *key && put.source == part && put.version == wanted,
            Join::Contribution(it) => it.child() == *key && it.version == wanted,
            Join::Step(step) => step.key == *key && step.version == wanted,
            Join::Dot(_) => false,
        };
        let event = joins.iter().find(|(_, join)| writes(join)).map(|(event, _)| *event);
        let of = event.map(|event| format!(" of #{event}")).unwrap_or_default();
        let text = match stored {
            None if ended(should_be) => {
                format!("the tombstone{of} at {key} is gone: what comes late brings the item back")
            }
            None => format!("version {wanted}{of} of {key} is lost"),
            Some(stored) if stored < wanted && ended(should_be) => {
                format!("version {stored} of {key} came back, or stayed, after its end at {wanted}{of}")
            }
            Some(stored) if stored < wanted => {
                format!("{key} stayed at version {stored}, version {wanted}{of} is lost")
            }
            Some(stored) => format!("version {stored}{of} of {key} holds something else than its event"),
        };
        causes.push(Cause { text, event });
    }
    causes
}

/// What is wrong with the sums of an item.
fn sums(key: &Key, is: &Fields, should_be: &Fields, joins: &[(usize, Join)]) -> Vec<Cause> {
    let names: BTreeSet<&String> = is.keys().chain(should_be.keys()).collect();
    let number = |fields: &Fields, name: &String| match fields.get(name) {
        Some(Field::Number(text)) => text.parse::<Decimal>().ok(),
        None => Some(Decimal::ZERO),
        Some(_) => None,
    };
    let mut causes: Vec<Cause> = Vec::new();
    for name in names.into_iter().filter(|name| *name != "v" && !name.starts_with("v_")) {
        let (Some(stored), Some(wanted)) = (number(is, name), number(should_be, name)) else { continue };
        let off = stored - wanted;
        if off.is_zero() || is.contains_key("v") || should_be.contains_key("v") {
            continue;
        }
        let adds = |join: &Join| -> Option<Decimal> {
            match join {
                Join::Dot(dot) if dot.key == *key => dot.add.get(name.as_str()).copied(),
                Join::Contribution(it) if it.ledger == key.pk => {
                    let amount = it.amounts.iter().find(|amount| amount.total == key.sk)?;
                    amount.add.get(name.as_str()).copied()
                }
                Join::Dot(_) | Join::Contribution(_) | Join::Put(_) | Join::Step(_) => None,
            }
        };
        let find = |wanted: Decimal| {
            joins.iter().find(|(_, join)| adds(join) == Some(wanted)).map(|(event, _)| *event)
        };
        let cause = match (find(-off), find(off)) {
            (Some(event), _) => {
                Cause { text: format!("#{event} isn't counted in `{name}` of {key}"), event: Some(event) }
            }
            (None, Some(event)) => {
                Cause { text: format!("#{event} is counted twice in `{name}` of {key}"), event: Some(event) }
            }
            (None, None) => Cause { text: format!("`{name}` of {key} is off by {off}"), event: None },
        };
        causes.push(cause);
    }
    causes
}

impl History {
    pub(super) fn next_step(&mut self) {
        self.step += 1;
    }

    /// What follows is what was left to be delivered in the end.
    pub(super) fn rest(&mut self) {
        self.step += 1;
        self.rest_from = Some(self.step);
    }

    pub(super) fn tell(&mut self, happening: Happening) {
        self.happened.push((self.step, happening));
    }

    pub(super) fn arrived(&mut self, region: usize, event: usize) {
        self.arrived.insert((region, event), self.step);
    }

    /// What happened to one event at one table.
    fn of(&self, event: usize, place: Place, generation: usize) -> String {
        let mut text = format!("what happened to #{event} at {}:\n", at(place, generation));
        if let Some(step) = self.arrived.get(&(place.region, event)) {
            let _ = writeln!(text, "  {}: it arrived in the region", self.step_name(*step));
        }
        let mut came = 0;
        for (step, happening) in &self.happened {
            let step = self.step_name(*step);
            match happening {
                Happening::Scanned(at, archive) if *at == place && !archive.contains(&event) => {
                    let _ = writeln!(text, "  {step}: it wasn't in the archive yet when that was read");
                }
                Happening::Subscribed(at) if *at == place && generation == 1 => {
                    let _ = writeln!(text, "  {step}: the shadow's queue was subscribed");
                }
                Happening::Invoked { batch, fates, told, crashed }
                    if batch.place == place && batch.generation == generation =>
                {
                    let Some((_, again)) = fates.iter().find(|(it, _)| *it == event) else { continue };
                    came += 1;
                    let became = match (again, crashed) {
                        (_, true) => "the container ended, it is to come again",
                        (true, false) => "asked for again",
                        (false, false) if told.is_empty() => "acknowledged",
                        (false, false) => "acknowledged, though a write of its batch failed",
                    };
                    let _ = writeln!(text, "  {step}: it came to container {}: {became}", batch.container);
                }
                _ => {}
            }
        }
        if came == 0 {
            let _ = writeln!(text, "  it never came there");
        }
        text
    }

    fn step_name(&self, step: usize) -> String {
        match self.rest_from {
            Some(rest) if step >= rest => "the rest".to_owned(),
            _ => format!("step {step}"),
        }
    }
}

fn at(place: Place, generation: usize) -> String {
    let table = if generation == 0 { "the table" } else { "the shadow table" };
    format!("{table} of consumer {} in region {}", place.consumer, place.region)
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "what happened:")?;
        for (step, happening) in &self.happened {
            write!(f, "  {}: ", self.step_name(*step))?;
            match happening {
                Happening::Waited(hours) => writeln!(f, "{hours} hours pass")?,
                Happening::Scanned(place, archive) => {
                    writeln!(f, "the archive is read for {}: {archive:?}", at(*place, 1))?;
                }
                Happening::Subscribed(place) => writeln!(f, "{} is made and subscribed", at(*place, 1))?,
                Happening::Filled(place) => writeln!(f, "{} is filled from the archive", at(*place, 1))?,
                Happening::Swapped(place) => writeln!(f, "{} is read from now on", at(*place, 1))?,
                Happening::Invoked { batch, fates, told, crashed } => {
                    invoked(f, batch, fates, told, *crashed)?;
                }
            }
        }
        Ok(())
    }
}

fn invoked(
    f: &mut fmt::Formatter<'_>,
    batch: &Batch,
    fates: &[(usize, bool)],
    told: &[String],
    crashed: bool,
) -> fmt::Result {
    let (beside, cold) =
        (if batch.beside { ", at the same time" } else { "" }, if batch.cold { " (new)" } else { "" });
    writeln!(f, "{}, container {}{cold}{beside}", at(batch.place, batch.generation), batch.container)?;
    for ((_, wire), (event, again)) in batch.messages.iter().zip(fates) {
        let wire = if *wire == Wire::Raw { String::new() } else { format!(" by {wire:?}") };
        let fate = if *again { "to come again" } else { "acknowledged" };
        writeln!(f, "    #{event}{wire}: {fate}")?;
    }
    for what in told {
        writeln!(f, "    {what}")?;
    }
    if crashed {
        writeln!(f, "    the container is gone")?;
    }
    Ok(())
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let events: Vec<usize> = self.messages.iter().map(|(event, _)| *event).collect();
        write!(f, "{:?} at {}", events, at(self.place, self.generation))
    }
}
