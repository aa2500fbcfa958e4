//! Counts the states and what is wrong with them: a sample in the plain test, many in the lane.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Mutex;

use recover_journal::testing::sim::Fate;

use crate::judge::{Problem, judge};
use crate::states::{Random, fates};
use crate::workloads::{self, Workload, Wrap};

/// Into as many parts is the work on one workload divided, for two threads to share.
const PARTS: usize = 4;

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub states: usize,
    /// Images of the disk that were judged; the others were the same as one before.
    pub judged: usize,
    pub lost: usize,
    pub invented: usize,
    pub stuck: usize,
    /// The first few, in words.
    pub cases: Vec<String>,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.states += other.states;
        self.judged += other.judged;
        self.lost += other.lost;
        self.invented += other.invented;
        self.stuck += other.stuck;
        self.cases.extend(other.cases);
        self.cases.truncate(12);
    }

    fn note(&mut self, problem: &Problem, case: impl FnOnce() -> String) {
        match problem {
            Problem::Lost(_) => self.lost += 1,
            Problem::Invented(_) => self.invented += 1,
            Problem::Stuck(_) => self.stuck += 1,
        }
        if self.cases.len() < 12 {
            self.cases.push(format!("{}: {problem:?}", case()));
        }
    }
}

/// Every state of one workload, at most `each` for one prefix; of the prefixes, each `PARTS`th from `part` on.
fn part_of(workload: &Workload, part: usize, each: usize, seed: u64) -> Tally {
    let ops = workload.storage.ops();
    let mut tally = Tally::default();
    let mut seen = HashSet::new();
    for cut in (part..=ops.len()).step_by(PARTS) {
        let mut random = Random::new(seed ^ (cut as u64) << 20);
        for fates in fates(&ops, cut, each, &mut random) {
            let left = workload.storage.power_cut(cut, |op, _| fates.get(&op).copied().unwrap_or(Fate::Lost));
            tally.states += 1;
            let mut hasher = DefaultHasher::new();
            (left.files(), cut).hash(&mut hasher);
            if !seen.insert(hasher.finish()) {
                continue;
            }
            tally.judged += 1;
            if let Err(problem) = judge(workload, cut, &left) {
                tally.note(&problem, || format!("{}, cut after {cut} of {}, {fates:?}", workload.name, ops.len()));
            }
        }
    }
    tally
}

/// Every state of one workload, at most `each` for one prefix.
pub(crate) fn states_of(workload: &Workload, each: usize, seed: u64) -> Tally {
    let mut tally = Tally::default();
    (0..PARTS).for_each(|part| tally.add(part_of(workload, part, each, seed)));
    tally
}

/// Rounds of all workloads, until so many states were tried.
pub(crate) fn run(wrap: Wrap, wanted: usize, each: usize) -> Tally {
    let total = Mutex::new(Tally::default());
    for round in 0.. {
        let workloads = workloads::all(wrap, round);
        let parts = workloads.iter().flat_map(|workload| (0..PARTS).map(move |part| (workload, part)));
        let queue = Mutex::new(parts.collect::<Vec<_>>());
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    loop {
                        let next = queue.lock().unwrap().pop();
                        let Some((workload, part)) = next else { return };
                        let tally = part_of(workload, part, each, round);
                        total.lock().unwrap().add(tally);
                    }
                });
            }
        });
        if total.lock().unwrap().states >= wanted {
            break;
        }
    }
    total.into_inner().unwrap()
}

#[test]
fn no_state_that_a_cut_can_leave_loses_or_invents_a_record() {
    let (wanted, each) = match std::env::var("RECOVER_LANE").as_deref() {
        Ok("full") => (1_000_000, 4096),
        Ok("bounded") => (50_000, 256),
        _ => (2_000, 4),
    };
    let tally = run(workloads::honest, wanted, each);
    println!(
        "power: {} states, {} acknowledged records lost, {} invented, {} unusable; {} different images judged",
        tally.states, tally.lost, tally.invented, tally.stuck, tally.judged
    );
    assert_eq!((tally.lost, tally.invented, tally.stuck), (0, 0, 0), "{:#?}", tally.cases);
    assert!(tally.states >= wanted);
}
