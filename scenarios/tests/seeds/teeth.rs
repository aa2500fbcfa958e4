//! The simulation finds what it is there to find: each bug that is planted, within a number of seeds.

use crate::broken::Invariant;
use crate::choices::Choices;
use crate::lane::setup_of;
use crate::port::Plant;
use crate::setups;
use crate::shrink::shrink;
use crate::sim::{Setup, Went, play};

/// The first seed that breaks something, if one does in time.
fn found(setup: &Setup, within: u64) -> Option<(u64, Went)> {
    (0..within).map(|seed| (seed, play(setup, Choices::of_seed(seed), false))).find(|(_, went)| went.broken.is_some())
}

#[track_caller]
fn finds(setup: &Setup, within: u64, invariants: &[Invariant]) {
    let Some((seed, went)) = found(setup, within) else { panic!("{}: not found in {within} seeds", setup.name) };
    let broken = went.broken.expect("it is broken");
    assert!(invariants.contains(&broken.invariant), "{}: seed {seed} finds something else: {broken}", setup.name);
    println!("{}: found by seed {seed}: {}", setup.name, broken.invariant.sentence());
}

pub(crate) fn a_pairing_repeated_blindly_is_found() {
    finds(&setups::careless(), 500, &[Invariant::PairedOnce, Invariant::OneToken]);
}

pub(crate) fn an_act_before_its_intent_is_durable_is_found() {
    finds(&setups::planted(Plant::EagerJournal).expect("registered"), 20, &[Invariant::Intended]);
}

pub(crate) fn a_resume_without_a_probe_is_found() {
    // A second pairing, or a run that says that nothing came of the first.
    let found = [Invariant::PairedOnce, Invariant::Recovered];
    finds(&setups::planted(Plant::NoProbe).expect("registered"), 2_000, &found);
}

pub(crate) fn a_guard_that_looks_at_outcomes_is_found() {
    finds(&setups::forgetful(), 2_000, &[Invariant::PairedOnce]);
}

pub(crate) fn absence_believed_without_a_fence_is_found() {
    finds(&setups::hasty(), 2_000, &[Invariant::PairedOnce]);
}

pub(crate) fn a_disk_that_forgets_is_found() {
    finds(&setups::planted(Plant::ForgetfulDisk).expect("registered"), 20, &[Invariant::Kept]);
}

/// What is found is the bug, and not the small scenario around it.
pub(crate) fn without_a_bug_nothing_is_found() {
    if let Some((seed, went)) = found(&setups::honest(), 2_000) {
        panic!("seed {seed}: {}", went.broken.expect("it is broken"));
    }
}

pub(crate) fn a_seed_is_the_same_twice() {
    let setups = setups::all();
    for seed in 0..40 {
        let [first, second] = [true, false].map(|keep| {
            let went = play(setup_of(&setups, seed), Choices::of_seed(seed), keep);
            (went.digest, went.counts.events, went.decisions)
        });
        assert_eq!(first, second, "seed {seed}");
        if seed < 2 {
            println!("seed {seed}: digest {:016x}, twice", first.0);
        }
    }
}

pub(crate) fn a_list_of_decisions_is_the_seed_that_made_it() {
    let setups = setups::all();
    for seed in 0..40 {
        let setup = setup_of(&setups, seed);
        let went = play(setup, Choices::of_seed(seed), false);
        let again = play(setup, Choices::of_list(went.decisions), false);
        assert_eq!(went.digest, again.digest, "seed {seed}");
    }
}

pub(crate) fn what_is_found_is_made_short() {
    let setup = setups::planted(Plant::EagerJournal).expect("registered");
    let (_, went) = found(&setup, 20).expect("it is found");
    let invariant = went.broken.expect("it is broken").invariant;
    let short = shrink(&setup, went.decisions, invariant);
    let again = play(&setup, Choices::of_list(short.clone()), true);
    assert_eq!(again.broken.map(|broken| broken.invariant), Some(invariant));
    assert!(short.len() <= 4 && again.lines.len() < 10, "{short:?}\n{}", again.lines.join("\n"));
}
