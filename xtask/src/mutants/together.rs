//! Runs mutants that are all in one build: one build for a package instead of one for each of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Instant;

use super::Package;
use super::build::{self, Built};
use super::list::Mutant;
use super::order::Order;
use super::store::Verdict;
use super::switch;
use super::trial::{self, Ending};
use crate::parallel;

/// How many come out before they are written down: what is stopped loses no more than that.
const BATCH: usize = 20;

/// Runs these mutants of a package, and tells what came of each; gives those that need a build of their own.
pub(super) fn run<'a>(
    tree: &Path,
    package: &Package,
    todo: &[&'a Mutant],
    mut tell: impl FnMut(&[(&'a Mutant, Verdict)]) -> Result<(), String> + Send,
) -> Result<Vec<&'a Mutant>, String> {
    if todo.len() > switch::MOST {
        return Err(format!("{} mutants are too many for one build: `--shard`", todo.len()));
    }
    let numbered: Vec<(u32, &Mutant)> = (1..).zip(todo.iter().copied()).collect();
    let Built { unviable, left, early } = build::build(tree, package, &numbered)?;
    let of: BTreeMap<u32, &'a Mutant> = (1..).zip(todo.iter().copied()).collect();
    let refused: Vec<(&Mutant, Verdict)> = unviable.iter().map(|number| (of[number], Verdict::Unviable)).collect();
    tell(&refused)?;
    let mut rest: Vec<&Mutant> = left.iter().map(|number| of[number]).collect();
    let mut alive: Vec<u32> = of.keys().copied().filter(|n| !unviable.contains(n) && !left.contains(n)).collect();
    eprintln!("{} mutants of {} in one build, {} are left", alive.len(), package.name, rest.len());
    for (index, round) in package.rounds.iter().enumerate() {
        if alive.is_empty() {
            break;
        }
        let order = Order::of(build::tests(tree, package, round)?, &scratch)?;
        // What is compiled may have gone past some: only a build of its own can say that they survived.
        let last = |number: &u32| index + 1 == package.rounds.len() && !early.contains(number);
        alive = survivors(&order, &alive, &of, &last, &mut tell)?;
        alive.iter().for_each(|number| eprintln!("still alive: {}", of[number].name));
    }
    rest.extend(alive.iter().filter(|number| early.contains(number)).map(|number| of[number]));
    Ok(rest)
}

/// Runs these mutants against a round's tests, tells which were noticed, and gives the others; of those that no later round
/// will see it tells that they survived.
fn survivors<'a>(
    order: &Order,
    list: &[u32],
    of: &BTreeMap<u32, &'a Mutant>,
    last: &(impl Fn(&u32) -> bool + Sync),
    tell: &mut (impl FnMut(&[(&'a Mutant, Verdict)]) -> Result<(), String> + Send),
) -> Result<Vec<u32>, String> {
    let begun = Instant::now();
    let done = Mutex::new((0, Vec::new(), Vec::new(), tell));
    parallel::each(trial::at_once(), list, |worker, number| {
        let verdict = verdict(order, *number, &of[number].file, &scratch(worker))?;
        let mut done = done.lock().map_err(|_| "another worker broke off")?;
        let (count, batch, alive, tell) = &mut *done;
        *count += 1;
        if verdict == Verdict::Missed {
            alive.push(*number);
        }
        if verdict != Verdict::Missed || last(number) {
            batch.push((of[number], verdict));
        }
        if batch.len() >= BATCH {
            tell(&std::mem::take(batch))?;
            let each = begun.elapsed().as_secs_f64() / as_f64(*count);
            eprintln!("{count} of {}: {each:.1} s each, {} alive", list.len(), alive.len());
        }
        Ok(())
    })?;
    let (_, batch, mut alive, tell) = done.into_inner().map_err(|_| "a worker broke off")?;
    tell(&batch)?;
    alive.sort_unstable();
    Ok(alive)
}

#[expect(clippy::cast_precision_loss, reason = "a count of some thousands, for people to read")]
const fn as_f64(count: usize) -> f64 {
    count as f64
}

/// Where a worker's tests leave their files.
fn scratch(worker: usize) -> PathBuf {
    std::env::temp_dir().join(format!("mutant-{}-{worker}", std::process::id()))
}

fn verdict(order: &Order, number: u32, file: &str, scratch: &Path) -> Result<Verdict, String> {
    for (index, group) in order.of_mutant(number, file) {
        let (ending, _) = trial::run(&group.tests, &group.names(number), number, group.limit, scratch)?;
        order.note(file, index, ending != Ending::Passed);
        match ending {
            Ending::Passed => {}
            Ending::Failed => return Ok(Verdict::Caught),
            Ending::Late => return Ok(Verdict::Timeout),
        }
    }
    Ok(Verdict::Missed)
}
