//! Runs mutants that are all in one build: one build for a package instead of one for each of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::Package;
use super::build::{self, Built, Tests};
use super::list::Mutant;
use super::store::Verdict;
use super::trial::{self, Ending, Limit, Took};

/// How many come out before they are written down: what is stopped loses no more than that.
const BATCH: usize = 20;

/// Tests, and how long they may take.
struct Timed {
    tests: Tests,
    limit: Limit,
}

/// Runs these mutants of a package, and tells what came of each; gives those that need a build of their own.
pub(super) fn run<'a>(
    tree: &Path,
    package: &Package,
    todo: &[&'a Mutant],
    mut tell: impl FnMut(&[(&'a Mutant, Verdict)]) -> Result<(), String> + Send,
) -> Result<Vec<&'a Mutant>, String> {
    let numbered: Vec<(u32, &Mutant)> = (1..).zip(todo.iter().copied()).collect();
    let Built { rounds, unviable, left, early } = build::build(tree, package, &numbered)?;
    let of: BTreeMap<u32, &'a Mutant> = (1..).zip(todo.iter().copied()).collect();
    let refused: Vec<(&Mutant, Verdict)> = unviable.iter().map(|number| (of[number], Verdict::Unviable)).collect();
    tell(&refused)?;
    let mut rest: Vec<&Mutant> = left.iter().map(|number| of[number]).collect();
    let timed = rounds.into_iter().map(timed).collect::<Result<Vec<_>, _>>()?;
    let list: Vec<u32> = of.keys().copied().filter(|n| !unviable.contains(n) && !left.contains(n)).collect();
    eprintln!("{} mutants of {} in one build, {} are left", list.len(), package.name, rest.len());
    let begun = Instant::now();
    let next = AtomicUsize::new(0);
    let done = Mutex::new((Vec::new(), &mut rest, 0_usize, &mut tell));
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let worker = |worker: usize| -> Result<(), String> {
        while let Some(number) = list.get(next.fetch_add(1, Ordering::Relaxed)) {
            let verdict = verdict(&timed, *number, &scratch(worker))?;
            let mut done = done.lock().map_err(|_| "another worker broke off")?;
            let (batch, rest, count, tell) = &mut *done;
            *count += 1;
            if verdict == Verdict::Missed && early.contains(number) {
                // What is compiled may have gone past it: only a build of its own can say that it survived.
                rest.push(of[number]);
            } else {
                batch.push((of[number], verdict));
            }
            if batch.len() >= BATCH {
                tell(&std::mem::take(batch))?;
                eprintln!("{count} of {}: {:.1} s each", list.len(), begun.elapsed().as_secs_f64() / as_f64(*count));
            }
        }
        Ok(())
    };
    let ended: Vec<Result<(), String>> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..workers).map(|n| scope.spawn(move || worker(n))).collect();
        running.into_iter().map(|thread| thread.join().unwrap_or_else(|_| Err("a worker broke off".into()))).collect()
    });
    let (batch, _, _, tell) = done.into_inner().map_err(|_| "a worker broke off")?;
    tell(&batch)?;
    ended.into_iter().collect::<Result<Vec<()>, _>>()?;
    Ok(rest)
}

#[expect(clippy::cast_precision_loss, reason = "a count of some thousands, for people to read")]
const fn as_f64(count: usize) -> f64 {
    count as f64
}

/// Where a worker's tests leave their files.
fn scratch(worker: usize) -> PathBuf {
    std::env::temp_dir().join(format!("mutant-{}-{worker}", std::process::id()))
}

/// The tests must pass with no mutant on; how long they may take with one. The quick ones come first.
fn timed(round: Vec<Tests>) -> Result<Vec<Timed>, String> {
    let mut timed = Vec::new();
    for tests in round {
        let (ending, took) = trial::run(&tests, 0, Limit::NONE, &scratch(0))?;
        let name = tests.binary.display().to_string();
        match ending {
            Ending::Passed => eprintln!("{name}: {}", shown(took)),
            Ending::Failed | Ending::Late => return Err(format!("{name} does not pass on the code as it is")),
        }
        timed.push((took.busy, Timed { tests, limit: Limit::of(took) }));
    }
    timed.sort_by_key(|(busy, _)| *busy);
    Ok(timed.into_iter().map(|(_, timed)| timed).collect())
}

fn shown(took: Took) -> String {
    let seconds = |time: Duration| time.as_secs_f64();
    format!("{:.1} s of a processor in {:.1} s", seconds(took.busy), seconds(took.wall))
}

fn verdict(rounds: &[Vec<Timed>], number: u32, scratch: &Path) -> Result<Verdict, String> {
    for Timed { tests, limit } in rounds.iter().flatten() {
        match trial::run(tests, number, *limit, scratch)?.0 {
            Ending::Passed => {}
            Ending::Failed => return Ok(Verdict::Caught),
            Ending::Late => return Ok(Verdict::Timeout),
        }
    }
    Ok(Verdict::Missed)
}
