//! Runs mutants that are all in one build: one build for a package instead of one for each of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use super::Package;
use super::build::{self, Built};
use super::list::Mutant;
use super::order::Order;
use super::store::Verdict;
use super::switch;
use super::trial::{self, Ending};

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
    for round in package.rounds {
        if alive.is_empty() {
            break;
        }
        let order = Order::of(build::tests(tree, package, round)?, &scratch(0))?;
        alive = survivors(&order, &alive, &of, &mut tell)?;
        alive.iter().for_each(|number| eprintln!("still alive: {}", of[number].name));
    }
    // What is compiled may have gone past some: only a build of its own can say that they survived.
    let (compiled, survived): (Vec<u32>, Vec<u32>) = alive.iter().partition(|number| early.contains(number));
    rest.extend(compiled.iter().map(|number| of[number]));
    let survived: Vec<(&Mutant, Verdict)> = survived.iter().map(|number| (of[number], Verdict::Missed)).collect();
    tell(&survived)?;
    Ok(rest)
}

/// Runs these mutants against a round's tests, tells which were noticed, and gives the others.
fn survivors<'a>(
    order: &Order,
    list: &[u32],
    of: &BTreeMap<u32, &'a Mutant>,
    tell: &mut (impl FnMut(&[(&'a Mutant, Verdict)]) -> Result<(), String> + Send),
) -> Result<Vec<u32>, String> {
    let begun = Instant::now();
    let next = AtomicUsize::new(0);
    let done = Mutex::new((Vec::new(), Vec::new(), tell));
    let worker = |worker: usize| -> Result<(), String> {
        while let Some((index, number)) =
            Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|n| Some((n, list.get(n)?)))
        {
            let verdict = verdict(order, *number, &of[number].file, &scratch(worker))?;
            let mut done = done.lock().map_err(|_| "another worker broke off")?;
            let (batch, alive, tell) = &mut *done;
            if verdict == Verdict::Missed {
                alive.push(*number);
            } else {
                batch.push((of[number], verdict));
            }
            if batch.len() >= BATCH {
                tell(&std::mem::take(batch))?;
                let each = begun.elapsed().as_secs_f64() / as_f64(index + 1);
                eprintln!("{} of {}: {each:.1} s each, {} alive", index + 1, list.len(), alive.len());
            }
        }
        Ok(())
    };
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let ended: Vec<Result<(), String>> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..workers).map(|n| scope.spawn(move || worker(n))).collect();
        running.into_iter().map(|thread| thread.join().unwrap_or_else(|_| Err("a worker broke off".into()))).collect()
    });
    let (batch, mut alive, tell) = done.into_inner().map_err(|_| "a worker broke off")?;
    tell(&batch)?;
    ended.into_iter().collect::<Result<Vec<()>, _>>()?;
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
        let (ending, _) = trial::run(&group.tests, &group.names, number, group.limit, scratch)?;
        order.note(file, index, ending != Ending::Passed);
        match ending {
            Ending::Passed => {}
            Ending::Failed => return Ok(Verdict::Caught),
            Ending::Late => return Ok(Verdict::Timeout),
        }
    }
    Ok(Verdict::Missed)
}
