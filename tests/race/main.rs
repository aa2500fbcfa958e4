//! Many at once, copies elsewhere, and clocks that are wrong: whatever comes together, one acts, and it acts once.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    unreachable_pub,
    missing_docs,
    reason = "a program for developers: what does not hold ends it, and nobody links against it"
)]

mod clock;
mod clone;
mod crowd;
#[path = "../harness/sandbox.rs"]
mod sandbox;

use std::process::{ExitCode, Output};

/// What a check shows, or what it found wrong.
type Check = fn() -> Result<String, String>;

const CHECKS: &[(&str, Check)] = &[
    ("start", crowd::starts),
    ("resume", crowd::resumes),
    ("clone", clone::on_another_machine),
    ("clock", clock::wrong),
    ("clock-back", clock::back_and_forth),
    ("clock-question", clock::question),
];

pub const GO: &[&str] = &["--scenario", "identity-loss", "--target", "edge-1", "--yes", "--output", "json"];

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words.iter().any(|word| word == "--list") {
        CHECKS.iter().for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    let only = words.iter().find(|word| !word.starts_with('-'));
    let (mut passed, mut failed, mut ignored) = (0, 0, 0);
    for (name, check) in CHECKS.iter().filter(|(name, _)| only.is_none_or(|only| name.contains(only.as_str()))) {
        match check() {
            Ok(said) => {
                println!("race: {said}");
                if said.contains("NOT RUN") { ignored += 1 } else { passed += 1 }
            }
            Err(why) => {
                println!("race: PROBLEM {name}: {why}");
                failed += 1;
            }
        }
    }
    let word = if failed == 0 { "ok" } else { "FAILED" };
    println!("test result: {word}. {passed} passed; {failed} failed; {ignored} ignored");
    ExitCode::from(u8::from(failed > 0))
}

/// The exit code, and the last line of either output.
pub fn said(output: &Output) -> String {
    let last = |bytes: &[u8]| String::from_utf8_lossy(bytes).lines().last().unwrap_or_default().to_owned();
    format!(
        "exit {:?}: {} {}",
        output.status.code(),
        last(&output.stdout),
        String::from_utf8_lossy(&output.stderr).trim()
    )
}

/// The result line.
pub fn result(output: &Output) -> serde_json::Value {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    serde_json::from_str(text.lines().last().unwrap_or("null")).unwrap_or_default()
}

/// One pairing, no more mints than `mints`, each under a label of its own, nothing that still works, and a journal that verifies.
pub fn once(sandbox: &sandbox::Sandbox, mints: usize) -> Result<(), String> {
    let ledger = sandbox.ledger();
    let calls = ledger["calls"].as_array().map(Vec::as_slice).unwrap_or_default();
    let minted: Vec<_> = calls.iter().filter(|call| call["effect"] == "minted").map(|call| &call["label"]).collect();
    // Who acts on the same history as another mints under the same label.
    let labels: std::collections::HashSet<_> = minted.iter().map(|label| label.to_string()).collect();
    let once = (&ledger["pairs"], &ledger["live_tokens"]) == (&1.into(), &0.into());
    if !once || !(1..=mints).contains(&minted.len()) || labels.len() != minted.len() {
        return Err(format!("not once: {ledger}"));
    }
    verifies(sandbox)
}

pub fn verifies(sandbox: &sandbox::Sandbox) -> Result<(), String> {
    let verified = sandbox.recover(&["verify", "--all"]);
    if verified.status.success() { Ok(()) } else { Err(format!("it does not verify: {}", said(&verified))) }
}
