//! Real power cuts, without a guest: the real binary with its state directory on a file system that forgets what was not
//! synced. The sandbox's own ledger is asked what happened, never the journal.
//!
//! `RECOVER_LANE=bounded` (the default) makes 200 cuts, `full` 2,000; `LOSSY=failed-sync` only lets syncs fail. Needs root and `/dev/fuse`; without them nothing is run, and
//! it says so.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    unreachable_pub,
    missing_docs,
    reason = "a program for developers: what does not hold ends it, and nobody links against it"
)]

mod cycles;
mod disk;
mod failed_sync;
mod mount;
mod plain;
mod random;
#[path = "../harness/sandbox.rs"]
mod sandbox;

use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().collect();
    match words.get(1).map(String::as_str) {
        Some("child") => plain::child(&words[2..]),
        // What test runners ask of every test binary.
        Some("--list") => println!("lossy: test"),
        _ => return run(),
    }
    ExitCode::SUCCESS
}

fn run() -> ExitCode {
    let at = tempfile::tempdir().unwrap();
    let lossy = match mount::Lossy::mount(at.path()) {
        Ok(lossy) => lossy,
        Err(error) => {
            println!("lossy: NOT RUN: no file system can be mounted here: {error}");
            println!("test result: ok. 0 passed; 0 failed; 1 ignored");
            return ExitCode::SUCCESS;
        }
    };
    let full = std::env::var("RECOVER_LANE").is_ok_and(|lane| lane == "full");
    let seed = std::env::var("RECOVER_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let mut problems = failed_syncs(&lossy, at.path(), full);
    if std::env::var("LOSSY").is_ok_and(|only| only == "failed-sync") {
        return end(&problems);
    }
    let runs = if full { 50 } else { 10 };
    let sled = plain::losses(&lossy, at.path(), plain::Who::Sled, runs, seed);
    let log = plain::losses(&lossy, at.path(), plain::Who::Journal, runs * 10, seed);
    if sled == 0 {
        problems.push("the disk forgot nothing under sled alone: it proves nothing about the journal".to_owned());
    }
    if log > 0 {
        problems.push(format!("the journal alone: {log} of {} runs lost acknowledged records", runs * 10));
    }
    let count = cycles::run(&lossy, at.path(), if full { 2_000 } else { 200 }, seed);
    problems.extend(count.problems);
    println!(
        "lossy: {} cuts, {} acknowledged lost, {} duplicate effects; sled alone: {sled} of {runs} runs lost acknowledged \
         entries; journal alone: {log} of {}; {} recoveries, {} reboots, {} acknowledged records looked for; seed {seed}",
        count.cuts,
        count.lost,
        count.duplicates,
        runs * 10,
        count.recoveries,
        count.reboots,
        count.looked_for
    );
    end(&problems)
}

fn failed_syncs(lossy: &mount::Lossy, at: &std::path::Path, full: bool) -> Vec<String> {
    let count =
        failed_sync::a_kill_after_a_failed_sync_and_then_a_power_cut_lose_nothing_and_pair_once(lossy, at, full);
    println!(
        "lossy: {} syncs that failed, with a power cut at once or under the next owner: {} acknowledged lost, {} duplicate \
         effects, {} other problems; {} acknowledged records looked for",
        count.cuts,
        count.lost,
        count.duplicates,
        count.problems.len(),
        count.looked_for
    );
    count.problems
}

fn end(problems: &[String]) -> ExitCode {
    problems.iter().for_each(|problem| println!("lossy: PROBLEM {problem}"));
    let failed = u32::from(!problems.is_empty());
    let word = if failed == 0 { "ok" } else { "FAILED" };
    println!("test result: {word}. {} passed; {failed} failed; 0 ignored", 1 - failed);
    ExitCode::from(u8::from(failed > 0))
}
