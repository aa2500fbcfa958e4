//! A lane: something that passes or fails, how many tests it ran, and what is said about it.

use std::time::{Duration, Instant};

/// Tests as libtest counted them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
}

impl Tally {
    /// Takes note of a line of output, if it is libtest's result line.
    pub(crate) fn count(&mut self, line: &str) {
        let Some(rest) = line.strip_prefix("test result: ") else { return };
        let Some((_, counts)) = rest.split_once(". ") else { return };
        for part in counts.split(';') {
            let mut words = part.split_whitespace();
            let (Some(n), Some(what)) = (words.next().and_then(|n| n.parse::<u64>().ok()), words.next()) else {
                continue;
            };
            match what {
                "passed" => self.passed += n,
                "failed" => self.failed += n,
                _ => {}
            }
        }
    }

    /// Adds another count.
    pub(crate) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

/// What came of a lane's work.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) tally: Tally,
    /// Why it failed; `None` if it passed.
    pub(crate) failure: Option<String>,
    /// What a reader of the table must know besides.
    pub(crate) notes: Vec<String>,
}

impl Outcome {
    /// A lane that could not do its work.
    pub(crate) fn failed(why: impl Into<String>) -> Self {
        Self { failure: Some(why.into()), ..Self::default() }
    }
}

/// A lane that has run.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) name: &'static str,
    pub(crate) took: Duration,
    pub(crate) outcome: Outcome,
}

impl Lane {
    /// Prints a heading, does the work, and says how long it took.
    pub(crate) fn run(name: &'static str, work: impl FnOnce() -> Outcome) -> Self {
        println!("\n== {name}");
        let begun = Instant::now();
        let outcome = work();
        let lane = Self { name, took: begun.elapsed(), outcome };
        let verdict = if lane.passed() { "passed" } else { "FAILED" };
        println!("== {name} {verdict} in {}", lane.time());
        lane
    }

    pub(crate) const fn passed(&self) -> bool {
        self.outcome.failure.is_none()
    }

    /// How long it took, in seconds with one decimal.
    pub(crate) fn time(&self) -> String {
        format!("{:.1} s", self.took.as_secs_f64())
    }
}

/// Says what came of a single lane; whether it passed.
pub(crate) fn report(lane: Lane) -> bool {
    for note in &lane.outcome.notes {
        println!("note: {note}");
    }
    let Tally { passed, failed } = lane.outcome.tally;
    match &lane.outcome.failure {
        Some(why) => eprintln!("error: {}: {why}", lane.name),
        None if passed + failed > 0 => println!("{passed} passed, {failed} failed"),
        None => {}
    }
    lane.passed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_result_lines_are_counted() {
        let mut tally = Tally::default();
        for line in [
            "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.10s",
            "test result: FAILED. 4 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.00s",
            "test results_are_printed ... ok",
            "9 passed; 9 failed",
        ] {
            tally.count(line);
        }
        assert_eq!(tally, Tally { passed: 16, failed: 2 });
    }

    #[test]
    fn a_lane_without_a_failure_has_passed() {
        assert!(Lane::run("good", Outcome::default).passed());
        assert!(!Lane::run("bad", || Outcome::failed("it broke")).passed());
    }
}
