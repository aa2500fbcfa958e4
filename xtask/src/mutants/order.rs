//! Which tests are run for a mutant: what comes to its place; and first what costs little and has killed much in the same file.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::build::Tests;
use super::trial::{self, Ending, Limit, Took};

/// A test that takes less is run together with others like it: starting a process would cost more.
const QUICK: Duration = Duration::from_millis(100);

/// Tests of one binary that are run in one process.
pub(super) struct Group {
    pub(super) tests: Tests,
    /// By their names.
    pub(super) names: Vec<String>,
    pub(super) limit: Limit,
    cost: f64,
    /// The mutants whose places it comes to: it can tell of no other.
    reached: BTreeSet<u32>,
}

/// The groups of a package's tests, and what they have done so far.
#[derive(Default)]
pub(super) struct Order {
    groups: Vec<Group>,
    /// By file and group: how often it was run, and how often a test failed.
    seen: Mutex<BTreeMap<(String, usize), (u32, u32)>>,
}

impl Order {
    /// The tests must pass with no mutant on; how long each takes then says what it costs, and how long it may take.
    pub(super) fn of(binaries: Vec<Tests>, scratch: &std::path::Path) -> Result<Self, String> {
        let mut order = Self::default();
        for tests in binaries {
            let name = tests.binary.display().to_string();
            let (ending, took) = trial::run(&tests, &[], 0, Limit::NONE, scratch)?;
            match ending {
                Ending::Passed => eprintln!("{name}: {:.1} s, {} tests", took.wall.as_secs_f64(), took.tests.len()),
                Ending::Failed | Ending::Late => return Err(format!("{name} does not pass on the code as it is")),
            }
            order.add(&tests, took);
        }
        // Once more, group by group, to see where each comes to.
        for group in &mut order.groups {
            let (ending, took) = trial::run(&group.tests, &group.names, 0, Limit::NONE, scratch)?;
            if ending != Ending::Passed {
                return Err(format!("{} passed first, and then not", group.names.join(", ")));
            }
            group.reached = took.reached;
        }
        Ok(order)
    }

    fn add(&mut self, tests: &Tests, took: Took) {
        let (quick, slow): (Vec<_>, Vec<_>) = took.tests.into_iter().partition(|(_, time)| *time < QUICK);
        let groups = slow.into_iter().map(|one| vec![one]).chain([quick]).filter(|group| !group.is_empty());
        self.groups.extend(groups.map(|group| {
            let time = group.iter().map(|(_, time)| *time).sum::<Duration>();
            let names = group.into_iter().map(|(name, _)| name).collect();
            Group {
                tests: tests.clone(),
                names,
                limit: Limit::of(time),
                cost: time.as_secs_f64() + 0.02,
                reached: BTreeSet::new(),
            }
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
        let mut groups: Vec<(usize, &Group)> = groups.filter(|(_, group)| group.reached.contains(&number)).collect();
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
        let test = |name: &str, ms| (name.to_owned(), Duration::from_millis(ms));
        let tests_of_it = vec![test("a", 3_000), test("b", 10), test("c", 20), test("d", 1_000)];
        let mut order = Order::default();
        order.add(&tests, Took { wall: Duration::from_secs(5), tests: tests_of_it, reached: BTreeSet::new() });
        order.groups.iter_mut().for_each(|group| group.reached = BTreeSet::from([1]));
        order.groups[1].reached.insert(2);
        let names = |file: &str| -> Vec<String> {
            order.of_mutant(1, file).iter().map(|(_, group)| group.names.join("+")).collect()
        };
        assert_eq!(names("x.rs"), ["b+c", "d", "a"]);
        for _ in 0..9 {
            order.note("x.rs", 1, false);
            order.note("x.rs", 0, true);
        }
        assert_eq!(names("x.rs"), ["b+c", "a", "d"]);
        assert_eq!(names("y.rs"), ["b+c", "d", "a"], "each file has tests of its own");
        assert_eq!(order.of_mutant(2, "x.rs").len(), 1, "the others do not come to it");
        assert!(order.of_mutant(3, "x.rs").is_empty());
    }
}
