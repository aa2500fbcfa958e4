//! `cargo xtask bench`: what the promises cost, as ratios to the raw limit measured in the same run.
//!
//! The raw limit is the same writes of the same bytes, append and `fdatasync`, on a preallocated file. `--quick` counts and
//! skips what takes long; no number of it is a judgement on speed. `--only alone|together|words|large|audit|alerts|idle` measures one part.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    unreachable_pub,
    missing_docs,
    reason = "a program for developers: what does not hold ends it, and nobody links against it"
)]

mod alerts;
mod audit;
mod commits;
mod group;
mod idle;
mod large;
mod raw;
mod work;

use std::path::Path;
use std::time::Duration;

/// One line of the table.
pub struct Row {
    pub what: &'static str,
    pub measured: String,
    pub wanted: &'static str,
    pub reached: bool,
}

fn main() -> std::process::ExitCode {
    let words: Vec<String> = std::env::args().collect();
    match words.get(1).map(String::as_str) {
        Some("resume-child") => return large::child(Path::new(&words[2])),
        Some("counted-child") => return commits::child(Path::new(&words[2])),
        _ => {}
    }
    let quick = words.iter().any(|word| word == "--quick");
    let only = words.iter().position(|word| word == "--only").and_then(|at| words.get(at + 1));
    let dir = tempfile::Builder::new().prefix("bench").tempdir_in(target()).expect("a directory on a disk");
    let wanted = |part: &str| only.is_none_or(|only| only == part);
    let mut rows = vec![commits::counted(dir.path())];
    if wanted("alone") {
        rows.push(work::alone(dir.path(), if quick { 5 } else { 1_000 }));
    }
    if wanted("together") {
        rows.push(work::together(dir.path(), if quick { 2 } else { 100 }));
    }
    if !quick && wanted("words") {
        rows.extend(work::words(dir.path()));
    }
    if !quick && wanted("large") {
        rows.extend(large::all(dir.path()));
    }
    if !quick && wanted("audit") {
        rows.extend(audit::all(dir.path()));
    }
    if !quick && wanted("alerts") {
        rows.extend(alerts::all(dir.path()));
    }
    if !quick && wanted("idle") {
        rows.push(idle::owner(dir.path(), Duration::from_secs(10)));
    }
    println!("| what | measured | at least | |\n|---|---|---|---|");
    for row in &rows {
        let mark = if row.reached { "yes" } else { "NO" };
        println!("| {} | {} | {} | {mark} |", row.what, row.measured, row.wanted);
    }
    // Counts are facts and must hold; times are noisy and are only shown.
    std::process::ExitCode::from(u8::from(!rows[0].reached))
}

/// Where what was built with this profile is.
fn profile() -> std::path::PathBuf {
    let exe = std::env::current_exe().expect("the running program");
    exe.ancestors().nth(2).expect("target/PROFILE").to_owned()
}

/// A directory on the disk that the build is on: the temporary one may be in memory.
fn target() -> std::path::PathBuf {
    profile().parent().expect("target").to_owned()
}
