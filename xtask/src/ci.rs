//! The `ci` lane: every other lane, a table, and one last line that counts.

use std::process::ExitCode;
use std::time::Duration;

use crate::args::Bound;
use crate::heavy;
use crate::lane::{Lane, Outcome, Tally};
use crate::profile::Profile;
use crate::{fuzz, lanes, mutants, package};

/// What runs one after another, beside other such.
type Track = Vec<Work>;
type Work = Box<dyn FnOnce() -> Vec<Lane> + Send>;

/// Runs every lane, whatever came of the ones before.
pub(crate) fn run(fuzz_seconds: u32) -> ExitCode {
    let lanes = beside(tracks(fuzz_seconds));
    print!("{}", summary(&lanes));
    if lanes.iter().all(Lane::passed) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn one(lane: impl FnOnce() -> Lane + Send + 'static) -> Work {
    Box::new(|| vec![lane()])
}

fn heavy(name: &'static str) -> Work {
    one(move || match heavy::named(name) {
        Some(heavy) => heavy.lane(Profile::Ci, false, None),
        None => Lane { name, took: Duration::ZERO, outcome: Outcome::failed("there is no such lane") },
    })
}

/// What builds, and then what is built waits for sandboxes most of the time; and beside it what is built elsewhere, or computes. Lints
/// and documentation share with the tests what cargo builds for its own use, and keep every other command of that profile waiting: so
/// they come before there is any.
fn tracks(fuzz_seconds: u32) -> Vec<Track> {
    // The committed graphs are compared by a test: it is no lane here.
    let built: Track = vec![
        one(|| lanes::build(Profile::Ci)),
        one(|| lanes::clippy(Profile::Ci)),
        one(|| lanes::doc(Profile::Ci)),
        one(|| package::quick(Profile::Ci)),
        Box::new(|| beside(waiting())),
    ];
    let judge = || mutants::lane(&mutants::Work { judge: true, ..mutants::Work::default() });
    let mut computing: Track =
        vec![one(lanes::kubernetes), one(lanes::fmt), one(lanes::loom), one(lanes::deny), one(judge)];
    computing.extend(rest().map(heavy));
    computing.push(one(|| lanes::bench_quick(Profile::Ci)));
    computing.push(one(move || fuzz::lane(&[], Bound::Seconds(fuzz_seconds), Profile::Ci)));
    vec![built, computing]
}

const REAL: &str = "real";
const FAULTS: &str = "faults";
const LOSSY: &str = "lossy";

/// The heavy lanes that stand among those that wait.
const APART: [&str; 3] = [REAL, FAULTS, LOSSY];

/// The longest of them begins at once.
fn waiting() -> Vec<Track> {
    vec![
        vec![heavy(REAL)],
        vec![one(|| lanes::test(Profile::Ci)), one(lanes::own_scenario), one(|| lanes::crash(Profile::Ci, false))],
        vec![heavy(FAULTS), heavy(LOSSY)],
    ]
}

/// The names of all other heavy lanes.
fn rest() -> impl Iterator<Item = &'static str> {
    heavy::ALL.iter().filter(|heavy| !heavy.night).map(|heavy| heavy.name).filter(|name| !APART.contains(name))
}

/// Runs the tracks beside each other. The lanes come back in the order of their tracks.
fn beside(tracks: Vec<Track>) -> Vec<Lane> {
    std::thread::scope(|scope| {
        let running: Vec<_> = tracks
            .into_iter()
            .map(|track| scope.spawn(|| track.into_iter().flat_map(|work| work()).collect::<Vec<Lane>>()))
            .collect();
        let died = || Lane { name: "ci", took: Duration::ZERO, outcome: Outcome::failed("a lane panicked") };
        running.into_iter().flat_map(|track| track.join().unwrap_or_else(|_| vec![died()])).collect()
    })
}

fn summary(lanes: &[Lane]) -> String {
    let mut text = format!("\n{:<15} {:<7} {:>7} {:>7} {:>10}\n", "lane", "", "passed", "failed", "time");
    let mut total = Tally::default();
    for lane in lanes {
        let mut tally = lane.outcome.tally;
        let verdict = if lane.passed() { "ok" } else { "FAILED" };
        text +=
            &format!("{:<15} {verdict:<7} {:>7} {:>7} {:>10}\n", lane.name, tally.passed, tally.failed, lane.time());
        // The last line must not say "0 failed" when a lane failed before any test could.
        if !lane.passed() && tally.failed == 0 {
            tally.failed = 1;
        }
        total.add(tally);
    }
    for lane in lanes {
        for note in &lane.outcome.notes {
            text += &format!("note: {}: {note}\n", lane.name);
        }
        if let Some(why) = &lane.outcome.failure {
            text += &format!("failed: {}: {why}\n", lane.name);
        }
    }
    text += &format!("{} passed, {} failed\n", total.passed, total.failed);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(name: &'static str, tally: Tally, failure: Option<&str>) -> Lane {
        let outcome = Outcome { tally, failure: failure.map(str::to_owned), notes: vec!["a note".into()] };
        Lane { name, took: Duration::from_millis(1_250), outcome }
    }

    #[test]
    fn lanes_that_stand_apart_are_lanes_and_what_is_beside_comes_back_in_order() {
        assert!(APART.iter().all(|name| heavy::named(name).is_some_and(|heavy| !heavy.night)));
        assert_eq!(rest().count() + APART.len(), heavy::ALL.iter().filter(|heavy| !heavy.night).count());
        let work = |name| one(move || lane(name, Tally::default(), None));
        let nested = Box::new(move || beside(vec![vec![work("b")], vec![work("c")]]));
        let lanes = beside(vec![vec![work("a"), nested], vec![work("d"), Box::new(|| panic!("it breaks"))]]);
        assert_eq!(lanes.iter().map(|lane| lane.name).collect::<Vec<_>>(), ["a", "b", "c", "ci"]);
        assert!(!lanes[3].passed());
    }

    #[test]
    fn the_last_line_counts_every_test_and_never_hides_a_failed_lane() {
        let counted = |passed, failed| Tally { passed, failed };
        let good = [lane("test", counted(10, 0), None), lane("loom", counted(2, 0), None)];
        assert_eq!(summary(&good).lines().last(), Some("12 passed, 0 failed"));
        let red =
            [lane("test", counted(9, 1), Some("1 tests failed")), lane("fmt", counted(0, 0), Some("not formatted"))];
        assert_eq!(summary(&red).lines().last(), Some("9 passed, 2 failed"));
        assert!(summary(&red).contains("failed: fmt: not formatted"));
        assert!(summary(&red).contains("note: test: a note"));
    }
}
