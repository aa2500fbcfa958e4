//! The mutation lane: every change that cargo-mutants can make to the pure crates must make a test fail.
//!
//! All mutants of a package are put into one build, each behind a switch, and the tests are run with one after the other switched
//! on; only those that cannot be switched get a build of their own. What came of each is kept in tests/mutants/outcomes.tsv, and
//! only what has no outcome yet, or survived without a reason, is run.

mod alone;
mod build;
mod kept;
mod list;
mod order;
mod sites;
mod store;
mod switch;
mod together;
mod trial;

use std::collections::BTreeMap;

use crate::exec;
use crate::lane::{Lane, Outcome};
use list::Mutant;
use store::{Reasons, Verdict};

/// What is asked of one run of the lane.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Work {
    /// Run nothing; judge what is kept.
    pub(crate) judge: bool,
    /// Run what has an outcome, and compare.
    pub(crate) again: bool,
    /// Only this package, by its last word.
    pub(crate) package: Option<String>,
    /// Only of these files; of all where none is named.
    pub(crate) files: Vec<String>,
    /// Only every n-th, beginning with the k-th.
    pub(crate) shard: Option<(usize, usize)>,
}

/// A crate whose mutants are judged.
struct Package {
    name: &'static str,
    /// The share of viable mutants that must be killed; of 100, each survivor needs a reason.
    percent: usize,
    /// The tests, the quick ones first: only what they leave alive sees the next round.
    rounds: &'static [Round],
}

/// Tests that are run together.
struct Round {
    packages: &'static [&'static str],
    /// As cargo takes them. Named one by one, so that neither a lane of its own nor a compile-fail test is among them.
    targets: &'static [&'static str],
}

/// Every situation of every scenario: it walks through whatever the pure crates say.
const EXPLORED: Round = Round { packages: &["recover-scenarios"], targets: &["--test=endings", "--test=explorer"] };
/// What each procedure is to do, told as stories, and what none may ever do.
const TOLD: Round = Round {
    packages: &["recover-scenarios"],
    targets: &[
        "--lib",
        "--test=bootstrap_failure",
        "--test=crash_loop",
        "--test=diagnosis",
        "--test=endings",
        "--test=identity_loss",
        "--test=kms",
        "--test=reconnect_failure",
        "--test=never",
    ],
};
/// The machine under every crash and every answer: an order of magnitude slower.
const SIMULATED: Round = Round { packages: &["recover-scenarios"], targets: &["--test=sim"] };

const PACKAGES: &[Package] = &[
    Package {
        name: "recover-engine",
        percent: 100,
        rounds: &[
            Round { packages: &["recover-engine"], targets: &["--lib", "--test=rules", "--test=model"] },
            EXPLORED,
            SIMULATED,
        ],
    },
    Package {
        name: "recover-journal",
        percent: 100,
        rounds: &[
            Round { packages: &["recover-journal"], targets: &["--lib", "--test=suite", "--test=state_dir"] },
            Round { packages: &["recover-journal"], targets: &["--test=flip", "--test=io", "--test=power"] },
        ],
    },
    Package {
        name: "recover-steps",
        percent: 90,
        rounds: &[
            Round { packages: &["recover-steps"], targets: &["--lib", "--test=words"] },
            TOLD,
            EXPLORED,
            SIMULATED,
        ],
    },
    Package { name: "recover-scenarios", percent: 90, rounds: &[TOLD, EXPLORED, SIMULATED] },
];

/// Whether there is such a package, by its last word.
pub(crate) fn is_package(word: &str) -> bool {
    PACKAGES.iter().any(|package| package.word() == word)
}

impl Package {
    fn word(&self) -> &'static str {
        self.name.trim_start_matches("recover-")
    }
}

/// Runs what is to be run, and judges all that is known.
pub(crate) fn lane(work: &Work) -> Lane {
    let name = if work.judge { "mutants --judge" } else { "mutants" };
    Lane::run(name, || mutants(work).unwrap_or_else(Outcome::failed))
}

