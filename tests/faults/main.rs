//! System calls of the real binary that fail or are its last: strace makes them so, one after the other, over a whole
//! recovery. Then the work is finished without faults, and the sandbox's own ledger is asked what happened.
//!
//! `RECOVER_LANE=bounded` (the default) takes a spread of the calls, `full` every one. What strace cannot do truthfully, a
//! write that is cut short, is done through the storage trait in the journal's own tests.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    unreachable_pub,
    missing_docs,
    reason = "a program for developers: what does not hold ends it, and nobody links against it"
)]

mod plan;
#[path = "../harness/sandbox.rs"]
mod sandbox;
mod strace;
mod trial;

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// Trials at once: each waits for its connector most of the time.
const AT_ONCE: usize = 4;

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some("--list") {
        println!("system_calls: test");
        return ExitCode::SUCCESS;
    }
    if !strace::is_there() {
        println!("faults: strace is not on PATH: NOT RUN");
        println!("test result: ok. 0 passed; 0 failed; 1 ignored");
        return ExitCode::SUCCESS;
    }
    let full = std::env::var("RECOVER_LANE").is_ok_and(|lane| lane == "full");
    let begun = Instant::now();
    let mut plan = plan::of(&strace::calls_of_a_run(&sandbox::Sandbox::up()), full);
    // Part of an injection as it is printed, to look at some alone.
    if let Ok(only) = std::env::var("RECOVER_FAULTS_ONLY") {
        plan.retain(|injection| injection.to_string().contains(&only));
    }
    let next = AtomicUsize::new(0);
    let problems = Mutex::new(Vec::new());
    let (met, asked, in_vain) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                let mut sandbox = sandbox::Sandbox::up();
                while let Some(injection) = plan.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let report = trial::run(&mut sandbox, injection);
                    met.fetch_add(usize::from(report.met), Ordering::Relaxed);
                    asked.fetch_add(usize::from(report.asked), Ordering::Relaxed);
                    in_vain.fetch_add(usize::from(report.synced_in_vain), Ordering::Relaxed);
                    for problem in report.problems {
                        println!("faults: PROBLEM {injection}: {problem}");
                        problems.lock().unwrap().push(problem);
                    }
                }
            });
        }
    });
    let problems = problems.into_inner().unwrap();
    let kills = plan.iter().filter(|injection| injection.is_kill()).count();
    let count = |word: &str| problems.iter().filter(|problem| problem.starts_with(word)).count();
    println!(
        "faults: {} injections, {kills} of them kills; {} changed how the command ended, {} led to a question that was \
         answered, {} were a failed sync of the log; {} lost, {} duplicate, {} effects \
         without a durable intent, {} other problems; {} s",
        plan.len(),
        met.load(Ordering::Relaxed),
        asked.load(Ordering::Relaxed),
        in_vain.load(Ordering::Relaxed),
        count("lost"),
        count("duplicate"),
        count("effect"),
        problems.len() - count("lost") - count("duplicate") - count("effect"),
        begun.elapsed().as_secs(),
    );
    let failed = usize::from(!problems.is_empty());
    println!(
        "test result: {}. {} passed; {failed} failed; 0 ignored",
        if failed == 0 { "ok" } else { "FAILED" },
        1 - failed
    );
    ExitCode::from(u8::from(failed > 0))
}
