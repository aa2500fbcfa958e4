//! Whether what a cut left holds all that was acknowledged and nothing else, before and after it is written on.

use std::sync::Arc;

use recover_engine::{Entry, Journal, RunId};
use recover_journal::testing::entries::run;
use recover_journal::testing::salvage;
use recover_journal::testing::sim::SimStorage;
use recover_journal::{CommitLog, Evidence};

use crate::common::{entries, frames, reader};
use crate::workloads::{AUTHOR, Promise, Workload};

/// What is wrong with a state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    /// Something acknowledged is not there.
    Lost(String),
    /// Something is there that was never written, or not so.
    Invented(String),
    /// It cannot be read or written on.
    Stuck(String),
}

/// The run that is appended to what was left.
const NEXT: u64 = 900;

/// Judges what was left when the power went after `cut` operations.
pub(crate) fn judge(workload: &Workload, cut: usize, left: &SimStorage) -> Result<(), Problem> {
    let promises = || workload.promises.iter().filter(|(at, _)| *at <= cut).map(|(_, promise)| promise);
    match &workload.frames {
        Some(written) => {
            let acked = promises()
                .filter_map(|promise| match promise {
                    Promise::Frames(frame) => Some(*frame),
                    _ => None,
                })
                .max();
            by_frames(workload, left, written, acked.unwrap_or(0) as usize)?;
        }
        None => by_runs(workload, left, promises())?,
    }
    beside(left, promises())
}

fn stuck(what: &'static str) -> impl Fn(&dyn std::fmt::Debug) -> Problem {
    move |error| Problem::Stuck(format!("{what}: {error:?}"))
}

fn prefix(left: &SimStorage, written: &[Vec<Entry>], acked: usize, when: &str) -> Result<usize, Problem> {
    let (read, error) = frames(left);
    let read = entries(read);
    if read.len() > written.len() || read != written[..read.len()] {
        return Err(Problem::Invented(format!("{when}: {} frames, not those that were written", read.len())));
    }
    if read.len() < acked {
        return Err(Problem::Lost(format!("{when}: {} of {acked} acknowledged frames, {error:?}", read.len())));
    }
    error.map_or(Ok(read.len()), |error| Err(stuck("read")(&error)))
}

fn by_frames(workload: &Workload, left: &SimStorage, written: &[Vec<Entry>], acked: usize) -> Result<(), Problem> {
    let report = reader(left).verify().map_err(|e| stuck("verify")(&e))?;
    let found = prefix(left, written, acked, "as it was left")?;
    if !report.damage.is_empty() {
        return Err(stuck("damage where the power went")(&report.damage));
    }
    let open = || CommitLog::open_inline(Arc::new(left.clone()), workload.options).map_err(|e| stuck("open")(&e));
    let log = open()?;
    if log.head().frame != found as u64 {
        return Err(Problem::Stuck(format!("opened at frame {} of {found}", log.head().frame)));
    }
    log.append_blocking(run(NEXT, 1)).map_err(|e| stuck("append")(&e))?;
    drop(log);
    let mut expected = written[..found].to_vec();
    expected.push(run(NEXT, 1));
    drop(open()?);
    prefix(left, &expected, expected.len(), "written on").map(drop)
}

/// A log that was salvaged, or half salvaged: the command is given again, as a person would.
fn by_runs<'a>(
    workload: &Workload,
    left: &SimStorage,
    promises: impl Iterator<Item = &'a Promise> + Clone,
) -> Result<(), Problem> {
    held(left, promises.clone(), "as it was left", false)?;
    let storage: Arc<dyn recover_journal::Storage> = Arc::new(left.clone());
    salvage(&storage, workload.options, AUTHOR, "again").map_err(|e| stuck("salvage")(&e))?;
    let open = || CommitLog::open_inline(Arc::clone(&storage), workload.options).map_err(|e| stuck("open")(&e));
    let log = open()?;
    let own = log.read(RunId::JOURNAL).map_err(|e| stuck("own records")(&e))?;
    if own.is_empty() {
        return Err(Problem::Lost("the record of the salvage".into()));
    }
    drop(log);
    drop(open()?);
    held(left, promises, "salvaged again", true)?;
    let damage = reader(left).verify().map_err(|e| stuck("verify")(&e))?.damage;
    if damage.is_empty() { Ok(()) } else { Err(stuck("damage after the salvage")(&damage)) }
}

fn held<'a>(
    left: &SimStorage,
    promises: impl Iterator<Item = &'a Promise>,
    when: &str,
    journals_own: bool,
) -> Result<(), Problem> {
    for promise in promises {
        let Promise::Run(run, written) = promise else { continue };
        if *run == RunId::JOURNAL && !journals_own {
            continue;
        }
        let read = match reader(left).run(*run) {
            Ok(read) => read.into_iter().map(|stored| stored.entry).collect::<Vec<_>>(),
            Err(error) => return Err(Problem::Lost(format!("{when}: run {run}: {error}"))),
        };
        if read.len() < written.len() {
            return Err(Problem::Lost(format!("{when}: {} of {} records of {run}", read.len(), written.len())));
        }
        if !read.starts_with(written) || (*run != RunId::JOURNAL && read.len() > written.len()) {
            return Err(Problem::Invented(format!("{when}: records of {run}")));
        }
    }
    Ok(())
}

/// What lies beside the log: texts and the machine.
fn beside<'a>(left: &SimStorage, promises: impl Iterator<Item = &'a Promise>) -> Result<(), Problem> {
    let evidence = Evidence::new(Arc::new(left.clone()));
    let mut machine = None;
    for promise in promises {
        match promise {
            Promise::Evidence(digest) => {
                evidence.get(*digest).map_err(|error| Problem::Lost(error.to_string()))?;
            }
            Promise::Machine(name) => machine = Some(*name),
            Promise::Frames(_) | Promise::Run(..) => {}
        }
    }
    let found = left.files().get("machine").cloned();
    match (machine, found.as_deref()) {
        (None, None | Some(b"first\n")) | (Some("first"), Some(b"first\n")) => Ok(()),
        (Some(_), Some(b"second\n")) => Ok(()),
        (wanted, found) => Err(Problem::Lost(format!("the machine: {found:?} for {wanted:?}"))),
    }
}
