//! The synchronous commits of a run, counted by strace where it is installed, else by the journal's own frames.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, ExitCode};

use crate::Row;
use crate::work::{self, STEPS};

/// Between these two lines that it writes, the child does nothing but the run.
const BEGINS: &str = "the run begins";
const ENDS: &str = "the run has ended";

/// A run of seven steps, alone.
pub fn counted(dir: &Path) -> Row {
    let wanted = u64::from(STEPS) + 1;
    let (count, by) = match traced(&dir.join("traced")) {
        Some(count) => (count, "counted by strace"),
        None => (work::alone_frames(&dir.join("counted")), "the journal's own count: there is no strace here"),
    };
    Row {
        what: "synchronous commits of a run with 7 steps",
        measured: format!("{count} ({by})"),
        wanted: "exactly 8",
        reached: count == wanted,
    }
}

/// The `fsync` and `fdatasync` calls that the thread makes which drives the run.
fn traced(state: &Path) -> Option<u64> {
    let trace = state.with_extension("trace");
    let exe = std::env::current_exe().unwrap();
    let mut strace = Command::new("strace");
    strace.args(["-f", "-e", "trace=write,fsync,fdatasync,sync_file_range,sync,syncfs", "-o"]).arg(&trace);
    let status = strace.arg(exe).arg("counted-child").arg(state).stderr(std::process::Stdio::null()).status().ok()?;
    assert!(status.success(), "the traced run failed");
    let text = std::fs::read_to_string(&trace).unwrap();
    let thread = text.lines().find(|line| line.contains(BEGINS))?.split_whitespace().next()?.to_owned();
    let between = text.lines().skip_while(|line| !line.contains(BEGINS)).take_while(|line| !line.contains(ENDS));
    let calls = between.filter(|line| line.split_whitespace().next() == Some(&thread) && line.contains("sync("));
    Some(calls.count() as u64)
}

/// What is traced.
pub fn child(state: &Path) -> ExitCode {
    let say = |line: &str| std::io::stderr().write_all(format!("{line}\n").as_bytes()).unwrap();
    work::alone_between(state, || say(BEGINS), || say(ENDS));
    ExitCode::SUCCESS
}