fn mutants(work: &Work) -> Result<Outcome, String> {
    let folder = exec::root().join("tests/mutants");
    let reasons = Reasons::read(&folder.join("reasons.tsv"))?;
    let mut known = store::Outcomes::read(&folder.join("outcomes.tsv"))?;
    let all = if work.judge { kept::of(&exec::root(), &known)? } else { listed()? };
    let stale = known.retain(&all);
    let chosen = |package: &&Package| work.package.as_deref().is_none_or(|only| only == package.word());
    let mut differ = Vec::new();
    for package in PACKAGES.iter().filter(chosen).filter(|_| !work.judge) {
        let of_it = all.iter().filter(|mutant| mutant.package == package.name);
        let mut todo: Vec<&Mutant> = of_it.filter(|mutant| wanted(mutant, work, &known, &reasons)).collect();
        // What survived first: a test has been written for it meanwhile.
        todo.sort_by_key(|mutant| known.of(mutant).is_none());
        let todo = sharded(todo, work.shard);
        if work.again {
            differ.extend(again(package, &todo, &known)?);
        } else {
            run(package, &todo, &mut known)?;
        }
    }
    let mut outcome = judge(&all, &known, &reasons, stale);
    if work.judge {
        outcome.notes.push("what was never run is not listed here: `cargo xtask mutants` counts it".into());
    }
    if !differ.is_empty() {
        outcome.failure = Some(format!("{} came out differently", differ.len()));
        outcome.notes.extend(differ);
    }
    Ok(outcome)
}

/// All that cargo-mutants can make of the packages.
fn listed() -> Result<Vec<Mutant>, String> {
    let tree = alone::tree()?;
    let of_package = |package: &Package| list::of(&tree, package.name);
    Ok(PACKAGES.iter().map(of_package).collect::<Result<Vec<_>, _>>()?.concat())
}

fn wanted(mutant: &Mutant, work: &Work, known: &store::Outcomes, reasons: &Reasons) -> bool {
    if !work.files.is_empty() && !work.files.contains(&mutant.file) {
        return false;
    }
    match known.of(mutant) {
        None => !work.again,
        Some(Verdict::Missed) => work.again || !reasons.has(mutant),
        Some(Verdict::Caught | Verdict::Timeout | Verdict::Unviable) => work.again,
    }
}

/// Runs these mutants, all that can be in one build, then the others each in its own.
fn run(package: &Package, todo: &[&Mutant], known: &mut store::Outcomes) -> Result<(), String> {
    if todo.is_empty() {
        return Ok(());
    }
    let left = together::run(&alone::tree()?, package, todo, |outcomes| {
        outcomes.iter().for_each(|(mutant, verdict)| known.set(mutant, *verdict));
        known.write()
    })?;
    // Each of them is alone in a source that is otherwise as it was.
    alone::run(&alone::tree()?, package, &left, known)
}

/// Runs these mutants, and says what came out otherwise than is kept. Nothing is kept of it.
fn again(package: &Package, todo: &[&Mutant], known: &store::Outcomes) -> Result<Vec<String>, String> {
    if todo.is_empty() {
        return Ok(Vec::new());
    }
    let mut differ = Vec::new();
    let mut same = 0;
    let left = together::run(&alone::tree()?, package, todo, |outcomes| {
        for (mutant, verdict) in outcomes {
            match known.of(mutant) {
                Some(kept) if kept.is_killed() == verdict.is_killed() && kept.is_viable() == verdict.is_viable() => {
                    same += 1;
                }
                kept => differ.push(format!("{}: {} now, {kept:?} before", mutant.name, verdict.word())),
            }
        }
        Ok(())
    })?;
    alone::tree()?;
    eprintln!(
        "{}: {same} came out the same, {} not, {} need a build of their own",
        package.word(),
        differ.len(),
        left.len()
    );
    Ok(differ)
}

/// The part of a list that a shard is.
fn sharded<T>(list: Vec<T>, shard: Option<(usize, usize)>) -> Vec<T> {
    let Some((k, n)) = shard else { return list };
    list.into_iter().skip(k - 1).step_by(n).collect()
}

