//! Which tests are run for a mutant: what comes to its place; and first what costs little and has killed much in the same file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::build::Tests;
use super::trial::{self, Ending, Limit, Took};
use crate::parallel;

/// A test that takes less is run together with others like it: starting a process would cost more.
const QUICK: Duration = Duration::from_millis(100);

/// Tests of one binary that are run in one process.
pub(super) struct Group {
    pub(super) tests: Tests,
    /// By their names, each with the mutants whose places it comes to: it can tell of no other.
    names: Vec<(String, BTreeSet<u32>)>,
    pub(super) limit: Limit,
    cost: f64,
}

impl Group {
    /// The names of its tests that come to the place of this mutant.
    pub(super) fn names(&self, number: u32) -> Vec<String> {
        self.names.iter().filter(|(_, reached)| reached.contains(&number)).map(|(name, _)| name.clone()).collect()
    }
}

/// The groups of a package's tests, and what they have done so far.
#[derive(Default)]
pub(super) struct Order {
    groups: Vec<Group>,
    /// By file and group: how often it was run, and how often a test failed.
    seen: Mutex<BTreeMap<(String, usize), (u32, u32)>>,
}

impl Order {
    /// The tests must pass with no mutant on, each by itself; what each takes then says how long it may take, and where it comes to
    /// which mutants it is run for.
    pub(super) fn of(binaries: Vec<Tests>, scratch: &(impl Fn(usize) -> PathBuf + Sync)) -> Result<Self, String> {
        let mut order = Self::default();
        for tests in binaries {
            let names = trial::names(&tests)?;
            let begun = Instant::now();
            let took = parallel::each(trial::at_once(), &names, |worker, name| {
                match trial::run(&tests, std::slice::from_ref(name), 0, Limit::NONE, &scratch(worker))? {
                    (Ending::Passed, took) => Ok(took),
                    (Ending::Failed | Ending::Late, _) => Err(format!("{name} does not pass on the code as it is")),
                }
            })?;
            let busy: Duration = took.iter().map(|(_, took)| took.busy).sum();
            let name = tests.binary.display();
            eprintln!(
                "{name}: {:.1} s, {:.1} s of a core, {} tests",
                begun.elapsed().as_secs_f64(),
                busy.as_secs_f64(),
                took.len()
            );
            order.add(&tests, took.into_iter().map(|(at, took)| (names[at].clone(), took)).collect());
        }
        Ok(order)
    }

    fn add(&mut self, tests: &Tests, took: Vec<(String, Took)>) {
        let (quick, slow): (Vec<_>, Vec<_>) = took.into_iter().partition(|(_, took)| took.busy < QUICK);
        let groups = slow.into_iter().map(|one| vec![one]).chain([quick]).filter(|group| !group.is_empty());
        self.groups.extend(groups.map(|group| {
            let (mut all, mut names) = (Took::default(), Vec::new());
            for (name, took) in group {
                all.busy += took.busy;
                all.wall += took.wall;
                names.push((name, took.reached));
            }
            Group { tests: tests.clone(), names, limit: Limit::of(&all), cost: all.busy.as_secs_f64() + 0.02 }
        }));
    }

    /// The groups that come to the place of this mutant of this file, in the order in which it meets them. (What is drawn at random
    /// may come to it in one run and not in the next: such a test kills by luck, and is not counted on.)
    pub(super) fn of_mutant(&self, number: u32, file: &str) -> Vec<(usize, &Group)> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        // What is paid for a kill, as far as is known; half of all, where nothing is.
        let price = |(index, group): &(usize, &Group)| {
            let (run, failed) = seen.get(&(file.to_owned(), *index)).copied().unwrap_or_default();
            group.cost * f64::from(run + 2) / f64::from(failed + 1)
        };
        let groups = self.groups.iter().enumerate();
        let mut groups: Vec<(usize, &Group)> = groups.filter(|(_, group)| !group.names(number).is_empty()).collect();
        groups.sort_by(|one, other| price(one).total_cmp(&price(other)));
        groups
    }

    /// Takes note of what came of a group.
    pub(super) fn note(&self, file: &str, index: usize, killed: bool) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let (run, failed) = seen.entry((file.to_owned(), index)).or_default();
        *run += 1;
        *failed += u32::from(killed);
    }
}

#[cfg(test)]
mod tests_of_it {
    use super::*;

    #[test]
    fn the_quick_ones_go_together_and_what_has_killed_goes_first() {
        let tests = Tests { binary: "/b".into(), folder: "/".into() };
        let test = |name: &str, ms, reached: &[u32]| {
            let (busy, reached) = (Duration::from_millis(ms), reached.iter().copied().collect());
            (name.to_owned(), Took { busy, reached, ..Took::default() })
        };
        let tests_of_it =
            vec![test("a", 3_000, &[1]), test("b", 10, &[1, 2]), test("c", 20, &[1]), test("d", 1_000, &[1])];
        let mut order = Order::default();
        order.add(&tests, tests_of_it);
        let names = |file: &str| -> Vec<String> {
            order.of_mutant(1, file).iter().map(|(_, group)| group.names(1).join("+")).collect()
        };
        assert_eq!(names("x.rs"), ["b+c", "d", "a"]);
        for _ in 0..9 {
            order.note("x.rs", 1, false);
            order.note("x.rs", 0, true);
        }
        assert_eq!(names("x.rs"), ["b+c", "a", "d"]);
        assert_eq!(names("y.rs"), ["b+c", "d", "a"], "each file has tests of its own");
        let second: Vec<Vec<String>> = order.of_mutant(2, "x.rs").iter().map(|(_, group)| group.names(2)).collect();
        assert_eq!(second, [["b"]], "the others do not come to it");
        assert!(order.of_mutant(3, "x.rs").is_empty());
    }
}
