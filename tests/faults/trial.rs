//! One recovery with a fault, the work finished without one, and what the sandbox says came of it.

use std::process::Output;

use serde_json::Value;

use crate::plan::Injection;
use crate::sandbox::Sandbox;
use crate::strace;

/// What came of a trial.
#[derive(Default)]
pub struct Report {
    /// Whether the command ended otherwise than without a fault.
    pub met: bool,
    /// Whether a person had to answer before the work could be finished.
    pub asked: bool,
    /// Whether a sync of a segment of the log failed.
    pub synced_in_vain: bool,
    pub problems: Vec<String>,
}

/// A run that is not over after so many resumes goes in circles.
const RESUMES_MAX: u32 = 5;

pub fn run(sandbox: &mut Sandbox, injection: &Injection) -> Report {
    if !sandbox.has_identity() {
        *sandbox = Sandbox::up();
    }
    sandbox.command(&["up"]);
    sandbox.lose(false);
    let before = intents(sandbox);
    let (output, syncs) = strace::recovery(sandbox, injection);
    let mut report = Report { met: !output.status.success(), ..Report::default() };
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if said.contains("panicked") {
        report.problems.push(format!("panic: {said}"));
    }
    if !injection.is_kill() && output.status.code().is_none_or(|code| code == 137) {
        report.problems.push(format!("it did not end by itself: {said}"));
    }
    // What was written may be on the disk or not, and no later sync tells: the only way on is to end, and to begin anew.
    if syncs.failed && (output.status.code() != Some(JOURNAL_NOT_WRITABLE) || syncs.again) {
        report.problems.push(format!(
            "went on after a failed sync: exit {:?}, synced again {}",
            output.status.code(),
            syncs.again
        ));
    }
    report.synced_in_vain = syncs.failed;
    let ledger = sandbox.ledger();
    for (effect, step) in [("mints", "mint"), ("pairs", "pair")] {
        let intended =
            intents(sandbox).iter().filter(|s| *s == step).count() - before.iter().filter(|s| *s == step).count();
        let done = ledger[effect].as_u64().unwrap();
        if done > intended as u64 {
            report.problems.push(format!("effect without a durable intent: {done} {effect}, {intended} intents"));
        }
    }
    finish(sandbox, &mut report);
    let ledger = sandbox.ledger();
    match ledger["pairs"].as_u64().unwrap() {
        1 => {}
        0 => report.problems.push("lost: the pairing".to_owned()),
        pairs => report.problems.push(format!("duplicate: {pairs} pairings")),
    }
    if ledger["live_tokens"] != 0 {
        report.problems.push(format!("{} tokens still work", ledger["live_tokens"]));
    }
    if !report.problems.is_empty() {
        report.problems.push(format!("context: exit {:?}: {said}", output.status.code()));
    }
    report
}

/// Resumes what is open, answers what it asks as its own hint says, or begins anew where nothing was begun.
fn finish(sandbox: &Sandbox, report: &mut Report) {
    let mut last = String::new();
    for _ in 0..RESUMES_MAX {
        let resumed = sandbox.recover(&["resume", "--all"]);
        last = text(&resumed);
        if resumed.status.code() == Some(OPERATOR_NEEDED) {
            report.asked = true;
            answer(sandbox);
        }
        if !resumed.status.success() {
            continue;
        }
        if sandbox.ledger()["pairs"] != 0 {
            return verified(sandbox, report);
        }
        let again = sandbox.recover(&["--scenario", "identity-loss", "--target", "edge-1", "--yes"]);
        last = text(&again);
        if again.status.success() {
            return verified(sandbox, report);
        }
    }
    report.problems.push(format!("not finished: {last}"));
}

/// The exit code of a journal that could not be written.
const JOURNAL_NOT_WRITABLE: i32 = 74;
/// The exit code that says that a person must answer.
const OPERATOR_NEEDED: i32 = 4;

/// What an operator does who reads the question after the fault is gone: tries again where that is a choice, and else says no,
/// so that the run ends as found and another one can begin.
fn answer(sandbox: &Sandbox) {
    let status = sandbox.recover(&["status", "--output", "json"]);
    for line in String::from_utf8_lossy(&status.stdout).lines() {
        let Ok(line) = serde_json::from_str::<Value>(line) else { continue };
        let (Some(run), Some(question)) = (line["run"].as_str(), line["question"]["id"].as_str()) else { continue };
        sandbox.recover(&[
            "approve",
            run,
            "--question",
            question,
            "--choice",
            "retry",
            "--reason",
            "the fault is gone",
        ]);
    }
}

fn verified(sandbox: &Sandbox, report: &mut Report) {
    let verified = sandbox.recover(&["verify", "--all"]);
    if !verified.status.success() {
        report.problems.push(format!("the journal does not verify: {}", text(&verified)));
    }
}

fn text(output: &Output) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    format!("exit {:?}: {} {}", output.status.code(), out.lines().last().unwrap_or_default(), err.trim())
}

/// The steps that were intended, as the log holds them: whoever reads needs no lock.
fn intents(sandbox: &Sandbox) -> Vec<String> {
    let events = sandbox.recover(&["events", "--output", "json"]);
    let lines = String::from_utf8_lossy(&events.stdout).into_owned();
    let lines = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["kind"] == "intent").filter_map(|line| line["step"].as_str().map(str::to_owned)).collect()
}
