//! Makes a trial that breaks the law small enough to be read.
//!
//! Events are left out from the end of an aggregate's history only, so that what remains is a valid history.

use super::schedule::{Batch, Trial, Wire};
use crate::log::Log;
use serde_json::Value;

/// The smallest trial found for which `breaks` still gives a reason, with the reason; tries at most `attempts`.
pub(super) fn shrink(
    mut trial: Trial,
    mut why: String,
    mut attempts: u32,
    breaks: impl Fn(&Trial) -> Option<String>,
) -> (Trial, String) {
    let apart = one_by_one(&trial);
    let merging = match breaks(&apart) {
        Some(reason) => {
            (trial, why) = (apart, reason);
            false
        }
        None => true,
    };
    loop {
        let mut smaller = false;
        // Candidates are made anew after each success: their positions have moved.
        let mut position = 0;
        while let Some(candidate) = nth(&trial, merging, position) {
            if attempts == 0 {
                return (trial, why);
            }
            attempts -= 1;
            match breaks(&candidate) {
                Some(reason) => {
                    (trial, why, smaller) = (candidate, reason, true);
                }
                None => position += 1,
            }
        }
        if !smaller {
            return (trial, why);
        }
    }
}

/// The candidates, those that take most away first.
fn nth(trial: &Trial, merging: bool, position: usize) -> Option<Trial> {
    let messages: Vec<(usize, usize)> = (0..trial.batches.len())
        .flat_map(|batch| (0..trial.batches[batch].messages.len()).map(move |message| (batch, message)))
        .collect();
    let events = (0..trial.log.envelopes().len()).rev().filter_map(|event| without_event(trial, event));
    let messages = messages.iter().rev().filter_map(|at| without_message(trial, *at));
    let merged = (1..trial.batches.len()).rev().filter(|_| merging).map(|batch| merged(trial, batch));
    plain(trial).into_iter().chain(events).chain(messages).chain(merged).nth(position)
}

fn aggregate(event: &Value) -> (&Value, &Value) {
    (&event["domain"], &event["subject"])
}

fn without_event(trial: &Trial, event: usize) -> Option<Trial> {
    let events = trial.log.envelopes();
    let is_last = !events[event + 1..].iter().any(|later| aggregate(later) == aggregate(&events[event]));
    let mut rest = events.to_vec();
    rest.remove(event);
    let mut batches = trial.batches.clone();
    for batch in &mut batches {
        batch.messages.retain(|(it, _)| *it != event);
        batch.messages.iter_mut().filter(|(it, _)| *it > event).for_each(|(it, _)| *it -= 1);
    }
    batches.retain(|batch| !batch.messages.is_empty());
    is_last.then(|| Trial { log: Log::from(rest), batches, ..*trial })
}

fn without_message(trial: &Trial, (batch, message): (usize, usize)) -> Option<Trial> {
    let event = trial.batches[batch].messages[message].0;
    let deliveries = trial.batches.iter().flat_map(|it| &it.messages).filter(|(it, _)| *it == event).count();
    let mut trial = trial.clone();
    trial.batches[batch].messages.remove(message);
    trial.batches.retain(|batch| !batch.messages.is_empty());
    (deliveries > 1).then_some(trial)
}

/// One container that is never started again, and nothing around the envelopes.
fn plain(trial: &Trial) -> Option<Trial> {
    let mut plain = trial.clone();
    for Batch { container, cold, messages } in &mut plain.batches {
        (*container, *cold) = (0, false);
        for (_, wire) in messages {
            *wire = Wire::Raw;
        }
    }
    (plain.batches != trial.batches).then_some(plain)
}

/// A batch for each message: the simplest delivery, where it breaks the law too.
fn one_by_one(trial: &Trial) -> Trial {
    let split = |batch: &Batch| {
        let (container, cold) = (batch.container, batch.cold);
        let one = move |message| Batch { container, cold, messages: vec![message] };
        batch.messages.clone().into_iter().map(one)
    };
    Trial { log: trial.log.clone(), batches: trial.batches.iter().flat_map(split).collect(), ..*trial }
}

fn merged(trial: &Trial, batch: usize) -> Trial {
    let mut trial = trial.clone();
    let messages = trial.batches.remove(batch).messages;
    trial.batches[batch - 1].messages.extend(messages);
    trial
}
