//! The `ci` lane: every other lane, a table, and one last line that counts.

use std::process::ExitCode;
use std::time::Duration;

use crate::args::Bound;
use crate::heavy::{self, Heavy};
use crate::lane::{Lane, Outcome, Tally};
use crate::profile::Profile;
use crate::{fuzz, lanes, mutants, package};

/// Lanes that run one after another, beside other such.
type Track = Vec<Box<dyn FnOnce() -> Lane + Send>>;

/// Runs every lane, whatever came of the ones before.
pub(crate) fn run(fuzz_seconds: u32) -> ExitCode {
    let mut lanes = beside(built());
    lanes.extend(beside(all_else(fuzz_seconds)));
    print!("{}", summary(&lanes));
    if lanes.iter().all(Lane::passed) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What the other lanes run. It stands alone: of cargo's commands for one profile all wait for the one that builds.
fn built() -> Vec<Track> {
    vec![
        vec![Box::new(|| lanes::build(Profile::Ci)), Box::new(|| package::quick(Profile::Ci))],
        vec![Box::new(lanes::kubernetes), Box::new(lanes::loom)],
    ]
}

/// The lanes that wait for sandboxes most of the time, and beside them those that compute, or are built elsewhere.
fn all_else(fuzz_seconds: u32) -> Vec<Track> {
    const WAITING: [&[&str]; 2] = [&["real"], &["faults", "lossy"]];
    let lane = |heavy: &'static Heavy| -> Box<dyn FnOnce() -> Lane + Send> {
        Box::new(|| heavy.lane(Profile::Ci, false, None))
    };
    let waiting = |names: &[&str]| -> Track { names.iter().filter_map(|name| heavy::named(name)).map(lane).collect() };
    // The committed graphs are compared by a test: it is no lane here.
    let mut tests: Track = vec![Box::new(|| lanes::test(Profile::Ci)), Box::new(lanes::own_scenario)];
    tests.extend(waiting(WAITING[0]));
    let mut sandboxes = waiting(WAITING[1]);
    sandboxes.push(Box::new(|| lanes::crash(Profile::Ci, false)));
    let judge = || mutants::lane(&mutants::Work { judge: true, ..mutants::Work::default() });
    let mut computing: Track = vec![
        Box::new(lanes::fmt),
        Box::new(|| lanes::clippy(Profile::Dev)),
        Box::new(|| lanes::doc(Profile::Dev)),
        Box::new(lanes::deny),
        Box::new(judge),
    ];
    let rest = heavy::ALL.iter().filter(|heavy| !heavy.night && !WAITING.concat().contains(&heavy.name));
    computing.extend(rest.map(lane));
    computing.push(Box::new(|| lanes::bench_quick(Profile::Ci)));
    computing.push(Box::new(move || fuzz::lane(&[], Bound::Seconds(fuzz_seconds))));
    vec![tests, sandboxes, computing]
}

/// Runs the tracks beside each other. The lanes come back in the order of their tracks.
fn beside(tracks: Vec<Track>) -> Vec<Lane> {
    std::thread::scope(|scope| {
        let running: Vec<_> = tracks
            .into_iter()
            .map(|track| scope.spawn(|| track.into_iter().map(|lane| lane()).collect::<Vec<Lane>>()))
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
    fn every_heavy_lane_is_in_one_track() {
        const OTHERS: [&str; 9] =
            ["test", "own scenario", "crash", "fmt", "clippy", "doc", "deny", "mutants --judge", "bench --quick"];
        let count: usize = all_else(1).iter().map(Vec::len).sum();
        // The fuzz targets besides.
        assert_eq!(count, heavy::ALL.iter().filter(|heavy| !heavy.night).count() + OTHERS.len() + 1);
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