/// Figures of one package.
#[derive(Default)]
struct Figures {
    viable: usize,
    killed: usize,
    excused: usize,
    unviable: usize,
    unknown: usize,
}

fn not_run(unknown: usize, all: usize) -> String {
    if unknown == 0 { String::new() } else { format!("; {unknown} of {all} not run") }
}

fn judge(all: &[Mutant], known: &store::Outcomes, reasons: &Reasons, stale: usize) -> Outcome {
    let mut outcome = Outcome::default();
    let mut figures: BTreeMap<&str, Figures> = BTreeMap::new();
    let mut unexcused: BTreeMap<&str, Vec<&Mutant>> = BTreeMap::new();
    for mutant in all {
        let figures = figures.entry(&mutant.package).or_default();
        match known.of(mutant) {
            None => figures.unknown += 1,
            Some(Verdict::Unviable) => figures.unviable += 1,
            Some(Verdict::Caught | Verdict::Timeout) => {
                figures.viable += 1;
                figures.killed += 1;
            }
            Some(Verdict::Missed) => {
                figures.viable += 1;
                if reasons.has(mutant) {
                    figures.excused += 1;
                } else {
                    unexcused.entry(&mutant.package).or_default().push(mutant);
                }
            }
        }
    }
    let mut failed = Vec::new();
    for package in PACKAGES {
        let Some(Figures { viable, killed, excused, unviable, unknown }) = figures.get(package.name) else { continue };
        let survivors = unexcused.remove(package.name).unwrap_or_default();
        survivors.iter().for_each(|mutant| println!("survived: {}", mutant.name));
        let left = survivors.len();
        outcome.notes.push(format!(
            "{}: {killed} of {viable} viable killed ({:.1} %), {excused} equivalent, {left} survived; {unviable} did not build{}",
            package.word(),
            100.0 * share(*killed, *viable),
            not_run(*unknown, viable + unviable + unknown),
        ));
        let enough = killed + excused;
        if enough * 100 < viable * package.percent {
            failed.push(format!("{}: {left} survived without a reason", package.word()));
        }
    }
    if stale > 0 {
        outcome.notes.push(format!("{stale} outcomes are of code that has changed since"));
    }
    let unused = reasons.unused(all);
    outcome.notes.extend(unused.iter().map(|line| format!("a reason for a mutant that is no more: {line}")));
    if !failed.is_empty() {
        outcome.failure = Some(failed.join("; "));
    }
    outcome
}

#[expect(clippy::cast_precision_loss, reason = "a share of some thousands, for people to read")]
fn share(part: usize, of: usize) -> f64 {
    if of == 0 { 0.0 } else { part as f64 / of as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mutant(place: &str) -> Mutant {
        Mutant {
            package: "recover-engine".into(),
            name: format!("engine/src/id.rs:{place}: replace a with b"),
            file: "engine/src/id.rs".into(),
            place: place.into(),
            what: "replace a with b".into(),
            hash: "0".into(),
            ..Mutant::default()
        }
    }

    #[test]
    fn a_survivor_without_a_reason_fails_and_one_with_a_reason_does_not() {
        let all = [mutant("+0:1"), mutant("+0:2")];
        let mut known = store::Outcomes::default();
        known.set(&all[0], Verdict::Caught);
        assert!(judge(&all, &known, &Reasons::default(), 0).failure.is_none(), "one was not run, none survived");
        known.set(&all[1], Verdict::Missed);
        assert!(judge(&all, &known, &Reasons::default(), 0).failure.is_some());
        let reasons = Reasons::parse("engine/src/id.rs\t+0:2\treplace a with b\tthe same\n").unwrap();
        assert!(judge(&all, &known, &reasons, 0).failure.is_none());
    }

    #[test]
    fn the_shards_are_all_of_it_and_nothing_twice() {
        let all: Vec<u32> = (0..10).collect();
        let mut parts: Vec<u32> = (1..=3).flat_map(|k| sharded(all.clone(), Some((k, 3)))).collect();
        parts.sort_unstable();
        assert_eq!(parts, all);
    }
}
