//! The binary under strace.

use std::collections::BTreeMap;
use std::process::{Command, Output, Stdio};

use crate::plan::{CHANGING, Injection};
use crate::sandbox::{RECOVER, Sandbox};

const GO: &[&str] = &["--scenario", "identity-loss", "--target", "edge-1", "--yes", "--output", "json"];

pub fn is_there() -> bool {
    Command::new("strace").arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

/// Detached at `execve`: the connector that it starts lives on, and is none of the tracer's business. `timeout` is there for
/// what does not end.
fn strace(words: &[&str]) -> Command {
    let mut command = Command::new("timeout");
    command.args(["--signal=KILL", "90", "strace", "-f", "-qq", "-b", "execve", "-e"]);
    command.arg(format!("trace={}", CHANGING.join(","))).args(words).args([RECOVER, "--config"]);
    command
}

/// The recovery with one call failing; and what became of syncs of the log's segments.
pub fn recovery(sandbox: &Sandbox, injection: &Injection) -> (Output, Syncs) {
    let argument = injection.argument();
    let trace = sandbox.dir().join("trace");
    // With the path of each descriptor.
    let words = ["-y", "-o", trace.to_str().unwrap(), "-e", &argument];
    let output = strace(&words).arg(sandbox.config()).args(GO).output().unwrap();
    (output, Syncs::read(&std::fs::read_to_string(&trace).unwrap_or_default()))
}

/// Syncs of the segments that are written, as they were made.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Syncs {
    /// One was made to fail.
    pub failed: bool,
    /// And then there was another one.
    pub again: bool,
}

impl Syncs {
    fn read(trace: &str) -> Self {
        let mut syncs = Self::default();
        // Of a call that another thread interrupted in the trace, the second half does not name the file.
        let mut begun: BTreeMap<&str, bool> = BTreeMap::new();
        for line in trace.lines() {
            let Some((thread, call)) = line.split_once(' ') else { continue };
            let of_segment = match call.trim_start() {
                call if call.starts_with("fdatasync(") => call.contains(".seg>"),
                call if call.starts_with("<... fdatasync resumed") => begun.remove(thread).unwrap_or(false),
                _ => continue,
            };
            if call.contains("<unfinished") {
                begun.insert(thread, of_segment);
            } else if of_segment {
                syncs.again |= syncs.failed;
                syncs.failed |= call.contains("(INJECTED)");
            }
        }
        syncs
    }
}

/// How many calls of each name the busiest thread makes in one recovery.
pub fn calls_of_a_run(sandbox: &Sandbox) -> BTreeMap<String, usize> {
    sandbox.lose(false);
    let trace = sandbox.dir().join("trace");
    let words = ["-o", trace.to_str().unwrap()];
    let output = strace(&words).arg(sandbox.config()).args(GO).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut counts: BTreeMap<(String, String), usize> = BTreeMap::new();
    for line in std::fs::read_to_string(&trace).unwrap().lines() {
        let mut words = line.splitn(2, ' ');
        let (Some(thread), Some(rest)) = (words.next(), words.next()) else { continue };
        let Some((call, _)) = rest.trim_start().split_once('(') else { continue };
        if CHANGING.contains(&call) {
            *counts.entry((call.to_owned(), thread.to_owned())).or_default() += 1;
        }
    }
    let mut busiest = BTreeMap::new();
    for ((call, _), count) in counts {
        let most: &mut usize = busiest.entry(call).or_default();
        *most = (*most).max(count);
    }
    busiest
}
