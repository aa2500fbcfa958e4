//! The connector on systems that nobody here wrote: each lane starts the system, breaks the connector as it breaks in life, kills the
//! recovery at random moments, and asks the system itself and the control plane's ledger what happened.
//!
//! `RECOVER_REAL` names one lane; without it all are run. `RECOVER_LANE=full` makes ten times as many kills. A lane whose system
//! cannot be had here says so loudly, and counts as not run.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    unreachable_pub,
    missing_docs,
    reason = "a program for developers: what does not hold ends it, and nobody links against it"
)]

mod bench;
mod crash_loop;
mod docker;
mod engine;
#[path = "../harness/kms/mod.rs"]
mod kms;
#[path = "kms/mod.rs"]
mod kms_lane;
#[path = "../harness/kubernetes/mod.rs"]
mod kubernetes;
mod kubernetes_cluster;
mod lane;
#[path = "../harness/openbao/mod.rs"]
mod openbao;
#[path = "../harness/packages.rs"]
mod packages;
mod pods;
mod pods_more;
#[path = "../harness/kubernetes/programs.rs"]
mod programs;
#[path = "../lossy/random.rs"]
mod random;
#[path = "../harness/sandbox.rs"]
mod sandbox;
#[path = "../harness/spire/mod.rs"]
mod spire;
#[path = "spire.rs"]
mod spire_lane;
mod systemd_system;
mod systemd_user;
mod unit;

use std::process::ExitCode;

use lane::{Figures, Ran};

/// A lane: its name and what runs it.
type Lane = (&'static str, fn(kills: u32) -> Ran);

const LANES: &[Lane] = &[
    ("systemd-user", systemd_user::run),
    ("systemd-system", systemd_system::run),
    ("docker", docker::run),
    ("kubernetes", pods::run),
    ("spire", spire_lane::run),
    ("kms", kms_lane::run),
];

fn main() -> ExitCode {
    if let Some(ended) = spire::stand_in().or_else(kms::stand_in) {
        return ended;
    }
    // What test runners ask of every test binary.
    if std::env::args().any(|word| word == "--list") {
        println!("real: test");
        return ExitCode::SUCCESS;
    }
    let only = std::env::var("RECOVER_REAL").ok().filter(|only| !only.is_empty());
    let full = std::env::var("RECOVER_LANE").is_ok_and(|lane| lane == "full");
    // While one is being built, fewer.
    let kills = std::env::var("RECOVER_KILLS").ok().and_then(|kills| kills.parse().ok());
    let kills = kills.unwrap_or(if full { 200 } else { 20 });
    let wanted: Vec<&Lane> =
        LANES.iter().filter(|(name, _)| only.as_deref().is_none_or(|only| only == *name)).collect();
    if wanted.is_empty() {
        println!("real: there is no lane {}", only.unwrap_or_default());
        return ExitCode::FAILURE;
    }
    let (mut passed, mut failed, mut ignored) = (0, 0, 0);
    // They wait most of the time, and have nothing in common; but for the KMS family, whose providers must be heard in time.
    let (after, beside): (Vec<&Lane>, Vec<&Lane>) = wanted.into_iter().partition(|(name, _)| *name == "kms");
    let side_by_side = |lanes: Vec<&Lane>| -> Vec<(&str, Ran)> {
        std::thread::scope(|scope| {
            let running: Vec<_> =
                lanes.into_iter().map(|(name, run)| (*name, scope.spawn(move || run(kills)))).collect();
            let died = |_| Ran::Done { figures: Figures::default(), problems: vec!["it panicked".to_owned()] };
            running.into_iter().map(|(name, lane)| (name, lane.join().unwrap_or_else(died))).collect()
        })
    };
    let mut ran = side_by_side(beside);
    ran.extend(side_by_side(after));
    for (name, ran) in ran {
        match ran {
            Ran::Done { figures, problems } => {
                println!("real: {name}: {figures}");
                problems.iter().for_each(|problem| println!("real: {name}: FAILED: {problem}"));
                if problems.is_empty() { passed += 1 } else { failed += 1 }
            }
            Ran::Not(why) => {
                println!("real: {name}: NOT RUN: {why}");
                ignored += 1;
            }
        }
    }
    println!(
        "test result: {}. {passed} passed; {failed} failed; {ignored} ignored",
        if failed == 0 { "ok" } else { "FAILED" }
    );
    ExitCode::from(u8::from(failed > 0))
}
