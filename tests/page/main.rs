//! `cargo xtask page`: the page of `recover serve` in a real browser, with real clicks and keys; the interface as it is described, asked
//! at random; and Alertmanager as it really sends.
//!
//! Programs of Debian are installed where root may: chromium, chromium-driver, prometheus-alertmanager. What cannot be had is said.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    unreachable_pub,
    missing_docs,
    dead_code,
    reason = "a program for developers: what does not hold ends it, and nobody links against it"
)]

mod alertmanager;
mod clicks;
mod driver;
mod golden;
mod newcomer;
#[path = "../harness/packages.rs"]
mod packages;
mod report;
#[path = "../harness/sandbox.rs"]
mod sandbox;
mod schema;
#[path = "../harness/served.rs"]
mod served;

use std::process::ExitCode;

/// What came of a part: what it did in words, or why it could not be run.
type Ran = Result<String, String>;

const PARTS: [(&str, fn() -> Ran); 5] = [
    ("clicks", clicks::clicks),
    ("looks", clicks::looks),
    ("newcomer", newcomer::newcomer),
    ("alertmanager", alertmanager::alertmanager),
    ("schema", schema::schema),
];

fn main() -> ExitCode {
    if std::env::args().any(|word| word == "--list") {
        println!("page: test");
        return ExitCode::SUCCESS;
    }
    // A word names a part.
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let (mut passed, mut failed, mut ignored) = (0, 0, 0);
    for (name, part) in
        PARTS.into_iter().filter(|(name, _)| wanted.is_empty() || wanted.iter().any(|word| word == name))
    {
        match std::panic::catch_unwind(part) {
            Ok(Ok(figures)) => {
                println!("page: {name}: {figures}");
                passed += 1;
            }
            Ok(Err(why)) => {
                println!("page: {name}: NOT RUN: {why}");
                ignored += 1;
            }
            Err(_) => {
                println!("page: {name}: FAILED");
                failed += 1;
            }
        }
    }
    println!(
        "test result: {}. {passed} passed; {failed} failed; {ignored} ignored",
        if failed == 0 { "ok" } else { "FAILED" }
    );
    ExitCode::from(u8::from(failed > 0))
}
