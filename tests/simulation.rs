//! The read models of the whole suite under schedules that follow from one number: several consumers in two regions,
//! aggregates whose home moves while the one before goes on, stores that fail, containers that end, tables that are rebuilt
//! and swapped under way.
//!
//! `SIMULATION_SCHEDULES=100000 cargo test --release -p suite-tests --test simulation -- --nocapture`

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use projection::Projection;
use std::thread;
use testkit::dice::Dice;
use testkit::law::{Checked, Law, logs_of_all};
use tokio::time::Instant;

/// How many schedules are played, unless `SIMULATION_SCHEDULES` says otherwise.
const SCHEDULES: u32 = 120;

/// How many different logs the schedules are of; each picks some of the aggregates of one.
const LOGS: u64 = 64;

/// From how many schedules on they are shared out to as many threads as there are cores: each is still played alone.
const SHARED_OUT: u32 = 2_000;

fn suite() -> Vec<Projection> {
    let micrographs = local::shop::all();
    micrographs.iter().flat_map(|micrograph| micrograph.projections().cloned().collect::<Vec<_>>()).collect()
}

/// Three of the suite's consumers at a time, each in up to two regions, with about a dozen events.
fn schedules(count: u32) -> Law {
    Law::of_all(suite())
        .cases(count)
        .at_once(3, 12)
        .different_logs(LOGS)
        .named("SIMULATION_SEED", "SIMULATION_SCHEDULES")
}

fn play(law: &Law) -> Checked {
    law.check(&logs_of_all(&suite()).unwrap()).unwrap_or_else(|broken| panic!("{broken}"))
}

#[test]
fn any_schedule_of_the_suite_ends_in_the_canonical_folds() {
    let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    let seed = number("SIMULATION_SEED").unwrap_or(1);
    let count = number("SIMULATION_SCHEDULES").and_then(|it| u32::try_from(it).ok()).unwrap_or(SCHEDULES);
    let threads = if count < SHARED_OUT { 1 } else { thread::available_parallelism().unwrap().get() };
    let share = count.div_ceil(u32::try_from(threads).unwrap());
    let start = Instant::now();
    let checked = thread::scope(|scope| {
        let player = |number| {
            let seed = Dice::seed_of_case(seed, number);
            let name = "any_schedule_of_the_suite_ends_in_the_canonical_folds".to_owned();
            thread::Builder::new()
                .name(name)
                .spawn_scoped(scope, move || play(&schedules(share).seed(seed)))
                .unwrap()
        };
        let players: Vec<_> = (0..threads as u64).map(player).collect();
        players.into_iter().map(|player| player.join().unwrap()).fold(Checked::default(), Checked::and)
    });
    let seconds = start.elapsed().as_secs_f64();
    println!("{checked:?}");
    println!("{seconds:.1} s, {:.0} schedules a second", f64::from(count) / seconds);
    assert_eq!(checked.trials, usize::try_from(share).unwrap() * threads);
    if count >= SCHEDULES {
        assert!(checked.crashes > checked.trials / 4, "few containers ended: {checked:?}");
        assert!(checked.swaps > checked.trials / 2, "few tables were swapped: {checked:?}");
        assert!(checked.faults > checked.trials, "little went wrong: {checked:?}");
    }
}

#[test]
fn the_same_number_gives_the_same_schedules() {
    assert_eq!(play(&schedules(6).seed(3)), play(&schedules(6).seed(3)));
    assert_ne!(play(&schedules(6).seed(3)), play(&schedules(6).seed(4)));
}
