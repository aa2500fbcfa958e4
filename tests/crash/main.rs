//! The kill matrix: real processes, real SIGKILL, before and after every call of the journal and of the world, and again
//! at every point of the resume. The sandbox's own ledger is asked what happened, never the journal.
//!
//! `RECOVER_CRASH=bounded` (the default) tries every first kill and a sample of second ones; `full` tries them all.
//! The same binary is the child that gets killed: it drives the real engine, journal and adapters through two fuses.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    unreachable_pub,
    missing_docs,
    reason = "a program for developers: what does not hold ends it, and nobody links against it"
)]

mod child;
mod fuse;
mod matrix;
#[path = "../harness/sandbox.rs"]
mod sandbox;

fn main() -> std::process::ExitCode {
    let words: Vec<String> = std::env::args().collect();
    match words.get(1).map(String::as_str) {
        Some("child") => child::main(&words[2..]),
        // What test runners ask of every test binary.
        Some("--list") => {
            println!("kill_matrix: test");
            std::process::ExitCode::SUCCESS
        }
        _ => matrix::main(),
    }
}
