//! Makes a trial that breaks the law small enough to be read.
//!
//! Whatever is left out of a schedule, what remains is one. Events are left out from the end of an aggregate's history
//! only, so that the log stays a valid history.

use super::schedule::{Batch, Step, Trial, Wire};
use crate::log::Log;
use serde_json::Value;

/// The smallest trial found that still breaks the law; tries at most `attempts`.
pub(super) fn shrink(mut trial: Trial, mut attempts: u32, breaks: impl Fn(&Trial) -> bool) -> Trial {
    loop {
        let mut smaller = false;
        for pass in [regions, consumers, events, chunks, steps, messages, faults, batches, again] {
            // Candidates are made anew after each success: their positions have moved.
            let mut position = 0;
            while let Some(candidate) = pass(&trial, position) {
                if attempts == 0 {
                    return trial;
                }
                attempts -= 1;
                if breaks(&candidate) {
                    (trial, smaller) = (candidate, true);
                } else {
                    position += 1;
                }
            }
        }
        if !smaller {
            return trial;
        }
    }
}

fn place_of(step: &Step) -> Option<(usize, usize)> {
    match step {
        Step::Deliver(Batch { place, .. })
        | Step::Subscribe(place)
        | Step::Backfill(place, _)
        | Step::Swap(place) => Some((place.region, place.consumer)),
        Step::Wait { .. } => None,
    }
}

/// Without the last region.
fn regions(trial: &Trial, position: usize) -> Option<Trial> {
    if trial.regions < 2 || position >= trial.regions {
        return None;
    }
    let mut fewer = trial.clone();
    fewer.regions -= 1;
    fewer.steps.retain(|step| place_of(step).is_none_or(|(region, _)| region != position));
    for step in &mut fewer.steps {
        if let Step::Deliver(Batch { place, .. })
        | Step::Subscribe(place)
        | Step::Backfill(place, _)
        | Step::Swap(place) = step
        {
            place.region -= usize::from(place.region > position);
        }
    }
    Some(fewer)
}

/// Without one of several consumers.
fn consumers(trial: &Trial, position: usize) -> Option<Trial> {
    if trial.consumers.len() < 2 {
        return None;
    }
    let mut fewer = trial.clone();
    let left_out = *trial.consumers.get(position)?;
    fewer.consumers.remove(position);
    fewer.steps.retain(|step| place_of(step).is_none_or(|(_, consumer)| consumer != left_out));
    Some(fewer)
}

/// Without a half, a quarter, an eighth of the steps.
fn chunks(trial: &Trial, position: usize) -> Option<Trial> {
    let (mut parts, mut number) = (2, position);
    while number >= parts {
        number -= parts;
        parts *= 2;
    }
    let size = trial.steps.len().div_ceil(parts);
    if size < 2 {
        return None;
    }
    let mut fewer = trial.clone();
    let start = (number * size).min(fewer.steps.len());
    fewer.steps.drain(start..(start + size).min(trial.steps.len()));
    (fewer.steps.len() < trial.steps.len()).then_some(fewer)
}

fn aggregate(event: &Value) -> (&Value, &Value) {
    (&event["domain"], &event["subject"])
}

/// Without the last event of an aggregate.
fn events(trial: &Trial, position: usize) -> Option<Trial> {
    let events = trial.log.envelopes();
    let is_last = |event: &usize| {
        !events[event + 1..].iter().any(|later| aggregate(later) == aggregate(&events[*event]))
    };
    let event = (0..events.len()).rev().filter(is_last).nth(position)?;
    let mut rest = events.to_vec();
    rest.remove(event);
    let mut fewer = Trial { log: Log::from(rest), ..trial.clone() };
    for batch in batches_of(&mut fewer) {
        batch.messages.retain(|(it, _)| *it != event);
        batch.messages.iter_mut().filter(|(it, _)| *it > event).for_each(|(it, _)| *it -= 1);
    }
    fewer.steps.retain(|step| !matches!(step, Step::Deliver(batch) if batch.messages.is_empty()));
    Some(fewer)
}

fn batches_of(trial: &mut Trial) -> impl Iterator<Item = &mut Batch> {
    trial.steps.iter_mut().filter_map(|step| match step {
        Step::Deliver(batch) => Some(batch),
        _ => None,
    })
}

/// Without one step.
fn steps(trial: &Trial, position: usize) -> Option<Trial> {
    let mut fewer = trial.clone();
    let last = fewer.steps.len().checked_sub(1 + position)?;
    fewer.steps.remove(last);
    Some(fewer)
}

/// Without one message.
fn messages(trial: &Trial, position: usize) -> Option<Trial> {
    let mut fewer = trial.clone();
    let mut number = position;
    let found = batches_of(&mut fewer).filter(|batch| batch.messages.len() > 1).any(|batch| {
        let is_here = number < batch.messages.len();
        if is_here {
            batch.messages.remove(number);
        } else {
            number -= batch.messages.len();
        }
        is_here
    });
    found.then_some(fewer)
}

/// Without one fault.
fn faults(trial: &Trial, position: usize) -> Option<Trial> {
    let mut fewer = trial.clone();
    let mut number = position;
    let found = batches_of(&mut fewer).any(|batch| {
        let is_here = number < batch.faults.len();
        if is_here {
            batch.faults.remove(number);
        } else {
            number -= batch.faults.len();
        }
        is_here
    });
    found.then_some(fewer)
}

/// One batch as simple as can be: to one container, alone, with nothing around the envelopes.
fn batches(trial: &Trial, position: usize) -> Option<Trial> {
    let mut plain = trial.clone();
    let make_plain: [fn(&mut Batch); 5] = [
        |batch| batch.messages.iter_mut().for_each(|(_, wire)| *wire = Wire::Raw),
        |batch| batch.container = 0,
        |batch| batch.cold = false,
        |batch| batch.beside = false,
        |batch| batch.pace = 0,
    ];
    let mut number = position;
    let found = batches_of(&mut plain).any(|batch| {
        make_plain.iter().any(|change| {
            let before = batch.clone();
            change(batch);
            if *batch == before {
                return false;
            }
            let is_here = number == 0;
            if !is_here {
                number -= 1;
                *batch = before;
            }
            is_here
        })
    });
    found.then_some(plain)
}

/// Without the whole log once more.
fn again(trial: &Trial, position: usize) -> Option<Trial> {
    (position == 0 && trial.again).then(|| Trial { again: false, ..trial.clone() })
}
