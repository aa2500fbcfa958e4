//! The `ci` lane: every other lane, a table, and one last line that counts.

use std::process::ExitCode;

use crate::lane::{Lane, Tally};
use crate::{fuzz, heavy, lanes};

/// Runs every lane, whatever came of the ones before.
pub(crate) fn run(fuzz_seconds: u32) -> ExitCode {
    let mut lanes = vec![
        lanes::test(),
        lanes::fmt(),
        lanes::clippy(),
        lanes::doc(),
        lanes::graphs_check(),
        lanes::deny(),
        lanes::loom(),
        lanes::crash(false),
    ];
    lanes.extend(heavy::ALL.iter().map(|heavy| heavy.lane(false)));
    lanes.extend([fuzz::lane(&[], fuzz_seconds), lanes::bench(true)]);
    print!("{}", summary(&lanes));
    if lanes.iter().all(Lane::passed) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
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
    use std::time::Duration;

    use super::*;
    use crate::lane::Outcome;

    fn lane(name: &'static str, tally: Tally, failure: Option<&str>) -> Lane {
        let outcome = Outcome { tally, failure: failure.map(str::to_owned), notes: vec!["a note".into()] };
        Lane { name, took: Duration::from_millis(1_250), outcome }
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
